"""Catalogues as Parquet; only this needs PyArrow."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .columns import NOTED, bare
from .content import Content
from .original import Original

if TYPE_CHECKING:
    from astropy.table import Table


#: Key of the metadata of Parquet files that Astropy wrote.
_OF_ASTROPY = b"table_meta_yaml"
#: How the keys begin that tell how long the texts of a column are.
_LENGTH = "table::len::"
#: Key of the metadata of a field that has a unit, as `as_arrow` writes it.
_UNIT = b"unit"


def is_parquet(content: Content) -> bool:
    """Whether a file begins as Parquet does."""
    return content.head.startswith(b"PAR1")


def read_parquet(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the rows; nulls are masked."""
    from astropy.table import Table

    need_pyarrow()
    from pyarrow import parquet

    data = content.read()
    columns = parquet.read_table(BytesIO(data))
    if _is_of_astropy(columns):
        yield "", Table.read(BytesIO(data), format="parquet")
        return
    # Written by others, or a part at a time: Astropy's reader knows no nulls.
    yield "", of_arrow(columns)


def of_arrow(columns: Any) -> "Table":
    """Return a table of PyArrow's as one of Astropy's; nulls are masked."""
    from astropy.table import MaskedColumn, Table

    table = Table()
    for name, column in zip(columns.column_names, columns.columns, strict=True):
        absent = column.is_null().to_numpy()
        values = _values(column)
        table[name] = MaskedColumn(values, mask=absent) if absent.any() else values
        unit = (columns.schema.field(name).metadata or {}).get(_UNIT)
        if unit is not None:
            table[name].unit = unit.decode("utf-8", "replace")
    for key, text in (columns.schema.metadata or {}).items():
        if key.decode("utf-8", "replace").startswith(NOTED):
            with suppress(ValueError):
                table.meta[key.decode()] = json.loads(text)
    return table


def _is_of_astropy(columns: Any) -> bool:
    """Whether Astropy reads a table as it was: with its metadata, and without nulls."""
    has_nulls = any(column.null_count for column in columns.columns)
    return _OF_ASTROPY in (columns.schema.metadata or {}) and not has_nulls


def _values(column: Any) -> NDArray[Any]:
    """Return a column of PyArrow's as an array; something of the same type stands for nulls."""
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if types.is_string(kind) or types.is_large_string(kind):
        return np.asarray(column.fill_null("").to_numpy(), np.str_)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return np.asarray(column.fill_null(b"").to_numpy(), np.bytes_)
    if types.is_boolean(kind):
        column = column.fill_null(False)
    elif types.is_integer(kind) or types.is_floating(kind):
        column = column.fill_null(0)
    values: NDArray[Any] = column.to_numpy()
    return values


def write_parquet(table: "Table", path: Path) -> None:
    """Write a table with its metadata, as Astropy does."""
    need_pyarrow()
    table.write(path, format="parquet")


def stream_parquet(empty: "Table", n_rows: int, tables: "Iterable[Table]", path: Path) -> None:
    """Write many tables as one, a row group each; see `rbinfer.io.formats.Format.stream`."""
    need_pyarrow()
    from pyarrow.parquet import ParquetWriter

    schema = as_arrow(empty).schema
    schema = schema.with_metadata({**(schema.metadata or {}), **astropy_metadata(empty)})
    with ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(as_arrow(table).cast(schema))


def astropy_metadata(empty: "Table") -> dict[str, str]:
    """Return what Astropy notes in Parquet of its own.

    Parameters
    ----------
    empty : Table
        Columns with their types and units, and the metadata; texts are as wide as the longest will be.

    Returns
    -------
    dict of str to str
    """
    from astropy.table import meta

    noted = {_OF_ASTROPY.decode(): "\n".join(meta.get_yaml_from_table(empty))}
    for column in empty.itercols():
        if column.dtype.kind in "US":
            wide = column.dtype.itemsize // (4 if column.dtype.kind == "U" else 1)
            noted[f"{_LENGTH}{column.name}"] = str(max(wide, 1))
    return noted


def as_arrow(table: "Table") -> Any:
    """Return a table as one of PyArrow's; units are metadata of the fields, what is masked is null.

    Parameters
    ----------
    table : Table
        Of plain columns with one value, or one list of values, in a cell.

    Returns
    -------
    pyarrow.Table
        What rbinfer noted in ``table.meta`` is in its metadata, as JSON.
    """
    need_pyarrow()
    import pyarrow

    arrays, fields = [], []
    for column in table.itercols():
        values, masked = bare(column)
        if values.ndim > 1:
            array = pyarrow.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
        elif values.dtype.kind in "US":
            array = pyarrow.array(values.tolist(), pyarrow.string(), mask=masked)
        else:
            array = pyarrow.array(values, mask=masked)
        unit = {} if column.unit is None else {_UNIT: str(column.unit)}
        arrays.append(array)
        fields.append(pyarrow.field(column.name, array.type, metadata=unit))
    noted = {key: json.dumps(value) for key, value in table.meta.items() if str(key).startswith(NOTED)}
    return pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields, noted))


def rewrite_parquet(table: "Table", original: Original, path: Path) -> None:
    """Write a table with the columns of the file that it is from as they stood, and the new ones."""
    from pyarrow import array, parquet
    from pyarrow import table as arrow_table

    source = parquet.read_table(BytesIO(original.content.read()))
    if _is_of_astropy(source):
        write_parquet(table, path)
        return
    metadata = {
        key: value
        for key, value in (source.schema.metadata or {}).items()
        if key != _OF_ASTROPY and not key.startswith(_LENGTH.encode())  # of other columns than now
    }
    source = source.take(array(original.rows))
    old = {name for name in source.column_names if not name.startswith(NOTED)}
    columns = {}
    for name in table.colnames:
        if name in old:
            columns[name] = source[name]
        else:
            values, masked = bare(table[name])
            columns[name] = array(values.tolist() if values.dtype.kind in "US" else values, mask=masked)
    noted = {key: json.dumps(value) for key, value in table.meta.items() if str(key).startswith(NOTED)}
    parquet.write_table(arrow_table(columns).replace_schema_metadata({**metadata, **noted}), path)


def need_pyarrow() -> None:
    """Refuse to go on without PyArrow; raises `InputError`."""
    try:
        import pyarrow.parquet  # noqa: F401 - old releases of Astropy do not say what is absent
    except ImportError as error:
        raise InputError(
            'Parquet needs a package that is not installed: pip install "rbinfer[parquet]"'
        ) from error
