"""Columns of any kind as plain NumPy arrays: masks heeded, units of pixels checked."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.arguments import PIXEL_UNITS
from ..errors import InputError
from .cells import lenient_numbers

#: How the names begin of the columns and of the metadata that rbinfer adds to a table.
NOTED = "rb_"


def bare(column: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the numbers of a column of any kind, in its unit, and which of them are masked."""
    values = getattr(column, "unmasked", column)
    values = np.asarray(np.ma.getdata(getattr(values, "value", values)))
    mask = getattr(column, "mask", None)
    masked = np.zeros(values.shape, np.bool_) if mask is None else np.asarray(mask, np.bool_)
    return values, np.broadcast_to(masked, values.shape)


def in_pixels(column: Any, name: str, origin: float = 0) -> NDArray[np.float64]:
    """Return a column of pixels as numbers that count from 0.

    Parameters
    ----------
    column : Column, Quantity or array, shape (n,)
    name : str
        What messages call it.
    origin : float
        What the column calls the centre of the first pixel.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where the column is masked.

    Raises
    ------
    InputError
        The column holds anything but one number a row, also as text; or it is in a unit other than
        pixels.
    """
    unit = getattr(column, "unit", None)
    if unit is not None and str(unit).strip().lower() not in PIXEL_UNITS:
        raise InputError(f"the column {name} is in {unit}, not in pixels; convert it first")
    values, masked = bare(column)
    if values.shape == (0,):
        # A text format cannot tell the type of a column without rows.
        return np.zeros(0)
    if values.shape[1:] == (1,):
        # As FITS tables of SDSS and of tractor have them.
        values, masked = values[:, 0], masked[:, 0]
    out = _as_numbers(values, masked)
    if out is None:
        raise InputError(f"the column {name} must hold one number a row, but it holds {_kind(values)}")
    out[masked] = np.nan
    out -= origin
    return out


def _as_numbers(values: NDArray[Any], masked: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Return what is one number a row as such, or else None; what is masked may be anything."""
    if values.ndim != 1:
        return None
    if values.dtype.kind == "O":
        # As pandas has them: numbers or texts, and None or its NA among them.
        values = np.array(["" if cell is None else str(cell) for cell in values], np.str_)
    if values.dtype.kind in "SU":
        return lenient_numbers(np.where(masked, "", values.astype(np.str_)))
    return values.astype(np.float64) if values.dtype.kind in "fiu" else None


def _kind(values: NDArray[Any]) -> str:
    """Say in words what an array holds."""
    if values.ndim != 1:
        return f"arrays of shape {values.shape[1:]}"
    words = {"b": "truth values", "c": "complex numbers"}
    example = str(next(iter(values.tolist()), ""))[:20]
    return words.get(values.dtype.kind, f"text or other objects, such as {example!r}")
