"""Catalogues as CSV and its relatives, in the dialects of programs and spreadsheets."""

import logging
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .cells import column_of, numbers
from .columns import NOTED, bare
from .content import HEAD_SIZE, Content, format_suffix
from .delimited import Delimited, Dialect, parse
from .look_alikes import likely_positions, with_first_values
from .original import Original
from .text_rows import Cells, Layout, are_plain, blocks, has_digits, joined, texts_of

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: What suffixes say of the separator, for tables that were separated otherwise.
_SEPARATOR_OF = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_SAMPLE = 100  # cells that are looked at


def is_csv(content: Content) -> bool:
    """Whether a file is a table of text: a line of names, and rows of as many cells."""
    head = content.head
    if len(head) >= HEAD_SIZE - len(BOM_UTF8):
        # Its last line may be cut short.
        end = head.rfind(b"\n") + 1
        head = head[: end + end % 2] if b"\0" in head[:4] else head[:end]
    try:
        found = parse(head)
        columns = found.columns
    except ValueError:
        return False
    has_names = bool(found.header) and numbers(found.names[:1]) is None
    return has_names and len(columns) > 1 and len(found.records) > 0


def how_to_read(head: bytes) -> str:
    """Say which columns a text without names would have, and how it is read.

    Parameters
    ----------
    head : bytes
        Its first bytes.

    Returns
    -------
    str
        Empty where it is no rows of several cells.
    """
    try:
        found = parse(head[: head.rfind(b"\n") + 1] or head)
        columns = found.columns
    except ValueError:
        return ""
    if len(columns) < 2 or not found.records or found.header:
        return ""
    from astropy.table import Table

    comma = found.dialect.separator != ","
    table = Table([column_of(cells, decimal_comma=comma) for cells in columns], names=found.names)
    x, y = likely_positions(table) or found.names[:2]
    return (
        f"as CSV it has the columns {with_first_values(table)}; say which are x and y, such as "
        f"`catalog_format='CSV', x_col={x!r}, y_col={y!r}, origin=1`"
    )


def read_csv(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows: numbers where that loses nothing, text elsewhere; missing cells are masked."""
    from astropy.table import Table

    data = content.read()
    if not data.endswith((b"\n", b"\r", b"\n\0")):
        # It does not tell how many rows it should have.
        log.warning(
            "%s has no line break at its end; if it was cut short, rows are missing", content.path
        )
    found = parse(data)
    if found.passed_over:
        log.warning(
            "%s: %d line(s) above the names are taken for free text: %.60r",
            content.path,
            len(found.passed_over),
            found.passed_over[0],
        )
    if found.left_out:
        log.warning("%s: %d lines that begin with # are no rows", content.path, found.left_out)
    comma = found.dialect.separator != ","
    columns = [column_of(cells, decimal_comma=comma) for cells in found.columns]
    yield "", Table(columns, names=found.names, copy=False)


def write_csv(table: "Table", path: Path) -> None:
    """Write names and rows, with commas; numbers with the digits that tell them apart in their type."""
    from astropy.table import Column

    if not all(isinstance(column, Column) for column in table.itercols()):
        # Coordinates and times.
        table.write(path, format="ascii.csv", strip_whitespace=False)
        return
    stream_csv(table, len(table), [table], path)


def stream_csv(empty: "Table", n_rows: int, tables: "Iterable[Table]", path: Path) -> None:
    """Write many tables as one, as `write_csv` does; see `rbinfer.io.formats.Format.stream`."""
    dialect = Dialect()
    with path.open("wb") as file:
        file.write(dialect.encoded([",".join(map(dialect.quoted, empty.colnames))]))
        for table in tables:
            file.writelines(_rows(table, dialect))


def _rows(table: "Table", dialect: Dialect) -> Iterator[bytes]:
    """Yield the rows of a table, with commas, some at a time."""
    columns = [bare(column) for column in table.itercols()]
    for part in blocks(len(table) if columns else 0):
        cells = [_cells(values[part], masked[part], dialect) for values, masked in columns]
        if len(cells) == 1 and isinstance(cells[0], list):  # an empty line would be no row
            cells = [[cell or '""' for cell in cells[0]]]
        yield joined(cells, Layout(dialect.separator))


def rewrite_csv(table: "Table", original: Original, path: Path) -> None:
    """Write a table with all cells of the file that it is from as they stood, and the new columns.

    Encoding, separator, decimal comma and the lines above the names stay as they were, but for the
    separator if the suffix asks for another.
    """
    found = parse(original.content.read())
    dialect = replace(found.dialect, separator=_separator(found.dialect, original.content.path, path))
    old = [name for name in table.colnames if name in found.names and not name.startswith(NOTED)]
    comma = _has_decimal_commas(found)
    new = {n: bare(table[n]) for n in table.colnames if n not in old}
    where = original.rows.tolist()
    names = [dialect.quoted(name) for name in table.colnames]
    if old == found.names == table.colnames[: len(old)] and dialect == found.dialect:
        # The rows as they stand, then what is new.
        names = [found.header or dialect.separator.join(names[: len(old)]), *names[len(old) :]]
        order, kept = [None, *new], {None: found.whole_records()}
    else:
        if dialect == found.dialect:
            cells = [list(column) for column in zip(*found.as_written(), strict=True)]
        else:
            cells = [[dialect.quoted(cell) for cell in column] for column in found.columns]
        order = table.colnames
        kept = {name: cells[found.names.index(name)] for name in old if where}
    layout = Layout(dialect.separator, "," if comma else ".")
    header = dialect.separator.join(names)
    with path.open("wb") as file:
        file.write(dialect.encoded([*found.head, header]))
        for part in blocks(len(where)):
            parts = [
                _cells(new[name][0][part], new[name][1][part], dialect, comma)
                if name in new
                else [kept[name][row] for row in where[part]]
                for name in order
            ]
            file.write(dialect.recoded(joined(parts, layout)))


def _separator(dialect: Dialect, source: Path, path: Path) -> str:
    """Return what separates the cells of an output: as before, unless its name is of another kind."""
    suffix = format_suffix(path)
    if suffix == format_suffix(source):
        return dialect.separator
    return _SEPARATOR_OF.get(suffix, dialect.separator)


def _has_decimal_commas(found: Delimited) -> bool:
    """Whether a column of numbers has decimal commas, by its first cells."""
    for cells in found.columns:
        first = cells[:_SAMPLE]
        is_number = column_of(first, found.dialect.separator != ",").dtype.kind == "f"
        if is_number and any("," in cell for cell in first):
            return True
    return False


def _cells(
    values: NDArray[Any], masked: NDArray[np.bool_], dialect: Dialect, comma: bool = False
) -> Cells:
    """Return the values of a column as they are written, or the numbers that they are."""
    comma = comma and values.dtype.kind == "f"
    is_masked = bool(masked.any())
    if values.dtype.kind == "U":
        is_ready = are_plain(values, f'"#{dialect.separator}')
    else:
        is_ready = has_digits(values) and not (comma and dialect.separator == ",")
    if is_ready and not is_masked:
        return values
    if values.dtype.kind in "SUO":
        texts = [dialect.quoted(str(value)) for value in values.tolist()]
    else:
        texts = texts_of(values)
        if comma:
            texts = [dialect.quoted(text.replace(".", ",")) for text in texts]
    if not is_masked:
        return texts
    empty = dialect.quoted("")
    return [empty if gone else text for text, gone in zip(texts, masked.tolist(), strict=True)]
