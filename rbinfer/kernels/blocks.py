"""One walk over an image for all that the search for its stars asks of each pixel."""

from typing import Any

import numpy as np

from .constants import BLOCK_SIDE, LARGEST
from .jit import jit


@jit
def _halve(rows: Any, a: Any, b: Any, sums: Any, half: Any) -> None:
    """Fill a row with means of 2 x 2 pixels of two rows."""
    for x in range(sums.size):
        sums[x] = rows[a, np.uint64(x)] + rows[b, np.uint64(x)]
    for x in range(half.size):
        half[x] = np.float32(0.25) * (sums[np.uint64(2 * x)] + sums[np.uint64(2 * x + 1)])


@jit
def survey_blocks(rows: Any, highest: Any, sums: Any, tops: Any, half: Any, bad: Any) -> None:
    """Find the brightest pixel of each block, halve the image, and count the bad pixels.

    Parameters
    ----------
    rows : array of float32, (ny, nx)
        Rows of an image, from the first of a block.
    highest, sums : array of float32, (nx,)
        To work in.
    tops : array of float32, (ny // `BLOCK_SIDE`, nx // `BLOCK_SIDE`)
        Result; NaN does not count, and of nothing else the brightest is minus infinity.
    half : array of float32, (ny // 2, nx // 2), or (0, 0) where none is wanted
        Result: means of 2 x 2 pixels, NaN where one of them is.
    bad : array of int64, (1,)
        Pixels that are not finite, or beyond `LARGEST`, are added.
    """
    height, width = rows.shape
    for top in range(0, height, BLOCK_SIDE):
        for x in range(width):
            highest[x] = -np.inf
        for i in range(top, min(top + BLOCK_SIDE, height), 2):
            # The last of an odd number of rows is looked at twice.
            a, b = np.uint64(i), np.uint64(min(i + 1, height - 1))
            n_good = np.int32(0)
            for x in range(width):
                here, below = rows[a, np.uint64(x)], rows[b, np.uint64(x)]
                n_good = np.int32(n_good + (abs(here) < LARGEST) + (abs(below) < LARGEST))
                # NaN compares false.
                before = highest[x]
                before = here if here > before else before
                highest[x] = below if below > before else before
            bad[0] += 2 * width - n_good
            if i // 2 < half.shape[0]:
                _halve(rows, a, b, sums, half[np.uint64(i // 2)])
        k = top // BLOCK_SIDE
        if k < tops.shape[0]:
            for j in range(tops.shape[1]):
                brightest = highest[np.uint64(j * BLOCK_SIDE)]
                for x in range(1, BLOCK_SIDE):
                    value = highest[np.uint64(j * BLOCK_SIDE + x)]
                    brightest = value if value > brightest else brightest
                tops[np.uint64(k), np.uint64(j)] = brightest
