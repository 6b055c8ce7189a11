"""How a night compares with a reference night, or with the model's own record."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np

from .._util.sentences import counted, noun
from ..diagnostics.drift.expected import LEAST_FRAMES, Expectation, Record, Reference
from ..diagnostics.drift.frames import FrameFigures
from ..diagnostics.drift.monitor import NEEDED, Alarm, Monitor
from ..errors import InputError
from ..model.spec import ModelSpec
from ..pipeline.summary import BINS
from ..runs.journal import Line, slot_of
from .current import current_lines
from .journal import newest_lines, read_journals, results_in
from .markup import escaped, sortable, words
from .results import natural

log = logging.getLogger(__name__)

_LISTED = 100  # newest alarms in the table
_GAPS = 20  # kinds of frames of which it is told that they are not compared
_REPLAYED = 1000  # newest lines of the journals by which a watch begins


@dataclass
class Drift:
    """What came of a comparison.

    Attributes
    ----------
    against : str
        What the frames are compared with, in words.
    alarms : deque of Alarm
        The newest.
    n_alarms : int
        How many there were.
    n_compared, n_others, n_little : int
        Frames that were compared; those of a camera, filter or exposure that the reference lacks; those
        of which too little is known to compare.
    """

    against: str
    alarms: deque[Alarm] = field(default_factory=lambda: deque(maxlen=_LISTED))
    n_alarms: int = 0
    n_compared: int = 0
    n_others: int = 0
    n_little: int = 0


class Watcher:
    """Compares frames as they come.

    Parameters
    ----------
    expectation : Expectation
    against : str
        What that is, in words.
    """

    def __init__(self, expectation: Expectation, against: str) -> None:
        self.drift = Drift(against)
        self._expectation = expectation
        self._monitor = Monitor(expectation)
        self._told_gaps: set[str] = set()
        self._images: dict[str, str] = {}  # that were taken, by what their results have in common

    def take(self, line: Line) -> list[Alarm]:
        """Take a line of a journal in the place of an earlier one of its image.

        Returns the alarms that this frame makes.
        """
        if not line.image:
            return []
        slot = slot_of(line.output)
        if slot in self._images:
            self._monitor.forget(self._images.pop(slot))
        if not line.ok or line.summary is None:
            return []
        self._images[slot] = line.image
        frame = FrameFigures.of(line.image, line.camera, line.summary)
        alarms = self._monitor.add(frame)
        gap = self._expectation.gap(frame)
        if gap is not None and gap not in self._told_gaps and len(self._told_gaps) < _GAPS:
            self._told_gaps.add(gap)
            log.warning("%s: %s", line.image, gap)
        drift, monitor = self.drift, self._monitor
        drift.n_compared, drift.n_others = monitor.n_compared, monitor.n_others
        drift.n_little = monitor.n_little
        drift.n_alarms += len(alarms)
        drift.alarms.extend(alarms)
        return alarms

    def take_night(self, folder: Path) -> None:
        """Take the newest lines of the journals of a directory, in the order in which they were noted.

        What is still off is told once more with the next frame: whether it was told before, no journal
        says.
        """
        for line in newest_lines(folder, _REPLAYED):
            self.take(line)
        self._monitor.forget_told()


def by_reference(reference: str | PathLike[str], folder: str | PathLike[str]) -> Watcher:
    """Return what compares the results in a directory with a reference night; see `read_reference`."""
    known = read_reference(Path(reference), Path(folder))
    return Watcher(known, f"the reference night {reference}")


def by_record(record: Record | str) -> Watcher | str:
    """Return what compares results with a model's record, or the reason why there is none."""
    return record if isinstance(record, str) else Watcher(record, "the model's own record")


def drift_of(lines: Mapping[str, Line], watcher: Watcher | str) -> Drift | str:
    """Compare what the journals of a directory note, in the order of the exposures.

    Parameters
    ----------
    lines : mapping of str to Line
        Of the journals, by the names of the results.
    watcher : Watcher or str
        The reason why nothing is compared.
    """
    if isinstance(watcher, str):
        return watcher
    if not lines:
        return "there is no journal of 'rbinfer batch' or 'watch'"
    for line in in_time(lines):
        watcher.take(line)
    return watcher.drift


def in_time(lines: Mapping[str, Line]) -> list[Line]:
    """Return lines in the order of the exposures; in that of the names where one's time is not known."""
    named = [lines[name] for name in sorted(lines, key=natural)]
    began = [(line.summary or {}).get("time") for line in named if line.ok]
    if not all(isinstance(time, str) for time in began):
        return named
    return sorted(named, key=lambda line: (line.summary or {}).get("time") or "")


def read_reference(folder: Path, night: Path) -> Reference:
    """Read a reference night from its journals.

    Parameters
    ----------
    folder : Path
        What ``rbinfer batch``, ``night`` or ``watch`` wrote into.
    night : Path
        The results that are to be compared with it, likewise.

    Returns
    -------
    Reference

    Raises
    ------
    InputError
        There is no journal, it is that of the night itself, it is of an earlier version, or no kind of
        frame is there often enough.
    """
    if not folder.is_dir():
        raise InputError(f"the reference {folder} is not a directory; give one with results of a night")
    folder, night = results_in(folder), results_in(night)
    if night.exists() and folder.samefile(night):
        raise InputError(f"the reference {folder} is the night itself; give that of another night")
    newest = current_lines(read_journals(folder))
    lines = [line for line in newest.values() if line.ok and line.summary is not None]
    if not lines:
        raise InputError(
            f"the reference {folder} has no journal with scored images; score a night that was as it "
            f"should be with 'rbinfer batch IMAGES -o {folder}'"
        )
    reference = Reference(FrameFigures.of(line.image, line.camera, line.summary or {}) for line in lines)
    few = {kind: n for kind, n in reference.kinds.items() if n < LEAST_FRAMES}
    if not reference.is_usable:
        most = counted(max(few.values()), "image")
        raise InputError(
            f"the reference {folder} has at most {most} of one camera, filter and exposure; it takes "
            f"{LEAST_FRAMES}"
        )
    for kind, n in few.items():
        log.warning(
            "the reference %s has %s of '%s'; it takes %d, so such images are not compared",
            folder, counted(n, "image"), kind, LEAST_FRAMES,
        )  # fmt: skip
    lacking = sum("background" not in (line.summary or {}) for line in lines)
    if lacking:
        log.warning(
            "%d images of the reference %s were scored by an earlier version, which did not note "
            "background, noise and scores; score them again to compare those", lacking, folder,
        )  # fmt: skip
    return reference


def record_of(spec: ModelSpec, real: Sequence[str] | None) -> Record | str:
    """Return the record of a model with these classes real, or the reason why it has none."""
    reading = spec.reading(real) if real is not None else next(iter(spec.readings), None)
    if reading is None:
        return "the model was not measured with the classes that were counted as real"
    if not reading.scores:
        return "the model has none"
    try:
        shares = np.array([reading.scores["real"], reading.scores["bogus"]], np.float64)
    except (KeyError, TypeError, ValueError):
        shares = np.zeros(0)
    if shares.shape != (2, BINS) or not np.all(shares >= 0):
        return "that of the model is damaged"
    return Record(shares, spec.fwhm_range)


def section(drift: Drift | str) -> str:
    """Return the section of the page, from the reason where nothing was compared."""
    if isinstance(drift, str):
        return f'<h2>Drift</h2><p class="muted">No frame is compared: {escaped(drift)}.</p>'
    n = drift.n_compared
    said = f"Compared with {escaped(drift.against)}: {n:,} {noun(n, 'image')}"
    if drift.n_others:
        said += f"; {drift.n_others:,} of a camera, filter or exposure that it lacks are not compared"
    if drift.n_little:
        said += f"; of {drift.n_little:,} too little is known to compare"
    if not drift.n_alarms:
        few = f"It takes {NEEDED} images to tell of a drift." if drift.n_compared else ""
        well = few if drift.n_compared < NEEDED else "Nothing is off."
        return f"<h2>Drift</h2><p>{said}. {well}</p>"
    rows = [
        [
            words(alarm.cause.words, "wrap"),
            words("; ".join(each.told for each in alarm.figures), "wrap"),
            words(", ".join(Path(name).name for name in alarm.images), "wrap"),
        ]
        for alarm in reversed(drift.alarms)
    ]
    heads = ["Likely cause", "What is off", "Images"]
    before = drift.n_alarms - len(rows)
    more = f"; {before:,} more before" if before else ""
    return f"<h2>Drift</h2><p>{said}. The newest first{more}.</p>" + sortable("drift", heads, rows)
