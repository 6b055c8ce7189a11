"""Which frames cover a position of a field, and where on their detectors it lies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .affine import Affine

F64 = NDArray[np.float64]

#: A position is not covered closer to an edge than this, in pixels: detection is incomplete there.
_EDGE = 4.0


@dataclass(frozen=True, eq=False)
class Cover:
    """A frame on the plane of its field.

    Attributes
    ----------
    frame : int
        Its number.
    affine : Affine
        From its pixels to the plane.
    shape : (int, int)
        Rows and columns.
    hours : float
        Middle of the exposure; NaN where it is not known.
    """

    frame: int
    affine: Affine
    shape: tuple[int, int]
    hours: float

    def pixels(self, u: F64, v: F64) -> tuple[F64, F64, NDArray[np.bool_]]:
        """Return the pixels of positions of the plane, and whether the frame covers them."""
        x, y = self.affine.inverse()(u, v)
        ny, nx = self.shape
        inside = (x >= _EDGE) & (y >= _EDGE) & (x <= nx - 1 - _EDGE) & (y <= ny - 1 - _EDGE)
        return x, y, inside


def counted(
    covers: Sequence[Cover], u: F64, v: F64, x: F64, y: F64, apart: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Count the frames that cover positions.

    Parameters
    ----------
    covers : sequence of Cover
    u, v : ndarray of float64, shape (n,)
        Positions on the plane.
    x, y : ndarray of float64, shape (n,)
        Where they lay on the detector in one frame.
    apart : float
        Pixels.

    Returns
    -------
    all, moved : ndarray of int32, shape (n,)
        How many cover each, and in how many of them it lies further than `apart` from its `x`, `y`.
    """
    found, moved = (np.zeros(len(u), np.int32) for _ in range(2))
    for there_x, there_y, inside in _each(covers, u, v):
        found += inside
        moved += inside & (np.hypot(there_x - x, there_y - y) > apart)
    return found, moved


def _each(covers: Sequence[Cover], u: F64, v: F64) -> Iterator[tuple[F64, F64, NDArray[np.bool_]]]:
    for cover in covers:
        yield cover.pixels(u, v)
