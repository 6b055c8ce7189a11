"""The rows of a scored catalogue as one array, with all that merging needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.columns import NOTED, bare
from ..io.headers import image_headers
from ..io.positions import scored_positions
from ..io.sky_out import sky_map
from ..io.tables import read_catalog
from ..status import UNSCORED, is_real
from .frames import Frame

if TYPE_CHECKING:
    from astropy.table import Table

#: A detection: its frame's number and its row there; 0-based pixels; the same on the plane of its field
#: (see `rbinfer.night.fields`); score, whether that is real, index of the class, status, S/N, and flux a
#: second.
ROW = np.dtype(
    [
        ("frame", np.int32),
        ("row", np.int32),
        ("x", np.float64),
        ("y", np.float64),
        ("u", np.float64),
        ("v", np.float64),
        ("score", np.float32),
        ("real", np.bool_),
        ("kind", np.int16),
        ("status", np.int32),
        ("snr", np.float32),
        ("flux", np.float32),
    ]
)
#: With fewer rows an affine map says little of the rest of a frame.
ENOUGH_ROWS = 6
#: Degrees within which a position on the sky is the one that the WCS gives.
_SAME_SKY = 1e-6
#: Columns with the light of a detection, best first.
_FLUXES = ("flux", "FLUX_AUTO", "FLUX_ISO", "segment_flux", "FLUX_BEST")


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a frame.

    Attributes
    ----------
    rows : structured ndarray of `ROW`
    classes : list of str
        What ``kind`` is an index of.
    threshold : float
    fwhm : float
        Pixels; NaN where it is not noted.
    sky : (ndarray, ndarray) of float64, each of shape (n,), or None
        Right ascension and declination in degrees, where the image had a WCS that could be used.
    grid : (ndarray, ndarray, ndarray) or None
        For a frame with few rows, pixels of it, shape (n, 2), and their right ascension and declination
        by its WCS, which the rows agree with.
    most_pixels : int
        Size of the largest detection; 0 where the catalogue does not tell.
    hdu : int or None
        Of the image in its file; None where it is not noted.
    """

    rows: NDArray[Any]
    classes: list[str]
    threshold: float
    fwhm: float
    sky: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    most_pixels: int
    hdu: int | None
    grid: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None = None


def read_rows(frame: Frame, number: int) -> Rows:
    """Read the scored catalogue of a frame.

    Parameters
    ----------
    frame : Frame
    number : int
        What ``frame`` holds.

    Returns
    -------
    Rows

    Raises
    ------
    InputError
        The file is no scored catalogue of one image.
    """
    table = read_catalog(frame.result)
    if "rb_score" not in table.colnames:
        raise InputError(f"{frame.result} has no column rb_score; it is no scored catalogue")
    meta = {str(key).lower(): value for key, value in table.meta.items()}
    threshold = float(meta[f"{NOTED}threshold"])
    rows = np.zeros(len(table), ROW)
    noted = {name: meta.get(f"{NOTED}{name}") for name in ("x_col", "y_col", "origin")}
    hdu = meta.get(f"{NOTED}hdu")
    hdu = int(hdu) if isinstance(hdu, int | np.integer) else None
    headers = image_headers(frame.image, hdu)
    rows["frame"], rows["row"] = number, np.arange(len(table))
    rows["x"], rows["y"] = scored_positions(table, noted, headers[-1] if headers else None)
    rows["u"] = rows["v"] = np.nan
    rows["score"] = bare(table["rb_score"])[0]
    rows["status"] = bare(table["rb_status"])[0]
    rows["score"][(rows["status"] & UNSCORED) != 0] = np.nan
    rows["real"] = is_real(rows["score"], threshold)
    classes, rows["kind"] = _classes(table)
    rows["snr"] = _column(table, "rb_snr")
    flux = next((_column(table, name) for name in _FLUXES if name in table.colnames), None)
    rows["flux"] = np.nan if flux is None else flux / np.float32(frame.exposure or 1.0)
    size = np.nan_to_num(_column(table, "npix"))
    sky = _sky(table)
    few = sky is not None and len(rows) < ENOUGH_ROWS and headers
    return Rows(
        rows,
        classes,
        threshold,
        _width(meta),
        sky,
        int(size.max(initial=0)),
        hdu,
        _grid(headers[-1], frame, rows, sky) if few and sky is not None else None,
    )


def _grid(
    header: Any, frame: Frame, rows: NDArray[Any], sky: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Return pixels on a grid and their sky by the WCS of the image, if the rows have theirs by it."""
    found = sky_map(header, frame.shape, frame.image)
    if found is None:
        return None
    off = np.array(found.positions(rows["x"], rows["y"])) - np.array(sky)
    off[0] = (off[0] + 180.0) % 360.0 - 180.0
    if not np.all(np.abs(off) < _SAME_SKY):
        return None
    ny, nx = frame.shape
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(0, nx - 1, 4), np.linspace(0, ny - 1, 4)))
    ra, dec = found.positions(x, y)
    return (np.column_stack([x, y]), ra, dec) if np.all(np.isfinite(ra + dec)) else None


def _classes(table: "Table") -> tuple[list[str], NDArray[np.int16]]:
    if "rb_class" not in table.colnames:
        return [], np.full(len(table), -1, np.int16)
    names = np.asarray(bare(table["rb_class"])[0]).astype(str)
    found, index = np.unique(names, return_inverse=True)
    return [str(name) for name in found], index.astype(np.int16)


def _column(table: "Table", name: str) -> NDArray[np.float32]:
    if name not in table.colnames:
        return np.full(len(table), np.nan, np.float32)
    values, masked = bare(table[name])
    numbers = values.astype(np.float32)
    numbers[masked] = np.nan
    return numbers


def _width(meta: Mapping[str, Any]) -> float:
    try:
        width = float(meta.get(f"{NOTED}fwhm", math.nan))
    except (TypeError, ValueError):
        return math.nan
    return width if 0 < width < math.inf else math.nan


def _sky(table: "Table") -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the columns of the sky that scoring added, or that a catalogue had under these names."""
    if not {"ra", "dec"} <= set(table.colnames) or not len(table):
        return None
    columns = []
    for name in ("ra", "dec"):
        values, masked = bare(table[name])
        if values.dtype.kind not in "fiu" or values.ndim != 1:
            return None
        degrees = values.astype(np.float64)
        degrees[masked] = np.nan
        columns.append(degrees)
    return columns[0], columns[1]
