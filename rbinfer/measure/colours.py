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
#: Two filters on one diagonal, the green ones, differ by less than this share of the largest difference.
#: Columns that are read by two amplifiers in turn differ on both diagonals.
_GREEN = 0.15


@dataclass(frozen=True, eq=False)
class Pattern:
    """The sky of the four kinds of pixel, where it is not the same.

    Attributes
    ----------
    levels : ndarray of float64, shape (2, 2)
        Of the pixels of each cell of 2 x 2, by row and column, less their mean.
    is_of_colours : bool
        They are like those behind two green filters on a diagonal, a red and a blue one.
    """

    levels: NDArray[np.float64]
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
            None where they differ by less than half of the noise, or too little of the image is good.
        """
        cells = _cells(exposure)
        if cells.shape[1] < _LEAST_CELLS:
            return None
        # Within a cell, a star changes little.
        cells -= cells.mean(axis=0)
        off = np.abs(cells - np.median(cells, axis=1, keepdims=True))
        noise = 1.4826 * float(np.median(off))
        is_sky = off < _CLIP * noise
        if not is_sky.any(axis=1).all():
            return None
        levels = np.average(cells, axis=1, weights=is_sky)
        largest = float(np.ptp(levels))
        if not largest > _DIFFER * noise:
            return None
        diagonals = abs(levels[0] - levels[3]), abs(levels[1] - levels[2])
        return cls(levels.reshape(2, 2), bool(min(diagonals) < _GREEN * largest))

    def take_off(self, part: NDArray[np.float32], rows: slice) -> None:
        """Bring rows of the image to one level.

        Parameters
        ----------
        part : ndarray of float32, shape (n, nx)
            Changed.
        rows : slice
            Which these are.
        """
        for i, j in np.ndindex(2, 2):
            part[(i - rows.start) % 2 :: 2, j::2] -= np.float32(self.levels[i, j])


def _cells(exposure: Exposure) -> NDArray[np.float64]:
    """Return the four kinds of pixel of good cells, shape (4, n).

    Half of the cells begin in odd rows and columns: a slope of the sky cancels, for it goes on from a
    kind to the next in one half and from this to the first in the other.
    """
    pixels, mask = exposure.pixels, exposure.mask
    ny, nx = exposure.shape
    y, x = spread_over(((ny - 1) // 2, (nx - 1) // 2), _CELLS)
    down, right = np.array([[0], [0], [1], [1]]), np.array([[0], [1], [0], [1]])
    even, odd = (values_at(pixels, mask, 2 * y + down + i, 2 * x + right + i) for i in (0, 1))
    cells = np.concatenate([even, odd[::-1]], axis=1).astype(np.float64)
    good: NDArray[np.float64] = cells[:, np.isfinite(cells).all(axis=0)]
    return good
