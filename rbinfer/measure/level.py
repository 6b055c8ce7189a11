"""The level of a frame's background and its noise, in a few milliseconds, from some of its rows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..io.arrays import median
from ..io.exposure import Exposure

_PIXELS = 1 << 18  # that are looked at, about
_LEAST = 100  # good pixels; fewer tell nothing
_LEAST_PARTS = 4  # of nine; of fewer the frame's evenness is not known
_EVERY = 2  # columns, of which one is enough for the medians of parts
_KEPT = 0.9  # of the differences; the largest are of sources and hits
#: RMS of a normal distribution of width 1 without the tenth that is furthest from its middle:
#: sqrt(1 - 2 a phi(a) / 0.9) with a = 1.6449.
_TRIMMED = 0.7893


class Level(NamedTuple):
    """The background of a frame, and the noise of a pixel.

    Attributes
    ----------
    background, noise : float
        Units of the image.
    range : float
        The largest less the smallest median of nine parts of the frame, units of the image; NaN where
        too few of them have good pixels enough.
    """

    background: float
    noise: float
    range: float


def measure_level(exposure: Exposure) -> Level | None:
    """Measure background, noise and evenness on rows that are spread over the frame.

    The background is the median. The noise is from the differences of neighbours in a row, which
    gradients do not widen: their RMS without the largest tenth. Noise that is correlated between
    neighbours, as in resampled images, is underestimated.

    Parameters
    ----------
    exposure : Exposure

    Returns
    -------
    Level or None
        None where there are too few good pixels.
    """
    ny, nx = exposure.shape
    step = max(1, ny * nx // _PIXELS)
    pixels = exposure.pixels[step // 2 :: step].astype(np.float64)
    if exposure.mask is not None:
        pixels[exposure.mask[step // 2 :: step]] = np.nan
    good = pixels[np.isfinite(pixels)]
    steps = np.diff(pixels, axis=1)
    steps = steps[np.isfinite(steps)]
    if min(good.size, steps.size) < _LEAST:
        return None
    away = np.abs(steps - median(steps))
    noise = float(_trimmed_rms(away) / np.sqrt(2.0))
    return Level(median(good), noise, _range(pixels[:, ::_EVERY]))


def _range(pixels: NDArray[np.float64]) -> float:
    """Return by how much the medians of nine parts of the rows differ."""
    parts = (part for rows in np.array_split(pixels, 3) for part in np.array_split(rows, 3, axis=1))
    good = (part[np.isfinite(part)] for part in parts)
    medians = [median(part) for part in good if part.size >= _LEAST]
    return max(medians) - min(medians) if len(medians) >= _LEAST_PARTS else float("nan")


def _trimmed_rms(away: NDArray[np.float64]) -> float:
    n = int(_KEPT * away.size)
    least = np.partition(away, n - 1)[:n]
    return float(np.sqrt(np.mean(least**2))) / _TRIMMED
