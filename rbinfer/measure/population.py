"""What the maxima of a frame are like, in a few numbers, as networks that read them take it.

A star says what a star of this frame looks like. What else is there says how likely something that looks
almost like it is a star: on a frame of a thousand hits as wide as its stars, another one is.
"""

import numpy as np
from numpy.typing import NDArray

from .agreement import Group
from .candidates import Candidates
from .grain import Grain

Floats = NDArray[np.float64]

#: Middles of the cells of the FWHM, as logarithms of pixels, and of its ratio to that of the stars.
_WIDTHS = np.linspace(np.log(0.5), np.log(16.0), 14)
_RATIOS = np.linspace(-1.25, 1.25, 11)
_PHASES, _OVERALL = 2, 10
#: Round and well fitted: as most stars are, and many hits.
_ROUND, _FITTED = 0.3, 0.1
#: FWHM in pixels below which the place in a pixel tells hot pixels from stars, and how close they are to
#: its middle.
_NARROW, _IN_MIDDLE = 1.8, 0.15
_MOST_ERROR = 0.5  # of the logarithm of a width
_NOISE = 8
#: Shares of far pixels are told on a logarithmic scale from about so much on, and this is about 1.
_FEW, _MANY = 3e-3, 0.15


def population_of(
    found: Candidates, group: Group | None, grain: Grain | None = None
) -> NDArray[np.float32]:
    """Sum up what was fitted to a frame's maxima, and what its noise is like.

    No number depends on how the frame is turned.

    Parameters
    ----------
    found : Candidates
        Round fits to the maxima of the whole frame.
    group : Group or None
        Those that agree best, whether or not they convince.
    grain : Grain or None
        The noise of the frame, where it is seen.

    Returns
    -------
    ndarray of float32, shape (70,)
        Shares of the maxima, by FWHM (14 cells from 0.5 to 16 pixels) and by FWHM over that of the group
        (11 cells, a factor of 1.28 each), those that are round and well fitted before the others; of the
        narrow ones, how they lie in their pixels (2); how many there are, and what agrees (10); and the
        noise (8): whether it is seen, its skew, the steps of its values, how alike that of neighbours is
        and of pixels two apart, the finest waves, and what is far above and below the sky. All are of
        the order of 1. A share is parted between two cells. The first 62 are 0 where nothing was fitted.
    """
    found = found[found.error < _MOST_ERROR]
    n = len(found)
    is_round = (np.hypot(*found.shape.T) < _ROUND) & (found.excess < _FITTED)
    parts = [_shares(found.log_fwhm[chosen], _WIDTHS, n) for chosen in (is_round, ~is_round)]
    ratio = found.log_fwhm - (np.log(group.fwhm) if group is not None else np.nan)
    parts += [_shares(ratio[chosen], _RATIOS, n) for chosen in (is_round, ~is_round)]
    narrow = found[(found.log_fwhm < np.log(_NARROW)) & (found.factor == 1)]
    parts += [_phases(narrow.phase), _overall(found, len(narrow), group), _noise(grain)]
    return np.concatenate(parts).astype(np.float32)


def _shares(values: Floats, middles: Floats, n: int) -> Floats:
    """Return the shares (m,), among n, of cells with these middles (m,); the outer ones have no end."""
    values = values[np.isfinite(values)]
    place = np.clip((values - middles[0]) / (middles[1] - middles[0]), 0.0, len(middles) - 1.0)
    low = np.minimum(place.astype(np.int64), len(middles) - 2)
    above = place - low
    total = np.bincount(low, 1.0 - above, len(middles)) + np.bincount(low + 1, above, len(middles))
    return np.asarray(total / max(n, 1), np.float64)


def _phases(phase: Floats) -> Floats:
    """Return how places (n, 2) lie to the middles of their pixels: 0 and about 0.1 if anywhere."""
    if not len(phase):
        return np.zeros(_PHASES)
    in_middle = np.abs(phase).max(axis=1) < _IN_MIDDLE
    return np.array([np.cos(2.0 * np.pi * phase).mean(), in_middle.mean()])


def _overall(found: Candidates, n_narrow: int, group: Group | None) -> Floats:
    n = len(found)
    snr = np.log(np.median(found.snr)) / 5.0 if n else 0.0
    numbers = [np.log1p(n) / 6.0, n_narrow / max(n, 1), snr]
    if group is None:
        return np.pad(numbers, (0, _OVERALL - len(numbers)))
    agree = len(group.members)
    numbers += [1.0, np.log(group.fwhm) / 3.0, np.log1p(agree) / 6.0, min(agree / max(n, 1), 1.0)]
    evidence = np.clip(group.evidence / group.needed, 0.0, 3.0) / 3.0
    return np.array([*numbers, group.share, evidence, 10.0 * group.scatter])


def _noise(grain: Grain | None) -> Floats:
    if grain is None:
        return np.zeros(_NOISE)
    skew = np.clip(2.0 * (grain.skew - 1.0), -1.0, 1.0)
    far = np.log1p(np.array([grain.above, grain.below]) / _FEW) / np.log1p(_MANY / _FEW)
    alike = np.clip([grain.alike, grain.further], -1.0, 1.0)
    found = np.array([1.0, skew, min(grain.step, 1.0), *alike, min(grain.finest, 1.5), *far])
    # Where most pixels are equal, some are ratios of nothing; one NaN would spoil a whole fit.
    return np.asarray(np.nan_to_num(found), np.float64)
