"""What the formats of catalogues can hold: columns are converted without loss, or refused by name."""

import logging
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .columns import bare
from .text_rows import are_plain

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

# Patterns as texts, which `re` compiles when they are first used: that takes 4 ms, and few runs do.
_LINE_ENDS = "[\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029]"
_NOT_IN_XML = "[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]"
#: Characters that Astropy would not write, or would write and not be able to read again.
_UNFIT_TEXTS = {
    "ECSV": _LINE_ENDS,
    "CSV": "\r",  # is the end of a line to spreadsheets
    "VOTable": _NOT_IN_XML,
    "FITS": "[^\\x00-\\x7f]",
}
#: Formats that have limits, in the order in which they are proposed.
_WITH_LIMITS = ("ECSV", "VOTable", "FITS", "CSV", "Parquet")
#: Types that a format lacks, by the letters of NumPy, and their names.
_UNFIT_KINDS = {"ECSV": "m", "FITS": "mM", "VOTable": "mM", "Parquet": "OcmM"}
_KINDS = {
    "O": "holds what is neither number nor text",
    "c": "holds complex numbers",
    "m": "holds spans of time",
    "M": "holds dates",
}
#: Dimensions of columns; Astropy would flatten what has more.
_MOST_DIMENSIONS = {"CSV": 1, "Parquet": 2}
_OUTER_BLANKS = "(?:^|\n) | (?:\n|$)"
_WITHOUT_BLANKS = {"ECSV": _OUTER_BLANKS, "VOTable": _OUTER_BLANKS, "FITS": " (?:\n|$)"}
#: Types that a format lacks, and wider ones that hold their values.
_WIDER = {
    # Astropy would make truth values of bytes with a sign.
    "FITS": {"i1": "i2"},
    "VOTable": {"i1": "i2", "u2": "i4", "u4": "i8", "u8": "i8"},
}


def fitted(table: "Table", kind: str) -> "Table":
    """Make a table that a format holds as it is, where Astropy's writers would fail or change values.

    Parameters
    ----------
    table : Table
        Not modified.
    kind : str
        Name of the format whose limits hold, such as `rbinfer.io.formats.Format.limits`.

    Returns
    -------
    Table
        Integers of types that the format lacks are wider; what stands for masked integers in FITS is
        none of the values.

    Raises
    ------
    InputError
        A column cannot be held.
    """
    out = table.copy(copy_data=False)
    for name in table.colnames:
        column = table[name]
        if kind == "CSV" and getattr(column, "shape", ())[1:] == (1,):
            out[name] = column = column[:, 0]
        what = _misfit(column, kind)
        if kind == "FITS" and not name.isascii():
            raise InputError(f"FITS cannot hold the name of the column {name}; try ECSV or VOTable")
        if what is not None:
            others = [each for each in _WITH_LIMITS if _misfit(column, each) is None]
            way = f"try {' or '.join(others)}, or leave" if others else "leave"
            raise InputError(f"column {name} {what}, which {kind} cannot hold; {way} the column out")
        _tell_of_changes(name, column, kind)
        if getattr(column, "dtype", np.dtype("O")).kind in "iu":
            out[name] = _with_integers(column, kind)
    return out


def _misfit(column: Any, kind: str) -> str | None:
    """Say what a column has that a format lacks; None where it can be held."""
    dtype = getattr(column, "dtype", None)
    if dtype is None:  # times, coordinates
        return "holds what is neither number nor text" if kind == "VOTable" else None
    if column.ndim > _MOST_DIMENSIONS.get(kind, column.ndim) and column.shape[1:] != (1,):
        return f"has arrays of shape {column.shape[1:]} in its cells"
    if dtype.kind in _UNFIT_KINDS.get(kind, ""):
        return _KINDS[dtype.kind]
    if (
        dtype.kind == "O"
        and kind == "CSV"
        and any(np.ndim(cell) or isinstance(cell, dict) for cell in column)
    ):
        return _KINDS["O"]
    if kind == "VOTable" and dtype == np.uint64 and np.any(column > np.iinfo(np.int64).max):
        return "has numbers of 2^63 and more"
    unfit = _UNFIT_TEXTS.get(kind) if dtype.kind in "USO" else None
    if unfit is None or _is_plain_text(column):
        return None
    texts = [str(text) for text in column.ravel().tolist()]
    if re.search(unfit, "".join(texts)):
        return f"has the text {next(text for text in texts if re.search(unfit, text))!r}"
    return None


def _tell_of_changes(name: str, column: Any, kind: str) -> None:
    """Warn of what a format holds, but not as it is."""
    code = getattr(column, "dtype", np.dtype("O")).kind
    if code == "b" and kind == "FITS" and np.any(getattr(column, "mask", False)):
        log.warning("column %s: FITS has no masked truth values; they are written as they are", name)
    lost = _WITHOUT_BLANKS.get(kind) if code in "US" else None
    if lost is None or _is_plain_text(column):
        return
    if re.search(lost, "\n".join(map(str, column.ravel().tolist()))):
        log.warning("column %s: %s does not keep blanks at the ends of texts", name, kind)


def _is_plain_text(column: Any) -> bool:
    """Whether texts are such that every format holds them as they are."""
    if getattr(column, "dtype", np.dtype("O")).kind != "U" or column.ndim != 1:
        return False
    return are_plain(bare(column)[0], "")


def _with_integers(column: Any, kind: str) -> Any:
    """Return integers in a type that the format has, with a value for masked ones that none has."""
    from astropy.table import MaskedColumn

    code = f"{column.dtype.kind}{column.dtype.itemsize}"
    wider = _WIDER.get(kind, {}).get(code)
    if wider is not None:
        column = column.astype(wider)
    if kind != "FITS" or not isinstance(column, MaskedColumn):
        return column
    # In FITS one value stands for what is masked, and whatever has that value is.
    used = set(np.unique(column.compressed()).tolist())
    if int(np.asarray(column.fill_value).astype(column.dtype)) not in used:
        return column
    bounds = np.iinfo(column.dtype)
    most = min(bounds.max, np.iinfo(np.int64).max)  # of what FITS can note
    free = next((value for value in range(most, bounds.min - 1, -1) if value not in used), None)
    if free is None:  # all of 256
        column, free = column.astype(np.int16), -1
    return MaskedColumn(column, fill_value=free)
