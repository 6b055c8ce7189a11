"""Positions in a catalogue: columns of pixels and where they count from, or of the sky with a WCS.

Positions are 0-based inside rbinfer: the centre of the first pixel is (0, 0).
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._util.sentences import did_you_mean
from ..errors import InputError
from .columns import in_pixels
from .look_alikes import look_alikes, printable
from .sky_in import sky_columns, sky_positions
from .tables import FIRST_PIXEL, as_table

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Names of the position columns in the order in which they are looked for, and what their writers call
#: the centre of the first pixel.
POSITION_COLUMNS: tuple[tuple[str, str, float], ...] = (
    # SEP, and most of what is written in Python
    ("x", "y", 0),
    # photutils (its guide, "Pixel Coordinate Conventions"): detection and segmentation, PSF fits, the
    # models of Astropy, aperture photometry, peaks; stellarphot has xcenter too
    ("x_centroid", "y_centroid", 0),
    ("xcentroid", "ycentroid", 0),
    ("x_fit", "y_fit", 0),
    ("x_0", "y_0", 0),
    ("x_mean", "y_mean", 0),
    ("x_center", "y_center", 0),
    ("xcenter", "ycenter", 0),
    ("x_centroid_win", "y_centroid_win", 0),
    ("xcentroid_win", "ycentroid_win", 0),
    ("x_init", "y_init", 0),
    ("x_peak", "y_peak", 0),
    # SExtractor, as in FITS
    ("XWIN_IMAGE", "YWIN_IMAGE", 1),
    ("X_IMAGE", "Y_IMAGE", 1),
    ("XPSF_IMAGE", "YPSF_IMAGE", 1),
    ("XMODEL_IMAGE", "YMODEL_IMAGE", 1),
    ("xwin_image", "ywin_image", 1),
    ("x_image", "y_image", 1),
    # LSST (https://dev.lsstcorp.org/trac/wiki/BottomLeftPixelProposal)
    ("slot_Centroid_x", "slot_Centroid_y", 0),
    ("base_SdssCentroid_x", "base_SdssCentroid_y", 0),
    ("base_GaussianCentroid_x", "base_GaussianCentroid_y", 0),
    ("base_NaiveCentroid_x", "base_NaiveCentroid_y", 0),
    ("centroid_x", "centroid_y", 0),
    # tractor (https://www.legacysurvey.org/dr10/catalogs, "0-indexed")
    ("bx", "by", 0),
    # IRAF, as in FITS
    ("XCENTER", "YCENTER", 1),
    # astrometry.net's stars of the field, as in FITS
    ("field_x", "field_y", 1),
    # DAOPHOT, astrometry.net, and FITS tables of many: as in FITS
    ("X", "Y", 1),
    # SDSS: the corner of the first pixel is (0, 0), so its centre is (0.5, 0.5) (LSST's page above)
    ("colc", "rowc", 0.5),
    ("COLC", "ROWC", 0.5),
)
#: The same in lower case, where all that differ in case alone agree about the first pixel: databases
#: change the case of names.
_IN_ANY_CASE = {
    (x.lower(), y.lower()): origin
    for x, y, origin in POSITION_COLUMNS
    if {o for a, b, o in POSITION_COLUMNS if (a.lower(), b.lower()) == (x.lower(), y.lower())}
    == {origin}
}
#: Pairs that many write: what the format calls the first pixel goes before what is usual.
_OF_MANY = {("x", "y"), ("X", "Y")}
#: Names of the columns with a detection's brightest pixel, and their pixel origin.
PEAK_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("xpeak", "ypeak", 0),
    ("XPEAK_IMAGE", "YPEAK_IMAGE", 1),
)
#: Columns that scoring adds where positions of the catalogue had to be turned into pixels of the image.
PLACED = ("rb_x", "rb_y")
#: What right ascension and declination may be called by others.
_LIKE_SKY = re.compile("_*(ra|dec?|alpha|delta)($|[^a-z]|j2000|mean|deg)", re.IGNORECASE)

_FEW = 3  # pairs of names in a message


def positions(
    table: Any, x_col: str | None = None, y_col: str | None = None, origin: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the positions in a catalogue.

    Parameters
    ----------
    table : Table or anything that `rbinfer.io.tables.as_table` takes
        The catalogue.
    x_col, y_col : str, optional
        Names of the columns; both or none. By default the first pair of `POSITION_COLUMNS` that
        is there.
    origin : {0, 1}, optional
        What the catalogue calls the centre of the first pixel. By default what goes with the names of
        the columns (`POSITION_COLUMNS`); for other names, and for x, y and X, Y, with the format of the
        file; otherwise 0.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        0-based positions in pixels; NaN where masked.

    Raises
    ------
    InputError
        No position columns; one that holds no numbers, or in a unit other than pixels.
    """
    if not hasattr(table, "colnames"):
        table = as_table(table)
    if (x_col is None) != (y_col is None):
        raise InputError(f"give both position columns or none, not x_col={x_col!r} and y_col={y_col!r}")
    for key, name in (("x_col", x_col), ("y_col", y_col)):
        if not isinstance(name, str | None):
            raise InputError(f"{key} must be the name of a column, not {name!r}")
    if origin not in (None, 0, 1):
        raise InputError(f"the pixel origin must be 0 or 1, not {origin!r}")
    have = list(table.colnames)
    if x_col is None or y_col is None:
        pair = _known_pair(have)
        if pair is None:
            known = "; ".join(f"{x}, {y}" for x, y, _ in POSITION_COLUMNS[:_FEW])
            raise InputError(
                f"the catalogue has no position columns ({known}; ...); {look_alikes(table)}"
            )
        x_col, y_col = pair
    else:
        missing = [name for name in (x_col, y_col) if name not in have]
        if missing:
            raise InputError(
                f"the catalogue has no column {', '.join(missing)}; it has {_names(have)}"
                f"{did_you_mean(missing[0], have)}"
            )
    first = _first_pixel(table, x_col, y_col) if origin is None else origin
    log.info("positions are %s and %s; the first pixel is %g", x_col, y_col, first)
    return in_pixels(table[x_col], x_col, first), in_pixels(table[y_col], y_col, first)


def _first_pixel(table: "Table", x_col: str, y_col: str) -> float:
    """Return what columns call the first pixel: by their names, the format of the file, or else 0."""
    by_name = {(x, y): origin for x, y, origin in POSITION_COLUMNS}.get((x_col, y_col))
    if by_name is None:
        by_name = _IN_ANY_CASE.get((x_col.lower(), y_col.lower()))
    if by_name is not None and (x_col, y_col) not in _OF_MANY:
        return by_name
    noted = {str(key).lower(): value for key, value in table.meta.items()}.get(FIRST_PIXEL)
    return noted if isinstance(noted, int) and noted in (0, 1) else by_name or 0


def has_positions(table: "Table") -> bool:
    """Whether a catalogue has position columns in pixels that are known by name."""
    return _known_pair(table.colnames) is not None


def _known_pair(have: Sequence[str]) -> tuple[str, str] | None:
    """Return the first pair of names that is known: as it is written, or else in any case."""
    names = set(have)
    for x, y, _ in POSITION_COLUMNS:
        if x in names and y in names:
            return x, y
    by_lower = {name.lower(): name for name in reversed(have)}
    for x, y in _IN_ANY_CASE:
        if x in by_lower and y in by_lower:
            return by_lower[x], by_lower[y]
    return None


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
    by_lower = {name.lower(): name for name in reversed(table.colnames)}
    for *known, origin in PEAK_COLUMNS:
        x, y = (by_lower.get(name.lower(), name) for name in known)
        if x in table.colnames and y in table.colnames:
            try:
                return in_pixels(table[x], x, origin), in_pixels(table[y], y, origin)
            except InputError as error:
                log.warning("%s and %s are not used as the brightest pixels: %s", x, y, error)
    return None


def find_positions(
    table: "Table",
    x_col: str | None = None,
    y_col: str | None = None,
    origin: int | None = None,
    wcs: Any = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find positions in pixels, or else those on the sky where a WCS turns them into pixels.

    Parameters
    ----------
    table : Table
    x_col, y_col, origin
        As for `rbinfer.io.positions.positions`.
    wcs
        As for `sky_positions`; None for pixels alone.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        0-based pixels.

    Raises
    ------
    InputError
        As by `rbinfer.io.positions.positions` and `sky_positions`.
    """
    by_name = not (x_col is None and y_col is None)
    names = sky_columns(table)
    if not by_name and not has_positions(table) and names:
        if wcs is None:
            raise InputError(
                f"the catalogue has positions in {' and '.join(names)}, which needs the WCS of the "
                "image: give that too (in Python, wcs=...), or give x and y"
            )
        if origin is not None:
            raise InputError(
                f"an origin of {origin} is about columns of pixels, but the catalogue has "
                f"{' and '.join(names)}; leave it out"
            )
        return sky_positions(table, wcs)
    try:
        return positions(table, x_col, y_col, origin)
    except InputError as error:
        alike = [name for name in table.colnames if _LIKE_SKY.match(name)]
        if by_name or has_positions(table) or not alike:
            raise
        raise InputError(
            f"{error}; for positions on the sky rename {', '.join(alike[:4])} to ra, dec"
        ) from error


def scored_positions(
    table: "Table", noted: Mapping[str, Any], wcs: Any = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the positions in a scored catalogue, as they were when it was scored.

    Parameters
    ----------
    table : Table
    noted : mapping
        ``x_col``, ``y_col`` and ``origin`` as they were given then, or None.
    wcs
        As for `find_positions`.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        0-based pixels.

    Raises
    ------
    InputError
        As by `find_positions`.
    """
    if set(PLACED) <= set(table.colnames):
        return in_pixels(table[PLACED[0]], PLACED[0]), in_pixels(table[PLACED[1]], PLACED[1])
    return find_positions(table, **noted, wcs=wcs)


def _names(columns: list[str]) -> str:
    return ", ".join(map(printable, columns)) if columns else "no columns"
