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
from .model import JUDGED

_Weights = tuple[NDArray[Any], NDArray[Any]]


def inherit(model: keras.Model, model_file: str | os.PathLike[str], cutouts: F32) -> None:
    """Give a compact network the weights of a model file of the same layers.

    A model file has no batch normalisation any more: it is part of the convolutions. Here each gets
    the statistics that it has on some cutouts, and the scale and the shift that undo it, so that the
    network computes what the file does and can be fitted further. What the file does not read, but the
    network does, begins with no weight: of a file that reads cutouts alone the layers of those and the
    last are taken, of one that reads stars and native pixels all. So do features that the network has
    more of than the file: they are drawn, but nothing looks at them (Chen et al. 2016,
    arXiv:1511.05641).

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
    try:
        _inherit(model, _Graph(onnx.load(os.fspath(model_file)).graph), model_file, cutouts)
    except LookupError as error:
        raise ValueError(f"{model_file} is of another network: {error}") from error


def _inherit(
    model: keras.Model, graph: "_Graph", model_file: str | os.PathLike[str], cutouts: F32
) -> None:
    body, found = _of_cutouts(model), graph.branch("cutouts")
    last, kernel, bias = model.layers[-1], *graph.last()
    if graph.inputs == ["cutouts"]:  # nothing joins them: the last layer is in their branch
        found = found[:-1]
    if len(found) != len(body):
        raise ValueError(f"{model_file} has {len(found)} layers of cutouts, but {len(body)} are needed")
    for (layer, normalisation), (weights, shift) in zip(body, found, strict=True):
        _set(layer, [_kernel(layer, weights)], model_file)
        before = keras.Model(model.inputs[0], normalisation.input)
        values = np.asarray(before.predict(cutouts, batch_size=1024, verbose=0), np.float64)
        axes = tuple(range(values.ndim - 1))
        mean, variance = values.mean(axis=axes), values.var(axis=axes)
        scale = np.sqrt(variance + normalisation.epsilon)
        _set(normalisation, [scale, shift + mean, mean, variance], model_file)
    if "core" in graph.inputs:
        _inherit_others(model, graph, model_file)
    # Features that the file does not have come last, and are not looked at for now.
    _set(last, [_with_more(kernel, last, np.arange(len(kernel))), bias], model_file)


def _inherit_others(model: keras.Model, graph: "_Graph", model_file: str | os.PathLike[str]) -> None:
    """Take what a file has that reads more than cutouts: stars, native pixels, the wide view."""
    ours = {tensor.name for tensor in model.inputs}
    missing = [name for name in graph.inputs if name not in ours | {"psf_index"}]
    if missing or "psf" not in graph.inputs:
        raise ValueError(
            f"{model_file} reads {graph.inputs}, the network {sorted(ours)}; a network goes on from a "
            "file of cutouts alone, or of stars and native pixels that it reads, too"
        )
    for name in ("psf", "population", "core", "context"):
        if name not in graph.inputs:
            continue
        of_file = graph.branch(name)
        readers = _readers(model, name)
        if len(of_file) != len(readers):
            raise ValueError(f"{model_file} has {len(of_file)} layers of {name}, not {len(readers)}")
        for layer, (weights, bias) in zip(readers, of_file, strict=True):
            _set(layer, _grown(layer, _kernel(layer, weights), bias), model_file)
    judged = model.get_layer(JUDGED)
    kernel = graph.joined("core")
    _set(judged, [_with_more(kernel, judged, _places(model, graph, len(kernel)))], model_file)


def _readers(model: keras.Model, name: str) -> list[Any]:
    """Return the layers that read an input alone."""
    return [each for each in model.layers if each.name.startswith(f"{name}_") and each.weights]


def _places(model: keras.Model, graph: "_Graph", n: int) -> NDArray[np.intp]:
    """Return which of the features that are joined those (n,) of a file are.

    Those of the cutout come first, then those of the native pixels, of which there may be more, and then
    those of the wide view.
    """
    of_file = len(graph.branch("core")[-1][1])
    ours = _readers(model, "core")[-1].units
    of_view = len(graph.branch("context")[-1][1]) if "context" in graph.inputs else 0
    places = np.arange(n)
    places[n - of_view :] += ours - of_file
    return places


def _kernel(layer: Any, weights: NDArray[Any]) -> NDArray[Any]:
    """Return the weights of a graph's layer as Keras has them: height and width first."""
    if weights.ndim == 2:
        return weights
    if weights.shape[1] == 1 and not isinstance(layer, layers.DepthwiseConv2D):
        # An image of several channels that is read as a wide one; see `rbtrain.export.layout`.
        channels = layer.kernel.shape[2]
        weights = weights.reshape(*weights.shape[:1], weights.shape[2], -1, channels)
        return np.moveaxis(weights, 0, 3)
    kernel = np.moveaxis(weights, (2, 3), (0, 1))
    return kernel if isinstance(layer, layers.DepthwiseConv2D) else np.moveaxis(kernel, 2, 3)


def _grown(layer: Any, kernel: NDArray[Any], bias: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the weights of a layer that may take and give more features than that of a file."""
    if kernel.ndim > 2:
        return [kernel, bias]
    more = max(layer.units - len(bias), 0)
    return [_with_more(kernel, layer, np.arange(len(kernel))), np.pad(bias, (0, more))]


def _with_more(kernel: NDArray[Any], layer: Any, places: NDArray[np.intp]) -> NDArray[Any]:
    """Return a kernel with zeros for what else a layer takes, and what is drawn for what else it gives.

    Parameters
    ----------
    kernel : ndarray, shape (n, m)
    layer : keras.layers.Dense
        Takes `n` numbers or more, and gives `m` or more; of others the kernel is returned as it is.
    places : ndarray of int, shape (n,)
        Which of those that the layer takes the kernel's are.
    """
    grown = np.array(layer.get_weights()[0])
    given = kernel.shape[1]
    if np.any(np.less(grown.shape, kernel.shape)) or places[-1] >= len(grown):
        return kernel
    grown[:, :given] = 0.0
    grown[places, :given] = kernel
    return grown


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


class _Graph:
    """The layers of a model file, found by following what it takes; a LookupError of a foreign one."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
        self._nodes = list(graph.node)
        self.inputs = [value.name for value in graph.input]

    def branch(self, name: str) -> list[_Weights]:
        """Return weights and bias of the layers of an input, until something else joins it."""
        return list(self._along(name))[:-1]

    def joined(self, name: str) -> NDArray[Any]:
        """Return the weights of the layer in which an input is joined with others."""
        *_, (end, _) = self._along(name)
        node = self._after(end)
        while node.op_type == "Concat":
            node = self._after(node.output[0])
        return self._constants[node.input[1]]

    def last(self) -> _Weights:
        """Return weights and bias of the layer before the softmax."""
        by_output = {node.output[0]: node for node in self._nodes}
        softmax = next((node for node in self._nodes if node.op_type == "Softmax"), None)
        if softmax is None:
            raise LookupError("it has no softmax")
        add = by_output[softmax.input[0]]
        return self._constants[by_output[add.input[0]].input[1]], self._constants[add.input[1]]

    def _after(self, name: str) -> Any:
        found = next((node for node in self._nodes if name in node.input), None)
        if found is None:
            raise LookupError(f"no layer reads {name!r}")
        return found

    def _along(self, name: str) -> Iterator[Any]:
        """Yield weights and bias of each layer, and at the end where the branch ends."""
        weights = None
        while True:
            node = self._after(name)
            others = [given for given in node.input if given != name and given not in self._constants]
            if others or node.op_type == "Softmax":
                break
            if node.op_type == "Conv":
                yield self._constants[node.input[1]], self._constants[node.input[2]]
            elif node.op_type == "MatMul":
                weights = self._constants[node.input[1]]
            elif node.op_type == "Add" and weights is not None:
                yield weights, self._constants[node.input[1]]
            name = node.output[0]
        yield name, None


def _set(layer: Any, values: list[NDArray[Any]], model_file: str | os.PathLike[str]) -> None:
    shapes = [tuple(w.shape) for w in layer.weights]
    if shapes != [v.shape for v in values]:
        raise ValueError(
            f"{model_file} has weights {[v.shape for v in values]} where {layer.name} takes {shapes}; "
            "it is of another network"
        )
    layer.set_weights([np.asarray(v, np.float32) for v in values])
