"""Files of several images: which detections are whose."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from .._util.sentences import counted
from ..errors import InputError
from ..io.columns import bare
from ..io.content import Content
from ..io.exposure import TRUSTED
from ..io.formats import Format
from ..io.images import list_images
from ..io.original import Original
from ..io.positions import has_positions
from ..io.records import Records
from ..io.sky_in import sky_columns
from ..io.tables import kind_of, read_catalogs, read_in_kind

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Column that says from which HDU of a mosaic a row is.
HDU_COLUMN = "rb_hdu"
#: Column of SExtractor with the number of the extension.
_EXTENSION_COLUMN = "EXT_NUMBER"


@dataclass(frozen=True, eq=False)
class Detections:
    """The tables of a catalogue, and the images that they may be of.

    Attributes
    ----------
    catalog, image : str
        The files.
    tables : list of (str, Table or Records)
        Name and rows of each table.
    skies : dict of int to str
        Images of the sky by number of the HDU, where the catalogue looks like that of several images.
    planes : dict of int to str
        The same with maps, in which SExtractor detects too.
    places : list of int
        Which tables of the file these are, from 0.
    format : Format
        That of the file.
    """

    catalog: str
    image: str
    tables: "list[tuple[str, Table]] | list[tuple[str, Records]]"
    skies: dict[int, str]
    planes: dict[int, str]
    places: list[int]
    format: Format

    @classmethod
    def read(
        cls,
        catalog: str,
        image: str,
        skies: dict[int, str],
        format: str | None = None,
        output: str | Path | None = None,
    ) -> Self:
        """Read a catalogue.

        Parameters
        ----------
        catalog, image : str
            The files.
        skies : dict of int to str
            Images to score, of a mosaic; empty for one image.
        format : str, optional
            As for `rbinfer.io.tables.read_catalog`.
        output : str or path, optional
            Where the rows will be written.
        """
        # The rows of a mosaic are joined, which takes tables.
        as_they_stand = None if output is None or skies else read_in_kind(catalog, format, output)
        tables = read_catalogs(catalog, format) if as_they_stand is None else as_they_stand
        places = [k for k, (_, table) in enumerate(tables) if has_positions(table) or sky_columns(table)]
        if len(tables) == 1 or not places:
            places = list(range(len(tables)))
        tables = [tables[k] for k in places]
        skies = skies or (list_images(image) if _is_of_many(tables) else {})
        planes = list_images(image, maps=True) if skies else {}
        kind = kind_of(Path(catalog), format)
        detections = cls(catalog, image, tables, skies, planes, places, kind)
        detections._tell_of_maps()
        return detections

    def of(self, number: int) -> "tuple[Table, Original]":
        """Return the detections in an HDU and what they are from.

        Raises
        ------
        InputError
            It is not clear which they are.
        """
        k, rows = self._which(number)
        table = self.tables[k][1] if rows is None else self.tables[k][1][rows]
        where = np.arange(len(table)) if rows is None else np.flatnonzero(rows)
        return table, Original(Content(Path(self.catalog)), self.format.name, self.places[k], where)

    def _which(self, number: int) -> tuple[int, NDArray[np.bool_] | None]:
        """Return the index of the table that has the detections in an HDU, and their rows if not all."""
        tables, skies, planes = self.tables, self.skies, self.planes
        first, names = tables[0][1], [name for name, _ in tables]
        if len(skies) > 1 and len(tables) == 1 and _has_extensions(first):
            return 0, self._of_extension(first, number)
        if len(tables) == 1 and (len(skies) < 2 or number not in skies):
            return 0, None
        if len(skies) < 2:
            log.warning("%s has %d tables; the first, %s, is taken", self.catalog, len(tables), names[0])
            return 0, None
        of_images = list(skies.values())
        unique = len(set(names)) == len(names) and len(set(of_images)) == len(of_images)
        if unique and set(of_images) <= set(names):
            return names.index(skies[number]), None
        for numbers in (list(skies), list(planes)):
            if len(tables) == len(numbers) and number in numbers:
                return numbers.index(number), None
        what = "one table" if len(tables) == 1 else f"{len(tables)} tables ({', '.join(names)})"
        raise InputError(
            f"{self.catalog} has {what} but {self.image} has {counted(len(skies), 'image')} "
            f"({', '.join(f'{n} {name}'.strip() for n, name in skies.items())}); give a table for each "
            f"image, a column {_EXTENSION_COLUMN}, or a catalogue of one image alone"
        )

    def _of_extension(self, table: "Table", number: int) -> NDArray[np.bool_]:
        extension = np.asarray(table[_EXTENSION_COLUMN])
        strange = np.setdiff1d(extension, list(self.planes))
        if strange.size:
            raise InputError(
                f"{self.catalog} has rows with {_EXTENSION_COLUMN} {', '.join(map(str, strange[:5]))}, "
                f"but the images are in HDU {', '.join(map(str, self.skies))}"
            )
        return np.asarray(extension == number)

    def _tell_of_maps(self) -> None:
        """Warn of detections in maps, which are those of no image."""
        tables, planes = self.tables, self.planes
        beside = [number for number in planes if number not in self.skies]
        n = 0
        if len(tables) == 1 and _has_extensions(tables[0][1]):
            n = int(np.isin(tables[0][1][_EXTENSION_COLUMN], beside).sum())
        elif len(tables) == len(planes):
            n = sum(len(table) for (_, table), hdu in zip(tables, planes, strict=True) if hdu in beside)
        if n:
            log.warning(
                "%s: %d rows are of maps (HDU %s), not of images, and are left out",
                self.catalog,
                n,
                ", ".join(map(str, beside)),
            )


def stacked(parts: "list[Table]", numbers: list[int]) -> "Table":
    """Join the tables of a mosaic; what `meta` notes of each is the median of them.

    A width that was assumed has no say where another one was not.
    """
    from astropy.table import vstack

    trusted = [part for part in parts if part.meta["rb_fwhm_source"] in TRUSTED] or parts
    fwhm = float(np.median([part.meta["rb_fwhm"] for part in trusted]))
    for part, number in zip(parts, numbers, strict=True):
        part[HDU_COLUMN] = np.full(len(part), number, np.int32)
    without_meta = [part.copy(copy_data=False) for part in parts]
    for part in without_meta:
        part.meta.clear()  # joined, its lists would be one after another
    joined: Table = vstack(without_meta)
    joined.meta.update(parts[0].meta)
    joined.meta.update(rb_fwhm=fwhm, rb_fwhm_source=trusted[0].meta["rb_fwhm_source"])
    joined.meta.pop("rb_theta", None)  # that of the first image
    for key, most in (("rb_fwhm_min", min), ("rb_fwhm_max", max)):
        if any(key in part.meta for part in parts):
            joined.meta[key] = most(part.meta.get(key, part.meta["rb_fwhm"]) for part in parts)
    shapes = [part.meta["rb_ellipticity"] for part in parts if "rb_ellipticity" in part.meta]
    if shapes:
        joined.meta["rb_ellipticity"] = float(np.median(shapes))
    for key in ("rb_npsf", "rb_nfit"):
        joined.meta[key] = sum(part.meta[key] for part in parts)
    return joined


def hdus_of_rows(table: "Table") -> NDArray[np.integer] | None:
    """Return the HDU of each row of a scored mosaic, shape (n,).

    Returns
    -------
    ndarray of int or None
        None where the table has no column ``rb_hdu``, or no rows.

    Raises
    ------
    InputError
        The column does not hold whole numbers.
    """
    if HDU_COLUMN not in table.colnames or not len(table):
        return None
    numbers = bare(table[HDU_COLUMN])[0]
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise InputError(f"{HDU_COLUMN} does not hold the number of an HDU in each row")
    return numbers


def _is_of_many(tables: "list[tuple[str, Table]]") -> bool:
    """Whether a catalogue looks like that of several images."""
    if len(tables) > 1:
        return True
    column = tables[0][1][_EXTENSION_COLUMN] if tables and _has_extensions(tables[0][1]) else []
    return len(np.unique(np.asarray(column))) > 1


def _has_extensions(table: "Table") -> bool:
    return _EXTENSION_COLUMN in table.colnames
