"""The verdicts' summary in the header of an image file; every other byte stays as it is.

The cards are put into the header's bytes. Capture programs write cards that the FITS standard does not
know, and whoever rewrites a whole header changes or refuses them.
"""

import gzip
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .files import check_file, collect_warnings, written_whole
from .layout import BLOCK, CARD, Place, Stored, content_of, is_gzip, places_of

#: Keywords, what of the summary they hold, and their comments.
_CARDS = (
    ("RBMODEL", "model", "real/bogus model"),
    ("RBVERS", "version", "its version"),
    ("RBTHRESH", "threshold", "scores above it are real"),
    ("RBFWHM", "fwhm", "[pix] FWHM that the cutouts were scaled by"),
    ("RBNREAL", "real", "detections called real"),
    ("RBNBOGUS", "bogus", "detections called bogus"),
    ("RBNUNSC", "unscored", "detections without a score"),
)


def check_stamp(image: str | PathLike[str]) -> None:
    """Refuse a file whose headers cannot be stamped, before any work is done.

    Parameters
    ----------
    image : path
        FITS file.

    Raises
    ------
    InputError
        The headers cannot be found, or the file cannot be replaced.
    """
    path = Path(image)
    check_file(path)
    if not os.access(os.path.realpath(path.parent), os.W_OK):
        raise InputError(f"{path} cannot be stamped: its folder cannot be written")
    with content_of(path) as content:
        _places(path, content)


def stamp(
    image: str | PathLike[str], summaries: Mapping[int, Mapping[str, Any]], meta: Mapping[str, Any]
) -> None:
    """Note a summary in headers of an image file.

    A copy is changed and takes the file's place, so that the file is whole at any time. A ``CHECKSUM``
    that is there is renewed.

    Parameters
    ----------
    image : path
        FITS file, also compressed by gzip.
    summaries : mapping of int to mapping
        What `rbinfer.pipeline.summary.tally` returns, by the number of the HDU.
    meta : mapping
        Metadata of the scored table, for the hash of the model and the options.

    Raises
    ------
    InputError
        As by `check_stamp`.
    RbinferError
        The file system refused.
    """
    path = Path(image)
    with written_whole(path, "".join(path.suffixes[-2:])) as beside:
        with content_of(path) as content:
            parts = _stamped(path, content, summaries, meta)
            opened = gzip.open if is_gzip(path) else open
            with opened(beside, "wb") as file:
                file.writelines(chain.from_iterable(parts))
        # Whoever may read the image may read the stamped one.
        beside.chmod(path.stat().st_mode & 0o7777)


def _stamped(
    path: Path, content: Stored, summaries: Mapping[int, Mapping[str, Any]], meta: Mapping[str, Any]
) -> list[Iterable[bytes]]:
    """Return the parts of a file with the cards in its headers, each in pieces."""
    places = _places(path, content)
    parts: list[Iterable[bytes]] = []
    done = 0
    for number in sorted(summaries):
        if number >= len(places):
            raise InputError(f"{path} cannot be stamped: HDU {number} was not found in its bytes")
        place = places[number]
        header = _with_cards(content[place.header : place.data], _new_cards(summaries[number], meta))
        header = _with_checksum(header, content, place)
        parts += [content.pieces(done, place.header), [header]]
        done = place.data
    parts.append(content.pieces(done, len(content)))
    return parts


def _places(path: Path, content: Stored) -> list[Place]:
    try:
        return places_of(content)
    except ValueError as error:
        raise InputError(f"{path} cannot be stamped: {error}") from error


def _cards(header: bytes) -> Iterator[bytes]:
    for start in range(0, len(header), CARD):
        yield header[start : start + CARD]


def _new_cards(summary: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the cards of a summary by their keywords; long values take several cards."""
    from astropy.io import fits

    values = {keyword: (summary[key], comment) for keyword, key, comment in _CARDS}
    values["RBHASH"] = (meta["rb_hash"], "SHA-256 of the model")
    values["RBOPTS"] = (meta["rb_opts"], "options")
    with collect_warnings():  # of comments that find no room
        return {
            keyword: str(fits.Card(keyword, value, comment).image).encode("ascii")
            for keyword, (value, comment) in values.items()
        }


def _with_cards(header: bytes, new: Mapping[str, bytes]) -> bytes:
    """Put cards at the end of a header; those of the same keywords give way to them."""
    kept: list[bytes] = []
    is_ours = False
    for card in _cards(header):
        keyword = card[:8].decode("latin-1").strip()
        if card.rstrip() == b"END":
            break
        is_ours = keyword in new or (is_ours and keyword == "CONTINUE")
        if not is_ours:
            kept.append(card)
    while kept and not kept[-1].strip():  # room that was left before the end
        kept.pop()
    made = b"".join([*kept, *new.values(), b"END".ljust(CARD)])
    return made + b" " * (-len(made) % BLOCK)


def _with_checksum(header: bytes, content: Stored, place: Place) -> bytes:
    """Renew the ``CHECKSUM`` of a header that has one.

    References
    ----------
    FITS standard 4.0, appendix J: the sum of all 32-bit words of the HDU, in ones' complement, is made
    all ones by 16 characters that encode the complement of the rest.
    """
    start = next((k for k in range(0, len(header), CARD) if header[k : k + 8] == b"CHECKSUM"), None)
    if start is None:
        return header
    card = header[start : start + CARD]
    if card[10:11] != b"'" or card[27:28] != b"'":
        return header  # not written as the standard has it, so not to be renewed as it has it
    start += 11
    blank = header[:start] + b"0" * 16 + header[start + 16 :]
    total = _sum_of_words(0, blank)
    for piece in content.pieces(place.data, place.end):  # of whole words but for the last
        total = _sum_of_words(total, piece)
    rest = ~total & 0xFFFFFFFF
    return header[:start] + _encoded(rest) + header[start + 16 :]


def _sum_of_words(total: int, data: bytes) -> int:
    """Add 32-bit words in ones' complement."""
    whole = len(data) // 4 * 4
    total += int(np.frombuffer(data[:whole], ">u4").sum(dtype=np.uint64))
    total += int.from_bytes(data[whole:].ljust(4, b"\0"), "big")
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(value: int) -> bytes:
    """Encode 32 bits as 16 letters and digits, four for each byte, that sum up to it."""
    punctuation = frozenset(b":;<=>?@[\\]^_`")
    columns: list[list[int]] = []
    for byte in value.to_bytes(4, "big"):
        quarter, left = divmod(byte, 4)
        four = [quarter + 48 + (left if k == 0 else 0) for k in range(4)]
        while punctuation.intersection(four):
            # In pairs, so that their sum stays.
            for k in (0, 2):
                if punctuation.intersection(four[k : k + 2]):
                    four[k] += 1
                    four[k + 1] -= 1
        columns.append(four)
    letters = bytes(columns[column][k] for k in range(4) for column in range(4))
    return letters[-1:] + letters[:-1]  # rotated by one, as the value begins in column 12
