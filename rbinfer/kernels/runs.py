"""Runs of pixels above a threshold: the one walk over an image that a detection takes.

A row is worked on in lines that stay in the nearest cache: background subtracted, smoothed with the
3 x 3 kernel (1 2 1; 2 4 2; 1 2 1) / 16 of SExtractor, and compared with the noise of smoothed pixels.
Each row is computed from the same numbers in the same order, wherever a strip begins.
"""

import math
from typing import Any

import numpy as np

from .constants import LARGEST
from .jit import jit

_BLOCK = 64  # pixels that are looked at as one


@jit
def _interpolate(splines: Any, part: int, y: int, side: int, line: Any) -> None:
    """Fill a line with a bicubic spline through the middles of the cells of a mesh, at row `y`.

    ``splines[part]`` has the values and their second derivatives along y, along x, and along both, each
    over six.
    """
    rows, columns, width = splines.shape[2], splines.shape[3], line.size
    u = (y + 0.5) / side - 0.5
    k = min(max(math.floor(u), 0), max(rows - 2, 0))
    next_k = min(k + 1, rows - 1)
    t = u - k if rows > 1 else 0.0
    c = 1.0 - t
    c3, t3 = c * c * c - c, t * t * t - t
    for m in range(max(columns - 1, 1)):
        n = min(m + 1, columns - 1)
        # Value and derivative along x at both ends of the interval.
        v0 = c * splines[part, 0, k, m] + t * splines[part, 0, next_k, m]
        v0 += c3 * splines[part, 1, k, m] + t3 * splines[part, 1, next_k, m]
        v1 = c * splines[part, 0, k, n] + t * splines[part, 0, next_k, n]
        v1 += c3 * splines[part, 1, k, n] + t3 * splines[part, 1, next_k, n]
        d0 = c * splines[part, 2, k, m] + t * splines[part, 2, next_k, m]
        d0 += c3 * splines[part, 3, k, m] + t3 * splines[part, 3, next_k, m]
        d1 = c * splines[part, 2, k, n] + t * splines[part, 2, next_k, n]
        d1 += c3 * splines[part, 3, k, n] + t3 * splines[part, 3, next_k, n]
        a0, a1 = np.float32(v0), np.float32(v1 - v0 - 2.0 * d0 - d1)
        a2, a3 = np.float32(3.0 * d0), np.float32(d1 - d0)
        first = 0 if m == 0 else m * side + side // 2
        last = width if m >= columns - 2 else min((m + 1) * side + side // 2, width)
        step = np.float32(1.0 / side)
        shift = np.float32((0.5 - 0.5 * side) / side)
        for x in range(first, last):
            s = np.float32(np.int32(x - m * side)) * step + shift
            line[np.uint64(x)] = a0 + s * (a1 + s * (a2 + s * a3))


@jit
def _load(
    image: Any, mask: Any, has_mask: bool, splines: Any, side: int, y: int, background: Any, data: Any,
    good: Any,
) -> Any:  # fmt: skip
    """Fill a line of pixels above the background, 0 where bad; returns how many are good.

    Lines have a pixel more at both ends, which is bad; so is all of a row off the image.
    """
    height, width = image.shape
    count = np.int32(0)
    if y < 0 or y >= height:
        for x in range(width + 2):
            data[x] = good[x] = np.float32(0.0)
        return count
    _interpolate(splines, 0, y, side, background)
    a = np.uint64(y)
    data[0] = good[0] = data[width + 1] = good[width + 1] = np.float32(0.0)
    for x in range(width):
        b = np.uint64(x)
        value = image[a, b]
        is_good = abs(value) < LARGEST
        if has_mask:
            is_good = is_good and not mask[a, b]
        data[np.uint64(x + 1)] = value - background[b] if is_good else np.float32(0.0)
        good[np.uint64(x + 1)] = np.float32(1.0) if is_good else np.float32(0.0)
        count = np.int32(count + is_good)
    return count


@jit
def _smooth(above: Any, here: Any, below: Any, column: Any, line: Any) -> None:
    """Fill a line with the smoothed pixels of a row."""
    for x in range(here.size):
        column[x] = above[x] + np.float32(2.0) * here[x] + below[x]
    for x in range(line.size):
        line[x] = np.float32(0.0625) * (
            column[np.uint64(x)] + np.float32(2.0) * column[np.uint64(x + 1)] + column[np.uint64(x + 2)]
        )


@jit
def _weigh(above: Any, here: Any, below: Any, column: Any, line: Any) -> None:
    """Fill a line with the noise of smoothed pixels in units of that of pixels; huge if none is good."""
    for x in range(here.size):
        column[x] = above[x] + np.float32(4.0) * here[x] + below[x]
    for x in range(line.size):
        total = np.float32(1.0 / 256.0) * (
            column[np.uint64(x)] + np.float32(4.0) * column[np.uint64(x + 1)] + column[np.uint64(x + 2)]
        )
        line[x] = math.sqrt(total) if total > np.float32(0.0) else LARGEST


@jit
def _any_above(line: Any, limit: Any, first: int, last: int) -> Any:
    count = np.int32(0)
    for x in range(first, last):
        count = np.int32(count + (line[np.uint64(x)] > limit[np.uint64(x)]))
    return count > 0


@jit
def _collect(
    y: int, data: Any, line: Any, limit: Any, sky: Any, runs: Any, pixels: Any, n_runs: int,
    n_pixels: int,
) -> Any:  # fmt: skip
    """Add the runs of a row and their pixels; returns how many there are now."""
    width = line.size
    start = -1
    for first in range(0, width, _BLOCK):
        last = min(first + _BLOCK, width)
        if start < 0 and not _any_above(line, limit, first, last):
            continue
        for x in range(first, last):
            if line[x] > limit[x]:
                if start < 0:
                    start = x
                pixels[0, n_pixels], pixels[1, n_pixels] = data[x + 1], line[x]
                pixels[2, n_pixels] = sky[x]
                n_pixels += 1
            elif start >= 0:
                runs[n_runs, 0], runs[n_runs, 1], runs[n_runs, 2] = y, start, x - start
                n_runs += 1
                start = -1
    if start >= 0:
        runs[n_runs, 0], runs[n_runs, 1], runs[n_runs, 2] = y, start, width - start
        n_runs += 1
    return n_runs, n_pixels


@jit
def find_runs(
    image: Any, mask: Any, has_mask: bool, splines: Any, side: int, floor: float, threshold: float,
    smooths: bool, first: int, last: int, lines: Any, runs: Any, pixels: Any, progress: Any,
) -> None:  # fmt: skip
    """Find runs of pixels above a threshold in rows from `first` until before `last`.

    Parameters
    ----------
    image : array of float32, (ny, nx)
    mask : array of bool, (ny, nx), or (1, 1) without one
    has_mask : bool
    splines : array of float64, (2, 4, rows, columns)
        Of background and noise; see `_interpolate`.
    side : int
        Of the cells of their mesh, pixels.
    floor : float
        Least noise.
    threshold : float
        In units of the noise; of that of smoothed pixels if `smooths`.
    smooths : bool
    first, last : int
    lines : array of float32, (12, nx + 2)
        To work in.
    runs : array of int32, (n, 3)
        Result: row, first column and length.
    pixels : array of float32, (3, m)
        Result, for all pixels of the runs in their order: value above the background; the
        smoothed one; `threshold` times the noise.
    progress : array of int64, (3,)
        Result: the first row that there was no room for, or `last`; numbers of runs and pixels.
    """
    width = image.shape[1]
    n_runs = n_pixels = 0
    column, line, limit, sky = lines[6], lines[7, :width], lines[8, :width], lines[9, :width]
    background, weight = lines[10, :width], lines[11, :width]
    counts = (np.int32(0), np.int32(0), np.int32(0))
    is_plain = False  # whether `weight` is that of a row without bad pixels around it
    for y in range(first - 1, last + 1):
        k = (y + 3) % 3
        count = _load(image, mask, has_mask, splines, side, y, background, lines[k], lines[3 + k])
        counts = (counts[1], counts[2], count)
        row = y - 1
        if row < first:
            continue
        if n_runs + width // 2 + 1 > runs.shape[0] or n_pixels + width > pixels.shape[1]:
            progress[0], progress[1], progress[2] = row, n_runs, n_pixels
            return
        above, here, below = (row + 2) % 3, (row + 3) % 3, (row + 4) % 3
        whole = counts[0] == width and counts[1] == width and counts[2] == width
        if smooths:
            _smooth(lines[above], lines[here], lines[below], column, line)
            if not (whole and is_plain):
                _weigh(lines[3 + above], lines[3 + here], lines[3 + below], column, weight)
                is_plain = whole
        else:
            for x in range(width):
                line[x] = lines[here, np.uint64(x + 1)]
                weight[x] = np.float32(1.0) if lines[3 + here, np.uint64(x + 1)] > 0.0 else LARGEST
        _interpolate(splines, 1, row, side, sky)
        least, factor = np.float32(floor), np.float32(threshold)
        for x in range(width):
            sky[x] = factor * max(sky[x], least)
            limit[x] = sky[x] * weight[x]
        n_runs, n_pixels = _collect(row, lines[here], line, limit, sky, runs, pixels, n_runs, n_pixels)
    progress[0], progress[1], progress[2] = last, n_runs, n_pixels


@jit
def _root(parent: Any, k: int) -> Any:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@jit
def label_runs(runs: Any, parent: Any) -> None:
    """Join runs that touch, at corners too; ``parent[k]`` becomes the last run of the island of run `k`.

    Parameters
    ----------
    runs : array of int32, (n, 3)
        From `find_runs`, in the order of the rows and columns.
    parent : array of int64, (n,)
        Result.
    """
    n = runs.shape[0]
    for k in range(n):
        parent[k] = k
    other = 0  # a run of the row above that may touch
    for k in range(n):
        y, first, end = runs[k, 0], runs[k, 1], runs[k, 1] + runs[k, 2]
        while runs[other, 0] < y - 1:
            other += 1
        while runs[other, 0] == y - 1 and runs[other, 1] + runs[other, 2] < first:
            other += 1
        above = other
        while runs[above, 0] == y - 1 and runs[above, 1] <= end:
            mine, its = _root(parent, k), _root(parent, above)
            parent[min(mine, its)] = max(mine, its)
            above += 1
    for k in range(n - 1, -1, -1):
        parent[k] = parent[parent[k]]


@jit
def group_runs(
    runs: Any, parent: Any, minarea: int, number: Any, islands: Any, ends: Any, order: Any, totals: Any
) -> None:  # fmt: skip
    """Bring the runs of each island together.

    Parameters
    ----------
    runs : array of int32, (n, 3)
    parent : array of int64, (n,)
        From `label_runs`.
    minarea : int
        Islands with fewer pixels are left out.
    number : array of int64, (n,)
        To work in.
    islands : array of int64, (n, 5)
        Result: pixels, first and last row, first and last column; islands are in the order of their
        last runs.
    ends : array of int64, (n,)
        Result: where the runs of an island end in `order`; they begin where those of the one before end.
    order : array of int64, (n,)
        Result: indices of runs.
    totals : array of int64, (1,)
        Result: the number of islands.
    """
    n = runs.shape[0]
    for k in range(n):
        number[k] = 0
    for k in range(n):
        number[parent[k]] += runs[k, 2]
    n_islands = 0
    for k in range(n):
        # Of runs that are no islands' last the number is 0.
        size, number[k] = number[k], -1
        if size >= minarea:
            number[k] = n_islands
            islands[n_islands, 0], ends[n_islands] = size, 0
            islands[n_islands, 1], islands[n_islands, 2] = runs[k, 0], runs[k, 0]
            islands[n_islands, 3], islands[n_islands, 4] = runs[k, 1], runs[k, 1]
            n_islands += 1
    for k in range(n):
        i = number[parent[k]]
        if i >= 0:
            ends[i] += 1
            islands[i, 1] = min(islands[i, 1], runs[k, 0])
            islands[i, 3] = min(islands[i, 3], runs[k, 1])
            islands[i, 4] = max(islands[i, 4], runs[k, 1] + runs[k, 2] - 1)
    total = 0
    for i in range(n_islands):
        total, ends[i] = total + ends[i], total
    for k in range(n):
        i = number[parent[k]]
        if i >= 0:
            order[ends[i]] = k
            ends[i] += 1
    totals[0] = n_islands
