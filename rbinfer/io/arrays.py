"""Arrays in: what callers have becomes a native float32 image and a mask.

FITS is big-endian and often integer; Numba and SEP want neither. The conversion happens here, once.
"""

import logging
from functools import lru_cache
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.arguments import kind_of, unmasked
from ..errors import InputError, one_line
from ..kernels.constants import LARGEST
from .magnitude import tell_lost_digits, tell_magnitude
from .scratch import taken
from .units import check_linear

log = logging.getLogger(__name__)

_SAMPLE = 1000  # of values, which tells where about their median is


def as_image(
    image: Any, mask: Any = None, name: str | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Turn what the caller has into the image that the kernels take.

    Parameters
    ----------
    image : array_like, masked array, NDData or CCDData, shape (ny, nx)
        Of any real dtype, byte order and memory layout; masked arrays of NumPy and of
        `astropy.utils.masked` and quantities too. Values beyond float32 become infinite, which later
        stages treat as bad pixels.
    mask : array_like of bool or int, shape (ny, nx), optional
        Nonzero or itself masked marks bad pixels; joined with the mask that `image` carries.
    name : str, optional
        What messages call a map that is no image of the sky.

    Returns
    -------
    data : ndarray of float32, shape (ny, nx)
        Native, C-contiguous; the caller's own memory when that is so already.
    mask : ndarray of bool, shape (ny, nx), or None
        None when neither argument has a mask.

    Raises
    ------
    InputError
        The image is not 2-D, is empty, holds no real numbers or logarithms of fluxes, or numbers far too
        large or too small; or the mask has another shape.
    """
    is_sky, name = name is None, name or "the image"
    if isinstance(image, str | PathLike):
        raise InputError(
            f"{name} is the name of a file, {image}; read it with rbinfer.io.images.load_image or "
            "astropy.io.fits.getdata, or score the file with 'rbinfer classify'"
        )
    if hasattr(image, "is_image") or hasattr(image, "fileinfo"):
        raise InputError(f"{name} is an HDU of a FITS file, or a list of them; give the data of one")
    check_linear(getattr(image, "unit", None), name)
    try:
        pixels, own_mask = unmasked(image)
    except ValueError as error:
        raise InputError(f"{name} is not an array of numbers: {one_line(error)}") from error
    if pixels.dtype.kind not in "fiub":
        raise InputError(f"{name} must hold real numbers, not {kind_of(pixels.dtype)}; convert it first")
    if pixels.ndim != 2:
        hint = "; give one plane, such as image[0]" if pixels.ndim > 2 else ""
        raise InputError(f"{name} must be 2-D, not {pixels.ndim}-D {pixels.shape}{hint}")
    if pixels.size == 0:
        raise InputError(f"{name} has no pixels: its shape is {pixels.shape}")
    if is_sky and pixels.dtype.kind == "f":
        tell_magnitude(pixels, *spread_over(pixels.shape, _SAMPLE))
    if is_sky and pixels.dtype.itemsize >= 4 and pixels.dtype != np.float32:
        tell_lost_digits(pixels, *spread_over(pixels.shape, _SAMPLE))
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.require(pixels, np.float32, ["C", "A"])
    bad = None
    for one in (own_mask, mask):
        if one is not None and (np.ndim(one) or np.any(one)):  # a single false one is no mask
            flags = _as_mask(one, data.shape)
            bad = flags if bad is None else bad | flags
    return data, bad


def _as_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    flags, unknown = unmasked(mask)
    if flags.dtype.kind not in "biu":
        raise InputError(f"the mask must hold bool or integers, not {kind_of(flags.dtype)}")
    if flags.shape != shape:
        raise InputError(f"the mask has the shape {flags.shape}, the image {shape}")
    if unknown is not None:
        flags = flags.astype(np.bool_) | np.asarray(unknown, np.bool_)
    return np.require(flags, np.bool_, ["C", "A"])


def uncertainty_of(image: Any) -> NDArray[np.float64] | None:
    """Return the standard deviations that an NDData object declares, whatever it declares them as.

    Parameters
    ----------
    image : object
        Anything; what has no uncertainty has none here either.

    Returns
    -------
    ndarray of float64, shape (ny, nx), or None
        NaN and infinity where they cannot be told, as for an inverse variance of 0. None, with a
        warning, where none can.
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
                f"the uncertainty of the image cannot be used ({one_line(error)}); give err"
            ) from error
    if not (np.isfinite(values) & (values > 0)).any():
        log.warning("the uncertainty of the image is nowhere finite and above 0, and not used")
        return None
    return np.asarray(values, np.float64)


def values_at(
    pixels: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    y: NDArray[np.int64],
    x: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Read pixels; those off the image, masked or not finite are NaN.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels.
    y, x : ndarray of int64
        Rows and columns, of one shape or shapes that broadcast.

    Returns
    -------
    ndarray of float32, of that shape
    """
    height, width = pixels.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    at = np.where(inside, y, 0), np.where(inside, x, 0)
    values = taken(pixels, *at)
    good = inside & (np.abs(values) < LARGEST)
    if mask is not None:
        good &= ~mask[at]
    return np.where(good, values, np.float32(np.nan))


@lru_cache(maxsize=8)  # four a frame, and the frames of a camera have one shape
def spread_over(shape: tuple[int, int], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of pixels spread evenly over an image.

    Their places are steps of the golden ratio, so that no pattern of columns can line up with them.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the image.
    count : int
        How many pixels; all at most.

    Returns
    -------
    y, x : ndarray of int64, shape (n,)
        Read-only.
    """
    size = shape[0] * shape[1]
    index = np.arange(min(size, count), dtype=np.int64)
    place = (np.mod(index * 0.6180339887498949, 1.0) * size).astype(np.int64)
    y, x = place // shape[1], place % shape[1]
    y.flags.writeable = x.flags.writeable = False
    return y, x


def noise_of_steps(
    pixels: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    y: NDArray[np.int64],
    x: NDArray[np.int64],
) -> float:
    """Estimate the noise of a pixel from differences of neighbours, blind to slow gradients.

    Parameters
    ----------
    pixels, mask, y, x
        As for `values_at`.

    Returns
    -------
    float
        1.4826 times the median of the absolute differences over the square root of 2; 0 without any.
    """
    return noise_between(*values_at(pixels, mask, y, np.stack([x, x + 1])))


def noise_between(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Estimate the noise of a pixel from pixels and their neighbours, as `noise_of_steps` does."""
    with np.errstate(over="ignore"):
        steps = np.abs(right - left)
    steps = steps[np.isfinite(steps)]
    return 1.4826 / float(np.sqrt(2.0)) * median(steps) if len(steps) else 0.0


def median(values: NDArray[np.floating]) -> float:
    """Return the median, as NumPy does, of many finite values in a fifth of the time.

    Only those are searched that lie near it, by a sample; all where the sample misleads.
    """
    n = len(values)
    sample = np.sort(values[:: max(n // _SAMPLE, 1)])
    low, high = sample[int(0.45 * len(sample))], sample[int(0.55 * len(sample))]
    near = values[(values >= low) & (values <= high)]
    first = (n - 1) // 2 - int(np.count_nonzero(values < low))
    last = first + 1 - n % 2
    if not 0 <= first <= last < len(near):
        return float(np.median(values))
    near.partition(sorted({first, last}))
    return float((near[first] + near[last]) / 2)
