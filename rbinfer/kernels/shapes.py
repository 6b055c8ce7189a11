"""Sums over the pixels of a detection, and what follows from them: as by SExtractor and SEP.

Pixels of an island have numbers from 0, in the order of rows and columns. Those of a part of it are a
chain: the first is given, and `following` leads from each to the next.
"""

import math
from typing import Any

from .constants import (
    AREA_RATIO, FIRST_X, FIRST_Y, FLAGS, FLUX, MERGED, N_PIXELS, PEAK, PEAK_SMOOTH, PEAK_X, PEAK_Y, SINGULAR,
    SMOOTH_FLUX, SPARE, THRESHOLD, TRUNCATED, XX, XY, YY,
)  # fmt: skip
from .jit import jit
from .numerics import logarithm

# A determinant of second moments below 1/144 belongs to a line of pixels; 1/12 is the variance of a pixel.
_LEAST_DETERMINANT, _PIXEL = 0.00694, 1.0 / 12.0


@jit
def measure_chain(
    head: int, n: int, following: Any, xs: Any, ys: Any, values: Any, threshold: float, minarea: int,
    width: int, height: int, best: Any, row: Any,
) -> None:  # fmt: skip
    """Measure a chain of pixels; positions are those in the island's own frame.

    Parameters
    ----------
    head, n : int
        First pixel, and the number of them.
    following : array of int32
    xs, ys : array of int32
        Columns and rows.
    values : array of float32, (3, pixels)
        As from `rbinfer.kernels.runs.find_runs`.
    threshold : float
        Of the island, or the level that a part of it was cut at.
    minarea : int
        The brightness that this many pixels reach is noted; 0 for none.
    width, height : int
        Of the image.
    best : array of float64, (minarea,)
        To work in.
    row : array of float64, (`N_COLUMNS`,)
        Result, for each name of a column in `rbinfer.kernels.constants`.
    """
    x0, y0 = xs[head], ys[head]
    flux = total = mx = my = mxx = myy = mxy = 0.0
    peak, peak_smooth = -math.inf, -math.inf
    peak_x, peak_y = x0, y0
    flags, kept = 0, 0
    p = head
    for _ in range(n):
        x, y, value, smooth = xs[p], ys[p], float(values[0, p]), float(values[1, p])
        if value > peak:
            peak, peak_x, peak_y = value, x, y
        peak_smooth = max(peak_smooth, smooth)
        dx, dy = float(x - x0), float(y - y0)
        total += value
        flux += smooth
        mx += smooth * dx
        my += smooth * dy
        mxx += smooth * dx * dx
        myy += smooth * dy * dy
        mxy += smooth * dx * dy
        if x == 0 or y == 0 or x == width - 1 or y == height - 1:
            flags = TRUNCATED
        # The brightest so many, in descending order.
        excess = smooth - float(values[2, p])
        if minarea > 0 and (kept < minarea or excess > best[kept - 1]):
            k = min(kept, minarea - 1)
            while k > 0 and best[k - 1] < excess:
                best[k] = best[k - 1]
                k -= 1
            best[k] = excess
            kept = min(kept + 1, minarea)
        p = following[p]
    row[N_PIXELS], row[FLUX], row[SMOOTH_FLUX] = n, total, flux
    row[PEAK], row[PEAK_SMOOTH], row[PEAK_X], row[PEAK_Y] = peak, peak_smooth, peak_x, peak_y
    row[THRESHOLD], row[FLAGS] = threshold, flags
    row[SPARE] = best[minarea - 1] if 0 < kept == minarea else 0.0
    mx, my = mx / flux, my / flux
    row[FIRST_X], row[FIRST_Y] = x0 + mx, y0 + my
    row[XX], row[YY], row[XY] = mxx / flux - mx * mx, myy / flux - my * my, mxy / flux - mx * my
    row[AREA_RATIO] = _area_between(head, n, following, values, threshold, peak)


@jit
def move_centre(x: float, y: float, row: Any) -> None:
    """Give a part of a blend the centre of its core; moments are then about that."""
    dx, dy = row[FIRST_X] - x, row[FIRST_Y] - y
    row[XX] += dx * dx
    row[YY] += dy * dy
    row[XY] += dx * dy
    row[FIRST_X], row[FIRST_Y] = x, y
    row[FLAGS] = int(row[FLAGS]) | MERGED


@jit
def finish_shape(row: Any) -> None:
    """Give a line of pixels the width of one, and bring the ratio of areas to the final axes."""
    determinant = row[XX] * row[YY] - row[XY] * row[XY]
    if determinant < _LEAST_DETERMINANT:
        row[XX] += _PIXEL
        row[YY] += _PIXEL
        row[FLAGS] = int(row[FLAGS]) | SINGULAR
        determinant = row[XX] * row[YY] - row[XY] * row[XY]
    row[AREA_RATIO] = min(row[AREA_RATIO] / math.sqrt(determinant), 1.0)


@jit
def distance(row: Any, x: float, y: float) -> Any:
    """Return half the squared distance from the centre in units of the corrected axes."""
    dx, dy = x - row[FIRST_X], y - row[FIRST_Y]
    squares = row[YY] * dx * dx + row[XX] * dy * dy - 2.0 * row[XY] * dx * dy
    determinant = row[XX] * row[YY] - row[XY] * row[XY]
    return 0.5 * squares / (determinant * row[AREA_RATIO])


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
        n_threshold += values[0, p] > threshold
        n_middle += values[0, p] > middle
        p = following[p]
    if middle <= 0.0:
        return math.inf
    ratio = threshold / middle
    area = max(float(n_threshold - n_middle), 1.0)
    return -area / (2.0 * math.pi * logarithm(ratio if ratio < 1.0 else 0.99))
