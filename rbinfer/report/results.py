"""Read a directory of results, one table at a time; keep what the report needs of each."""

import logging
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, RbinferError
from ..gallery import scores, verdicts
from ..images import load_image
from ..sky import find_positions, sky_columns
from ..status import MEANING
from ..tables import NOTED, bare, check_output, has_positions, read_catalog
from .journal import read_journals

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Bins of the score from 0 to 1.
BINS = 20
#: What stands for the HDU where a result does not note it: the first image of the file.
FIRST = -1
#: A detection that is kept: ``image`` and ``kind`` are indices of `Night.images` and `Night.classes`
#: (-1 for no class), ``bright`` grows with the brightness.
SOURCE = np.dtype(
    [
        ("image", np.int32), ("hdu", np.int32), ("x", np.float64), ("y", np.float64),
        ("score", np.float32), ("kind", np.int32), ("bright", np.float32), ("real", np.bool_),
    ]
)  # fmt: skip

_FEW = 3  # texts in a message
_THRESHOLD = 0.5
_WIDEST = 100.0  # pixels of FWHM; more is no star
#: Columns that say how bright a detection is, best first; magnitudes shrink with the brightness.
_BRIGHTNESS = (
    ("snr", 1), ("SNR_WIN", 1), ("flux", 1), ("segment_flux", 1), ("FLUX_AUTO", 1), ("FLUX_ISO", 1),
    ("mag", -1), ("MAG_AUTO", -1), ("peak", 1), ("FLUX_MAX", 1),
)  # fmt: skip


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
    classes : dict of str to (int, int)
        Real and bogus detections by most probable class.
    status : dict of str to int
        Rows by the name of the bit of ``rb_status``.
    model, version, hash, release, options : str
        What made the scores; empty where it is not noted.
    real_classes : tuple of str
        Sorted.
    finished : str
        When, in UTC; empty if it is not known.
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
    classes: dict[str, tuple[int, int]]
    status: dict[str, int]
    model: str
    version: str
    hash: str
    release: str
    options: str
    real_classes: tuple[str, ...]
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


class Failure(NamedTuple):
    """An image that has no result: its name, the reason and when."""

    name: str
    reason: str
    finished: str


@dataclass
class Night:
    """What a directory of results says.

    Attributes
    ----------
    images : list of ImageResult
        In the order of the names of the results, numbers as numbers.
    failed : list of Failure
    skipped : list of (str, str)
        Files that are no scored catalogues, with the reason.
    classes : list of str
    bogus : structured ndarray of `SOURCE`
        All the bogus detections.
    borderline : structured ndarray of `SOURCE`
        The scored detections of each image that are nearest to the threshold.
    histogram : ndarray of int64, shape (2, BINS)
        Bogus and real detections by score.
    images_of_hdu : dict of int to int
        How many images have an HDU.
    extent : dict of int to (float, float)
        Largest x and y of the detections in an HDU.
    brightness : list of str
        The columns that ``bright`` is from.
    notes : list of str
        What a reader should know.
    """

    images: list[ImageResult] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    bogus: NDArray[Any] = field(default_factory=lambda: np.zeros(0, SOURCE))
    borderline: NDArray[Any] = field(default_factory=lambda: np.zeros(0, SOURCE))
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, BINS), np.int64))
    images_of_hdu: dict[int, int] = field(default_factory=dict)
    extent: dict[int, tuple[float, float]] = field(default_factory=dict)
    brightness: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_night(folder: Path, images: Path | None, most: int) -> Night:
    """Read all results in a directory.

    Parameters
    ----------
    folder : Path
    images : Path, optional
        Where else the images may be.
    most : int
        How many borderline detections of each image are kept.

    Returns
    -------
    Night

    Raises
    ------
    InputError
        There is no such directory, or neither results nor failures in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a directory; give the one with the results")
    journal = read_journals(folder)
    reader = _Reader(folder, images, most, journal)
    for path in sorted(filter(_may_be_result, folder.iterdir()), key=lambda path: natural(path.name)):
        try:
            reader.add(path)
        except RbinferError as error:
            reader.night.skipped.append((path.name, str(error)))
    night = reader.finish()
    for key, entry in journal.items():
        if entry.get("ok") is False:
            name = Path(str(entry.get("image") or key)).name
            reason = " ".join(str(entry.get("error") or "no reason is noted").split())
            night.failed.append(Failure(name, reason, _utc(entry.get("finished"))))
    night.failed.sort(key=lambda failure: natural(failure.name))
    if night.skipped:
        named = [f"{name} ({reason})" for name, reason in night.skipped]
        log.warning("left out as no scored catalogues: %s", some(named))
    if not night.images and not night.failed:
        raise InputError(
            f"{folder} has no scored catalogues; make them with 'rbinfer batch IMAGES -o {folder}' or "
            f"'rbinfer classify IMAGE -o {folder / 'NAME.ecsv'}'"
        )
    return night


def some(texts: Sequence[str]) -> str:
    """Join texts, the first few of many."""
    more = len(texts) - _FEW
    return "; ".join(texts[:_FEW]) + (f"; and {more} more" if more > 0 else "")


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return a key that sorts names with the numbers in them as numbers."""
    parts = re.split(r"([0-9]+)", name)
    key = [(0, int(part)) if k % 2 else (1, part.casefold()) for k, part in enumerate(parts)]
    return (*key, (1, name))


def _may_be_result(path: Path) -> bool:
    if path.name.startswith(".") or not path.is_file():
        return False
    try:
        check_output(path, overwrite=True)  # could it have been written as a catalogue?
    except InputError:
        return False
    return True


class _Reader:
    """Adds up a night, result by result."""

    def __init__(
        self, folder: Path, images: Path | None, most: int, journal: Mapping[str, dict[str, Any]]
    ) -> None:
        self.night = Night()
        self._folder = folder
        self._images = images
        self._most = most
        self._journal = journal
        self._kinds: dict[str, int] = {}
        self._bogus: list[NDArray[Any]] = []
        self._borderline: list[NDArray[Any]] = []
        self._brightness: set[str] = set()
        self._lacking: Counter[str] = Counter()

    def add(self, path: Path) -> None:
        """Add a result; raises `InputError` if it is none."""
        table = read_catalog(path)
        if "rb_score" in table.colnames and len(table) and table["rb_score"].dtype.kind not in "fiu":
            raise InputError("rb_score does not hold numbers")
        score, entry = scores(table).astype(np.float32), self._journal.get(path.name, {})
        meta = _metadata(table, entry)
        threshold = self._threshold(meta)
        verdict = verdicts(table, threshold)
        noted = _text(meta.get("rb_image"))
        image = self._find(noted, path)
        kind = self._kind(table)
        hdu = _hdus(table, meta)
        x, y = self._positions(table, meta, image, hdu)
        result = ImageResult(
            name=Path(noted).name or path.name,
            result=path,
            noted=noted,
            path=image,
            hdu=_text(meta.get("rb_hdu")),
            detections=len(table),
            real=int(np.count_nonzero(verdict == "real")),
            bogus=int(np.count_nonzero(verdict == "bogus")),
            unscored=int(np.count_nonzero(verdict == "unscored")),
            threshold=threshold,
            fwhm=_number(meta.get("rb_fwhm"), _WIDEST),
            fwhm_source=_text(meta.get("rb_fwhm_source")),
            classes=self._by_class(kind, verdict),
            status=_status(table),
            real_classes=_names(meta.get("rb_real")),
            finished=_utc(entry.get("finished")),
            seconds=_number(entry.get("seconds"), math.inf),
            **{
                name: _text(meta.get(f"{NOTED}{key}"))
                for name, key in (
                    ("model", "model"), ("version", "version"), ("hash", "hash"),
                    ("release", "rel"), ("options", "opts"),
                )
            },
        )  # fmt: skip
        sources = np.zeros(len(table), SOURCE)
        sources["image"], sources["hdu"] = len(self.night.images), hdu
        sources["x"], sources["y"], sources["score"], sources["kind"] = x, y, score, kind
        sources["bright"], sources["real"] = self._bright(table), verdict == "real"
        for number in {int(n) for n in hdu} or {_noted_hdu(meta)}:
            self.night.images_of_hdu[number] = self.night.images_of_hdu.get(number, 0) + 1
        self._keep(sources, verdict, threshold)
        self.night.images.append(result)

    def finish(self) -> Night:
        """Return the night when all results were added."""
        night = self.night
        night.classes = list(self._kinds)
        night.brightness = [name for name, _ in _BRIGHTNESS if name in self._brightness]
        if self._bogus:
            night.bogus = np.concatenate(self._bogus)
            night.borderline = np.concatenate(self._borderline)
        n = len(night.images)
        for what, times in self._lacking.items():
            log.warning("%d of %d results: %s", times, n, what)
            night.notes.append(f"{times} of {n} results: {what}.")
        results: dict[tuple[str, str], list[str]] = {}
        for image in night.images:
            results.setdefault((image.noted, image.hdu), []).append(image.result.name)
        for (noted, _), names in results.items():
            if noted and len(names) > 1:
                night.notes.append(
                    f"{Path(noted).name} has {len(names)} results ({', '.join(names)}); each is counted."
                )
        return night

    def _keep(self, sources: NDArray[Any], verdict: NDArray[np.str_], threshold: float) -> None:
        night = self.night
        for row, name in enumerate(("bogus", "real")):
            night.histogram[row] += np.histogram(sources["score"][verdict == name], BINS, (0, 1))[0]
        for hdu in np.unique(sources["hdu"]):
            number, of = int(hdu), sources[sources["hdu"] == hdu]
            # What is off the image has no score.
            there = of[np.isfinite(of["score"]) & np.isfinite(of["x"]) & np.isfinite(of["y"])]
            if there.size:
                x, y = night.extent.get(number, (0.0, 0.0))
                night.extent[number] = max(x, float(there["x"].max())), max(y, float(there["y"].max()))
        self._bogus.append(sources[verdict == "bogus"])
        scored = sources[verdict != "unscored"]
        away = np.abs(scored["score"].astype(np.float64) - threshold)
        self._borderline.append(scored[np.argsort(away, kind="stable")[: self._most]])

    def _threshold(self, meta: Mapping[str, Any]) -> float:
        if "rb_threshold" not in meta:
            self._lacking[f"no threshold is noted (CSV keeps none); {_THRESHOLD:g} is taken"] += 1
            return _THRESHOLD
        value = _number(meta["rb_threshold"], 1.0)
        if value is None:
            raise InputError(
                f"it notes rb_threshold = {meta['rb_threshold']!r}, not a number from 0 to 1"
            )
        return value

    def _find(self, noted: str, result: Path) -> Path | None:
        """Find an image: as it is noted, beside the results, or among the images by its name."""
        if not noted:
            self._lacking["the image is not noted, so there are no cutouts of it"] += 1
            return None
        places = [Path(noted), self._folder / noted]
        if self._images is not None:
            places.append(self._images / Path(noted).name)
        # A result may have the name of its image.
        there = (place for place in places if place.is_file() and not place.samefile(result))
        found = next(there, None)
        if found is None:
            self._lacking["the image was not found, so there are no cutouts of it (--images)"] += 1
        return found

    def _positions(
        self, table: "Table", meta: Mapping[str, Any], image: Path | None, hdu: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return pixels; NaN where only the WCS of an image that is gone would tell them."""
        columns = {name: meta.get(f"rb_{name}") for name in ("x_col", "y_col", "origin")}
        try:
            if columns["x_col"] is not None or has_positions(table) or not sky_columns(table):
                return find_positions(table, **columns)
            if image is None:
                raise InputError("positions on the sky need the image")
            x, y = np.full(len(table), np.nan), np.full(len(table), np.nan)
            for number in np.unique(hdu):
                of = hdu == number
                loaded = load_image(image, None if number == FIRST else int(number))
                x[of], y[of] = find_positions(table[of], wcs=loaded.header)
            return x, y
        except InputError as error:
            log.info("%s: no positions: %s", table.meta.get("rb_image", ""), error)
            self._lacking["no positions in pixels, so neither cutouts nor repeats"] += 1
            return np.full(len(table), np.nan), np.full(len(table), np.nan)

    def _kind(self, table: "Table") -> NDArray[np.int32]:
        """Return the index of the class of each row; -1 where there is none."""
        if "rb_class" not in table.colnames:
            return np.full(len(table), -1, np.int32)
        names = np.asarray(np.ma.filled(np.ma.asarray(table["rb_class"]).astype(str), ""))
        found, where = np.unique(names, return_inverse=True)
        index = [self._kinds.setdefault(str(name), len(self._kinds)) if name else -1 for name in found]
        return np.asarray(index, np.int32)[where]

    def _by_class(
        self, kind: NDArray[np.int32], verdict: NDArray[np.str_]
    ) -> dict[str, tuple[int, int]]:
        counts = {}
        for name, number in self._kinds.items():
            of = verdict[kind == number]
            real, bogus = (int(np.count_nonzero(of == which)) for which in ("real", "bogus"))
            if real or bogus:
                counts[name] = real, bogus
        return counts

    def _bright(self, table: "Table") -> NDArray[np.float32]:
        for name, sign in _BRIGHTNESS:
            if name in table.colnames and table[name].ndim == 1 and table[name].dtype.kind in "fiu":
                self._brightness.add(name)
                values, masked = bare(table[name])
                bright = sign * values.astype(np.float32)
                bright[masked] = np.nan
                return bright
        return np.full(len(table), np.nan, np.float32)


def _metadata(table: "Table", entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the table notes, or else the journal; FITS knows upper case alone."""
    meta = {}
    if entry.get("ok"):
        summary = entry.get("summary")
        known = {**entry, **(summary if isinstance(summary, dict) else {})}
        of_journal = ("image", "hdu", "fwhm", "fwhm_source", "threshold", "model", "version")
        meta = {f"{NOTED}{key}": known[key] for key in of_journal if known.get(key) is not None}
    noted = {str(key).lower(): value for key, value in table.meta.items()}
    return meta | {key: value for key, value in noted.items() if key.startswith(NOTED)}


def _hdus(table: "Table", meta: Mapping[str, Any]) -> NDArray[np.int32]:
    from ..scoring import HDU_COLUMN

    if HDU_COLUMN in table.colnames:
        return np.asarray(bare(table[HDU_COLUMN])[0], np.int32)
    return np.full(len(table), _noted_hdu(meta), np.int32)


def _noted_hdu(meta: Mapping[str, Any]) -> int:
    noted = meta.get("rb_hdu")
    return noted if isinstance(noted, int) else FIRST


def _status(table: "Table") -> dict[str, int]:
    if "rb_status" not in table.colnames or table["rb_status"].dtype.kind not in "iu":
        return {}
    values = bare(table["rb_status"])[0]
    counts = {str(bit.name): int(np.count_nonzero(values & int(bit))) for bit in MEANING}
    return {name: times for name, times in counts.items() if times}


def _number(value: Any, most: float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and 0 <= number <= most else None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _utc(value: Any) -> str:
    try:
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError):
        return _text(value)


def _names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else list(value or ())
    return tuple(sorted(str(name) for name in names))
