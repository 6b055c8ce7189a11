"""Frames one after another, and an alarm where they drift.

A figure is off if it is beyond a limit, in the same direction, in three of the last five frames: chance
would have to strike three times (four, where stars are too few for a width). It is judged beside the
reference, in units of its scatter, and beside the frames of its own night that came before, in units of
how much such frames differ in the reference (`rbinfer.diagnostics.drift.within`): the first tells what
is off all night, the second what changes.
A trail stands in one frame alone, and one frame is enough for it. A figure is told once, until it is
well within its limits in all five frames again, and so are figures that follow it with the same cause.
How often good frames give an alarm is measured by
``benchmarks/drift.py``.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .causes import Cause, cause_of
from .deviations import Deviation
from .expected import Expectation
from .frames import FrameFigures
from .within import KINDS, Night

#: A figure is off if it is beyond its limit in `NEEDED` of `WINDOW` frames.
NEEDED, WINDOW = 3, 5
#: Chance has a large say in whether a poor field shows stars enough for a width: it takes one more.
_NEEDED_OF = {"no_stars": 4}
#: A figure that was told is well again within this share of its limit: one near its limit is told once.
_WELL = 0.75
#: One frame with so many trails is enough, if its stars are as they should be.
_AT_ONCE = 8.0
_STARS = ("fwhm", "ellipticity", "no_stars")
#: A figure, and whether it is above what is expected.
_Key = tuple[str, bool]
_TRAIL: _Key = ("trail", True)
#: Stars that are wide or drawn out are too faint for a measurement in some frames: these count with the
#: frames in which they are off, if there are so many.
_OF_STARS: tuple[_Key, ...] = (("fwhm", True), ("ellipticity", True))
_STARLESS: _Key = ("no_stars", True)
_LEAST_MEASURED = 2


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

    A figure is looked for in the last frames of all, and in the last of the frame's own kind: no five
    frames have three of a filter that comes in every fourth.

    Parameters
    ----------
    expectation : Expectation
        A reference night, or the model's record.
    """

    def __init__(self, expectation: Expectation) -> None:
        self._counts: Counter[str] = Counter()
        self._counted: dict[str, str] = {}
        self._expectation = expectation
        self._all = _Window()
        self._night = Night()
        self._by_kind: OrderedDict[str, _Window] = OrderedDict()

    @property
    def n_compared(self) -> int:
        """Frames that were compared."""
        return self._counts["compared"]

    @property
    def n_others(self) -> int:
        """Frames of a kind that the reference lacks."""
        return self._counts["others"]

    @property
    def n_little(self) -> int:
        """Frames of which too little is known to compare."""
        return self._counts["little"]

    def add(self, frame: FrameFigures) -> list[Alarm]:
        """Take a frame.

        Parameters
        ----------
        frame : FrameFigures

        Returns
        -------
        list of Alarm
            Of the figures that are newly off, and of trails in this frame; empty where nothing is off,
            and where it was told before.
        """
        found = self._expectation.deviations(frame)
        if found is None:
            self._count(frame.image, "others")
            return []
        for name, change in self._expectation.changes(frame, self._night.before(frame)).items():
            if change.is_beyond and not (name in found and found[name].is_beyond):
                found[name] = change
        self._night.add(frame)
        if not found:
            self._count(frame.image, "little")
            return []
        self._count(frame.image, "compared")
        windows = (self._all, self._window_of(frame.kind))
        for window in windows:
            window.add(frame.image, found)
        known = windows[0].told | windows[1].told
        causes = known.values()
        alarms = []
        for window in windows:
            off = {key: where for key, where in window.off().items() if key not in known}
            if off:
                alarm = window.alarm(off)
                # A figure that only follows another tells nothing new.
                if alarm.cause.name not in causes:
                    alarms.append(alarm)
                known |= dict.fromkeys(off, alarm.cause.name)
        for window in windows:
            window.told |= {key: known[key] for key in known.keys() & window.off().keys()}
        if _TRAIL not in known and (crossed := _at_once(frame.image, found)) is not None:
            alarms.append(crossed)
        return alarms

    def forget(self, image: str) -> None:
        """Let go of a frame that comes again, or is none any more."""
        for window in (self._all, *self._by_kind.values()):
            window.forget(image)
        self._night.forget(image)
        if image in self._counted:
            self._counts[self._counted.pop(image)] -= 1

    def forget_told(self) -> None:
        """Tell of what is off once more with the next frame that shows it."""
        for window in (self._all, *self._by_kind.values()):
            window.told.clear()

    def _count(self, image: str, how: str) -> None:
        self._counts[how] += 1
        self._counted[image] = how

    def _window_of(self, kind: str) -> "_Window":
        """Return the frames of a kind; of very many kinds those that came last are kept."""
        window = self._by_kind.setdefault(kind, _Window())
        self._by_kind.move_to_end(kind)
        if len(self._by_kind) > KINDS:
            self._by_kind.popitem(last=False)
        return window


class _Window:
    """The last frames, and with which cause their figures were told, until all is well again."""

    def __init__(self) -> None:
        self.told: dict[_Key, str] = {}
        self._last: deque[tuple[str, dict[str, Deviation]]] = deque(maxlen=WINDOW)

    def add(self, image: str, found: dict[str, Deviation]) -> None:
        self._last.append((image, found))
        still = self._beyond(_WELL)
        self.told = {key: cause for key, cause in self.told.items() if key in still}

    def forget(self, image: str) -> None:
        """Let go of a frame."""
        self._last = deque((each for each in self._last if each[0] != image), WINDOW)

    def off(self) -> dict[_Key, list[int]]:
        """Return the figures that are off, with the sign, and the frames that show it."""
        beyond = self._beyond()
        for key in _OF_STARS:
            measured = beyond.get(key, [])
            if len(measured) >= _LEAST_MEASURED:
                beyond[key] = sorted({*measured, *beyond.get(_STARLESS, [])})
        return {
            key: where for key, where in beyond.items() if len(where) >= _NEEDED_OF.get(key[0], NEEDED)
        }

    def alarm(self, off: dict[_Key, list[int]]) -> Alarm:
        """Return the alarm of some of the figures that are off."""
        frames = sorted({k for where in off.values() for k in where})
        middle = {
            key[0]: _median([self._last[k][1][key[0]] for k in where if key[0] in self._last[k][1]])
            for key, where in off.items()
        }
        seen = [self._last[k][1] for k in frames]
        everything = {
            name: _median([found[name] for found in seen if name in found])
            for name in {name for found in seen for name in found}
        }
        images = tuple(self._last[k][0] for k in frames)
        return Alarm(cause_of(middle, everything), _sorted(middle), images)

    def _beyond(self, share: float = 1.0) -> dict[_Key, list[int]]:
        """Return the figures that are beyond a share of their limits, and the frames that show it."""
        beyond: dict[_Key, list[int]] = {}
        for k, (_, found) in enumerate(self._last):
            for name, each in found.items():
                if abs(each.z) > share * each.limit:
                    beyond.setdefault((name, each.z > 0), []).append(k)
        return beyond


def find_alarms(frames: Iterable[FrameFigures], expectation: Expectation) -> tuple[list[Alarm], Monitor]:
    """Return the alarms of a night in the order of its frames, and the monitor that took them.

    Parameters
    ----------
    frames : iterable of FrameFigures
    expectation : Expectation
    """
    monitor = Monitor(expectation)
    alarms = [alarm for frame in frames for alarm in monitor.add(frame)]
    return alarms, monitor


def _at_once(image: str, found: dict[str, Deviation]) -> Alarm | None:
    trail = found.get("trail")
    if trail is None or trail.z < _AT_ONCE:
        return None
    if any(name in found and found[name].z > 0 and found[name].is_beyond for name in _STARS):
        return None
    return Alarm(cause_of({"trail": trail}, found), (trail,), (image,))


def _median(those: list[Deviation]) -> Deviation:
    """Return the one in the middle."""
    return sorted(those, key=lambda each: each.z)[len(those) // 2]


def _sorted(off: dict[str, Deviation]) -> tuple[Deviation, ...]:
    return tuple(sorted(off.values(), key=lambda each: -abs(each.z)))
