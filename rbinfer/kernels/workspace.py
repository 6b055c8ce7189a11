"""The arrays that kernels work in: made by their callers, because kernels reserve no memory."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .constants import LANES

#: Other short lines are padded to whole vectors of this many; at most `LANES`, the room that the window
#: has beyond its end, where `cut_default` writes a part of such a line.
SHORT_LANES = 32


def padded(n: int) -> int:
    """Round up to whole vectors with room to spare: the length of a line for `n` values."""
    return (n // LANES + 1) * LANES


def _lanes(n: int) -> int:
    """Round up to whole vectors of a short line."""
    return (n + SHORT_LANES - 1) // SHORT_LANES * SHORT_LANES


class DefaultWorkspace(NamedTuple):
    """What `cut_default` works in, in the order of its arguments.

    Attributes
    ----------
    lines : ndarray of float32, shape (3, room)
        The window, its border, and values to sort: each flat.
    transposed : ndarray of float32, shape (span, at least span)
        Native pixels, transposed; like `rows`, empty unless two native pixels make one.
    rows : ndarray of float64, shape (span, at least size)
        Native rows, resampled along the other axis.
    sums : ndarray of float64, shape (4, at least span and size)
        Weighted sums along native columns.
    good : ndarray of bool, shape (size * size,)
        Which pixels of the window are good.
    """

    lines: NDArray[np.float32]
    transposed: NDArray[np.float32]
    rows: NDArray[np.float64]
    sums: NDArray[np.float64]
    good: NDArray[np.bool_]


def default_workspace(size: int, span: int, taps: int, cells: int) -> DefaultWorkspace:
    """Make what `cut_default` works in.

    Parameters
    ----------
    size : int
        Side of the cutouts.
    span : int
        Side of their windows in native pixels.
    taps : int
        Largest number of native pixels along an axis that one pixel is made of.
    cells : int
        Of the wide view.
    """
    is_between = taps == 2
    return DefaultWorkspace(
        np.empty((3, padded(max(size * size, cells) + LANES)), np.float32),
        np.zeros((span, _lanes(span)) if is_between else (0, 0), np.float32),
        np.zeros((span, _lanes(size)) if is_between else (0, 0)),
        np.empty((4, _lanes(max(span, size)))),
        np.empty(size * size, np.bool_),
    )


class ReferenceWorkspace(NamedTuple):
    """What the kernels of the reference work in, in the order of their arguments.

    Attributes
    ----------
    lines : ndarray of float32 or float64, shape (k, room)
        Windows, and values to sort: each flat.
    pairs : ndarray of float32, shape (2 * pixels,)
        Both channels before they are cropped or padded.
    column : ndarray of int64, shape (size,)
        Where each column of the result comes from.
    """

    lines: NDArray[np.floating]
    pairs: NDArray[np.float32]
    column: NDArray[np.int64]


def reference_workspace(
    size: int, height: int, width: int, lines: int, dtype: np.dtype[np.floating] | type[np.floating]
) -> ReferenceWorkspace:
    """Make what `cut_reference` and `preprocess_reference` work in.

    Parameters
    ----------
    size : int
        Side of the result.
    height, width : int
        Largest shape of a window.
    lines : int
        Number of lines.
    dtype : dtype
        Of the window's pixels.
    """
    pixels = height * width
    room = padded(max(pixels, 2 * (height + width)))
    return ReferenceWorkspace(
        np.empty((lines, room), dtype), np.empty(2 * pixels, np.float32), np.empty(size, np.int64)
    )
