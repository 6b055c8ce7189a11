"""Catalogues as VOTable."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .columns import NOTED
from .content import Content

if TYPE_CHECKING:
    from astropy.io.votable.tree import VOTableFile
    from astropy.table import Table

_ROW, _ROW_END = b"<TR>", b"</TR>\n"


def is_votable(content: Content) -> bool:
    """Whether a file begins as XML does."""
    return content.head.lstrip().startswith((b"<?xml", b"<VOTABLE"))


def read_votable(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows of the first table, and in its metadata what rbinfer noted."""
    from astropy.io import votable

    text = content.read()
    _check_self_contained(text, content.path)
    first = votable.parse(BytesIO(text)).get_first_table()
    table = _with_texts(first.to_table(use_names_over_ids=True))
    for info in first.infos:
        if info.name.startswith(NOTED):
            with suppress(ValueError):
                table.meta[info.name] = json.loads(info.value)
    yield "", table


def _with_texts(table: "Table") -> "Table":
    """Give texts of any length, which Astropy reads as Python's objects, the type that texts have."""
    for name in table.colnames:
        column = table[name]
        if column.dtype == object and all(isinstance(cell, str) for cell in column.tolist()):
            table[name] = column.astype(str)
    return table


def _check_self_contained(text: bytes, path: Path) -> None:
    """Refuse a file whose rows are in another one, which Astropy would open, or fetch from a URL."""
    from xml.parsers import expat

    def check(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] != "STREAM":
            return
        for key, value in attributes.items():
            if key.rpartition(":")[2] == "href":
                raise InputError(
                    f"{path} is a VOTable whose rows are elsewhere (STREAM with href={value!r}), and no "
                    "other file is opened; save it with its rows in it, such as in TABLEDATA"
                )

    # The parser that Astropy uses, so that entities and encodings hide nothing.
    parser = expat.ParserCreate()
    parser.StartElementHandler = check
    parser.Parse(text, True)


def write_votable(table: "Table", path: Path) -> None:
    """Write a table, and what rbinfer noted in its metadata."""
    _as_votable(table).to_xml(str(path))


def stream_votable(empty: "Table", n_rows: int, tables: "Iterable[Table]", path: Path) -> None:
    """Write many tables as one; see `rbinfer.io.formats.Format.stream`.

    Of the text of each table the rows are taken, of the first also what stands around them.
    """
    end = None
    with path.open("wb") as file:
        for table in tables:
            text = BytesIO()
            _as_votable(table).to_xml(text)
            content = text.getvalue()
            first, last = content.index(_ROW), content.rindex(_ROW_END) + len(_ROW_END)
            file.write(content[:last] if end is None else content[first:last])
            end = content[last:]
        if end is None:
            _as_votable(empty).to_xml(file)
        else:
            file.write(end)


def _as_votable(table: "Table") -> "VOTableFile":
    from astropy.io import votable
    from astropy.io.votable.tree import Info

    file = votable.from_table(table)
    for key, value in table.meta.items():
        if str(key).startswith(NOTED):
            file.get_first_table().infos.append(Info(name=str(key), value=json.dumps(value)))
    return file
