"""Tables of many images joined into one file, a table at a time, so that the memory does not grow."""

import gc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._util.sentences import reason_of
from ..errors import InputError, RbinferError
from .columns import NOTED, bare
from .content import compress, format_suffix
from .conversion import fitted
from .files import collect_warnings, written_whole
from .formats import output_format

if TYPE_CHECKING:
    from astropy.table import Table

#: Column that says from which image a row is.
IMAGE_COLUMN = f"{NOTED}image"
_MOST_CELLS = 2_000_000  # that may wait to be freed


@dataclass
class _Kind:
    """What a column holds in all the tables that have it."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    unit: Any
    n_tables: int = 0
    has_missing: bool = False


@dataclass
class Layout:
    """Columns and rows of many tables as one.

    Attributes
    ----------
    meta : dict
        What rbinfer noted in all tables alike.
    n_rows : int
    """

    meta: dict[str, Any] = field(default_factory=dict)
    n_rows: int = 0
    _kinds: dict[str, _Kind] = field(default_factory=dict)
    _n_tables: int = 0
    _n_filled: int = 0
    _longest: int = 1

    def add(self, image: str, table: "Table") -> None:
        """Take a table into account.

        Parameters
        ----------
        image : str
            Name of the image that its rows are from.
        table : Table

        Raises
        ------
        InputError
            A column cannot be joined with that of the same name of the others.
        """
        noted = {key: value for key, value in table.meta.items() if str(key).startswith(NOTED)}
        if self._n_tables:
            noted = {key: value for key, value in self.meta.items() if _is_same(noted.get(key), value)}
        self.meta = noted
        self._n_tables += 1
        self._longest = max(self._longest, len(image))
        if not len(table):
            # A text format cannot tell the types of columns without rows.
            return
        self.n_rows += len(table)
        self._n_filled += 1
        for name in table.colnames:
            if name != IMAGE_COLUMN:
                self._take(name, image, table[name])

    def _take(self, name: str, image: str, column: Any) -> None:
        dtype = getattr(column, "dtype", np.dtype("O"))
        if dtype.kind == "O":
            raise _not_merged(image, name, "holds what is neither number nor text")
        if dtype.kind == "S":
            dtype = np.dtype(f"U{max(dtype.itemsize, 1)}")
        shape, unit = tuple(column.shape[1:]), getattr(column, "unit", None)
        kind = self._kinds.setdefault(name, _Kind(dtype, shape, unit))
        try:
            kind.dtype = np.promote_types(kind.dtype, dtype.newbyteorder("="))
        except TypeError as error:
            raise _not_merged(image, name, "is of another type than in the images before") from error
        if kind.shape != shape:
            raise _not_merged(
                image, name, f"has cells of shape {shape}, but {kind.shape} in the images before"
            )
        if kind.unit != unit:
            raise _not_merged(image, name, f"is in {unit}, but in {kind.unit} in the images before")
        kind.n_tables += 1
        kind.has_missing |= bool(np.any(getattr(column, "mask", False)))

    def rows(self, image: str, table: "Table | None" = None) -> "Table":
        """Return the rows of a table in the columns of all; none without a table."""
        from astropy.table import Column, MaskedColumn, Table

        n = 0 if table is None else len(table)
        out = Table(meta=dict(self.meta))
        out[IMAGE_COLUMN] = np.full(n, image, f"U{self._longest}")
        for name, kind in self._kinds.items():
            lacks = kind.has_missing or kind.n_tables < self._n_filled
            dtype = _with_room(kind.dtype) if lacks else kind.dtype
            values, masked = _values(table, name, n, kind)
            if dtype.kind not in "iub" or not lacks:
                if dtype.kind in "fc" and masked.any():
                    values = np.where(masked, np.nan, values)
                out[name] = Column(values.astype(dtype), unit=kind.unit)
                continue
            lowest = np.iinfo(dtype).min  # one value for all tables, as FITS notes it once
            out[name] = MaskedColumn(
                values.astype(dtype), mask=masked, unit=kind.unit, fill_value=lowest
            )
        return out


def write_merged(
    parts: "Callable[[], Iterator[tuple[str, Table]]]",
    path: Path,
    before: Callable[[Path], None] = lambda whole: None,
) -> int:
    """Write many tables as one file, whole or not at all; the suffix says in which format.

    Parameters
    ----------
    parts : callable
        Yields name and rows of each image. It is called twice: to learn what columns there are, and to
        write them; one table at a time is kept.
    path : Path
        Replaced if it is there.
    before : callable
        Called with the file that is whole, before it is put in its place.

    Returns
    -------
    int
        How many rows were written. The column ``rb_image`` tells whose they are. What a table lacks is
        NaN, an empty text or masked; the metadata are those that all tables share.

    Raises
    ------
    InputError
        The format cannot hold them, or columns of one name cannot be joined.
    RbinferError
        The file system refused.
    """
    kind = output_format(path)
    assert kind.stream is not None  # as every format has that is written
    layout = Layout()
    for image, table in _collected(parts()):
        layout.add(image, table)
    rows = (
        fitted(layout.rows(image, table), kind.limits)
        for image, table in _collected(parts())
        if len(table)
    )
    try:
        with written_whole(path, format_suffix(path)) as beside, collect_warnings():
            kind.stream(fitted(layout.rows(""), kind.limits), layout.n_rows, rows, beside)
            compress(beside, path)
            before(beside)
    except (RbinferError, OSError):
        raise
    except Exception as error:
        # The writers raise nearly anything.
        reason = reason_of(error, "its content is not as it should be")[:200]
        raise InputError(f"the tables do not fit into {path.name} ({kind.name}): {reason}") from error
    return layout.n_rows


def _collected(parts: "Iterator[tuple[str, Table]]") -> "Iterator[tuple[str, Table]]":
    """Yield tables, and free those before now and then: they are cycles, which Python finds late."""
    n_cells = 0
    for image, table in parts:
        yield image, table
        n_cells += len(table) * len(table.colnames)
        if n_cells > _MOST_CELLS:
            n_cells = 0
            gc.collect()


def _not_merged(image: str, name: str, why: str) -> InputError:
    return InputError(
        f"{image}: the column {name} {why} and cannot be merged; leave it out with `show`, or merge "
        "fewer images"
    )


def _values(
    table: "Table | None", name: str, n: int, kind: _Kind
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the values of a column and which are missing; all where the table does not have it."""
    if table is None or name not in table.colnames:
        return np.zeros((n, *kind.shape), kind.dtype), np.ones((n, *kind.shape), np.bool_)
    values, masked = bare(table[name])
    if values.dtype.kind == "S":
        values = np.char.decode(values, "latin-1")
    if values.dtype.kind == "U" and masked.any():
        values = np.where(masked, "", values)
    return values, masked


def _with_room(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type that holds all values of another and one that stands for none."""
    if dtype.kind not in "iub":
        return dtype
    signed = np.promote_types(dtype, np.int8)
    if signed.kind != "i":
        return signed  # of 64 bits without a sign
    return np.dtype(f"i{min(2 * signed.itemsize, 8)}")


def _is_same(one: Any, other: Any) -> bool:
    with suppress(ValueError):  # arrays
        return bool(type(one) is type(other) and one == other)
    return False
