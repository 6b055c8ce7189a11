"""A light head: the last layer of a network, fitted further to labels; pure functions of arrays."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from .._arrays import F32, F64, Bools
from .examples import Examples, weights_of_labels

#: How much what is rehearsed weighs beside the labels, tried in turn until nothing is forgotten.
HOLDS = (30.0, 100.0, 300.0, 1000.0)
#: Weight of the squared change of the kernel, on features of variance 1: keeps what neither labels nor
#: rehearsal determine.
_RIDGE = 0.003


@dataclass(frozen=True, eq=False)
class Head:
    """The last layer of a network and the threshold of its score.

    Attributes
    ----------
    kernel : ndarray of float32, shape (m, k)
    bias : ndarray of float32, shape (k,)
    is_real : ndarray of bool, shape (k,)
        Classes that count as real.
    threshold : float
    """

    kernel: F32
    bias: F32
    is_real: Bools
    threshold: float

    def classes(self, features: F32) -> F32:
        """Return the probabilities (n, k) of features (n, m)."""
        logits = (features @ self.kernel + self.bias).astype(np.float64)
        return np.asarray(np.exp(logits - logsumexp(logits, axis=1, keepdims=True)), np.float32)

    def classes_of(self, examples: Examples) -> F32:
        """Return the probabilities (n, k) of examples."""
        return self.classes(examples.features)

    def score(self, features: F32) -> F32:
        """Return the probability (n,) of being real of features (n, m)."""
        found: F32 = self.classes(features)[:, self.is_real].sum(axis=1, dtype=np.float32)
        return np.asarray(np.minimum(found, np.float32(1)))

    def calls_real(self, features: F32) -> Bools:
        """Tell which of features (n, m) are called real."""
        return self.score(features) > self.threshold


def fit_head(parent: Head, examples: Examples, rehearsed: F32, hold: float) -> Head:
    """Fit the last layer to labels, held back by what it knows already.

    The loss has three parts: the cross-entropy of the labels; the divergence of the probabilities of
    what is rehearsed from those of the parent (distillation, Hinton et al. 2015, arXiv:1503.02531); and
    the squared change of the kernel. What the labels weigh is `weights_of_labels`.

    Parameters
    ----------
    parent : Head
    examples : Examples
        Both real and bogus.
    rehearsed : ndarray of float32, shape (r, m)
        Features of what must be judged as before.
    hold : float
        Weight of what is rehearsed, in labels' weight.

    Returns
    -------
    Head
        With the threshold of the parent.
    """
    x, rehearsal, scale = _standardised(examples.features, rehearsed)
    start = (examples.features @ parent.kernel + parent.bias).astype(np.float64)
    known = parent.classes(rehearsed).astype(np.float64)
    log_known = np.log(np.maximum(known, np.finfo(float).tiny))
    m, k = parent.kernel.shape

    def loss(flat: F64) -> tuple[float, F64]:
        change, shift = flat[: m * k].reshape(m, k), flat[m * k :]
        value, slope = _of_labels(start + x @ change + shift, examples, parent.is_real)
        to_change, to_shift = x.T @ slope, slope.sum(axis=0)
        logits = log_known + rehearsal @ change + shift
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
        n = len(rehearsal)
        value += hold * float(np.sum(known * (log_known - log_p))) / n
        of_rehearsal = hold * (np.exp(log_p) - known) / n
        to_change += rehearsal.T @ of_rehearsal + 2.0 * _RIDGE * change
        value += _RIDGE * float(np.sum(change**2))
        return value, np.concatenate([to_change.reshape(-1), to_shift + of_rehearsal.sum(axis=0)])

    found = minimize(loss, np.zeros(m * k + k), jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
    change, shift = found[: m * k].reshape(m, k) / scale[1][:, np.newaxis], found[m * k :]
    return replace(
        parent,
        kernel=(parent.kernel + change).astype(np.float32),
        bias=(parent.bias + shift - scale[0] @ change).astype(np.float32),
    )


def fit_calibration(parent: Head, examples: Examples, rehearsed: F32, hold: float) -> Head:
    """Fit a temperature and a shift of the real classes' logits, held back as for `fit_head`.

    Parameters
    ----------
    parent, examples, rehearsed, hold
        As for `fit_head`.

    Returns
    -------
    Head
    """
    start = (examples.features @ parent.kernel + parent.bias).astype(np.float64)
    known = parent.classes(rehearsed).astype(np.float64)
    log_known = np.log(np.maximum(known, np.finfo(float).tiny))
    real = parent.is_real.astype(float)

    def loss(p: F64) -> float:
        logits, rehearsal = (v * np.exp(-p[0]) + p[1] * real for v in (start, log_known))
        log_p = rehearsal - logsumexp(rehearsal, axis=1, keepdims=True)
        forgets = float(np.sum(known * (log_known - log_p))) / len(known)
        return _of_labels(logits, examples, parent.is_real)[0] + hold * forgets

    ln_temperature, shift = minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-3}).x
    cooled = np.exp(-ln_temperature)
    return replace(
        parent,
        kernel=(parent.kernel * cooled).astype(np.float32),
        bias=(parent.bias * cooled + shift * real).astype(np.float32),
    )


def choose_threshold(
    parent: Head, examples: Examples, rehearsed: Examples, pseudo: float = 50.0
) -> Head:
    """Choose another threshold by the errors of labels, and of simulation, which counts as some labels.

    Parameters
    ----------
    parent : Head
    examples : Examples
        May be of one kind alone.
    rehearsed : Examples
        Simulated ones.
    pseudo : float
        How many labels of each kind the simulation counts as.

    Returns
    -------
    Head
        With the least sum of the share of real ones missed and the share of bogus let in.
    """
    candidates = np.unique([parent.threshold, *np.linspace(0.05, 0.95, 19)])
    cost = np.zeros(len(candidates))
    for part, weight in ((examples, 1.0), (rehearsed, pseudo)):
        score = parent.score(part.features)
        for is_of in (True, False):
            of = part.real == is_of
            n = int(np.count_nonzero(examples.real == is_of))
            if not of.any():
                continue
            share = (n if part is examples else weight) / (n + pseudo)
            wrong = (score[of, np.newaxis] > candidates) != is_of
            cost += share * wrong.mean(axis=0)
    # Of equals the one nearest to what was.
    best = np.lexsort((np.abs(candidates - parent.threshold), np.round(cost, 9)))[0]
    return replace(parent, threshold=float(candidates[best]))


def _of_labels(logits: F64, examples: Examples, is_real: Bools) -> tuple[float, F64]:
    """Return the cross-entropy of labels and its slope by the logits (n, k).

    A label without a class is about the sum of the real classes. One with a class is about that beside,
    as far as the label is right.
    """
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    p = np.exp(log_p)
    log_real = logsumexp(logits[:, is_real], axis=1)
    log_bogus = logsumexp(logits[:, ~is_real], axis=1)
    odds = log_real - log_bogus
    target = np.where(examples.real, examples.right, 1.0 - examples.right)
    value = np.logaddexp(0.0, odds) - target * odds
    slope_of_odds = 1.0 / (1.0 + np.exp(-np.clip(odds, -500, 500))) - target
    within_real = np.where(is_real, np.exp(logits - log_real[:, np.newaxis]), 0.0)
    within_bogus = np.where(~is_real, np.exp(logits - log_bogus[:, np.newaxis]), 0.0)
    slope = slope_of_odds[:, np.newaxis] * (within_real - within_bogus)
    named = np.flatnonzero(examples.kind >= 0)
    if len(named):
        kind, right = examples.kind[named], examples.right[named]
        value[named] -= right * log_p[named, kind]
        slope[named] += right[:, np.newaxis] * p[named]
        slope[named, kind] -= right
    weight = weights_of_labels(examples.real)
    return float(np.mean(weight * value)), weight[:, np.newaxis] * slope / len(value)


def _standardised(features: F32, rehearsed: F32) -> tuple[F64, F64, tuple[F64, F64]]:
    """Return both with mean 0 and variance 1 of what is rehearsed, and that mean and scale."""
    mean = rehearsed.mean(axis=0, dtype=np.float64)
    # A feature that is dead in the simulation may not move the fit by what one label has of it.
    scale = np.maximum(rehearsed.std(axis=0, dtype=np.float64), 1e-2)
    return (features - mean) / scale, (rehearsed - mean) / scale, (mean, scale)
