"""Where the HDUs of a FITS file lie in its bytes, by what the standard says of their sizes."""

import gzip
import math
import mmap
import re
import zlib
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError, one_line

BLOCK, CARD = 2880, 80
_GZIP = b"\x1f\x8b"
_START = b"SIMPLE  ="
#: Cards that tell how many bytes the data of an HDU take.
_SIZE = re.compile(rb"(BITPIX|NAXIS\d*|PCOUNT|GCOUNT) *= *([-+]?\d+)")


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
    except ValueError:
        return True  # within a header


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
