"""Plain FITS files, read without Astropy, which takes longer to import than they take to score.

A file is plain if each of its HDUs is an image without a scale (or of unsigned 16-bit integers) or a
binary table without a heap, and each header has plain cards only; see `rbinfer.io.cards`. Anything else
is left to Astropy, which gives the same of a plain file. One that is compressed by gzip is decompressed
once, in memory.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .cards import PlainHeader
from .content import PIECE
from .layout import BLOCK, MOST_AXES, Place, Stored, is_gzip, places_of
from .scratch import filled

#: Types of pixels by BITPIX.
_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_HALF = 2**15  # BZERO of unsigned integers of 16 bits
_PART = 2**17  # pixels that are read at a time: they stay in the cache until they are converted
#: What grows more than so many times, or to more bytes, is left to Astropy, which reads by pieces.
_MOST_EXPANDED, _MOST_UNPACKED = 64, 2**28
#: Cards that give pixels or rows a meaning beyond their plain values.
_BEYOND = ("BLANK", "ZIMAGE", "ZTABLE", "GROUPS", "DATASUM", "CHECKSUM", "THEAP")


@dataclass(frozen=True)
class PlainHdu:
    """An HDU of a plain file, under the names that Astropy has for the same.

    Attributes
    ----------
    path : Path
        The file.
    header : PlainHeader
    is_image : bool
        Or else a binary table.
    shape : tuple of int
        Slowest axis first; of a table (rows, bytes of a row).
    place : Place
        Where it lies in the file.
    default_name : str
        Name where the header gives none.
    unpacked : bytes, optional
        The whole file, decompressed; None where it is not compressed.
    """

    path: Path
    header: PlainHeader
    is_image: bool
    shape: tuple[int, ...]
    place: Place
    default_name: str
    unpacked: bytes | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """EXTNAME."""
        return str(self.header.get("EXTNAME", self.default_name))

    @property
    def ver(self) -> Any:
        """EXTVER."""
        return self.header.get("EXTVER", 1)

    @property
    def data(self) -> NDArray[Any] | None:
        """The pixels in native byte order, or the bytes of the rows, read now; None without any.

        Raises
        ------
        OSError
            The file has become shorter.
        """
        return self._read(self._kind.newbyteorder("="))

    @property
    def real_data(self) -> NDArray[Any] | None:
        """The same, of small integers as float32, which holds them: there is no second array of them."""
        is_small = self.is_image and self._kind.kind in "iu" and self._kind.itemsize <= 2
        return self._read(np.dtype(np.float32)) if is_small else self.data

    @property
    def _kind(self) -> np.dtype[Any]:
        return np.dtype(_TYPES[self.header["BITPIX"]])

    def _read(self, wanted: np.dtype[Any]) -> NDArray[Any] | None:
        if not self.shape or 0 in self.shape:
            return None
        kind = self._kind
        n, zero = math.prod(self.shape), np.float32(self.header.get("BZERO", 0))
        made = np.result_type(wanted, zero) if zero else wanted
        stored = np.empty(min(_PART, n), kind)
        native = np.empty(len(stored), kind.newbyteorder("="))
        is_converted = made != native.dtype
        with _opened(self.path, self.unpacked) as file:
            file.seek(self.place.data)

            def fill(pixels: NDArray[Any], _: int) -> None:
                part = stored[: len(pixels)]
                if file.readinto(part.view(np.uint8)) < part.nbytes:
                    raise OSError("it ends before its data do")
                if is_converted:
                    # A step at a time: NumPy does several at once in small pieces, and takes longer.
                    native[: len(part)] = part
                    part = native[: len(part)]
                pixels[:] = part
                if zero:
                    pixels += zero

            return filled((n,), made, _PART, fill).reshape(self.shape)


def plain_hdus(path: Path) -> list[PlainHdu] | None:
    """Return the HDUs of a file if it is plain, or else None.

    Parameters
    ----------
    path : Path
        Of a file that is not empty.
    """
    try:
        unpacked = _unpacked(path) if is_gzip(path) else None
        with _opened(path, unpacked) as file:
            content = Stored(file, path)
            places = places_of(content)
            hdus = _plain(path, content, places, unpacked)
            size = len(content)
    except (InputError, ValueError, OSError, EOFError, MemoryError, zlib.error):
        return None
    is_whole = places[-1].end == size and size % BLOCK == 0
    return hdus if is_whole and not any(place.lacks for place in places) else None


def _plain(
    path: Path, content: Stored, places: list[Place], unpacked: bytes | None
) -> list[PlainHdu] | None:
    """Return HDUs by their headers, whether or not their data are there; None where one is not plain."""
    hdus: list[PlainHdu] = []
    for place in places:
        header = PlainHeader.read(content[place.header : place.data])
        shape = None if header is None else _shape(header, is_first=not hdus)
        if header is None or shape is None:
            return None
        is_image = header.get("XTENSION", "IMAGE") == "IMAGE"
        name = "" if hdus else "PRIMARY"
        hdus.append(PlainHdu(path, header, is_image, shape, place, name, unpacked))
    return hdus


@contextmanager
def _opened(path: Path, unpacked: bytes | None) -> Iterator[BufferedReader | BytesIO]:
    """Open a file, or what was decompressed of it."""
    with path.open("rb") if unpacked is None else BytesIO(unpacked) as file:
        yield file


def _unpacked(path: Path) -> bytes:
    """Return the decompressed bytes of a file.

    Raises
    ------
    ValueError
        They are too many, or the first headers are not plain: Astropy reads it, piece by piece.
    """
    most = min(_MOST_EXPANDED * path.stat().st_size, _MOST_UNPACKED)
    found = BytesIO()
    with gzip.open(path) as file:
        while piece := file.read(PIECE):
            if not found.tell():
                first = Stored(BytesIO(piece), path)
                places = places_of(first)
                if _plain(path, first, places, None) is None or places[-1].end > most:
                    raise ValueError("it is not plain")
            found.write(piece)
            if found.tell() > most:
                raise ValueError("it is large once decompressed")
    return found.getvalue()


def _shape(header: PlainHeader, is_first: bool) -> tuple[int, ...] | None:
    """Return the shape of the data of an HDU; None where they are not plain."""
    kind, bits, n = header.get("XTENSION"), header.get("BITPIX"), header.get("NAXIS")
    n_axes = n if type(n) is int and 0 <= n <= MOST_AXES else None
    axes: list[Any] = [header.get(f"NAXIS{k}") for k in range(n_axes or 0, 0, -1)]
    names = header.get("EXTNAME", ""), header.get("EXTVER", 1)
    is_plain = (
        (header.get("SIMPLE") is True if is_first else kind in ("IMAGE", "BINTABLE"))
        and bits in _TYPES
        and header.get("PCOUNT", 0) == 0
        and header.get("GCOUNT", 1) == 1
        and n_axes is not None
        and all(type(axis) is int and axis >= 0 for axis in axes)
        and isinstance(names[0], str)
        and type(names[1]) is int
        and not any(key in header for key in _BEYOND)
        and (kind != "BINTABLE" or (bits == 8 and len(axes) == 2))
        and header.get("BSCALE", 1) == 1
        and (header.get("BZERO", 0) == 0 or (header["BZERO"] == _HALF and bits == 16))
    )
    return tuple(axes) if is_plain else None
