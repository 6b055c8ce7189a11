"""Which of many fitted maxima are stars: those that one profile explains.

Stars agree in width and in shape, wherever in a pixel they fall. Single hot pixels fall in the middle of
a pixel. Cosmic rays have many widths and shapes; where charge spreads they may cluster around one, but
never as closely as stars do. Each of these is a population with a density in width, shape and phase,
blurred by the errors of the fits. The mixture of them that is most likely (found by
expectation-maximisation) is compared with the most likely one without stars.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from .candidates import Candidates

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Range of the FWHM in pixels.
NARROWEST, WIDEST = 0.4, 45.0
#: Excess of a fit, over the height, that is still a star's: bright wings, faint neighbours.
_MOST_EXCESS = 0.1
_MOST_ERROR = 0.25  # of the logarithm of a width
#: Largest shape, and that of profiles too narrow for their pixels to show it.
_MOST_SHAPE, _MOST_NARROW_SHAPE = 1.0, 0.55
_NARROW = 1.8  # FWHM in pixels below which a profile is undersampled
_STEPS = 14
_CONVERGED = 0.2  # change of the logarithm of the likelihood
_STARTS = 3
#: Where clusters of hits and of extended things may be, logarithms of the FWHM.
_HIT_WIDTHS = float(np.log(0.5)), float(np.log(1.8))
_WIDE_WIDTHS = float(np.log(1.8)), float(np.log(WIDEST))
#: What agrees: so close to the stars in the logarithm of the width, and in shape, beside the noise.
_AGREE, _AGREE_SHAPE = 0.15, 0.2
_NEAR = 0.6  # in the logarithm of the width: what a group is compared with


@dataclass(frozen=True)
class Group:
    """Candidates that agree, as `largest_group` finds them.

    Attributes
    ----------
    members : ndarray of int64, shape (k,)
        Rows of the candidates.
    fwhm : float
        Median of the members, pixels.
    evidence : float
        Logarithm of the likelihood with these stars over that without stars.
    needed : float
        Evidence that it takes: less where more of what is similarly wide agrees.
    share : float
        Members over all candidates with a similar width.
    scatter : float
        Scatter of the width, relative, beyond the errors of the fits and a smooth change over the image.
    in_one_phase : bool
        Members are too narrow for their pixels and all fall at one place in a pixel, as those of hot
        pixels do.
    least : int
        Members that it takes.
    """

    members: Ints
    fwhm: float
    evidence: float
    needed: float
    share: float
    scatter: float
    in_one_phase: bool
    least: int = 3

    @property
    def is_convincing(self) -> bool:
        """Whether they are stars."""
        return len(self.members) >= self.least and not self.in_one_phase and self.evidence >= self.needed


def largest_group(candidates: Candidates, is_elliptical: bool = False) -> Group | None:
    """Find the candidates that agree best with one another.

    Parameters
    ----------
    candidates : Candidates
    is_elliptical : bool
        They are fits of ellipses, whose shapes are right however long.

    Returns
    -------
    Group or None
        None when no two agree.
    """
    rows = np.flatnonzero(_usable(candidates, is_elliptical))
    if len(rows) < 2:
        return None
    data = _Data.of(candidates[rows], 2.0 if is_elliptical else 1.0)
    without: list[_Population] = [
        _Known.hits(data), _Known.anything(data), _Cluster.spots(data), _Cluster.tracks(data),
        _Cluster.extended(data), _SinglePixels(),
    ]  # fmt: skip
    base = _most_likely(data, without)
    best: _Mixture | None = None
    for stars in (_Stars.anywhere(data), *(_Stars.at(data, row) for row in _starts(data))):
        mixture = _most_likely(data, [*without, stars])
        if best is None or mixture.likelihood > best.likelihood:
            best = mixture
    if best is None:
        return None
    group = _group(data, rows, best, best.likelihood - base.likelihood)
    # Tracks and pieces of trails are ellipses, too.
    if group is not None and is_elliptical:
        return replace(group, needed=1.7 * group.needed, least=5)
    return group


def _usable(candidates: Candidates, is_elliptical: bool) -> Bools:
    longest = np.abs(candidates.shape).max(axis=1, initial=0.0)
    usable = (candidates.error < _MOST_ERROR) & (
        candidates.excess < (2.0 if is_elliptical else 1.0) * _MOST_EXCESS + 0.5 / candidates.snr
    )
    usable &= (candidates.log_fwhm > np.log(NARROWEST)) & (candidates.log_fwhm < np.log(WIDEST))
    if is_elliptical:
        return usable
    narrow = candidates.log_fwhm < np.log(_NARROW * candidates.factor)
    return usable & (longest < np.where(narrow, _MOST_NARROW_SHAPE, _MOST_SHAPE))


# ------------------------------------------------------------------------------------ the data


@dataclass(frozen=True)
class _Data:
    """Logarithms of widths, shapes and phases of n candidates, with the variances of their errors."""

    width: Floats  # (n,)
    width_variance: Floats
    shape: Floats  # (n, 2)
    shape_variance: Floats
    phase: Floats  # (n, 2)
    place: Floats  # (n, 2), from -1 to 1 over the image
    brightness: Floats  # (n,)
    is_narrow: Floats  # (n,), from 0 to 1: how much the phase may bear upon the fit
    stretch: float  # how far the shapes of hits spread, over that of round fits

    @classmethod
    def of(cls, found: Candidates, stretch: float) -> Self:
        place = np.stack([found.x, found.y], axis=1)
        place = 2.0 * place / np.maximum(place.max(axis=0), 1.0) - 1.0
        is_narrow = np.clip((np.log(2.2) - found.log_fwhm) / 0.4, 0.0, 1.0) * (found.factor == 1)
        return cls(
            found.log_fwhm, found.error**2, np.clip(found.shape, -2.0, 2.0),
            np.minimum(found.shape_error, 0.3) ** 2, found.phase, place,
            np.clip(np.log(found.snr / 30.0), -1.2, 2.5), is_narrow, stretch,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.width)

    @cached_property
    def roundness(self) -> Floats:
        """Squares of the lengths of the shapes."""
        return np.einsum("ni,ni->n", self.shape, self.shape)

    @cached_property
    def off_centre(self) -> Floats:
        """Squares of the distances from the middles of the pixels."""
        return np.einsum("ni,ni->n", self.phase, self.phase)

    @cached_property
    def width_terms(self) -> Floats:
        """What the width of a star may depend on, shape (n, 5): a constant, place, brightness, phase."""
        cosines = np.cos(2.0 * np.pi * self.phase).sum(axis=1) * self.is_narrow
        return np.column_stack([np.ones(len(self)), self.place, self.brightness, cosines])

    @cached_property
    def shape_terms(self) -> tuple[Floats, Floats]:
        """What the two numbers of its shape may depend on, shape (n, 2) each: a constant, phase."""
        cosines = np.cos(2.0 * np.pi * self.phase)
        sines = np.sin(2.0 * np.pi * self.phase).prod(axis=1)
        one = np.ones(len(self))
        along = (cosines[:, 0] - cosines[:, 1]) * self.is_narrow
        return np.column_stack([one, along]), np.column_stack([one, sines * self.is_narrow])


def _normal(square: Floats, variance: Floats | float, dimensions: int = 1) -> Floats:
    """Density of a normal deviate of the given square."""
    density: Floats = np.exp(-0.5 * square / variance) / (2.0 * np.pi * variance) ** (0.5 * dimensions)
    return density


# ----------------------------------------------------------------------------- the populations


class _Population(Protocol):
    """A kind of thing in the image."""

    share: float

    def density(self, data: _Data) -> Floats:
        """Return the density at each candidate."""

    def refitted(self, data: _Data, weights: Floats) -> Self:
        """Return what it is like if it has so much of each candidate."""

    @property
    def penalty(self) -> float:
        """What its parameters cost."""


@dataclass(frozen=True, eq=False)
class _Known:
    """Something whose density is known beforehand."""

    share: float
    densities: Floats

    @classmethod
    def hits(cls, data: _Data) -> Self:
        """Return cosmic rays and hot pixels of detectors of all kinds together.

        The distribution of widths is that of what passes as a star by its fit alone in 300 simulated
        frames of hits only, of `rbtrain.simulate`.
        """
        parts = (0.75, 0.95, 0.33), (0.25, 1.3, 0.5)
        widths = sum(
            share * _normal((data.width - np.log(fwhm)) ** 2, spread**2 + data.width_variance)
            for share, fwhm, spread in parts
        )
        phases = 0.5 + 0.5 * _normal(data.off_centre, 0.15**2, 2)
        return cls(0.3, widths * _hit_shapes(data) * phases)

    @classmethod
    def anything(cls, data: _Data) -> Self:
        """Return galaxies, blends, pieces of trails: of any width."""
        return cls(0.1, _hit_shapes(data) / np.log(WIDEST / NARROWEST))

    @property
    def penalty(self) -> float:
        return 0.0

    def density(self, data: _Data) -> Floats:
        return self.densities

    def refitted(self, data: _Data, weights: Floats) -> Self:
        return self


def _hit_shapes(data: _Data) -> Floats:
    """Density of the shapes of hits, of which many are tracks."""
    square = data.stretch**2
    return 0.5 * _normal(data.roundness, 0.04 * square + data.shape_variance, 2) + 0.5 * _normal(
        data.roundness, 0.25 * square + data.shape_variance, 2
    )


@dataclass(frozen=True)
class _Cluster:
    """Things of similar width, but not as similar as stars."""

    share: float
    width: float
    spread: float
    roundness: float  # scatter of the shapes
    widths: tuple[float, float]  # ranges of these
    spreads: tuple[float, float]
    roundnesses: tuple[float, float]

    @classmethod
    def spots(cls, data: _Data) -> Self:
        """Return the compact cosmic rays of this detector: wide by how far its charge spreads."""
        middle = _median(data.width[data.width < np.log(1.6)], 0.0)
        return cls(0.2, middle, 0.15, 0.15, _HIT_WIDTHS, (0.13, 0.3), (0.1, 0.5))

    @classmethod
    def tracks(cls, data: _Data) -> Self:
        """Return the others."""
        middle = _median(data.width[data.width < np.log(1.6)], 0.0)
        return cls(0.2, middle + 0.1, 0.35, 0.3, _HIT_WIDTHS, (0.25, 0.5), (0.2, 0.5))

    @classmethod
    def extended(cls, data: _Data) -> Self:
        """Return galaxies, and what clouds and nebulae have of maxima."""
        middle = _median(data.width[data.width > np.log(2.0)], 1.0)
        return cls(0.1, middle, 0.35, 0.2, _WIDE_WIDTHS, (0.25, 0.6), (0.15, 0.5))

    @property
    def penalty(self) -> float:
        return 0.0

    def density(self, data: _Data) -> Floats:
        widths = _normal((data.width - self.width) ** 2, self.spread**2 + data.width_variance)
        shapes = self.roundness**2 * data.stretch**2 + data.shape_variance
        return widths * _normal(data.roundness, shapes, 2)

    def refitted(self, data: _Data, weights: Floats) -> Self:
        total = float(weights.sum())
        if total < 2.0:
            return self
        precision = weights / (self.spread**2 + data.width_variance)
        width = float(precision @ data.width / precision.sum())
        square = float(weights @ ((data.width - width) ** 2 - data.width_variance)) / total
        shapes = float(weights @ (0.5 * data.roundness - data.shape_variance)) / total
        return replace(
            self,
            width=float(np.clip(width, *self.widths)),
            spread=float(np.clip(np.sqrt(max(square, 0.0)), *self.spreads)),
            roundness=float(np.clip(np.sqrt(max(shapes, 0.0)) / data.stretch, *self.roundnesses)),
        )


def _median(values: Floats, otherwise: float) -> float:
    return float(np.median(values)) if len(values) else otherwise


@dataclass(frozen=True)
class _SinglePixels:
    """Hot pixels that leak a little into their neighbours, all alike, in the middle of a pixel."""

    share: float = 0.1
    width: float = float(np.log(0.65))

    @property
    def penalty(self) -> float:
        return 0.0

    def density(self, data: _Data) -> Floats:
        return (
            _normal((data.width - self.width) ** 2, 0.12**2 + data.width_variance)
            * _normal(data.roundness, 0.15**2 + data.shape_variance, 2)
            * _normal(data.off_centre, 0.12**2, 2)
        )

    def refitted(self, data: _Data, weights: Floats) -> Self:
        total = float(weights.sum())
        if total < 2.0:
            return self
        width = float(weights @ data.width) / total
        return replace(self, width=float(np.clip(width, np.log(NARROWEST), np.log(1.1))))


#: Prior standard deviations of how the width depends on what `_Data.width_terms` are, but the first, and
#: the shape on the phase.
_WIDTH_SLOPES = np.array([0.15, 0.15, 0.07, 0.1])
_SHAPE_SLOPE = 0.1
_BRIGHTNESS = 3  # its place among the terms,
_LEAST_BRIGHTER = -0.03  # and the least slope: what the noise does to the choice of maxima
_MANY = 15.0  # stars for which slopes are free to be as large as that
_ALIKE = 0.03, 0.09, 0.1  # least scatter of stars, and largest of the width and of the shape


@dataclass(frozen=True, eq=False)
class _Stars:
    """Stars: one profile, but for a smooth change over the image, with brightness and with phase."""

    share: float
    width: Floats  # factors of width_terms
    shape_x: Floats  # and of shape_terms
    shape_y: Floats
    spread: float
    roundness: float
    penalty: float = 0.0
    widest: float = 0.0  # what the scatter of widths may be for now; it shrinks

    @classmethod
    def anywhere(cls, data: _Data) -> Self:
        """Start from all that is round: the slopes show before the scatter shrinks."""
        round_ones = data.roundness < 0.1
        rows = np.flatnonzero(round_ones) if round_ones.any() else np.arange(len(data))
        middle = rows[np.argsort(data.width[rows])[len(rows) // 2]]
        return replace(cls.at(data, int(middle)), spread=0.3, roundness=0.2, widest=0.3)

    @classmethod
    def at(cls, data: _Data, row: int) -> Self:
        close = np.abs(data.width - data.width[row]) < 0.12
        shape = np.median(data.shape[close], axis=0)
        width = np.concatenate([data.width[row : row + 1], np.zeros(4)])
        along, across = np.array([shape[0], 0.0]), np.array([shape[1], 0.0])
        return cls(0.2, width, along, across, 0.09, 0.1)

    def width_from(self, data: _Data) -> Floats:
        """Return how far each candidate's width is from that of a star in its place."""
        return data.width - data.width_terms @ self.width

    def shape_from(self, data: _Data) -> Floats:
        """Return the square of how far its shape is."""
        along, across = data.shape_terms
        square: Floats = (data.shape[:, 0] - along @ self.shape_x) ** 2
        square += (data.shape[:, 1] - across @ self.shape_y) ** 2
        return square

    def density(self, data: _Data) -> Floats:
        widths = _normal(self.width_from(data) ** 2, self.spread**2 + data.width_variance)
        return widths * _normal(self.shape_from(data), self.roundness**2 + data.shape_variance, 2)

    def refitted(self, data: _Data, weights: Floats) -> Self:
        total = float(weights.sum())
        if total < 1.5:
            return self
        # A few objects agree with some slope by chance.
        doubt = max(1.0, (_MANY / total) ** 4)
        width_prior = np.concatenate([[0.0], doubt / _WIDTH_SLOPES**2])
        shape_prior = np.array([0.0, doubt / _SHAPE_SLOPE**2])
        by_width = weights / (self.spread**2 + data.width_variance)
        by_shape = weights / (self.roundness**2 + data.shape_variance)
        along, across = data.shape_terms
        new = replace(
            self,
            width=_width_slopes(data, by_width, width_prior),
            shape_x=_ridge(along, data.shape[:, 0], by_shape, shape_prior),
            shape_y=_ridge(across, data.shape[:, 1], by_shape, shape_prior),
        )
        square = float(weights @ (new.width_from(data) ** 2 - data.width_variance)) / total
        shapes = float(weights @ (0.5 * new.shape_from(data) - data.shape_variance)) / total
        least, widest, longest = _ALIKE
        # Nor may a few differ as much as many.
        widest = max(widest * float(np.clip(total / 20.0, 0.34, 1.0)), 0.7 * self.widest)
        penalty = width_prior @ new.width**2 + shape_prior @ (new.shape_x**2 + new.shape_y**2)
        return replace(
            new,
            spread=float(np.clip(np.sqrt(max(square, 0.0)), least, widest)),
            roundness=float(np.clip(np.sqrt(max(shapes, 0.0)), least, longest)),
            penalty=0.5 * float(penalty),
            widest=0.7 * self.widest,
        )


def _width_slopes(data: _Data, weights: Floats, prior: Floats) -> Floats:
    """Fit how the width of stars depends on its terms."""
    slopes = _ridge(data.width_terms, data.width, weights, prior)
    if slopes[_BRIGHTNESS] >= _LEAST_BRIGHTER:
        return slopes
    # Bright stars may be wide. Bright and narrow, faint and wide is what hits are.
    terms = data.width_terms.copy()
    rest = data.width - _LEAST_BRIGHTER * terms[:, _BRIGHTNESS]
    terms[:, _BRIGHTNESS] = 0.0
    slopes = _ridge(terms, rest, weights, np.maximum(prior, 1e-9))
    slopes[_BRIGHTNESS] = _LEAST_BRIGHTER
    return slopes


def _ridge(terms: Floats, values: Floats, weights: Floats, prior: Floats) -> Floats:
    weighted = terms * weights[:, None]
    solution: Floats = np.linalg.solve(weighted.T @ terms + np.diag(prior), weighted.T @ values)
    return solution


# -------------------------------------------------------------------------------- the mixture


@dataclass(frozen=True, eq=False)
class _Mixture:
    populations: list[_Population]
    parts: Floats  # (n, populations): how much of each candidate belongs to which
    likelihood: float


def _most_likely(data: _Data, populations: list[_Population]) -> _Mixture:
    """Fit shares and parameters of populations; the penalties count against the likelihood."""
    n, k = len(data), len(populations)
    mixture = _expected(data, populations)
    for step in range(_STEPS):
        before = mixture.likelihood
        totals = mixture.parts.sum(axis=0)
        populations = [
            replace(each.refitted(data, mixture.parts[:, i]), share=(totals[i] + 0.5) / (n + 0.5 * k))
            for i, each in enumerate(populations)
        ]
        mixture = _expected(data, populations)
        if step > 5 and abs(mixture.likelihood - before) < _CONVERGED:
            break
    return mixture


def _expected(data: _Data, populations: list[_Population]) -> _Mixture:
    total = sum(each.share for each in populations)
    densities = np.column_stack([each.share / total * each.density(data) for each in populations])
    densities += 1e-300
    sums = densities.sum(axis=1)
    penalty = sum(each.penalty for each in populations)
    return _Mixture(populations, densities / sums[:, None], float(np.log(sums).sum()) - penalty)


def _starts(data: _Data) -> list[int]:
    """Return candidates that more are like than hits explain, far from one another in width."""
    apart = np.abs(data.width[:, None] - data.width)
    close = apart < np.sqrt(0.12**2 + data.width_variance)
    squares = ((data.shape[:, None] - data.shape) ** 2).sum(axis=2)
    close &= squares < 0.15**2 + 4.0 * data.shape_variance
    counts = close.sum(axis=1).astype(np.float64)
    narrow = float(np.count_nonzero(data.width < np.log(2.2)))
    bell = 0.9 * np.exp(-0.5 * (data.width / 0.4) ** 2)
    expected = 0.06 * bell * narrow + 0.005 * len(data) + 1.0
    score = counts * np.log(counts / expected)
    starts: list[int] = []
    free = counts >= 2
    while free.any() and len(starts) < _STARTS:
        row = int(np.where(free, score, -np.inf).argmax())
        starts.append(row)
        free &= apart[row] > 0.25
    return starts


def _group(data: _Data, rows: Ints, mixture: _Mixture, evidence: float) -> Group | None:
    stars = mixture.populations[-1]
    assert isinstance(stars, _Stars)
    agree = stars.width_from(data) ** 2 < _AGREE**2 + 4.0 * data.width_variance
    agree &= stars.shape_from(data) < _AGREE_SHAPE**2 + 6.0 * data.shape_variance
    chosen = np.flatnonzero(agree)
    if len(chosen) < 2:
        return None
    width = float(np.median(data.width[chosen]))
    near = np.count_nonzero(np.abs(data.width - width) < _NEAR)
    share = len(chosen) / max(near, 1)
    needed = max(11.0, 38.0 - 33.0 * share)
    if width < np.log(0.95):
        needed += 12.0
    # Narrow, as scattered as stars may be, and still outnumbered: the middle of a cluster of hits is so.
    if width < np.log(_NARROW) and share < 0.5 and stars.spread > 0.95 * _ALIKE[1]:
        needed *= 2.0
    # Of a uniform phase the mean of this is 0, with an error of 0.7 / sqrt(k) a component.
    turns = np.abs(np.exp(2j * np.pi * data.phase[chosen]).mean(axis=0)).max()
    in_one_phase = width < np.log(_NARROW) and turns > 0.6 + 0.7 / np.sqrt(len(chosen))
    return Group(
        rows[chosen], float(np.exp(width)), evidence, needed, share, stars.spread, bool(in_one_phase)
    )
