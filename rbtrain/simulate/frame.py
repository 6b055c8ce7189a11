"""One random realistic frame, with everything in it on separate layers."""

import math
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from . import _render, artefacts, detector, particles, sources
from ._draw import chance, log_uniform
from .canvas import Artefact, Canvas
from .config import SimulateConfig
from .psf import draw_psf
from .truth import Rows, extreme, inside, nearest, truth_table

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Wings of sources below this fraction of the sky noise are left out.
_LEVEL = 0.1


@dataclass(frozen=True, eq=False)
class Frame:
    """A simulated image and its layers; arrays are (h, w) float32 in ADU unless said.

    Attributes
    ----------
    image : array
        What the telescope delivers. May hold NaN where masked.
    mask : bool array or None
        True where the pixel is known to be bad.
    stars, galaxies, artefacts : array
        Expected signal without noise and not clipped by saturation; `galaxies` includes
        nebulosity (less its smooth part, which is in `sky`), `artefacts` may be negative.
    artefact_class : uint8 array
        `Artefact` code of what contributes most to `artefacts`, 0 where that is nothing.
    sky : array
        Expected level without any of the above, bias included.
    noise : array
        Expected rms of sky and read noise, after any resampling.
    saturation : float or None
        Level at which pixels saturate, or None when sky subtraction and flattening have made it
        vary over the frame by more than the noise.
    fwhm : float
        Pixels.
    crowding : float
        Stars with a peak above 5 sigma per square FWHM.
    truth : astropy Table
        x, y (0-based pixels), flux and peak (ADU), type, fwhm. Sources under an empty edge or NaN
        are in neither the layers nor the table. Stars with a peak below 1 sigma
        are on the layer but not in the table. Types: star, galaxy, asteroid, cosmic_ray,
        hot_pixel, cold_pixel, bad_column, bad_row, trap, satellite, spike, ghost.
    """

    image: F32
    mask: NDArray[np.bool_] | None
    stars: F32
    galaxies: F32
    artefacts: F32
    artefact_class: NDArray[np.uint8]
    sky: F32
    noise: F32
    saturation: float | None
    fwhm: float
    crowding: float
    truth: Table


def draw_frame(config: SimulateConfig, rng: np.random.Generator) -> Frame:
    """Draw one frame.

    Parameters
    ----------
    config : SimulateConfig
        Ranges to draw from, and the size of the frame.
    rng : numpy.random.Generator
        Source of all randomness: the same state gives the same bytes.

    Returns
    -------
    Frame
    """
    shape = (config.height, config.width)
    camera = detector.draw_camera(config.detector, rng)
    room = min(camera.full_well, (camera.ceiling - camera.bias) * camera.gain)
    level = min(log_uniform(rng, config.sky.level), 0.4 * room)
    noise = math.sqrt(level + camera.read_noise**2)
    brightest = log_uniform(rng, config.field.brightest) * room / noise
    psf = draw_psf(config.psf, rng, brightest)

    # Light.
    points = sources.draw_stars(config.field, rng, shape, psf, noise, brightest)
    stars = np.zeros(shape, np.float32)
    psf.add_points(stars, points.x, points.y, points.flux, _LEVEL * noise)
    sky = detector.draw_sky(config.sky, rng, shape, level)
    galaxies = np.zeros(shape, np.float32)
    drawn = sources.draw_galaxies(config.field, rng, shape, psf.fwhm, noise)
    galaxy_peaks = [sources.add_galaxy(galaxies, g, psf, _LEVEL * noise, rng) for g in drawn]
    if chance(rng, config.field.nebula):
        broad, filaments = sources.draw_nebula(rng, shape, psf.fwhm, noise)
        sky += broad
        galaxies += filaments
    canvas = Canvas.blank(shape)
    artefacts.draw_asteroids(canvas, config.field, rng, psf, noise)
    artefacts.draw_trails(canvas, config.artefacts, rng, psf, noise)
    artefacts.draw_glare(canvas, config.artefacts, rng, psf, points, noise)

    # Silicon.
    throughput = detector.draw_vignetting(config.sky, rng, shape)
    artefacts.draw_defects(canvas, config.artefacts, rng, noise, level)
    particles.draw_particles(canvas, config.artefacts, rng)
    electrons = throughput * (sky + stars + galaxies) + canvas.signal
    if camera.blooming:
        _render.bloom(electrons, np.float32(camera.full_well), *canvas.layers, int(Artefact.SPIKE))
    np.minimum(electrons, camera.full_well, out=electrons)
    image = detector.photon_noise(electrons, rng, camera.flat_noise, camera.read_noise)
    if camera.nonlinearity > 0:
        image *= 1 - np.float32(camera.nonlinearity / camera.full_well) * np.maximum(image, 0)
    detector.add_pattern_noise(image, config.detector, rng, noise)

    # Numbers.
    scale = np.float32(1 / camera.gain)
    image = np.rint(image * scale + np.float32(camera.bias))
    floor = 0.0 if camera.bias > 0 else -1e6
    np.clip(image, floor, camera.ceiling, out=image)
    light = throughput * sky
    variance = light + np.float32(camera.read_noise**2 + camera.gain**2 / 12)
    variance += np.float32(camera.flat_noise**2) * light * light
    variance *= scale * scale
    stars *= scale
    galaxies *= scale
    sky *= scale
    signal = canvas.signal * scale
    seen = np.ones(shape, np.float32)
    if chance(rng, config.sky.flattened):
        flat = 1 / throughput
        image = (image - np.float32(camera.bias)) * flat + np.float32(camera.bias)
        signal *= flat
        variance *= flat * flat
    else:
        seen = throughput
        stars *= throughput
        galaxies *= throughput
        sky *= throughput
    sky += np.float32(camera.bias)
    if chance(rng, config.sky.amplifiers):
        half = int(rng.integers(1, shape[1] // 2)) + shape[1] // 4
        step = np.float32(noise / camera.gain * rng.normal(0, 4))
        image[:, half:] += step
        sky[:, half:] += step
    saturation: float | None = camera.saturation
    if chance(rng, config.detector.sky_subtracted):
        image -= sky
        spread = float(sky.max() - sky.min())
        saturation = camera.saturation - float(sky.mean())
        if spread > 3 * noise / camera.gain:
            saturation = None
        sky = np.zeros(shape, np.float32)

    x, y = points.x, points.y
    gx, gy = np.array([g.x for g in drawn]), np.array([g.y for g in drawn])
    made = canvas.truth
    ax, ay = np.array([t[1] for t in made]), np.array([t[2] for t in made])
    cls = canvas.cls
    if chance(rng, config.detector.resampled):
        warp = detector.draw_warp(rng, shape)
        layers, cls = warp.apply(image, stars, galaxies, signal, cls)
        image, stars, galaxies, signal, squares = layers
        variance *= squares
        x, y = warp.positions(x, y)
        gx, gy = warp.positions(gx, gy)
        ax, ay = warp.positions(ax, ay)
    rms = np.sqrt(variance)
    typical = float(np.median(rms[::8, ::8]))
    cls = np.where(np.abs(signal) > 0.05 * rms, cls, np.uint8(0))
    if chance(rng, config.detector.quantised):
        step = np.float32(typical * log_uniform(rng, (1 / 16, 0.5)))
        image = np.rint(image / step) * step
    elif typical > 0.8 and chance(rng, config.detector.rounded):
        image = np.rint(image)
    middle = float(np.median(sky[::8, ::8]))
    mask, empty = detector.draw_mask(config.detector, rng, image, middle)
    for layer in (stars, galaxies, signal, cls):
        layer[empty] = 0  # what shows at the edge of an empty strip is not what was there

    seen_at = seen[nearest(x, y, shape)] / camera.gain
    peak, flux = points.peak * seen_at, points.flux * seen_at
    on_frame = inside(x, y, shape)
    above = on_frame & (peak > typical)
    crowding = float((on_frame & (peak > 5 * typical)).sum()) * psf.fwhm**2 / image.size
    galaxy_flux = np.array([g.flux for g in drawn]) / camera.gain
    artefact_flux = np.array([t[3] for t in made]) / camera.gain
    rows = [
        Rows("star", x[above], y[above], flux[above], peak[above]),
        Rows("galaxy", gx, gy, galaxy_flux, np.array(galaxy_peaks) / camera.gain),
        Rows([t[0] for t in made], ax, ay, artefact_flux, extreme(signal, ax, ay)),
    ]
    truth = truth_table(rows, psf.fwhm, shape)
    truth = truth[~empty[nearest(np.asarray(truth["x"]), np.asarray(truth["y"]), shape)]]
    return Frame(
        image=np.ascontiguousarray(image, dtype=np.float32),
        mask=mask,
        stars=np.ascontiguousarray(stars),
        galaxies=np.ascontiguousarray(galaxies),
        artefacts=np.ascontiguousarray(signal),
        artefact_class=cls,
        sky=sky,
        noise=rms,
        saturation=saturation,
        fwhm=psf.fwhm,
        crowding=crowding,
        truth=truth,
    )
