"""The rows of plain ECSV, read by column; Astropy reads the same, with an object for each cell."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Table

#: What stands where there is no text.
_EMPTY = '""'
_EXACT = 2.0**53  # whole numbers below it are floating-point numbers too


def read_rows(empty: "Table", head: str, lines: Sequence[str]) -> "Table | None":
    """Read rows of numbers, truth values and texts without blanks.

    Parameters
    ----------
    empty : Table
        What Astropy reads of the file without its rows.
    head : str
        The line with the names.
    lines : sequence of str
        The rows, at least one.

    Returns
    -------
    Table or None
        None where a cell is in quotes and not empty, masked though not text, or of another kind, and
        where the rows are laid out in another way.
    """
    from astropy.table import Table

    names = head.split(" ")
    if type(empty) is not Table or empty.colnames != names or not _are_plain(empty):
        return None
    if any(line.count(" ") != len(names) - 1 or line.startswith("#") or "\t" in line for line in lines):
        return None
    numbers = [k for k, name in enumerate(names) if empty[name].dtype.kind in "iuf"]
    columns: dict[int, Any] = {}
    if numbers:
        try:
            values = np.loadtxt(lines, delimiter=" ", usecols=numbers, comments=None, ndmin=2)
        except ValueError:
            return None
        columns = {k: values[:, j] for j, k in enumerate(numbers)}
    for k, name in enumerate(names):
        dtype = empty[name].dtype
        found = _as_numbers(columns[k], dtype) if k in columns else _texts(lines, k, dtype)
        if found is None:
            return None
        columns[k] = found
    table = Table([columns[k] for k in range(len(names))], names=names, meta=empty.meta)
    for name in names:
        for attribute in ("format", "unit", "description"):
            setattr(table[name], attribute, getattr(empty[name], attribute))
        table[name].meta.update(empty[name].meta)
    return table


def _are_plain(empty: "Table") -> bool:
    return all(
        column.ndim == 1 and (column.dtype.kind in "biuU" or column.dtype in (np.float32, np.float64))
        for column in empty.itercols()
    )


def _as_numbers(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return numbers in the type of their column; None where it would change them."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    bounds = np.iinfo(dtype)
    is_whole = (values == np.rint(values)) & (np.abs(values) < _EXACT)
    if not (is_whole & (values >= bounds.min) & (values <= bounds.max)).all():
        return None
    return values.astype(dtype)


def _texts(lines: Sequence[str], k: int, dtype: np.dtype[Any]) -> Any:
    """Return column k of texts or truth values; empty texts are masked, as Astropy has them."""
    cells = [line.split(" ", k + 1)[k] for line in lines]
    kinds = set(cells)
    if dtype.kind == "b":
        return np.array(cells) == "True" if kinds <= {"True", "False"} else None
    if "" in kinds or any('"' in cell and cell != _EMPTY for cell in kinds):
        return None
    if _EMPTY not in kinds:
        return np.array(cells)
    masked = np.array(cells) == _EMPTY
    return np.ma.MaskedArray(np.array(["0" if cell == _EMPTY else cell for cell in cells]), mask=masked)
