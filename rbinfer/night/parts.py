"""The Parquet files of a night, which are written and read a part at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .._util.extras import needed
from ..io.files import written_whole
from ..io.parquet import astropy_metadata
from .fields import Field
from .frames import Frame

if TYPE_CHECKING:
    from astropy.table import Table

#: File of all detections with their sources.
DETECTIONS = "detections.parquet"
#: Rows that are written at a time: a table of them takes ten times what they take as arrays.
_PART = 20_000
#: Rows that are read at a time, to become text.
_AT_ONCE = 5000


def parts_of(n: int) -> Iterator[slice]:
    """Divide so many rows into parts that are written at a time; no rows are one part."""
    for start in range(0, max(n, 1), _PART):
        yield slice(start, min(start + _PART, n))


def texts(values: Sequence[str]) -> NDArray[np.str_]:
    """Return a column of text, also without rows; ``?`` for bytes of file names that are not UTF-8."""
    return np.array([value.encode("utf-8", "replace").decode() for value in values], np.str_)


class ParquetParts:
    """A Parquet file that grows by tables; a context manager, and the file is there whole or not at all.

    Parameters
    ----------
    path : Path
    texts : mapping of str to sequence of str
        All that columns of text may hold, by their names: Astropy asks how long they are.
    units : mapping of str to str
        Of columns that have one.

    Raises
    ------
    InputError
        PyArrow is not installed.
    """

    def __init__(
        self,
        path: Path,
        texts: Mapping[str, Iterable[str]],
        units: Mapping[str, str],
    ) -> None:
        needed("pyarrow", "Parquet needs", "night")
        self._path, self._writer = path, None
        self._texts = {name: max(map(len, values), default=1) for name, values in texts.items()}
        self._units = units
        self._whole = written_whole(path, ".parquet")

    def __enter__(self) -> Self:
        self._beside = self._whole.__enter__()
        return self

    def add(self, columns: dict[str, Any]) -> None:
        """Append rows; all parts have the same columns."""
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table(columns)
        if self._writer is None:
            schema = table.schema.with_metadata(self._noted(table.schema))
            self._writer = parquet.ParquetWriter(self._beside, schema)
        self._writer.write_table(table)  # type: ignore[attr-defined]

    def _noted(self, schema: Any) -> dict[str, str]:
        """Return what Astropy needs to read the table as it was."""
        empty = _table(schema.empty_table())
        for name in empty.colnames:
            if empty[name].dtype.kind == "U":
                empty[name] = empty[name].astype(f"U{max(self._texts[name], 1)}")
            empty[name].unit = self._units.get(name)
        return astropy_metadata(empty)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        elif kind is None:
            self.add({"id": np.zeros(0, np.int64)})
            self._writer.close()  # type: ignore[attr-defined]
        self._whole.__exit__(kind, error, trace)


class Parts:
    """The rows of a file of `ParquetParts` as tables of a few thousand; an iterable.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    n_rows : int
    """

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self._path = path
        self.n_rows: int = parquet.read_metadata(path).num_rows

    def empty(self) -> "Table":
        """Return a table of its columns without rows."""
        from pyarrow import parquet

        return _table(parquet.read_schema(self._path).empty_table())

    def __iter__(self) -> "Iterator[Table]":
        from pyarrow import parquet

        with parquet.ParquetFile(self._path) as file:
            for batch in file.iter_batches(batch_size=_AT_ONCE):
                yield _table(batch)


def _table(columns: Any) -> "Table":
    """Return what PyArrow has read as a table."""
    from astropy.table import Table

    table = Table()
    for name in columns.schema.names:
        values = columns.column(name)
        is_text = str(values.type) == "string"
        table[name] = texts(values.to_pylist()) if is_text else np.asarray(values)
    return table


def arrow_columns(table: "Table") -> dict[str, Any]:
    """Return the columns of a table as PyArrow takes them."""
    columns: dict[str, Any] = {}
    for name in table.colnames:
        values = np.asarray(table[name])
        columns[name] = values.tolist() if values.dtype.kind == "U" else values
        if values.dtype.kind == "U" or not len(values):
            columns[name] = _typed(columns[name], values.dtype)
    return columns


def _typed(values: Any, dtype: Any) -> Any:
    import pyarrow

    kind = pyarrow.string() if dtype.kind == "U" else pyarrow.from_numpy_dtype(dtype)
    return pyarrow.array(values, type=kind)


def detection_columns(
    rows: NDArray[Any],
    field: Field,
    ids: NDArray[np.int64],
    probability: NDArray[np.float64],
    frames: Sequence[Frame],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return detections with their sources, as PyArrow takes them.

    Parameters
    ----------
    rows : structured ndarray of `rbinfer.night.rows.ROW`, shape (n,)
    field : Field
        That they lie on.
    ids : ndarray of int64, shape (n,)
        Of the source of each row.
    probability : ndarray of float64, shape (n,)
        Of that source.
    frames : sequence of Frame
    classes : sequence of str

    Returns
    -------
    dict
        ``image`` and ``row`` name the row of a frame's scored catalogue; ``rb_score`` is that of the
        frame alone.
    """
    import pyarrow

    ra, dec = field.sky(rows["u"], rows["v"])
    numbers, which = np.unique(rows["frame"], return_inverse=True)
    names = texts([frames[k].image for k in numbers]).tolist()
    images = pyarrow.DictionaryArray.from_arrays(
        which.astype(np.int32), pyarrow.array(names, type=pyarrow.string())
    )
    kinds = [classes[k] if k >= 0 else "" for k in rows["kind"]]
    return {
        "source": ids,
        "image": images.cast(pyarrow.string()),
        "row": rows["row"],
        "x": rows["x"],
        "y": rows["y"],
        "ra": ra,
        "dec": dec,
        "rb_score": rows["score"],
        "rb_status": rows["status"],
        "rb_class": pyarrow.array(kinds, type=pyarrow.string()),
        "rb_snr": rows["snr"],
        "probability": probability,
    }
