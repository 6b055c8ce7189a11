"""Catalogues in and out: position columns, pixel origin, formats.

Positions are 0-based inside rbinfer: the centre of the first pixel is (0, 0).
"""

import json
import logging
from codecs import BOM_UTF8
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._util.arguments import PIXEL_UNITS
from ..errors import InputError, RbinferError
from .files import check_file, check_place, collect_warnings, written_whole
from .formats import fitted

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Names of the position columns in the order in which they are looked for, and their pixel origin.
POSITION_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("x", "y", 0),
    ("x_centroid", "y_centroid", 0),
    ("xcentroid", "ycentroid", 0),
    ("XWIN_IMAGE", "YWIN_IMAGE", 1),
    ("X_IMAGE", "Y_IMAGE", 1),
)
#: Names of the columns with a detection's brightest pixel, and their pixel origin.
PEAK_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("xpeak", "ypeak", 0),
    ("XPEAK_IMAGE", "YPEAK_IMAGE", 1),
)

_FORMATS = {
    ".ecsv": "ascii.ecsv",
    ".csv": "ascii.csv",
    ".fits": "fits",
    ".fit": "fits",
    ".fts": "fits",
    ".fits.gz": "fits",
    ".fit.gz": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_READ_ONLY_FORMATS = {".cat": "ascii.sextractor", ".ldac": "fits"}
#: What to do about files that cannot be read.
_HINTS = {"ascii.sextractor": "; SExtractor names the columns with CATALOG_TYPE ASCII_HEAD or FITS_LDAC"}
#: How the keys begin that rbinfer adds to a table's metadata.
NOTED = "rb_"
_TWINS = {"x": "y", "X": "Y"}


def as_table(obj: Any) -> "Table":
    """Make an Astropy table of what the caller has.

    Parameters
    ----------
    obj : Table, QTable, structured array, mapping of arrays, or pandas data frame
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
    structured = isinstance(obj, np.ndarray) and obj.dtype.names is not None
    if not structured and not isinstance(obj, Mapping) and not hasattr(obj, "to_records"):
        raise InputError(
            f"the catalogue must be a table, a structured array, a mapping of columns or a data "
            f"frame, not {type(obj).__name__}"
        )
    try:
        if structured or isinstance(obj, Mapping):
            return Table(obj, copy=True)
        # Records would turn text and missing values into Python objects.
        if hasattr(Table, "from_pandas") and type(obj).__module__.startswith("pandas"):
            return Table.from_pandas(obj)
        return Table(obj.to_records(index=False), copy=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"the catalogue cannot be made a table: {error}") from error


def positions(
    table: Any, x_col: str | None = None, y_col: str | None = None, origin: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the positions in a catalogue.

    Parameters
    ----------
    table : Table or anything that `as_table` takes
        The catalogue.
    x_col, y_col : str, optional
        Names of the columns; both or none. By default the first pair of `POSITION_COLUMNS` that
        is there.
    origin : {0, 1}, optional
        What the catalogue calls the first pixel. By default 1 for the names of SExtractor and 0
        for all others.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        0-based positions in pixels; NaN where masked.

    Raises
    ------
    InputError
        No position columns; one that is not numeric or in a unit other than pixels.
    """
    from astropy.table import Table

    if not isinstance(table, Table):
        table = as_table(table)
    if (x_col is None) != (y_col is None):
        raise InputError(f"give both position columns or none, not x_col={x_col!r} and y_col={y_col!r}")
    if origin not in (None, 0, 1):
        raise InputError(f"the pixel origin must be 0 or 1, not {origin!r}")
    have = list(table.colnames)
    if x_col is None or y_col is None:
        pair = next((p for p in POSITION_COLUMNS if p[0] in have and p[1] in have), None)
        if pair is None:
            known = "; ".join(f"{x}, {y}" for x, y, _ in POSITION_COLUMNS)
            raise InputError(f"the catalogue has no position columns ({known}); {_look_alikes(table)}")
        x_col, y_col, own_origin = pair
    else:
        missing = [name for name in (x_col, y_col) if name not in have]
        if missing:
            raise InputError(f"the catalogue has no column {', '.join(missing)}; it has {_names(have)}")
        own_origin = next((o for x, y, o in POSITION_COLUMNS if (x, y) == (x_col, y_col)), 0)
    shift = own_origin if origin is None else origin
    return in_pixels(table[x_col], x_col, shift), in_pixels(table[y_col], y_col, shift)


def has_positions(table: "Table") -> bool:
    """Whether a catalogue has position columns in pixels that are known by name."""
    have = set(table.colnames)
    return any(x in have and y in have for x, y, _ in POSITION_COLUMNS)


def peaks(table: "Table") -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Find each detection's brightest pixel in a catalogue, as SEP and SExtractor give it.

    Columns of these names that do not hold pixels are not used; a warning says so.

    Parameters
    ----------
    table : Table
        The catalogue.

    Returns
    -------
    (ndarray, ndarray) of float64, shape (n,), or None
        0-based pixels, NaN where masked; None when the catalogue has no such columns.
    """
    for x, y, origin in PEAK_COLUMNS:
        if x in table.colnames and y in table.colnames:
            try:
                return in_pixels(table[x], x, origin), in_pixels(table[y], y, origin)
            except InputError as error:
                log.warning("%s and %s are not used as the brightest pixels: %s", x, y, error)
    return None


def read_catalog(path: str | PathLike[str]) -> "Table":
    """Read a catalogue; its suffix says which format it has.

    ECSV, CSV, FITS, FITS_LDAC, VOTable, Parquet and SExtractor's ASCII (``.cat``) are read. In FITS
    files an LDAC_OBJECTS extension is the catalogue, otherwise the first table.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    Table

    Raises
    ------
    InputError
        The file is missing, empty, of an unknown suffix, or cannot be read as that format.
    """
    from astropy.table import Table

    path = Path(path)
    check_file(path)
    known = _FORMATS | _READ_ONLY_FORMATS
    kind = _format(path, known)
    if kind == "ascii.sextractor":
        # SExtractor calls its output .cat in every format.
        kind = _kind_of_cat(path)
    if kind.startswith("ascii."):
        _check_last_line(path)
    with collect_warnings():
        try:
            if kind == "fits":
                return _read_fits(path)
            if kind == "votable":
                return _read_votable(path)
            if kind == "parquet":
                return _read_parquet(path)
            # Spreadsheets put a mark before the first name; Astropy is slow where an encoding is given.
            marked = {"encoding": "utf-8-sig"} if _start(path).startswith(BOM_UTF8) else {}
            return Table.read(path, format=kind, **marked)
        except InputError:
            raise
        except ImportError as error:
            raise _missing(kind) from error
        except Exception as error:
            # The readers raise nearly anything on damaged files, errors of a YAML parser too.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            hint = _HINTS.get(kind, "")
            raise InputError(f"{path} cannot be read as {kind}: {reason}{hint}") from error


def read_catalogs(path: str | PathLike[str]) -> "list[tuple[str, Table]]":
    """Read all the tables of a catalogue, such as one for each image of a mosaic.

    Parameters
    ----------
    path : str or path
        The file. Of FITS_LDAC the LDAC_OBJECTS extensions are read, of other FITS files all tables;
        other formats have one table.

    Returns
    -------
    list of (str, Table)
        In the order of the file, with the EXTNAME of each, or ``""``.

    Raises
    ------
    InputError
        As from `read_catalog`.
    """
    path = Path(path)
    check_file(path)
    kind = _format(path, _FORMATS | _READ_ONLY_FORMATS)
    if kind != "fits" and not _is_fits(path):
        return [("", read_catalog(path))]
    with collect_warnings():
        try:
            return _read_all_fits(path)
        except InputError:
            raise
        except Exception as error:  # of many kinds, as above
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{path} cannot be read as fits: {reason}") from error


def check_output(path: str | PathLike[str], overwrite: bool = False) -> None:
    """Refuse an output path before any work is done.

    Parameters
    ----------
    path : str or path
        Where a catalogue is to be written.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        The suffix is unknown, the folder does not exist, or the file does and must be kept.
    """
    path = Path(path)
    _format(path, _FORMATS)
    check_place(path, overwrite)


def write_catalog(table: "Table", path: str | PathLike[str], overwrite: bool = False) -> None:
    """Write a catalogue; the suffix says in which format.

    The file is written beside its place and renamed, so that it is there whole or not at all.
    ECSV, FITS and Parquet keep ``table.meta``, VOTable what rbinfer noted there; CSV has no place
    for it.

    Parameters
    ----------
    table : Table
        The catalogue.
    path : str or path
        ``.ecsv``, ``.csv``, ``.fits``, ``.fit``, ``.fts`` (also ``.gz``), ``.vot``, ``.votable``,
        ``.xml``, ``.parquet`` or ``.pq``.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        As from `check_output`, or the table does not fit into the format.
    RbinferError
        The file system refused.
    """
    path = Path(path)
    check_output(path, overwrite)
    kind = _format(path, _FORMATS)
    suffix = next(s for s in sorted(_FORMATS, key=len, reverse=True) if _ends(path, s))
    try:
        with written_whole(path, suffix) as beside, collect_warnings():
            table = fitted(table, kind)
            if kind == "parquet":
                import pyarrow  # noqa: F401 - of what is absent, old releases of Astropy do not say
            if kind == "votable":
                _write_votable(table, beside)
            else:
                table.write(beside, format=kind)
    except RbinferError:
        raise
    except ImportError as error:
        raise _missing(kind) from error
    except Exception as error:
        # The writers raise nearly anything at columns of objects.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"the table does not fit into {path.name} ({kind}): {reason}") from error


def _look_alikes(table: "Table") -> str:
    """Name the columns that may be meant as positions, and how to say so."""
    have = list(table.colnames)
    pairs = []
    for x in have:
        # The y of an x: the same name with one letter exchanged.
        twins = {x[:k] + y + x[k + 1 :] for k, c in enumerate(x) for y in _TWINS.get(c, "")}
        pairs += [(x, y) for y in have if y in twins and table[x].dtype.kind in "fiu"]
    if not pairs:
        return f"it has {_names(have)}; name them (--x-col, --y-col; x_col, y_col)"
    listed = " or ".join(f"{x}, {y}" for x, y in pairs[:6])
    x, y = pairs[0]
    return (
        f"what may be meant is {listed}: name them (--x-col {x} --y-col {y}; x_col, y_col), with an "
        "origin of 1 if the first pixel is called 1"
    )


def in_pixels(column: Any, name: str, origin: int = 0) -> NDArray[np.float64]:
    """Return the numbers of a column of pixels, NaN where masked; raises `InputError` on other units."""
    unit = getattr(column, "unit", None)
    if unit is not None and str(unit).strip().lower() not in PIXEL_UNITS:
        raise InputError(f"the column {name} is in {unit}, not in pixels; convert it first")
    values, masked = bare(column)
    if values.shape == (0,):
        # A text format cannot tell the type of a column without rows.
        return np.zeros(0)
    if values.dtype.kind not in "fiu" or values.ndim != 1:
        what = f"{values.ndim}-D" if values.ndim != 1 else f"of type {values.dtype}"
        raise InputError(f"the column {name} must hold one number a row, it is {what}")
    out = values.astype(np.float64)
    out[masked] = np.nan
    out -= origin
    return out


def bare(column: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the numbers of a column of any kind, in its unit, and which of them are masked."""
    values = getattr(column, "unmasked", column)
    values = np.asarray(np.ma.getdata(getattr(values, "value", values)))
    mask = getattr(column, "mask", None)
    masked = np.zeros(values.shape, np.bool_) if mask is None else np.asarray(mask, np.bool_)
    return values, np.broadcast_to(masked, values.shape)


def _ends(path: Path, suffix: str) -> bool:
    return path.name.lower().endswith(suffix)


def _format(path: Path, known: Mapping[str, str]) -> str:
    for suffix, kind in known.items():
        if _ends(path, suffix):
            return kind
    raise InputError(
        f"the suffix of {path.name} names no catalogue format; known are {', '.join(known)}"
    )


def _check_last_line(path: Path) -> None:
    """Say so when a text ends within a line: it does not tell how many rows it should have."""
    with path.open("rb") as file:
        file.seek(-1, 2)
        if file.read(1) not in b"\n\r":
            log.warning("%s ends within a line; is it cut short?", path)


def _kind_of_cat(path: Path) -> str:
    kinds = {b"SIMPLE  =": "fits", b"<?xml": "votable", b"<VOTABLE": "votable"}
    found = (kind for start, kind in kinds.items() if _start(path).startswith(start))
    return next(found, "ascii.sextractor")


def _is_fits(path: Path) -> bool:
    return _start(path) == b"SIMPLE  ="


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(9)


def _read_fits(path: Path) -> "Table":
    return _read_all_fits(path, 1)[0][1]


def _read_all_fits(path: Path, most: int | None = None) -> "list[tuple[str, Table]]":
    from astropy.io import fits
    from astropy.table import Table

    with fits.open(path, memmap=False) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        ldac = [hdu for hdu in tables if hdu.name == "LDAC_OBJECTS"]
        if not tables:
            raise InputError(f"{path} has no table extension; is it an image?")
        # NaN stays NaN and empty text stays text: masked, they would come back changed.
        return [
            (hdu.name, Table.read(hdu, format="fits", mask_invalid=False))
            for hdu in (ldac or tables)[:most]
        ]


def _read_votable(path: Path) -> "Table":
    from astropy.io import votable

    first = votable.parse(path).get_first_table()
    table = first.to_table(use_names_over_ids=True)
    for info in first.infos:
        if info.name.startswith(NOTED):
            with suppress(ValueError):
                table.meta[info.name] = json.loads(info.value)
    return table


def _write_votable(table: "Table", path: Path) -> None:
    from astropy.io import votable
    from astropy.io.votable.tree import Info

    file = votable.from_table(table)
    for key, value in table.meta.items():
        if str(key).startswith(NOTED):
            file.get_first_table().infos.append(Info(name=str(key), value=json.dumps(value)))
    file.to_xml(str(path))


def _read_parquet(path: Path) -> "Table":
    from astropy.table import MaskedColumn, Table
    from pyarrow import parquet

    if b"table_meta_yaml" in (parquet.read_schema(path).metadata or {}):
        return Table.read(path, format="parquet")
    # Written by others: Astropy's reader knows no nulls.
    columns = parquet.read_table(path)
    table = Table()
    for name, column in zip(columns.column_names, columns.columns, strict=True):
        absent = column.is_null().to_numpy()
        if absent.any():
            column = column.fill_null("" if "string" in str(column.type) else 0)
        values = column.to_numpy()
        values = values.astype(str) if "string" in str(column.type) else values
        table[name] = MaskedColumn(values, mask=absent) if absent.any() else values
    return table


def _missing(kind: str) -> InputError:
    return InputError(f'{kind} needs a package that is not installed: pip install "rbinfer[{kind}]"')


def _names(columns: list[str]) -> str:
    return ", ".join(columns) if columns else "no columns"
