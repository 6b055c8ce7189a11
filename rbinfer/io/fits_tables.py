"""Catalogues in FITS files, those of SExtractor (FITS_LDAC) and astrometry.net among them."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .cards import cards_of, header_bytes
from .content import Content
from .foreign import told_of
from .layout import check_axes, content_of
from .original import Original
from .plain import PlainHdu, plain_hdus
from .records import Records

if TYPE_CHECKING:
    from astropy.table import Table

_FITS = b"SIMPLE  ="
#: Cards that are not true any more once a table has other columns.
_CHECKSUMS = {"CHECKSUM", "DATASUM"}
_BLOCK = 2880  # bytes
_OBJECTS = "LDAC_OBJECTS"
_LDAC = b"'LDAC_"
_ASTROMETRY_NET = b"AN_FILE ="


def is_ldac(content: Content) -> bool:
    """Whether a FITS file is one of FITS_LDAC, by the name of an extension."""
    return content.head.startswith(_FITS) and _LDAC in content.head


def is_astrometry_net(content: Content) -> bool:
    """Whether a FITS file is one of astrometry.net's lists, by the keyword that it gives all of them."""
    return content.head.startswith(_FITS) and _ASTROMETRY_NET in content.head


def is_fits(content: Content) -> bool:
    """Whether a file begins as FITS does."""
    return content.head.startswith(_FITS)


def read_fits(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield name and rows of each LDAC_OBJECTS extension, or else of each table."""
    from astropy.io import fits
    from astropy.table import Table

    if not is_fits(content):
        raise ValueError(told_of(content.head) or "it does not begin as a FITS file")
    check_axes(content.path)
    with fits.open(content.path, memmap=False) as hdus:
        for hdu in _catalogues(hdus, content.path):
            # NaN stays NaN and empty text stays text: masked, they would come back changed.
            yield hdu.name, Table.read(hdu, format="fits", mask_invalid=False)


def read_records(path: Path) -> tuple[str, Records] | None:
    """Read name and rows of the one table of a file as they stand; None unless it is plain."""
    tables = _plain_catalogues(path)
    if len(tables) != 1:
        return None
    records = Records.read(tables[0])
    return None if records is None else (tables[0].name, records)


def write_records(records: Records, path: Path, original: Original | None) -> None:
    """Write rows: as the first extension, or where they are from, with all that is around them."""
    first = {"SIMPLE": True, "BITPIX": 8, "NAXIS": 0, "EXTEND": True}
    with path.open("wb") as file:
        if original is None:
            cards = [card for each in first.items() for card in cards_of(*each)]
            file.writelines([header_bytes(cards), *records.hdu()])
            return
        place = _plain_catalogues(original.content.path)[original.number].place
        with content_of(original.content.path) as content:
            file.writelines(content.pieces(0, place.header))
            file.writelines(records.hdu())
            file.writelines(content.pieces(place.end, len(content)))


def _plain_catalogues(path: Path) -> list[PlainHdu]:
    return _meant([hdu for hdu in plain_hdus(path) or [] if not hdu.is_image])


def write_fits(table: "Table", path: Path) -> None:
    """Write a table as the first extension."""
    _without_checksums(table).write(path, format="fits")


def stream_fits(empty: "Table", n_rows: int, tables: "Iterable[Table]", path: Path) -> None:
    """Write many tables as one; see `rbinfer.io.formats.Format.stream`.

    The header says how many rows there are before they follow, as Astropy writes those of each table.
    """
    from astropy.io import fits

    head = fits.table_to_hdu(_without_checksums(empty))
    head.header["NAXIS2"] = n_rows
    size = 0
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        file.write(head.header.tostring().encode("ascii"))
        for table in tables:
            size += file.write(_data_of(fits.table_to_hdu(table)))
        if size != n_rows * head.header["NAXIS1"]:
            raise ValueError("a table has other rows than it had before")
        file.write(bytes(-size % _BLOCK))


def _without_checksums(table: "Table") -> "Table":
    """Return a table without the checksums of the one that it is from, which has other columns."""
    if not _CHECKSUMS & table.meta.keys():
        return table
    other = table.copy(copy_data=False)
    for card in _CHECKSUMS:
        other.meta.pop(card, None)
    return other


def _data_of(hdu: Any) -> bytes:
    """Return the rows of a table as they are stored."""
    whole = BytesIO()
    hdu.writeto(whole)
    content = whole.getvalue()
    size = hdu.header["NAXIS1"] * hdu.header["NAXIS2"]
    start = len(content) - size - (-size % _BLOCK)
    return content[start : start + size]


def rewrite_fits(table: "Table", original: Original, path: Path) -> None:
    """Write a table in the place of the one that it is from; the other HDUs are kept."""
    from astropy.io import fits

    with fits.open(original.content.path, memmap=False) as hdus:
        old = _catalogues(hdus, original.content.path)[original.number]
        new = fits.table_to_hdu(_without_checksums(table))
        new.name = old.name
        fits.HDUList([new if hdu is old else hdu for hdu in hdus]).writeto(path)


def _catalogues(hdus: Any, path: Path) -> list[Any]:
    from astropy.io import fits

    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
    if not tables:
        raise InputError(
            f"{path} has no table extension; is it an image? An image comes first, its catalogue as "
            "`catalog`"
        )
    return _meant(tables)


def _meant(tables: list[Any]) -> list[Any]:
    return [hdu for hdu in tables if hdu.name == _OBJECTS] or tables
