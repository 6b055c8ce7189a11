"""Pixels by positions: the nearest one, and those around it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import F64, I64

#: Offsets (x, y) of the 3 x 3 pixels around a position, row by row.
BOX: tuple[I64, I64] = (np.tile([-1, 0, 1], 3), np.repeat([-1, 0, 1], 3))


def nearest(x: F64, y: F64, shape: tuple[int, ...]) -> tuple[I64, I64]:
    """Return the index (rows, columns) of the pixels that positions lie on, moved onto the image.

    Parameters
    ----------
    x, y : array, shape (n,)
        0-based pixels.
    shape : (height, width)
        Of the image.

    Returns
    -------
    rows, columns : int array, shape (n,)
    """
    rows = np.clip(np.rint(y), 0, shape[0] - 1).astype(np.int64)
    return rows, np.clip(np.rint(x), 0, shape[1] - 1).astype(np.int64)


def around(image: NDArray[Any], x: I64, y: I64, offsets: tuple[I64, I64]) -> NDArray[Any]:
    """Return the pixels at offsets from others, shape (offsets, n); the edge goes on outside.

    Parameters
    ----------
    image : array, shape (height, width)
    x, y : int array, shape (n,)
        0-based pixels.
    offsets : (dx, dy), each of shape (offsets,)
        Pixels.
    """
    height, width = image.shape
    dx, dy = (offset[:, np.newaxis] for offset in offsets)
    values: NDArray[Any] = image[np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)]
    return values
