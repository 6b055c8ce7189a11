"""Headers read without their pixels, from thousands of files in a short time."""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from .cards import PlainHeader
from .files import collect_warnings
from .layout import BLOCK, CARD

if TYPE_CHECKING:
    from astropy.io.fits import Header

log = logging.getLogger(__name__)

_START = b"SIMPLE  ="
_END = b"END".ljust(CARD)
#: Cards with the date of an observation, or with date and time; asked in this order.
_DATES = ("DATE-OBS", "DATE-BEG", "DATE_OBS", "DATEOBS", "OBS-DATE", "DATE-AVG")
#: Cards with the time, where the date stands alone.
_TIMES = ("TIME-OBS", "TIME_OBS", "TIME-BEG", "UTC-OBS", "UTSTART", "UT-START", "UTC", "UT", "TIME")
_DAYS = (("MJD-OBS", 0.0), ("MJD", 0.0), ("MJD_OBS", 0.0), ("JD", 2400000.5), ("JD-OBS", 2400000.5))
_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)  # of the modified Julian date
_DATE_TIME = re.compile(
    r"(?P<date>\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4})"
    r"(?:(?:[T ]|T )\s*(?P<time>\d{1,2}:\d{1,2}(?::\d{1,2}(?:\.\d*)?)?))?"
    r"\s*(?P<zone>Z|UTC?|[+-]\d{2}:?\d{2})?"
)
_TIME = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?")
#: Blocks in which the end of a plain header is searched: 36,000 cards.
_MOST_BLOCKS = 1_000
#: Cards that say whether a distortion stands in a table, and all that are of such tables.
_LOOKED_UP = ("CPDIS1", "D2IMDIS1")
_DISTORTION = re.compile(r"(CPDIS|CPERR|DP|D2IMDIS|D2IMERR|D2IM)\d|D2IMEXT|AXISCORR")


def first_headers(path: str) -> "list[Header]":
    """Read the first header of a FITS file and, where that is of no image, the next.

    Parameters
    ----------
    path : str
        Also ``.gz``; a file packed by fpack has its keywords in the second header.

    Returns
    -------
    list of Header or PlainHeader
        Empty where the file cannot be read as FITS, for which whoever reads its pixels gives the reason.
    """
    import gzip

    opened: Any = gzip.open if path.lower().endswith(".gz") else open
    try:
        with opened(path, "rb") as file, collect_warnings():
            if file.read(len(_START)) != _START:
                return []
            file.seek(0)
            found = [_next_header(file)]
            if found[0].get("NAXIS") == 0 and file.read(1):
                file.seek(-1, 1)
                found.append(_next_header(file))
            return found
    except (OSError, EOFError, ValueError):
        return []


def _next_header(file: BinaryIO) -> Any:
    """Read a header; one that is more than plain cards as Astropy does, which takes long to import."""
    start = file.tell()
    blocks: list[bytes] = []
    while len(blocks) < _MOST_BLOCKS and len(block := file.read(BLOCK)) == BLOCK:
        blocks.append(block)
        if _END in (block[at : at + CARD] for at in range(0, BLOCK, CARD)):
            if (plain := PlainHeader.read(b"".join(blocks))) is not None:
                return plain
            break
    from astropy.io.fits import Header

    file.seek(start)
    return Header.fromfile(file)


def image_headers(path: str, hdu: int | None) -> "list[Header]":
    """Read the first header of a FITS file and, where that is not of the image, the image's own.

    Parameters
    ----------
    path : str
    hdu : int or None
        Number of the image's HDU, from 0; the first with an image where it is not known.

    Returns
    -------
    list of Header
        Astropy's; that of the image is the last. Empty as for `first_headers`.
    """
    from astropy.io import fits

    found = [as_header(header) for header in first_headers(path)]
    if not found or hdu is None or hdu == len(found) - 1:
        return found
    with collect_warnings():
        try:
            own = fits.getheader(path, hdu)
        except (OSError, EOFError, ValueError, IndexError):
            return found
    return [found[0], own]


def value_of(header: Any, keyword: str) -> Any:
    """Return the value of a keyword; None without it, and the text of a card that cannot be parsed."""
    if isinstance(header, PlainHeader):  # all of whose cards could be parsed
        return header.get(keyword)
    from astropy.io.fits import VerifyError

    with collect_warnings():
        try:
            return header.get(keyword)
        except VerifyError:
            return str(header.cards[keyword].image)[10:].split("/")[0].strip()


def as_header(header: Any) -> Any:
    """Return Astropy's header of one that was read without it; anything else as it is."""
    if not isinstance(header, PlainHeader):
        return header
    from astropy.io.fits import Header

    return Header.fromstring("".join(header.cards))


def readable(header: Any) -> Any:
    """Return a header without the cards that would cost the WCS.

    Some cannot be read or written. Others name tables of distortions beside those of SIP (HST), which
    are not read with the image.
    """
    from astropy.io.fits import Card, Header, VerifyError

    cards = []
    are_looked_up = any(str(header.get(each, "")).upper() == "LOOKUP" for each in _LOOKED_UP)
    if are_looked_up:
        log.info("the tables of distortions that the WCS names (CPDIS, D2IM) are not used")
    for card in header.cards:
        try:
            image = str(card.image)
            if are_looked_up and _DISTORTION.match(image):
                continue
            if image.isascii() and image.isprintable():
                cards.append(Card.fromstring(image))
        except (ValueError, VerifyError):
            continue
    return Header(cards)


def observed_at(headers: "Sequence[Header]") -> datetime | None:
    """Return when an observation began, in UTC, from the first cards that tell.

    Parameters
    ----------
    headers : sequence of Header
        From `first_headers`.

    Returns
    -------
    datetime or None
        Of ``DATE-OBS`` and its kin with date and time, or with the date alone and the time in another
        card; of ``MJD-OBS`` or ``JD``; or the beginning of the day.
    """
    days = []
    for header in headers:
        for keyword in _DATES:
            match = _DATE_TIME.fullmatch(str(value_of(header, keyword)).strip())
            day = None if match is None else _day(match["date"])
            if match is None or day is None:
                continue
            if match["time"]:
                return day + _since_midnight(match["time"]) - _offset(match["zone"])
            for other in _TIMES:
                if (time := _time_of(value_of(header, other))) is not None:
                    return day + time
            days.append(day)
        for keyword, zero in _DAYS:
            value = value_of(header, keyword)
            if isinstance(value, int | float) and 0 < value - zero < 1e6:
                return _EPOCH + timedelta(days=value - zero)
    return days[0] if days else None


def _day(text: str) -> datetime | None:
    numbers = [int(number) for number in re.split(r"[-/.]", text)]
    if numbers[0] < 1000:  # day/month/year, in two digits before 1999
        day, month, year = numbers
        numbers = [year + 1900 if year < 100 else year, month, day]
    try:
        return datetime(*numbers, tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None


def _since_midnight(text: str) -> timedelta:
    match = _TIME.fullmatch(text)
    if match is None:
        return timedelta()
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _time_of(value: Any) -> timedelta | None:
    """Return the time of a card: text, hours, or seconds of the day."""
    if isinstance(value, int | float) and 0 <= value < 86400:
        return timedelta(hours=value) if value < 24 else timedelta(seconds=value)
    text = str(value).strip()
    return _since_midnight(text) if _TIME.fullmatch(text) else None


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone[0] in "ZU":
        return timedelta()
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset
