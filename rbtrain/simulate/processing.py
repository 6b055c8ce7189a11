"""What the amplifiers of a camera and the pipeline behind it do to a raw frame.

Every step changes the `Layers` in place: the numbers, and what is known of them.
"""

from dataclasses import replace

import numpy as np

from .._arrays import F32
from .._pixels import nearest
from . import detector
from .config import DetectorConfig, SimulateConfig
from .detector import Warp
from .draws import chance, log_uniform, uniform
from .frame import Frame, Layers, finish
from .light import Conditions
from .truth import Rows

#: Typical values are taken from every so many rows and columns.
_STEP = 8
#: How far the telescope is moved along an axis between two exposures that are subtracted, in FWHM.
_NOD = (2.0, 30.0)


def process(
    layers: Layers,
    variance: F32,
    throughput: F32,
    config: SimulateConfig,
    rng: np.random.Generator,
    conditions: Conditions,
) -> Frame:
    """Process a raw frame at random: flat field, sky subtraction, resampling, rounding, masks.

    Parameters
    ----------
    layers : Layers
        As read out. Of `star_rows`, fluxes and peaks are in electrons. Not to be used afterwards.
    variance : array, shape (h, w)
        Of sky and read noise, ADU**2; changed in place.
    throughput : array, shape (h, w)
        Share of the light that reached each pixel.
    config : SimulateConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    conditions : Conditions

    Returns
    -------
    Frame
    """
    camera = conditions.camera
    seen, fwhm = throughput, conditions.psf.fwhm
    if chance(rng, config.sky.flattened):
        seen = np.ones_like(throughput)
        variance *= _flatten(layers, throughput, camera.bias)
    else:
        for layer in (layers.stars, layers.galaxies, layers.sky):
            layer *= throughput
    layers.sky += np.float32(camera.bias)
    if layers.dark is not None:
        layers.sky += layers.dark.pattern
    if chance(rng, config.sky.amplifiers):
        _offset_amplifier(layers, rng, conditions)
    if config.detector.photographic > 0 and chance(rng, config.detector.photographic):
        _develop(layers, variance, config.detector, rng)
    if chance(rng, config.detector.sky_subtracted):
        _subtract_sky(layers, conditions)
    if config.detector.nodded > 0 and chance(rng, config.detector.nodded):
        _subtract_another(layers, variance, conditions, rng)
    if chance(rng, config.detector.resampled):
        warp = detector.draw_warp(config.detector, rng, conditions.shape, fwhm)
        if warp.is_another_grid:
            variance, seen = _regrid(layers, variance, seen, warp)
            fwhm = warp.widened(fwhm)
        variance *= _resample(layers, warp)
    elif config.detector.smoothed > 0 and chance(rng, config.detector.smoothed):
        warp = detector.draw_smoothing(rng, config.detector.smoothing)
        fwhm = warp.widened(fwhm)
        variance *= _resample(layers, warp)
    noise = np.sqrt(variance)
    typical = float(np.median(noise[::_STEP, ::_STEP]))
    level = float(np.median(layers.sky[::_STEP, ::_STEP]))
    if config.detector.cut_off > 0 and chance(rng, config.detector.cut_off):
        floor = level + typical * uniform(rng, config.detector.cut_off_at)
        np.maximum(layers.image, np.float32(floor), out=layers.image)
    _round(layers, config.detector, rng, typical)
    mask, empty = detector.draw_mask(config.detector, rng, layers.image, level)
    dark = layers.dark
    if dark is not None and dark.bad.any():
        mask = dark.bad if mask is None else mask | dark.bad
    layers.star_rows = _as_seen(layers.star_rows, seen, camera.gain)
    return finish(
        layers,
        noise=noise,
        typical=typical,
        fwhm=fwhm,
        mask=mask,
        empty=empty,
        unknown=None if dark is None else dark.unknown,
    )


def _flatten(layers: Layers, throughput: F32, bias: float) -> F32:
    """Divide by the flat field, which is the throughput; returns the factor of the variance."""
    flat = np.float32(1) / throughput
    layers.image = (layers.image - np.float32(bias)) * flat + np.float32(bias)
    layers.artefacts *= flat
    if layers.dark is not None:
        layers.dark = layers.dark.flattened(flat)
    return flat * flat


def _offset_amplifier(layers: Layers, rng: np.random.Generator, conditions: Conditions) -> None:
    """Give the columns of a second amplifier another bias."""
    width = conditions.shape[1]
    first = int(rng.integers(1, width // 2)) + width // 4
    step = np.float32(conditions.noise / conditions.camera.gain * rng.normal(0, 4))
    layers.image[:, first:] += step
    layers.sky[:, first:] += step


def _develop(layers: Layers, variance: F32, config: DetectorConfig, rng: np.random.Generator) -> None:
    """Let an emulsion take the image; there is no single level at which it saturates."""
    noise = float(np.sqrt(np.median(variance[::_STEP, ::_STEP])))
    layers.image, grain = detector.develop(layers.image, layers.sky, noise, config, rng)
    variance += np.float32(grain**2)
    layers.saturation = None


def _subtract_sky(layers: Layers, conditions: Conditions) -> None:
    """Subtract the sky; a sky that is far from even leaves no single level of saturation."""
    sky, camera = layers.sky, conditions.camera
    layers.image -= sky
    spread = float(sky.max() - sky.min())
    if layers.saturation is not None:
        is_even = spread <= 3 * conditions.noise / camera.gain
        layers.saturation = camera.saturation - float(sky.mean()) if is_even else None
    layers.sky = np.zeros_like(sky)


def _subtract_another(
    layers: Layers, variance: F32, conditions: Conditions, rng: np.random.Generator
) -> None:
    """Subtract another exposure of the field, in another direction and with noise of its own."""
    far = conditions.psf.fwhm * rng.uniform(*_NOD, 2) * rng.choice((-1, 1), 2)
    moved = np.roll(layers.stars + layers.galaxies, np.rint(far).astype(int), (0, 1))
    layers.image -= layers.sky + moved
    layers.image += np.sqrt(variance) * rng.standard_normal(variance.shape, np.float32)
    variance *= 2
    layers.sky = np.zeros_like(layers.sky)
    layers.saturation = None


def _regrid(layers: Layers, variance: F32, seen: F32, warp: Warp) -> tuple[F32, F32]:
    """Take what is smooth to another grid: the sky, in place, and variance and throughput."""
    moved, _ = warp.apply(layers.sky, variance, seen, np.zeros_like(seen), np.zeros_like(layers.codes))
    layers.sky = moved[0]
    # Between a pixel and the next, some kernels overshoot.
    return np.maximum(moved[1], variance.min()), np.clip(moved[2], seen.min(), seen.max())


def _resample(layers: Layers, warp: Warp) -> F32:
    """Resample all but what is smooth; returns the factor of the variance."""
    moved, layers.codes = warp.apply(
        layers.image, layers.stars, layers.galaxies, layers.artefacts, layers.codes
    )
    layers.image, layers.stars, layers.galaxies, layers.artefacts, squares = moved
    layers.star_rows = _moved(layers.star_rows, warp)
    layers.galaxy_rows = _moved(layers.galaxy_rows, warp)
    layers.artefact_rows = _moved(layers.artefact_rows, warp)
    if layers.dark is not None:
        layers.dark = layers.dark.resampled(warp)
    factor: F32 = squares
    return factor


def _moved(rows: Rows, warp: Warp) -> Rows:
    x, y = warp.positions(rows.x, rows.y)
    # Interpolation keeps the light of a pixel, so a source has more on a finer grid.
    return replace(rows, x=x, y=y, flux=rows.flux / warp.scale**2)


def _round(layers: Layers, config: DetectorConfig, rng: np.random.Generator, typical: float) -> None:
    """Round to fractions of the noise, as lossy compression does, or to whole numbers."""
    if chance(rng, config.quantised):
        step = np.float32(typical * log_uniform(rng, config.quanta))
        layers.image = np.rint(layers.image / step) * step
    elif typical > 0.8 and chance(rng, config.rounded):
        layers.image = np.rint(layers.image)


def _as_seen(rows: Rows, seen: F32, gain: float) -> Rows:
    """Return rows in ADU, dimmed as the pixels that they lie on."""
    factor = seen[nearest(rows.x, rows.y, seen.shape)] / gain
    return replace(rows, flux=rows.flux * factor, peak=rows.peak * factor)
