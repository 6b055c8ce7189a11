"""Images whose numbers are too large or too small for what is computed with 32 bits."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.constants import LARGEST, SMALLEST
from .scratch import taken

log = logging.getLogger(__name__)

#: Values that reach this are not too small, however little they scatter: a model has no noise.
_SMALL = 1e-28
_LARGE = float(LARGEST)
_LOST = 0.5  # of the noise: larger steps of the numbers are seen in verdicts
_FEW = 2  # values that a program may have put where there are none


def tell_magnitude(pixels: NDArray[np.floating], y: NDArray[np.int64], x: NDArray[np.int64]) -> None:
    """Warn of an image in a unit that makes its numbers too large or too small.

    Then most values count as not finite (`rbinfer.kernels.constants.LARGEST`), or the noise as none
    (`rbinfer.kernels.constants.SMALLEST`).

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        As the caller has them.
    y, x : ndarray of int64, shape (n,)
        Pixels that tell.
    """
    values = taken(pixels, y, x)
    values = np.abs(values[np.isfinite(values)])
    largest = float(values.max(initial=0))
    if _SMALL <= largest < _LARGE or largest == 0:
        return
    if largest >= _LARGE:
        # Each once: what stands for missing pixels may fill most of the image.
        values = np.unique(values[values > 0]).astype(np.float64)
        typical = float(np.median(values))
        if typical >= _LARGE and np.count_nonzero(values >= _LARGE) > _FEW:
            _warn(f"values are about {typical:.2g}", f"{_LARGE:g} or more", typical)
        return
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.abs(taken(pixels, y, np.minimum(x + 1, pixels.shape[1] - 1)) - taken(pixels, y, x))
    steps = steps[np.isfinite(steps)].astype(np.float64)
    noise = _noise_of(steps) if len(steps) else 0.0
    scatter = noise if noise > 0 else largest
    if scatter < SMALLEST and np.abs(pixels[np.isfinite(pixels)]).max() < _SMALL:
        _warn(f"values scatter by {scatter:.2g}", f"less than {SMALLEST:g}", scatter)


def tell_lost_digits(pixels: NDArray[Any], y: NDArray[np.int64], x: NDArray[np.int64]) -> None:
    """Warn of an image whose values are so large beside its noise that 32 bits do not hold it.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        As the caller has them.
    y, x : ndarray of int64, shape (n,)
        Pixels that tell.
    """
    here, beside = (taken(pixels, y, at) for at in (x, np.minimum(x + 1, pixels.shape[1] - 1)))
    here, beside = here.astype(np.float64), beside.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.abs(beside - here)
    steps, values = steps[np.isfinite(steps)], here[np.isfinite(here)]
    if not len(steps):
        return
    level, noise = float(np.median(values)), _noise_of(steps)
    step = float(np.spacing(np.float32(abs(level)))) if abs(level) < _LARGE else 0.0
    if step > _LOST * noise > 0:
        log.warning(
            "the image's values are about %.3g with a noise of %.2g, but 32 bits hold steps of %.2g "
            "there: its scores are those of a coarser image; subtract a constant from it, and from what "
            "belongs to it",
            level,
            noise,
            step,
        )


def _noise_of(steps: NDArray[np.float64]) -> float:
    """Return the noise of a pixel from differences of neighbours."""
    return float(1.4826 / np.sqrt(2.0) * np.median(steps))


def _warn(found: str, limit: str, value: float) -> None:
    log.warning(
        "the image's %s, and %s cannot be computed with: no score of it is right; change its unit, "
        "such as by multiplying it, and what belongs to it, by 1e%+.0f",
        found,
        limit,
        -np.floor(np.log10(value)),
    )
