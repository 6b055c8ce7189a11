"""What the report needs of one result, that is of one scored catalogue."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.columns import NOTED, bare
from ..io.images import load_image
from ..io.merged import IMAGE_COLUMN
from ..io.noted import noted_image, options_in
from ..io.positions import has_positions, scored_positions
from ..io.sky_in import sky_columns
from ..io.tables import read_catalog
from ..runs.journal import Line
from ..status import MEANING
from .gallery import scores, verdicts

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: What stands for the HDU where a result does not note it: the first image of the file.
FIRST = -1
#: A detection that is kept: ``image`` and ``kind`` are indices of `Night.images` and `Night.classes`
#: (-1 for no class), ``bright`` grows with the brightness.
SOURCE = np.dtype(
    [
        ("image", np.int32),
        ("hdu", np.int32),
        ("x", np.float64),
        ("y", np.float64),
        ("score", np.float32),
        ("kind", np.int32),
        ("bright", np.float32),
        ("real", np.bool_),
    ]
)

_ELSEWHERE = "'rbinfer report' and 'rbinfer label' look elsewhere with --images DIR"
_THRESHOLD = 0.5
_WIDEST = 100.0  # pixels of FWHM; more is no star
#: Columns that say how bright a detection is, best first; magnitudes shrink with the brightness.
BRIGHTNESS = (
    ("snr", 1),
    ("rb_snr", 1),
    ("SNR_WIN", 1),
    ("flux", 1),
    ("segment_flux", 1),
    ("FLUX_AUTO", 1),
    ("FLUX_ISO", 1),
    ("mag", -1),
    ("MAG_AUTO", -1),
    ("peak", 1),
    ("FLUX_MAX", 1),
)
#: What the journal knows too, for formats that have no place for it.
_OF_JOURNAL = (
    "image",
    "hdu",
    "fwhm",
    "fwhm_source",
    "ellipticity",
    "threshold",
    "model",
    "version",
    "x_col",
    "y_col",
    "origin",
)


@dataclass(frozen=True)
class ImageResult:
    """What a result says of its image.

    Attributes
    ----------
    name : str
        Name of the image file, or that of the result where it does not note its image.
    result : Path
    noted : str
        The image as the result notes it; empty if it does not.
    path : Path or None
        Where the image is; None if it is gone.
    hdu : str
    detections, real, bogus, unscored : int
    threshold : float
    fwhm : float or None
    fwhm_source : str
    ellipticity : float or None
        Of the mean star; None where it was not measured.
    classes : dict of str to (int, int)
        Real and bogus detections by most probable class.
    status : dict of str to int
        Rows by the name of the bit of ``rb_status``.
    model, version, hash, release, options : str
        What made the scores; empty where it is not noted.
    real_classes : tuple of str
        Sorted.
    observed : str
        When the exposure began, in UTC, as the journal notes it; empty if it is not known.
    finished : str
        When it was scored, in UTC; empty if it is not known.
    seconds : float or None
    """

    name: str
    result: Path
    noted: str
    path: Path | None
    hdu: str
    detections: int
    real: int
    bogus: int
    unscored: int
    threshold: float
    fwhm: float | None
    fwhm_source: str
    ellipticity: float | None
    classes: dict[str, tuple[int, int]]
    status: dict[str, int]
    model: str
    version: str
    hash: str
    release: str
    options: str
    real_classes: tuple[str, ...]
    observed: str
    finished: str
    seconds: float | None

    @property
    def scored(self) -> int:
        """How many detections have a score."""
        return self.real + self.bogus

    @property
    def bogus_fraction(self) -> float | None:
        """Share of the bogus in the scored detections; None without any."""
        return self.bogus / self.scored if self.scored else None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given; empty where they are not noted."""
        return options_in(self.options)


@dataclass
class OneResult:
    """A result as it was read.

    Attributes
    ----------
    image : ImageResult
    sources : structured ndarray of `SOURCE`
        All rows; ``kind`` is an index of `classes`, ``image`` is left at 0.
    verdict : ndarray of str
        Of the rows, as from `rbinfer.report.gallery.verdicts`.
    classes : list of str
    hdus : set of int
        The HDUs that the result is of, also those without rows.
    brightness : str
        The column that ``bright`` is from, or empty.
    lacking : list of str
        What the result does not tell.
    """

    image: ImageResult
    sources: NDArray[Any]
    verdict: NDArray[np.str_]
    classes: list[str]
    hdus: set[int]
    brightness: str
    lacking: list[str] = field(default_factory=list)


def read_one(path: Path, images: Path | None, line: Line) -> OneResult:
    """Read a result.

    Parameters
    ----------
    path : Path
    images : Path, optional
        Folder where else its image may be, or the image itself.
    line : Line
        Of the journal; an empty one if there is none.

    Returns
    -------
    OneResult

    Raises
    ------
    InputError
        The file is no scored catalogue. Odd columns and metadata raise nearly anything else too.
    """
    table = read_catalog(path)
    if IMAGE_COLUMN in table.colnames:
        raise InputError("it has the rows of many images, which are counted one by one")
    given = table["rb_score"] if "rb_score" in table.colnames and len(table) else None
    if given is not None and (given.dtype.kind not in "fiu" or given.ndim != 1):
        raise InputError("rb_score does not hold a number in each row")
    score, lacking = scores(table).astype(np.float32), list[str]()
    meta = _metadata(table, line)
    threshold = _threshold(meta, lacking)
    verdict = verdicts(table, threshold)
    noted = _text(meta.get("rb_image"))
    found = _find(noted, path, images, lacking)
    classes, kind = _classes(table)
    hdu = _hdus(table, meta)
    x, y = _positions(table, meta, found, hdu, lacking)
    brightness, bright = _bright(table)
    image = ImageResult(
        name=Path(noted).name or path.name,
        result=path,
        noted=noted,
        path=found,
        hdu=_text(meta.get("rb_hdu")),
        detections=len(table),
        real=int(np.count_nonzero(verdict == "real")),
        bogus=int(np.count_nonzero(verdict == "bogus")),
        unscored=int(np.count_nonzero(verdict == "unscored")),
        threshold=threshold,
        fwhm=_number(meta.get("rb_fwhm"), _WIDEST),
        fwhm_source=_text(meta.get("rb_fwhm_source")),
        ellipticity=_number(meta.get("rb_ellipticity"), 1.0),
        classes=_by_class(classes, kind, verdict),
        status=_status(table),
        model=_text(meta.get("rb_model")),
        version=_text(meta.get("rb_version")),
        hash=_text(meta.get("rb_hash")),
        release=_text(meta.get("rb_rel")),
        options=_text(meta.get("rb_opts")),
        real_classes=_names(meta.get("rb_real")),
        observed=utc((line.summary or {}).get("time")),
        finished=utc(line.finished),
        seconds=_number(line.seconds, math.inf),
    )
    sources = np.zeros(len(table), SOURCE)
    sources["hdu"], sources["x"], sources["y"] = hdu, x, y
    sources["score"], sources["kind"] = score, kind
    sources["bright"], sources["real"] = bright, verdict == "real"
    hdus = {int(number) for number in np.unique(hdu)} or {_noted_hdu(meta)}
    return OneResult(image, sources, verdict, classes, hdus, brightness, lacking)


def _threshold(meta: Mapping[str, Any], lacking: list[str]) -> float:
    if "rb_threshold" not in meta:
        lacking.append(f"no threshold is noted (CSV keeps none); {_THRESHOLD:g} is taken")
        return _THRESHOLD
    value = _number(meta["rb_threshold"], 1.0)
    if value is None:
        raise InputError(f"it notes rb_threshold = {meta['rb_threshold']!r}, not a number from 0 to 1")
    return value


def _find(noted: str, result: Path, images: Path | None, lacking: list[str]) -> Path | None:
    """Find an image: the one that is given, or as `rbinfer.io.noted.noted_image` does."""
    if images is not None and images.is_file():
        return images
    if not noted:
        lacking.append("the image is not noted, so there are no cutouts of it")
        return None
    found = noted_image(noted, result, images)
    if found is None:
        lacking.append(f"the image was not found, so there are no cutouts of it; {_ELSEWHERE}")
    return found


def _positions(
    table: "Table",
    meta: Mapping[str, Any],
    image: Path | None,
    hdu: NDArray[np.int32],
    lacking: list[str],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pixels; NaN where only the WCS of an image that is gone would tell them."""
    columns = {name: meta.get(f"{NOTED}{name}") for name in ("x_col", "y_col", "origin")}
    try:
        if not (columns["x_col"] is None and sky_columns(table)) or has_positions(table):
            return scored_positions(table, columns)
        if image is None:
            raise InputError("positions on the sky need the image")
        x, y = np.full(len(table), np.nan), np.full(len(table), np.nan)
        for number in np.unique(hdu):
            of = hdu == number
            loaded = load_image(image, None if number == FIRST else int(number))
            x[of], y[of] = scored_positions(table[of], columns, loaded.header)
        return x, y
    except InputError as error:
        log.info("%s: no positions: %s", table.meta.get("rb_image", ""), error)
        lacking.append("no positions in pixels, so neither cutouts nor repeats")
        return np.full(len(table), np.nan), np.full(len(table), np.nan)


def _classes(table: "Table") -> tuple[list[str], NDArray[np.int32]]:
    """Return the classes, and the index of that of each row; -1 where there is none."""
    if "rb_class" not in table.colnames:
        return [], np.full(len(table), -1, np.int32)
    names = np.asarray(np.ma.filled(np.ma.asarray(table["rb_class"]).astype(str), ""))
    found, where = np.unique(names, return_inverse=True)
    classes = [str(name) for name in found if name]
    index = [classes.index(str(name)) if name else -1 for name in found]
    return classes, np.asarray(index, np.int32)[where]


def _by_class(
    classes: list[str], kind: NDArray[np.int32], verdict: NDArray[np.str_]
) -> dict[str, tuple[int, int]]:
    counts = {}
    for number, name in enumerate(classes):
        of = verdict[kind == number]
        real, bogus = (int(np.count_nonzero(of == which)) for which in ("real", "bogus"))
        if real or bogus:
            counts[name] = real, bogus
    return counts


def _bright(table: "Table") -> tuple[str, NDArray[np.float32]]:
    """Return the column that tells the brightness, and what grows with it."""
    for name, sign in BRIGHTNESS:
        if name in table.colnames and table[name].ndim == 1 and table[name].dtype.kind in "fiu":
            values, masked = bare(table[name])
            bright = sign * values.astype(np.float32)
            bright[masked] = np.nan
            return name, bright
    return "", np.full(len(table), np.nan, np.float32)


def _metadata(table: "Table", line: Line) -> dict[str, Any]:
    """Return what the table notes, or else the journal; FITS knows upper case alone."""
    meta = {}
    if line.ok:
        known: dict[str, Any] = {"image": line.image or None, **(line.summary or {})}
        meta = {f"{NOTED}{key}": known[key] for key in _OF_JOURNAL if known.get(key) is not None}
    noted = {str(key).lower(): value for key, value in table.meta.items()}
    return meta | {key: value for key, value in noted.items() if key.startswith(NOTED)}


def _hdus(table: "Table", meta: Mapping[str, Any]) -> NDArray[np.int32]:
    from ..pipeline.mosaic import HDU_COLUMN

    if HDU_COLUMN not in table.colnames or not len(table):
        return np.full(len(table), _noted_hdu(meta), np.int32)
    values = bare(table[HDU_COLUMN])[0]
    if values.dtype.kind not in "iu" or not _is_hdu(values.min()) or not _is_hdu(values.max()):
        raise InputError(f"{HDU_COLUMN} does not hold the number of an HDU in each row")
    return values.astype(np.int32)


def _noted_hdu(meta: Mapping[str, Any]) -> int:
    noted = meta.get("rb_hdu")
    if not isinstance(noted, int):
        return FIRST
    if not _is_hdu(noted):
        raise InputError(f"it notes rb_hdu = {noted}, which no HDU has as its number")
    return noted


def _is_hdu(number: int) -> bool:
    return 0 <= number <= np.iinfo(np.int32).max


def _status(table: "Table") -> dict[str, int]:
    if "rb_status" not in table.colnames or table["rb_status"].dtype.kind not in "iu":
        return {}
    values = bare(table["rb_status"])[0]
    counts = {str(bit.name): int(np.count_nonzero(values & int(bit))) for bit in MEANING}
    return {name: times for name, times in counts.items() if times}


def _number(value: Any, most: float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number <= most else None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def utc(value: Any) -> str:
    """Return a time in UTC; what is no time as it is."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError):
        return _text(value)


def _names(value: Any) -> tuple[str, ...]:
    """Return names sorted; joined metadata may repeat them."""
    if value is None:
        return ()
    names = value if isinstance(value, list | tuple | set) else [value]
    return tuple(sorted({str(name) for name in names}))
