"""Images whose numbers are too large or too small for what is computed with 32 bits."""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..kernels.constants import LARGEST, SMALLEST
from .scratch import taken

#: Values that reach this are not too small, however little they scatter: a model has no noise.
_SMALL = 1e-28
_LARGE = float(LARGEST)
_FEW = 2  # values that a program may have put where there are none


def check_magnitude(pixels: NDArray[np.floating], y: NDArray[np.int64], x: NDArray[np.int64]) -> None:
    """Refuse an image in a unit that makes its numbers too large or too small.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        As the caller has them.
    y, x : ndarray of int64, shape (n,)
        Pixels that tell.

    Raises
    ------
    InputError
        Most values count as not finite, see `rbinfer.kernels.constants.LARGEST`, or the noise as none,
        see `rbinfer.kernels.constants.SMALLEST`.
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
            raise InputError(_message(f"values are about {typical:.2g}", f"{_LARGE:g} or more", typical))
        return
    steps = np.abs(taken(pixels, y, np.minimum(x + 1, pixels.shape[1] - 1)) - taken(pixels, y, x))
    steps = steps[np.isfinite(steps)].astype(np.float64)
    noise = 1.4826 / np.sqrt(2.0) * np.median(steps) if len(steps) else 0.0
    scatter = float(noise) if noise > 0 else largest
    if scatter < SMALLEST and np.abs(pixels[np.isfinite(pixels)]).max() < _SMALL:
        raise InputError(
            _message(f"values scatter by {scatter:.2g}", f"less than {SMALLEST:g}", scatter)
        )


def _message(found: str, limit: str, value: float) -> str:
    return (
        f"the image's {found}, and {limit} cannot be computed with: change its unit, such as by "
        f"multiplying it, and what belongs to it, by 1e{-np.floor(np.log10(value)):+.0f}"
    )
