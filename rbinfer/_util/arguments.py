"""What callers give, checked and made plain: numbers, positions."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, one_line

#: Units that pixels go by, in lower case.
PIXEL_UNITS = {"", "pix", "pixel", "pixels", "px"}


_LONGEST = 60  # of a value in a message
#: Kinds of NumPy that convert to numbers, but cannot be meant as such.
_NO_NUMBERS = {"b": "true and false", "c": "complex numbers", "M": "dates", "m": "times"}


def shown(value: Any) -> str:
    """Return a value as a message shows it: on one line, and not all of a long one."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def kind_of(dtype: np.dtype[Any]) -> str:
    """Return in words what an array of this type holds."""
    names = {"c": "complex numbers", "O": "Python objects", "U": "text", "S": "text"}
    return names.get(dtype.kind, str(dtype))


def as_number(value: Any, name: str) -> float:
    """Return a number; raises `InputError` if it is none, as true, false and complex ones are."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    try:
        if isinstance(value, bool) or kind in _NO_NUMBERS:
            raise TypeError(kind)
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must be a number, not {shown(value)}") from error


def as_pixels(value: Any, name: str) -> float:
    """Return a number of pixels, with or without that unit."""
    check_pixels(value, name)
    return as_number(getattr(value, "value", value) if hasattr(value, "unit") else value, name)


def check_pixels(value: Any, name: str) -> None:
    """Refuse what is in a unit other than pixels."""
    unit = getattr(value, "unit", None)
    if unit is not None and str(unit).strip().lower() not in PIXEL_UNITS:
        raise InputError(f"{name} is in {unit}, not in pixels; convert it first")


def check_number(value: Any, name: str) -> None:
    """Refuse what is no number, and text that could be made one."""
    if isinstance(value, str | bytes):
        raise InputError(f"{name} must be a number, not {shown(value)}")
    as_number(value, name)


def as_level(value: Any, name: str) -> float:
    """Return a finite number above 0."""
    number = as_number(value, name)
    if not (np.isfinite(number) and number > 0):
        raise InputError(f"{name} must be a positive number, not {shown(value)}")
    return number


def as_share(value: Any, name: str) -> float:
    """Return a number from 0 to 1."""
    number = as_number(value, name)
    if not 0 <= number <= 1:
        raise InputError(f"{name} must lie in [0, 1], not {shown(value)}")
    return number


def as_whole(value: Any, name: str, least: int) -> int:
    """Return a whole number of at least `least`."""
    number = as_number(value, name)
    if not number.is_integer() or number < least:
        raise InputError(f"{name} must be a whole number of at least {least}, not {shown(value)}")
    return int(number)


def as_names(given: Any, name: str) -> tuple[str, ...]:
    """Return names, each once; one text is one name."""
    if isinstance(given, str):
        return (given,)
    each = given if isinstance(given, Iterable) and not isinstance(given, bytes) else [given]
    names = list(each)
    wrong = [one for one in names if not isinstance(one, str)]
    if wrong:
        raise InputError(f"{name} must be names, not {shown(wrong[0])}")
    return tuple(dict.fromkeys(names))


def check_progress(progress: Callable[[int, int], None] | None) -> None:
    """Refuse what cannot be called, before there is any work to tell of."""
    if not (progress is None or callable(progress)):
        raise InputError(
            f"progress must be called as progress(done, total), but {shown(progress)} cannot"
        )


def unmasked(value: Any) -> tuple[NDArray[Any], Any]:
    """Take numbers and their mask out of whatever holds them.

    Parameters
    ----------
    value : array_like, masked array, column, Quantity, `astropy.utils.masked.Masked`, NDData, or an
        array of Dask, which is computed

    Returns
    -------
    values : ndarray
        Numbers in the unit that they have.
    mask : array_like of bool or int, or None
        Nonzero where masked.
    """
    if not isinstance(value, np.ndarray) and callable(getattr(value, "compute", None)):
        value = value.compute()
    if isinstance(value, np.ma.MaskedArray):
        return np.asarray(value.data), None if value.mask is np.ma.nomask else np.ma.getmaskarray(value)
    mask = getattr(value, "mask", None)
    if hasattr(value, "unmasked"):  # of astropy.utils.masked, an ndarray that hides its mask
        bare = value.unmasked
        return np.asarray(getattr(bare, "value", bare)), mask
    if not isinstance(value, np.ndarray) and mask is not None and hasattr(value, "data"):
        return np.asarray(value.data), mask
    if not isinstance(value, np.ndarray) and hasattr(value, "data") and hasattr(value, "mask"):
        return np.asarray(value.data), None  # of NDData, which is no array_like
    return np.asarray(value), None


def as_numbers(value: Any, name: str) -> tuple[NDArray[Any], Any]:
    """Take numbers and their mask out of whatever holds them, as `unmasked` does.

    Raises
    ------
    InputError
        Lists of unequal lengths, and what NumPy would convert to numbers, but nobody can mean as such.
    """
    try:
        bare, mask = unmasked(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must be numbers: {one_line(error)}") from error
    kind = _NO_NUMBERS.get(bare.dtype.kind)
    if kind is not None:
        raise InputError(f"{name} must be real numbers, not {kind}; convert them first")
    return bare, mask


def as_positions(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return columns and rows as float64 arrays of one length; masked entries are NaN.

    They are the caller's own arrays where these are what is wanted, so nothing may change them.
    """
    found = []
    for name, value in (("x", x), ("y", y)):
        check_pixels(value, name)
        bare, mask = as_numbers(value, name)
        if bare.dtype.kind == "O" and bare.ndim == 0:
            bare = np.asarray(as_number(bare[()], name))
        try:
            array = np.require(bare, np.float64, ["A", "E", "W"])  # Numba takes nothing read-only
            if mask is not None:
                array = array.copy()
                array[np.broadcast_to(np.asarray(mask, np.bool_), array.shape)] = np.nan
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{name} must be numbers (pixels): {error}") from error
        if array.ndim > 1:
            raise InputError(f"{name} must be one-dimensional, not of shape {array.shape}")
        found.append(np.ascontiguousarray(np.atleast_1d(array)))
    if found[0].shape != found[1].shape:
        raise InputError(f"x has {found[0].size} positions but y has {found[1].size}")
    return found[0], found[1]


def as_peaks(peaks: Any, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check the brightest pixels that were given for n positions."""
    try:
        xpeak, ypeak = peaks
    except (TypeError, ValueError) as error:
        raise InputError(f"peaks must be a pair of columns and rows: {error}") from error
    try:
        found = as_positions(xpeak, ypeak)
    except InputError as error:
        raise InputError(f"peaks: {error}") from error
    if len(found[0]) != n:
        raise InputError(f"peaks has {len(found[0])} rows, but there are {n} positions")
    return found
