"""The ninths of a frame, in which its stars are compared."""

import numpy as np
from numpy.typing import NDArray

#: Of the frame, along both axes.
SIDE = 3


def ninth_of(
    x: NDArray[np.float64], y: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Tell in which ninth of a frame positions lie.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        0-based pixels; those that are off the frame, or not finite, go to a ninth at its edge.
    shape : (int, int)
        Rows and columns of the frame.

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0, where both coordinates are small, along the rows of ninths.
    """
    column, row = (
        np.clip(np.nan_to_num(at * SIDE / n), 0, SIDE - 1).astype(np.int64)
        for at, n in ((x, shape[1]), (y, shape[0]))
    )
    return row * SIDE + column


def area_of(ninth: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of a ninth of a frame, with a quarter of its sides around it."""
    rows, columns = (
        slice(max((4 * k - 1) * n // (4 * SIDE), 0), (4 * k + 5) * n // (4 * SIDE))
        for k, n in zip(divmod(ninth, SIDE), shape, strict=True)
    )
    return rows, columns
