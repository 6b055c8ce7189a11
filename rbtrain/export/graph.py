"""ONNX graphs made faster without changing what they compute.

ONNX Runtime folds a batch normalisation into the convolution before it, but not one that follows an
activation or a reshape. What remains of the latter, a multiplication and an addition, runs in another
memory layout than the convolutions, and each change of layout costs time. Nor does ONNX Runtime see that
a max-pooling drops the last rows and columns of an image whose side it does not divide.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .._arrays import F32
from .layout import copied, gather_last, read_side_by_side


def simplify(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function, faster, with what `rbtrain.export.layout` does, and `in_order`."""
    folded = leave_out_unused(fold_scalings(write_out_shapes(proto)))
    return in_order(gather_last(read_side_by_side(folded)))


def in_order(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function with nodes, constants and names in an order that follows from it alone.

    tf2onnx numbers what it adds in the order of Python's sets, which another process may not repeat:
    without this a network exported twice is two files.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified.

    Returns
    -------
    onnx.ModelProto
        Nodes in the order in which the outputs ask for them, constants in that of their first use. Open
        sides have the name of the first input or output that has them.
    """
    result: onnx.ModelProto = copied(proto)
    graph = result.graph
    if _has_branches(graph):
        return result
    maker = {name: node for node in graph.node for name in node.output if name}
    constants = {constant.name: constant for constant in graph.initializer}
    ordered: list[Any] = []
    seen: set[str] = set()
    asked = [(value.name, False) for value in reversed(graph.output)]
    while asked:  # depth first, without recursion: a graph may be deep
        name, is_ready = asked.pop()
        node = maker.get(name)
        if node is None or (node.output[0] in seen and not is_ready):
            continue
        if is_ready:
            ordered.append(node)
            continue
        seen.add(node.output[0])
        asked.append((name, True))
        asked += [(given, False) for given in reversed(node.input)]
    fixed = {value.name for value in (*graph.input, *graph.output)} | {""}
    new = {name: name for name in fixed}
    for i, node in enumerate(ordered):
        node.name = f"{node.op_type}_{i}"
        for name in (*node.input, *node.output):
            if name not in new:
                new[name] = f"{'weights' if name in constants else 'values'}_{len(new)}"
        node.input[:] = [new[name] for name in node.input]
        node.output[:] = [new[name] for name in node.output]
    kept = [constants[name] for name in new if name in constants]
    for constant in kept:
        constant.name = new[constant.name]
    for field, values in ((graph.node, ordered), (graph.initializer, kept)):
        copies = [copied(value) for value in values]
        del field[:]
        field.extend(copies)
    del graph.value_info[:]  # shapes of names that are no more; they can be inferred
    sides: dict[str, str] = {}
    for value in (*graph.input, *graph.output):
        for axis, side in enumerate(value.type.tensor_type.shape.dim):
            if side.dim_param:
                side.dim_param = sides.setdefault(side.dim_param, f"{value.name}_{axis}")
    return result


def write_out_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function with constants for the shapes of reshapings that can be known before.

    In about one export of sixty, TensorFlow hands over the same network in another order, and tf2onnx
    then lets the graph work out how an image is flattened: seven nodes more, and a scaling behind them
    that no longer joins its convolution.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified. A reshaping stays as it is where more than one side is open.

    Returns
    -------
    onnx.ModelProto
        Without the nodes that nothing asks for any more.
    """
    result: onnx.ModelProto = copied(proto)
    graph = result.graph
    if _has_branches(graph):
        return result
    shapes = _shapes(proto)
    known = {value.name for value in (*graph.initializer, *graph.input)}
    names = known.union(*(node.output for node in graph.node))
    for node in graph.node:
        sides = shapes.get(node.output[0], ())
        if node.op_type != "Reshape" or node.input[1] in known or sides.count(0) > 1 or not sides:
            continue
        name = f"{node.output[0]}/shape"
        while name in names:
            name += "_"
        node.input[1] = name
        shape = np.array([side or -1 for side in sides], np.int64)
        graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))
    asked = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):  # users come after makers
        if asked.intersection(node.output):
            asked.update(node.input)
            kept.append(copied(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    return result


def fold_scalings(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function with scalings of channels (``x * a + b``) folded or moved.

    A scaling joins the convolution before it, also across a reshaping that only drops axes of length 1.
    Elsewhere one of images becomes a convolution of 1 x 1 pixel, each channel by itself, which keeps the
    layout; and it goes behind a max-pooling if no factor is negative, since it then commutes with the
    maximum. What is of another form (see `_Editor.find`) stays.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified. Images in its graph are (n, channels, height, width).

    Returns
    -------
    onnx.ModelProto
    """
    result: onnx.ModelProto = copied(proto)
    if _has_branches(result.graph):
        return result
    editor = _Editor(result.graph, _shapes(proto))
    stays: set[str] = set()
    while (scaling := editor.find(stays)) is not None:
        if not editor.fold(scaling):
            stays.add(scaling.end)
    editor.write_constants()
    return result


def leave_out_unused(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function without the pixels that a max-pooling drops.

    Where a pooling without padding follows a convolution without strides, with nothing but ReLU between
    them, that many rows and columns are taken from the end of the convolution's padding, if it has them.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified.

    Returns
    -------
    onnx.ModelProto
    """
    result: onnx.ModelProto = copied(proto)
    shapes = _shapes(proto)
    editor = _Editor(result.graph, shapes)
    for pool in [node for node in result.graph.node if node.op_type == "MaxPool"]:
        settings = _attributes(pool)
        before = editor.maker(pool.input[0])
        while before is not None and before.op_type == "Relu" and editor.only_user(before) is not None:
            before = editor.maker(before.input[0])
        if before is None or before.op_type != "Conv" or editor.only_user(before) is None:
            continue
        sides = shapes.get(pool.input[0], ())[2:]
        steps = settings.get("strides", [1, 1])
        if _is_plain(pool) and len(sides) == 2 and all(sides):
            unused = [
                (n - k) % s for n, k, s in zip(sides, settings["kernel_shape"], steps, strict=True)
            ]
            _crop(before, unused)
    del result.graph.value_info[:]  # of other sizes now
    return result


def _is_plain(pool: onnx.NodeProto) -> bool:
    """Whether a pooling takes whole blocks of the image alone, and gives nothing but their maxima."""
    settings = _attributes(pool)
    return (
        len(pool.output) == 1
        and not any(settings.get("pads", ()))
        and not settings.get("ceil_mode", 0)
        and settings.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and all(step == 1 for step in settings.get("dilations", ()))
    )


def _crop(convolution: onnx.NodeProto, unused: Sequence[int]) -> None:
    settings = _attributes(convolution)
    pads, steps = settings.get("pads", [0] * 4), settings.get("strides", [1, 1])
    if any(step > 1 for step in steps) or any(pads[2 + axis] < unused[axis] for axis in (0, 1)):
        return
    for attribute in convolution.attribute:
        if attribute.name == "pads":
            attribute.ints[2:] = [pads[2 + axis] - unused[axis] for axis in (0, 1)]


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _shapes(proto: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a graph, where they can be inferred; 0 for an open side."""
    graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    return {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


class _Scaling(NamedTuple):
    """``x * factors + shifts``, with one number a channel: from tensor `start` to tensor `end`."""

    multiply: onnx.NodeProto
    add: onnx.NodeProto
    factors: F32
    shifts: F32

    @property
    def start(self) -> str:
        return str(self.multiply.input[0])

    @property
    def end(self) -> str:
        return str(self.add.output[0])


def _has_branches(graph: onnx.GraphProto) -> bool:
    """Tell whether there are branches or loops, which see names from outside."""
    return any(a.type in (a.GRAPH, a.GRAPHS) for node in graph.node for a in node.attribute)


class _Editor:
    """A graph with its constants, shapes and neighbours at hand."""

    def __init__(self, graph: onnx.GraphProto, shapes: dict[str, tuple[int, ...]]) -> None:
        self.graph = graph
        self.shapes = shapes
        self.outputs = {output.name for output in graph.output}
        entries = {entry.name for entry in graph.input}  # a default of one may be overridden
        self.constants = {
            c.name: numpy_helper.to_array(c) for c in graph.initializer if c.name not in entries
        }

    def write_constants(self) -> None:
        """Add the constants that were made, and drop those that no node uses any more."""
        used = {name for node in self.graph.node for name in node.input} | self.outputs
        known = {c.name for c in self.graph.initializer}
        kept = [c for c in self.graph.initializer if c.name not in self.constants or c.name in used]
        kept += [
            numpy_helper.from_array(value, name)
            for name, value in self.constants.items()
            if name in used and name not in known
        ]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def find(self, stays: set[str]) -> _Scaling | None:
        """Return the next scaling that is not known to stay.

        The constants stand second, in float32, and have the shape (1, channels, 1, 1) beside images of
        so many channels, or (channels,) beside rows of so many columns.
        """
        for node in self.graph.node:
            add = self.only_user(node) if node.op_type == "Mul" else None
            if add is None or add.op_type != "Add" or add.output[0] in self.outputs | stays:
                continue
            factors, shifts = (self._constant(n.input[1]) for n in (node, add))
            shape = self.shapes.get(node.input[0], ())
            if factors is None or shifts is None or len(shape) not in (2, 4):
                continue
            n = shape[1]
            expected = (1, n, 1, 1) if len(shape) == 4 else (n,)
            if factors.shape == shifts.shape == expected and add.input[0] == node.output[0]:
                return _Scaling(node, add, factors.reshape(-1), shifts.reshape(-1))
        return None

    def fold(self, scaling: _Scaling) -> bool:
        """Fold or move a scaling; returns whether it could be done."""
        before = self.maker(scaling.start)
        if before is not None and self._drops_axes(before):
            before = self.maker(before.input[0])
        if before is not None and self._takes(before, scaling):
            self._join(before, scaling)
        elif len(self.shapes[scaling.start]) == 4:
            self._make_convolution(scaling)
        else:
            return False
        return True

    def only_user(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """Return the one node that takes what this one makes, if there is no other and no output."""
        users = self._users(node.output[0])
        return users[0] if len(users) == 1 and node.output[0] not in self.outputs else None

    def maker(self, name: str) -> onnx.NodeProto | None:
        """Return the node that makes a tensor."""
        return next((node for node in self.graph.node if name in node.output), None)

    def _users(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self.graph.node if name in node.input]

    def _constant(self, name: str) -> NDArray[Any] | None:
        value = self.constants.get(name)
        return value if value is not None and value.dtype == np.float32 else None

    def _drops_axes(self, node: onnx.NodeProto) -> bool:
        """Whether a node makes (n, channels) from (n, channels, 1, 1), for one user."""
        if node.op_type != "Reshape" or self.only_user(node) is None:
            return False
        before, after = (self.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
        return len(before) == 4 and before[2:] == (1, 1) and after[1:] == before[1:2] != (0,)

    def _takes(self, node: onnx.NodeProto, scaling: _Scaling) -> bool:
        """Whether a node is a convolution with known weights and no other user."""
        if node.op_type != "Conv" or self.only_user(node) is None:
            return False
        parameters = [self._constant(name) for name in node.input[1:]]
        return all(p is not None and len(p) == scaling.factors.size for p in parameters)

    def _join(self, convolution: onnx.NodeProto, scaling: _Scaling) -> None:
        weights, *bias = (self.constants[name] for name in convolution.input[1:])
        scaled = weights * scaling.factors.reshape(-1, 1, 1, 1)
        shifted = (bias[0] if bias else 0) * scaling.factors + scaling.shifts
        inputs = [convolution.input[0], *self._parameters(scaling, scaled, shifted)]
        del convolution.input[:]
        convolution.input.extend(inputs)
        for user in self._users(scaling.end):
            for k, name in enumerate(user.input):
                if name == scaling.end:
                    user.input[k] = scaling.start
        self._replace([scaling.multiply, scaling.add], [])

    def _make_convolution(self, scaling: _Scaling) -> None:
        start, end = scaling.start, scaling.end
        old, new = [scaling.multiply, scaling.add], []
        after = self.only_user(scaling.add)
        if after is not None and self._may_follow(after, scaling):
            pool = onnx.NodeProto()
            pool.CopyFrom(after)
            end = pool.output[0]
            pool.input[0], pool.output[0] = start, f"{scaling.end}/pooled"
            start = pool.output[0]
            old.append(after)
            new.append(pool)
        inputs = [
            start,
            *self._parameters(scaling, scaling.factors.reshape(-1, 1, 1, 1), scaling.shifts),
        ]
        name, channels = f"{scaling.end}/conv", scaling.factors.size
        new.append(helper.make_node("Conv", inputs, [end], name, group=channels, kernel_shape=[1, 1]))
        self._replace(old, new)

    def _may_follow(self, node: onnx.NodeProto, scaling: _Scaling) -> bool:
        is_pool = node.op_type == "MaxPool" and len(node.output) == 1
        return is_pool and bool((scaling.factors >= 0).all())

    def _parameters(self, scaling: _Scaling, weights: Any, bias: Any) -> list[str]:
        names = [f"{scaling.end}/{what}" for what in ("weights", "bias")]
        for name, value in zip(names, (weights, bias), strict=True):
            self.constants[name] = np.ascontiguousarray(value, np.float32)
        return names

    def _replace(self, old: list[onnx.NodeProto], new: list[onnx.NodeProto]) -> None:
        """Put nodes in the place of others; nodes that were looked up before are stale then."""
        gone = {node.output[0] for node in old}
        nodes: list[onnx.NodeProto] = []
        for node in self.graph.node:
            if node.output[0] == old[0].output[0]:
                nodes.extend(new)
            if node.output[0] not in gone:
                nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(nodes)
