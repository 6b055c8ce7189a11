"""What is expected of a frame: by a reference night, or by what the model was measured on."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .deviations import BEYOND, Deviation, Spread
from .distances import doubt_distance, of_distance, score_distance
from .figures import FIGURES, Figure, figure_of_class
from .frames import FrameFigures
from .transfer import Transfer
from .within import Earlier, Night, allowed, baseline, in_order, unknown

F64 = NDArray[np.float64]

#: A kind of frame with fewer in the reference has no scatter to judge by.
LEAST_FRAMES = 8
#: Distances differ by this much more among frames that are alike.
_KS_FLOOR = 0.02
#: By how much good frames of any kind may be more in doubt than the model's record: middle and scatter.
_RECORD_MIDDLE, _RECORD_SCATTER = 0.0, 0.03
#: The limit beside the frames that came before, in units of the scatter. It is narrower than that beside
#: a reference night: another seeing is off all night.
LIMIT_WITHIN = 3.5
#: If so many frames of the reference show stars, all should.
_ALL = 0.9
#: Classes that are counted each for itself.
CLASSES = ("hot_pixel", "cosmic_ray", "trail")
#: Figures whose changes within a night are looked at.
_WITHIN = tuple(figure for figure in FIGURES if figure.within is not None)
#: Figures that another model, threshold or choice of real classes changes.
_BY_SCORES = ("real", "bogus_fraction", *CLASSES)


class Expectation(Protocol):
    """Tells how the figures of a frame differ from what is expected."""

    def deviations(self, frame: FrameFigures) -> dict[str, Deviation] | None:
        """Return the deviations by figure; None for a frame that cannot be compared."""
        ...

    def changes(self, frame: FrameFigures, earlier: Earlier) -> dict[str, Deviation]:
        """Return by figure how a frame differs from those of its own night that `Night.before` gives."""
        ...

    def gap(self, frame: FrameFigures) -> str | None:
        """Say what of a frame is not compared and why, alike for all of its kind; None for nothing."""
        ...


class _Group:
    """What is expected of one kind of frame."""

    def __init__(self, frames: Sequence[FrameFigures]) -> None:
        self.spreads: dict[str, tuple[Figure, Spread]] = {}
        for figure in (*FIGURES, *map(figure_of_class, CLASSES)):
            values = [v for v in map(figure.value, frames) if v is not None]
            if len(values) >= LEAST_FRAMES:
                self.spreads[figure.name] = figure, Spread.of(values)
        seen = [frame.has_stars for frame in frames if frame.has_stars is not None]
        self.shows_stars = len(seen) >= LEAST_FRAMES and float(np.mean(seen)) >= _ALL
        self.shares, self.distance = _shares_of(frames)
        self.transfer = Transfer.of(frames, LEAST_FRAMES)
        self.scorers = {frame.scorer for frame in frames}
        self.frames = frames

    def is_scored_alike(self, frame: FrameFigures) -> bool:
        """Whether model, threshold and real classes are those of the reference."""
        return all(frame.scorer.is_like(scorer) for scorer in self.scorers)

    def deviations(self, frame: FrameFigures) -> dict[str, Deviation]:
        found = self._of_frame(frame)
        is_alike = self.is_scored_alike(frame)
        for figure, spread in self.spreads.values():
            value = figure.value(frame) if is_alike or figure.name not in _BY_SCORES else None
            if value is not None and figure.name == "fwhm":
                spread = spread.raised(value, allowed(frame, self.frames))
            deviation = None if value is None else _deviation(figure, frame, value, spread)
            if deviation is not None:
                found[figure.name] = deviation
        if is_alike and self.shares is not None and self.distance is not None:
            distance = None if frame.scores is None else score_distance(frame.scores, self.shares)
            scores = of_distance(distance, frame.scored, self.distance.middle, self.distance.above)
            if scores is not None:
                found["scores"] = scores
        return found

    def residual(self, figure: Figure, frame: FrameFigures) -> float | None:
        """Return how far a figure is from the middle of this kind, on its scale."""
        spread = self.spreads.get(figure.name)
        if spread is None or (figure.name in _BY_SCORES and not self.is_scored_alike(frame)):
            return None
        value = figure.value(frame)
        return None if value is None else value - spread[1].middle

    def _of_frame(self, frame: FrameFigures) -> dict[str, Deviation]:
        """Return what is no figure of a list: whether there are stars, and the photon transfer."""
        found = {}
        if self.shows_stars and frame.has_stars is False:
            told = "no stars to measure a width on, where the reference shows them"
            found["no_stars"] = Deviation("no_stars", "stars", BEYOND, 0.0, 1.0, told)
        change = None if self.transfer is None else self.transfer.change(frame)
        if change is not None and frame.noise is not None:
            away, scatter = change
            expected = frame.noise / float(np.exp(away))
            told = f"noise {frame.noise:.3g} where this background had {expected:.3g}"
            found["transfer"] = Deviation(
                "transfer", "photon transfer", away / scatter, frame.noise, expected, told
            )
        return found


def _deviation(figure: Figure, frame: FrameFigures, value: float, spread: Spread) -> Deviation | None:
    """Return how odd a value is; None where neither frame nor reference has any scatter at all."""
    scatter = spread.above if value > spread.middle else spread.below
    # Not the root of both squares: the scatter that was measured has that of one frame in it.
    width = max(scatter, figure.floor(frame, spread.middle))
    away = value - spread.middle
    if width == 0 and away == 0:  # of clipped images background and noise are 0
        return None
    z = away / width if width > 0 else math.copysign(BEYOND, away)
    if (z > 0 and not figure.up) or (z < 0 and not figure.down):
        z = 0.0
    plain, expected = figure.plain(value), figure.plain(spread.middle)
    told = f"{figure.label} {figure.told(value)} where {figure.told(spread.middle)} is expected"
    return Deviation(figure.name, figure.label, z, plain, expected, told)


def _less(away: float, most: float) -> float:
    """Return how far more it is than what may be, which explains no less."""
    return away - min(max(away, 0.0), most)


def _changed(
    figure: Figure, frame: FrameFigures, change: tuple[float, float], scatter: Spread, group: _Group
) -> Deviation:
    """Return how odd a change within a night is."""
    away, residual = change
    middle = group.spreads[figure.name][1].middle
    before = middle + residual - away
    floor = 0.0 if figure.within is None else figure.within(frame, before)
    width = max(scatter.above if figure.up else scatter.below, floor)
    z = away / width if width > 0 else math.copysign(BEYOND, away)
    if away == 0 or (away > 0) != figure.up:
        z = 0.0
    told = f"{figure.label} {figure.told(middle + residual)} where {figure.told(before)} came before"
    value, expected = figure.plain(middle + residual), figure.plain(before)
    return Deviation(figure.name, figure.label, z, value, expected, told, LIMIT_WITHIN)


def _shares_of(frames: Sequence[FrameFigures]) -> tuple[F64 | None, Spread | None]:
    """Return the scores of all frames, and how far those of each are from those of the others."""
    known = [frame.scores for frame in frames if frame.scores is not None]
    known = [scores for scores in known if scores.shape == known[0].shape]
    if len(known) < LEAST_FRAMES:
        return None, None
    total = np.sum(known, axis=0)
    distances = [score_distance(scores, total - scores) for scores in known]
    given = [distance for distance in distances if distance is not None]
    if len(given) < LEAST_FRAMES:
        return None, None
    spread = Spread.of(given)
    return total, Spread(spread.middle, spread.below, max(spread.above, _KS_FLOOR))


class Reference:
    """A reference night.

    Frames are compared with those of their kind; where the time of exposure is not known, of the frame
    or of the reference, with those of their camera and filter.

    Parameters
    ----------
    frames : iterable of FrameFigures
        Of a night that was as it should be; a few odd frames do no harm.

    Attributes
    ----------
    kinds : dict of str to int
        How many frames there are of each kind; those of a kind with fewer than `LEAST_FRAMES` are not
        compared with.
    """

    def __init__(self, frames: Iterable[FrameFigures]) -> None:
        by_kind: dict[str, list[FrameFigures]] = {}
        by_camera: dict[str, list[FrameFigures]] = {}
        given = in_order(frames)
        for frame in given:
            by_kind.setdefault(frame.kind, []).append(frame)
            by_camera.setdefault(frame.camera, []).append(frame)
        self.kinds = {kind: len(those) for kind, those in by_kind.items()}
        self._groups = _groups(by_kind)
        self._cameras = _groups(by_camera)
        self._without_exposure = {
            camera
            for camera, those in by_camera.items()
            if any(frame.exposure is None for frame in those)
        }
        self._within = self._scatter_within(given)

    @property
    def is_usable(self) -> bool:
        """Whether any kind has frames enough."""
        return bool(self._groups)

    def deviations(self, frame: FrameFigures) -> dict[str, Deviation] | None:
        """Return the deviations by figure; None for a frame of a kind that the reference lacks."""
        group = self._group(frame)
        return None if group is None else group.deviations(frame)

    def changes(self, frame: FrameFigures, earlier: Earlier) -> dict[str, Deviation]:
        """Return by figure how a frame differs from earlier ones of its own night."""
        group, found = self._group(frame), {}
        for figure in _WITHIN if group is not None else ():
            change = self._change(figure, frame, earlier.of(figure))
            scatter = self._within.get(figure.name)
            if change is None or scatter is None or group is None:
                continue
            if figure.name == "fwhm":
                change = _less(change[0], unknown(frame, earlier.of(figure))), change[1]
            found[figure.name] = _changed(figure, frame, change, scatter, group)
        return found

    def _change(
        self, figure: Figure, frame: FrameFigures, earlier: Sequence[FrameFigures]
    ) -> tuple[float, float] | None:
        """Return how far a figure is from where earlier frames lead to expect it, and from the usual."""
        group = self._group(frame)
        residual = None if group is None else group.residual(figure, frame)
        if residual is None:
            return None
        groups = [self._group(other) for other in earlier]
        residuals = [
            None if own is None else own.residual(figure, other)
            for own, other in zip(groups, earlier, strict=True)
        ]
        base = baseline(figure, frame, earlier, residuals)
        if base is None:
            return None
        away = residual - base
        if figure.name == "fwhm":
            away = _less(away, allowed(frame, earlier))
        return away, residual

    def _scatter_within(self, frames: Sequence[FrameFigures]) -> dict[str, Spread]:
        """Return by figure how the frames of the reference differ from those before them."""
        night, away = Night(), {figure.name: list[float]() for figure in _WITHIN}
        for frame in frames:
            earlier = night.before(frame)
            for figure in _WITHIN:
                if (change := self._change(figure, frame, earlier.of(figure))) is not None:
                    away[figure.name].append(change[0])
            night.add(frame)
        return {name: Spread.of(those) for name, those in away.items() if len(those) >= LEAST_FRAMES}

    def gap(self, frame: FrameFigures) -> str | None:
        """Say what of a frame is not compared and why, alike for all of its kind; None for nothing."""
        group = self._group(frame)
        if group is None:
            return (
                "not compared, and others like it: the reference has no such camera, filter and "
                f"exposure often enough ('{frame.kind}')"
            )
        if not group.is_scored_alike(frame):
            return (
                "counts and scores are not compared, nor those of others like it: the reference was "
                "scored with another model, threshold or choice of real classes; score it as this one"
            )
        return None

    def _group(self, frame: FrameFigures) -> _Group | None:
        known = self._groups.get(frame.kind)
        if known is None and (frame.exposure is None or frame.camera in self._without_exposure):
            return self._cameras.get(frame.camera)
        return known


def _groups(those: dict[str, list[FrameFigures]]) -> dict[str, _Group]:
    return {name: _Group(frames) for name, frames in those.items() if len(frames) >= LEAST_FRAMES}


@dataclass(frozen=True, eq=False)
class Record:
    """The model's own record: its scores of held-out simulation, and the widths that it was trained on.

    Parameters
    ----------
    shares : ndarray of float64, shape (2, n)
        Real and bogus in bins of the score.
    fwhm_range : (float, float)
        Pixels.
    """

    shares: F64
    fwhm_range: tuple[float, float]

    def deviations(self, frame: FrameFigures) -> dict[str, Deviation]:
        """Return the deviations by figure."""
        found = {}
        distance = None if frame.scores is None else doubt_distance(frame.scores, self.shares)
        scores = of_distance(distance, frame.scored, _RECORD_MIDDLE, _RECORD_SCATTER)
        if scores is not None:
            found["scores"] = scores
        low, high = self.fwhm_range
        if frame.fwhm is not None:
            z = BEYOND if frame.fwhm > high else 0.0
            told = f"FWHM {frame.fwhm:.2f} px where the model was trained on {low:g} to {high:g} px"
            found["fwhm"] = Deviation("fwhm", "FWHM", z, frame.fwhm, high, told)
        return found

    def changes(self, frame: FrameFigures, earlier: Earlier) -> dict[str, Deviation]:
        """Nothing: a record knows of no night how much it changes."""
        return {}

    def gap(self, frame: FrameFigures) -> None:
        """Nothing: a record knows no kinds of frames."""
