"""ONNX graphs in which less memory is moved, and nothing else computed.

ONNX Runtime's convolutions take the channels of an image one after the other, TensorFlow's side by side.
The transposition between the two costs a small network an eighth of its time. Slices of what is gathered
for each row cost more than those of the few rows that it is gathered from.
"""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_TO_CHANNELS_FIRST = [0, 3, 1, 2]


def copied(message: Any) -> Any:
    """Return a copy of a model, a node or a constant."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def read_side_by_side(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function with its first convolution on the image as it lies in memory.

    An image (height, width, channels) is, without moving a number, one of a single channel that is
    `channels` times as wide. A convolution takes that in kernels and steps which are as much wider.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified. Where a transposition of an input has one user, a plain convolution, the two become
        a reshaping and a convolution; all else stays.

    Returns
    -------
    onnx.ModelProto
    """
    result: onnx.ModelProto = copied(proto)
    graph = result.graph
    sides = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in graph.input
    }
    constants = {c.name: c for c in graph.initializer}
    for i, node in enumerate(graph.node):
        users = [other for other in graph.node if node.output[0] in other.input]
        if (
            node.op_type == "Transpose"
            and list(_attributes(node).get("perm", [])) == _TO_CHANNELS_FIRST
            and all(sides.get(node.input[0], [0, 0])[1:])
            and len(users) == 1
            and _is_plain(users[0], constants)
            and sum(users[0].input[1] in other.input for other in graph.node) == 1
        ):
            height, width, channels = sides[node.input[0]][1:]
            shape = numpy_helper.from_array(
                np.array([-1, 1, height, width * channels], np.int64), f"{node.output[0]}/shape"
            )
            graph.initializer.append(shape)
            graph.node[i].CopyFrom(
                helper.make_node("Reshape", [node.input[0], shape.name], [node.output[0]], node.name)
            )
            _widen(users[0], constants[users[0].input[1]], channels)
    return result


def gather_last(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function with parts of rows cut out before rows are gathered.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified. A gathering of rows of which all users cut columns becomes one for each of these.

    Returns
    -------
    onnx.ModelProto
    """
    result: onnx.ModelProto = copied(proto)
    graph = result.graph
    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    outputs = {output.name for output in graph.output}
    for gather in [node for node in graph.node if node.op_type == "Gather"]:
        rows = gather.output[0]
        users = [node for node in graph.node if rows in node.input]
        if (
            _attributes(gather).get("axis", 0) != 0
            or rows in outputs
            or not users
            or not all(_cuts_columns(node, rows, constants) for node in users)
        ):
            continue
        nodes = []
        for node in graph.node:
            if node == gather:
                continue
            if node in users:
                part = f"{node.output[0]}/part"
                nodes += [
                    helper.make_node("Slice", [gather.input[0], *node.input[1:]], [part]),
                    helper.make_node("Gather", [part, gather.input[1]], node.output, axis=0),
                ]
            else:
                nodes.append(node)
        copies = [copied(node) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return result


def _is_plain(node: onnx.NodeProto, constants: dict[str, Any]) -> bool:
    """Whether a node is a convolution of one group, without gaps, with known weights and padding."""
    settings = _attributes(node)
    return (
        node.op_type == "Conv"
        and node.input[1] in constants
        and settings.get("group", 1) == 1
        and all(step == 1 for step in settings.get("dilations", [1, 1]))
        and settings.get("auto_pad", b"NOTSET") == b"NOTSET"
    )


def _widen(convolution: onnx.NodeProto, weights: Any, channels: int) -> None:
    """Let a convolution take `channels` numbers of each pixel side by side."""
    values = numpy_helper.to_array(weights)
    n, _, height, width = values.shape
    wide = values.transpose(0, 2, 3, 1).reshape(n, 1, height, width * channels)
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(wide), weights.name))
    settings = _attributes(convolution)
    rows, columns = settings.get("strides", [1, 1])
    top, left, bottom, right = settings.get("pads", [0] * 4)
    changed = {
        "kernel_shape": [height, width * channels],
        "strides": [rows, columns * channels],
        "pads": [top, left * channels, bottom, right * channels],
    }
    kept = [a for a in convolution.attribute if a.name not in changed]
    del convolution.attribute[:]
    convolution.attribute.extend(kept)
    convolution.attribute.extend(helper.make_attribute(*each) for each in changed.items())


def _cuts_columns(node: onnx.NodeProto, rows: str, constants: dict[str, Any]) -> bool:
    if node.op_type != "Slice" or node.input[0] != rows or len(node.input) != 4:
        return False  # with steps it has one more
    starts, stops, axes = (constants.get(name) for name in node.input[1:])
    if starts is None or stops is None or axes is None:
        return False
    # What is cut of the rows has to be all of them.
    whole = [(a, b) for axis, a, b in zip(axes, starts, stops, strict=True) if axis == 0]
    return all(a == 0 and b > 2**30 for a, b in whole)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}
