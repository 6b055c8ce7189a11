"""Islands of pixels above the threshold, measured; those with several peaks are taken apart."""

from typing import Any

import numpy as np

from . import constants as c
from .deblend import HEADS, LENGTHS, NEXT, X, Y, take_apart
from .jit import jit
from .shapes import finish_shape, measure_chain, move_centre


@jit
def _load(
    first: int, last: int, order: Any, runs: Any, starts: Any, pixels: Any, numbers: Any, values: Any,
    grid: Any, box: Any,
) -> int:  # fmt: skip
    """Copy the pixels of an island, and note their numbers in its grid; returns how many there are."""
    n = 0
    xs, ys, following = numbers[X], numbers[Y], numbers[NEXT]
    for r in range(first, last):
        k = np.uint64(order[np.uint64(r)])
        y, x, start, length = runs[k, 0], runs[k, 1], starts[k], runs[k, 2]
        place = (y - box[1] + 1) * box[4] + (x - box[0] + 1)
        for j in range(length):
            # Without a sign: for others Numba tests whether they count from the end.
            p, q = np.uint64(n + j), np.uint64(start + j)
            xs[p], ys[p], following[p] = x + j, y, n + j + 1
            values[0, p], values[1, p], values[2, p] = pixels[0, q], pixels[1, q], pixels[2, q]
            grid[np.uint64(place + j)] = n + j
        n += length
    return n


@jit
def _clear(first: int, last: int, order: Any, runs: Any, grid: Any, box: Any) -> None:
    for r in range(first, last):
        k = np.uint64(order[np.uint64(r)])
        place = (runs[k, 0] - box[1] + 1) * box[4] + (runs[k, 1] - box[0] + 1)
        for j in range(runs[k, 2]):
            grid[np.uint64(place + j)] = -1


@jit
def _measure(
    n: int, minarea: int, contrast: float, numbers: Any, values: Any, reals: Any, grid: Any, box: Any,
    levels: Any, best: Any, cores: Any, rows: Any, n_rows: int,
) -> int:  # fmt: skip
    """Measure an island, or its parts; returns how many rows there are then."""
    threshold = flux = peak = 0.0
    for p in range(n):
        at = np.uint64(p)
        threshold += values[2, at]
        flux += values[1, at]
        peak = max(peak, float(values[1, at]))
    threshold /= n
    n_parts: Any = np.int64(0)
    if contrast < 1.0 and peak > threshold:
        n_parts = take_apart(
            n, threshold, peak, contrast * flux, minarea, numbers, values, reals, grid, box, levels,
            best, cores,
        )  # fmt: skip
    if n_parts == 0:
        numbers[HEADS, 0], numbers[LENGTHS, 0] = 0, n
        for p in range(n):
            numbers[NEXT, p] = p + 1
    for part in range(max(n_parts, 1)):
        row = rows[n_rows]
        measure_chain(
            numbers[HEADS, part], numbers[LENGTHS, part], numbers, values, threshold, minarea, box, best,
            row,
        )  # fmt: skip
        if n_parts > 0:
            move_centre(cores[part, c.FIRST_X], cores[part, c.FIRST_Y], row)
        finish_shape(row)
        n_rows += 1
    return n_rows


@jit
def measure_islands(
    first: int, last: int, order: Any, ends: Any, islands: Any, runs: Any, starts: Any, pixels: Any,
    minarea: int, contrast: float, width: int, height: int, numbers: Any, values: Any, reals: Any,
    grid: Any, box: Any, levels: Any, best: Any, cores: Any, rows: Any, totals: Any,
) -> None:  # fmt: skip
    """Measure islands from `first` until before `last`, in as many parts as they have.

    Parameters
    ----------
    first, last : int
    order, ends, islands : arrays
        From `rbinfer.kernels.runs.group_runs`.
    runs, pixels : arrays
        From `rbinfer.kernels.runs.find_runs`.
    starts : array of int64, (n,)
        Where the pixels of each run begin.
    minarea : int
    contrast : float
        Least share of the light that a part must have; 1 if no island is to be taken apart.
    width, height : int
        Of the image.
    numbers, values, reals, box, levels, best, cores : arrays
        To work in; see `rbinfer.kernels.deblend.take_apart`. The first three have room for the pixels of
        the largest island and 33. So has `cores`: of an island, three of four pixels may be peaks that
        do not touch.
    grid : array of int32, (pixels of the largest box around an island, with a border of 1,)
        All -1; left so.
    rows : array of float64, (as many as pixels at most, `N_COLUMNS`)
        Result: see `rbinfer.kernels.constants`.
    totals : array of int64, (1,)
        Result: how many there are.
    """
    n_rows: Any = np.int64(0)
    box[5], box[6] = width, height
    for i in range(first, last):
        begin = ends[i - 1] if i > 0 else 0
        box[0], box[1], box[2], box[3] = islands[i, 3], islands[i, 1], islands[i, 4], islands[i, 2]
        box[4] = box[2] - box[0] + 3
        n = _load(begin, ends[i], order, runs, starts, pixels, numbers, values, grid, box)
        n_rows = _measure(
            n, minarea, contrast, numbers, values, reals, grid, box, levels, best, cores, rows, n_rows
        )  # fmt: skip
        _clear(begin, ends[i], order, runs, grid, box)
    totals[0] = n_rows
