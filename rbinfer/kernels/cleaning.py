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
def find_parts_of_wings(
    rows: Any, order: Any, ends: Any, columns: int, cells: int, side: int, in_wings: Any
) -> None:
    """Tell which detections are parts of the wings of a brighter one.

    Whether that one is a part of another's does not matter, nor does the order.

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
    in_wings : array of bool, (n,)
        Result; all False before.
    """
    lines = cells // columns
    for i in range(rows.shape[0]):
        axis = _long_axis(rows[i])
        x, y = rows[i, c.FIRST_X], rows[i, c.FIRST_Y]
        # Of a pair it is the larger that looks for the smaller.
        reach = 2.0 * _ZONE * axis
        left, right = max(int((x - reach) / side), 0), min(int((x + reach) / side), columns - 1)
        first, last = max(int((y - reach) / side), 0), min(int((y + reach) / side), lines - 1)
        for cy in range(first, last + 1):
            a, b = cy * columns + left, cy * columns + right
            for k in range(ends[a - 1] if a > 0 else 0, ends[b]):
                j = order[k]
                dx, dy = rows[j, c.FIRST_X] - x, rows[j, c.FIRST_Y] - y
                if j == i or dx * dx + dy * dy > reach * reach:
                    continue
                other = _long_axis(rows[j])
                zone = _ZONE * (axis + other)
                if other > axis or (other == axis and j < i) or dx * dx + dy * dy > zone * zone:
                    continue
                if rows[j, c.SMOOTH_FLUX] < rows[i, c.SMOOTH_FLUX]:
                    in_wings[j] |= _is_in_wings(rows[i], rows[j])
                else:
                    in_wings[i] |= _is_in_wings(rows[j], rows[i])
