"""ONNX graphs made faster without changing what they compute.

ONNX Runtime folds a batch normalisation into the convolution before it, but not one that stands behind
an activation or a reshaping. What is left of that one, a multiplication and an addition, it runs in
another memory layout than the convolutions, and goes to and fro between the two. Nor does it see that
a max-pooling leaves out the last rows and columns of an image whose side it does not divide.
"""

from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def simplify(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function, faster: `fold_scalings`, then `leave_out_unused`."""
    return leave_out_unused(fold_scalings(proto))


class _Scaling(NamedTuple):
    """``x * factors + shifts``, with one number a channel: a Mul node and an Add node."""

    multiply: onnx.NodeProto
    add: onnx.NodeProto
    factors: NDArray[np.float32]
    shifts: NDArray[np.float32]


def fold_scalings(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function with scalings of channels (``x * a + b``) folded or moved.

    A scaling joins the convolution before it, also across a reshaping that only drops axes of length 1.
    Elsewhere it becomes a convolution of 1 x 1 pixel, each channel by itself, which keeps the layout;
    and it goes behind a max-pooling if no factor is negative, since it then commutes with the maximum.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified. Images in its graph are (n, channels, height, width).

    Returns
    -------
    onnx.ModelProto
    """
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    editor = _Editor(result.graph)
    for scaling in editor.scalings():
        editor.fold(scaling)
    editor.finish()
    return result


def leave_out_unused(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function without the pixels that a max-pooling drops.

    Where it follows a convolution, with at most an activation between them, as many rows and columns
    of the convolution's padding are taken away at the end.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified.

    Returns
    -------
    onnx.ModelProto
    """
    result = onnx.shape_inference.infer_shapes(proto)
    sides = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim][2:]
        for value in result.graph.value_info
    }
    editor = _Editor(result.graph)
    for pool in [node for node in result.graph.node if node.op_type == "MaxPool"]:
        settings = _attributes(pool)
        before = editor.maker(pool.input[0])
        while before is not None and before.op_type == "Relu" and editor.only_user(before):
            before = editor.maker(before.input[0])
        if before is None or before.op_type != "Conv" or editor.only_user(before) is None:
            continue
        side = sides.get(pool.input[0], [])
        kernel, steps = settings["kernel_shape"], settings.get("strides", [1, 1])
        is_plain = not (any(settings.get("pads", ())) or settings.get("ceil_mode") or not all(side))
        if len(side) == 2 and is_plain:
            _crop(before, [(n - k) % s for n, k, s in zip(side, kernel, steps, strict=True)])
    del result.graph.value_info[:]  # of other sizes now
    return result


def _crop(convolution: onnx.NodeProto, unused: list[int]) -> None:
    settings = _attributes(convolution)
    pads, steps = settings.get("pads", [0] * 4), settings.get("strides", [1, 1])
    if any(step > 1 for step in steps) or any(pads[2 + axis] < unused[axis] for axis in (0, 1)):
        return
    for attribute in convolution.attribute:
        if attribute.name == "pads":
            attribute.ints[2:] = [pads[2 + axis] - unused[axis] for axis in (0, 1)]


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


class _Editor:
    """A graph with its constants and neighbours at hand."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
        self.outputs = {output.name for output in graph.output}

    def finish(self) -> None:
        """Write the constants that are still used."""
        used = {name for node in self.graph.node for name in node.input}
        del self.graph.initializer[:]
        for name, value in self.constants.items():
            if name in used:
                self.graph.initializer.append(numpy_helper.from_array(value, name))

    def scalings(self) -> list[_Scaling]:
        found = []
        for node in self.graph.node:
            add = self.only_user(node) if node.op_type == "Mul" else None
            if add is None or add.op_type != "Add" or add.output[0] in self.outputs:
                continue
            factors, shifts = self._per_channel(node), self._per_channel(add)
            if factors is not None and shifts is not None and factors.shape == shifts.shape:
                found.append(_Scaling(node, add, factors, shifts))
        return found

    def fold(self, scaling: _Scaling) -> None:
        source = scaling.multiply.input[0]
        before = self.maker(source)
        if before is not None and self._drops_axes(before, scaling.factors.size):
            before = self.maker(before.input[0])
        if before is not None and before.op_type == "Conv" and self.only_user(before) is not None:
            self._join(before, scaling)
            for user in self._users(scaling.add.output[0]):
                for k, name in enumerate(user.input):
                    if name == scaling.add.output[0]:
                        user.input[k] = source
            self._replace([scaling.multiply, scaling.add], [])
        elif self.constants[scaling.multiply.input[1]].ndim == 4:
            self._make_convolution(scaling, source)

    def _users(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self.graph.node if name in node.input]

    def only_user(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        users = self._users(node.output[0])
        return users[0] if len(users) == 1 and node.output[0] not in self.outputs else None

    def maker(self, name: str) -> onnx.NodeProto | None:
        return next((node for node in self.graph.node if name in node.output), None)

    def _per_channel(self, node: onnx.NodeProto) -> NDArray[np.float32] | None:
        """Return the constant beside a node's first input, if it is one number a channel."""
        value = self.constants.get(node.input[1])
        if value is None or value.ndim not in (1, 4):
            return None
        channels = value.shape[1 if value.ndim == 4 else 0]
        return value.reshape(-1) if value.size == channels else None

    def _drops_axes(self, node: onnx.NodeProto, channels: int) -> bool:
        shape = self.constants.get(node.input[1]) if node.op_type == "Reshape" else None
        return (
            shape is not None and shape.size == 2 and shape[1] == channels
            and self.only_user(node) is not None
        )  # fmt: skip

    def _join(self, convolution: onnx.NodeProto, scaling: _Scaling) -> None:
        weights = self.constants[convolution.input[1]]
        has_bias = len(convolution.input) == 3
        bias = self.constants[convolution.input[2]] if has_bias else np.float32(0)
        inputs = [
            convolution.input[0],
            *self._parameters(
                scaling, weights * scaling.factors.reshape(-1, 1, 1, 1),
                bias * scaling.factors + scaling.shifts,
            ),
        ]  # fmt: skip
        del convolution.input[:]
        convolution.input.extend(inputs)

    def _make_convolution(self, scaling: _Scaling, source: str) -> None:
        name = end = scaling.add.output[0]
        old, new = [scaling.multiply, scaling.add], []
        after = self.only_user(scaling.add)
        if after is not None and after.op_type == "MaxPool" and (scaling.factors >= 0).all():
            pool = onnx.NodeProto()
            pool.CopyFrom(after)
            end = pool.output[0]
            pool.input[0], pool.output[0] = source, f"{name}/pooled"
            source = pool.output[0]
            old.append(after)
            new.append(pool)
        inputs = [
            source,
            *self._parameters(scaling, scaling.factors.reshape(-1, 1, 1, 1), scaling.shifts),
        ]
        new.append(
            helper.make_node(
                "Conv", inputs, [end], f"{name}/conv", group=scaling.factors.size, kernel_shape=[1, 1]
            )
        )
        self._replace(old, new)

    def _parameters(self, scaling: _Scaling, weights: Any, bias: Any) -> list[str]:
        names = [f"{scaling.add.output[0]}/{what}" for what in ("weights", "bias")]
        for name, value in zip(names, (weights, bias), strict=True):
            self.constants[name] = np.ascontiguousarray(value, np.float32)
        return names

    def _replace(self, old: list[onnx.NodeProto], new: list[onnx.NodeProto]) -> None:
        nodes = list(self.graph.node)
        at = nodes.index(old[0])
        nodes[at:at] = new
        kept = [node for node in nodes if node not in old]
        del self.graph.node[:]
        self.graph.node.extend(kept)
