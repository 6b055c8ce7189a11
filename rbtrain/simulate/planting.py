"""A frame on a piece of a sky image: what is planted brings the photon noise of its own light."""

from dataclasses import replace

import numpy as np

from .._arrays import F32
from . import defects, detector, particles
from .config import SimulateConfig
from .draws import log_uniform
from .frame import Frame, Layers, finish
from .light import Conditions, Light, draw_galaxy_layer, draw_star_layer, paint_light
from .optics import draw_star_images
from .patches import SkyPatch

#: Light below this, in electrons, has no photon noise: float32 underflows there.
_DARKEST = 1e-6


def plant(config: SimulateConfig, rng: np.random.Generator, patch: SkyPatch) -> Frame:
    """Draw a frame on a piece of a sky image.

    Parameters
    ----------
    config : SimulateConfig
        Ranges to draw from; what is real in the patch (sky, noise, FWHM) is not drawn.
    rng : numpy.random.Generator
        Source of all randomness.
    patch : SkyPatch
        Of the frame's size; stays as it is.

    Returns
    -------
    Frame
    """
    typical = float(np.median(patch.rms))
    full = max(patch.high, patch.saturation or patch.high)
    conditions = _draw_conditions(config, rng, patch, typical, full)
    gain = conditions.camera.gain
    light = _draw_light(config, rng, conditions)
    base = np.where(patch.empty, patch.sky, patch.pixels)
    scale = np.float32(1 / gain)
    layers = Layers(
        image=_expose(light, base, full, conditions, rng, patch),
        stars=light.stars * scale,
        galaxies=light.galaxies * scale,
        artefacts=light.canvas.signal * scale,
        codes=light.canvas.codes,
        sky=patch.sky,
        star_rows=light.star_rows.in_adu(gain),
        galaxy_rows=light.galaxy_rows.in_adu(gain),
        artefact_rows=light.canvas.rows().in_adu(gain),
        saturation=patch.saturation,
    )
    return finish(
        layers,
        noise=patch.rms,
        typical=typical,
        fwhm=conditions.psf.fwhm,
        mask=patch.bad if patch.bad.any() else None,
        empty=patch.empty,
        unknown=base - patch.sky,
    )


def _draw_conditions(
    config: SimulateConfig, rng: np.random.Generator, patch: SkyPatch, typical: float, full: float
) -> Conditions:
    """Draw a camera and a PSF for a patch with noise `typical` that saturates at `full` (both ADU)."""
    camera = detector.draw_camera(config.detector, rng)
    # No camera's noise is below an electron: pixels in other units than ADU show by that.
    gain = max(camera.gain if patch.gain is None else patch.gain, 1 / typical)
    middle = float(np.median(patch.sky))
    noise, room = gain * typical, gain * max(full - middle, 10 * typical)
    brightest = log_uniform(rng, config.field.brightest) * room / noise
    # The FWHM that was measured has any trailing and aberration in it.
    images = draw_star_images(config.psf, rng, brightest, patch.fwhm)
    shape, level = (config.height, config.width), gain * max(middle, 0.0)
    return Conditions(shape, replace(camera, gain=gain), images, level, noise, brightest)


def _draw_light(config: SimulateConfig, rng: np.random.Generator, conditions: Conditions) -> Light:
    """Draw all that is planted, in electrons."""
    stars, star_rows = draw_star_layer(config.field, rng, conditions)
    galaxies, galaxy_rows = draw_galaxy_layer(config.field, rng, conditions)
    canvas = paint_light(config, rng, conditions, star_rows)
    defects.draw_defects(canvas, config.artefacts, rng, conditions.noise, conditions.level)
    particles.draw_particles(canvas, config.artefacts, rng, conditions.psf.fwhm)
    return Light(stars, galaxies, star_rows, galaxy_rows, canvas)


def _expose(
    light: Light,
    base: F32,
    full: float,
    conditions: Conditions,
    rng: np.random.Generator,
    patch: SkyPatch,
) -> F32:
    """Add light to the pixels `base` as far as their wells have room, up to `full` (both ADU)."""
    camera, canvas = conditions.camera, light.canvas
    gain = np.float32(camera.gain)
    held = base * gain
    well = camera.gain * full
    if camera.blooming:
        canvas.bloom(held + light.stars + light.galaxies + canvas.signal, well)
    added = np.minimum(
        light.stars + light.galaxies + canvas.signal, np.maximum(np.float32(well) - held, 0)
    )
    added[np.abs(added) < _DARKEST] = 0
    image = base + detector.photon_noise(added, rng, camera.flat_noise) / gain
    np.clip(image, min(0.0, patch.low), full, out=image)
    if patch.whole:
        image = np.rint(image)
    image[patch.empty] = patch.pixels[patch.empty]
    return image
