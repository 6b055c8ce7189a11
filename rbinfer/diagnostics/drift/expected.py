"""What is expected of a frame: by a reference night, or by what the model was measured on."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from .figures import FIGURES, Figure, figure_of_class
from .frames import FrameFigures
from .transfer import Transfer

F64 = NDArray[np.float64]

#: A kind of frame with fewer in the reference has no scatter to judge by.
LEAST_FRAMES = 8
#: The scatter of few frames is uncertain: it is widened by 1 + this / n.
_FEW = 3.0
#: From the median to the upper or lower tenth of a normal distribution, and the MAD, in its widths.
_TENTH, _MAD = 1.2816, 0.6745
#: The distance of Kolmogorov and Smirnov times the root of the number of scores: by chance, its mean and
#: its scatter (from the distribution's moments, sqrt(pi / 2) ln 2 and pi^2 / 12 - mean^2).
_KS_MEAN, _KS_SCATTER = 0.8687, 0.2603
#: Distances differ by this much more among frames that are alike.
_KS_FLOOR = 0.02
#: By how much good frames of any kind may be more in doubt than the model's record: middle and scatter.
_RECORD_MIDDLE, _RECORD_SCATTER = 0.0, 0.03
#: With fewer scores a distance says nothing.
_LEAST_SCORES = 30
#: Stands for a figure that is out of all bounds, in units of the scatter.
BEYOND = 20.0
#: If so many frames of the reference show stars, all should.
_ALL = 0.9
#: Classes that are counted each for itself.
CLASSES = ("hot_pixel", "cosmic_ray", "trail")
#: Figures that another model, threshold or choice of real classes changes.
_BY_SCORES = ("real", "bogus_fraction", *CLASSES)


class Deviation(NamedTuple):
    """How a figure of a frame differs from what is expected.

    Attributes
    ----------
    figure, label : str
    z : float
        In units of the reference's scatter; positive where there is more, 0 in a direction that is no
        drift.
    value, expected : float
        As people know them.
    told : str
        Both, in words.
    """

    figure: str
    label: str
    z: float
    value: float
    expected: float
    told: str


class Expectation(Protocol):
    """Tells how the figures of a frame differ from what is expected."""

    def deviations(self, frame: FrameFigures) -> dict[str, Deviation] | None:
        """Return the deviations by figure; None for a frame that cannot be compared."""
        ...

    def gap(self, frame: FrameFigures) -> str | None:
        """Say what of a frame is not compared and why, alike for all of its kind; None for nothing."""
        ...


def score_distance(scores: F64, shares: F64) -> float | None:
    """Return the distance of Kolmogorov and Smirnov between a frame's scores and what is expected.

    Parameters
    ----------
    scores : ndarray of float64, shape (2, n)
        Real and bogus detections in bins of the score.
    shares : ndarray of float64, shape (2, n)
        Those of the reference, in any units: they are scaled to as many real and bogus, so that another
        mix of both is no distance.

    Returns
    -------
    float or None
        Largest difference of the cumulative distributions, taken at the edges of the bins; None where
        the bins differ or there are too few scores.
    """
    total = scores.sum()
    if scores.shape != shares.shape or total < _LEAST_SCORES:
        return None
    sums = shares.sum(axis=1, keepdims=True)
    if np.any((sums[:, 0] == 0) & (scores.sum(axis=1) > 0)):
        return None
    expected = (shares / np.where(sums > 0, sums, 1.0) * scores.sum(axis=1, keepdims=True)).sum(axis=0)
    away = np.cumsum(scores.sum(axis=0) - expected) / total
    return float(np.max(np.abs(away)))


def doubt_distance(scores: F64, shares: F64) -> float | None:
    """Return how much nearer to the middle the scores are than expected, as a distance of one side.

    Parameters
    ----------
    scores, shares : ndarray of float64, shape (2, n)
        As for `score_distance`.

    Returns
    -------
    float or None
        The largest difference of the cumulative distributions in the direction of lower scores for real
        and of higher ones for bogus detections, as a share of both together: a frame that is easier than
        what was expected is none the worse. None as for `score_distance`.
    """
    if score_distance(scores, shares) is None:
        return None
    sums = shares.sum(axis=1, keepdims=True)
    expected = shares / np.where(sums > 0, sums, 1.0) * scores.sum(axis=1, keepdims=True)
    real, bogus = np.cumsum(scores - expected, axis=1)
    return float(max(real.max(), (-bogus).max(), 0.0) / scores.sum())


def _of_scores(
    frame: FrameFigures, distance: float | None, middle: float, scatter: float
) -> Deviation | None:
    """Return how odd a distance of the scores is, beyond what chance makes of so few."""
    if distance is None or not frame.scored:
        return None
    root = np.sqrt(frame.scored)
    expected = max(middle, _KS_MEAN / root)
    z = (distance - expected) / float(np.hypot(scatter, _KS_SCATTER / root))
    told = f"distance of the scores {distance:.3f} where {expected:.3f} is expected"
    return Deviation("scores", "distance of the scores", z, distance, expected, told)


@dataclass(frozen=True)
class _Spread:
    """The frames of a reference in one figure: their median, and the scatter below and above it."""

    middle: float
    below: float
    above: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Measure it such that a few odd frames do not widen it, and a tail of many does."""
        low, middle, high = (float(q) for q in np.quantile(values, (0.1, 0.5, 0.9)))
        mad = float(np.median(np.abs(np.asarray(values) - middle))) / _MAD
        more = 1.0 + _FEW / len(values)
        return cls(
            middle, more * max(mad, (middle - low) / _TENTH), more * max(mad, (high - middle) / _TENTH)
        )


class _Group:
    """What is expected of one kind of frame."""

    def __init__(self, frames: Sequence[FrameFigures]) -> None:
        self.spreads: dict[str, tuple[Figure, _Spread]] = {}
        for figure in (*FIGURES, *map(figure_of_class, CLASSES)):
            values = [v for v in map(figure.value, frames) if v is not None]
            if len(values) >= LEAST_FRAMES:
                self.spreads[figure.name] = figure, _Spread.of(values)
        seen = [frame.has_stars for frame in frames if frame.has_stars is not None]
        self.shows_stars = len(seen) >= LEAST_FRAMES and float(np.mean(seen)) >= _ALL
        self.shares, self.distance = _shares_of(frames)
        self.transfer = Transfer.of(frames, LEAST_FRAMES)
        self.scorers = {frame.scorer for frame in frames}

    def is_scored_alike(self, frame: FrameFigures) -> bool:
        """Whether model, threshold and real classes are those of the reference."""
        return all(frame.scorer.is_like(scorer) for scorer in self.scorers)

    def deviations(self, frame: FrameFigures) -> dict[str, Deviation]:
        found = self._of_frame(frame)
        is_alike = self.is_scored_alike(frame)
        for figure, spread in self.spreads.values():
            value = figure.value(frame) if is_alike or figure.name not in _BY_SCORES else None
            deviation = None if value is None else _deviation(figure, frame, value, spread)
            if deviation is not None:
                found[figure.name] = deviation
        if is_alike and self.shares is not None and self.distance is not None:
            distance = None if frame.scores is None else score_distance(frame.scores, self.shares)
            scores = _of_scores(frame, distance, self.distance.middle, self.distance.above)
            if scores is not None:
                found["scores"] = scores
        return found

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


def _deviation(figure: Figure, frame: FrameFigures, value: float, spread: _Spread) -> Deviation | None:
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


def _shares_of(frames: Sequence[FrameFigures]) -> tuple[F64 | None, _Spread | None]:
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
    spread = _Spread.of(given)
    return total, _Spread(spread.middle, spread.below, max(spread.above, _KS_FLOOR))


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
        for frame in frames:
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

    @property
    def is_usable(self) -> bool:
        """Whether any kind has frames enough."""
        return bool(self._groups)

    def deviations(self, frame: FrameFigures) -> dict[str, Deviation] | None:
        """Return the deviations by figure; None for a frame of a kind that the reference lacks."""
        group = self._group(frame)
        return None if group is None else group.deviations(frame)

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
        scores = _of_scores(frame, distance, _RECORD_MIDDLE, _RECORD_SCATTER)
        if scores is not None:
            found["scores"] = scores
        low, high = self.fwhm_range
        if frame.fwhm is not None:
            z = BEYOND if frame.fwhm > high else 0.0
            told = f"FWHM {frame.fwhm:.2f} px where the model was trained on {low:g} to {high:g} px"
            found["fwhm"] = Deviation("fwhm", "FWHM", z, frame.fwhm, high, told)
        return found

    def gap(self, frame: FrameFigures) -> None:
        """Nothing: a record knows no kinds of frames."""
