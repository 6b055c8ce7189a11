"""Images in: FITS files, arrays and CCDData become a native float32 image and a mask.

FITS is big-endian and often integer; Numba and SEP want neither. The conversion happens here, once.
"""

import gzip
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

log = logging.getLogger(__name__)

#: Pixels at or beyond this count as not finite: sums and differences of others stay within float32.
LARGEST = np.float32(1e30)
#: Names of extensions with what is known of the pixels, not the pixels of the sky.
_BESIDE = {
    "MASK", "DQ", "BPM", "FLAGS", "ERR", "ERROR", "UNCERT", "VAR", "VARIANCE", "WHT", "WEIGHT", "IVAR",
    "BKG", "BACKGROUND",
}  # fmt: skip
_GZIP = b"\x1f\x8b"
# DATAMAX is left out: the FITS standard makes it the largest value in the image.
_SATURATION_KEYS = ("SATURATE", "SATLEVEL")


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image read from a file.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
        Pixels, native byte order, C-contiguous; BLANK pixels are NaN.
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels; from an extension named MASK, as `astropy.nddata.CCDData` writes it.
    header : astropy.io.fits.Header
        Header of the HDU that the pixels come from.
    saturation : float or None
        Saturation level in the units of `data`, when the header gives one.
    hdu : int
        Number of the HDU, counted from 0.
    siblings : int
        How many images of the sky the file has with this one; 1 where the HDU was named.
    """

    data: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    header: Any
    saturation: float | None
    hdu: int
    siblings: int = 1


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Keep Astropy's warnings off the terminal; they are logged and given back as texts.

    Yields
    ------
    list of str
        Filled when the block ends.
    """
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield texts
        finally:
            texts.extend(" ".join(str(w.message).split()) for w in caught)
    for text in texts:
        log.debug("astropy: %s", text)


def load_image(path: str | PathLike[str], hdu: int | str | None = None) -> LoadedImage:
    """Read an image from a FITS file.

    Plain, ``.gz`` and tile-compressed ``.fz`` files are read; BSCALE, BZERO and BLANK are applied.
    Leading axes of length 1 are dropped.

    Parameters
    ----------
    path : str or path
        The file.
    hdu : int or str, optional
        Number (from 0) or EXTNAME of the HDU. The first one with a 2-D image by default.

    Returns
    -------
    LoadedImage

    Raises
    ------
    InputError
        The file is missing, empty, truncated or not FITS; the HDU does not exist or holds a table,
        no data, or a cube.
    """
    path = Path(path)
    with _opened(path) as hdus:
        return _read_hdu(path, hdus, hdu)


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


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a FITS file; whatever goes wrong with it becomes an `InputError`."""
    from astropy.io import fits

    check_file(path)
    with collect_warnings() as told:
        try:
            with ExitStack() as opened:
                compressed = opened.enter_context(path.open("rb")).read(2) == _GZIP
                source: Any = opened.enter_context(gzip.open(path)) if compressed else path
                # A memory map could not be scaled, and the pixels are converted at once anyway.
                yield opened.enter_context(fits.open(source, memmap=False))
                # What is damaged within is told by the sum at the end alone.
                while compressed and source.read(1 << 20):
                    pass
        except InputError:
            raise
        except Exception as error:
            # Astropy raises nearly anything on damaged files: OSError, EOFError, ValueError, ...
            raise InputError(
                f"{path} cannot be read as FITS ({_one_line(error)}); "
                "it is no FITS file, or truncated or damaged"
            ) from error
    if any(text.startswith("Error validating header") for text in told):
        log.warning("%s has something behind its last HDU that is none; is it cut short?", path)


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
    path = Path(path)
    with _opened(path) as hdus:
        if of is not None and isinstance(hdu, str) and not hdu.lstrip("-").isdigit():
            of_image = _companion(path, hdus, of, hdu)
            hdu = hdu if of_image is None else of_image
        _, found = _plane(path, hdus, hdu)
        return found.astype(found.dtype.newbyteorder("="))


def uncertainty_of(image: Any) -> NDArray[np.float64] | None:
    """Return the standard deviations that an NDData object declares, whatever it declares them as.

    Parameters
    ----------
    image : object
        Anything; what has no uncertainty has none here either.

    Returns
    -------
    ndarray of float64, shape (ny, nx), or None
        NaN and infinity where they cannot be told, as for an inverse variance of 0.
    """
    declared = getattr(image, "uncertainty", None)
    if declared is None or getattr(declared, "array", None) is None:
        return None
    from astropy.nddata import StdDevUncertainty

    if declared.uncertainty_type == "unknown":
        log.warning("the uncertainty of the image is of unknown type and not used")
        return None
    with np.errstate(all="ignore"):
        try:
            noise = declared.represent_as(StdDevUncertainty)
            values = np.asarray(noise.array, np.float64)
            if noise.unit is not None and image.unit is not None:
                values = (values * noise.unit).to_value(image.unit)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the uncertainty of the image cannot be used ({_one_line(error)}); give err"
            ) from error
    return np.asarray(values, np.float64)


def check_file(path: Path) -> None:
    """Refuse a path that is no readable, non-empty file.

    Raises
    ------
    InputError
        With the reason.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory, not a file")
        if path.exists() and not path.is_file():
            # It might never end, or never begin.
            raise InputError(f"{path} is a device or a pipe, not a file")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty (0 bytes)")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror or error}") from error


def as_image(image: Any, mask: Any = None) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Turn what the caller has into the image that the kernels take.

    Parameters
    ----------
    image : array_like, masked array, NDData or CCDData, shape (ny, nx)
        Any real dtype, byte order and memory layout. Values beyond float32 become infinite, which
        later stages treat as bad pixels.
    mask : array_like of bool or int, shape (ny, nx), optional
        Nonzero marks bad pixels; joined with the mask that `image` carries.

    Returns
    -------
    data : ndarray of float32, shape (ny, nx)
        Native, C-contiguous; the caller's own memory when that is so already.
    mask : ndarray of bool, shape (ny, nx), or None
        None when neither argument has a mask.

    Raises
    ------
    InputError
        The image is not 2-D, is empty or holds no real numbers, or the mask has another shape.
    """
    own_mask = None
    if isinstance(image, np.ma.MaskedArray):
        own_mask = None if image.mask is np.ma.nomask else np.ma.getmaskarray(image)
        image = image.data
    elif not isinstance(image, np.ndarray) and hasattr(image, "data") and hasattr(image, "mask"):
        own_mask, image = image.mask, image.data
    try:
        pixels = np.asarray(image)
    except ValueError as error:
        raise InputError(f"the image is not an array of numbers: {_one_line(error)}") from error
    if pixels.dtype.kind not in "fiub":
        raise InputError(
            f"the image must hold real numbers, not {_kind(pixels.dtype)}; convert it first"
        )
    if pixels.ndim != 2:
        hint = "; give one plane, such as image[0]" if pixels.ndim > 2 else ""
        raise InputError(f"the image must be 2-D, not {pixels.ndim}-D {pixels.shape}{hint}")
    if pixels.size == 0:
        raise InputError(f"the image has no pixels: its shape is {pixels.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.require(pixels, np.float32, ["C", "A"])
    bad = None
    for one in (own_mask, mask):
        if one is not None and one is not np.ma.nomask:
            flags = _as_mask(one, data.shape)
            bad = flags if bad is None else bad | flags
    return data, bad


def _as_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    flags = np.asarray(mask)
    if flags.dtype.kind not in "biu":
        raise InputError(f"the mask must hold bool or integers, not {_kind(flags.dtype)}")
    if flags.shape != shape:
        raise InputError(f"the mask has the shape {flags.shape}, the image {shape}")
    return np.require(flags, np.bool_, ["C", "A"])


def _read_hdu(path: Path, hdus: Any, wanted: int | str | None) -> LoadedImage:
    number, data = _plane(path, hdus, wanted)
    hdu = hdus[number]
    pixels, mask = as_image(data, _mask_extension(path, hdus, number, data.shape))
    saturation = _saturation(hdu.header)
    if saturation is None:
        saturation = _saturation(hdus[0].header)
    siblings = len(_skies(hdus)) if wanted is None else 1
    return LoadedImage(pixels, mask, hdu.header, saturation, number, siblings)


def _plane(path: Path, hdus: Any, wanted: int | str | None) -> tuple[int, NDArray[Any]]:
    """Return the number of an HDU and its 2-D pixels."""
    number = _first_image(path, hdus) if wanted is None else _find_hdu(path, hdus, wanted)
    hdu = hdus[number]
    if not hdu.is_image:
        raise InputError(
            f"HDU {number} of {path} is a table, not an image; the file has {_listing(hdus)}"
        )
    _check_sum(path, number, hdu)
    data = hdu.data
    if data is None:
        raise InputError(f"HDU {number} of {path} has no data; the file has {_listing(hdus)}")
    while data.ndim > 2 and data.shape[0] == 1:
        data = data[0]
    if data.ndim > 2:
        raise InputError(
            f"HDU {number} of {path} is a cube of shape {data.shape}, not a 2-D image; "
            "write the plane that you want to a file of its own"
        )
    return number, data


def _check_sum(path: Path, number: int, hdu: Any) -> None:
    """Warn of pixels that the header's DATASUM tells are others than were written."""
    from astropy.io import fits

    # That of a compressed image is of its table, which Astropy does not keep.
    if "DATASUM" in hdu.header and not isinstance(hdu, fits.CompImageHDU) and not hdu.verify_datasum():
        log.warning(
            "HDU %d of %s: the pixels do not have the sum that DATASUM tells; the file may be damaged",
            number, path,
        )  # fmt: skip


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
    raise InputError(f"{path} has no 2-D image; it has {_listing(hdus)}")


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
            found, path, hdus[found].shape, shape,
        )  # fmt: skip
        return None
    values: NDArray[Any] = hdus[found].data
    return values.astype(bool)


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
    raise InputError(
        f"{path} has {len(images)} images and {len(named)} HDUs named {name}: which is of HDU {number} "
        "is not clear; name it by its number"
    )


def _saturation(header: Any) -> float | None:
    for key in _SATURATION_KEYS:
        value = header.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            level = float(value)
            if np.isfinite(level) and level > 0:
                return level
    return None


def _kind(dtype: np.dtype[Any]) -> str:
    names = {"c": "complex numbers", "O": "Python objects", "U": "text", "S": "text"}
    return names.get(dtype.kind, str(dtype))


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
