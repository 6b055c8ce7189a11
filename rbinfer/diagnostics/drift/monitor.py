"""Frames one after another, and an alarm where they drift.

A figure is off if it is beyond a limit in units of the reference's scatter, in the same direction, in
three of the last five frames: chance would have to strike three times. A trail stands in one frame
alone, and one frame is enough for it. An alarm is given once, until all figures are within their
limits again. How often good frames give an alarm is measured by ``benchmarks/drift.py``.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .causes import Cause, cause_of
from .expected import Deviation, Expectation
from .frames import FrameFigures

#: A figure is off if it is beyond the limit in `NEEDED` of `WINDOW` frames.
LIMIT, NEEDED, WINDOW = 4.0, 3, 5
#: One frame with so many trails is enough, if its stars are as they should be.
_AT_ONCE = 8.0
_STARS = ("fwhm", "ellipticity", "no_stars")


@dataclass(frozen=True)
class Alarm:
    """What is wrong with some frames.

    Attributes
    ----------
    cause : Cause
        The likely one.
    figures : tuple of Deviation
        What is off, the median of the frames, the most odd first.
    images : tuple of str
        The frames, in their order.
    """

    cause: Cause
    figures: tuple[Deviation, ...]
    images: tuple[str, ...]

    @property
    def message(self) -> str:
        """What is told of it, one sentence without the images."""
        return f"{self.cause.words} ({'; '.join(each.told for each in self.figures)})"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "cause": self.cause.name,
            "message": self.message,
            "images": list(self.images),
            "figures": {
                each.figure: {"value": each.value, "expected": each.expected, "z": each.z}
                for each in self.figures
            },
        }


class Monitor:
    """Takes frames one after another.

    Parameters
    ----------
    expectation : Expectation
        A reference night, or the model's record.

    Attributes
    ----------
    n_compared, n_others : int
        Frames that were compared, and those of a kind that the reference lacks.
    """

    def __init__(self, expectation: Expectation) -> None:
        self.n_compared = self.n_others = 0
        self._expectation = expectation
        self._last: deque[tuple[str, dict[str, Deviation]]] = deque(maxlen=WINDOW)
        self._told: set[str] = set()

    def add(self, frame: FrameFigures) -> Alarm | None:
        """Take a frame.

        Parameters
        ----------
        frame : FrameFigures

        Returns
        -------
        Alarm or None
            None where nothing is off, and where it was told before.
        """
        found = self._expectation.deviations(frame)
        if found is None:
            self.n_others += 1
            return None
        self.n_compared += 1
        self._last.append((frame.image, found))
        alarm = self._lasting() or _at_once(frame.image, found)
        if alarm is None:
            self._told.clear()
            return None
        if alarm.cause.name in self._told:
            return None
        self._told.add(alarm.cause.name)
        return alarm

    def _lasting(self) -> Alarm | None:
        beyond: dict[str, list[int]] = {}
        names = {name: each.z for _, found in self._last for name, each in found.items()}
        for name in names:
            for sign in (1, -1):
                where = [
                    k
                    for k, (_, found) in enumerate(self._last)
                    if name in found and _is_off(found[name], sign)
                ]
                if len(where) >= NEEDED:
                    beyond[name] = where
        if not beyond:
            return None
        frames = sorted({k for where in beyond.values() for k in where})
        off = {name: _median([self._last[k][1][name] for k in where]) for name, where in beyond.items()}
        seen = [self._last[k][1] for k in frames]
        everything = {
            name: _median([found[name] for found in seen if name in found])
            for name in {name for found in seen for name in found}
        }
        images = tuple(self._last[k][0] for k in frames)
        return Alarm(cause_of(off, everything), _sorted(off), images)


def find_alarms(frames: Iterable[FrameFigures], expectation: Expectation) -> tuple[list[Alarm], Monitor]:
    """Return the alarms of a night in the order of its frames, and the monitor that took them.

    Parameters
    ----------
    frames : iterable of FrameFigures
    expectation : Expectation
    """
    monitor = Monitor(expectation)
    alarms = [alarm for frame in frames if (alarm := monitor.add(frame)) is not None]
    return alarms, monitor


def _at_once(image: str, found: dict[str, Deviation]) -> Alarm | None:
    trail = found.get("trail")
    if trail is None or trail.z < _AT_ONCE:
        return None
    if any(name in found and found[name].z > LIMIT for name in _STARS):
        return None
    return Alarm(cause_of({"trail": trail}, found), (trail,), (image,))


def _is_off(deviation: Deviation, sign: int) -> bool:
    return sign * deviation.z > LIMIT


def _median(those: list[Deviation]) -> Deviation:
    """Return the one in the middle."""
    return sorted(those, key=lambda each: each.z)[len(those) // 2]


def _sorted(off: dict[str, Deviation]) -> tuple[Deviation, ...]:
    return tuple(sorted(off.values(), key=lambda each: -abs(each.z)))
