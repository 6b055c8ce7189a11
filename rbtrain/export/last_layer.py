"""The last dense layer of a model file: read, changed, and what goes into it."""

import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rbinfer.model.readings import Reading
from rbinfer.model.session import read_spec
from rbinfer.model.spec import METADATA_KEY

from .._arrays import F32, F64
from .._files import replaced
from .proof import ExportError

#: Name of the probabilities in a graph whose output ``classes`` is taken by the features.
_PROBABILITIES = "probabilities"


class LastLayer(NamedTuple):
    """The dense layer whose softmax are the probabilities of the classes.

    Attributes
    ----------
    kernel : ndarray of float32, shape (m, k)
    bias : ndarray of float32, shape (k,)
    features : str
        Tensor (n, m) that goes into it.
    """

    kernel: F32
    bias: F32
    features: str


def last_layer(proto: onnx.ModelProto) -> LastLayer:
    """Find the last dense layer of a graph.

    Raises
    ------
    ExportError
        A graph of another form.
    """
    bias, kernel, _, features = _constants(proto)
    return LastLayer(
        np.array(numpy_helper.to_array(kernel)), np.array(numpy_helper.to_array(bias)), features
    )


def with_last_layer(
    proto: onnx.ModelProto, kernel: F32 | F64, bias: F32 | F64, is_real: F32
) -> onnx.ModelProto:
    """Return a graph with another last layer, and a score that counts other classes.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified. ``classes`` is the softmax of a dense layer, ``score`` a product with it.
    kernel : ndarray, shape (m, k)
    bias : ndarray, shape (k,)
    is_real : ndarray of float32, shape (k, 1)
        1 for the classes that are real by default.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ExportError
        A graph of another form.
    """
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    of_bias, of_kernel, of_score, _ = _constants(result)
    for constant, values in ((of_kernel, kernel), (of_bias, bias), (of_score, is_real)):
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.float32), constant.name))
    return result


def write_features_model(model_file: str | os.PathLike[str], path: str | os.PathLike[str]) -> LastLayer:
    """Write a twin of a model file that gives the features of its last layer in place of its classes.

    It is a model file like any other: whatever scores detections gives their features, cut and told of
    the frame as for the model itself.

    Parameters
    ----------
    model_file : path
        A model with classes.
    path : path
        The twin, whose ``classes`` are the features (n, m) and whose ``score`` is that of the model.

    Returns
    -------
    LastLayer
        Of the model.

    Raises
    ------
    ExportError
        A graph of another form.
    """
    proto = onnx.load(os.fspath(model_file))
    layer = last_layer(proto)
    graph = proto.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for k, name in enumerate(names):
                if name == "classes":
                    names[k] = _PROBABILITIES
    graph.node.append(helper.make_node("Identity", [layer.features], ["classes"]))
    m = len(layer.kernel)
    output = next(value for value in graph.output if value.name == "classes")
    output.CopyFrom(helper.make_tensor_value_info("classes", onnx.TensorProto.FLOAT, ["n", m]))
    names = tuple(f"feature_{k}" for k in range(m))
    spec = dataclasses.replace(
        read_spec(model_file), classes=names, readings=(Reading(names[:1]),), golden=None
    )
    del proto.metadata_props[:]
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, spec.to_json()
    with replaced(Path(path)) as part:
        part.write_bytes(proto.SerializeToString())
    return layer


def _constants(
    proto: onnx.ModelProto,
) -> tuple[onnx.TensorProto, onnx.TensorProto, onnx.TensorProto, str]:
    """Return bias and kernel of the last layer, the classes that its score counts, and its input."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    constants = {c.name: c for c in proto.graph.initializer}
    try:
        softmax, product = makers["classes"], makers["score"]
        add = makers[softmax.input[0]]
        dense = makers[add.input[0]]
        bias, kernel = constants[add.input[1]], constants[dense.input[1]]
        is_real = constants[product.input[1]]
    except (KeyError, IndexError) as error:
        raise ExportError(
            f"the graph has no dense last layer or no product for its score: {error}"
        ) from error
    kinds = [node.op_type for node in (dense, add, softmax, product)]
    if kinds != ["MatMul", "Add", "Softmax", "MatMul"] or product.input[0] != "classes":
        raise ExportError(
            f"the graph ends in {', '.join(kinds)}; a dense layer, its softmax and a product are needed"
        )
    return bias, kernel, is_real, dense.input[0]
