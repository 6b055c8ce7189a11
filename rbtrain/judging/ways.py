"""Ways in which labelled images are scored: what of their catalogues the classifier is given."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rbinfer.errors import InputError
from rbinfer.io.exposure import Exposure
from rbinfer.io.positions import peaks, positions
from rbinfer.measure.detect import detect
from rbinfer.measure.even import evened

from .._arrays import F64
from .labelled_tables import read_labelled

#: Columns that say how wide or how bright a detection is.
_WIDTHS = ("a", "b", "fwhm", "flux")
#: Table beside labelled images with the FWHM of each: columns ``name`` and ``fwhm_px``.
_GROUPS = Path("widths") / "groups.csv"


@dataclass(frozen=True)
class Way:
    """A way to score a labelled image.

    Attributes
    ----------
    key : str
        Of its figures.
    title : str
    columns : {"all", "peaks", "positions", "none"}
        What is given of the table: the whole catalogue; positions and brightest pixels; positions alone;
        or nothing, and what is detected is matched with the labelled positions.
    fwhm_given : bool
        Whether the FWHM is given, or measured.
    """

    key: str
    title: str
    columns: Literal["all", "peaks", "positions", "none"]
    fwhm_given: bool = False


#: The way that a figure is of where nothing else is said.
POSITIONS = Way("images", "FWHM measured", "peaks")
#: All ways, in the order of the card.
WAYS = (
    POSITIONS,
    Way("images_widths", "FWHM measured, the catalogue with its widths", "all"),
    Way("images_detected", "FWHM measured, no catalogue", "none"),
    Way("images_fwhm_given", "FWHM given", "peaks", fwhm_given=True),
    Way("images_centroids", "FWHM measured, the brightest pixels not given", "positions"),
)


def ways_for(tables: Iterable[Path]) -> tuple[Way, ...]:
    """Return the `WAYS` that differ for these tables: not all name brightest pixels, or widths."""
    read = [read_labelled(table) for table in tables]
    different = {
        "all": any(name in table.colnames for table in read for name in _WIDTHS),
        "positions": any(peaks(table) is not None for table in read),
    }
    return tuple(way for way in WAYS if different.get(way.columns, True))


def given_widths(folders: Sequence[str | os.PathLike[str]]) -> dict[str, float]:
    """Read the FWHM (pixels) of images, by name, from ``widths/groups.csv`` where a folder has it.

    Raises
    ------
    InputError
        A table without the columns ``name`` and ``fwhm_px``.
    """
    widths: dict[str, float] = {}
    for folder in folders:
        path = Path(folder) / _GROUPS
        if not path.is_file():
            continue
        table = Table.read(path, format="ascii.csv")
        missing = {"name", "fwhm_px"} - set(table.colnames)
        if missing:
            raise InputError(
                f"{path} lacks the columns {sorted(missing)}; it has {', '.join(table.colnames)}"
            )
        widths |= {str(row["name"]): float(row["fwhm_px"]) for row in table}
    return widths


def catalogue_of(table: Table, way: Way, image: Exposure) -> Table:
    """Return what a way gives to the classifier: part of the labelled table, or detections.

    Parameters
    ----------
    table : Table
        With positions; every row, also those that are not judged: a catalogue has them all.
    way : Way
    image : Exposure
        Searched where the way gives no catalogue, as ``rbinfer classify`` does.
    """
    if way.columns == "none":
        even = evened(image)
        return detect(even.pixels, mask=even.mask)
    if way.columns == "all":
        return table
    x, y = positions(table)
    catalogue = Table({"x": x, "y": y})
    brightest = peaks(table) if way.columns == "peaks" else None
    if brightest is not None:
        catalogue["xpeak"], catalogue["ypeak"] = brightest
    return catalogue


def nearest_within(found: Table, x: F64, y: F64, reach: float) -> NDArray[np.intp]:
    """Return for each position the row of the nearest detection, or -1 if none is so near.

    Parameters
    ----------
    found : Table
        With columns ``x`` and ``y``.
    x, y : ndarray of float64, shape (n,)
    reach : float
        Largest distance, pixels.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    if len(found) == 0:
        return np.full(len(x), -1, np.intp)
    tree = cKDTree(np.column_stack([found["x"], found["y"]]))
    distance, row = tree.query(np.column_stack([x, y]), distance_upper_bound=reach)
    return np.where(np.isfinite(distance), row, -1)
