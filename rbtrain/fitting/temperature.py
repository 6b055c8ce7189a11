"""Temperature scaling: the one calibration of a softmax, from logits and targets alone."""

import numpy as np
from scipy.optimize import minimize

from .._arrays import F32, F64


def fit_temperature(logits: F64, targets: F32, weights: F64, is_source: F64) -> tuple[float, float]:
    """Find the temperature and the shift of the sources' logits that minimise the cross-entropy.

    Parameters
    ----------
    logits : ndarray of float64, shape (n, k)
        Each row's up to a constant.
    targets : ndarray of float32, shape (n, k)
    weights : ndarray of float64, shape (n,)
    is_source : ndarray of float64, shape (k,)
        1 for the classes that are shifted together, 0 for the others; with no 1 there is no shift.

    Returns
    -------
    temperature, shift : float
        The calibrated logits are ``logits / temperature + shift * is_source``.
    """
    shifted = bool(is_source.any())

    def loss(p: F64) -> float:
        v = logits * np.exp(-p[0])
        if shifted:
            v = v + p[1] * is_source
        v = v - v.max(axis=1, keepdims=True)
        entropy = np.log(np.exp(v).sum(axis=1)) - (v * targets).sum(axis=1)
        return float(np.average(entropy, weights=weights))

    start = [0.0, 0.0] if shifted else [0.0]
    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9}).x
    return float(np.exp(found[0])), float(found[1]) if shifted else 0.0
