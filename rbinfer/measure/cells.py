"""The cells in which the sky of a frame is compared, and some rows of each."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

_PIXELS = 1 << 15  # that are looked at, about
#: So many along the shorter side, of so many pixels on a side: small cells would follow galaxies.
_CELLS, _SMALLEST, _LARGEST = 16, 64, 256


def side_of(shape: tuple[int, int]) -> int:
    """Return the side of the cells of a frame, pixels; even, so that there are halves."""
    return min(max(min(shape) // (2 * _CELLS) * 2, _SMALLEST), _LARGEST)


def some_rows(pixels: Pixels, mask: NDArray[np.bool_] | None) -> Pixels:
    """Return rows that are spread over a frame.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels.

    Returns
    -------
    ndarray of float32, shape (cells, rows, nx)
        As many of each row of whole cells, or of the frame if it has none; a copy, NaN where bad.
    """
    (ny, nx), side = pixels.shape, side_of(pixels.shape)
    n_cells, high = max(ny // side, 1), min(side, ny)
    each = min(max(_PIXELS // (n_cells * nx), 1), high)
    at = np.arange(n_cells)[:, None] * side + ((np.arange(each) + 0.5) * high / each).astype(int)
    rows: Pixels = pixels[at]
    rows[~np.isfinite(rows)] = np.nan
    if mask is not None:
        rows[mask[at]] = np.nan
    return rows
