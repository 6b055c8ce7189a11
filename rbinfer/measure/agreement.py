"""Which of many fitted maxima are stars: those that one profile explains.

Stars agree in width and in shape, wherever in a pixel they fall. Single hot pixels fall in the middle of
a pixel. Cosmic rays have many widths and shapes; where charge spreads they may cluster around one, but
never as closely as stars do. Each of these is a population with a density in width, shape and phase,
blurred by the errors of the fits. The mixture of them that is most likely (found by
expectation-maximisation) is compared with the most likely one without stars.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .candidates import Candidates
from .populations import (
    LARGEST_SCATTER,
    NARROWEST,
    WIDEST,
    Cluster,
    Known,
    Measured,
    Population,
    SinglePixels,
    Stars,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MOST_ERROR = 0.25  # of the logarithm of a width
#: Largest shape, and that of profiles too narrow for their pixels to show it.
_MOST_SHAPE, _MOST_NARROW_SHAPE = 1.0, 0.55
_NARROW = 1.8  # FWHM in pixels below which a profile is undersampled
_STEPS = 14
_CONVERGED = 0.2  # change of the logarithm of the likelihood
_STARTS = 2
#: What agrees: so close to the stars in the logarithm of the width, and in shape, beside the noise.
_AGREE, _AGREE_SHAPE = 0.15, 0.2
#: Scatter of the shapes of undersampled stars: 0.14 at most in real frames, 0.34 of resampled pixels.
_MOST_WANDER = 0.25
#: Maxima lie at one place in a pixel where the mean over both axes is larger than the first, or that
#: along one of them than the second; and fewer than so many, which do so by chance, than the others.
_ONE_PHASE, _ONE_LINE, _BY_CHANCE, _ONE_PHASE_OF_FEW, _ONE_LINE_OF_FEW = 0.65, 0.85, 8, 0.8, 0.95
_NEAR = 0.6  # in the logarithm of the width: what a group is compared with
#: Of 2000 simulated frames of hits only, one has five or more that agree on a width above 2.5 pixels,
#: and in none are they so large a share of what is similarly wide. Such a group needs less evidence.
_WIDE, _MOSTLY, _FEW = 2.5, 0.85, 5
_LESS_EVIDENCE = 0.85


@dataclass(frozen=True)
class Rules:
    """What candidates must be like to be stars, and how much it takes.

    Attributes
    ----------
    excess : float
        Largest excess of a fit, over the height.
    strictness : float
        Factor of the evidence that it takes.
    least : int
        Fewest members of a group.
    is_elliptical : bool
        The candidates are fits of ellipses, whose shapes are right however long.
    """

    excess: float
    strictness: float
    least: int
    is_elliptical: bool


#: Round ones: an excess for bright wings and faint neighbours.
ROUND = Rules(0.1, 1.0, 3, False)
#: Streaks: tracks and pieces of trails are ellipses, too.
LONG = Rules(0.2, 1.7, 5, True)
#: Stars far out of focus, which Gaussians fit alike but badly.
ODD = Rules(0.3, 1.7, 5, False)


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
    in_many_shapes : bool
        Members are too narrow for their pixels, and what shape they have hangs on where in a pixel they
        fall, as that of single pixels does once the image is resampled.
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
    in_many_shapes: bool
    least: int = 3

    @property
    def is_like_hits(self) -> bool:
        """Whether they are as stars never are."""
        return self.in_one_phase or self.in_many_shapes

    @property
    def is_convincing(self) -> bool:
        """Whether they are stars."""
        if self.is_like_hits:
            return False
        return len(self.members) >= self.least and self.evidence >= self.needed


def largest_group(candidates: Candidates, rules: Rules = ROUND) -> Group | None:
    """Find the candidates that agree best with one another.

    Parameters
    ----------
    candidates : Candidates
    rules : Rules

    Returns
    -------
    Group or None
        None when no two agree.
    """
    rows = np.flatnonzero(usable(candidates, rules))
    if len(rows) < 2:
        return None
    data = Measured.of(candidates[rows], 2.0 if rules.is_elliptical else 1.0)
    without: list[Population] = [
        Known.hits(data), Known.anything(data), Cluster.spots(data), Cluster.tracks(data),
        Cluster.extended(data), SinglePixels(share=0.1),
    ]  # fmt: skip
    base = _most_likely(data, without)
    best: _Mixture | None = None
    for stars in (Stars.anywhere(data), *(Stars.at(data, row) for row in _starts(data))):
        mixture = _most_likely(data, [*without, stars])
        if best is None or mixture.likelihood > best.likelihood:
            best = mixture
    if best is None:
        return None
    group = _group(data, rows, best, best.likelihood - base.likelihood)
    if group is None:
        return None
    return replace(group, needed=rules.strictness * group.needed, least=rules.least)


def usable(candidates: Candidates, rules: Rules) -> Bools:
    """Return which candidates, bool (n,), are fitted well enough to be compared with others."""
    is_usable: Bools
    longest = np.abs(candidates.shape).max(axis=1, initial=0.0)
    is_usable = (candidates.error < _MOST_ERROR) & (
        candidates.excess < rules.excess + 0.5 / candidates.snr
    )
    is_usable &= (candidates.log_fwhm > np.log(NARROWEST)) & (candidates.log_fwhm < np.log(WIDEST))
    if not rules.is_elliptical:
        narrow = candidates.log_fwhm < np.log(_NARROW * candidates.factor)
        is_usable &= longest < np.where(narrow, _MOST_NARROW_SHAPE, _MOST_SHAPE)
    return is_usable


@dataclass(frozen=True, eq=False)
class _Mixture:
    populations: list[Population]
    parts: Floats  # (n, populations): how much of each candidate belongs to which
    likelihood: float


def _most_likely(data: Measured, populations: list[Population]) -> _Mixture:
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


def _expected(data: Measured, populations: list[Population]) -> _Mixture:
    total = sum(each.share for each in populations)
    densities = np.column_stack([each.share / total * each.density(data) for each in populations])
    densities += 1e-300
    sums = densities.sum(axis=1)
    penalty = sum(each.penalty for each in populations)
    return _Mixture(populations, densities / sums[:, None], float(np.log(sums).sum()) - penalty)


def _starts(data: Measured) -> list[int]:
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


def _group(data: Measured, rows: Ints, mixture: _Mixture, evidence: float) -> Group | None:
    stars = mixture.populations[-1]
    assert isinstance(stars, Stars)
    agree = stars.width_from(data) ** 2 < _AGREE**2 + 4.0 * data.width_variance
    agree &= stars.shape_from(data) < _AGREE_SHAPE**2 + 6.0 * data.shape_variance
    chosen = np.flatnonzero(agree)
    if len(chosen) < 2:
        return None
    width = float(np.median(data.width[chosen]))
    near = int(np.count_nonzero(np.abs(data.width - width) < _NEAR))
    share = len(chosen) / near
    is_narrow = width < np.log(_NARROW)
    needed = _needed(width, share)
    is_unlike_hits = width > np.log(_WIDE) or share > _MOSTLY
    if is_unlike_hits and len(chosen) >= _FEW:
        needed *= _LESS_EVIDENCE
    # As scattered as stars may be, and outnumbered: the middle of a cluster of hits is so.
    if is_narrow and share < 0.5 and stars.spread > 0.95 * LARGEST_SCATTER:
        needed *= 2.0
    # Long along the rows or the columns: pairs of hot pixels are so.
    along, across = np.abs(np.median(data.shape[chosen], axis=0))
    if is_narrow and along > 0.15 and across < 0.05:
        needed *= 1.6
    in_one_phase = is_narrow and _lie_in_one_phase(data.phase[chosen])
    apart = data.shape[chosen] - data.shape[chosen].mean(axis=0)
    wander = np.median((apart**2).sum(axis=1)) - 2.0 * np.median(data.shape_variance[chosen])
    in_many_shapes = is_narrow and wander > _MOST_WANDER**2
    return Group(
        rows[chosen], float(np.exp(width)), evidence, needed, share, stars.spread,
        bool(in_one_phase), bool(in_many_shapes),
    )  # fmt: skip


def _lie_in_one_phase(phase: Floats) -> bool:
    """Whether maxima (n, 2) fall at one place in a pixel, as only single pixels do.

    Of a uniform phase the means are 0, with an error of 0.7 / sqrt(n). But fits to undersampled stars
    are drawn to the middle of a pixel, and in an interpolated image to some places in it: in nine of ten
    pieces of real frames with eight of them or more, to 0.5 on average over both axes, and up to 0.77
    along one. Hits have 0.8 to 0.9 along both, and pairs of hot pixels along one.
    """
    along = np.abs(np.exp(2j * np.pi * phase).mean(axis=0))
    if len(phase) < _BY_CHANCE:
        return bool(along.mean() > _ONE_PHASE_OF_FEW or along.max() > _ONE_LINE_OF_FEW)
    return bool(along.mean() > _ONE_PHASE or along.max() > _ONE_LINE)


def _needed(width: float, share: float) -> float:
    """Return the evidence that it takes.

    Where hits only are simulated, at most half of what is similarly wide agrees, and the more hits there
    are, the more of them agree by chance. The narrower stars are, the more alike to hits.
    """
    needed = max(11.0, 38.0 - 33.0 * share)
    if width < np.log(0.8):
        needed += 25.0
    elif width < np.log(0.95):
        needed += 12.0
    # Spots of charge are about a pixel wide, and where they are many they agree as closely as stars.
    return needed * float(np.interp(np.exp(width), (0.95, 1.1, 1.2), (1.5, 1.37, 1.0)))
