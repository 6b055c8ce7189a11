"""The FWHM of a PSF in the measure that holds everywhere: that of the best-fitting Gaussian."""

import math

import numpy as np
from numpy.typing import NDArray

from rbinfer.measure.profiles import FWHM_PER_SIGMA, fit_ellipses, fit_round

from .._arrays import F32, F64

#: Fitted is what lies within so many FWHM of the star, as a measurement on a frame does; and at least
#: so many pixels.
_REACH, _LEAST = 2.2, 2.3
#: Axes further apart than this factor make a streak.
_STREAK = 1.65
#: Below this FWHM, pixels, the fit of an ellipse does not hold, and all images are round.
_NARROW = 1.5
#: Wider stars are binned to about this FWHM first, pixels: the fit is the same and much faster.
_WIDE = 8.0


def gaussian_fwhm(stamps: F32, guess: float) -> float:
    """Return the FWHM of the Gaussian that fits a PSF best, integrated over pixels and on a free sky.

    The Gaussian is round; for a streak it is an ellipse, and its FWHM that of the circle of equal area,
    which is the geometric mean of the axes. A Moffat profile of beta 3 is a tenth wider in this measure
    than at half maximum, and an undersampled one more, for its wings fill the neighbouring pixels.

    Parameters
    ----------
    stamps : array, shape (zones, phases, n, n)
        float32, of a star at many sub-pixel positions; n is odd.
    guess : float
        FWHM to start from, pixels.

    Returns
    -------
    float
        Pixels; the mean over the zones of the median over some of the positions.
    """
    zones, phases, n, _ = stamps.shape
    chosen = _positions(math.isqrt(phases), 5 if guess < 2 else 3 if guess < 4 else 1)
    factor = max(1, int(guess / _WIDE))
    small, width = _binned(stamps[:, chosen].reshape(-1, n, n), factor), guess / factor
    half = small.shape[1] // 2
    reach = max(_REACH * width, _LEAST)
    cut = slice(half - min(half, int(reach) + 1), half + min(half, int(reach) + 1) + 1)
    data = np.ascontiguousarray(small[:, cut, cut]) * np.float32(100)
    u = np.arange(data.shape[1]) - data.shape[1] // 2
    inside = (np.hypot(u[:, None], u) <= reach).astype(np.float32)
    weights = np.broadcast_to(inside, data.shape).copy()
    start: F64 = np.full(len(data), width / FWHM_PER_SIGMA)
    largest = 2 * reach
    fits = fit_round(data, weights, start, largest)
    elongation = 2 * float(np.median(np.hypot(*fits.shape.T)))
    if elongation > math.log(_STREAK) and guess > _NARROW:
        fits = fit_ellipses(data, weights, fits.sigma, fits.shape, largest)
    sigma = np.median(fits.sigma.reshape(zones, -1), axis=1)
    # Platforms agree on a thousandth of a pixel; on more decimals of a fit they need not.
    return round(float(sigma.mean()) * FWHM_PER_SIGMA * factor, 3)


def _positions(side: int, few: int) -> NDArray[np.intp]:
    """Indices of `few` x `few` sub-pixel positions of `side` x `side`, spread evenly."""
    along = ((np.arange(few) + 0.5) / few * side).astype(np.intp)
    return np.ravel(along[:, None] * side + along)


def _binned(stamps: F32, factor: int) -> F32:
    """Sum pixels in square blocks of `factor`, an odd number of them, about the middle of each stamp."""
    if factor == 1:
        return stamps
    side = stamps.shape[1]
    keep = side // factor - (side // factor + 1) % 2
    first = (side - keep * factor) // 2
    cut = stamps[:, first : first + keep * factor, first : first + keep * factor]
    blocks: F32 = cut.reshape(len(stamps), keep, factor, keep, factor).sum(axis=(2, 4))
    return blocks
