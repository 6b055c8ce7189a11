"""All layers of a network, fitted further to labels; what it rehearses holds it back."""

import dataclasses
import math
import os
from dataclasses import dataclass
from typing import Self

import keras
import numpy as np
from keras import layers as of_keras

from .._arrays import F32, Bools
from ..config import TrainConfig
from ..data.seen import Seen
from .batches import Batches
from .examples import Examples, targets_of_labels
from .fit import build
from .inherit import inherit
from .model import inputs_of

#: Epochs, rows of a batch and first learning rate: labels move a network a little, not to another place.
_EPOCHS, _BATCH, _RATE = 8, 128, 5e-4
#: Rows that a network is asked about at a time.
_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Layers:
    """A network of which all layers can be fitted, and the threshold of its score.

    Attributes
    ----------
    model : keras.Model
        From `rbtrain.fitting.model.create_compact_model`.
    is_real : ndarray of bool, shape (k,)
        Classes that count as real.
    threshold : float
    """

    model: keras.Model
    is_real: Bools
    threshold: float

    @classmethod
    def of_file(
        cls,
        config: TrainConfig,
        model_file: str | os.PathLike[str],
        cutouts: F32,
        is_real: Bools,
        threshold: float,
    ) -> Self:
        """Build the network of a model file.

        Parameters
        ----------
        config : TrainConfig
            Names its layers.
        model_file : path
        cutouts : ndarray of float32, shape (n, size, size, 2)
            Some thousand; see `rbtrain.fitting.inherit.inherit`.
        is_real : ndarray of bool, shape (k,)
        threshold : float

        Raises
        ------
        ValueError
            The file has other layers; names what differs.
        """
        plain = dataclasses.replace(config, fit=dataclasses.replace(config.fit, precision="float32"))
        model = build(plain)
        inherit(model, model_file, cutouts)
        return cls(model, is_real, threshold)

    def classes_of(self, examples: Examples) -> F32:
        """Return the probabilities (n, k) of examples, which know what the network is shown."""
        seen = _seen(examples)
        parts = [np.zeros((0, len(self.is_real)), np.float32)]
        for start in range(0, len(seen), _AT_ONCE):
            inputs = inputs_of(self.model, *seen.inputs(slice(start, start + _AT_ONCE)))
            found = self.model.predict(inputs, batch_size=1024, verbose=0)
            parts.append(np.asarray(found, np.float32))
        return np.concatenate(parts)


def fit_layers(
    parent: Layers, examples: Examples, rehearsed: Examples, hold: float, seed: int
) -> Layers:
    """Fit all layers to labels.

    The loss is the cross-entropy with what the labels ask for (`targets_of_labels`) and, of what is
    rehearsed, with the probabilities that the parent gives (distillation, Hinton et al. 2015,
    arXiv:1503.02531). The batch normalisations stay as they are: the statistics of a few labels
    are not those of the sky.

    Parameters
    ----------
    parent : Layers
        Not changed.
    examples : Examples
        Both real and bogus.
    rehearsed : Examples
        What must be judged as before.
    hold : float
        Weight of what is rehearsed, in labels' weight.
    seed : int
        Of the order, the turns and the dropout.

    Returns
    -------
    Layers
        With the threshold of the parent.
    """
    model = keras.models.clone_model(parent.model)
    model.set_weights(parent.model.get_weights())
    for layer in model.layers:
        layer.trainable = not isinstance(layer, of_keras.BatchNormalization)
    model.compile(keras.optimizers.Adam(_RATE), "categorical_crossentropy")
    asked = targets_of_labels(parent.classes_of(examples), examples, parent.is_real)
    targets = np.concatenate([asked, parent.classes_of(rehearsed)])
    weights = np.repeat([1.0 / len(examples), hold / len(rehearsed)], [len(examples), len(rehearsed)])
    names = [tensor.name for tensor in model.inputs]
    batches = Batches(
        Seen.joined([_seen(examples), _seen(rehearsed)]),
        np.arange(len(targets)),
        targets,
        np.asarray(weights / weights.mean(), np.float32),
        _BATCH,
        seed,
        psf="psf" in names,
        core="core" in names,
        context="context" in names,
    )
    keras.utils.set_random_seed(seed)
    model.fit(
        batches,
        epochs=_EPOCHS,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: batches.start_epoch(epoch)),
            keras.callbacks.LearningRateScheduler(_rate),
        ],
        verbose=0,
        shuffle=False,
    )
    return dataclasses.replace(parent, model=model)


def _rate(epoch: int, _: float = 0.0) -> float:
    """Return the learning rate of an epoch: along a cosine to near 0."""
    return _RATE * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * epoch / _EPOCHS)))


def _seen(examples: Examples) -> Seen:
    if examples.seen is None:
        raise ValueError("the examples do not tell what a network is shown of them")
    return examples.seen
