"""Files of several images: which HDUs are images of the sky, and which detections are whose."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ..errors import InputError
from ..io.images import list_images
from ..io.maps import place_of
from ..io.positions import has_positions, sky_columns
from ..io.tables import read_catalogs

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Column that says from which HDU of a mosaic a row is.
HDU_COLUMN = "rb_hdu"
#: Column of SExtractor with the number of the extension.
_EXTENSION_COLUMN = "EXT_NUMBER"


def skies_of(image: str, maps: Mapping[str, str]) -> dict[int, str]:
    """Return numbers and names of the HDUs of a file that are images of the sky.

    Parameters
    ----------
    image : str
        FITS file.
    maps : mapping of str to str
        Where mask and noise map lie, as for `rbinfer.io.maps.read_map`, by what they are: their HDUs are
        no images of the sky.

    Raises
    ------
    InputError
        There are none.
    """
    beside = set()
    for what, where in maps.items():
        path, hdu = place_of(where, what)
        if hdu is not None and (path is None or path.samefile(image)):
            beside.add(hdu.upper())
    found = {
        number: name
        for number, name in list_images(image).items()
        if name.upper() not in beside and str(number) not in beside
    }
    if not found:
        raise InputError(f"{image} has no 2-D images to score")
    return found


@dataclass(frozen=True, eq=False)
class Detections:
    """The tables of a catalogue, and the images that they may be of.

    Attributes
    ----------
    catalog, image : str
        The files.
    tables : list of (str, Table)
        Name and rows of each table.
    skies : dict of int to str
        Images of the sky by number of the HDU, where the catalogue looks like that of several images.
    planes : dict of int to str
        The same with maps, in which SExtractor detects too.
    """

    catalog: str
    image: str
    tables: "list[tuple[str, Table]]"
    skies: dict[int, str]
    planes: dict[int, str]

    @classmethod
    def read(cls, catalog: str, image: str, skies: dict[int, str]) -> Self:
        """Read a catalogue.

        Parameters
        ----------
        catalog, image : str
            The files.
        skies : dict of int to str
            Images to score, of a mosaic; empty for one image.
        """
        tables = read_catalogs(catalog)
        with_places = [(n, table) for n, table in tables if has_positions(table) or sky_columns(table)]
        if len(tables) > 1 and with_places:
            tables = with_places
        skies = skies or (list_images(image) if _is_of_many(tables) else {})
        planes = list_images(image, maps=True) if skies else {}
        detections = cls(catalog, image, tables, skies, planes)
        detections._tell_of_maps()
        return detections

    def of(self, number: int) -> "Table":
        """Return the detections in an HDU; raises `InputError` where it is not clear which they are."""
        tables, skies, planes = self.tables, self.skies, self.planes
        first, names = tables[0][1], [name for name, _ in tables]
        if len(skies) > 1 and len(tables) == 1 and _has_extensions(first):
            return self._of_extension(first, number)
        if len(tables) == 1 and (len(skies) < 2 or number not in skies):
            return first
        if len(skies) < 2:
            log.warning("%s has %d tables; the first, %s, is taken", self.catalog, len(tables), names[0])
            return first
        of_images = list(skies.values())
        unique = len(set(names)) == len(names) and len(set(of_images)) == len(of_images)
        if unique and set(of_images) <= set(names):
            return dict(tables)[skies[number]]
        if len(tables) == len(skies) and number in skies:
            return tables[list(skies).index(number)][1]
        if len(tables) == len(planes) and number in planes:
            return tables[list(planes).index(number)][1]
        what = "one table" if len(tables) == 1 else f"{len(tables)} tables ({', '.join(names)})"
        raise InputError(
            f"{self.catalog} has {what} but {self.image} has {len(skies)} images "
            f"({', '.join(f'{n} {name}'.strip() for n, name in skies.items())}); give a table for each "
            f"image, a column {_EXTENSION_COLUMN}, or a catalogue of one image alone"
        )

    def _of_extension(self, table: "Table", number: int) -> "Table":
        extension = np.asarray(table[_EXTENSION_COLUMN])
        strange = np.setdiff1d(extension, list(self.planes))
        if strange.size:
            raise InputError(
                f"{self.catalog} has rows with {_EXTENSION_COLUMN} {', '.join(map(str, strange[:5]))}, "
                f"but the images are in HDU {', '.join(map(str, self.skies))}"
            )
        return table[extension == number]

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
    """Join the tables of a mosaic; what `meta` notes of each is the median of them."""
    from astropy.table import vstack

    fwhm = [part.meta["rb_fwhm"] for part in parts]
    for part, number in zip(parts, numbers, strict=True):
        part[HDU_COLUMN] = np.full(len(part), number, np.int32)
    bare = [part.copy(copy_data=False) for part in parts]
    for part in bare:
        part.meta.clear()  # joined, its lists would be one after another
    joined: Table = vstack(bare)
    joined.meta.update(parts[0].meta)
    joined.meta.update(rb_fwhm=float(np.median(fwhm)), rb_fwhm_source="median of the images")
    return joined


def _is_of_many(tables: "list[tuple[str, Table]]") -> bool:
    """Whether a catalogue looks like that of several images."""
    if len(tables) > 1:
        return True
    column = tables[0][1][_EXTENSION_COLUMN] if tables and _has_extensions(tables[0][1]) else []
    return len(np.unique(np.asarray(column))) > 1


def _has_extensions(table: "Table") -> bool:
    return _EXTENSION_COLUMN in table.colnames
