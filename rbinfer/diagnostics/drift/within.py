"""How a figure changes within a night: a frame beside those that came before it.

The seeing of one night is not that of another, so a reference night tells little of how wide stars may
be; but it tells how much they change from frame to frame. A frame is therefore also compared with its
own night: with the median of earlier frames, a few frames back, so that what has just begun is no part
of it. What wanders slowly is followed by that median and is no change.

Frames of a night are not independent, and sums of what they are off by (Page 1954, Biometrika 41, 100)
or their running means (Roberts 1959, Technometrics 1, 239) add up what wanders, too. Both were tried on
these changes, of the FWHM of simulated nights, in place of the rule of
`rbinfer.diagnostics.drift.monitor`: at the same rate of false alarms they caught no more.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from .figures import Figure
from .frames import FrameFigures

#: The frames just before one are not looked at, as many as may show the same fault; of those before them
#: so many at most, and so many at least.
_SKIPPED, _KEPT, LEAST = 2, 5, 3
#: Kinds of frames that are kept apart, at most.
KINDS = 64
#: Frames that lie further apart are of two nights.
_NIGHT = timedelta(hours=5)
#: Stars are wider by this power of the airmass at most: by the seeing (Fried 1966, JOSA 56, 1372), less
#: where the optics make the width.
_OF_AIRMASS = 0.6
#: Where no header tells airmass or target, the telescope may have turned to this from the zenith.
UNKNOWN_AIRMASS = 1.25


class Earlier(NamedTuple):
    """The frames of a night that a later one is compared with.

    Attributes
    ----------
    of_telescope : list of FrameFigures
        Of any filter and exposure: seeing, focus and tracking are the telescope's.
    of_kind : list of FrameFigures
        Of the frame's own filter and exposure: the sky of one is not that of another.
    """

    of_telescope: list[FrameFigures]
    of_kind: list[FrameFigures]

    def of(self, figure: Figure) -> list[FrameFigures]:
        """Return those that a figure is compared with."""
        return self.of_kind if figure.of_field else self.of_telescope


class Night:
    """The frames of a night so far, as many as later ones are compared with."""

    def __init__(self) -> None:
        self._by_telescope, self._by_kind = _Last(), _Last()

    def before(self, frame: FrameFigures) -> Earlier:
        """Return the frames that one is compared with; none where it begins another night."""
        return Earlier(
            self._by_telescope.before(frame.telescope, frame), self._by_kind.before(frame.kind, frame)
        )

    def add(self, frame: FrameFigures) -> None:
        """Note a frame."""
        self._by_telescope.of(frame.telescope).append(frame)
        self._by_kind.of(frame.kind).append(frame)

    def forget(self, image: str) -> None:
        """Let go of a frame."""
        self._by_telescope.forget(image)
        self._by_kind.forget(image)


class _Last:
    """The last frames by a name; of very many names those that came last are kept."""

    def __init__(self) -> None:
        self._named: OrderedDict[str, deque[FrameFigures]] = OrderedDict()

    def of(self, name: str) -> deque[FrameFigures]:
        last = self._named.setdefault(name, deque(maxlen=_SKIPPED + _KEPT))
        self._named.move_to_end(name)
        if len(self._named) > KINDS:
            self._named.popitem(last=False)
        return last

    def forget(self, image: str) -> None:
        for name, last in self._named.items():
            self._named[name] = deque((each for each in last if each.image != image), last.maxlen)

    def before(self, name: str, frame: FrameFigures) -> list[FrameFigures]:
        last = self.of(name)
        if last and is_another_night(last[-1], frame):
            last.clear()
        return list(last)[:-_SKIPPED]


def is_another_night(frame: FrameFigures, later: FrameFigures) -> bool:
    """Whether two frames are of two nights, as far as their times are known."""
    if frame.time is None or later.time is None:
        return False
    return abs(later.time - frame.time) > _NIGHT


def in_order(frames: Iterable[FrameFigures]) -> list[FrameFigures]:
    """Return frames in the order of their times; as they come if one's is not known."""
    given = list(frames)
    times = [frame.time for frame in given]
    if any(time is None for time in times):
        return given
    return sorted(given, key=lambda frame: frame.time)  # type: ignore[arg-type, return-value]


def baseline(
    figure: Figure,
    frame: FrameFigures,
    earlier: Sequence[FrameFigures],
    residuals: Sequence[float | None],
) -> float | None:
    """Return what earlier frames lead to expect of a figure, on its scale, from what is usual.

    Parameters
    ----------
    figure : Figure
    frame : FrameFigures
        The one that is judged.
    earlier : sequence of FrameFigures
        From `Earlier.of` this figure.
    residuals : sequence of float or None
        Of each of these, how far the figure is from the middle of its kind.

    Returns
    -------
    float or None
        The median; None with too few frames. What another field changes is compared within a target, and
        not where that has no name.
    """
    if figure.of_field and not frame.target:
        return None
    known = [
        residual
        for other, residual in zip(earlier, residuals, strict=True)
        if residual is not None and (not figure.of_field or other.target == frame.target)
    ]
    return float(np.median(known)) if len(known) >= LEAST else None


def unknown(frame: FrameFigures, others: Sequence[FrameFigures]) -> float:
    """Return the logarithm by which another altitude may widen the stars where no header tells it.

    0 where the airmass is known, or the target is that of the others.
    """
    if frame.airmass is not None and any(other.airmass is not None for other in others):
        return 0.0
    if frame.target and any(other.target == frame.target for other in others):
        return 0.0
    return _OF_AIRMASS * float(np.log(UNKNOWN_AIRMASS))


def allowed(frame: FrameFigures, others: Sequence[FrameFigures]) -> float:
    """Return the logarithm by which the airmass may widen the stars beyond those of other frames.

    0 where the airmass is not known, or is no larger.
    """
    known = [other.airmass for other in others if other.airmass is not None]
    if frame.airmass is None or not known:
        return 0.0
    return _OF_AIRMASS * max(0.0, float(np.log(frame.airmass / np.median(known))))
