"""Read a directory of results, one table at a time; keep what the report needs of each."""

import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._util.sentences import unforeseen
from .._util.wording import in_options
from ..errors import InputError, RbinferError
from ..io.labels import LABELS_FILE
from ..io.tables import check_output
from ..night.bands import RowFile
from ..pipeline.summary import BINS
from ..runs.beside import SUFFIXES
from ..runs.journal import Line
from .current import current_results
from .journal import read_journals
from .one import BRIGHTNESS, SOURCE, ImageResult, OneResult, read_one, utc

log = logging.getLogger(__name__)

_FEW = 3  # texts in a message


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
    bogus : RowFile of `SOURCE`
        All the bogus detections, as long as the file is open.
    images : list of ImageResult
        In the order of the names of the results, numbers as numbers.
    failed : list of Failure
    skipped : list of (str, str)
        Files that are no scored catalogues, with the reason.
    classes : list of str
    borderline : structured ndarray of `SOURCE`
        The scored detections of each image that are nearest to the threshold.
    histogram : ndarray of int64, shape (2, BINS)
        Bogus and real detections by score.
    images_of_hdu : dict of int to int
        How many images have an HDU.
    bogus_of_hdu : Counter of int
        How many bogus detections an HDU has.
    extent : dict of int to (float, float)
        Largest x and y of the detections in an HDU.
    brightness : list of str
        The columns that ``bright`` is from.
    notes : list of str
        What a reader should know.
    lines : dict of str to Line
        What the journals say of the images, by the names of the results.
    """

    bogus: RowFile
    images: list[ImageResult] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    borderline: NDArray[Any] = field(default_factory=lambda: np.zeros(0, SOURCE))
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, BINS), np.int64))
    images_of_hdu: dict[int, int] = field(default_factory=dict)
    bogus_of_hdu: Counter[int] = field(default_factory=Counter)
    extent: dict[int, tuple[float, float]] = field(default_factory=dict)
    brightness: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)


def read_night(
    folder: Path, images: Path | None, most: int, bogus: RowFile, own: Collection[str] | None = None
) -> Night:
    """Read the results in a directory: of each image the newest, unless it failed since.

    Parameters
    ----------
    folder : Path
    images : Path, optional
        Where else the images may be.
    most : int
        How many borderline detections of each image are kept.
    bogus : RowFile of `SOURCE`
        Takes the bogus detections, of which there may be too many to be held.
    own : collection of str, optional
        Names of the only results that count; all by default.

    Returns
    -------
    Night

    Raises
    ------
    InputError
        There is no such directory, or neither results nor failures in it.
    RbinferError
        There is no room for the bogus detections.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a directory; give the one with the results")
    journal = read_journals(folder)
    current = current_results(folder, names_of_results(folder, journal), journal, own)
    reader = _Reader(most, bogus)
    older = list(current.older)
    for choice in current.choices:
        left = list(choice)
        while left:
            name = left.pop(0)
            try:
                one = read_one(folder / name, images, current.lines.get(name, Line()))
            except RbinferError as error:
                reader.night.skipped.append((name, str(error)))
            except Exception as error:
                # Columns and metadata of others' files may hold anything; the other results count.
                reader.night.skipped.append((name, unforeseen(error)))
            else:
                reader.add(one)
                break
        older += left
    night = reader.finish()
    night.lines = current.lines
    night.skipped.sort(key=lambda skipped: natural(skipped[0]))
    if older:
        about = "older results of images that have a newer one, or failed since, are not counted"
        which = some(sorted(older, key=natural))
        log.warning("%s: %s", about, which)
        night.notes.append(f"{about.capitalize()}: {which}.")
    for key, line in current.lines.items():
        if line.ok is False:
            reason = in_options(" ".join((line.error or "no reason is noted").split()))
            night.failed.append(Failure(Path(line.image or key).name, reason, utc(line.finished)))
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


def names_of_results(folder: Path, journal: Iterable[str]) -> list[str]:
    """Return the names of what may be results.

    Parameters
    ----------
    folder : Path
    journal : iterable of str
        What its journals name, also in folders below.

    Returns
    -------
    list of str
        In the order of the names, numbers as numbers.
    """
    names = {path.name for path in folder.iterdir()}
    below = (os.path.normpath(name) for name in journal)
    names |= {name for name in below if os.path.dirname(name) and not name.startswith((os.sep, ".."))}
    return sorted((name for name in names if _may_be_result(folder / name)), key=natural)


def _may_be_result(path: Path) -> bool:
    try:
        no_result = path.name == LABELS_FILE or path.name.endswith(SUFFIXES["mask"])
        if path.name.startswith(".") or no_result or not path.is_file():
            return False
        check_output(path, overwrite=True)  # could it have been written as a catalogue?
    except InputError:
        return False
    except OSError:  # such as a link into a folder that may not be entered
        return True  # the reader gives the reason
    return True


class _Reader:
    """Adds up a night, result by result."""

    def __init__(self, most: int, bogus: RowFile) -> None:
        self.night = Night(bogus)
        self._most = most
        self._kinds: dict[str, int] = {}
        self._borderline: list[NDArray[Any]] = []
        self._brightness: set[str] = set()
        self._lacking: Counter[str] = Counter()

    def add(self, one: OneResult) -> None:
        """Add a result."""
        kinds = [self._kinds.setdefault(name, len(self._kinds)) for name in one.classes]
        one.sources["kind"] = np.array([*kinds, -1], np.int32)[one.sources["kind"]]
        one.sources["image"] = len(self.night.images)
        self._lacking.update(one.lacking)
        self._brightness.add(one.brightness)
        for number in one.hdus:
            self.night.images_of_hdu[number] = self.night.images_of_hdu.get(number, 0) + 1
        self._keep(one.sources, one.verdict, one.image.threshold)
        self.night.images.append(one.image)

    def finish(self) -> Night:
        """Return the night when all results were added."""
        night = self.night
        night.classes = list(self._kinds)
        night.brightness = [name for name, _ in BRIGHTNESS if name in self._brightness]
        if self._borderline:
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
        bogus = sources[verdict == "bogus"]
        night.bogus.add(bogus)
        night.bogus_of_hdu.update(bogus["hdu"].tolist())
        scored = sources[verdict != "unscored"]
        away = np.abs(scored["score"].astype(np.float64) - threshold)
        self._borderline.append(scored[np.argsort(away, kind="stable")[: self._most]])
