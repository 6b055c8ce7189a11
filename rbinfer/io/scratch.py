"""Large images lie in a file of their own, not in memory: what was walked over is let go.

The file has the pixels as the kernels take them, native float32, so whatever takes an array takes these.
It has no name, and is gone when the process is, however that ends. What is read of it enters the memory,
and leaves it by `release`; the system keeps a copy as long as nobody else needs the room.
"""

import logging
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import FileIO
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

log = logging.getLogger(__name__)

Pixels = NDArray[np.float32]


class _Scratch(mmap.mmap):
    """A file of ours; of others what is changed could be lost by letting it go."""


#: Pixels above which an image is large.
LARGE = 100_000_000
#: Pixels that are in memory together, about.
_BAND = 1 << 23
#: Pixels that are copied together: they stay in the cache until they are written.
_COPIED = 1 << 17
#: Bytes that are written at a time, and that a pixel which is read brings into memory. What is written
#: together the system may keep as one page, and bring all of it.
_AROUND = 1 << 16
#: Rows that positions which are near each other may be apart at least: they come strip by strip.
_ROWS_APART = 256
#: Pixels here and there that are read together.
_SCATTERED = 1 << 11
#: For files that are large, as the usual place may be in memory (File Hierarchy Standard, 5.15).
_ON_DISK = "/var/tmp"


def filled(
    shape: tuple[int, ...], dtype: DTypeLike, step: int, fill: Callable[[NDArray[Any], int], object]
) -> NDArray[Any]:
    """Return pixels that a function gives: in a file where they are many and float32, else in memory.

    Parameters
    ----------
    shape : tuple of int
    dtype : data-type
    step : int
        Rows, or pixels of a single axis, that are given together.
    fill : callable
        Called as ``fill(part, first)`` for one part after the other: writes all values of `part`, an
        array of the rows from `first` on.

    Returns
    -------
    ndarray of `dtype`
        In memory too where a file cannot be mapped, or the disk has no room, of which a warning is
        logged.

    Raises
    ------
    OSError
        From `fill`, or of a disk that reserves room and has none when it is written.
    """
    is_large = math.prod(shape) > LARGE and dtype == np.float32
    opened = _opened(4 * math.prod(shape)) if is_large else None
    if opened is None:
        pixels = np.empty(shape, dtype)
        for first in range(0, len(pixels), step):
            fill(pixels[first : first + step], first)
        return pixels
    file, mapped = opened
    with file:
        room = np.empty((min(step, shape[0]), *shape[1:]), np.float32)
        for first in range(0, shape[0], step):
            part = room[: shape[0] - first]
            fill(part, first)
            left = memoryview(part).cast("B")
            while left:
                left = left[file.write(left[:_AROUND]) :]
    return np.ndarray(shape, np.float32, mapped)


def copy_of(pixels: Pixels, change: Callable[[Pixels, slice], object] | None = None) -> Pixels:
    """Return a copy, which is in a file if it is large.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    change : callable, optional
        Called as ``change(part, rows)`` with what is copied, some rows at a time; may write to it.
    """

    def fill(part: Pixels, first: int) -> None:
        rows = slice(first, first + len(part))
        part[:] = pixels[rows]
        release(pixels[rows])
        if change is not None:
            change(part, rows)

    return filled(pixels.shape, np.float32, max(_COPIED // pixels[0].size, 1), fill)


def release(pixels: NDArray[np.generic]) -> None:
    """Let go what is in memory of pixels in a file; they are read again when they are asked for.

    Of others, nothing. Other threads may go on reading, and writing.
    """
    whole = _whole_of(pixels)
    if whole is None or not pixels.size:
        return
    start, end = 0, whole.nbytes
    if pixels.flags.c_contiguous:
        start = _address(pixels) - _address(whole)
        end = min(-(-(start + pixels.nbytes) // _AROUND) * _AROUND, end)
        start = start // _AROUND * _AROUND
    cast("_Scratch", whole.base).madvise(mmap.MADV_DONTNEED, start, end - start)


def bands(pixels: NDArray[np.generic]) -> Iterator[slice]:
    """Yield slices of rows of an image, each let go before the next; all at once if it is in memory."""
    if _whole_of(pixels) is None:
        yield slice(0, len(pixels))
        return
    step = max(_BAND // pixels[0].size, 1)
    for first in range(0, len(pixels), step):
        rows = slice(first, min(first + step, len(pixels)))
        yield rows
        release(pixels[rows])


class Passing:
    """Lets go what lies around positions that are worked through from the top of an image to its bottom.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        All of the image.
    """

    def __init__(self, pixels: NDArray[np.generic]) -> None:
        self._pixels = pixels
        self._reach = None if _whole_of(pixels) is None else max(_BAND // pixels.shape[1], _ROWS_APART)
        self._row = 0.0

    def parts(self, y: NDArray[np.float64]) -> Iterator[slice]:
        """Yield slices of positions in rows `y` that are near each other, one after the other."""
        if self._reach is None:
            yield slice(0, len(y))
            return
        start = 0
        while start < len(y):
            with np.errstate(invalid="ignore"):  # two infinite ones; NaN compares false
                is_far = np.abs(y[start:] - self._row) > self._reach
            stop = start + int(is_far.argmax()) if is_far.any() else len(y)
            if start < stop:
                yield slice(start, stop)
            if stop < len(y):
                release(self._pixels)
                self._row = float(y[stop])
            start = stop


def taken(pixels: Pixels, y: NDArray[np.int64], x: NDArray[np.int64]) -> Pixels:
    """Return pixels at rows and columns, of shapes that broadcast: a few at a time where in a file."""
    if _whole_of(pixels) is None:
        # By places in a line it takes half as long.
        line = pixels.reshape(-1) if pixels.flags.c_contiguous else None
        return pixels[y, x] if line is None else line.take(y * pixels.shape[1] + x)
    rows, columns = np.broadcast_arrays(y, x)
    rows, columns, shape = rows.ravel(), columns.ravel(), rows.shape
    values = np.empty(len(rows), np.float32)
    # Forwards: the system brings the pages around one into memory with it.
    order = np.argsort(rows * pixels.shape[1] + columns, kind="stable")
    for first in range(0, len(rows), _SCATTERED):
        part = order[first : first + _SCATTERED]
        values[part] = pixels[rows[part], columns[part]]
        release(pixels)
    return values.reshape(shape)


def _whole_of(pixels: NDArray[np.generic]) -> NDArray[np.generic] | None:
    """Return all pixels of the file of ours that an array is of; None for any other array."""
    while isinstance(pixels.base, np.ndarray):
        pixels = pixels.base
    return pixels if isinstance(pixels.base, _Scratch) else None


def _address(pixels: NDArray[np.generic]) -> int:
    address: int = pixels.__array_interface__["data"][0]
    return address


def _opened(size: int) -> tuple[FileIO, _Scratch] | None:
    """Open a file without a name, of so many bytes that the disk has; None where that cannot be."""
    if not (hasattr(os, "posix_fallocate") and hasattr(mmap, "MADV_DONTNEED")):
        return None
    place = _place()
    try:
        with ExitStack() as opened:
            file = opened.enter_context(tempfile.TemporaryFile(dir=place, buffering=0))
            # Else a full disk would be known when half of it is written.
            os.posix_fallocate(file.fileno(), 0, size)
            mapped = _Scratch(file.fileno(), size)
            opened.pop_all()
            return file, mapped
    except OSError as error:
        log.warning(
            "the image is kept in memory: %s cannot hold its %.2g GB (%s); set TMPDIR to a folder "
            "that can",
            place, 1e-9 * size, error.strerror,
        )  # fmt: skip
        return None


def _place() -> str:
    if not {"TMPDIR", "TEMP", "TMP"} & set(os.environ) and os.access(_ON_DISK, os.W_OK):
        return _ON_DISK
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # nothing can be written anywhere
        return _ON_DISK
