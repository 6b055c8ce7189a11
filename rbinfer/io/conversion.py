"""What the formats of catalogues can hold: columns are converted without loss, or refused by name."""

import logging
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

_LINE_ENDS = re.compile("[\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029]")
_NOT_IN_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_NOT_ASCII = re.compile("[^\\x00-\\x7f]")
#: Characters that Astropy would not write, or would write and not be able to read again.
_UNFIT_TEXTS = {
    "ECSV": _LINE_ENDS,
    "CSV": re.compile("\r"),  # is the end of a line to spreadsheets
    "VOTable": _NOT_IN_XML,
    "FITS": _NOT_ASCII,
}
#: Dimensions of columns; Astropy would flatten what has more.
_MOST_DIMENSIONS = {"CSV": 1, "Parquet": 2}
_OUTER_BLANKS = re.compile("(?:^|\n) | (?:\n|$)")
_WITHOUT_BLANKS = {"ECSV": _OUTER_BLANKS, "VOTable": _OUTER_BLANKS, "FITS": re.compile(" (?:\n|$)")}
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
        dtype = getattr(column, "dtype", None)
        _check_kind(name, column, kind)
        if dtype is None:
            continue
        if dtype.kind in "USO":
            _check_texts(name, column, kind)
        elif dtype.kind in "iu":
            out[name] = _with_integers(name, column, kind)
        elif dtype.kind == "b" and kind == "FITS" and np.any(getattr(column, "mask", False)):
            log.warning("column %s: FITS has no masked truth values; they are written as they are", name)
    return out


def _check_kind(name: str, column: Any, kind: str) -> None:
    what = None
    dtype = getattr(column, "dtype", None)
    if kind == "VOTable" and dtype is None:
        what = f"is a {type(column).__name__}"
    elif dtype is not None and column.ndim > _MOST_DIMENSIONS.get(kind, column.ndim):
        what = f"has arrays of shape {column.shape[1:]} in its cells"
    elif kind == "Parquet" and dtype is not None and dtype.kind in "Oc":
        what = "holds complex numbers" if dtype.kind == "c" else "holds what is neither number nor text"
    if what is not None:
        raise _unfit(name, what, kind)


def _check_texts(name: str, column: Any, kind: str) -> None:
    """Refuse texts with characters that the format lacks."""
    unfit = _UNFIT_TEXTS.get(kind)
    texts = [] if unfit is None else [str(text) for text in column.ravel().tolist()]
    if texts and kind in _WITHOUT_BLANKS and _WITHOUT_BLANKS[kind].search("\n".join(texts)):
        log.warning("column %s: %s does not keep blanks at the ends of texts", name, kind)
    if unfit is not None and unfit.search("".join(texts)):
        found = next(text for text in texts if unfit.search(text))
        raise _unfit(name, f"has the text {found!r}", kind)


def _with_integers(name: str, column: Any, kind: str) -> Any:
    from astropy.table import MaskedColumn

    code = f"{column.dtype.kind}{column.dtype.itemsize}"
    wider = _WIDER.get(kind, {}).get(code)
    if code == "u8" and wider is not None and np.any(column > np.iinfo(np.int64).max):
        raise _unfit(name, "has numbers of 2^63 and more", kind)
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


def _unfit(name: str, what: str, kind: str) -> InputError:
    others = " or ".join(each for each in ("ECSV", "VOTable", "FITS") if each != kind)
    return InputError(
        f"column {name} {what}, which {kind} cannot hold; try {others}, or leave the column out"
    )
