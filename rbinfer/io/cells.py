"""Cells of text as columns: numbers where that loses nothing, identifiers as the text that they are."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Column

#: What spreadsheets write where a formula has no value.
SPREADSHEET_ERRORS = ("#N/A", "#NUM!", "#VALUE!", "#DIV/0!", "#REF!", "#NULL!", "#NAME?")
#: What programs write where there is no number.
MISSING = frozenset(
    ("", "-", "--", "N/A", "n/a", "n.a.", "NA", "<NA>", "NULL", "Null", "null", "None", "none", "INDEF")
).union(("\\N", "1.#QNAN", "-1.#IND", "1.#IND"), SPREADSHEET_ERRORS)
# Numbers do not begin like that, but identifiers do: 000001, 001e1.
_LEADING_ZERO = re.compile(r"\n[+-]?0[0-9]")
_MINUS_ZERO = "\n-0\n"
# Programs write 1e+05 or 1.0e5; without point and sign it may be an identifier, as 12e3 is.
_BARE_EXPONENT = re.compile(r"\n[+-]?[0-9]+[eE][0-9]")
_EXACT = 2.0**53  # whole numbers below it are floating-point numbers too
# More digits than float64 keeps.
_LONG_WHOLE = re.compile(r"\n[+-]?[0-9]{16,}\n")
#: The exponent of a number of double precision.
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d+$)")
_DIGIT = re.compile(r"\d")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE).fullmatch
_DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]*,([0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_THOUSANDS = 3  # digits behind a comma that may divide thousands


def column_of(cells: Sequence[str], decimal_comma: bool = True) -> "Column":
    """Make a column of cells.

    Whole numbers that fit into int64 and other decimal numbers become numbers if all cells are such, or
    missing (`MISSING`). Anything else stays text, such as 000001, 001e1, 1_001, 20 digits or True.

    Parameters
    ----------
    cells : sequence of str, shape (n,)
    decimal_comma : bool
        Whether 12,345 may be a number below 13; otherwise a comma before three digits makes it text.

    Returns
    -------
    Column or MaskedColumn, shape (n,)
        Of int64, float64 or text; missing numbers and empty text are masked.
    """
    from astropy.table import Column, MaskedColumn

    first = next((cell for cell in cells if cell.strip() not in MISSING), None)
    if first is None or numbers([first]) is not None:
        plain = numbers(cells, decimal_comma)
        if plain is not None:
            return Column(plain)
        missing = [cell.strip() in MISSING for cell in cells]
        filled = ["0" if gone else cell for cell, gone in zip(cells, missing, strict=True)]
        plain = np.full(len(cells), np.nan) if first is None else numbers(filled, decimal_comma)
        if plain is not None:
            return MaskedColumn(plain, mask=missing)
    text = np.array(cells, dtype=np.str_)
    return MaskedColumn(text, mask=text == "") if "" in cells else Column(text)


def numbers(
    cells: Sequence[str], decimal_comma: bool = True
) -> NDArray[np.int64] | NDArray[np.float64] | None:
    """Return cells as numbers, or None unless all of them are, and keep their meaning as numbers."""
    found = _with_points(cells)
    matches = [] if found is not None else [_DECIMAL_COMMA.fullmatch(c) for c in cells if "," in c]
    if not matches or not all(matches):
        return found
    if not decimal_comma and all(match is not None and len(match[1]) == _THOUSANDS for match in matches):
        return None
    if any("." in cell for cell in cells):
        return None
    return _with_points([cell.replace(",", ".") for cell in cells])


def lenient_numbers(values: NDArray[np.str_]) -> NDArray[np.float64] | None:
    """Return texts as numbers for one who knows that they are some, or None if they are not.

    What is missing is NaN, and so is a word among numbers, such as a unit below the name of a column.
    """
    cells = [str(cell).strip() for cell in values]
    filled = ["nan" if cell in MISSING else cell for cell in cells]
    words = [k for k, cell in enumerate(filled) if not _DIGIT.search(cell) and not _NOT_FINITE(cell)]
    if 2 * len(words) < len(cells):
        for k in words:
            filled[k] = "nan"
    if any("," in cell for cell in filled) and not any("." in cell for cell in filled):
        filled = [cell.replace(",", ".") for cell in filled]
    if any("_" in cell for cell in filled):
        return None
    filled = [_FORTRAN.sub("e", cell) for cell in filled]
    try:
        return np.fromiter(map(float, filled), np.float64, len(filled))
    except ValueError:
        return None


def _with_points(cells: Sequence[str]) -> NDArray[np.int64] | NDArray[np.float64] | None:
    joined = _lines(cells)
    if " " in joined or "\t" in joined:
        joined = _lines([cell.strip() for cell in cells])
    if "_" in joined or not joined.isascii() or _LEADING_ZERO.search(joined):
        return None
    try:
        found = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return None
    has_exponents = "e" in joined or "E" in joined
    if "." not in joined and not has_exponents:
        # The sign of -0 says on which side of the equator some minutes are.
        if _MINUS_ZERO in joined:
            return None
        if np.all(np.abs(found) < _EXACT):
            return found.astype(np.int64)
        try:
            return np.fromiter(map(int, cells), np.int64, len(cells))
        except OverflowError:
            return None
        except ValueError:
            pass  # NaN
    if joined.count(".") == len(cells):
        return found  # no cell is a whole number, or an exponent without a point
    if _LONG_WHOLE.search(joined) or (has_exponents and _BARE_EXPONENT.search(joined)):
        return None
    return found


def _lines(cells: Sequence[str]) -> str:
    """Return cells as lines, each between two ends of a line."""
    return "\n" + "\n".join(cells) + "\n" if cells else "\n"
