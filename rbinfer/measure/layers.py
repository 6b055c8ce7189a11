"""An image at a binning, read a band at a time: one that is large is halved while it is read."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..io.scratch import release, taken
from ..kernels.constants import BLOCK_SIDE

Pixels = NDArray[np.float32]

_BAND = 1 << 21  # pixels that are walked over at a time
#: Pixels of an image whose half, along both axes, is kept; that of a larger one is computed each time.
_KEPT = 1 << 24


class _Survey(NamedTuple):
    """What `rbinfer.kernels.blocks.survey_blocks` finds in an image."""

    tops: Pixels
    half: Pixels
    is_good: bool


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
        return _halved(self.image[2 * first : 2 * min(last, self.shape[0])])

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
        step = max(_BAND // max(unit * self.shape[1], 1), 1) * unit
        for first in range(0, n * unit, step):
            yield first, min(first + step, n * unit)
            release(self.image)

    @property
    def is_good(self) -> bool:
        """Whether all pixels are finite, and within `rbinfer.kernels.constants.LARGEST`."""
        return self._survey.is_good

    @property
    def tops(self) -> Pixels:
        """Brightest pixels of blocks, `rbinfer.kernels.constants.BLOCK_SIDE` on a side."""
        return self._survey.tops

    def halved(self) -> Self:
        """Return the layer with half as many pixels along both axes."""
        return type(self)(self._survey.half) if self._keeps_half else type(self)(self.image, True)

    @property
    def _keeps_half(self) -> bool:
        return self.is_halved or self.image.size <= _KEPT

    @cached_property
    def _survey(self) -> _Survey:
        """All that is asked of each pixel, from one walk."""
        ny, nx = self.shape
        tops = np.empty((ny // BLOCK_SIDE, nx // BLOCK_SIDE), np.float32)
        half = np.empty((ny // 2, nx // 2) if self._keeps_half else (0, 0), np.float32)
        bad = 0
        for first, last in self.bands(BLOCK_SIDE, -(-ny // BLOCK_SIDE)):
            blocks = slice(first // BLOCK_SIDE, last // BLOCK_SIDE)
            bad += _surveyed(self.rows(first, last), tops[blocks], half[first // 2 : last // 2])
        return _Survey(tops, half, bad == 0)


def _surveyed(rows: Pixels, tops: Pixels, half: Pixels) -> int:
    """Fill brightest pixels and means; return how many pixels are bad."""
    from ..kernels.dispatch import survey_blocks

    lines, bad = np.empty((2, rows.shape[1]), np.float32), np.zeros(1, np.int64)
    survey_blocks(rows, lines[0], lines[1], tops, half, bad)
    return int(bad[0])


def _halved(rows: Pixels) -> Pixels:
    half = np.empty((len(rows) // 2, rows.shape[1] // 2), np.float32)
    _surveyed(rows, np.empty((0, 0), np.float32), half)
    return half
