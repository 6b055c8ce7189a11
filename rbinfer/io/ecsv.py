"""Catalogues as ECSV, also with metadata that hold what only their writer knows."""

import logging
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .columns import bare
from .content import Content
from .conversion import fitted
from .ecsv_header import plain_header
from .ecsv_rows import cell_at_fault, read_rows
from .records import Records
from .text_rows import Cells, Layout, are_plain, blocks, has_digits, joined, texts_of

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

_HEADER = "# "
_TAG = re.compile(r"![^\s,\[\]{}]*")
#: What makes a cell need quotes.
_TO_QUOTE = re.compile('[ "]')
#: What headers say of columns of arrays, objects, times and the like.
_NOT_PLAIN = ("subtype:", "__serialized_columns__")
#: Tags that nearly every file has.
_USUAL_TAGS = {"!!omap"}


def is_ecsv(content: Content) -> bool:
    """Whether a text begins as ECSV does."""
    return content.head.startswith(b"# %ECSV")


def read_ecsv(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows with the types, units and metadata that the header tells."""
    from astropy.table import Table

    text = content.read().decode("utf-8-sig")
    if not text.endswith(("\n", "\r")):
        # It does not tell how many rows it should have.
        log.warning("%s ends within a line; is it cut short?", content.path)
    lines = text.splitlines() if "\r" in text else text.split("\n")
    end = next((k for k, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header, foreign = _without_foreign_tags("\n".join(line[len(_HEADER) :] for line in lines[:end]))
    if foreign:
        log.warning(
            "%s: metadata with the tags %s are read as plain values", content.path, ", ".join(foreign)
        )
        lines[:end] = [_HEADER + line for line in header.split("\n")]
        end = header.count("\n") + 1
    rows = lines[end + 1 : -1] if lines[-1] == "" else lines[end + 1 :]
    table = None
    if rows and not any(word in header for word in _NOT_PLAIN):
        table = read_rows(Table.read(lines[: end + 1], format="ascii.ecsv"), lines[end], rows)
    yield "", _read_by_astropy(lines, end) if table is None else table


def _read_by_astropy(lines: list[str], end: int) -> "Table":
    """Read a table; its names stand in the line `end`. A `ValueError` names the cell at fault."""
    from astropy.table import Table

    try:
        return Table.read(lines, format="ascii.ecsv")
    except ValueError as error:
        if "failed to convert" not in str(error):
            raise
        # Astropy names the column, but not the row.
        delimiter = "," if "," in lines[end] else " "
        empty = Table.read(lines[: end + 1], format="ascii.ecsv")
        fault = cell_at_fault(empty, lines[end].split(delimiter), lines[end + 1 :], delimiter)
        if fault is None:
            raise
        raise ValueError(fault) from error


def write_ecsv(table: "Table | Records", path: Path) -> None:
    """Write a table with its types, units and metadata."""
    if isinstance(table, Records):
        _write_records(table, path)
    elif _is_plain(table):
        stream_ecsv(table[:0], len(table), [table], path)
    else:
        table.write(path, format="ascii.ecsv")


def _write_records(records: Records, path: Path) -> None:
    """Write new rows, as the same rows in a table would be written."""
    columns = {name: records[name] for name in records.colnames}
    about = [
        (name, "string" if cells.dtype.kind == "U" else cells.dtype.name, cells.unit)
        for name, cells in columns.items()
    ]
    is_plain = all(map(_is_as_it_stands, columns.values()))
    head = plain_header(about, records.meta) if is_plain else None
    if head is None:
        write_ecsv(fitted(records.as_table(), "ECSV"), path)
        return
    with path.open("wb") as file:
        file.write(head.encode())
        file.writelines(_rows(columns.values(), len(records)))


def _is_as_it_stands(cells: NDArray[Any]) -> bool:
    """Whether ECSV holds each cell as it is: numbers, truth values, texts of visible ASCII or empty."""
    if cells.dtype.kind == "U":
        text = "".join(cells.tolist()) if cells.ndim == 1 else " "
        return text.isascii() and text.isprintable() and " " not in text
    return cells.ndim == 1 and cells.dtype.kind in "biuf"


def stream_ecsv(empty: "Table", n_rows: int, tables: "Iterable[Table]", path: Path) -> None:
    """Write many tables as one; see `rbinfer.io.formats.Format.stream`."""
    head = _as_text(empty)
    with path.open("wb") as file:
        file.write(head.encode())
        for table in tables:
            if _is_plain(table):
                file.writelines(_rows(table.itercols(), len(table)))
            else:
                file.write(_as_text(table).removeprefix(head).encode())


def _is_plain(table: "Table") -> bool:
    """Whether cells hold one number, truth value or text each, and masked ones nothing."""
    from astropy.table import Column, MaskedColumn

    return all(
        type(column) in (Column, MaskedColumn)
        and column.ndim == 1
        and column.dtype.kind in "biufU"
        and (type(column) is Column or column.info.serialize_method["ecsv"] == "null_value")
        for column in table.itercols()
    )


def _rows(columns: Iterable[Any], n: int) -> Iterator[bytes]:
    """Yield n rows as Astropy writes them, some at a time."""
    columns = [bare(column) for column in columns]
    for part in blocks(n if columns else 0):
        yield joined([_cells(values[part], masked[part]) for values, masked in columns], Layout(" "))


def _cells(values: NDArray[Any], masked: NDArray[np.bool_]) -> Cells:
    is_masked = bool(masked.any())
    is_text = values.dtype.kind == "U"
    if not is_masked and (are_plain(values, '"') if is_text else has_digits(values)):
        return values
    cells = texts_of(values)
    if is_text:
        cells = [_quoted(cell.strip(" \t")) for cell in cells]
    if is_masked:
        cells = ['""' if gone else cell for cell, gone in zip(cells, masked.tolist(), strict=True)]
    return cells


def _quoted(cell: str) -> str:
    if cell and not _TO_QUOTE.search(cell):
        return cell
    return '"' + cell.replace('"', '""') + '"'


def _as_text(table: "Table") -> str:
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


def _without_foreign_tags(header: str) -> tuple[str, list[str]]:
    """Return a header without the YAML tags that Astropy does not know, and these."""
    if set(_TAG.findall(header)) <= _USUAL_TAGS:
        return header, []
    import yaml
    from astropy.io.misc.yaml import AstropyLoader

    foreign: list[tuple[int, int, str]] = []
    for token in yaml.scan(header, Loader=AstropyLoader):
        if isinstance(token, yaml.TagToken):
            handle, suffix = token.value
            tag = f"tag:yaml.org,2002:{suffix}" if handle == "!!" else f"{handle or ''}{suffix}"
            if tag not in AstropyLoader.yaml_constructors:
                start, end = token.start_mark.index, token.end_mark.index
                foreign.append((start, end, header[start:end].strip()))
    for start, end, _ in reversed(foreign):
        header = header[:start] + header[end:]
    return header, sorted({tag for _, _, tag in foreign})
