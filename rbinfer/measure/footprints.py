"""Which pixels belong to detections: their footprints, for masks."""

from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray

from .sep_detector import Level, leveled, with_room

#: A footprint is what is connected and lies above this level in units of the noise,
_THRESHOLD = 3.0
#: with the pixels next to it that lie above this one and are in no other footprint.
_RIM = 1.5
#: Where detections share a set of pixels, those go to the nearest within so many pixels.
_REACH = 3.0
_DEBLEND = 0.005  # least share of the light that a peak must have for a footprint of its own


def footprints(
    pixels: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    bits: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Mark the pixels of detections.

    A detection's footprint is the set of connected pixels above 3 sigma that holds its brightest pixel
    (the brightest of the 3 x 3 at its position), as SEP deblends them without smoothing, and of the
    eight neighbours of each of its pixels those above 1.5 sigma that are in no other footprint. A set
    with several detections is shared out: each pixel goes to the nearest of them. Where nothing at a
    position lies above 3 sigma, its footprint begins with the brightest pixel.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels.
    x, y : ndarray of float64, shape (n,)
        0-based pixels. What is not finite or lies off the image has no footprint.
    bits : ndarray of uint8, shape (n,)
        What is set in a detection's footprint; 0 for detections that are not to be marked.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
    """
    out = np.zeros(pixels.shape, np.uint8)
    level = leveled(pixels, mask) if np.any(bits) else None
    if level is None:
        return out
    ny, nx = pixels.shape
    on = np.isfinite(x) & np.isfinite(y)
    on[on] &= (x[on] > -0.5) & (x[on] < nx - 0.5) & (y[on] > -0.5) & (y[on] < ny - 0.5)
    rows, columns = _brightest(level, x[on], y[on])
    wanted = bits[on]
    segments = _segments(level)
    _mark_segments(out, segments, rows, columns, wanted)
    alone = segments[rows, columns] == 0
    np.bitwise_or.at(out, (rows[alone], columns[alone]), wanted[alone])
    is_open = (level.signal > _RIM * level.noise) & (segments == 0)
    return _with_rim(out, is_open)


def _mark_segments(
    out: NDArray[np.uint8],
    segments: NDArray[np.int32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    wanted: NDArray[np.uint8],
) -> None:
    """Mark the segments with detections to be marked, shared out where they hold others too."""
    at = segments[rows, columns]
    of_segment = np.zeros(int(segments.max()) + 1, np.uint8)
    np.bitwise_or.at(of_segment, at, wanted)
    is_alike = np.ones(len(of_segment), np.bool_)
    is_alike[at[wanted != of_segment[at]]] = False
    whole = np.where(is_alike, of_segment, np.uint8(0))
    whole[0] = 0
    out |= whole[segments]
    shared = np.flatnonzero((at > 0) & ~is_alike[at] & (of_segment[at] > 0))
    pixels, owners = _shared_out(segments, at[shared], rows[shared], columns[shared])
    out.reshape(-1)[pixels] = wanted[shared[owners]]


def _shared_out(
    segments: NDArray[np.int32],
    numbers: NDArray[np.int32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pixels near detections that are in their segments, and the nearest detection of each.

    Pixels are counted along the rows. Of detections that are equally near, the first has the pixel.
    """
    ny, nx = segments.shape
    step = np.arange(-int(_REACH), int(_REACH) + 1)
    dy, dx = (each.ravel() for each in np.meshgrid(step, step, indexing="ij"))
    near = dy**2 + dx**2 <= _REACH**2
    dy, dx = dy[near, None], dx[near, None]
    y, x = rows + dy, columns + dx
    inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
    inside[inside] = segments[y[inside], x[inside]] == np.broadcast_to(numbers, y.shape)[inside]
    owners = np.broadcast_to(np.arange(len(rows)), y.shape)[inside]
    apart = np.broadcast_to(dy**2 + dx**2, y.shape)[inside]
    order = np.lexsort((owners, apart))
    pixels, first = np.unique((y * nx + x)[inside][order], return_index=True)
    return pixels, owners[order][first]


def _brightest(
    level: Level, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and column of the brightest pixel of the 3 x 3 at each position."""
    ny, nx = level.signal.shape
    step = np.arange(-1, 2)
    rows = np.clip(np.rint(y).astype(np.intp)[:, None] + np.repeat(step, 3), 0, ny - 1)
    columns = np.clip(np.rint(x).astype(np.intp)[:, None] + np.tile(step, 3), 0, nx - 1)
    best = np.argmax(level.signal[rows, columns], axis=1)
    which = np.arange(len(x))
    return rows[which, best], columns[which, best]


def _segments(level: Level) -> NDArray[np.int32]:
    """Return the number of the footprint that each pixel is in, from 1; 0 for none."""

    def extract() -> NDArray[Any]:
        found: NDArray[Any] = sep.extract(
            level.signal,
            _THRESHOLD,
            err=level.noise,
            mask=level.bad,
            minarea=1,
            filter_kernel=None,
            deblend_cont=_DEBLEND,
            clean=False,
            segmentation_map=True,
        )[1]
        return found

    return with_room(extract, level.signal.size)


def _with_rim(marks: NDArray[Any], is_open: NDArray[np.bool_]) -> NDArray[Any]:
    """Spread marks to the eight neighbours that are open."""
    padded = np.pad(marks, 1)
    ny, nx = marks.shape
    spread = np.zeros_like(marks)
    for dy in range(3):
        for dx in range(3):
            spread |= padded[dy : dy + ny, dx : dx + nx]
    return marks | np.where(is_open, spread, np.zeros_like(marks))
