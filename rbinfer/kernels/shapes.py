"""Sums over the pixels of a detection, and what follows from them: as by SExtractor and SEP.

Pixels of an island have numbers from 0, in the order of rows and columns. Those of a part of it are a
chain: the first is given, and each has the number of the next. They are indices without a sign: for
others Numba tests whether they count from the end.
"""

import math
from typing import Any

import numpy as np

from . import constants as c
from .jit import jit
from .numerics import logarithm

# Second moments with a determinant below 1/144 are of a line of pixels; 1/12 is the variance of a pixel.
_LEAST_DETERMINANT, _PIXEL = 0.00694, 1.0 / 12.0


@jit
def measure_chain(
    head: int, n: int, numbers: Any, values: Any, threshold: float, minarea: int, box: Any, best: Any,
    row: Any,
) -> None:  # fmt: skip
    """Measure a chain of pixels.

    Centre and moments are weighed by the smoothed values. Those below 0 count as 0: they occur above the
    threshold where the noise changes from pixel to pixel.

    Parameters
    ----------
    head, n : int
        First pixel, and the number of them.
    numbers : array of int32, (at least 3, pixels)
        Columns, rows, and the next of the chain.
    values : array of float32, (3, pixels)
        As from `rbinfer.kernels.runs.find_runs`.
    threshold : float
        Of the island, or the level that a part of it was cut at.
    minarea : int
        The brightness that this many pixels reach is noted; 0 for none.
    box : array of int64, (7,)
        See `rbinfer.kernels.deblend`.
    best : array of float64, (minarea,)
        To work in.
    row : array of float64, (`N_COLUMNS`,)
        Result, for each name of a column in `rbinfer.kernels.constants`.
    """
    xs, ys, following = numbers[0], numbers[1], numbers[2]
    x0, y0, width, height = xs[head], ys[head], box[5], box[6]
    flux = total = mx = my = mxx = myy = mxy = 0.0
    peak, peak_smooth = -math.inf, -math.inf
    peak_x, peak_y = x0, y0
    flags = 0
    p = head
    for _ in range(n):
        at = np.uint64(p)
        x, y, value, smooth = xs[at], ys[at], float(values[0, at]), float(values[1, at])
        if value > peak:
            peak, peak_x, peak_y = value, x, y
        peak_smooth = max(peak_smooth, smooth)
        dx, dy = float(x - x0), float(y - y0)
        total += value
        weight = max(smooth, 0.0)
        flux += weight
        mx += weight * dx
        my += weight * dy
        mxx += weight * dx * dx
        myy += weight * dy * dy
        mxy += weight * dx * dy
        if x == 0 or y == 0 or x == width - 1 or y == height - 1:
            flags = c.TRUNCATED
        p = following[at]
    row[c.N_PIXELS], row[c.FLUX], row[c.SMOOTH_FLUX] = n, total, flux
    row[c.PEAK], row[c.PEAK_SMOOTH], row[c.PEAK_X], row[c.PEAK_Y] = peak, peak_smooth, peak_x, peak_y
    row[c.THRESHOLD], row[c.FLAGS] = threshold, flags
    row[c.SPARE] = _spare(head, n, following, values, minarea, best) if 0 < minarea <= n else 0.0
    if not flux > 0.0:  # nothing to weigh by
        mx, my, flux = float(peak_x - x0), float(peak_y - y0), 1.0
        mxx, myy, mxy = mx * mx, my * my, mx * my
    mx, my = mx / flux, my / flux
    row[c.FIRST_X], row[c.FIRST_Y] = x0 + mx, y0 + my
    row[c.XX], row[c.YY], row[c.XY] = mxx / flux - mx * mx, myy / flux - my * my, mxy / flux - mx * my
    row[c.AREA_RATIO] = _area_between(head, n, following, values, threshold, peak)


@jit
def _spare(head: int, n: int, following: Any, values: Any, minarea: int, heap: Any) -> Any:
    """Return what as many pixels as are asked for have above the threshold, as SEP finds it.

    SEP means the least of the brightest so many, by a heap. But it looks at the first alone where there
    are no more, passes over the one after the first so many, and steps past a child on its way down the
    heap. Which detections count as wings hangs on it, so it is the same here.
    """
    p = head
    for k in range(n):
        at = np.uint64(p)
        excess = float(values[1, at]) - float(values[2, at])
        if k < minarea:
            heap[k] = excess
        elif k == minarea:
            for i in range(1, minarea):
                value, j = heap[i], i
                while j > 0 and heap[j - 1] > value:
                    heap[j] = heap[j - 1]
                    j -= 1
                heap[j] = value
        elif excess > heap[0]:
            heap[0] = excess
            j, child = 0, 2
            while child <= minarea:
                least = child - 1
                if child != minarea and heap[child - 1] > heap[child]:
                    least, child = child, child + 1
                if heap[j] <= heap[least]:
                    break
                heap[j], heap[least] = heap[least], heap[j]
                j = child
                child = 2 * (j + 1)
                if j >= minarea:
                    break
        p = following[at]
    return heap[0]


@jit
def move_centre(x: float, y: float, row: Any) -> None:
    """Give a part of a blend the centre of its core; moments are then about that."""
    dx, dy = row[c.FIRST_X] - x, row[c.FIRST_Y] - y
    row[c.XX] += dx * dx
    row[c.YY] += dy * dy
    row[c.XY] += dx * dy
    row[c.FIRST_X], row[c.FIRST_Y] = x, y
    row[c.FLAGS] = int(row[c.FLAGS]) | c.MERGED


@jit
def finish_shape(row: Any) -> None:
    """Give a line of pixels the width of one, and bring the ratio of areas to the final axes."""
    determinant = row[c.XX] * row[c.YY] - row[c.XY] * row[c.XY]
    if determinant < _LEAST_DETERMINANT:
        row[c.XX] += _PIXEL
        row[c.YY] += _PIXEL
        row[c.FLAGS] = int(row[c.FLAGS]) | c.SINGULAR
        determinant = row[c.XX] * row[c.YY] - row[c.XY] * row[c.XY]
    row[c.AREA_RATIO] = min(row[c.AREA_RATIO] / math.sqrt(determinant), 1.0)


@jit
def distance(row: Any, x: float, y: float) -> Any:
    """Return half the squared distance from the centre in units of the corrected axes."""
    dx, dy = x - row[c.FIRST_X], y - row[c.FIRST_Y]
    squares = row[c.YY] * dx * dx + row[c.XX] * dy * dy - 2.0 * row[c.XY] * dx * dy
    determinant = row[c.XX] * row[c.YY] - row[c.XY] * row[c.XY]
    return 0.5 * squares / (determinant * row[c.AREA_RATIO])


@jit
def _area_between(head: int, n: int, following: Any, values: Any, threshold: float, peak: float) -> Any:
    """Return the product of the axes of a Gaussian with the area between two isophotes of these pixels.

    One is the threshold, the other half way up to the peak. Moments of what lies above the threshold are
    too small; by how much, the ratio to this tells.
    """
    middle = 0.5 * (threshold + peak)
    n_threshold = n_middle = 0
    p = head
    for _ in range(n):
        at = np.uint64(p)
        n_threshold += values[0, at] > threshold
        n_middle += values[0, at] > middle
        p = following[at]
    if middle <= 0.0:
        return math.inf
    ratio = threshold / middle
    area = max(float(n_threshold - n_middle), 1.0)
    return -area / (2.0 * math.pi * logarithm(ratio if ratio < 1.0 else 0.99))
