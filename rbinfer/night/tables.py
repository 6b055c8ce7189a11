"""The files of a night: sources, detections, candidates, frames, a mask of hot pixels."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..io.ecsv import stream_ecsv
from ..io.files import written_whole
from ..io.tables import write_catalog
from .detector import Standing
from .fields import Place
from .frames import Frame
from .parts import Parts, texts
from .sources import KINDS, Block

if TYPE_CHECKING:
    from astropy.table import Table

#: Units of the columns of sources and detections.
UNITS = {
    "ra": "deg",
    "dec": "deg",
    "x": "pix",
    "y": "pix",
    "x_detector": "pix",
    "y_detector": "pix",
    "scatter": "pix",
    "scatter_sky": "arcsec",
    "rate": "pix / h",
    "rate_sky": "arcsec / h",
    "angle": "deg",
    "neighbour": "pix",
}


def source_table(
    block: Block,
    found: NDArray[Any],
    ids: NDArray[np.int64],
    frames: Sequence[Frame],
    classes: Sequence[str],
) -> "Table":
    """Return sources of a block as a table.

    Parameters
    ----------
    block : Block
    found : structured ndarray of `rbinfer.night.sources.SOURCE`, shape (n,)
    ids : ndarray of int64, shape (n,)
        Their numbers.
    frames : sequence of Frame
        Of the night.
    classes : sequence of str
        Names by what ``class`` holds.

    Returns
    -------
    Table
        ``x`` and ``y`` are pixels of the first frame of the field, ``x_detector`` and ``y_detector``
        those of every frame, for what stands there; ``first`` and ``last`` are in UTC; ``angle`` is
        that of the motion from north over east.
    """
    from astropy.table import Table

    n = len(found)
    fixed = found["kind"] == KINDS.index("detector")
    u, v = (np.where(fixed, np.nan, found[k]) for k in ("u", "v"))
    ra, dec = block.field.sky(u, v)
    scale = block.field.arcsec_per_pixel
    rate = np.hypot(found["rate_u"], found["rate_v"])
    rate[found["kind"] != KINDS.index("moving")] = np.nan
    # Of the block's own frames: a long run has many blocks.
    times = {k: _time(frames[k]) for k in np.unique([found["first"], found["last"]]).tolist()}
    table = Table()
    table["id"] = ids
    table["target"], table["filter"] = (texts([name] * n) for name in block.group)
    table["kind"] = np.array(KINDS)[found["kind"]] if n else np.zeros(0, "U8")
    table["ra"], table["dec"] = ra, dec
    table["x"], table["y"] = u, v
    table["scatter"] = np.where(fixed, np.nan, found["scatter"])
    table["scatter_sky"] = table["scatter"] * scale
    for name in ("n_seen", "n_cover", "score_mean", "score_min", "score_max", "probability"):
        table[name] = found[name]
    table["class"] = texts([classes[k] if k >= 0 else "" for k in found["class"]])
    table["snr"] = found["snr"]
    for name in ("first", "last"):
        table[name] = texts([times[k] for k in found[name].tolist()])
    table["x_detector"], table["y_detector"] = (np.where(fixed, found[k], np.nan) for k in ("x", "y"))
    table["n_detector"] = found["n_detector"]
    table["rate"], table["rate_sky"] = rate, rate * scale
    table["angle"] = _angle(block, found, rate)
    return with_units(table)


def texts_in(frames: Sequence[Frame], classes: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return what the columns of text of sources and detections may hold, by their names."""
    kinds = ["", *classes]
    times = ["", *map(_time, frames)]
    held: dict[str, Sequence[str]] = {"kind": KINDS, "class": kinds, "rb_class": kinds}
    held |= {"first": times, "last": times}
    return held | {
        name: [getattr(frame, name) for frame in frames] for name in ("target", "filter", "image")
    }


def with_units(table: "Table") -> "Table":
    """Set the units of the columns that have one."""
    for name, unit in UNITS.items():
        if name in table.colnames:
            table[name].unit = unit
    return table


def _time(frame: Frame) -> str:
    return "" if frame.time is None else frame.time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


def _angle(block: Block, found: NDArray[Any], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direction of each motion on the sky, degrees from north over east."""
    angle = np.full(len(found), np.nan)
    for k in np.flatnonzero(np.isfinite(rate)):
        step = np.array([0.0, 1.0 / max(rate[k], 1e-9)])
        ra, dec = block.field.sky(
            found["u"][k] + found["rate_u"][k] * step, found["v"][k] + found["rate_v"][k] * step
        )
        east = ((ra[1] - ra[0] + 180.0) % 360.0 - 180.0) * math.cos(math.radians(dec[0]))
        angle[k] = math.degrees(math.atan2(east, dec[1] - dec[0])) % 360.0
    return angle


def frame_table(frames: Sequence[Frame], places: Sequence[Place], facts: dict[str, Any]) -> "Table":
    """Return the frames of a night as a table: what each shows, and how it was laid on its field."""
    from astropy.table import Table

    table = Table()
    for name in ("image", "target", "filter", "camera"):
        table[name] = texts([getattr(frame, name) for frame in frames])
    table["time"] = [_time(frame) for frame in frames]
    table["exposure"] = [math.nan if frame.exposure is None else frame.exposure for frame in frames]
    table["field"] = [place.field for place in places]
    table["aligned"] = [place.how for place in places]
    for name, values in facts.items():
        table[name] = values
    return table


def write_table(table: "Table", path: Path) -> None:
    """Write a table as ECSV, whole or not at all, in place of what was there."""
    with suppress(KeyError):
        del table.meta["__attributes__"]
    write_catalog(table, path, overwrite=True)


def write_as_ecsv(parts: Path, path: Path) -> None:
    """Write a Parquet file of `ParquetParts` as ECSV, as `write_table` writes it in one.

    A few rows at a time become text, which takes some kilobytes a row while it is made.
    """
    stored = Parts(parts)
    with written_whole(path, ".ecsv") as beside:
        tables = (with_units(table) for table in stored)
        stream_ecsv(with_units(stored.empty()), stored.n_rows, tables, beside)


def write_mask(standing: dict[str, tuple[tuple[int, int], Standing]], path: Path) -> dict[str, int]:
    """Write the mask of what stands on the detector, for ``--mask``.

    Parameters
    ----------
    standing : dict of str to ((int, int), Standing)
        Shape of a frame, and what stands there, by camera.
    path : Path
        FITS: the mask is the primary image where there is one camera, and an extension for each of
        several, ``MASK1`` and so on in the order of their names.

    Returns
    -------
    dict of str to int
        Pixels in the mask of each camera, in the order of the masks.
    """
    from astropy.io import fits

    counts = {}
    hdus: list[Any] = [] if len(standing) == 1 else [fits.PrimaryHDU()]
    for number, (camera, (shape, found)) in enumerate(sorted(standing.items())):
        mask = np.zeros(shape, np.uint8)
        x, y = np.rint(found.x).astype(int), np.rint(found.y).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
        mask[y[inside], x[inside]] = 1
        hdu = fits.ImageHDU(mask, name=f"MASK{number + 1}") if hdus else fits.PrimaryHDU(mask)
        counts[camera] = int(np.count_nonzero(mask))
        hdu.header["NHOT"] = (counts[camera], "pixels that stand while the sky moves")
        hdu.header.add_comment(f"camera: {camera}".encode("ascii", "replace").decode())
        hdus.append(hdu)
    with written_whole(path, ".fits") as beside:
        fits.HDUList(hdus).writeto(beside)
    return counts
