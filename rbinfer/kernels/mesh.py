"""The level and the noise of the sky in the cells of a mesh.

The estimate is that of SExtractor (Bertin & Arnouts 1996, A&AS 117, 393): a histogram of the pixels of a
cell is clipped at three sigma around its median until that settles, and a median that lies near the mean
is carried on towards the mode.
"""

import math
from typing import Any

import numpy as np

from .constants import LARGEST, MOST_LEVELS
from .jit import jit

# Sigmas around the mean within which pixels count, and those that the histogram has room for.
_FIRST_CUT, _REACH = 2.0, 5.0
# Levels of the histogram a pixel: as many as put four pixels into the fullest level.
_LEVELS_A_PIXEL = math.sqrt(2.0 / math.pi) * _REACH / 4.0
_CLIP = 3.0
_MOST_ROUNDS, _SETTLED, _FINE = 100, 1e-4, 0.1
# The mode is 2.5 medians less 1.5 means, where these lie within so many sigma of each other.
_MEDIANS, _MEANS, _NEAR = 2.5, 1.5, 0.3


@jit
def _sums(
    image: Any, mask: Any, has_mask: bool, top: int, left: int, h: int, w: int, low: Any, high: Any,
    columns: Any,
) -> Any:  # fmt: skip
    """Return number, sum and sum of squares of good pixels from `low` to `high`, by way of columns."""
    for j in range(w):
        for k in range(3):
            columns[k, j] = 0.0
    for i in range(h):
        a = np.uint64(top + i)
        for j in range(w):
            b = np.uint64(left + j)
            value = image[a, b]
            is_in = low <= value <= high and abs(value) < LARGEST
            if has_mask:
                is_in = is_in and not mask[a, b]
            kept = np.float64(value) if is_in else 0.0
            columns[0, j] += 1.0 if is_in else 0.0
            columns[1, j] += kept
            columns[2, j] += kept * kept
    n = total = squares = 0.0
    for j in range(w):
        n += columns[0, j]
        total += columns[1, j]
        squares += columns[2, j]
    return n, total, squares


@jit
def _mean_and_sigma(n: Any, total: Any, squares: Any) -> Any:
    mean = total / n
    return mean, math.sqrt(max(squares / n - mean * mean, 0.0))


@jit
def _count(
    image: Any, mask: Any, has_mask: bool, top: int, left: int, h: int, w: int, zero: Any, step: Any,
    n_levels: int, below: Any,
) -> None:  # fmt: skip
    """Fill `below`: of the pixels below each level their number, and sums of level and of its square."""
    for k in range(n_levels + 1):
        below[0, k] = 0
    inverse, shift = 1.0 / step, 0.499999 - zero / step
    for i in range(h):
        a = np.uint64(top + i)
        for j in range(w):
            b = np.uint64(left + j)
            value = image[a, b]
            if has_mask and mask[a, b]:
                continue
            place = np.float64(value) * inverse + shift
            if 0.0 <= place < n_levels:
                below[0, np.uint64(np.int64(place) + 1)] += 1
    count = first = second = 0
    below[1, 0] = below[2, 0] = 0
    for k in range(n_levels):
        here = below[0, k + 1]
        count += here
        first += here * k
        second += here * k * k
        below[0, k + 1], below[1, k + 1], below[2, k + 1] = count, first, second


@jit
def _median_level(below: Any, low: int, high: int, n_levels: int) -> Any:
    """Return the median of the pixels at levels from `low` up to `high`, interpolated as by SExtractor.

    The level with the median counts with the fuller of itself and of its neighbour on the lighter side.
    """
    base = below[0, low]
    total = below[0, high + 1] - base
    # The first level up to which there is half of them.
    first, last = low, high
    while first < last:
        middle = (first + last) >> 1
        if 2 * (below[0, middle + 1] - base) >= total:
            last = middle
        else:
            first = middle + 1
    under, here = below[0, first] - base, below[0, first + 1] - below[0, first]
    over = total - under - here
    if under < over:
        after = min(first + 1, n_levels - 1)
        beside = below[0, after + 1] - below[0, after]
        return first + 0.5 + 0.5 * (over - under - here) / max(here, beside)
    before = max(first - 1, 0)
    beside = below[0, before + 1] - below[0, before]
    return first - 0.5 + 0.5 * (over + here - under) / max(here, beside)


@jit
def _settled(below: Any, n_levels: int) -> Any:
    """Return median, mean and sigma of the clipped histogram, in levels."""
    low: Any = np.int64(0)
    high = n_levels - 1
    sigma, before = 10.0 * n_levels, 1.0
    mean = median = 0.0
    rounds = 0
    while rounds < _MOST_ROUNDS and sigma >= _FINE and abs(sigma / before - 1.0) > _SETTLED:
        before = sigma
        n = below[0, high + 1] - below[0, low]
        if n == 0:
            sigma = 0.0
            break
        median = _median_level(below, low, high, n_levels)
        mean, sigma = _mean_and_sigma(
            np.float64(n),
            np.float64(below[1, high + 1] - below[1, low]),
            np.float64(below[2, high + 1] - below[2, low]),
        )
        low = max(math.floor(median - _CLIP * sigma + 0.5), 0)
        high = max(min(math.floor(median + _CLIP * sigma + 0.5), n_levels - 1), low)
        rounds += 1
    return median, mean, sigma


@jit
def measure_mesh(
    image: Any, mask: Any, has_mask: bool, side: int, first: int, last: int, least_share: float,
    least_good: int, level: Any, noise: Any, highest: Any, columns: Any, below: Any,
) -> None:  # fmt: skip
    """Measure rows of cells of a mesh, from `first` until before `last`.

    Parameters
    ----------
    image : array of float32, (ny, nx)
    mask : array of bool, (ny, nx), or (1, 1) without one
    has_mask : bool
    side : int
        Of the cells, pixels.
    first, last : int
    least_share : float
        Of the pixels of a cell that must be good.
    least_good : int
        How many must be, at least 1.
    level, noise : array of float64, (rows, columns)
        Results; NaN for a cell with fewer good pixels.
    highest : array of float64, (rows, columns)
        Result: two sigma above the mean of all good pixels, which no sky is.
    columns : array of float64, (3, side)
        To work in.
    below : array of int64, (3, `MOST_LEVELS` + 1)
        To work in.
    """
    height, width = image.shape
    for cy in range(first, last):
        top = cy * side
        h = min(side, height - top)
        for cx in range(level.shape[1]):
            left = cx * side
            w = min(side, width - left)
            n, total, squares = _sums(image, mask, has_mask, top, left, h, w, -LARGEST, LARGEST, columns)
            level[cy, cx] = noise[cy, cx] = highest[cy, cx] = np.nan
            if n < max(least_share * h * w, least_good):
                continue
            mean, sigma = _mean_and_sigma(n, total, squares)
            highest[cy, cx] = mean + _FIRST_CUT * sigma
            low, high = np.float32(mean - _FIRST_CUT * sigma), np.float32(mean + _FIRST_CUT * sigma)
            n, total, squares = _sums(image, mask, has_mask, top, left, h, w, low, high, columns)
            if n > 0:
                mean, sigma = _mean_and_sigma(n, total, squares)
            level[cy, cx], noise[cy, cx] = mean, 0.0
            # Sums of squares leave rounding errors where all pixels are alike.
            if not sigma > 1e-7 * abs(mean) or n == 0:
                continue
            n_levels = min(np.int64(_LEVELS_A_PIXEL * n + 1.0), MOST_LEVELS)
            step, zero = 2.0 * _REACH * sigma / n_levels, mean - _REACH * sigma
            _count(image, mask, has_mask, top, left, h, w, zero, step, n_levels, below)
            median, average, spread = _settled(below, n_levels)
            if spread > 0.0 and abs(average - median) < _NEAR * spread:
                average = _MEDIANS * median - _MEANS * average
            elif spread > 0.0:
                average = median
            level[cy, cx] = zero + average * step
            noise[cy, cx] = spread * step
