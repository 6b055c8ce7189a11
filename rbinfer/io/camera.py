"""By which camera and filter an image was taken, as far as its headers tell."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .headers import value_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

#: What tells images of one camera and filter from others, and the cards that note it. Of each line all
#: cards count that are there: filter wheels have several.
_CARDS = {
    "telescope": ("TELESCOP",),
    "instrument": ("INSTRUME", "CAMERA"),
    "detector": ("DETECTOR", "DETNAM", "CCDNAME", "CHIPID"),
    "binning": ("XBINNING", "YBINNING", "CCDSUM", "BINNING", "CCDXBIN", "CCDYBIN"),
    "filter": (
        "FILTER", "FILTERS", "FILTNAM", "FILTNAME", "INSFLNAM",
        "FILTER1", "FILTER2", "FILTER3", "FILTER4",
    ),
}  # fmt: skip

#: Cards with the electrons per unit. Cameras with a setting of the amplifier note that as GAIN, 100 or
#: so, and what it amounts to as EGAIN.
_GAINS = ("EGAIN", "GAIN")
_MOST_GAIN = 50.0  # electrons per unit; what is more is a setting


#: Cards with the time of exposure in seconds; asked in this order.
_EXPOSURES = ("EXPTIME", "EXPOSURE", "EXP_TIME", "ITIME", "TEXPTIME")

#: Cards that name the target, asked in this order.
_TARGETS = ("OBJECT", "OBJNAME", "TARGET", "TARGNAME")

#: Cards with the airmass, and with the altitude of the target in degrees. ALTITUDE is left out: in most
#: headers it is the height of the site.
_AIRMASSES, _ALTITUDES = ("AIRMASS", "SECZ"), ("CENTALT", "OBJCTALT", "TELALT")
_MOST_AIRMASS = 40.0  # at the horizon


def exposure_of(headers: "Sequence[Header]") -> float | None:
    """Return the time of exposure that headers note, in seconds; None where none does.

    Parameters
    ----------
    headers : sequence of Header
        Of the image and, where it is an extension, of its file.
    """
    for card in _EXPOSURES:
        for header in headers:
            value: Any = value_of(header, card)
            if isinstance(value, int | float) and 0 < value < 1e7:
                return float(value)
    return None


def target_of(headers: "Sequence[Header]") -> str:
    """Return the name of the target that headers note; empty where none does."""
    for card in _TARGETS:
        for header in headers:
            value: Any = value_of(header, card)
            if isinstance(value, str) and value.strip():
                return " ".join(value.split())
    return ""


def airmass_of(headers: "Sequence[Header]") -> float | None:
    """Return the airmass that headers note, or that of the altitude that they note; None without both.

    Of an altitude it is the secant of the distance from the zenith, right within 2 % above 15 degrees.
    """
    for card in _AIRMASSES:
        for header in headers:
            value = _number(value_of(header, card))
            if value is not None and 1 <= value <= _MOST_AIRMASS:
                return value
    for card in _ALTITUDES:
        for header in headers:
            value = _number(value_of(header, card))
            if value is not None and 2 <= value <= 90:
                return 1 / math.sin(math.radians(value))
    return None


def gain_of(header: Any) -> tuple[float, str] | None:
    """Return the gain that a header notes.

    Parameters
    ----------
    header : astropy.io.fits.Header or None

    Returns
    -------
    (float, str) or None
        Electrons per unit, and the card that tells them; None where none does.
    """
    for card in () if header is None else _GAINS:
        value = header.get(card)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and math.isfinite(value) and 0 < value <= _MOST_GAIN:
            return float(value), card
    return None


def camera_of(headers: "Sequence[Header]", shape: tuple[int, int]) -> str:
    """Name camera, binning, size and filter of an image.

    Parameters
    ----------
    headers : sequence of Header
        Of the image and, where it is an extension, of its file; the first that has a card counts.
    shape : (int, int)
        Of the image, rows and columns.

    Returns
    -------
    str
        The same for images of one camera, binning, size and filter, such as
        ``size 2048 x 1024; instrument ALFOSC; binning 1, 1; filter R_Bes``. What no header tells is left
        out.
    """
    parts = [f"size {shape[1]} x {shape[0]}"]
    for what, cards in _CARDS.items():
        if found := [text for card in cards if (text := _first(headers, card))]:
            parts.append(f"{what} {', '.join(found)}")
    return "; ".join(parts)


def without_filter(camera: str) -> str:
    """Return what `camera_of` names, without the filter."""
    return camera.partition("; filter ")[0]


def filter_of(headers: "Sequence[Header]") -> str:
    """Name the filter of an image by the same cards; empty where none is there."""
    return ", ".join(text for card in _CARDS["filter"] if (text := _first(headers, card)))


def _number(value: Any) -> float | None:
    """Return the number of a card, which some programs write as text; None where there is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _first(headers: "Sequence[Header]", card: str) -> str:
    values = (value_of(header, card) for header in headers)
    return next((" ".join(str(value).split()) for value in values if value is not None), "")
