"""How far the scores of a frame are from those that are expected."""

import numpy as np
from numpy.typing import NDArray

from .deviations import Deviation

F64 = NDArray[np.float64]

#: The distance of Kolmogorov and Smirnov times the root of the number of scores: by chance, its mean and
#: its scatter (from the distribution's moments, sqrt(pi / 2) ln 2 and pi^2 / 12 - mean^2).
_KS_MEAN, _KS_SCATTER = 0.8687, 0.2603
#: With fewer scores a distance says nothing.
_LEAST_SCORES = 30


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


def of_distance(
    distance: float | None, scored: int | None, middle: float, scatter: float
) -> Deviation | None:
    """Return how odd a distance of the scores is, beyond what chance makes of so few."""
    if distance is None or not scored:
        return None
    root = np.sqrt(scored)
    expected = max(middle, _KS_MEAN / root)
    z = (distance - expected) / float(np.hypot(scatter, _KS_SCATTER / root))
    told = f"distance of the scores {distance:.3f} where {expected:.3f} is expected"
    return Deviation("scores", "distance of the scores", z, distance, expected, told)
