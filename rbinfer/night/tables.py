"""The files of a night: sources, detections, candidates, frames, a mask of hot pixels."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .._util.extras import needed
from ..io.ecsv import stream_ecsv
from ..io.files import written_whole
from ..io.tables import write_catalog
from .detector import Standing
from .fields import Place
from .frames import Frame
from .sources import KINDS, Block

if TYPE_CHECKING:
    from astropy.table import Table

#: File of all detections with their sources.
DETECTIONS = "detections.parquet"
#: Rows that are made text at a time.
_AT_ONCE = 5000
#: Units of the columns of sources.
_UNITS = {
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
    block: Block, found: NDArray[Any], first_id: int, frames: Sequence[Frame], classes: Sequence[str]
) -> "Table":
    """Return the sources of a block as a table.

    Parameters
    ----------
    block : Block
    found : structured ndarray of `rbinfer.night.sources.SOURCE`, shape (n,)
    first_id : int
        Number of the first of them.
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
    table["id"] = first_id + np.arange(n)
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


def texts(values: Sequence[str]) -> NDArray[np.str_]:
    """Return a column of text, also without rows; ``?`` for bytes of file names that are not UTF-8."""
    return np.array([value.encode("utf-8", "replace").decode() for value in values], np.str_)


def with_units(table: "Table") -> "Table":
    """Set the units of the columns that have one."""
    for name, unit in _UNITS.items():
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


class ParquetParts:
    """A Parquet file that grows by tables; a context manager, and the file is there whole or not at all.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        PyArrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        needed("pyarrow", "Parquet needs", "night")
        self._path, self._writer = path, None
        self._whole = written_whole(path, ".parquet")

    def __enter__(self) -> Self:
        self._beside = self._whole.__enter__()
        return self

    def add(self, columns: dict[str, Any]) -> None:
        """Append rows; all parts have the same columns."""
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table(columns)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._beside, table.schema)
        self._writer.write_table(table)  # type: ignore[attr-defined]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        elif kind is None:
            self.add({"id": np.zeros(0, np.int64)})
            self._writer.close()  # type: ignore[attr-defined]
        self._whole.__exit__(kind, error, trace)


def arrow_columns(table: "Table") -> dict[str, Any]:
    """Return the columns of a table as PyArrow takes them."""
    columns: dict[str, Any] = {}
    for name in table.colnames:
        values = np.asarray(table[name])
        columns[name] = values.tolist() if values.dtype.kind == "U" else values
        if values.dtype.kind == "U" or not len(values):
            columns[name] = _typed(columns[name], values.dtype)
    return columns


def _typed(values: Any, dtype: Any) -> Any:
    import pyarrow

    kind = pyarrow.string() if dtype.kind == "U" else pyarrow.from_numpy_dtype(dtype)
    return pyarrow.array(values, type=kind)


def detection_columns(
    block: Block,
    ids: NDArray[np.int64],
    probability: NDArray[np.float64],
    frames: Sequence[Frame],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return the rows of a block with their sources, as PyArrow takes them.

    Parameters
    ----------
    block : Block
    ids : ndarray of int64, shape (n,)
        Of the source of each row.
    probability : ndarray of float64, shape (n,)
        Of that source.
    frames : sequence of Frame
    classes : sequence of str

    Returns
    -------
    dict
        ``image`` and ``row`` name the row of a frame's scored catalogue; ``rb_score`` is that of the
        frame alone.
    """
    import pyarrow

    rows = block.rows
    ra, dec = block.field.sky(rows["u"], rows["v"])
    numbers, which = np.unique(rows["frame"], return_inverse=True)
    names = texts([frames[k].image for k in numbers]).tolist()
    images = pyarrow.DictionaryArray.from_arrays(
        which.astype(np.int32), pyarrow.array(names, type=pyarrow.string())
    )
    kinds = [classes[k] if k >= 0 else "" for k in rows["kind"]]
    return {
        "source": ids,
        "image": images.cast(pyarrow.string()),
        "row": rows["row"],
        "x": rows["x"],
        "y": rows["y"],
        "ra": ra,
        "dec": dec,
        "rb_score": rows["score"],
        "rb_status": rows["status"],
        "rb_class": pyarrow.array(kinds, type=pyarrow.string()),
        "rb_snr": rows["snr"],
        "probability": probability,
    }


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


def write_as_one(tables: "Sequence[Table]", path: Path) -> None:
    """Write tables with the same columns one below the other as ECSV, as `write_table` writes one.

    A few rows at a time become text, which takes some kilobytes a row while it is made.
    """
    parts = (table[k : k + _AT_ONCE] for table in tables for k in range(0, len(table), _AT_ONCE))
    with written_whole(path, ".ecsv") as beside:
        stream_ecsv(tables[0][:0], sum(map(len, tables)), parts, beside)


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
