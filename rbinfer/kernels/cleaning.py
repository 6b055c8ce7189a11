"""Detections that are bumps in the wings of brighter ones, as SExtractor leaves them out."""

import math
from typing import Any

from . import constants as c
from .jit import jit

#: Wings reach so many times the sum of two long axes.
_ZONE = 10.0


@jit
def _long_axis(row: Any) -> Any:
    half, difference = 0.5 * (row[c.XX] + row[c.YY]), 0.5 * (row[c.XX] - row[c.YY])
    return math.sqrt(half + math.sqrt(difference * difference + row[c.XY] * row[c.XY]))


@jit
def _is_in_wings(bright: Any, faint: Any) -> Any:
    """Tell whether a Moffat profile of a detection outshines what another has above the threshold.

    The profile has the detection's flux and area, and the exponent 1.
    """
    determinant = bright[c.XX] * bright[c.YY] - bright[c.XY] * bright[c.XY]
    area = math.pi * math.sqrt(determinant)
    height = bright[c.SMOOTH_FLUX] / (2.0 * area * bright[c.AREA_RATIO])
    slope = (height / bright[c.THRESHOLD] - 1.0) * area / bright[c.N_PIXELS]
    dx, dy = bright[c.FIRST_X] - faint[c.FIRST_X], bright[c.FIRST_Y] - faint[c.FIRST_Y]
    squares = bright[c.YY] * dx * dx + bright[c.XX] * dy * dy - 2.0 * bright[c.XY] * dx * dy
    fall = 1.0 + slope * squares / determinant
    return 1.0 < fall < 1e10 and height / fall > faint[c.SPARE]


@jit
def _cell(at: float, side: int, n: int) -> Any:
    """Return the cell that a place lies in; one off the grid has the nearest."""
    return int(max(min(at / side, n - 1.0), 0.0))


@jit
def find_wings(
    rows: Any, order: Any, ends: Any, columns: int, cells: int, side: int, pairs: Any, totals: Any
) -> None:
    """Find pairs of detections of which one lies in the wings of the other, the brighter one.

    Parameters
    ----------
    rows : array of float64, (n, `N_COLUMNS`)
        From `rbinfer.kernels.islands.measure_islands`.
    order : array of int64, (n,)
        Detections in the order of the cells of a grid that they lie in.
    ends : array of int64, (cells,)
        Where those of each cell end in `order`.
    columns, cells : int
        Of the grid: a row, and all.
    side : int
        Of the cells, pixels.
    pairs : array of int64, (m, 2)
        Result, as far as there is room: the brighter one and the other.
    totals : array of int64, (1,)
        Result: how many pairs there are.
    """
    lines = cells // columns
    n_pairs = 0
    for i in range(rows.shape[0]):
        axis = _long_axis(rows[i])
        x, y = rows[i, c.FIRST_X], rows[i, c.FIRST_Y]
        # Of a pair it is the larger that looks for the smaller.
        reach = 2.0 * _ZONE * axis
        left, right = _cell(x - reach, side, columns), _cell(x + reach, side, columns)
        first, last = _cell(y - reach, side, lines), _cell(y + reach, side, lines)
        for cy in range(first, last + 1):
            before, end = cy * columns + left - 1, cy * columns + right
            for k in range(ends[before] if before >= 0 else 0, ends[end]):
                j = order[k]
                dx, dy = rows[j, c.FIRST_X] - x, rows[j, c.FIRST_Y] - y
                squares = dx * dx + dy * dy
                if j == i or squares > reach * reach:
                    continue
                other = _long_axis(rows[j])
                zone = _ZONE * (axis + other)
                if other > axis or (other == axis and j < i) or squares > zone * zone:
                    continue
                # Of equally bright ones the first is the faint one.
                i_is_bright = rows[j, c.SMOOTH_FLUX] < rows[i, c.SMOOTH_FLUX]
                if rows[j, c.SMOOTH_FLUX] == rows[i, c.SMOOTH_FLUX]:
                    i_is_bright = j < i
                bright, faint = (i, j) if i_is_bright else (j, i)
                if _is_in_wings(rows[bright], rows[faint]):
                    if n_pairs < pairs.shape[0]:
                        pairs[n_pairs, 0], pairs[n_pairs, 1] = bright, faint
                    n_pairs += 1
    totals[0] = n_pairs


@jit
def drop_wings(pairs: Any, is_kept: Any) -> None:
    """Drop detections in the wings of others, as far as these are there to drop them.

    Parameters
    ----------
    pairs : array of int64, (m, 2)
        From `find_wings`, in the order of the detection that comes first in the catalogue, then of the
        other.
    is_kept : array of bool, (n,)
        All True before.
    """
    current, was_kept = -1, False
    for k in range(pairs.shape[0]):
        bright, faint = pairs[k, 0], pairs[k, 1]
        first = min(bright, faint)
        if first != current:
            # Dropped in its turn, it still drops others until that is over, as in SExtractor.
            current, was_kept = first, is_kept[first]
        if was_kept and is_kept[max(bright, faint)]:
            is_kept[faint] = False
