"""Catalogues as VOTable."""

import json
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from .columns import NOTED
from .content import Content

if TYPE_CHECKING:
    from astropy.table import Table


def is_votable(content: Content) -> bool:
    """Whether a file begins as XML does."""
    return content.head.lstrip().startswith((b"<?xml", b"<VOTABLE"))


def read_votable(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows of the first table, and in its metadata what rbinfer noted."""
    from astropy.io import votable

    first = votable.parse(BytesIO(content.read())).get_first_table()
    table = first.to_table(use_names_over_ids=True)
    for info in first.infos:
        if info.name.startswith(NOTED):
            with suppress(ValueError):
                table.meta[info.name] = json.loads(info.value)
    yield "", table


def write_votable(table: "Table", path: Path) -> None:
    """Write a table, and what rbinfer noted in its metadata."""
    from astropy.io import votable
    from astropy.io.votable.tree import Info

    file = votable.from_table(table)
    for key, value in table.meta.items():
        if str(key).startswith(NOTED):
            file.get_first_table().infos.append(Info(name=str(key), value=json.dumps(value)))
    file.to_xml(str(path))
