"""All layers of a network, fitted further to labels; what it rehearses holds it back."""

import dataclasses
import math
import os
from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np
from keras import layers as of_keras
from numpy.typing import NDArray

from .._arrays import F32, Bools
from ..config import TrainConfig
from ..data.seen import Seen
from .batches import Batches
from .examples import Examples, Judge, targets_of_labels, weights_of_labels
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

    All that are fitted from one share its graph: to make one takes longer than a fit to few labels.

    Attributes
    ----------
    graph : keras.Model
        From `rbtrain.fitting.model.create_compact_model`, with the weights of any of those.
    weights : list of ndarray
        Those of this network.
    is_real : ndarray of bool, shape (k,)
        Classes that count as real.
    threshold : float
    """

    graph: keras.Model
    weights: list[NDArray[Any]]
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
        graph = build(plain)
        inherit(graph, model_file, cutouts)
        for layer in graph.layers:
            layer.trainable = not isinstance(layer, of_keras.BatchNormalization)
        graph.compile(keras.optimizers.Adam(_RATE), "categorical_crossentropy")
        return cls(graph, graph.get_weights(), is_real, threshold)

    def model(self) -> keras.Model:
        """Return the graph with the weights of this network."""
        self.graph.set_weights(self.weights)
        return self.graph

    def classes_of(self, examples: Examples) -> F32:
        """Return the probabilities (n, k) of examples, which know what the network is shown."""
        seen, model = _seen(examples), self.model()
        parts = [np.zeros((0, len(self.is_real)), np.float32)]
        for start in range(0, len(seen), _AT_ONCE):
            inputs = inputs_of(model, *seen.inputs(slice(start, start + _AT_ONCE)))
            parts.append(np.asarray(model.predict(inputs, batch_size=1024, verbose=0), np.float32))
        return np.concatenate(parts)


def fit_layers(
    parent: Layers, teacher: Judge, examples: Examples, rehearsed: Examples, hold: float, seed: int
) -> Layers:
    """Fit all layers to labels.

    The loss is the cross-entropy with what the labels ask for (`targets_of_labels`), which weigh by
    `weights_of_labels`, and, of what is rehearsed, with the probabilities that the parent gives
    (distillation, Hinton et al. 2015, arXiv:1503.02531). The batch normalisations stay as they are: the
    statistics of a few labels are not those of the sky.

    Parameters
    ----------
    parent : Layers
    teacher : Judge
        The same network, as quick as can be.
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
    asked = targets_of_labels(teacher.classes_of(examples), examples, parent.is_real)
    targets = np.concatenate([asked, teacher.classes_of(rehearsed)])
    of_labels = weights_of_labels(examples.real) / len(examples)
    weights = np.append(of_labels, np.full(len(rehearsed), hold / len(rehearsed)))
    model = parent.model()
    names = [tensor.name for tensor in model.inputs]
    batches = Batches(
        Seen.joined([_seen(examples), _seen(rehearsed)]),
        np.arange(len(targets)),
        targets,
        np.asarray(weights / weights.mean(), np.float32),
        _BATCH,
        seed,
        psf="psf" in names,
        population="population" in names,
        core="core" in names,
        context="context" in names,
    )
    for variable in model.optimizer.variables:  # of an earlier fit; the rate is set below
        variable.assign(keras.ops.zeros_like(variable))
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
    return dataclasses.replace(parent, weights=model.get_weights())


def _rate(epoch: int, _: float = 0.0) -> float:
    """Return the learning rate of an epoch: along a cosine to near 0."""
    return _RATE * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * epoch / _EPOCHS)))


def _seen(examples: Examples) -> Seen:
    if examples.seen is None:
        raise ValueError("the examples do not tell what a network is shown of them")
    return examples.seen
