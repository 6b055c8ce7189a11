"""An image at a binning, read a band at a time: one that is large is halved while it is read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..io.scratch import release, taken

Pixels = NDArray[np.float32]

_BAND = 1 << 21  # pixels that are walked over at a time
#: Pixels of an image whose half, along both axes, is kept; that of a larger one is computed each time.
_KEPT = 1 << 24


@dataclass(frozen=True)
class Layer:
    """An image, or the means of its squares of 2 x 2 pixels.

    Attributes
    ----------
    image : ndarray of float32, shape (ny, nx)
        NaN where bad.
    is_halved : bool
        The means are meant; NaN where one of the four pixels is.
    """

    image: Pixels
    is_halved: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ny, nx = self.image.shape
        return (ny // 2, nx // 2) if self.is_halved else (ny, nx)

    def rows(self, first: int, last: int) -> Pixels:
        """Return rows from `first` until before `last`."""
        if not self.is_halved:
            return self.image[first:last]
        return _halved(self.image[2 * first : 2 * last, : 2 * self.shape[1]])

    def at(self, y: NDArray[Any], x: NDArray[Any]) -> Pixels:
        """Return pixels at rows and columns, arrays of shapes that broadcast."""
        if not self.is_halved:
            return taken(self.image, y, x)
        # All four together: of an image in a file, one that is read brings its neighbours into memory.
        both = np.arange(2).reshape(2, *[1] * np.broadcast(y, x).ndim)
        upper, lower = taken(self.image, 2 * y + both[:, None], 2 * x + both)
        left, right = upper + lower
        mean: Pixels = np.float32(0.25) * (left + right)
        return mean

    def bands(self, unit: int, n: int) -> Iterator[tuple[int, int]]:
        """Yield first and last rows of bands of whole units, of which there are `n`.

        What was read of a band may leave the memory when the next one is asked for.
        """
        step = max(_BAND // (unit * self.shape[1]), 1) * unit
        for first in range(0, n * unit, step):
            yield first, min(first + step, n * unit)
            release(self.image)

    def halved(self) -> Self:
        """Return the layer with half as many pixels along both axes."""
        if not self.is_halved and self.image.size > _KEPT:
            return type(self)(self.image, is_halved=True)
        ny, nx = (n // 2 for n in self.shape)
        small = np.empty((ny, nx), np.float32)
        for first, last in self.bands(2, ny):
            small[first // 2 : last // 2] = _halved(self.rows(first, last)[:, : 2 * nx])
        return type(self)(small)


def _halved(rows: Pixels) -> Pixels:
    sums = rows[0::2] + rows[1::2]
    small = sums[:, 0::2] + sums[:, 1::2]
    small *= np.float32(0.25)
    return small
