"""The level and the noise of the sky in the cells of a mesh.

The estimate is that of SExtractor (Bertin & Arnouts 1996, A&AS 117, 393): a histogram of the pixels of a
cell is clipped at three sigma around its median until that settles, and a median that lies near the mean
is carried on towards the mode.
"""

import math
from typing import Any

import numpy as np

from .constants import LARGEST, LEVELS_A_BLOCK, MOST_LEVELS
from .jit import jit

#: The largest value below `LARGEST`.
_HIGHEST = np.nextafter(LARGEST, np.float32(0.0))
# Sigmas around the mean within which pixels count, and those that the histogram has room for.
_FIRST_CUT, _REACH = 2.0, 5.0
# Levels of the histogram a pixel: as many as put four pixels into the fullest level.
_LEVELS_A_PIXEL = math.sqrt(2.0 / math.pi) * _REACH / 4.0
_CLIP = 3.0
_MOST_ROUNDS, _SETTLED, _FINE = 100, 1e-4, 0.1
# The mode is 2.5 medians less 1.5 means, where these lie within so many sigma of each other.
_MEDIANS, _MEANS, _NEAR = 2.5, 1.5, 0.3


@jit
def _fetch(
    image: Any, mask: Any, has_mask: bool, top: int, left: int, h: int, w: int, cell: Any
) -> None:  # fmt: skip
    """Copy the pixels of a cell, NaN where masked: rows of an image may lie where one drives another
    out of the cache.
    """
    for i in range(h):
        a, start = np.uint64(top + i), i * w
        for j in range(w):
            cell[np.uint64(start + j)] = image[a, np.uint64(left + j)]
        if has_mask:
            for j in range(w):
                if mask[a, np.uint64(left + j)]:
                    cell[np.uint64(start + j)] = np.nan


@jit
def _kept(value: Any, low: Any, high: Any) -> Any:
    """Return a pixel and 1, or 0 and 0 if it is not from `low` to `high`."""
    is_in = low <= value <= high
    return np.float64(value if is_in else np.float32(0.0)), np.int32(is_in)


@jit
def _sums(cell: Any, h: int, w: int, low: Any, high: Any, columns: Any, numbers: Any) -> Any:
    """Return number, sum and sum of squares of pixels from `low` to `high`, by way of columns.

    Pixels are added to their column in the order of the rows, but four at a time: the sums then go to
    and from the cache a quarter as often.
    """
    for j in range(w):
        columns[0, j] = columns[1, j] = 0.0
        numbers[j] = 0
    whole = h - h % 4
    for i in range(0, whole, 4):
        a = i * w
        b, c, d = a + w, a + 2 * w, a + 3 * w
        for j in range(w):
            p, n_p = _kept(cell[np.uint64(a + j)], low, high)
            q, n_q = _kept(cell[np.uint64(b + j)], low, high)
            r, n_r = _kept(cell[np.uint64(c + j)], low, high)
            s, n_s = _kept(cell[np.uint64(d + j)], low, high)
            numbers[j] = np.int32(numbers[j] + n_p + n_q + n_r + n_s)
            columns[0, j] = columns[0, j] + p + q + r + s
            columns[1, j] = columns[1, j] + p * p + q * q + r * r + s * s
    for i in range(whole, h):
        for j in range(w):
            p, n_p = _kept(cell[np.uint64(i * w + j)], low, high)
            numbers[j] = np.int32(numbers[j] + n_p)
            columns[0, j] += p
            columns[1, j] += p * p
    n, total, squares = np.int64(0), 0.0, 0.0
    for j in range(w):
        n += numbers[j]
        total += columns[0, j]
        squares += columns[1, j]
    return np.float64(n), total, squares


@jit
def _mean_and_sigma(n: Any, total: Any, squares: Any) -> Any:
    mean = total / n
    return mean, math.sqrt(max(squares / n - mean * mean, 0.0))


@jit
def _count(
    cell: Any, n_pixels: int, zero: Any, step: Any, n_levels: int, counts: Any, places: Any, below: Any
) -> None:  # fmt: skip
    """Count the pixels at each level, and fill `below`, which sums the levels before each block up.

    It has the number of their pixels, and sums of level and of its square.
    """
    n_blocks = (n_levels + LEVELS_A_BLOCK - 1) // LEVELS_A_BLOCK
    for k in range(n_blocks * LEVELS_A_BLOCK):
        counts[k] = 0
    inverse, shift = 1.0 / step, 0.499999 - zero / step
    # What lies outside is counted behind the last block.
    outside = np.float64(n_blocks * LEVELS_A_BLOCK)
    for i in range(0, n_pixels, places.size):
        n = min(places.size, n_pixels - i)
        for j in range(n):
            place = np.float64(cell[np.uint64(i + j)]) * inverse + shift
            places[j] = np.int32(place if 0.0 <= place < n_levels else outside)
        for j in range(n):
            counts[np.uint64(places[j])] += 1
    count = first = second = np.int64(0)
    for k in range(n_blocks):
        below[0, k], below[1, k], below[2, k] = count, first, second
        start = k * LEVELS_A_BLOCK
        n, total, squares = _sums_of_levels(counts, start, LEVELS_A_BLOCK)
        count += n
        first += start * n + total
        second += start * start * n + 2 * start * total + squares


@jit
def _sums_of_levels(counts: Any, start: int, n: int) -> Any:
    """Return number, sum and sum of squares of levels, counted from `start`, of pixels at the next n."""
    count = total = squares = np.int32(0)
    for r in range(LEVELS_A_BLOCK):
        level = np.int32(r)
        here = np.int32(counts[np.uint64(start + r)] if r < n else 0)
        count = np.int32(count + here)
        total = np.int32(total + here * level)
        squares = np.int32(squares + here * level * level)
    return np.int64(count), np.int64(total), np.int64(squares)


@jit
def _sums_below(counts: Any, below: Any, level: int) -> Any:
    """Return number, sum and sum of squares of the levels of pixels that lie below one."""
    k = (level - 1) // LEVELS_A_BLOCK if level > 0 else 0
    start = k * LEVELS_A_BLOCK
    n, total, squares = _sums_of_levels(counts, start, level - start)
    return (
        below[0, k] + n,
        below[1, k] + start * n + total,
        below[2, k] + start * start * n + 2 * start * total + squares,
    )


@jit
def _median_level(
    counts: Any, below: Any, low: int, high: int, base: Any, total: Any, n_levels: int
) -> Any:  # fmt: skip
    """Return the median of the pixels at levels from `low` up to `high`, interpolated as by SExtractor.

    There are `total` of these, and `base` below. The level with the median counts with the fuller of
    itself and of its neighbour on the lighter side.
    """
    # The first level up to which there is half of them, from the last block before which there is not.
    k, last_block = low // LEVELS_A_BLOCK, high // LEVELS_A_BLOCK
    while k < last_block and 2 * (below[0, k + 1] - base) < total:
        k += 1
    first = max(k * LEVELS_A_BLOCK, low)
    under = below[0, k] - base if first > low else np.int64(0)
    while first < high and 2 * (under + counts[first]) < total:
        under += counts[first]
        first += 1
    here = np.int64(counts[first])
    over = total - under - here
    if under < over:
        beside = counts[min(first + 1, n_levels - 1)]
        return first + 0.5 + 0.5 * (over - under - here) / max(here, beside)
    beside = counts[max(first - 1, 0)]
    return first - 0.5 + 0.5 * (over + here - under) / max(here, beside)


@jit
def _settled(counts: Any, below: Any, n_levels: int) -> Any:
    """Return median, mean and sigma of the clipped histogram, in levels."""
    low: Any = np.int64(0)
    high = n_levels - 1
    sigma, before = 10.0 * n_levels, 1.0
    mean = median = 0.0
    rounds = 0
    while rounds < _MOST_ROUNDS and sigma >= _FINE and abs(sigma / before - 1.0) > _SETTLED:
        before = sigma
        base, base_first, base_second = _sums_below(counts, below, low)
        count, first, second = _sums_below(counts, below, high + 1)
        n = count - base
        if n == 0:
            sigma = 0.0
            break
        median = _median_level(counts, below, low, high, base, n, n_levels)
        mean, sigma = _mean_and_sigma(
            np.float64(n), np.float64(first - base_first), np.float64(second - base_second)
        )
        low = max(math.floor(median - _CLIP * sigma + 0.5), 0)
        high = max(min(math.floor(median + _CLIP * sigma + 0.5), n_levels - 1), low)
        rounds += 1
    return median, mean, sigma


@jit
def measure_mesh(
    image: Any, mask: Any, has_mask: bool, side: int, first: int, last: int, least_share: float,
    least_good: int, level: Any, noise: Any, highest: Any, cell: Any, columns: Any, counts: Any,
    places: Any, below: Any,
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
    cell : array of float32, (side * side,)
        To work in.
    columns : array of float64, (2, side)
        To work in.
    counts : array of int32, (`MOST_LEVELS` + 1,)
        To work in.
    places : array of int32, (side,)
        To work in.
    below : array of int64, (3, `MOST_LEVELS` // `LEVELS_A_BLOCK`)
        To work in.
    """
    height, width = image.shape
    for cy in range(first, last):
        top = cy * side
        h = min(side, height - top)
        for cx in range(level.shape[1]):
            left = cx * side
            w = min(side, width - left)
            _fetch(image, mask, has_mask, top, left, h, w, cell)
            n, total, squares = _sums(cell, h, w, -_HIGHEST, _HIGHEST, columns, places)
            level[cy, cx] = noise[cy, cx] = highest[cy, cx] = np.nan
            if n < max(least_share * h * w, least_good):
                continue
            mean, sigma = _mean_and_sigma(n, total, squares)
            highest[cy, cx] = mean + _FIRST_CUT * sigma
            low = max(np.float32(mean - _FIRST_CUT * sigma), -_HIGHEST)
            high = min(np.float32(mean + _FIRST_CUT * sigma), _HIGHEST)
            n, total, squares = _sums(cell, h, w, low, high, columns, places)
            if n > 0:
                mean, sigma = _mean_and_sigma(n, total, squares)
            level[cy, cx], noise[cy, cx] = mean, 0.0
            # Sums of squares leave rounding errors where all pixels are alike.
            if not sigma > 1e-7 * abs(mean) or n == 0:
                continue
            n_levels = min(np.int64(_LEVELS_A_PIXEL * n + 1.0), MOST_LEVELS)
            step, zero = 2.0 * _REACH * sigma / n_levels, mean - _REACH * sigma
            _count(cell, h * w, zero, step, n_levels, counts, places, below)
            median, average, spread = _settled(counts, below, n_levels)
            if spread > 0.0 and abs(average - median) < _NEAR * spread:
                average = _MEDIANS * median - _MEANS * average
            elif spread > 0.0:
                average = median
            level[cy, cx] = zero + average * step
            noise[cy, cx] = spread * step
