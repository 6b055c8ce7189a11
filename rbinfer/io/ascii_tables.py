"""Catalogues in the text formats of astronomy: SExtractor, DAOPHOT, IRAF and IPAC."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .cells import column_of
from .content import Content

if TYPE_CHECKING:
    from astropy.table import Table

#: A column a line; of one alone the name is in capitals.
_SEXTRACTOR = re.compile(
    rb"#\s*1\s+(?:[A-Za-z_]\w*[^\n]*\n#\s*[2-9]\d*\s+[A-Za-z_]|[A-Z][A-Z0-9_]+\b[^\n]*\n\s*[-+.\d])"
)
_DAOPHOT = re.compile(rb"\s*NL\s+NX\s+NY\s", re.IGNORECASE)
_IRAF = re.compile(rb"#[KNUF]\s")
#: Up to four lines between bars: names, types, units and what stands for null.
_IPAC = re.compile(rb"(?:\\[^\n]*\n)*(?:\|[^\n]*\|[ \t\r]*\n){1,4}(?!\|)")
#: Columns of DAOPHOT's files by their number, from its manual (Stetson 1987, and DAOPHOT II's): those of
#: FIND, of PICK and GROUP, and of PEAK, NSTAR and ALLSTAR.
_DAOPHOT_COLUMNS = {
    5: ("ID", "X", "Y", "MAG", "SKY"),
    6: ("ID", "X", "Y", "MAG", "SHARP", "ROUND"),
    7: ("ID", "X", "Y", "MAG", "SHARP", "ROUND", "MARGINAL"),
    9: ("ID", "X", "Y", "MAG", "MERR", "SKY", "NITER", "CHI", "SHARP"),
}
_TWO_LINES = 2  # a star, in files of aperture photometry


def is_sextractor(content: Content) -> bool:
    """Whether a text begins as SExtractor's ASCII_HEAD."""
    return _SEXTRACTOR.match(content.head) is not None


def read_sextractor(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows under the names that the header tells, with its units and descriptions."""
    yield "", _of_cells(_lines(content), "ascii.sextractor")


def _of_cells(lines: list[str], format: str) -> "Table":
    """Read a table without types: what its cells hold is told as everywhere, identifiers stay."""
    import numpy as np
    from astropy.io.ascii import convert_numpy
    from astropy.table import Table

    table = Table.read(lines, format=format, converters={"*": [convert_numpy(np.str_)]})
    for name in table.colnames:
        column = table[name]
        if column.ndim == 1 and column.dtype.kind == "U":
            made: Any = column_of(np.ma.filled(np.ma.asarray(column), "").tolist())
            made.info.unit, made.info.description = column.unit, column.description
            table.replace_column(name, made)
    return table


def is_iraf(content: Content) -> bool:
    """Whether a text begins as those of IRAF's tasks daofind, phot, allstar and others."""
    return _IRAF.match(content.head) is not None


def read_iraf(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows with the types and units that the header tells; INDEF is masked."""
    from astropy.table import Table

    yield "", Table.read(_lines(content), format="ascii.daophot")


def is_ipac(content: Content) -> bool:
    """Whether a text begins with keywords behind backslashes, or names between bars."""
    return _IPAC.match(content.head) is not None


def read_ipac(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows with the types and units that the header tells, if it tells them."""
    from astropy.table import Table

    lines = _lines(content)
    # The types are in the second line between bars.
    if sum(line.startswith("|") for line in content.head.decode("utf-8", "replace").splitlines()) > 1:
        yield "", Table.read(lines, format="ascii.ipac")
    else:
        yield "", _of_cells(lines, "ascii.ipac")


def is_daophot(content: Content) -> bool:
    """Whether a text begins as those of DAOPHOT II and ALLSTAR."""
    return _DAOPHOT.match(content.head) is not None


def read_daophot(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the stars; the columns have no names in the file and get those of DAOPHOT's manual."""
    from astropy.table import Table

    if not is_daophot(content):
        raise ValueError("its first line is not that of DAOPHOT, NL NX NY ...")
    names, values, *body = _lines(content)
    head = dict(zip(names.split(), values.split(), strict=False))
    rows = [line.split() for line in body if line.strip()]
    if head.get("NL") == str(_TWO_LINES):
        rows = [first + second for first, second in zip(rows[::2], rows[1::2], strict=True)]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise ValueError(f"its rows have {min(lengths)} to {max(lengths)} numbers")
    n = lengths.pop() if lengths else 9
    table = Table(meta={key: column_of([value])[0] for key, value in head.items()})
    for name, cells in zip(_daophot_names(n, head.get("NL")), zip(*rows, strict=True), strict=True):
        table[name] = column_of(cells)
    yield "", table


def _daophot_names(n: int, lines: str | None) -> tuple[str, ...]:
    """Return the names of n columns."""
    if lines == str(_TWO_LINES):
        # Magnitudes in each aperture, then the sky, then the errors in each.
        apertures = range(1, (n - 6) // 2 + 1)
        magnitudes, errors = ([f"{kind}{k}" for k in apertures] for kind in ("MAG", "MERR"))
        return ("ID", "X", "Y", *magnitudes, "SKY", "SKYSD", "SKYSKEW", *errors)
    if n in _DAOPHOT_COLUMNS:
        return _DAOPHOT_COLUMNS[n]
    return ("ID", "X", "Y", *(f"COL{k}" for k in range(4, n + 1)))


def _lines(content: Content) -> list[str]:
    """Return the lines of a text; Astropy would take one text for the name of a file, or a URL."""
    text = content.read().decode("utf-8-sig", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
