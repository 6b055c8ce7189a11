"""Calibration of the network's output and the operating points that follow from it."""

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from rbinfer.spec import OperatingPoint

from .metrics import rates_at, threshold_for_false, threshold_for_missed


def calibrate(
    model: keras.Model,
    cutouts: NDArray[np.float32],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32] | None = None,
) -> tuple[keras.Model, dict[str, object]]:
    """Calibrate a network by rescaling its last layer.

    One score: Platt scaling of the logit, sigmoid(a z + b) (Platt 1999). Classes: temperature
    scaling, softmax(z / T) (Guo et al. 2017, arXiv:1706.04599). Both are linear in the logit, so they
    become part of the last layer's weights: the calibrated network is again a network.

    Parameters
    ----------
    model : keras.Model
        Ends in a dense layer with sigmoid or softmax.
    cutouts : ndarray of float32, shape (n, size, size, 2)
        Held-out inputs.
    targets : ndarray of float32, shape (n, 1) or (n, k)
    weights : ndarray of float32, shape (n,), optional
        Weight of each input.

    Returns
    -------
    model : keras.Model
        A copy with the calibration in its last layer.
    parameters : dict
        Method and parameters, for the model file.
    """
    weights = np.ones(len(cutouts)) if weights is None else weights.astype(float)
    logits = _logits(model, cutouts)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    kernel, bias = twin.layers[-1].get_weights()
    if targets.shape[1] == 1:
        z, t = logits[:, 0], targets[:, 0].astype(float)

        def platt(p: NDArray[np.float64]) -> float:
            v = p[0] * z + p[1]
            return float(np.average(np.logaddexp(0, v) - t * v, weights=weights))

        found = minimize(platt, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-5})
        slope, shift = (float(v) for v in found.x)
        twin.layers[-1].set_weights([kernel * slope, bias * slope + shift])
        return twin, {"method": "platt", "slope": slope, "shift": shift}

    def tempered(log_t: float) -> float:
        v = logits * np.exp(-log_t)
        v = v - v.max(axis=1, keepdims=True)
        loss = np.log(np.exp(v).sum(axis=1)) - (v * targets).sum(axis=1)
        return float(np.average(loss, weights=weights))

    temperature = float(np.exp(minimize_scalar(tempered, bounds=(-2, 2), method="bounded").x))
    twin.layers[-1].set_weights([kernel / temperature, bias / temperature])
    return twin, {"method": "temperature", "temperature": temperature}


def operating_points(
    real: NDArray[np.bool_],
    score: NDArray[np.float32],
    missed: Sequence[float] = (0.01, 0.02, 0.05),
    false: Sequence[float] = (0.001, 0.01),
) -> tuple[OperatingPoint, ...]:
    """Find the thresholds for given missed and false rates, with both rates of each.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float32, shape (n,)
    missed, false : sequence of float
        Rates aimed at.
    """
    points = []
    for name, wanted, find in (
        ("missed", missed, threshold_for_missed),
        ("false", false, threshold_for_false),
    ):
        for rate in wanted:
            threshold = find(real, score, rate)
            true_rate, false_rate = rates_at(real, score, threshold)
            points.append(OperatingPoint(f"{name} {rate:.1%}", threshold, 1 - true_rate, false_rate))
    return tuple(points)


def _logits(model: keras.Model, cutouts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Input of the last activation."""
    body = keras.Model(model.input, model.layers[-1].input)
    features = np.asarray(body.predict(cutouts, batch_size=1024, verbose=0), np.float64)
    kernel, bias = model.layers[-1].get_weights()
    return features @ kernel.astype(np.float64) + bias
