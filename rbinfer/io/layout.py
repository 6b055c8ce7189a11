"""Where the HDUs of a FITS file lie in its bytes, by what the standard says of their sizes."""

import gzip
import math
import mmap
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError, one_line
from .content import Content

BLOCK, CARD = 2880, 80
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


def content_of(path: Path) -> memoryview:
    """Return the bytes of a file, decompressed; those of a plain file are read as they are asked for.

    Raises
    ------
    InputError
        They cannot be read.
    """
    try:
        if is_gzip(path):
            return memoryview(gzip.decompress(path.read_bytes()))
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from error


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
        content = content_of(path)
    except InputError as error:
        return isinstance(error.__cause__, EOFError)
    except OSError:
        return False
    head = bytes(content[:BLOCK])
    if not head.startswith(_START):
        return _START.startswith(head) or not any(head)
    try:
        return any(place.lacks for place in places_of(content))
    except InputError:
        return False  # but damaged
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


def places_of(content: memoryview) -> list[Place]:
    """Find the HDUs of a file.

    Parameters
    ----------
    content : memoryview
        All its bytes.

    Returns
    -------
    list of Place

    Raises
    ------
    ValueError
        It does not begin as a FITS file, or a header has no end.
    InputError
        NAXIS is not within 0 to 999.
    """
    if bytes(content[: len(_START)]) != _START:
        raise ValueError("it does not begin as a FITS file")
    places: list[Place] = []
    start = 0
    while bytes(content[start : start + 8]) in (b"SIMPLE  ", b"XTENSION"):
        sizes: dict[str, int] = {}
        at = start
        while (card := bytes(content[at : at + CARD])).rstrip() != b"END":
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


def _rounded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
