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
from .trees import root_of

_BLOCK = 32  # pixels that are looked at as one
_PART = 512  # pixels of a row that are smoothed at a time


@jit
def _node(spline: Any, k: int, next_k: int, n: int, t: float) -> Any:
    """Return value and derivative along x of a spline at a column of nodes, between two rows of them."""
    c = 1.0 - t
    c3, t3 = c * c * c - c, t * t * t - t
    v = c * spline[0, k, n] + t * spline[0, next_k, n]
    v += c3 * spline[1, k, n] + t3 * spline[1, next_k, n]
    d = c * spline[2, k, n] + t * spline[2, next_k, n]
    d += c3 * spline[3, k, n] + t3 * spline[3, next_k, n]
    return v, d


@jit
def _cubic(v0: float, d0: float, v1: float, d1: float) -> Any:
    """Return the coefficients between two nodes, from the constant one up."""
    return (
        np.float32(v0), np.float32(v1 - v0 - 2.0 * d0 - d1), np.float32(3.0 * d0), np.float32(d1 - d0)
    )  # fmt: skip


@jit
def _load(
    image: Any, mask: Any, has_mask: bool, splines: Any, side: int, y: int, unit: Any, floor: Any,
    data: Any, sky: Any, weights: Any, weighted: Any,
) -> None:  # fmt: skip
    """Fill lines for a row: pixels above the background, noise, its inverse square, and their product.

    Lines but that of the noise have a pixel more at both ends. That has no weight, like bad pixels and
    rows off the image. Background and noise are bicubic splines through the middles of the cells of a
    mesh: `splines` has their values and second derivatives along y, along x, and along both, each over
    six. They are not written to lines of their own, which would take more time than their products.
    """
    height, width = image.shape
    if y < 0 or y >= height:
        for x in range(width + 2):
            data[x] = weights[x] = weighted[x] = np.float32(0.0)
        return
    for x in (0, width + 1):
        data[x] = weights[x] = weighted[x] = np.float32(0.0)
    rows, columns = splines.shape[2], splines.shape[3]
    u = y / side - 0.5  # as SEP has it, half a pixel off; columns count from the middles of pixels
    k = min(max(math.floor(u), 0), max(rows - 2, 0))
    next_k = min(k + 1, rows - 1)
    t = u - k if rows > 1 else 0.0
    step, shift = np.float32(1.0 / side), np.float32((0.5 - 0.5 * side) / side)
    a = np.uint64(y)
    level1, slope1 = _node(splines[0], k, next_k, 0, t)
    noise1, bend1 = _node(splines[1], k, next_k, 0, t)
    for m in range(max(columns - 1, 1)):
        n = min(m + 1, columns - 1)
        # Value and derivative along x at both ends of the interval.
        level0, slope0, noise0, bend0 = level1, slope1, noise1, bend1
        level1, slope1 = _node(splines[0], k, next_k, n, t)
        noise1, bend1 = _node(splines[1], k, next_k, n, t)
        a0, a1, a2, a3 = _cubic(level0, slope0, level1, slope1)
        b0, b1, b2, b3 = _cubic(noise0, bend0, noise1, bend1)
        first = 0 if m == 0 else m * side + side // 2
        last = width if m >= columns - 2 else min((m + 1) * side + side // 2, width)
        for x in range(first, last):
            b, to = np.uint64(x), np.uint64(x + 1)
            s = np.float32(np.int32(x - m * side)) * step + shift
            background = a0 + s * (a1 + s * (a2 + s * a3))
            noise = max(b0 + s * (b1 + s * (b2 + s * b3)), floor)
            value = image[a, b]
            is_good = abs(value) < LARGEST
            if has_mask:
                is_good = is_good and not mask[a, b]
            above = value - background if is_good else np.float32(0.0)
            inverse = unit / noise
            weight = inverse * inverse if is_good else np.float32(0.0)
            sky[b], data[to], weights[to], weighted[to] = noise, above, weight, above * weight


@jit
def _filter(
    limit_of_one: Any, weights: Any, weighted: Any, a: int, b: int, c: int, column: Any, line: Any,
    limit: Any,
) -> None:  # fmt: skip
    """Fill lines with what a matched filter gives for the middle one of three rows, and with its limits.

    With a kernel k, noise n and pixels d a pixel is above the threshold t if ``sum(k d / n^2)`` is more
    than ``t sqrt(sum(k^2 / n^2))``. A part of the row is worked on at a time, with sums down its columns
    that stay in the nearest cache.
    """
    four, two = np.float32(4.0), np.float32(2.0)
    width = line.size
    for first in range(0, width, _PART):
        n = min(_PART, width - first)
        for x in range(n + 2):
            at = np.uint64(first + x)
            column[x] = weighted[a, at] + two * weighted[b, at] + weighted[c, at]
        for x in range(n):
            line[np.uint64(first + x)] = np.float32(1 / 16) * (
                column[np.uint64(x)] + two * column[np.uint64(x + 1)] + column[np.uint64(x + 2)]
            )
        for x in range(n + 2):
            at = np.uint64(first + x)
            column[x] = weights[a, at] + four * weights[b, at] + weights[c, at]
        for x in range(n):
            total = column[np.uint64(x)] + four * column[np.uint64(x + 1)] + column[np.uint64(x + 2)]
            limit[np.uint64(first + x)] = limit_of_one * np.float32(
                math.sqrt(np.float32(1 / 256) * total)
            )


@jit
def _any_above(line: Any, limit: Any, first: int, last: int) -> Any:
    count = np.int32(0)
    for x in range(first, last):
        count = np.int32(count + (line[np.uint64(x)] > limit[np.uint64(x)]))
    return count > 0


@jit
def _add_run(
    first: int, end: int, threshold: Any, smooths: bool, above: Any, data: Any, below: Any, sky: Any,
    pixels: Any, n_pixels: int,
) -> Any:  # fmt: skip
    """Add the pixels of a run; lines of data have a pixel more at both ends."""
    two = np.float32(2.0)
    for x in range(first, end):
        p, q, r, to = np.uint64(x), np.uint64(x + 1), np.uint64(x + 2), np.uint64(n_pixels + x - first)
        value = data[q]
        if smooths:
            before = above[p] + two * data[p] + below[p]
            here = above[q] + two * value + below[q]
            after = above[r] + two * data[r] + below[r]
            pixels[1, to] = np.float32(1 / 16) * (before + two * here + after)
        else:
            pixels[1, to] = value
        pixels[0, to] = value
        pixels[2, to] = threshold * sky[p]
    return n_pixels + end - first


@jit
def _collect(
    y: int, threshold: Any, smooths: bool, above: Any, data: Any, below: Any, line: Any, limit: Any,
    sky: Any, runs: Any, pixels: Any, n_runs: int, n_pixels: int,
) -> Any:  # fmt: skip
    """Add the runs of a row and their pixels; returns how many there are now."""
    width = line.size
    start = -1
    for first in range(0, width, _BLOCK):
        last = min(first + _BLOCK, width)
        if start < 0 and not _any_above(line, limit, first, last):
            continue
        for x in range(first, last):
            if line[np.uint64(x)] > limit[np.uint64(x)]:
                if start < 0:
                    start = x
            elif start >= 0:
                runs[n_runs, 0], runs[n_runs, 1], runs[n_runs, 2] = y, start, x - start
                n_runs += 1
                n_pixels = _add_run(
                    start, x, threshold, smooths, above, data, below, sky, pixels, n_pixels
                )  # fmt: skip
                start = -1
    if start >= 0:
        runs[n_runs, 0], runs[n_runs, 1], runs[n_runs, 2] = y, start, width - start
        n_runs += 1
        n_pixels = _add_run(
            start, width, threshold, smooths, above, data, below, sky, pixels, n_pixels
        )  # fmt: skip
    return n_runs, n_pixels


@jit
def find_runs(
    image: Any, mask: Any, has_mask: bool, splines: Any, side: int, unit: float, floor: float,
    threshold: float, smooths: bool, first: int, last: int, lines: Any, runs: Any, pixels: Any,
    progress: Any,
) -> None:  # fmt: skip
    """Find runs of pixels above a threshold in rows from `first` until before `last`.

    Parameters
    ----------
    image : array of float32, (ny, nx)
    mask : array of bool, (ny, nx), or (1, 1) without one
    has_mask : bool
    splines : array of float64, (2, 4, rows, columns)
        Of background and noise; see `_load`.
    side : int
        Of the cells of their mesh, pixels.
    unit, floor : float
        A typical noise, and the least.
    threshold : float
        In units of the noise; of that of smoothed pixels if `smooths`.
    smooths : bool
    first, last : int
    lines : array of float32, (`N_LINES`, nx + 2)
        To work in.
    runs : array of int32, (n, 3)
        Result: row, first column and length.
    pixels : array of float32, (3, m)
        Result, for all pixels of the runs in their order: value above the background; the smoothed one;
        `threshold` times the noise.
    progress : array of int64, (3,)
        Result: the first row that there was no room for, or `last`; numbers of runs and pixels.
    """
    width = image.shape[1]
    n_runs: Any = np.int64(0)
    n_pixels: Any = n_runs
    data, weights, weighted, skies = lines[0:3], lines[3:6], lines[6:9], lines[9:12]
    line, limit, column = lines[12][:width], lines[13][:width], lines[14]
    one, t = np.float32(unit), np.float32(threshold)
    least = np.float32(floor)
    for y in range(first - 1, last + 1):
        k = (y + 3) % 3
        _load(
            image, mask, has_mask, splines, side, y, one, least, data[k], skies[k][:width], weights[k],
            weighted[k],
        )  # fmt: skip
        row = y - 1
        if row < first:
            continue
        if n_runs + width // 2 + 1 > runs.shape[0] or n_pixels + width > pixels.shape[1]:
            progress[0], progress[1], progress[2] = row, n_runs, n_pixels
            return
        a, b, c = (row + 2) % 3, (row + 3) % 3, (row + 4) % 3
        if smooths:
            _filter(t * one, weights, weighted, a, b, c, column, line, limit)
        else:
            for x in range(width):
                line[x] = data[b, np.uint64(x + 1)]
                limit[x] = t * skies[b, np.uint64(x)]
        n_runs, n_pixels = _collect(
            row, t, smooths, data[a], data[b], data[c], line, limit, skies[b], runs, pixels, n_runs,
            n_pixels,
        )  # fmt: skip
    progress[0], progress[1], progress[2] = last, n_runs, n_pixels


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
            mine, its = root_of(parent, k), root_of(parent, above)
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
