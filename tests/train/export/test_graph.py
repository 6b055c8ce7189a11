"""Folding scalings: the same numbers from another graph."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from rbtrain.export.graph import fold_scalings, in_order, leave_out_unused, simplify, write_out_shapes

CHANNELS, SIDE = 4, 7


def graph(nodes, output="end", shape=(None, None, None, None)):
    """A model of nodes between ``start`` and `output`, with seeded constants for what they name."""
    rng = np.random.default_rng(5)
    constants = {
        "kernel": rng.normal(size=(CHANNELS, CHANNELS, 3, 3)),
        "bias": rng.normal(size=CHANNELS),
        "factors": rng.uniform(0.3, 2.0, (1, CHANNELS, 1, 1)),
        "mixed": np.array([0.5, -1.5, 2.0, 1.0]).reshape(1, CHANNELS, 1, 1),
        "shifts": rng.normal(size=(1, CHANNELS, 1, 1)),
        "flat_factors": rng.uniform(0.3, 2.0, CHANNELS),
        "flat_shifts": rng.normal(size=CHANNELS),
        "along": rng.normal(size=SIDE),
        "single": rng.normal(size=(1, 1, 1, 1)),
        "flat": np.array([-1, CHANNELS]),
        "zero": np.array([0]),
        "channels": np.array([CHANNELS]),
        "whole": rng.normal(size=(CHANNELS, CHANNELS, SIDE, SIDE)),
    }
    used = {name for node in nodes for name in node.input}
    initializers = [
        numpy_helper.from_array(value if value.dtype == np.int64 else value.astype(np.float32), name)
        for name, value in constants.items()
        if name in used
    ]
    start = helper.make_tensor_value_info("start", TensorProto.FLOAT, (None, CHANNELS, SIDE, SIDE))
    end = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
    proto = helper.make_model(
        helper.make_graph(nodes, "test", [start], [end], initializers),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    proto.ir_version = 8
    onnx.checker.check_model(proto, full_check=True)
    return proto


def outputs(proto, level=onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    start = np.random.default_rng(6).normal(size=(3, CHANNELS, SIDE, SIDE)).astype(np.float32)
    return session.run(None, {"start": start})[0]


def scaling(source, end, factors="factors", shifts="shifts", tag=""):
    return [
        helper.make_node("Mul", [source, factors], ["multiplied" + tag]),
        helper.make_node("Add", ["multiplied" + tag, shifts], [end]),
    ]


def conv(source, end, *more, kernel="kernel"):
    attributes = {} if kernel == "whole" else {"pads": [1, 1, 1, 1]}
    return helper.make_node("Conv", [source, kernel, *more], [end], **attributes)


def relu(source, end):
    return helper.make_node("Relu", [source], [end])


def pool(source, *ends, kernel_shape=(2, 2), **more):
    return helper.make_node(
        "MaxPool", [source], list(ends), kernel_shape=kernel_shape, strides=[2, 2], **more
    )


CASES = {
    "behind a convolution": (
        [conv("start", "a"), *scaling("a", "b"), relu("b", "end")],
        ["Conv", "Relu"],
    ),
    "behind one with a bias": (
        [conv("start", "a", "bias"), *scaling("a", "b"), relu("b", "end")],
        ["Conv", "Relu"],
    ),
    "behind an activation, before a pooling": (
        [conv("start", "a"), relu("a", "b"), *scaling("b", "c"), pool("c", "d"), conv("d", "end")],
        ["Conv", "Relu", "MaxPool", "Conv", "Conv"],
    ),
    "a negative factor": (
        [conv("start", "a"), relu("a", "b"), *scaling("b", "c", "mixed"), pool("c", "end")],
        ["Conv", "Relu", "Conv", "MaxPool"],
    ),
    "three in a row": (
        [
            conv("start", "a"),
            relu("a", "b"),
            *scaling("b", "c"),
            *scaling("c", "d", tag="2"),
            *scaling("d", "e", tag="3"),
            relu("e", "end"),
        ],
        ["Conv", "Relu", "Conv", "Relu"],
    ),
    "two behind another": (
        [
            conv("start", "a"),
            *scaling("a", "b"),
            relu("b", "c"),
            *scaling("c", "d", tag="2"),
            *scaling("d", "e", tag="3"),
            pool("e", "end"),
        ],
        ["Conv", "Relu", "Conv", "MaxPool"],
    ),
    "a convolution that others use": (
        [conv("start", "a"), *scaling("a", "b"), helper.make_node("Add", ["a", "b"], ["end"])],
        ["Conv", "Conv", "Add"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_same_numbers_in_fewer_nodes(case):
    nodes, kinds = CASES[case]
    proto = graph(nodes)
    before = proto.SerializeToString()
    folded = fold_scalings(proto)
    onnx.checker.check_model(folded, full_check=True)
    assert [node.op_type for node in folded.graph.node] == kinds
    np.testing.assert_allclose(outputs(folded), outputs(proto), rtol=1e-5, atol=1e-5)
    assert proto.SerializeToString() == before


def test_across_a_reshaping():
    nodes = [
        conv("start", "a", kernel="whole"),
        helper.make_node("Reshape", ["a", "flat"], ["b"]),
        *scaling("b", "c", "flat_factors", "flat_shifts"),
        relu("c", "end"),
    ]
    proto = graph(nodes, shape=(None, CHANNELS))
    folded = fold_scalings(proto)
    assert [node.op_type for node in folded.graph.node] == ["Conv", "Reshape", "Relu"]
    np.testing.assert_allclose(outputs(folded), outputs(proto), atol=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        [conv("start", "a"), *scaling("a", "end")],
        [conv("start", "a"), *scaling("a", "b", shifts="start"), relu("b", "end")],
        [conv("start", "a"), *scaling("a", "b", "along", "along"), relu("b", "end")],
        [relu("start", "a"), *scaling("a", "b", shifts="along"), relu("b", "end")],
        [relu("start", "a"), *scaling("a", "b", "single", "single"), relu("b", "end")],
        [
            relu("start", "a"),
            helper.make_node("Mul", ["factors", "a"], ["b"]),
            helper.make_node("Add", ["b", "shifts"], ["c"]),
            relu("c", "end"),
        ],
    ],
    ids=[
        "its result is an output",
        "not by constants",
        "along the columns",
        "shifts along the columns",
        "one number for all",
        "constant first",
    ],
)
def test_left_alone(nodes):
    proto = graph(nodes)
    folded = fold_scalings(proto)
    assert list(folded.graph.node) == list(proto.graph.node)
    np.testing.assert_array_equal(outputs(folded), outputs(proto))


def test_a_reshaping_that_mixes_pixels_is_no_bridge():
    nodes = [
        conv("start", "a"),
        helper.make_node("Reshape", ["a", "flat"], ["b"]),
        *scaling("b", "c", "flat_factors", "flat_shifts"),
        relu("c", "end"),
    ]
    proto = graph(nodes, shape=(None, CHANNELS))
    folded = fold_scalings(proto)
    assert list(folded.graph.node) == list(proto.graph.node)


def test_defaults_of_inputs_are_no_constants():
    proto = graph([conv("start", "a"), *scaling("a", "b"), relu("b", "end")])
    entry = helper.make_tensor_value_info("factors", TensorProto.FLOAT, (1, CHANNELS, 1, 1))
    proto.graph.input.append(entry)
    assert list(fold_scalings(proto).graph.node) == list(proto.graph.node)


def test_constants_that_nobody_uses_are_gone():
    folded = fold_scalings(graph([conv("start", "a"), *scaling("a", "b"), relu("b", "end")]))
    assert sorted(c.name for c in folded.graph.initializer) == ["b/bias", "b/weights"]


def test_pixels_that_a_pooling_drops_are_not_made():
    """Of 7 x 7 pixels a pooling of 2 x 2 leaves out the last row and column."""
    proto = graph([conv("start", "a"), relu("a", "b"), pool("b", "end")])
    cropped = leave_out_unused(proto)
    onnx.checker.check_model(cropped, full_check=True)
    pads = [list(a.ints) for a in cropped.graph.node[0].attribute if a.name == "pads"]
    assert pads == [[1, 1, 0, 0]]
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        level = getattr(onnxruntime.GraphOptimizationLevel, level)
        np.testing.assert_allclose(outputs(cropped, level), outputs(proto, level), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        [conv("start", "a"), pool("a", "end", kernel_shape=[3, 3])],
        [conv("start", "a"), pool("a", "end", pads=[0, 0, 1, 1])],
        [conv("start", "a"), pool("a", "end", auto_pad="SAME_UPPER")],
        [conv("start", "a"), pool("a", "end", ceil_mode=1)],
        [conv("start", "a"), pool("a", "end", dilations=[2, 2])],
        [
            conv("start", "a"),
            pool("a", "b", "places"),
            helper.make_node("Cast", ["places"], ["c"], to=1),
            helper.make_node("Add", ["b", "c"], ["end"]),
        ],
        [
            conv("start", "a"),
            pool("a", "b"),
            helper.make_node("GlobalMaxPool", ["a"], ["c"]),
            helper.make_node("Add", ["b", "c"], ["end"]),
        ],
        [helper.make_node("Conv", ["start", "kernel"], ["a"]), relu("a", "b"), pool("b", "end")],
    ],
    ids=[
        "all are used",
        "padded",
        "padded by rule",
        "rounded up",
        "dilated",
        "with indices",
        "others use it",
        "no padding to take away",
    ],
)
def test_pixels_that_are_needed_stay(nodes):
    proto = graph(nodes)
    assert list(leave_out_unused(proto).graph.node) == list(proto.graph.node)


def test_both_together():
    nodes = [conv("start", "a"), relu("a", "b"), *scaling("b", "c"), pool("c", "d"), conv("d", "end")]
    proto = graph(nodes)
    simple = simplify(proto)
    assert [node.op_type for node in simple.graph.node] == ["Conv", "Relu", "MaxPool", "Conv", "Conv"]
    np.testing.assert_allclose(outputs(simple), outputs(proto), rtol=1e-5, atol=1e-5)


def test_order_and_names_follow_from_the_function_alone():
    nodes = [
        conv("start", "a"),
        relu("a", "b"),
        conv("a", "c"),
        helper.make_node("Add", ["b", "c"], ["end"]),
    ]
    proto = graph(nodes)
    other = onnx.ModelProto()
    other.CopyFrom(proto)
    moved = [nodes[0], nodes[2], nodes[1], nodes[3]]
    del other.graph.node[:]
    other.graph.node.extend(moved)
    weights = list(other.graph.initializer)[::-1]
    del other.graph.initializer[:]
    other.graph.initializer.extend(weights)
    for node in other.graph.node:  # another process numbers them otherwise
        node.input[:] = [f"{name}_7" if name in "abc" else name for name in node.input]
        node.output[:] = [f"{name}_7" if name in "abc" else name for name in node.output]
    assert other.SerializeToString() != proto.SerializeToString()
    ordered = in_order(proto)
    onnx.checker.check_model(ordered, full_check=True)
    assert in_order(other).SerializeToString() == ordered.SerializeToString()
    np.testing.assert_array_equal(outputs(ordered), outputs(proto))


def test_names_of_open_sides_follow_from_inputs_and_outputs():
    proto = graph([conv("start", "end")], shape=("unk__70", CHANNELS, SIDE, SIDE))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "unk__69"
    (start, *_), (end, *_) = (
        value.type.tensor_type.shape.dim
        for value in (in_order(proto).graph.input[0], in_order(proto).graph.output[0])
    )
    assert (start.dim_param, end.dim_param) == ("start_0", "end_0")


def test_a_flattening_that_the_graph_works_out_is_one_of_a_known_shape():
    """Which of the two TensorFlow and tf2onnx make of one network differs from run to run."""
    before = [conv("start", "a", kernel="whole")]
    after = [*scaling("b", "c", "flat_factors", "flat_shifts"), relu("c", "end")]
    worked_out = [
        helper.make_node("Shape", ["a"], ["sides"]),
        helper.make_node("Gather", ["sides", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "channels"], ["flat_sides"], axis=0),
        helper.make_node("Reshape", ["a", "flat_sides"], ["b"]),
    ]
    known = [helper.make_node("Reshape", ["a", "flat"], ["b"])]
    wanted, given = (
        graph([*before, *nodes, *after], shape=(None, None)) for nodes in (known, worked_out)
    )
    made = simplify(given)
    assert [node.op_type for node in made.graph.node] == ["Conv", "Reshape", "Relu"]
    assert made.SerializeToString() == simplify(wanted).SerializeToString()
    np.testing.assert_allclose(outputs(made), outputs(given), rtol=1e-5, atol=1e-5)


def test_a_shape_of_several_open_sides_is_still_worked_out():
    nodes = [
        helper.make_node("Shape", ["start"], ["sides"]),
        helper.make_node("Reshape", ["start", "sides"], ["end"]),
    ]
    proto = graph(nodes)
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].ClearField("dim_value")
    assert [node.op_type for node in write_out_shapes(proto).graph.node] == ["Shape", "Reshape"]


def test_a_name_that_is_taken_and_a_shape_that_is_given_are_left_alone():
    """A tensor may have the name of the new constant; a shape may be an input with a default."""
    worked_out = [
        helper.make_node("Shape", ["start"], ["b/shape"]),
        helper.make_node("Reshape", ["start", "b/shape"], ["b"]),
        relu("b", "end"),
    ]
    proto = graph(worked_out)
    made = write_out_shapes(proto)
    onnx.checker.check_model(made, full_check=True)
    assert [node.op_type for node in made.graph.node] == ["Reshape", "Relu"]
    np.testing.assert_array_equal(outputs(made), outputs(proto))
    given = graph([helper.make_node("Reshape", ["start", "flat"], ["end"])], shape=(None, None))
    given.graph.input.append(helper.make_tensor_value_info("flat", TensorProto.INT64, (2,)))
    assert write_out_shapes(given).graph.node[0].input[1] == "flat"


def test_sides_that_are_the_same_keep_one_name():
    proto = graph([relu("start", "end")], shape=("n", CHANNELS, SIDE, SIDE))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    made = in_order(proto).graph
    names = [value.type.tensor_type.shape.dim[0].dim_param for value in (*made.input, *made.output)]
    assert names == ["start_0", "start_0"]
