"""Detections that are nothing but bumps in the wings of brighter ones, as SExtractor leaves them out."""

import math
from typing import Any

from .constants import (
    AREA_RATIO, FIRST_X, FIRST_Y, N_PIXELS, SMOOTH_FLUX, SPARE, THRESHOLD, XX, XY, YY,
)  # fmt: skip
from .jit import jit

#: Wings reach so many times the sum of two long axes.
_ZONE = 10.0


@jit
def _long_axis(row: Any) -> Any:
    half, difference = 0.5 * (row[XX] + row[YY]), 0.5 * (row[XX] - row[YY])
    return math.sqrt(half + math.sqrt(difference * difference + row[XY] * row[XY]))


@jit
def _is_in_wings(bright: Any, faint: Any) -> bool:
    """Tell whether a Moffat profile of a detection outshines what another has above the threshold.

    The profile has the detection's flux and area, and the exponent 1.
    """
    determinant = bright[XX] * bright[YY] - bright[XY] * bright[XY]
    area = math.pi * math.sqrt(determinant)
    height = bright[SMOOTH_FLUX] / (2.0 * area * bright[AREA_RATIO])
    slope = (height / bright[THRESHOLD] - 1.0) * area / bright[N_PIXELS]
    dx, dy = bright[FIRST_X] - faint[FIRST_X], bright[FIRST_Y] - faint[FIRST_Y]
    squares = bright[YY] * dx * dx + bright[XX] * dy * dy - 2.0 * bright[XY] * dx * dy
    fall = 1.0 + slope * squares / determinant
    return 1.0 < fall < 1e10 and height / fall > faint[SPARE]


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
        x, y = rows[i, FIRST_X], rows[i, FIRST_Y]
        # Of a pair it is the larger that looks for the smaller.
        reach = 2.0 * _ZONE * axis
        left, right = max(int((x - reach) / side), 0), min(int((x + reach) / side), columns - 1)
        first, last = max(int((y - reach) / side), 0), min(int((y + reach) / side), lines - 1)
        for cy in range(first, last + 1):
            a, b = cy * columns + left, cy * columns + right
            for k in range(ends[a - 1] if a > 0 else 0, ends[b]):
                j = order[k]
                dx, dy = rows[j, FIRST_X] - x, rows[j, FIRST_Y] - y
                if j == i or dx * dx + dy * dy > reach * reach:
                    continue
                other = _long_axis(rows[j])
                zone = _ZONE * (axis + other)
                if other > axis or (other == axis and j < i) or dx * dx + dy * dy > zone * zone:
                    continue
                if rows[j, SMOOTH_FLUX] < rows[i, SMOOTH_FLUX]:
                    in_wings[j] |= _is_in_wings(rows[i], rows[j])
                else:
                    in_wings[i] |= _is_in_wings(rows[j], rows[i])
