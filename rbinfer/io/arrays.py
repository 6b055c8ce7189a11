"""Arrays in: what callers have becomes a native float32 image and a mask.

FITS is big-endian and often integer; Numba and SEP want neither. The conversion happens here, once.
"""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, one_line

log = logging.getLogger(__name__)


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
        raise InputError(f"the image is not an array of numbers: {one_line(error)}") from error
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
                f"the uncertainty of the image cannot be used ({one_line(error)}); give err"
            ) from error
    return np.asarray(values, np.float64)


def _kind(dtype: np.dtype[Any]) -> str:
    names = {"c": "complex numbers", "O": "Python objects", "U": "text", "S": "text"}
    return names.get(dtype.kind, str(dtype))
