"""Where the HDUs of a FITS file lie in its bytes, by what the standard says of their sizes."""

import gzip
import itertools
import math
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ..errors import InputError, one_line
from .content import Content

BLOCK, CARD = 2880, 80
_PIECE = BLOCK * 512  # bytes that are copied at once
_GZIP = b"\x1f\x8b"
_START = b"SIMPLE  ="
#: Cards that tell how many bytes the data of an HDU take.
_SIZE = re.compile(rb"(BITPIX|NAXIS\d*|PCOUNT|GCOUNT) *= *([-+]?\d+)")
#: How many axes there are, also of compressed pixels, as Astropy reads the card.
_AXES = re.compile(rb"(?:HIERARCH +)?(Z?NAXIS) *= *([-+]? *\d+)", re.IGNORECASE)
_AXES_STARTS = np.frombuffer(b"HhNnZz", np.uint8)
#: Axes that an HDU may have, by the standard.
MOST_AXES = 999


class Place(NamedTuple):
    """Where an HDU lies in a file, in bytes: its header, its data, and its end.

    `lacks` is how many bytes of data the file ends before.
    """

    header: int
    data: int
    end: int
    lacks: int


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed by gzip."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


class Stored:
    """The bytes of an open file, read as they are asked for.

    A memory map would do the same, but ends the process where another one cuts the file short.

    Parameters
    ----------
    file : binary file
        It can be searched; whoever opened it closes it.
    path : Path
        Its name, for messages.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._size = file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """Return bytes; raises `InputError` where they are not there any more."""
        start, stop, _ = part.indices(self._size)
        size = max(stop - start, 0)
        try:
            self._file.seek(start)
            found = self._file.read(size)
        except OSError as error:
            raise InputError(f"{self._path} cannot be read: {one_line(error)}") from error
        if len(found) < size:
            text = f"{self._path} has become shorter while it was read; start again"
            raise InputError(text) from EOFError(f"{len(found)} of {size} bytes")
        return found

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes of a part, a few at a time."""
        for at in range(start, stop, _PIECE):
            yield self[at : min(at + _PIECE, stop)]


@contextmanager
def content_of(path: Path) -> Iterator[Stored]:
    """Open a file for its bytes, decompressed.

    Yields
    ------
    Stored

    Raises
    ------
    InputError
        They cannot be read.
    """
    try:
        packed = is_gzip(path)
        file: BinaryIO = BytesIO(gzip.decompress(path.read_bytes())) if packed else path.open("rb")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from error
    with file:
        yield Stored(file, path)


def ends_early(path: Path) -> bool:
    """Whether a FITS file has fewer bytes than its own headers say, as one that is being written.

    Parameters
    ----------
    path : Path
        Also compressed by gzip.

    Returns
    -------
    bool
        True also for an empty file, and one of zeros alone, for which room was made. False where it is
        no FITS file, or cannot be read for other reasons.
    """
    try:
        if path.stat().st_size == 0:
            return True
        with content_of(path) as content:
            head = content[:BLOCK]
            if not head.startswith(_START):
                return _START.startswith(head) or not any(head)
            return any(place.lacks for place in places_of(content))
    except InputError as error:
        return isinstance(error.__cause__, EOFError)
    except OSError:
        return False
    except ValueError:
        return True  # within a header


def check_axes(path: Path) -> None:
    """Refuse a number of axes for which Astropy would work without end.

    Parameters
    ----------
    path : Path
        A FITS file, also compressed. All its cards are looked at, wherever they are: who would hide one
        could make a walk from header to header miss it.

    Raises
    ------
    InputError
        NAXIS or ZNAXIS is not within 0 to 999, or the file cannot be decompressed.
    """
    for piece in Content(path).pieces():
        whole = len(piece) - len(piece) % CARD
        firsts = np.frombuffer(piece, np.uint8, whole)[::CARD]
        for k in np.flatnonzero(np.isin(firsts, _AXES_STARTS)):
            if found := _AXES.match(piece[k * CARD : (k + 1) * CARD]):
                _check_axes(found[1].decode().upper(), int(found[2].replace(b" ", b"")), f"{path}: ")


def _check_axes(keyword: str, n_axes: int, where: str) -> None:
    if not 0 <= n_axes <= MOST_AXES:
        raise InputError(
            f"{where}{keyword} is {n_axes}, but FITS has 0 to {MOST_AXES} axes; the header is damaged"
        )


def places_of(content: Stored) -> list[Place]:
    """Find the HDUs of a file.

    Parameters
    ----------
    content : Stored
        All its bytes; those of the headers are read.

    Returns
    -------
    list of Place

    Raises
    ------
    ValueError
        It does not begin as a FITS file, or a header has no end.
    InputError
        The file has become shorter.
        Or NAXIS is not within 0 to 999.
    """
    if content[: len(_START)] != _START:
        raise ValueError("it does not begin as a FITS file")
    places: list[Place] = []
    start = 0
    while content[start : start + 8] in (b"SIMPLE  ", b"XTENSION"):
        sizes: dict[str, int] = {}
        at = start
        for card in _cards(content, start):
            if len(card) < CARD:
                raise ValueError(f"the header of HDU {len(places)} has no end")
            if found := _SIZE.match(card):
                sizes.setdefault(found[1].decode(), int(found[2]))
            at += CARD
        data = start + _rounded(at + CARD - start)
        _check_axes("NAXIS", sizes.get("NAXIS", 0), f"HDU {len(places)}: ")
        axes = [sizes.get(f"NAXIS{k + 1}", 0) for k in range(sizes.get("NAXIS", 0))]
        if axes[:1] == [0]:  # random groups
            axes = axes[1:]
        count = sizes.get("GCOUNT", 1) * (sizes.get("PCOUNT", 0) + math.prod(axes)) if axes else 0
        end = data + abs(sizes.get("BITPIX", 8)) // 8 * count
        padded = data + _rounded(end - data)
        places.append(Place(start, data, min(padded, len(content)), max(end - len(content), 0)))
        start = padded
    return places


def _cards(content: Stored, start: int) -> Iterator[bytes]:
    """Yield the cards of a header before its end; the last one is short where the file ends first."""
    for at in itertools.count(start, BLOCK):
        block = content[at : at + BLOCK]
        for k in range(0, BLOCK, CARD):
            card = block[k : k + CARD]
            if card.rstrip() == b"END":
                return
            yield card
            if len(card) < CARD:
                return


def _rounded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
