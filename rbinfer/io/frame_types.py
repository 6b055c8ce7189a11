"""What a frame was taken for: light, dark, flat or bias, as headers and names of folders tell it."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .headers import value_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

#: Keywords that tell the type of a frame, and who writes them; asked in this order.
KEYWORDS = (
    ("IMAGETYP", "SBIG and MaxIm DL, N.I.N.A., SGP, ASIAIR, SharpCap, PixInsight; IRAF and NOAO; HST"),
    ("FRAME", "INDI, and with it KStars and Ekos"),
    ("FRAMETYP", "FireCapture and others"),
    ("FRAMETYPE", "the same in full, as a HIERARCH card"),
    ("IMAGETYPE", "the same in full, as a HIERARCH card"),
    ("IMGTYPE", "LSST; ZTF"),
    ("IMGTYP", "PTF"),
    ("OBSTYPE", "NOAO, DECam, Gemini, LCO, ING, CFHT, UKIRT, SALT, DESI"),
    ("OBS_TYPE", "SkyMapper"),
    ("OBS-TYPE", "the same with a hyphen"),
    ("ESO DPR TYPE", "ESO"),
    ("DATA-TYP", "Subaru"),
    ("EXPTYPE", "CFHT, Pan-STARRS, APOGEE"),
    ("EXP_TYPE", "JWST"),
    ("KOAIMTYP", "the archive of Keck"),
    ("CCDTYPE", "SALT, AAO"),
    ("FLAVOR", "SDSS, DESI"),
    ("PICTTYPE", "AstroArt, CCDSoft: a number"),
)
#: Words that tell a type; the first type that has a word of a value is taken. JWST and others build
#: words such as DARKIMG, INTFLAT and FLATLAMP; a bias is a zero at NOAO and an offset in French.
WORDS = (
    ("light", r"lights?|masterlight|lightframe|object|obj|science|sci|target|expose|snapshot"),
    ("dark flat", r"darkflats?|flatdarks?"),
    ("dark", r"dark.*|.*darks?"),
    ("flat", r"flat(?!ten).*|.*flats?"),
    ("bias", r"bias.*|.*bias|zeros?|offsets?"),
)
#: Words beside a type in the names of folders: what such frames are called, also by ACP (AutoDark),
#: their exposure, temperature and gain, filters. Single letters are no words: they are filters, units
#: and the like.
BESIDES = re.compile(
    r"frames?|masters?|fields?|sky|dome|twilight|dusk|dawn|raws?|cal|calib|calibrations?|secs?|min|ms"
    r"|degc?|auto|library|short|long|tests?"
    r"|gain|iso|bin|exp|lum|red|green|blue|clear|ha|hb|oiii|sii|nir"
)
#: Whole values that tell a type by no such word.
VALUES = {"dome": "flat", "twilight": "flat"}
#: What the numbers of PICTTYPE mean.
NUMBERS = {1: "light", 2: "bias", 3: "dark", 4: "flat"}
#: Types of frames that show no sky, and what several of them are called.
CALIBRATION = {"dark": "darks", "flat": "flats", "bias": "biases", "dark flat": "dark flats"}


class FrameType(NamedTuple):
    """The type of a frame, and what told it.

    Attributes
    ----------
    kind : {"light", "dark", "flat", "bias", "dark flat"}
    told_by : str
        Such as ``IMAGETYP = 'Dark Frame'`` or ``the folder DARK``.
    """

    kind: str
    told_by: str

    @property
    def is_calibration(self) -> bool:
        """Whether the frame shows no sky."""
        return self.kind in CALIBRATION


def frame_type(headers: "Sequence[Header]") -> FrameType | None:
    """Return the type of a frame by its headers.

    Parameters
    ----------
    headers : sequence of Header
        From `rbinfer.io.headers.first_headers`.

    Returns
    -------
    FrameType or None
        None where no keyword of `KEYWORDS` has a value with a word of `WORDS`, and ``OBJECT`` is more
        than such a word.
    """
    for keyword, _ in KEYWORDS:
        for header in headers:
            value = value_of(header, keyword)
            number = NUMBERS.get(value) if keyword == "PICTTYPE" else None
            kind = number or kind_of(str(value))
            if kind is not None:
                return FrameType(kind, f"{keyword} = {value!r}")
    return _of_object(headers)


def _of_object(headers: "Sequence[Header]") -> FrameType | None:
    """Return the type of a frame whose target is called by nothing but that type."""
    for header in headers:
        value = str(value_of(header, "OBJECT") or "")
        kind = kind_of(value) if _is_type_alone(value) else None
        if kind in CALIBRATION:
            return FrameType(kind, f"OBJECT = {value!r}")
    return None


def folder_type(folders: Sequence[str]) -> FrameType | None:
    """Return the type of a frame by the names of the folders that it lies in, the innermost last."""
    for name in reversed(folders):
        kind = kind_of(name) if _is_type_alone(name) else None
        if kind is not None:
            return FrameType(kind, f"the folder {name}")
    return None


def kind_of(text: str) -> str | None:
    """Return the type that a text tells; None if it tells none."""
    if text.strip().lower() in VALUES:
        return VALUES[text.strip().lower()]
    words = _words(text)
    kinds = [kind for kind, pattern in WORDS if any(re.fullmatch(pattern, word) for word in words)]
    if not kinds:
        return None
    # "Flat Dark" is a dark for flats, in two words.
    is_both = "light" not in kinds and {"dark", "flat"} <= set(kinds)
    return "dark flat" if is_both else kinds[0]


def _words(text: str) -> list[str]:
    # A master of darks may be masterDark.
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())


def _is_type_alone(name: str) -> bool:
    """Whether a name says nothing but a type: a target may be called Dark Horse."""
    words = [word for word in _words(name) if len(word) > 1 and not BESIDES.fullmatch(word)]
    patterns = [pattern for _, pattern in WORDS]
    return bool(words) and all(any(re.fullmatch(p, word) for p in patterns) for word in words)
