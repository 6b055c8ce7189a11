"""A fit that begins with the network of a model file."""

import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import onnx
from keras import layers
from numpy.typing import NDArray
from onnx import numpy_helper

from .._arrays import F32

_Weights = tuple[NDArray[Any], NDArray[Any]]


def inherit(model: keras.Model, model_file: str | os.PathLike[str], cutouts: F32) -> None:
    """Give a compact network the weights of a model file of the same layers.

    A model file has no batch normalisation any more: it is part of the convolutions. Here each gets
    the statistics that it has on some cutouts, and the scale and the shift that undo it, so that the
    network computes what the file does and can be fitted further. The last layer begins with no weight
    on what the star of a frame has part in.

    Parameters
    ----------
    model : keras.Model
        From `rbtrain.fitting.model.create_compact_model`; changed.
    model_file : path
        A compact model.
    cutouts : ndarray of float32, shape (n, size, size, 2)
        Some thousand, as they are to be fitted to.

    Raises
    ------
    ValueError
        The file has other layers; names what differs.
    """
    graph = onnx.load(os.fspath(model_file)).graph
    found = list(_along(graph))
    body = _of_cutouts(model)
    wanted = len(body) + 1
    if len(found) != wanted:
        raise ValueError(f"{model_file} has {len(found)} layers with weights, but {wanted} are needed")
    for (layer, normalisation), (weights, bias) in zip(body, found, strict=False):
        kernel = np.moveaxis(weights, (2, 3), (0, 1))  # height and width first
        if not isinstance(layer, layers.DepthwiseConv2D):
            kernel = np.moveaxis(kernel, 2, 3)
        _set(layer, [kernel], model_file)
        before = keras.Model(model.inputs[0], normalisation.input)
        values = np.asarray(before.predict(cutouts, batch_size=1024, verbose=0), np.float64)
        axes = tuple(range(values.ndim - 1))
        mean, variance = values.mean(axis=axes), values.var(axis=axes)
        scale = np.sqrt(variance + normalisation.epsilon)
        _set(normalisation, [scale, bias + mean, mean, variance], model_file)
    kernel, bias = found[-1]
    last = model.layers[-1]
    # Features that the star has part in come last, and are not looked at for now.
    more = last.kernel.shape[0] - len(kernel)
    _set(last, [np.pad(kernel, ((0, max(more, 0)), (0, 0))), bias], model_file)


def _of_cutouts(model: keras.Model) -> list[tuple[Any, Any]]:
    """Return the convolutions of the cutout, each with its normalisation."""
    pairs = []
    convolution = None
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D) and not layer.use_bias:
            convolution = layer
        elif isinstance(layer, layers.BatchNormalization):
            pairs.append((convolution, layer))
    return pairs


def _along(graph: onnx.GraphProto) -> Iterator[_Weights]:
    """Follow the cutouts through a graph; yields weights and bias of each layer."""
    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    name = graph.input[0].name
    weights = None
    while True:
        node = next((n for n in graph.node if name in n.input), None)
        if node is None or node.op_type == "Softmax":
            return
        if node.op_type == "Conv":
            yield constants[node.input[1]], constants[node.input[2]]
        elif node.op_type == "MatMul":
            weights = constants[node.input[1]]
        elif node.op_type == "Add" and weights is not None:
            yield weights, constants[node.input[1]]
        name = node.output[0]


def _set(layer: Any, values: list[NDArray[Any]], model_file: str | os.PathLike[str]) -> None:
    shapes = [tuple(w.shape) for w in layer.weights]
    if shapes != [v.shape for v in values]:
        raise ValueError(
            f"{model_file} has weights {[v.shape for v in values]} where {layer.name} takes {shapes}; "
            "it is of another network"
        )
    layer.set_weights([np.asarray(v, np.float32) for v in values])
