"""Points on a line: pieces of the trail of a satellite or an aeroplane."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Points whose pairs are tried.
MOST_ON_LINE = 40


def line_through_most(x: Floats, y: Floats, tolerance: float) -> tuple[Floats, int]:
    """Find the straight line through two of the points that most others are close to.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Two points at least; the first 40 are asked.
    tolerance : float
        Distance that is close.

    Returns
    -------
    line : ndarray of float64, shape (3,)
        Factors a, b and c of ``a * x + b * y = c``, with ``a * a + b * b = 1``.
    n_close : int
        Points asked that are close to it.
    """
    x, y = x[:MOST_ON_LINE], y[:MOST_ON_LINE]
    i, j = np.triu_indices(len(x), 1)
    a, b = y[j] - y[i], x[i] - x[j]
    length = np.maximum(np.hypot(a, b), 1e-9)
    a, b = a / length, b / length
    lines = np.stack([a, b, a * x[i] + b * y[i]], axis=1)
    close = np.abs(lines[:, :2] @ np.stack([x, y]) - lines[:, 2:]) <= tolerance
    counts = np.count_nonzero(close, axis=1)
    best = int(counts.argmax())
    return lines[best], int(counts[best])


def needed_on_line(n: int) -> int:
    """Return how many of n points on one line are more than chance has.

    All of three or four, and most of more; of many a half will do, for there may be two lines.
    """
    return max((n + 1) // 2 + 1, min(n, 4)) if n < 9 else 9 * n // 20 + 1


def is_close(line: Floats, x: Floats, y: Floats, tolerance: float) -> Bools:
    """Tell which points are close to a line."""
    close: Bools = np.abs(line[0] * x + line[1] * y - line[2]) <= tolerance
    return close
