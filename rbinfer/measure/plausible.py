"""Is this an image of the sky, or a mask, a model of a PSF, a spectrum, or one without noise?"""

import re

import numpy as np
from numpy.typing import NDArray

from ..io.arrays import noise_between, spread_over, values_at
from ..io.exposure import Exposure
from ..io.scratch import taken

_SAMPLE = 20_000
_NARROW = 16  # pixels; a side below, with another so many times as long, is that of a spectrum
_LONG = 8
_SMALL = 256  # pixels; models of a PSF are smaller
_SMOOTH = 0.1  # share of a slope
#: A spectrum is a band that stands out by so many sigma over what lies so many rows off, in each of so
#: many parts of its length, of which so many columns are looked at.
_BAND, _AROUND, _PARTS, _COLUMNS = 10.0, 20, 8, 16
#: What the first axis of a spectrum is called.
_SPECTRAL = re.compile(r"(WAVE|AWAV|LAMBDA|FREQ|VELO|VRAD|VOPT|ENER|ZOPT).*", re.IGNORECASE)


def implausible(exposure: Exposure) -> str:
    """Say why an image is hardly one of the sky.

    Parameters
    ----------
    exposure : Exposure

    Returns
    -------
    str
        Such as "it has two values; is it a mask?"; empty where nothing is strange.
    """
    short, long = sorted(exposure.shape)
    header = exposure.header
    if header is not None and _SPECTRAL.fullmatch(str(header.get("CTYPE1", "")).strip()):
        return f"its first axis is {header['CTYPE1']}; is it a spectrum?"
    if short < _NARROW and long > _LONG * short:
        return f"it is {exposure.shape[1]} x {exposure.shape[0]} pixels; is it a spectrum?"
    y, x = spread_over(exposure.shape, _SAMPLE)
    # Together: of an image in a file, one that is read brings its neighbours into memory.
    left, here, right = values_at(exposure.pixels, exposure.mask, y, x + np.array([[-1], [0], [1]]))
    values = here[np.isfinite(here)]
    if not len(values) or (low := values.min()) == (high := values.max()):
        return ""  # nothing is detected there, which is told
    if np.all((values == low) | (values == high)):
        return f"it has two values, {low:g} and {high:g}; is it a mask?"
    noise = noise_between(here, right)
    if _is_psf(exposure, noise):
        return "one smooth peak fills it; is it a model of a PSF?"
    if noise == 0.0:
        return "neighbouring pixels are mostly equal, so it has no noise to compare with; is it a model?"
    if _is_smooth(left, here, right):
        return "it is smooth from pixel to pixel, so it has no noise to compare with; is it a model?"
    if _is_crossed(exposure.pixels, noise) or _is_crossed(exposure.pixels.T, noise):
        return "a bright band crosses it from side to side; is it a spectrum?"
    return ""


def _is_smooth(left: NDArray[np.float32], here: NDArray[np.float32], right: NDArray[np.float32]) -> bool:
    """Whether slopes change by far less than they are, which they never do where there is noise."""
    slopes, changes = np.abs(right - here), np.abs(right - 2 * here + left)
    known = np.isfinite(changes)
    return bool(known.any() and np.median(changes[known]) < _SMOOTH * np.median(slopes[known]))


def _is_crossed(pixels: NDArray[np.float32], noise: float) -> bool:
    """Whether some rows stand out over those around them, from the first column to the last."""
    ny, nx = pixels.shape
    if ny < 2 * _AROUND or nx < _PARTS * _COLUMNS:
        return False
    places = np.arange(_PARTS * _COLUMNS) * nx // (_PARTS * _COLUMNS)
    # Nearly always the first part says no already.
    rows = np.arange(ny)[:, None]
    return all(_has_band(taken(pixels, rows, part), noise) for part in places.reshape(_PARTS, _COLUMNS))


def _has_band(part: NDArray[np.float32], noise: float) -> bool:
    """Whether some rows stand out over those around them in a few columns, all of them finite."""
    if not np.isfinite(part).all():
        return False
    # Medians, by sorting: of so few values that takes NumPy a fifth of the time.
    columns = np.sort(part, axis=1)
    levels = (columns[:, _COLUMNS // 2 - 1] + columns[:, _COLUMNS // 2]) / np.float32(2.0)
    here, above, below = levels[_AROUND:-_AROUND], levels[: -2 * _AROUND], levels[2 * _AROUND :]
    around = np.maximum(np.minimum(above, below), np.minimum(np.maximum(above, below), here))
    bright = here - around > _BAND * noise
    # A row or two may be those of a damaged sensor.
    return bool((bright[2:] & bright[1:-1] & bright[:-2]).any())


def _is_psf(exposure: Exposure, noise: float) -> bool:
    """Whether a single smooth peak stands in the middle and nothing else."""
    pixels = exposure.pixels
    if max(pixels.shape) > _SMALL or min(pixels.shape) < 5 or not np.isfinite(pixels).all():
        return False
    level = float(np.median(pixels))
    light = np.abs(pixels - level)
    top = float(light.max())
    middle = tuple(slice(n // 4, n - n // 4) for n in pixels.shape)
    place = np.unravel_index(int(light.argmax()), pixels.shape)
    is_central = all(abs(k - (n - 1) / 2) <= 0.1 * n for k, n in zip(place, pixels.shape, strict=True))
    return is_central and noise < 2e-3 * top and light[middle].sum() > 0.8 * light.sum()
