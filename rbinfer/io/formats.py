"""The formats of catalogues as one table: their names, how they are told, what reads and writes them.

A new format is one more row of `FORMATS`, and the reader that it names.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .content import Content
from .fits_tables import is_fits, is_ldac, read_fits, write_fits
from .parquet import is_parquet, read_parquet, write_parquet
from .text import is_ecsv, read_csv, read_ecsv, read_sextractor, write_csv, write_ecsv
from .votables import is_votable, read_votable, write_votable

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True)
class Format:
    """A format of catalogues.

    Attributes
    ----------
    name : str
        As messages have it.
    suffixes : tuple of str
        Of its files, in lower case; the first one is the usual one.
    read : callable
        Takes the content and yields name and rows of each table; other errors than `InputError` mean
        that the content is not of this format.
    write : callable or None
        Takes a table and the path of a file that does not exist; None where it is only read.
    is_content : callable or None
        Whether a content is of this format; None where only the suffix tells.
    hint : str
        What to do about a file that cannot be read.
    """

    name: str
    suffixes: tuple[str, ...]
    read: "Callable[[Content], Iterator[tuple[str, Table]]]"
    write: "Callable[[Table, Path], None] | None" = None
    is_content: Callable[[Content], bool] | None = None
    hint: str = ""


#: Suffix of compressed files, after that of the format.
_COMPRESSED = ".gz"

#: The formats in the order in which contents and suffixes are held against them.
FORMATS = (
    Format("ECSV", (".ecsv",), read_ecsv, write_ecsv, is_ecsv),
    Format("CSV", (".csv",), read_csv, write_csv),
    Format("FITS_LDAC", (".ldac",), read_fits, None, is_ldac),
    Format("FITS", (".fits", ".fit", ".fts"), read_fits, write_fits, is_fits),
    Format("VOTable", (".vot", ".votable", ".xml"), read_votable, write_votable, is_votable),
    Format("Parquet", (".parquet", ".pq"), read_parquet, write_parquet, is_parquet),
    Format(
        "ASCII_HEAD", (".cat",), read_sextractor,
        hint="SExtractor names the columns with CATALOG_TYPE ASCII_HEAD or FITS_LDAC",
    ),
)  # fmt: skip


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
    told = (each for each in FORMATS if each.is_content is not None and each.is_content(content))
    found = next(told, None) or _by_suffix(content.path, FORMATS)
    if found is None:
        raise _unknown(content.path, FORMATS)
    return found


def output_format(path: Path) -> Format:
    """Return the format that the suffix of an output names; raises `InputError` if it names none."""
    written = [each for each in FORMATS if each.write is not None]
    found = _by_suffix(path, written)
    if found is None:
        raise _unknown(path, written)
    return found


def is_compressed(path: Path) -> bool:
    """Whether the name of an output asks for compression."""
    return path.suffix.lower() == _COMPRESSED


def _by_suffix(path: Path, formats: Sequence[Format]) -> Format | None:
    plain = path.with_suffix("") if is_compressed(path) else path
    suffix = plain.suffix.lower()
    return next((each for each in formats if suffix in each.suffixes), None)


def _unknown(path: Path, formats: Sequence[Format]) -> InputError:
    known = ", ".join(suffix for each in formats for suffix in each.suffixes)
    return InputError(f"the suffix of {path.name} names no catalogue format; known are {known}")
