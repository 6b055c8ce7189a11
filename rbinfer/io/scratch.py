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
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Pixels = NDArray[np.float32]


class _Scratch(mmap.mmap):
    """A file of ours; of others what is changed could be lost by letting it go."""


#: Pixels above which an image is large.
LARGE = 100_000_000
#: Pixels that are in memory together, about.
_BAND = 1 << 23
#: Pixels here and there that are read together. Each brings its neighbours, 64 kB in all, into memory.
_SCATTERED = 1 << 11
#: For files that are large, as the usual place may be in memory (File Hierarchy Standard, 5.15).
_ON_DISK = "/var/tmp"


def room_for(shape: tuple[int, ...]) -> Pixels:
    """Make room for pixels: in a file where they are many, else in memory.

    Parameters
    ----------
    shape : tuple of int

    Returns
    -------
    ndarray of float32
        Of any values. In memory too where a file cannot be mapped, or the disk has no room, of which a
        warning is logged.
    """
    size = math.prod(shape)
    if size <= LARGE or not (hasattr(os, "posix_fallocate") and hasattr(mmap, "MADV_DONTNEED")):
        return np.empty(shape, np.float32)
    place = _place()
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            # Else a full disk would end the process when a page is written.
            os.posix_fallocate(file.fileno(), 0, 4 * size)
            mapped = _Scratch(file.fileno(), 4 * size)
    except OSError as error:
        log.warning(
            "the image is kept in memory: %s cannot hold its %.2g GB (%s); set TMPDIR to a folder "
            "that can",
            place, 4e-9 * size, error.strerror,
        )  # fmt: skip
        return np.empty(shape, np.float32)
    # Else pages are joined to large ones, and one pixel brings 2 MB into memory.
    mapped.madvise(mmap.MADV_RANDOM)
    return np.ndarray(shape, np.float32, mapped)


def written(pixels: Pixels) -> None:
    """Tell that pixels in a file are written: from now on what is read is read ahead."""
    mapped = _file_of(pixels)
    if mapped is not None:
        mapped.madvise(mmap.MADV_NORMAL)


def copy_of(pixels: Pixels) -> Pixels:
    """Return a copy, which is in a file if it is large."""
    copy = room_for(pixels.shape)
    for rows in bands(pixels):
        copy[rows] = pixels[rows]
        release(copy)
    written(copy)
    return copy


def release(pixels: NDArray[np.generic]) -> None:
    """Let go what is in memory of pixels in a file; they are read again when they are asked for.

    Of others, nothing. Other threads may go on reading, and writing.
    """
    mapped = _file_of(pixels)
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)


def bands(pixels: NDArray[np.generic]) -> Iterator[slice]:
    """Yield slices of rows of an image, each let go before the next; all at once if it is in memory."""
    if _file_of(pixels) is None:
        yield slice(0, len(pixels))
        return
    step = max(_BAND // pixels[0].size, 1)
    for first in range(0, len(pixels), step):
        yield slice(first, min(first + step, len(pixels)))
        release(pixels)


def taken(pixels: Pixels, y: NDArray[np.int64], x: NDArray[np.int64]) -> Pixels:
    """Return pixels at rows and columns, of shapes that broadcast: a few at a time where in a file."""
    if _file_of(pixels) is None:
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


def _file_of(pixels: NDArray[np.generic]) -> _Scratch | None:
    """Return the file of ours that an array is of, or a view of it; None for any other array."""
    base: object = pixels
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, _Scratch) else None


def _place() -> str:
    if not {"TMPDIR", "TEMP", "TMP"} & set(os.environ) and os.access(_ON_DISK, os.W_OK):
        return _ON_DISK
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # nothing can be written anywhere
        return _ON_DISK
