"""Catalogues in and out: whatever the caller has as a table, and files of any format that is known."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._util.sentences import reason_of
from ..errors import InputError, RbinferError
from .columns import NOTED
from .content import Content, compress, format_suffix
from .conversion import fitted
from .ecsv import write_ecsv
from .files import check_file, check_place, collect_warnings, written_whole
from .fits_tables import read_records, write_records
from .formats import Format, format_named, format_of, output_format, told_by_content, way_out
from .original import Original
from .records import Records

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Key of the metadata for what the format of a catalogue calls the first pixel.
FIRST_PIXEL = f"{NOTED}first_pixel"
#: Formats of FITS tables that say nothing of the first pixel, and are written as they are read.
_AS_THEY_STAND = ("FITS", "FITS_LDAC")
#: Formats that new `Records` are written in.
_OF_RECORDS = (*_AS_THEY_STAND, "ECSV")


def as_table(obj: Any) -> "Table":
    """Make an Astropy table of what the caller has.

    Parameters
    ----------
    obj : Table, QTable, structured array, mapping of arrays, pandas data frame or pyarrow.Table
        The catalogue.

    Returns
    -------
    Table
        A copy; changing it leaves `obj` as it was.

    Raises
    ------
    InputError
        `obj` is none of these, or its columns differ in length.
    """
    from astropy.table import Table

    if isinstance(obj, Table):
        return obj.copy()
    if type(obj).__module__.startswith("pyarrow") and hasattr(obj, "schema"):
        from .parquet import of_arrow

        _check_names(obj.column_names)
        return of_arrow(obj)
    structured = isinstance(obj, np.ndarray) and obj.dtype.names is not None
    if not structured and not isinstance(obj, Mapping) and not hasattr(obj, "to_records"):
        raise InputError(
            f"the catalogue must be a table, a structured array, a mapping of columns or a data "
            f"frame, not {type(obj).__module__}.{type(obj).__name__}".replace("builtins.", "")
        )
    is_pandas = type(obj).__module__.startswith("pandas")
    if is_pandas:
        names = [str(name) for name in obj.columns]
        _check_names(names)
        obj = obj.set_axis(names, axis=1)
    try:
        if structured or isinstance(obj, Mapping):
            return Table(obj, copy=True)
        # Records would turn text and missing values into Python objects.
        if hasattr(Table, "from_pandas") and is_pandas:
            return Table.from_pandas(obj)
        return Table(obj.to_records(index=False), copy=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"the catalogue cannot be made a table: {error}") from error


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"the catalogue has more than one column {', '.join(twice)}; give each a name of its own"
        )


def read_catalog(path: str | PathLike[str], format: str | None = None) -> "Table":
    """Read a catalogue of any format in `rbinfer.io.formats.FORMATS`.

    The content says which format it is, or else the suffix. In FITS files an LDAC_OBJECTS extension
    is the catalogue, otherwise the first table.

    Parameters
    ----------
    path : str or path
        The file, also compressed (gzip, bzip2, xz).
    format : str, optional
        Name of the format; told by the content by default.

    Returns
    -------
    Table
        Where the format says what the first pixel is called, ``meta["rb_first_pixel"]`` notes it.

    Raises
    ------
    InputError
        The file is missing, empty, of no known format, or cannot be read as that format.
    """
    return _read(path, format, first_only=True)[0][1]


def read_catalogs(path: str | PathLike[str], format: str | None = None) -> "list[tuple[str, Table]]":
    """Read all the tables of a catalogue, such as one for each image of a mosaic.

    Parameters
    ----------
    path : str or path
        The file. Of FITS_LDAC the LDAC_OBJECTS extensions are read, of other FITS files all tables;
        other formats have one table.
    format : str, optional
        As for `read_catalog`.

    Returns
    -------
    list of (str, Table)
        In the order of the file, with the EXTNAME of each, or ``""``.

    Raises
    ------
    InputError
        As from `read_catalog`.
    """
    return _read(path, format, first_only=False)


def read_in_kind(
    path: str | PathLike[str], format: str | None, output: str | PathLike[str]
) -> list[tuple[str, Records]] | None:
    """Read the rows of a FITS catalogue as they stand, if that is how they will be written.

    Parameters
    ----------
    path, format
        As for `read_catalogs`.
    output : str or path
        Where the rows will be written.

    Returns
    -------
    list of (str, Records) or None
        The one table, with its EXTNAME or ``""``. None for a catalogue or an output of another format,
        and for a file that takes Astropy to be read; see `rbinfer.io.plain`.

    Raises
    ------
    InputError
        There is no such file or format.
    """
    kind = kind_of(Path(path), format)
    if kind.name not in _AS_THEY_STAND or output_format(Path(output), kind) is not kind:
        return None
    try:
        found = read_records(Path(path))
    except OSError:  # why, the other reader tells
        return None
    return None if found is None else [found]


def takes_records(output: str | PathLike[str]) -> bool:
    """Whether new rows that are written to a file may be `Records`; raises as `check_output` does."""
    return output_format(Path(output), None).name in _OF_RECORDS


def _read(path: str | PathLike[str], format: str | None, first_only: bool) -> "list[tuple[str, Table]]":
    path = Path(path)
    kind = kind_of(path, format)
    with collect_warnings():
        try:
            tables = kind.read(Content(path))
            found = [next(tables)] if first_only else list(tables)
            if kind.first_pixel is not None:
                for _, table in found:
                    table.meta[FIRST_PIXEL] = kind.first_pixel
            return found
        except InputError:
            raise
        except Exception as error:
            # The readers raise nearly anything on damaged files, errors of a YAML parser too.
            content = Content(path)
            told = told_by_content(content)
            # Where the suffix alone told the format, it may be a list of another program.
            hint = kind.hint or (way_out(content.head) if told is None else "")
            if format is not None and told is not None and told is not kind:
                hint = f"it looks like a file of {told.name}; leave the format out"
            end = f"; {hint}" if hint else ""
            raise InputError(f"{path} cannot be read as {kind.name}: {_reason(error)}{end}") from error


def kind_of(path: Path, format: str | None = None) -> Format:
    """Return the format of a catalogue: the named one, or else what its content tells.

    Raises
    ------
    InputError
        There is no such file, or no such format.
    """
    check_file(path)
    return format_of(Content(path)) if format is None else format_named(format)


def check_output(
    path: str | PathLike[str], overwrite: bool = False, source: Format | None = None
) -> None:
    """Refuse an output path before any work is done.

    Parameters
    ----------
    path : str or path
        Where a catalogue is to be written.
    overwrite : bool
        Whether an existing file may be replaced.
    source : Format, optional
        Format of the catalogue that the rows are from, in which they may be written back.

    Raises
    ------
    InputError
        The suffix is unknown, the folder does not exist, or the file does and must be kept.
    """
    path = Path(path)
    output_format(path, source)
    check_place(path, overwrite)


def check_fit(
    tables: Iterable["Table | Records"], path: str | PathLike[str], source: Format | None = None
) -> None:
    """Refuse tables that the format of an output cannot hold, before any work is done.

    Parameters
    ----------
    tables : iterable of Table or Records
    path, source
        As for `check_output`.

    Raises
    ------
    InputError
        A column cannot be held.
    """
    kind = output_format(Path(path), source)
    if kind is source and kind.is_verbatim:
        return
    for table in tables:
        if not isinstance(table, Records):  # which are from FITS, and go there
            fitted(table, kind.limits)


def write_catalog(
    table: "Table | Records",
    path: str | PathLike[str],
    overwrite: bool = False,
    original: Original | None = None,
) -> None:
    """Write a catalogue; the suffix says in which format.

    The file is written beside its place and renamed, so that it is there whole or not at all.
    ECSV, FITS and Parquet keep ``table.meta``, VOTable what rbinfer noted there; CSV has no place
    for it.

    Parameters
    ----------
    table : Table or Records
        The catalogue. Records are written as FITS, new ones as ECSV too.
    path : str or path
        ``.ecsv``, ``.csv``, ``.fits``, ``.fit``, ``.fts`` (also ``.gz``), ``.vot``, ``.votable``,
        ``.xml``, ``.parquet`` or ``.pq``.
    overwrite : bool
        Whether an existing file may be replaced.
    original : Original, optional
        What the rows of the table are from. In the same format they are written back in kind: cells of
        text as they stood, other extensions of FITS_LDAC as they are.

    Raises
    ------
    InputError
        As from `check_output`, or the table does not fit into the format.
    RbinferError
        The file system refused.
    """
    path = Path(path)
    source = None if original is None else format_named(original.format)
    check_output(path, overwrite, source)
    kind = output_format(path, source)
    if isinstance(table, Records) and kind.name not in (
        _OF_RECORDS if table.are_new else _AS_THEY_STAND
    ):
        raise InputError(
            f"rows that stand as in their FITS file cannot be written to {path.name} ({kind.name}); "
            "read the catalogue as a table"
        )
    suffix = format_suffix(path)
    try:
        with written_whole(path, suffix) as beside, collect_warnings():
            in_place = original if kind is source and kind.rewrite is not None else None
            if in_place is not None:
                in_place.check()
            if isinstance(table, Records) and kind.name in _AS_THEY_STAND:
                write_records(table, beside, in_place)
            elif isinstance(table, Records):
                write_ecsv(table, beside)
            elif in_place is not None and kind.rewrite is not None:
                kind.rewrite(table if kind.is_verbatim else fitted(table, kind.limits), in_place, beside)
            elif kind.write is not None:
                kind.write(fitted(table, kind.limits), beside)
            compress(beside, path)
    except RbinferError:
        raise
    except Exception as error:
        # The writers raise nearly anything at columns of objects.
        raise InputError(
            f"the table does not fit into {path.name} ({kind.name}): {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    return reason_of(error, "its content is not as it should be")[:200]
