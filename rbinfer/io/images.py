"""Images in: FITS files."""

import gzip
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.sentences import counted
from ..errors import InputError, one_line
from .arrays import as_image
from .content import Content
from .exposure import Exposure
from .files import check_file, collect_warnings
from .foreign import told_of
from .layout import check_axes, content_of, is_gzip, places_of
from .mask_planes import bad_bits_of, bad_pixels
from .plain import PlainHdu, plain_hdus
from .planes import levelled, mosaic_of, plane_of, undone

log = logging.getLogger(__name__)

#: Names of extensions with what is known of the pixels, not the pixels of the sky.
_BESIDE = {
    *("MASK", "MSK", "DQ", "BPM", "FLAGS", "FLG"),
    *("ERR", "ERROR", "UNCERT", "UNC", "RMS"),
    *("VAR", "VARIANCE", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"),
    *("WHT", "WGT", "WEIGHT", "IVAR", "IVM", "CON", "CTX"),
    *("BKG", "BACKGROUND"),
    *("AREA", "D2IMARR", "WCSDVARR"),  # of a pixel on the sky, and what distorts it
}
_HALF = 2**63  # BZERO of unsigned integers of 64 bits
# DATAMAX is left out: the FITS standard makes it the largest value in the image.
_SATURATION_KEYS = ("SATURATE", "SATLEVEL")


def load_image(
    path: str | PathLike[str],
    hdu: int | str | None = None,
    plane: str | None = None,
    bayer: bool | None = None,
) -> Exposure:
    """Read an image from a FITS file.

    Plain, ``.gz`` and tile-compressed ``.fz`` files are read; BSCALE, BZERO and BLANK are applied.
    Leading axes of length 1 are dropped. A stretch that the header tells of is undone, and so is the
    mosaic of colour filters; a warning says so.

    Parameters
    ----------
    path : str or path
        The file.
    hdu : int or str, optional
        Number (from 0) or EXTNAME of the HDU. The first one with a 2-D image by default.
    plane : str, optional
        Plane of a cube, as for `rbinfer.io.planes.plane_of`.
    bayer : bool, optional
        Whether the pixels are a mosaic of colour filters, which is undone; by default, whether the
        header names one. If not, `rbinfer.measure.even` asks the sky.

    Returns
    -------
    Exposure
        BLANK pixels are NaN; the mask is that of an extension named MASK, as
        `astropy.nddata.CCDData` writes it.

    Raises
    ------
    InputError
        The file is missing, empty, truncated or not FITS; the HDU does not exist or holds a table,
        no data, or a cube of which no plane is named.
    """
    path = Path(path)
    with _opened(path) as hdus:
        return _read_hdu(path, hdus, hdu, plane, bayer)


def list_images(path: str | PathLike[str], maps: bool = False) -> dict[int, str]:
    """List the 2-D images of the sky in a FITS file.

    Parameters
    ----------
    path : str or path
        The file.
    maps : bool
        List what is by its name a mask, a noise or a weight map, too.

    Returns
    -------
    dict of int to str
        EXTNAME (or ``""``) by the number of the HDU, in the order of the file.

    Raises
    ------
    InputError
        As from `load_image`, for the file.
    """
    path = Path(path)
    with _opened(path) as hdus:
        return _skies(hdus, maps)


def _skies(hdus: Any, maps: bool = False) -> dict[int, str]:
    return {
        number: hdu.name
        for number, hdu in enumerate(hdus)
        if len(_plane_shape(hdu)) == 2 and (maps or hdu.name.upper() not in _BESIDE)
    }


def load_stamps(path: str | PathLike[str]) -> list[Exposure]:
    """Read ready-made stamps: the planes of a cube, or the one that is a 2-D image.

    Parameters
    ----------
    path : str or path
        FITS file; the first HDU with pixels is taken.

    Returns
    -------
    list of Exposure
        In the order of the planes; BLANK pixels are NaN.

    Raises
    ------
    InputError
        As from `load_image`, for the file; or it has no pixels, or more than three axes.
    """
    path = Path(path)
    with _opened(path) as hdus:
        number = _first_image(path, hdus)
        hdu = hdus[number]
        if len(shape := _plane_shape(hdu)) < 3:
            return [_read_hdu(path, hdus, number, None, None)]
        if len(shape) > 3:
            raise InputError(f"HDU {number} of {path} has {len(shape)} axes; a cube of stamps has three")
        _check_sum(path, number, hdu)
        stored = _stored(path, number, hdu)
        if stored is None:
            return []
        planes, saturation = _linear(path, hdus, number, stored.reshape(shape))
        return [
            Exposure(*as_image(plane), saturation, header=hdu.header, hdu=number) for plane in planes
        ]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a FITS file; whatever goes wrong with it becomes an `InputError`."""
    check_file(path)
    try:
        with collect_warnings():
            if (plain := plain_hdus(path)) is not None:
                yield plain
                return
        # Before warnings are collected: imported for the first time, Astropy takes them for itself.
        from astropy.io import fits

        with collect_warnings() as told, ExitStack() as opened:
            # Which reads to the end, where a sum tells what is damaged within what is compressed.
            check_axes(path)
            source: Any = opened.enter_context(gzip.open(path)) if is_gzip(path) else path
            # A memory map could not be scaled, and the pixels are converted at once anyway.
            # Integers that stand for unsigned ones become real numbers: else Astropy forgets BLANK.
            yield opened.enter_context(fits.open(source, memmap=False, uint=False))
    except InputError:
        raise
    except Exception as error:
        # Astropy raises nearly anything on damaged files: OSError, EOFError, ValueError, ...
        raise InputError(f"{path} cannot be read as FITS: {_fault(path, error)}") from error
    if any(text.startswith("Error validating header") for text in told):
        log.warning("%s has something behind its last HDU that is none; is it cut short?", path)


def _fault(path: Path, error: Exception) -> str:
    """Say why a file cannot be read, by what it holds."""
    head = Content(path).head
    if not head.startswith(b"SIMPLE"):
        return told_of(head) or (
            "it does not begin as a FITS file; an image comes first, its catalogue as `catalog`"
        )
    with suppress(InputError, ValueError), content_of(path) as content:
        if any(place.lacks for place in places_of(content)):
            return "it is truncated: it ends before its pixels do; copy it again"
    return f"{one_line(error)}; it is truncated or damaged"


def read_plane(
    path: str | PathLike[str], hdu: int | str | None = None, of: int | None = None
) -> NDArray[Any]:
    """Read the plane of an HDU as it is: a mask, flags or a noise map.

    Parameters
    ----------
    path, hdu
        As for `load_image`, which says too what is refused.
    of : int, optional
        HDU of the image that it belongs to, where several have the name: that with the same EXTVER, or
        else the one in the same place of their order, or right behind it.

    Returns
    -------
    ndarray, shape (ny, nx)
        In the file's own type, native byte order.
    """
    return plane_and_header(path, hdu, of)[0]


def plane_and_header(
    path: str | PathLike[str], hdu: int | str | None = None, of: int | None = None
) -> tuple[NDArray[Any], Any]:
    """Read the plane of an HDU as `read_plane` does, and its header."""
    path = Path(path)
    with _opened(path) as hdus:
        if of is not None and isinstance(hdu, str) and not hdu.lstrip("-").isdigit():
            of_image = _companion(path, hdus, of, hdu)
            hdu = hdu if of_image is None else of_image
        number, found = _plane(path, hdus, hdu)
        return found.astype(found.dtype.newbyteorder("="), copy=False), hdus[number].header


def _read_hdu(
    path: Path, hdus: Any, wanted: int | str | None, plane: str | None, bayer: bool | None
) -> Exposure:
    number, stored = _plane(path, hdus, wanted, plane, is_sky=True)
    hdu = hdus[number]
    data, saturation = _linear(path, hdus, number, stored)
    pixels, mask = as_image(data, _mask_extension(path, hdus, number, data.shape))
    # The planes of a colour image have no mosaic any more.
    mosaic = mosaic_of(hdu.header) if len(_plane_shape(hdu)) == 2 else ""
    is_mosaic = bool(mosaic) if bayer is None else bayer
    if is_mosaic:
        log.warning(
            "%s: the mosaic of colour filters (%s) is undone: its colours are brought to one level",
            path,
            mosaic or "not named by the header",
        )
        pixels = levelled(pixels, mask, saturation)
    siblings = len(_skies(hdus)) if wanted is None else 1
    return Exposure(
        pixels,
        mask,
        saturation,
        wcs=hdu.header,
        header=hdu.header,
        hdu=number,
        siblings=siblings,
        no_filters=is_mosaic or bayer is False,
    )


def _linear(
    path: Path, hdus: Any, number: int, stored: NDArray[Any]
) -> tuple[NDArray[Any], float | None]:
    """Return the pixels of an HDU with any stretch undone, and the level at which they saturate."""
    header = hdus[number].header
    data, stretch = undone(stored, header)
    if stretch:
        log.warning("%s: the pixels are %s, which is undone", path, stretch)
        return data, None  # in which of the two the level is, the header does not tell
    saturation = _saturation(header)
    return data, _saturation(hdus[0].header) if saturation is None else saturation


def _plane(
    path: Path, hdus: Any, wanted: int | str | None, plane: str | None = None, is_sky: bool = False
) -> tuple[int, NDArray[Any]]:
    """Return the number of an HDU and its 2-D pixels; of a sky small integers may come as float32."""
    number = _first_image(path, hdus) if wanted is None else _find_hdu(path, hdus, wanted)
    hdu = hdus[number]
    if not hdu.is_image:
        raise InputError(
            f"HDU {number} of {path} is a table, not an image; the file has {_listing(hdus)}. "
            "A catalogue is given as `catalog`, beside its image"
        )
    _check_sum(path, number, hdu)
    is_real = is_sky and isinstance(hdu, PlainHdu) and len(hdu.shape) == 2
    data = hdu.real_data if is_real else _stored(path, number, hdu)
    if data is None:
        raise InputError(f"HDU {number} of {path} has no data; the file has {_listing(hdus)}")
    return number, plane_of(data, plane, f"HDU {number} of {path}")


def _stored(path: Path, number: int, hdu: Any) -> NDArray[Any] | None:
    """Return the pixels of an HDU in their units; BLANK ones are NaN."""
    header = hdu.header
    blank, bzero, bits = header.get("BLANK"), header.get("BZERO", 0), header.get("BITPIX", 0)
    if bits == 64 and bzero == _HALF:
        # As real numbers they would lose their last digits.
        from astropy.io import fits

        with fits.open(path, memmap=False, uint=True) as hdus:
            whole = hdus[number].data
        return whole if blank is None else np.where(whole == np.uint64(blank + _HALF), np.nan, whole)
    data: NDArray[Any] | None = hdu.data
    if blank == 0 and bits > 0 and data is not None:  # which Astropy takes for no BLANK
        data = data.astype(np.float32 if bits <= 16 else np.float64)
        data[data == bzero] = np.nan
    return data


def _check_sum(path: Path, number: int, hdu: Any) -> None:
    """Warn of pixels that the header's DATASUM tells are others than were written."""
    if "DATASUM" not in hdu.header:
        return
    from astropy.io import fits

    # That of a compressed image is of its table, which Astropy does not keep.
    if not isinstance(hdu, fits.CompImageHDU) and not hdu.verify_datasum():
        log.warning(
            "HDU %d of %s: the pixels do not have the sum that DATASUM tells; the file may be damaged",
            number,
            path,
        )


def _first_image(path: Path, hdus: Any) -> int:
    cube = None
    for number, hdu in enumerate(hdus):
        shape = _plane_shape(hdu)
        if len(shape) == 2:
            return number
        if not shape:
            continue
        cube = number if cube is None else cube
    if cube is not None:
        # The reader says why a cube is refused.
        return cube
    hint = (
        ". A catalogue is given as `catalog`, beside its image"
        if not all(hdu.is_image for hdu in hdus)
        else ""
    )
    raise InputError(f"{path} has no 2-D image; it has {_listing(hdus)}{hint}")


def _plane_shape(hdu: Any) -> list[int]:
    """Return the shape without leading axes of one pixel; empty where there are no pixels."""
    # From the header, so that HDUs that are passed over are not read.
    shape = list(hdu.shape) if hdu.is_image else []
    if 0 in shape:
        return []
    while len(shape) > 2 and shape[0] == 1:
        del shape[0]
    return shape


def _find_hdu(path: Path, hdus: Any, wanted: int | str) -> int:
    if isinstance(wanted, str) and wanted.lstrip("-").isdigit():
        wanted = int(wanted)
    if isinstance(wanted, str):
        for number, hdu in enumerate(hdus):
            if hdu.name.upper() == wanted.strip().upper():
                return number
    elif 0 <= wanted < len(hdus):
        return wanted
    raise InputError(f"{path} has no HDU {wanted!r}; it has {_listing(hdus)}")


def _listing(hdus: Any) -> str:
    parts = []
    for number, hdu in enumerate(hdus):
        name = f" {hdu.name}" if hdu.name else ""
        if not hdu.is_image:
            what = "table"
        elif hdu.shape:
            what = "image " + " x ".join(str(n) for n in reversed(hdu.shape))  # as NAXIS1, NAXIS2, ...
        else:
            what = "no data"
        parts.append(f"{number}{name} ({what})")
    return "HDU " + ", ".join(parts)


def _mask_extension(path: Path, hdus: Any, number: int, shape: tuple[int, ...]) -> NDArray[Any] | None:
    try:
        found = _companion(path, hdus, number, "MASK")
    except InputError as error:
        log.warning("no mask is used: %s", error)
        return None
    if found is None or found == number:
        return None
    if hdus[found].shape != shape:
        log.warning(
            "no mask is used: HDU %d MASK of %s has shape %s, the image %s",
            found,
            path,
            hdus[found].shape,
            shape,
        )
        return None
    values: NDArray[Any] = hdus[found].data
    return bad_pixels(values, bad_bits_of(hdus[found].header))


def _companion(path: Path, hdus: Any, number: int, name: str) -> int | None:
    """Return the HDU of a name that belongs to an image; None where there is none of the name."""
    named = [n for n, hdu in enumerate(hdus) if hdu.is_image and hdu.name == name.strip().upper()]
    images = [n for n in _skies(hdus) if n not in named]
    if number not in images:
        images = [number]
    if len(named) < 2 and len(images) == 1:
        return named[0] if named else None
    versions = [hdus[n].ver for n in images if hdus[n].name == hdus[number].name]
    of_version = [n for n in named if hdus[n].ver == hdus[number].ver]
    if len(versions) > 1 and len(set(versions)) == len(versions) and len(of_version) == 1:
        return of_version[0]
    if len(named) == len(images):
        return named[images.index(number)]
    following = min((n for n in images if n > number), default=len(hdus))
    behind = [n for n in named if number < n < following]
    if len(behind) == 1:
        return behind[0]
    if not named:
        return None
    there = f"{counted(len(images), 'image')} and {counted(len(named), 'HDU')}"
    raise InputError(
        f"{path} has {there} named {name}: which is of HDU {number} is not clear; name it by its number"
    )


def _saturation(header: Any) -> float | None:
    for key in _SATURATION_KEYS:
        value = header.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            level = float(value)
            if np.isfinite(level) and level > 0:
                return level
    return None
