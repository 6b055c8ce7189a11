"""What a request asks for: which image, which detections and how, checked before any work."""

import logging
import math
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from .._util.sentences import did_you_mean
from ..errors import InputError
from ..io.content import Content
from ..io.files import collect_warnings
from ..io.foreign import told_of
from ..io.headers import value_of
from ..io.layout import check_axes
from ..pipeline.options import ScoreOptions
from .limits import RefusedError

log = logging.getLogger(__name__)

#: Options that a request may have, and the types that JSON gives them.
_NUMBERS = ("threshold", "max_missed", "max_false", "fwhm", "saturation", "scale_xy")
_INTEGERS = ("bad_bits", "origin")
_TEXTS = ("plane", "catalog_format", "x_col", "y_col", "mask", "err", "psf")
_FLAGS = ("bayer", "swap_xy", "flip_x", "flip_y", "trust_positions", "allow_off_image")
_OPTIONS = (*_NUMBERS, *_INTEGERS, *_TEXTS, *_FLAGS, "hdu", "shift_xy", "show")
_KEYS = ("image", "catalog", "positions", "options")
_HDU = re.compile(r"[A-Za-z0-9_ -]+")
_PIECE = 1 << 20  # bytes
_FITS, _GZIP = b"SIMPLE", b"\x1f\x8b"
_MOST = 2**63  # integers from here on have no type


@dataclass(frozen=True)
class Job:
    """An image to score.

    Attributes
    ----------
    image : str
        A file.
    catalog : str or None
        Another; SEP detects where there is none.
    options : ScoreOptions
    name : str
        What answers call the image.
    """

    image: str
    catalog: str | None
    options: ScoreOptions
    name: str


@dataclass(frozen=True)
class Asked:
    """What a request says in JSON.

    Attributes
    ----------
    image, catalog : str or None
        Files on this machine.
    positions : mapping or None
        ``x`` and ``y``, 0-based pixels.
    options : mapping
    """

    image: str | None
    catalog: str | None
    positions: Mapping[str, Any] | None
    options: Mapping[str, Any]

    @classmethod
    def of(cls, found: Any) -> "Asked":
        """Read what JSON gave; raises `RefusedError` where it has anything else than is known."""
        if not isinstance(found, dict):
            raise RefusedError(400, f"the request must be a JSON object with {', '.join(_KEYS)}")
        for key in found:
            if key not in _KEYS:
                raise RefusedError(400, f"there is no key {key!r}{did_you_mean(key, _KEYS)}")
        for key in ("image", "catalog"):
            if not isinstance(found.get(key), str | None):
                raise RefusedError(400, f"{key} must be the path of a file, as text")
        for key in ("positions", "options"):
            if not isinstance(found.get(key), dict | None):
                raise RefusedError(400, f"{key} must be a JSON object")
        if found.get("catalog") is not None and found.get("positions") is not None:
            raise RefusedError(400, "catalog and positions are two ways to say the same; give one")
        given = [found.get(key) for key in ("image", "catalog", "positions")]
        return cls(given[0], given[1], given[2], found.get("options") or {})


def allowed_path(path: str, folders: Sequence[str], what: str) -> str:
    """Return where a path leads, if that is in one of the folders.

    Parameters
    ----------
    path : str
        Absolute.
    folders : sequence of str
        Real paths.
    what : str
        What it is, for messages.

    Raises
    ------
    RefusedError
        It is not, whether it exists or not.
    """
    if "\0" in path or not os.path.isabs(path):
        raise RefusedError(400, f"the {what} must be an absolute path")
    try:
        real = os.path.realpath(path)
    except UnicodeEncodeError as error:
        raise RefusedError(400, f"the {what} has a name that no file can have") from error
    if not any(real.startswith(os.path.join(folder, "")) for folder in folders):
        where = f"; allowed are {', '.join(folders)}" if folders else "; none is allowed (--allow)"
        raise RefusedError(403, f"the {what} {path} lies in no folder that this service may read{where}")
    return real


def options_of(given: Mapping[str, Any], defaults: ScoreOptions) -> ScoreOptions:
    """Return the options of the service with those of a request over them.

    Raises
    ------
    RefusedError
        There is no such option, or it has another type.
    InputError
        Options that exclude each other.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _OPTIONS:
            raise RefusedError(400, f"there is no option {name!r}{did_you_mean(name, _OPTIONS)}")
        if value is None and name == "show":
            continue  # what the service shows
        values[name] = _checked(name, value)
    ways = ("threshold", "max_missed", "max_false")
    if any(values.get(name) is not None for name in ways):
        values = dict.fromkeys(ways) | values
    return replace(defaults, **values)


def _checked(name: str, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, int) and abs(value) >= _MOST:
        raise RefusedError(400, f"the option {name} is a number of {len(str(value))} digits, too many")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _NUMBERS and is_number and math.isfinite(value):
        if name in ("threshold", "max_missed", "max_false") and not 0 <= value <= 1:
            raise RefusedError(400, f"the option {name} must lie in [0, 1], not {value}")
        return float(value)
    if name in _INTEGERS and is_number and isinstance(value, int):
        return value
    if name in _FLAGS and isinstance(value, bool):
        return value
    if name == "hdu" and is_number:
        return str(value)
    if name in ("mask", "err", "psf"):
        # Files would be read that no folder allows.
        if isinstance(value, str) and _HDU.fullmatch(value) and not os.path.exists(value):
            return value
        raise RefusedError(400, f"the option {name} names an HDU of the image here, not {value!r}")
    if name in (*_TEXTS, "hdu") and isinstance(value, str):
        return value
    if isinstance(value, list) and name == "show" and all(isinstance(each, str) for each in value):
        return tuple(value)
    if isinstance(value, list) and name == "shift_xy" and len(value) == 2 and None not in value:
        return tuple(_checked("scale_xy", each) for each in value)
    raise RefusedError(400, f"the option {name} cannot be {value!r}")


def write_positions(positions: Mapping[str, Any], path: Path) -> None:
    """Write positions as a catalogue.

    Raises
    ------
    RefusedError
        They are not two lists of as many numbers.
    """
    from astropy.table import Table

    if set(positions) != {"x", "y"}:
        raise RefusedError(400, "positions must have x and y, lists of 0-based pixels, and nothing else")
    try:
        columns = {name: np.asarray(positions[name], np.float64) for name in ("x", "y")}
    except (TypeError, ValueError, OverflowError) as error:
        raise RefusedError(400, "positions must be lists of numbers") from error
    if any(values.ndim != 1 for values in columns.values()) or len(columns["x"]) != len(columns["y"]):
        raise RefusedError(400, "positions must be two lists of as many numbers")
    Table(columns).write(path, format="fits")


def keep_upload(source: IO[bytes], path: Path, most_bytes: int) -> None:
    """Write the bytes of an image where `rbinfer` reads it: FITS as it is, npy as FITS.

    Parameters
    ----------
    source : file
    path : Path
    most_bytes : int
        What it may take decompressed.

    Raises
    ------
    RefusedError
        It would take more, whatever its own size is, or its header holds no numbers where it must.
    InputError
        It is neither FITS nor npy, or cannot be read.
    """
    with path.open("wb") as file:
        shutil.copyfileobj(source, file, _PIECE)
    with path.open("rb") as file:
        head = file.read(20)
    if head.startswith(b"\x93NUMPY"):
        _as_fits(path)
    # Astropy would unpack whatever is packed, without an end.
    elif not head.startswith((_FITS, _GZIP)):
        raise _no_image(head)
    check_inflated(path, most_bytes, "image")
    if not (head := Content(path).head).startswith(_FITS):
        raise _no_image(head)
    _check_claim(path, most_bytes)


def _no_image(head: bytes) -> InputError:
    told = told_of(head) or "it begins as none of them does"
    return InputError(f"the image must be FITS, also compressed by gzip, or npy: {told}")


def check_inflated(path: Path, most_bytes: int, what: str) -> None:
    """Refuse a file that takes more decompressed than is taken.

    Parameters
    ----------
    path : Path
    most_bytes : int
    what : str
        What it is, for messages.

    Raises
    ------
    RefusedError
        It takes more.
    InputError
        It cannot be decompressed.
    """
    content = Content(path)
    if not content.is_compressed:
        return
    size = 0
    try:
        for piece in content.pieces():
            size += len(piece)
            if size > most_bytes:
                raise RefusedError(413, f"the {what} takes more than {most_bytes:,} bytes unpacked")
    except InputError as error:
        raise InputError(f"the {what} cannot be decompressed: {error.__cause__}") from error


def _as_fits(path: Path) -> None:
    from astropy.io import fits

    try:
        # Mapped, a header that claims more than there is costs no memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, OverflowError) as error:
        raise InputError(f"the npy file cannot be read: {' '.join(str(error).split())}") from error
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise InputError(
            f"the npy file must hold numbers of shape (ny, nx), not {array.dtype} of shape {array.shape}"
        )
    beside = path.with_name(f"{path.name}.new")
    fits.writeto(beside, np.asarray(array, np.float32), output_verify="ignore")
    os.replace(beside, path)


def _check_claim(path: Path, most_bytes: int) -> None:
    """Refuse headers that claim more pixels than are taken, before anything makes room for them."""
    from astropy.io import fits

    try:
        check_axes(path)
    except InputError as error:
        raise InputError(str(error).replace(str(path), "the image")) from error
    try:
        with collect_warnings(), fits.open(path, disable_image_compression=True, memmap=True) as hdus:
            headers = [hdu.header for hdu in hdus]
    except Exception as error:
        log.debug("%s: left to whoever reads it: %s", path, error)
        return
    for header in headers:
        for prefix in ("", "Z"):
            bits = _integer(header, f"{prefix}BITPIX", 8)
            n_axes = _integer(header, f"{prefix}NAXIS", 0)
            axes = [_integer(header, f"{prefix}NAXIS{k + 1}", 0) for k in range(n_axes)]
            if axes and math.prod(axes) * abs(bits) // 8 > most_bytes:
                raise RefusedError(
                    413, f"the image claims {' x '.join(map(str, axes))} pixels, more than are taken"
                )


def _integer(header: Any, keyword: str, default: int) -> int:
    value = value_of(header, keyword)
    if value is None:
        return default
    if type(value) is not int:
        raise RefusedError(400, f"{keyword} of the image must be a whole number, not {value!r}")
    return value
