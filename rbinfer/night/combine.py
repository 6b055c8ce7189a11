"""The probability that a source is real, from its scores and from where it was seen again.

A logistic model of five figures. Its weights were fitted to simulated nights (``benchmarks/night.py``,
which prints them), not to real ones, and suppose that half of all sources are real. Of what is bright
and was seen once that is far from so, and the night itself tells how far.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

#: Detections further from each other than this on the detector, in pixels, are at different pixels.
APART = 2.0
#: What scores are kept away from 0 and 1 by: the calibration of the network knows no more digits.
_CLIP = 1e-3
#: From this S/N a source that other frames do not show was missed by chance no more.
_BRIGHT = 10.0
#: Even thousands of repeats are worth no more than this many e-folds each.
_MOST = 5.0
#: No other frame misses a source of this S/N, six times the limit of detection, if it is there.
_NEVER_MISSED = 30.0
#: So many real ones, and as many that are not, are taken to be among them besides: few tell little.
_BESIDES = 2.0
_ROUNDS, _CLOSE = 1000, 1e-9  # of finding their share


class Evidence(NamedTuple):
    """What is known of sources; each an array of shape (n,).

    Attributes
    ----------
    score : float64
        Mean logit of the single-frame scores; 0 where no detection has one.
    sky : float64
        Log of how many times oftener it was seen again at the same position of the sky, by other pixels,
        than chance would have it; 0 or more.
    detector : float64
        The same of the same pixel and other positions of the sky.
    missed : float64
        For what is bright and was seen once: log of how many other frames cover it, and 1; 0 otherwise.
    still : float64
        Log of how many times it was seen again by the same pixel at the same position of the sky, which
        tells nothing of hot pixels but much of cosmic rays, and 1.
    """

    score: F64
    sky: F64
    detector: F64
    missed: F64
    still: F64


class Weights(NamedTuple):
    """Of the constant and of each figure of `Evidence`."""

    constant: float
    score: float
    sky: float
    detector: float
    missed: float
    still: float


#: Fitted by ``benchmarks/night.py``.
WEIGHTS = Weights(0.491, 0.747, 0.792, -0.916, -0.393, 0.872)


def evidence(
    score: F64,
    snr: F64,
    seen: NDArray[np.integer],
    alone: NDArray[np.integer],
    by_chance: NDArray[np.floating],
    standing: NDArray[np.integer],
    standing_by_chance: F64,
    still: NDArray[np.integer],
) -> Evidence:
    """Put what was counted into figures.

    Parameters
    ----------
    score : ndarray of float64, shape (n,)
        Mean logit from `mean_logit`.
    snr : ndarray of float64, shape (n,)
        Largest S/N; NaN counts as faint.
    seen : ndarray of int, shape (n,)
        In how many other frames it was seen by other pixels.
    alone : ndarray of int, shape (n,)
        How many other frames cover what was seen once; 0 for what was seen again.
    by_chance : ndarray of float64, shape (n,)
        In how many other frames something would lie there by chance, by other pixels.
    standing, standing_by_chance : ndarray, shape (n,)
        The same for its pixel at other positions of the sky.
    still : ndarray of int, shape (n,)
        In how many other frames it was seen by the same pixel.

    Returns
    -------
    Evidence
    """
    bright = np.nan_to_num(snr) >= _BRIGHT
    return Evidence(
        np.nan_to_num(score),
        _beyond(seen, by_chance),
        _beyond(standing, standing_by_chance),
        np.where(bright, np.log1p(alone), 0.0),
        np.log1p(still),
    )


def probability(known: Evidence, weights: Weights = WEIGHTS) -> F64:
    """Return the probability that sources are real.

    Parameters
    ----------
    known : Evidence
    weights : Weights

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    total = np.full(len(known.score), weights.constant)
    for name in Evidence._fields:
        total += getattr(weights, name) * getattr(known, name)
    return np.asarray(1.0 / (1.0 + np.exp(-total)), np.float64)


def is_hit(snr: F64, n_seen: NDArray[np.integer], n_cover: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Tell which sources of the sky are too bright for other frames to miss, and yet were seen once."""
    return np.asarray((n_seen == 1) & (n_cover > 1) & (np.nan_to_num(snr) >= _NEVER_MISSED), np.bool_)


def by_their_share(p: F64) -> F64:
    """Correct the probabilities of what `is_hit` by how many of them are real.

    There are few cosmic rays to such a flash or a thousand, by camera, exposure and site. The share is
    found together with the probabilities that it corrects (Saerens, Latinne & Decaestecker 2002, Neural
    Computation 14, 21).

    Parameters
    ----------
    p : ndarray of float64, shape (n,)
        Where half of all are real, each below 1; those of all such sources of a group.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    odds, share, before = p / (1.0 - p), 0.5, 0.0
    for _ in range(_ROUNDS):
        now = odds * share / (1.0 - share)
        now = now / (1.0 + now)
        if abs(share - before) < _CLOSE:
            break
        before, share = share, float(now.sum() + _BESIDES) / (len(p) + 2.0 * _BESIDES)
    return np.asarray(now, np.float64)


def logit(score: NDArray[np.floating]) -> F64:
    """Return ``log(p / (1 - p))`` of scores, kept away from 0 and 1; NaN stays NaN."""
    p = np.clip(np.asarray(score, np.float64), _CLIP, 1.0 - _CLIP)
    return np.asarray(np.log(p / (1.0 - p)), np.float64)


def _beyond(times: NDArray[np.integer], by_chance: NDArray[np.floating]) -> F64:
    ratio = np.log((np.asarray(times, np.float64) + 0.5) / (np.asarray(by_chance, np.float64) + 0.5))
    return np.clip(ratio, 0.0, _MOST)
