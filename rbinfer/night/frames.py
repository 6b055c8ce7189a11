"""The frames of a night: what their headers tell, and which of them show one field in one filter."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.camera import camera_of, exposure_of, filter_of, target_of
from ..io.frame_types import kind_of
from ..io.headers import first_headers, image_headers, observed_at, value_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

#: Words of folders that name no target: dates, what capture programs call their folders, filters.
_NO_TARGET = re.compile(
    r"[\d\W_]+|\d*(raw|cal|calibrated|reduced|images?|autorun|plan|live|capture|captures|frames?|fits?"
    r"|data|night|snapshots?|preview|temp)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Frame:
    """A light of a night.

    Attributes
    ----------
    image : str
    result : Path
        Its scored catalogue.
    target, filter : str
        As headers or else folders tell; empty where none does.
    camera : str
        Camera, binning and size, without the filter: frames of one camera share their pixels.
    shape : (int, int)
        Rows and columns.
    time : datetime or None
        When its exposure began, UTC.
    exposure : float or None
        Seconds.
    """

    image: str
    result: Path
    target: str
    filter: str
    camera: str
    shape: tuple[int, int]
    time: datetime | None
    exposure: float | None

    @property
    def hours(self) -> float:
        """Middle of the exposure in hours since the beginning of 1970; NaN where it is not known."""
        if self.time is None:
            return float("nan")
        return (self.time.timestamp() + 0.5 * (self.exposure or 0.0)) / 3600.0

    @property
    def group(self) -> tuple[str, str]:
        """Target and filter, in one spelling of each."""
        return plain(self.target), plain(self.filter)


def read_frame(image: str, folders: Sequence[str], result: Path) -> Frame:
    """Read what the headers of an image tell.

    Parameters
    ----------
    image : str
        FITS file that can be read.
    folders : sequence of str
        Names of the folders that it lies in below the folder of the night.
    result : Path
        Its scored catalogue, a FITS table, which notes the HDU that was scored.

    Returns
    -------
    Frame
    """
    headers = image_headers(image, _scored_hdu(result))
    shape = _shape(headers)
    filter = filter_of(headers)
    whole = camera_of(headers, shape)
    camera = "; ".join(part for part in whole.split("; ") if not part.startswith("filter "))
    return Frame(
        image,
        result,
        target=target_of(headers) or _target_of(folders, filter),
        filter=filter,
        camera=camera,
        shape=shape,
        time=observed_at(headers),
        exposure=exposure_of(headers),
    )


def plain(text: str) -> str:
    """Return a name as it is compared: ``M 31`` is ``m31``."""
    return re.sub(r"[\W_]+", "", text).casefold()


def _scored_hdu(result: Path) -> int | None:
    headers = first_headers(str(result))
    number: Any = value_of(headers[-1], "RB_HDU") if headers else None
    return number if isinstance(number, int) else None


def _shape(headers: "Sequence[Header]") -> tuple[int, int]:
    for header in reversed(headers):
        for prefix in ("ZNAXIS", "NAXIS"):  # of a packed image, which is a table, and of a plain one
            size = [value_of(header, f"{prefix}{k}") for k in (2, 1)]
            if all(isinstance(n, int) and n > 0 for n in size):
                return size[0], size[1]
    return 0, 0


def _target_of(folders: Sequence[str], filter: str) -> str:
    """Return the name of the innermost folder that may be a target's."""
    for name in reversed(folders):
        if kind_of(name) is None and not _NO_TARGET.fullmatch(name) and plain(name) != plain(filter):
            return name
    return ""
