"""Catalogues as Parquet; only this needs PyArrow."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .content import Content

if TYPE_CHECKING:
    from astropy.table import Table


def is_parquet(content: Content) -> bool:
    """Whether a file begins as Parquet does."""
    return content.head.startswith(b"PAR1")


def read_parquet(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows; nulls are masked."""
    from astropy.table import MaskedColumn, Table

    _need_pyarrow()
    from pyarrow import parquet

    data = content.read()
    columns = parquet.read_table(BytesIO(data))
    if b"table_meta_yaml" in (columns.schema.metadata or {}):
        yield "", Table.read(BytesIO(data), format="parquet")
        return
    # Written by others: Astropy's reader knows no nulls.
    table = Table()
    for name, column in zip(columns.column_names, columns.columns, strict=True):
        absent = column.is_null().to_numpy()
        if absent.any():
            column = column.fill_null("" if "string" in str(column.type) else 0)
        values = column.to_numpy()
        values = values.astype(str) if "string" in str(column.type) else values
        table[name] = MaskedColumn(values, mask=absent) if absent.any() else values
    yield "", table


def write_parquet(table: "Table", path: Path) -> None:
    """Write a table with its metadata, as Astropy does."""
    _need_pyarrow()
    table.write(path, format="parquet")


def _need_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401 - old releases of Astropy do not say what is absent
    except ImportError as error:
        raise InputError(
            'Parquet needs a package that is not installed: pip install "rbinfer[parquet]"'
        ) from error
