"""What every second row and column of an image has of its own: colour filters, or amplifiers in turn."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..io.arrays import spread_over, values_at
from ..io.exposure import Exposure

_CELLS = 2_500  # of 2 x 2 pixels from even rows and columns on, and of as many from odd ones on
#: Good cells; of fewer, noise alone looks like a pattern.
_LEAST_CELLS = 256
_CLIP = 3.0  # sigma; beyond are stars and hits
#: The levels of the sky differ by more than this share of the noise. 77 images of a dozen cameras
#: without such filters reach 0.08, those of a DSLR under a bright sky 7.
_DIFFER = 0.5
#: Of so many cells of each, less than this share of the noise says that there is no pattern.
_FIRST, _HARDLY = 250, 0.25
#: Two filters on one diagonal, the green ones, differ by less than this share of the largest difference.
#: Columns that are read by two amplifiers in turn differ on both diagonals.
_GREEN = 0.15
#: Bands of rows and of columns that must agree within this share of it: noise of rows differs in each.
_BANDS, _AGREE = 4, 0.5


@dataclass(frozen=True, eq=False)
class Pattern:
    """The sky of the four kinds of pixel, where it is not the same.

    Attributes
    ----------
    levels : ndarray of float64, shape (4,)
        Of the pixels of each cell of 2 x 2, by row and column, less their mean.
    noise : float
        Of a pixel.
    is_of_colours : bool
        The levels are like those behind two green filters on a diagonal, a red and a blue one.
    """

    levels: NDArray[np.float64]
    noise: float
    is_of_colours: bool

    @classmethod
    def of(cls, exposure: Exposure) -> Self | None:
        """Compare the sky of the four kinds of pixel.

        Parameters
        ----------
        exposure : Exposure

        Returns
        -------
        Pattern or None
            None where they differ by less than half of the noise, by less than half of a step of
            rounded pixels, or not everywhere alike; or too little of the image is good.
        """
        first, _ = _cells(exposure, _FIRST)
        if first.shape[1] >= _LEAST_CELLS:
            levels, noise, _ = _sky(first)
            if np.ptp(levels) <= _HARDLY * noise:
                return None
        cells, places = _cells(exposure, _CELLS)
        if cells.shape[1] < _LEAST_CELLS:
            return None
        levels, noise, is_sky = _sky(cells)
        largest = float(np.ptp(levels))
        if not largest > _DIFFER * noise:  # NaN where one kind has no sky
            return None
        for place in places:
            order = np.argsort(place, kind="stable")
            for band in np.array_split(order, _BANDS):
                if not np.ptp(_levels(cells[:, band], is_sky[:, band]) - levels) < _AGREE * largest:
                    return None
        diagonals = abs(levels[0] - levels[3]), abs(levels[1] - levels[2])
        return cls(levels, noise, bool(min(diagonals) < _GREEN * largest))


def _sky(cells: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, NDArray[np.bool_]]:
    """Return the sky of each kind of pixel, (4,), the noise, and which pixels (4, n) are of the sky."""
    off = np.abs(cells - np.median(cells, axis=1, keepdims=True))
    noise = 1.4826 * float(np.median(off))
    if noise == 0.0 and off.any():  # the steps of rounded pixels are wider than it
        noise = float(off[off > 0].min())
    is_sky = off <= _CLIP * noise
    return _levels(cells, is_sky), noise, is_sky


def _levels(cells: NDArray[np.float64], is_sky: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean sky of each kind of pixel, shape (4,); NaN without any."""
    n = is_sky.sum(axis=1)
    sums = np.where(is_sky, cells, 0.0).sum(axis=1)
    levels: NDArray[np.float64] = np.where(n > 0, sums / np.maximum(n, 1), np.nan)
    return levels


def _cells(exposure: Exposure, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the four kinds of pixel of good cells, shape (4, n), and their rows and columns, (2, n).

    Of each cell its mean is taken off: within it, a star changes little. Half of the cells begin in odd
    rows and columns: a slope of the sky cancels, for it goes on from a kind to the next in one half and
    from this to the first in the other.
    """
    pixels, mask = exposure.pixels, exposure.mask
    ny, nx = exposure.shape
    y, x = spread_over(((ny - 1) // 2, (nx - 1) // 2), count)
    down, right = np.array([[0], [0], [1], [1]]), np.array([[0], [1], [0], [1]])
    even, odd = (values_at(pixels, mask, 2 * y + down + i, 2 * x + right + i) for i in (0, 1))
    cells = np.concatenate([even, odd[::-1]], axis=1).astype(np.float64)
    good = np.isfinite(cells).all(axis=0)
    cells = cells[:, good]
    return cells - cells.mean(axis=0), np.tile([y, x], 2)[:, good]
