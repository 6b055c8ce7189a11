"""One random realistic frame, with everything in it on separate layers."""

import math
from dataclasses import dataclass, replace

import numpy as np
from astropy.table import Table

from .._arrays import F32, F64, U8, Bools
from . import _render, artefacts, detector, particles, sources
from ._draw import chance, log_uniform
from .backdrop import Backdrop, SkyPatch
from .canvas import Artefact, Canvas
from .config import SimulateConfig
from .psf import draw_psf
from .truth import Rows, extreme, inside, nearest, truth_table

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
    unknown : array or None
        What was in the pixels before anything was planted and is of unknown nature, less the sky:
        all of a sky image, noise and sources alike; of a dark, what may be a particle or a noisy
        pixel. None when all is known. `crowding` and `truth` know nothing of it.
    """

    image: F32
    mask: Bools | None
    stars: F32
    galaxies: F32
    artefacts: F32
    artefact_class: U8
    sky: F32
    noise: F32
    saturation: float | None
    fwhm: float
    crowding: float
    truth: Table
    unknown: F32 | None = None


def draw_frame(
    config: SimulateConfig, rng: np.random.Generator, backdrop: Backdrop | None = None
) -> Frame:
    """Draw one frame.

    Parameters
    ----------
    config : SimulateConfig
        Ranges to draw from, and the size of the frame.
    rng : numpy.random.Generator
        Source of all randomness: the same state gives the same bytes.
    backdrop : DarkPatch or SkyPatch, optional
        Real pixels of the frame's size. A piece of a dark takes the place of read noise, pattern
        noise and defects; on a piece of a sky image sources and artefacts are planted.

    Returns
    -------
    Frame

    Raises
    ------
    ValueError
        The backdrop is of another size than the frame.
    """
    shape = (config.height, config.width)
    if backdrop is not None and backdrop.pixels.shape != shape:
        raise ValueError(f"the backdrop has the shape {backdrop.pixels.shape}, the frame {shape}")
    if isinstance(backdrop, SkyPatch):
        return _plant(config, rng, backdrop)
    dark = backdrop
    camera = detector.draw_camera(config.detector, rng)
    if dark is not None:
        camera = replace(camera, read_noise=camera.gain * float(np.median(dark.rms)))
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
    if dark is None:
        artefacts.draw_defects(canvas, config.artefacts, rng, noise, level)
    particles.draw_particles(canvas, config.artefacts, rng)
    electrons = throughput * (sky + stars + galaxies) + canvas.signal
    if camera.blooming:
        _render.bloom(electrons, np.float32(camera.full_well), *canvas.layers, int(Artefact.SPIKE))
    np.minimum(electrons, camera.full_well, out=electrons)
    if dark is not None:
        # The charge of a hot pixel leaves less room for light.
        np.minimum(electrons, camera.full_well - camera.gain * np.maximum(dark.signal, 0), out=electrons)
        np.maximum(electrons, 0, out=electrons)
    floor = camera.read_noise if dark is None else 0.0
    image = detector.photon_noise(electrons, rng, camera.flat_noise, floor)
    if camera.nonlinearity > 0:
        image *= 1 - np.float32(camera.nonlinearity / camera.full_well) * np.maximum(image, 0)
    if dark is None:
        detector.add_pattern_noise(image, config.detector, rng, noise)
    else:
        image += np.float32(camera.gain) * dark.pixels
        dark.add_to(canvas, camera.gain)

    # Numbers.
    scale = np.float32(1 / camera.gain)
    image = np.rint(image * scale + np.float32(camera.bias))
    floor = 0.0 if camera.bias > 0 else -1e6
    np.clip(image, floor, camera.ceiling, out=image)
    light = throughput * sky
    if dark is None:
        variance = light + np.float32(camera.read_noise**2 + camera.gain**2 / 12)
    else:
        variance = light + np.float32(camera.gain**2) * (dark.rms**2 + np.float32(1 / 12))
    variance += np.float32(camera.flat_noise**2) * light * light
    variance *= scale * scale
    stars *= scale
    galaxies *= scale
    sky *= scale
    signal = canvas.signal * scale
    seen = np.ones(shape, np.float32)
    if chance(rng, config.sky.flattened):
        flat = np.float32(1) / throughput
        image = (image - np.float32(camera.bias)) * flat + np.float32(camera.bias)
        signal *= flat
        variance *= flat * flat
        dark = None if dark is None else dark.flattened(flat)
    else:
        seen = throughput
        stars *= throughput
        galaxies *= throughput
        sky *= throughput
    sky += np.float32(camera.bias)
    if dark is not None:
        sky += dark.pattern
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
    ax, ay = np.array([t[1] for t in canvas.truth]), np.array([t[2] for t in canvas.truth])
    cls = canvas.cls
    if chance(rng, config.detector.resampled):
        warp = detector.draw_warp(rng, shape)
        layers, cls = warp.apply(image, stars, galaxies, signal, cls)
        image, stars, galaxies, signal, squares = layers
        variance *= squares
        x, y = warp.positions(x, y)
        gx, gy = warp.positions(gx, gy)
        ax, ay = warp.positions(ax, ay)
        dark = None if dark is None else dark.resampled(warp)
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
    unknown = None if dark is None else dark.unknown
    for layer in (stars, galaxies, signal, cls, *(() if unknown is None else (unknown,))):
        layer[empty] = 0  # what shows at the edge of an empty strip is not what was there
    if dark is not None and dark.bad.any():
        mask = dark.bad if mask is None else mask | dark.bad

    seen_at = seen[nearest(x, y, shape)] / camera.gain
    truth, crowding = _truth(
        Rows("star", x, y, points.flux * seen_at, points.peak * seen_at),
        _galaxy_rows(drawn, gx, gy, galaxy_peaks, camera.gain),
        _artefact_rows(canvas, ax, ay, signal, camera.gain),
        psf.fwhm,
        typical,
        empty,
    )
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
        unknown=unknown,
    )


def _plant(config: SimulateConfig, rng: np.random.Generator, patch: SkyPatch) -> Frame:
    """Draw a frame on a piece of a sky image: what is added brings the photon noise of its own light."""
    shape = (config.height, config.width)
    camera = detector.draw_camera(config.detector, rng)
    rms = float(np.median(patch.rms))
    # No camera's noise is below an electron: pixels in other units than ADU show by that.
    gain = max(camera.gain if patch.gain is None else patch.gain, 1 / rms)
    full = max(patch.high, patch.saturation or patch.high)
    middle = float(np.median(patch.sky))
    noise, room = gain * rms, gain * max(full - middle, 10 * rms)
    level = gain * max(middle, 0.0)
    brightest = log_uniform(rng, config.field.brightest) * room / noise
    psf_config = config.psf
    if patch.fwhm is not None:
        # The FWHM that was measured has any trailing and aberration in it.
        span = (patch.fwhm, patch.fwhm)
        psf_config = replace(psf_config, fwhm=span, common_fwhm=span, trailed=0.0, aberrated=0.0)
    psf = draw_psf(psf_config, rng, brightest)

    points = sources.draw_stars(config.field, rng, shape, psf, noise, brightest)
    stars = np.zeros(shape, np.float32)
    psf.add_points(stars, points.x, points.y, points.flux, _LEVEL * noise)
    galaxies = np.zeros(shape, np.float32)
    drawn = sources.draw_galaxies(config.field, rng, shape, psf.fwhm, noise)
    galaxy_peaks = [sources.add_galaxy(galaxies, g, psf, _LEVEL * noise, rng) for g in drawn]
    canvas = Canvas.blank(shape)
    artefacts.draw_asteroids(canvas, config.field, rng, psf, noise)
    artefacts.draw_trails(canvas, config.artefacts, rng, psf, noise)
    artefacts.draw_glare(canvas, config.artefacts, rng, psf, points, noise)
    artefacts.draw_defects(canvas, config.artefacts, rng, noise, level)
    particles.draw_particles(canvas, config.artefacts, rng)

    base = np.where(patch.empty, patch.sky, patch.pixels)
    held = base * np.float32(gain)
    well = np.float32(gain * full)
    if camera.blooming:
        charge = held + stars + galaxies + canvas.signal
        _render.bloom(charge, well, *canvas.layers, int(Artefact.SPIKE))
    added = np.minimum(stars + galaxies + canvas.signal, np.maximum(well - held, 0))
    added[np.abs(added) < 1e-6] = 0  # the noise of less underflows
    image = base + detector.photon_noise(added, rng, camera.flat_noise) / np.float32(gain)
    np.clip(image, min(0.0, patch.low), full, out=image)
    if patch.whole:
        image = np.rint(image)
    image[patch.empty] = patch.pixels[patch.empty]

    scale = np.float32(1 / gain)
    stars *= scale
    galaxies *= scale
    signal = canvas.signal * scale
    unknown = base - patch.sky
    cls = np.where(np.abs(signal) > 0.05 * patch.rms, canvas.cls, np.uint8(0))
    for layer in (stars, galaxies, signal, cls, unknown):
        layer[patch.empty] = 0
    ax, ay = np.array([t[1] for t in canvas.truth]), np.array([t[2] for t in canvas.truth])
    gx, gy = np.array([g.x for g in drawn]), np.array([g.y for g in drawn])
    truth, crowding = _truth(
        Rows("star", points.x, points.y, points.flux / gain, points.peak / gain),
        _galaxy_rows(drawn, gx, gy, galaxy_peaks, gain),
        _artefact_rows(canvas, ax, ay, signal, gain),
        psf.fwhm,
        rms,
        patch.empty,
    )
    return Frame(
        image=np.ascontiguousarray(image, dtype=np.float32),
        mask=patch.bad if patch.bad.any() else None,
        stars=stars,
        galaxies=galaxies,
        artefacts=signal,
        artefact_class=cls,
        sky=patch.sky,
        noise=patch.rms,
        saturation=patch.saturation,
        fwhm=psf.fwhm,
        crowding=crowding,
        truth=truth,
        unknown=unknown,
    )


def _galaxy_rows(drawn: list[sources.Galaxy], x: F64, y: F64, peaks: list[float], gain: float) -> Rows:
    return Rows("galaxy", x, y, np.array([g.flux for g in drawn]) / gain, np.array(peaks) / gain)


def _artefact_rows(canvas: Canvas, x: F64, y: F64, signal: F32, gain: float) -> Rows:
    kinds, flux = [t[0] for t in canvas.truth], np.array([t[3] for t in canvas.truth]) / gain
    return Rows(kinds, x, y, flux, extreme(signal, x, y))


def _truth(
    stars: Rows,
    galaxies: Rows,
    made: Rows,
    fwhm: float,
    typical: float,
    empty: Bools,
) -> tuple[Table, float]:
    """Return the table of what shows on a frame of noise `typical`, and its crowding."""
    shape = (empty.shape[0], empty.shape[1])
    on_frame = inside(stars.x, stars.y, shape)
    above = on_frame & (stars.peak > typical)
    listed = Rows("star", *(v[above] for v in (stars.x, stars.y, stars.flux, stars.peak)))
    truth = truth_table([listed, galaxies, made], fwhm, shape)
    truth = truth[~empty[nearest(np.asarray(truth["x"]), np.asarray(truth["y"]), shape)]]
    crowding = float((on_frame & (stars.peak > 5 * typical)).sum()) * fwhm**2 / empty.size
    return truth, crowding
