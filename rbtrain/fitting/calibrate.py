"""Calibration of the network's output."""

from collections.abc import Sequence

import keras
import numpy as np
from scipy.optimize import minimize

from .._arrays import F32, F64
from .temperature import fit_temperature


def calibrate(
    model: keras.Model,
    inputs: F32 | list[F32],
    targets: F32,
    weights: F32 | None = None,
    sources: Sequence[int] = (),
) -> tuple[keras.Model, dict[str, object]]:
    """Calibrate a network by rescaling its last layer.

    One score: Platt scaling of the logit, sigmoid(a z + b) (Platt 1999). Classes: temperature
    scaling, softmax(z / T) (Guo et al. 2017, arXiv:1706.04599), with one shift b of the logits of all
    `sources`, which moves their odds against the others as another mix of the two does. Both are
    linear in the logit, so they become part of the last layer's weights: the calibrated network is
    again a network.

    Parameters
    ----------
    model : keras.Model
        Ends in a dense layer with sigmoid or softmax.
    inputs : ndarray of float32, shape (n, size, size, 2), or a list with stars
        Held-out inputs, as `rbtrain.fitting.model.inputs_of` gives them.
    targets : ndarray of float32, shape (n, 1) or (n, k)
    weights : ndarray of float32, shape (n,), optional
        Weight of each input; they make the mix that the result is calibrated for.
    sources : sequence of int
        Columns of the classes whose logits are shifted together; none by default.

    Returns
    -------
    model : keras.Model
        A copy with the calibration in its last layer.
    parameters : dict
        Method and parameters, for the model file.
    """
    row_weights: F64 = np.ones(len(targets)) if weights is None else weights.astype(float)
    logits = _logits(model, inputs)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    kernel, bias = twin.layers[-1].get_weights()
    if targets.shape[1] == 1:
        slope, shift = _fit_platt(logits[:, 0], targets[:, 0].astype(float), row_weights)
        twin.layers[-1].set_weights([kernel * slope, bias * slope + shift])
        return twin, {"method": "platt", "slope": slope, "shift": shift}
    is_source = np.isin(np.arange(targets.shape[1]), sources).astype(float)
    temperature, shift = fit_temperature(logits, targets, row_weights, is_source)
    twin.layers[-1].set_weights([kernel / temperature, bias / temperature + shift * is_source])
    return twin, {"method": "temperature", "temperature": temperature, "shift": shift}


def _fit_platt(logits: F64, targets: F64, weights: F64) -> tuple[float, float]:
    """Return slope and shift of a logit (n,) that minimise the cross-entropy."""

    def loss(p: F64) -> float:
        v = p[0] * logits + p[1]
        return float(np.average(np.logaddexp(0, v) - targets * v, weights=weights))

    slope, shift = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-5}).x
    return float(slope), float(shift)


def _logits(model: keras.Model, inputs: F32 | list[F32]) -> F64:
    """Input of the last activation."""
    body = keras.Model(model.input, model.layers[-1].input)
    features = np.asarray(body.predict(inputs, batch_size=1024, verbose=0), np.float64)
    kernel, bias = model.layers[-1].get_weights()
    logits: F64 = features @ kernel.astype(np.float64) + bias
    return logits
