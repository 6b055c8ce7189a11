"""Networks between the one that a fit began with and the one that it ended with."""

import keras
import numpy as np
from keras import layers

from .._arrays import F32


def blend(model: keras.Model, parent: keras.Model, share: float, cutouts: F32) -> None:
    """Move the weights of a network that was fitted further back towards those it began with.

    What a network learns of new kinds of frame costs some of what it knew of the old ones; between the
    two lie networks that are good at both (Wortsman et al. 2022, arXiv:2109.01903). The statistics of
    the batch normalisations are measured anew, which no mean of two gives.

    Parameters
    ----------
    model : keras.Model
        The fitted network; changed.
    parent : keras.Model
        The network that the fit began with, see `rbtrain.fitting.inherit.inherit`.
    share : float
        Of the parent, from 0 to 1.
    cutouts : ndarray of float32, shape (n, size, size, 2)
        Some thousand, as the network is fitted to.
    """
    mixed = [
        (1 - share) * own + share * old
        for own, old in zip(model.get_weights(), parent.get_weights(), strict=True)
    ]
    model.set_weights(mixed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            before = keras.Model(model.inputs[0], layer.input)
            values = np.asarray(before.predict(cutouts, batch_size=1024, verbose=0), np.float64)
            axes = tuple(range(values.ndim - 1))
            scale, shift, *_ = layer.get_weights()
            layer.set_weights([scale, shift, values.mean(axis=axes), values.var(axis=axes)])
