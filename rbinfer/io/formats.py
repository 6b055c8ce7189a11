"""The formats of catalogues as one table: their names, how they are told, what reads and writes them.

A new format is one more row of `FORMATS`, and the reader that it names.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._util.sentences import did_you_mean
from ..errors import InputError
from .ascii_tables import (
    is_daophot,
    is_ipac,
    is_iraf,
    is_sextractor,
    read_daophot,
    read_ipac,
    read_iraf,
    read_sextractor,
)
from .content import Content, format_suffix
from .csv_tables import how_to_read, is_csv, read_csv, rewrite_csv, stream_csv, write_csv
from .ecsv import is_ecsv, read_ecsv, stream_ecsv, write_ecsv
from .fits_tables import (
    is_astrometry_net,
    is_fits,
    is_ldac,
    read_fits,
    rewrite_fits,
    stream_fits,
    write_fits,
)
from .foreign import told_of
from .original import Original
from .parquet import (
    is_parquet,
    need_pyarrow,
    read_parquet,
    rewrite_parquet,
    stream_parquet,
    write_parquet,
)
from .regions import is_regions, read_regions
from .votables import is_votable, read_votable, stream_votable, write_votable

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True)
class Format:
    """A format of catalogues.

    Attributes
    ----------
    name : str
        As messages and ``--format`` have it.
    is_content : callable
        Whether a content is of this format.
    read : callable
        Takes the content and yields name and rows of each table; other errors than `InputError` mean
        that the content is damaged.
    suffixes : tuple of str
        Of files that are written in this format, in lower case, the usual one first.
    write : callable or None
        Takes a table and the path of a file that does not exist; None where nothing is written in this
        format that was not read from it.
    stream : callable or None
        Takes a table without rows, how many there will be, tables with the same columns and some of the
        rows each, and a path as `write` does; None where `write` is. One table is kept at a time.
    others : tuple of str
        More suffixes of files in this format.
    rewrite : callable or None
        Takes a table, what it is from, which is of this format, and a path as `write` does; None where
        `write` does as well.
    is_verbatim : bool
        Whether `rewrite` takes the columns of the file as they stand, whatever they hold.
    first_pixel : int or None
        What files of this format call the first pixel where the names of the columns leave it open.
    hint : str
        What to do about a file that cannot be read.
    check : callable
        Raises `InputError` where a package is not installed that this format needs.
    """

    name: str
    is_content: Callable[[Content], bool]
    read: "Callable[[Content], Iterator[tuple[str, Table]]]"
    suffixes: tuple[str, ...] = ()
    write: "Callable[[Table, Path], None] | None" = None
    stream: "Callable[[Table, int, Iterable[Table], Path], None] | None" = None
    others: tuple[str, ...] = ()
    rewrite: "Callable[[Table, Original, Path], None] | None" = None
    is_verbatim: bool = False
    first_pixel: int | None = None
    hint: str = ""
    check: Callable[[], None] = lambda: None

    @property
    def limits(self) -> str:
        """Name of the format that says what can be held."""
        return "FITS" if self.write is None and self.rewrite is rewrite_fits else self.name

    def has(self, suffix: str) -> bool:
        """Whether files of this format have a suffix."""
        return suffix in self.suffixes or suffix in self.others


_FITS = (".fits", ".fit", ".fts")
_BARE_LIST = (
    "a list without a header is read with `catalog_format='CSV', x_col='col1', y_col='col2', origin=1`"
)
#: The formats in the order in which contents and suffixes are held against them.
FORMATS = (
    Format("ECSV", is_ecsv, read_ecsv, (".ecsv",), write_ecsv, stream_ecsv),
    Format(
        "ASCII_HEAD", is_sextractor, read_sextractor, others=(".cat",), first_pixel=1,
        hint="SExtractor names the columns with CATALOG_TYPE ASCII_HEAD or FITS_LDAC",
    ),
    Format("FITS_LDAC", is_ldac, read_fits, others=(".ldac", ".cat", *_FITS), rewrite=rewrite_fits),
    # Its first pixel is (1, 1), as in FITS: https://astrometry.net/doc/readme.html
    Format(
        "astrometry.net", is_astrometry_net, read_fits, rewrite=rewrite_fits, first_pixel=1,
        others=(".axy", ".xyls", ".xylist", ".rdls", ".corr", *_FITS),
    ),
    Format("FITS", is_fits, read_fits, _FITS, write_fits, stream_fits),
    Format(
        "VOTable", is_votable, read_votable, (".vot", ".votable", ".xml"), write_votable, stream_votable
    ),
    Format(
        "Parquet", is_parquet, read_parquet, (".parquet", ".pq"), write_parquet, stream_parquet,
        rewrite=rewrite_parquet, is_verbatim=True, check=need_pyarrow,
    ),
    # The centre of the first pixel is (1, 1) in DAOPHOT and in IRAF, as in FITS.
    Format(
        "DAOPHOT", is_daophot, read_daophot, first_pixel=1,
        others=(".coo", ".als", ".nst", ".ap", ".lst", ".grp", ".alf"),
    ),
    Format("IRAF", is_iraf, read_iraf, first_pixel=1, others=(".mag", ".coo", ".als", ".nst")),
    Format("IPAC", is_ipac, read_ipac, others=(".tbl",)),
    Format("DS9", is_regions, read_regions, others=(".reg",)),
    Format(
        "CSV", is_csv, read_csv, (".csv",), write_csv, stream_csv, rewrite=rewrite_csv, is_verbatim=True,
        others=(".tsv", ".tab", ".txt", ".dat", ".asc"),
        hint="the names of the columns are its first line, below lines that begin with #",
    ),
)  # fmt: skip


def format_named(name: str) -> Format:
    """Return a format by its name, whatever its case; raises `InputError` if there is none."""
    by_name = {each.name.lower(): each for each in FORMATS}
    if name.lower() in by_name:
        return by_name[name.lower()]
    known = [each.name for each in FORMATS]
    hint = did_you_mean(name, known) or f"; known are {', '.join(known)}"
    raise InputError(f"no catalogue format is called {name}{hint}")


def told_by_content(content: Content) -> Format | None:
    """Return the format that the first bytes of a file tell; None where they tell none."""
    return next((each for each in FORMATS if each.is_content(content)), None)


def format_of(content: Content) -> Format:
    """Return the format of a file: what its first bytes tell, or else its suffix.

    Parameters
    ----------
    content : Content

    Returns
    -------
    Format

    Raises
    ------
    InputError
        Neither tells one.
    """
    suffix = format_suffix(content.path)
    found = told_by_content(content)
    if found is None and (foreign := told_of(content.head)):
        raise InputError(f"{content.path} is no catalogue that is read: {foreign}")
    found = found or next((each for each in FORMATS if suffix in each.suffixes), None)
    found = found or next((each for each in FORMATS if suffix in each.others), None)
    if found is None:
        known = ", ".join(each.name for each in FORMATS)
        hint = way_out(content.head)
        end = f"; {hint}" if hint else ""
        raise InputError(
            f"{content.path} is of no format that is known ({known}), nor is its suffix{end}"
        )
    return found


def way_out(head: bytes) -> str:
    """Say how a text is read whose first bytes tell no format; nothing of what is no text."""
    return "" if b"\0" in head else how_to_read(head) or _BARE_LIST


def output_format(path: Path, kind: Format | None = None) -> Format:
    """Return the format of an output by its suffix.

    Parameters
    ----------
    path : Path
        Where a catalogue is to be written.
    kind : Format, optional
        That of the file that the catalogue is from.

    Returns
    -------
    Format
        `kind`, if it can be written back under this suffix.

    Raises
    ------
    InputError
        The suffix names no format that is written, or `path` is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it, such as {path / 'scored.ecsv'}")
    suffix = format_suffix(path)
    if kind is not None and kind.rewrite is not None and kind.has(suffix):
        return kind
    found = next((each for each in FORMATS if suffix in each.suffixes), None)
    if found is not None:
        return found
    known = ", ".join(each.suffixes[0] for each in FORMATS if each.suffixes)
    # Several formats may have the suffix: if that of the catalogue has it, it is meant.
    having = [each for each in (kind, *FORMATS) if each is not None and each.has(suffix)]
    if not having:
        raise InputError(f"the suffix of {path.name} names no catalogue format; written are {known}")
    read = having[0]
    if read.rewrite is None:
        raise InputError(f"{path.name}: {read.name} is read, but not written; name a file of {known}")
    raise InputError(
        f"{path.name}: rows are written as {suffix} only if they are from a catalogue of {read.name} "
        f"too; name a file of {known}"
    )
