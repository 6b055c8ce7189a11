"""One random realistic frame, drawn stage by stage: light, silicon, numbers, pipeline."""

import math
from dataclasses import replace

import numpy as np

from .._arrays import F32
from . import defects, detector, particles, readout, sources
from .canvas import Canvas
from .config import SimulateConfig
from .detector import Camera
from .draws import chance, log_uniform
from .filters import draw_filters
from .frame import Frame, Layers
from .light import Conditions, Light, draw_galaxy_layer, draw_star_layer, paint_light
from .optics import draw_star_images
from .patches import Backdrop, DarkPatch, SkyPatch
from .planting import plant
from .processing import process
from .scenes import draw_scene

#: How unlike the light of most stars that of the sky is; see `filters.WARMTHS`.
_SKY_WARMTH = 0.4
#: Lowest number after the bias is subtracted, ADU: noise goes below 0.
_NO_FLOOR = -1e6


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
    size = (config.height, config.width)
    if backdrop is not None and backdrop.pixels.shape != size:
        raise ValueError(f"the backdrop has the shape {backdrop.pixels.shape}, the frame {size}")
    config = draw_scene(config, rng)
    if backdrop is None and config.small > 0 and chance(rng, config.small):
        config = _draw_size(config, rng)
    shape = (config.height, config.width)
    if isinstance(backdrop, SkyPatch):
        return plant(config, rng, backdrop)
    conditions = draw_conditions(config, rng, backdrop)
    light, sky = _draw_light(config, rng, conditions)
    throughput = detector.draw_vignetting(config.sky, rng, shape)
    if config.detector.smeared > 0 and chance(rng, config.detector.smeared):
        light_of_sources = throughput * (light.stars + light.galaxies)
        # What moves is not dimmed again where it arrives.
        sky += readout.draw_smear(light_of_sources, config.detector.smear, rng) / throughput
    if backdrop is None:
        defects.draw_defects(light.canvas, config.artefacts, rng, conditions.noise, conditions.level)
    particles.draw_particles(light.canvas, config.artefacts, rng, conditions.psf.fwhm)
    electrons = _collect(light, sky, throughput, conditions.camera, backdrop)
    image = _read_out(electrons, light.canvas, config, rng, conditions, backdrop)
    layers, variance = _digitise(image, light, sky, throughput, conditions.camera, backdrop)
    return process(layers, variance, throughput, config, rng, conditions)


def _draw_size(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Return the ranges for a small frame, as windows of a detector and pieces of a survey are."""
    height, width = (round(log_uniform(rng, config.small_side)) for _ in range(2))
    return replace(config, height=min(height, config.height), width=min(width, config.width))


def draw_conditions(
    config: SimulateConfig, rng: np.random.Generator, dark: DarkPatch | None = None
) -> Conditions:
    """Draw the camera, the sky's level and the PSF; with a dark, the read noise is the dark's."""
    camera = detector.draw_camera(config.detector, rng)
    sky = config.sky.level
    if dark is not None:
        camera = replace(camera, read_noise=camera.gain * float(np.median(dark.rms)))
    elif config.detector.counted > 0 and chance(rng, config.detector.counted):
        camera, sky = replace(camera, gain=1.0, read_noise=0.0), config.detector.counted_sky
    room = min(camera.full_well, (camera.ceiling - camera.bias) * camera.gain)
    level = min(log_uniform(rng, sky), 0.4 * room)
    noise = math.sqrt(level + camera.read_noise**2)
    brightest = log_uniform(rng, config.field.brightest) * room / noise
    images = draw_star_images(config.psf, rng, brightest)
    filters = None
    if config.detector.filters > 0 and chance(rng, config.detector.filters):
        filters = draw_filters(config.detector, rng)
    return Conditions((config.height, config.width), camera, images, level, noise, brightest, filters)


def _draw_light(
    config: SimulateConfig, rng: np.random.Generator, conditions: Conditions
) -> tuple[Light, F32]:
    """Draw sources, sky and what is painted over them; the sky is the expected level in electrons."""
    shape = conditions.shape
    stars, star_rows = draw_star_layer(config.field, rng, conditions)
    sky = detector.draw_sky(config.sky, rng, shape, conditions.level)
    galaxies, galaxy_rows = draw_galaxy_layer(config.field, rng, conditions)
    if chance(rng, config.field.nebula):
        broad, filaments = sources.draw_nebula(rng, shape, conditions.psf.fwhm, conditions.noise)
        sky += broad
        galaxies += filaments
    canvas = paint_light(config, rng, conditions, star_rows)
    filters = conditions.filters
    if filters is not None:
        galaxies *= filters.passed(shape)
        canvas.signal *= filters.passed(shape)
        sky *= filters.passed(shape, rng.normal(0.0, _SKY_WARMTH))
    return Light(stars, galaxies, star_rows, galaxy_rows, canvas), sky


def _collect(light: Light, sky: F32, throughput: F32, camera: Camera, dark: DarkPatch | None) -> F32:
    """Return the charge that the pixels hold at the end of the exposure, electrons."""
    electrons = throughput * (sky + light.stars + light.galaxies) + light.canvas.signal
    if camera.blooming:
        light.canvas.bloom(electrons, camera.full_well)
    np.minimum(electrons, camera.full_well, out=electrons)
    if dark is not None:
        # The charge of a hot pixel leaves less room for light.
        np.minimum(electrons, camera.full_well - camera.gain * np.maximum(dark.signal, 0), out=electrons)
        np.maximum(electrons, 0, out=electrons)
    return electrons


def _read_out(
    electrons: F32,
    canvas: Canvas,
    config: SimulateConfig,
    rng: np.random.Generator,
    conditions: Conditions,
    dark: DarkPatch | None,
) -> F32:
    """Return the charge with its noise, electrons; what stands out of a dark is noted on the canvas."""
    camera = conditions.camera
    floor = camera.read_noise if dark is None else 0.0
    image = detector.photon_noise(electrons, rng, camera.flat_noise, floor)
    if camera.nonlinearity > 0:
        image *= 1 - np.float32(camera.nonlinearity / camera.full_well) * np.maximum(image, 0)
    if dark is None:
        readout.add_pattern_noise(image, config.detector, rng, conditions.noise)
    else:
        image += np.float32(camera.gain) * dark.pixels
        dark.add_to(canvas, camera.gain)
    return image


def _digitise(
    image: F32, light: Light, sky: F32, throughput: F32, camera: Camera, dark: DarkPatch | None
) -> tuple[Layers, F32]:
    """Return a raw frame and its variance (ADU**2); the layers of light and sky are changed in place."""
    scale = np.float32(1 / camera.gain)
    image = np.rint(image * scale + np.float32(camera.bias))
    np.clip(image, 0.0 if camera.bias > 0 else _NO_FLOOR, camera.ceiling, out=image)
    variance = _variance(throughput * sky, camera, dark)
    variance *= scale * scale
    for layer in (light.stars, light.galaxies, sky):
        layer *= scale
    layers = Layers(
        image=image,
        stars=light.stars,
        galaxies=light.galaxies,
        artefacts=light.canvas.signal * scale,
        codes=light.canvas.codes,
        sky=sky,
        star_rows=light.star_rows,
        galaxy_rows=light.galaxy_rows.in_adu(camera.gain),
        artefact_rows=light.canvas.rows().in_adu(camera.gain),
        saturation=camera.saturation,
        dark=dark,
    )
    return layers, variance


def _variance(light: F32, camera: Camera, dark: DarkPatch | None) -> F32:
    """Return the variance (electrons**2) of pixels that hold nothing but the light of the sky."""
    if dark is None:
        variance = light + np.float32(camera.read_noise**2 + camera.gain**2 / 12)
    else:
        variance = light + np.float32(camera.gain**2) * (dark.rms**2 + np.float32(1 / 12))
    variance += np.float32(camera.flat_noise**2) * light * light
    return variance
