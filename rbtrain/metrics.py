"""Figures of merit of scores against labels: pure functions of arrays."""

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from ._arrays import Bools, Floats


def auc(real: Bools, score: Floats) -> float:
    """Area under the ROC curve: the probability that a real one scores above a bogus one.

    From the ranks, ties counted half (Mann and Whitney 1947). NaN when a class is empty.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)

    Returns
    -------
    float
    """
    n_real, n_bogus = int(real.sum()), int((~real).sum())
    if n_real == 0 or n_bogus == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[real].sum() - n_real * (n_real + 1) / 2) / (n_real * n_bogus))


def rates_at(real: Bools, score: Floats, threshold: float) -> tuple[float, float]:
    """True- and false-positive rate at a threshold; scores equal to it are not real.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)
    threshold : float

    Returns
    -------
    true_rate, false_rate : float
        NaN where there is none of a class.
    """
    above = score > threshold
    true_rate = float(above[real].mean()) if real.any() else float("nan")
    false_rate = float(above[~real].mean()) if (~real).any() else float("nan")
    return true_rate, false_rate


def threshold_for_missed(real: Bools, score: Floats, missed: float) -> float:
    """Largest threshold at which no more than a fraction `missed` of the real are lost.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)
    missed : float
        From 0 to 1.

    Returns
    -------
    float
        NaN where none is real.
    """
    values = np.sort(np.asarray(score)[real])
    if len(values) == 0:
        return float("nan")
    lost = int(np.floor(missed * len(values) + 1e-9))
    # Just below the first score that has to be kept.
    below = np.nextafter(values.dtype.type(values[lost]), values.dtype.type(-np.inf))
    return float(max(below, 0.0))


def threshold_for_false(real: Bools, score: Floats, false: float) -> float:
    """Smallest threshold at which no more than a fraction `false` of the bogus pass.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)
    false : float
        From 0 to 1.

    Returns
    -------
    float
        NaN where none is bogus.
    """
    values = np.sort(np.asarray(score)[~real])[::-1]
    if len(values) == 0:
        return float("nan")
    passed = int(np.floor(false * len(values) + 1e-9))
    return float(values[passed]) if passed < len(values) else 0.0


def false_rate_at_true_rate(real: Bools, score: Floats, true_rate: float) -> float:
    """False-positive rate where at least `true_rate` of the real are kept.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)
    true_rate : float
        From 0 to 1.

    Returns
    -------
    float
        NaN where a class is empty.
    """
    if not real.any() or real.all():
        return float("nan")
    return rates_at(real, score, threshold_for_missed(real, score, 1 - true_rate))[1]


def bootstrap(
    figure: Callable[[Bools, Floats], float],
    real: Bools,
    score: Floats,
    rng: np.random.Generator,
    samples: int = 200,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a figure of merit, real and bogus resampled apart.

    Parameters
    ----------
    figure : callable
        Called as ``figure(real, score)``; gives a float.
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)
    rng : numpy.random.Generator
        For the samples.
    samples : int
    level : float
        Probability that the interval covers.

    Returns
    -------
    low, high : float
    """
    positive, negative = np.flatnonzero(real), np.flatnonzero(~real)
    values = []
    for _ in range(samples):
        rows = np.concatenate(
            [rng.choice(part, len(part)) for part in (positive, negative) if len(part)]
        )
        values.append(figure(real[rows], score[rows]))
    low, high = np.nanpercentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def reliability(
    real: Bools, score: Floats, bins: int = 15, weights: Floats | None = None
) -> list[dict[str, float]]:
    """Fraction that is real in equal bins of the score; empty bins are left out.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)
        From 0 to 1.
    bins : int
    weights : ndarray of float, shape (n,), optional
        Of each row, for another mix than that of the rows.

    Returns
    -------
    list of dict
        ``low``, ``high`` (edges of the bin), ``n``, ``share`` of the weight, ``score`` (mean) and
        ``real`` (fraction).
    """
    weights = np.ones(len(score)) if weights is None else weights
    total = float(np.sum(weights))
    which = np.minimum((score * bins).astype(int), bins - 1)
    rows = []
    for i in range(bins):
        inside = which == i
        if inside.any():
            rows.append(
                {
                    "low": i / bins,
                    "high": (i + 1) / bins,
                    "n": int(inside.sum()),
                    "share": float(weights[inside].sum()) / total,
                    "score": float(np.average(score[inside], weights=weights[inside])),
                    "real": float(np.average(real[inside], weights=weights[inside])),
                }
            )
    return rows


def expected_calibration_error(
    real: Bools, score: Floats, bins: int = 15, weights: Floats | None = None
) -> float:
    """Mean distance of the score from the fraction that is real, over equal bins of the score.

    Naeini et al. 2015 (AAAI), as used by Guo et al. 2017, arXiv:1706.04599.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)
        From 0 to 1.
    bins : int
    weights : ndarray of float, shape (n,), optional
        Of each row, for another mix than that of the rows.

    Returns
    -------
    float
    """
    rows = reliability(real, score, bins, weights)
    return sum(row["share"] * abs(row["score"] - row["real"]) for row in rows)


def shift_prior(score: Floats, had: float, has: float) -> Floats:
    """Probabilities for another fraction of real ones than they were calibrated for.

    The odds times the ratio of the prior odds; Saerens, Latinne and Decaestecker 2002, Neural
    Computation 14, 21. Right where the two classes themselves are as they were.

    Parameters
    ----------
    score : ndarray of float, shape (n,)
    had, has : float
        Fraction of real ones that the scores are calibrated for, and that there is; both between 0
        and 1.

    Returns
    -------
    ndarray of float, shape (n,)
    """
    real, bogus = score * (has / had), (1 - score) * ((1 - has) / (1 - had))
    shifted: Floats = real / np.maximum(real + bogus, np.finfo(float).tiny)
    return shifted
