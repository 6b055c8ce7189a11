"""The rows of plain ECSV, read by column; Astropy reads the same, with an object for each cell."""

import csv
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from astropy.table import Table

#: What stands where there is no text.
_EMPTY = '""'


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

    Raises
    ------
    ValueError
        A cell is not the number that the header promises; the message names it.
    """
    from astropy.table import Table

    names = head.split(" ")
    if type(empty) is not Table or empty.colnames != names or not _are_plain(empty):
        return None
    if any(line.count(" ") != len(names) - 1 or line.startswith("#") or "\t" in line for line in lines):
        return None
    columns = _numbers(lines, {k: empty[name].dtype for k, name in enumerate(names)})
    if columns is None:
        # With NumPy 1 Astropy would wrap an integer that is too large for its type.
        is_masked = any(_EMPTY in line for line in lines)
        if not is_masked and (fault := cell_at_fault(empty, names, lines, " ")):
            raise ValueError(fault)
        return None
    for k, name in enumerate(names):
        if k not in columns:
            columns[k] = _texts(lines, k, empty[name].dtype)
            if columns[k] is None:
                return None
    table = Table([columns[k] for k in range(len(names))], names=names, meta=empty.meta)
    for name in names:
        for attribute in ("format", "unit", "description"):
            setattr(table[name], attribute, getattr(empty[name], attribute))
        table[name].meta.update(empty[name].meta)
    return table


def cell_at_fault(
    empty: "Table", names: Iterable[str], lines: Iterable[str], delimiter: str
) -> str | None:
    """Say which cell is not the number that the header promises.

    Parameters
    ----------
    empty : Table
        What Astropy reads of the file without its rows.
    names : iterable of str
        Those of the line above the rows.
    lines : iterable of str
        The rows.
    delimiter : str
        What stands between cells.

    Returns
    -------
    str or None
        The first such cell, with its row, counted from 1, and its column. None where there is none, and
        where a column has several parts.
    """
    names = list(names)
    if empty.colnames != names or any(column.ndim != 1 for column in empty.itercols()):
        return None
    rows = (row for row in csv.reader(lines, delimiter=delimiter) if row and not row[0].startswith("#"))
    for number, row in enumerate(rows, 1):
        for name, cell in zip(names, row, strict=False):
            dtype = empty[name].dtype
            if cell and dtype.kind in "iuf" and not _is_number(cell, dtype):
                return (
                    f"row {number}, column {name}: {cell!r} is no {dtype.name}, as the header has it; "
                    "correct one of the two"
                )
    return None


def _is_number(cell: str, dtype: np.dtype[Any]) -> bool:
    try:
        if dtype.kind == "f":
            float(cell)
            return True
        return bool(np.iinfo(dtype).min <= int(cell) <= np.iinfo(dtype).max)
    except ValueError:
        return False


def _are_plain(empty: "Table") -> bool:
    return all(
        column.ndim == 1 and (column.dtype.kind in "biuU" or column.dtype in (np.float32, np.float64))
        for column in empty.itercols()
    )


def _numbers(lines: Sequence[str], dtypes: dict[int, np.dtype[Any]]) -> dict[int, Any] | None:
    """Return the columns of numbers by their place; None where a cell is none of its type."""
    fields = {k: dtype for k, dtype in dtypes.items() if dtype.kind in "iuf"}
    if not fields:
        return {}
    rows = np.dtype([(str(k), dtype) for k, dtype in fields.items()])
    with warnings.catch_warnings():
        # NumPy warns where it takes 1e3 as an integer.
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values = np.loadtxt(
                lines, dtype=rows, delimiter=" ", usecols=list(fields), comments=None, ndmin=1
            )
        except (ValueError, DeprecationWarning):
            return None
    return {k: np.ascontiguousarray(values[str(k)]) for k in fields}


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
