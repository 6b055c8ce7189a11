"""Catalogues as text: ECSV, CSV and SExtractor's ASCII."""

import logging
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .content import Content

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)


def is_ecsv(content: Content) -> bool:
    """Whether a text begins as ECSV does."""
    return content.head.removeprefix(BOM_UTF8).startswith(b"# %ECSV")


def read_ecsv(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows with the types, units and metadata that the header tells."""
    yield "", _read(content, "ascii.ecsv")


def write_ecsv(table: "Table", path: Path) -> None:
    """Write a table with its types, units and metadata."""
    table.write(path, format="ascii.ecsv")


def read_csv(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows; empty cells are masked."""
    yield "", _read(content, "ascii.csv")


def write_csv(table: "Table", path: Path) -> None:
    """Write names and rows."""
    table.write(path, format="ascii.csv")


def read_sextractor(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows under the names that the header tells."""
    yield "", _read(content, "ascii.sextractor")


def _read(content: Content, kind: str) -> "Table":
    from astropy.table import Table

    data = content.read()
    if not data.endswith((b"\n", b"\r")):
        # It does not tell how many rows it should have.
        log.warning("%s ends within a line; is it cut short?", content.path)
    # Spreadsheets put a mark before the first name; Astropy is slow where an encoding is given.
    marked = {"encoding": "utf-8-sig"} if data.startswith(BOM_UTF8) else {}
    return Table.read(content.path, format=kind, **marked)
