"""Catalogues in FITS files, FITS_LDAC among them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .content import Content

if TYPE_CHECKING:
    from astropy.table import Table


def is_fits(content: Content) -> bool:
    """Whether a file begins as FITS does."""
    return content.head.startswith(b"SIMPLE  =")


def is_ldac(content: Content) -> bool:
    """Whether a FITS file is one of FITS_LDAC, by the name of an extension."""
    return is_fits(content) and b"'LDAC_" in content.head


def read_fits(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield name and rows of each LDAC_OBJECTS extension, or else of each table."""
    from astropy.io import fits
    from astropy.table import Table

    with fits.open(content.path, memmap=False) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        ldac = [hdu for hdu in tables if hdu.name == "LDAC_OBJECTS"]
        if not tables:
            raise InputError(f"{content.path} has no table extension; is it an image?")
        for hdu in ldac or tables:
            # NaN stays NaN and empty text stays text: masked, they would come back changed.
            yield hdu.name, Table.read(hdu, format="fits", mask_invalid=False)


def write_fits(table: "Table", path: Path) -> None:
    """Write a table as the first extension."""
    table.write(path, format="fits")
