"""Less memory moved: the same numbers from another graph."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from rbtrain.export.layout import gather_last, read_side_by_side

HEIGHT, WIDTH, CHANNELS, FEATURES = 9, 11, 2, 6


def model(nodes, inputs, constants, rank):
    given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)
        for name in sorted({name for node in nodes for name in node.output if name.startswith("end")})
    ]
    known = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    proto = helper.make_model(
        helper.make_graph(nodes, "test", given, ends, known),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    proto.ir_version = 8
    return proto


def run(proto, inputs):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def image_model(strides=(1, 1), pads=(0, 0, 0, 0), kernel=(3, 3), group=1, more=()):
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(4, CHANNELS // group, *kernel)).astype(np.float32)
    settings = {"strides": strides, "pads": pads, "group": group}
    nodes = [
        helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "weights"], ["end"], **settings),
        *more,
    ]
    inputs = {"image": (TensorProto.FLOAT, (None, HEIGHT, WIDTH, CHANNELS))}
    return model(nodes, inputs, {"weights": weights}, 4)


IMAGE = np.random.default_rng(3).normal(size=(5, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"strides": (2, 2), "pads": (1, 1, 1, 1)},
        {"strides": (1, 2), "pads": (0, 1, 1, 0)},
        {"kernel": (1, 5), "pads": (0, 2, 0, 2)},
    ],
)
def test_an_image_is_read_as_it_lies(settings):
    proto = image_model(**settings)
    found = read_side_by_side(proto)
    onnx.checker.check_model(found)
    assert [node.op_type for node in found.graph.node] == ["Reshape", "Conv"]
    np.testing.assert_allclose(
        run(found, {"image": IMAGE})[0], run(proto, {"image": IMAGE})[0], atol=1e-5
    )
    assert [node.op_type for node in proto.graph.node] == ["Transpose", "Conv"]  # not modified


@pytest.mark.parametrize(
    "settings",
    [
        {"group": 2},
        {"more": [helper.make_node("Relu", ["first"], ["end_too"])]},
        {"more": [helper.make_node("Relu", ["weights"], ["end_too"])]},
    ],
)
def test_what_it_cannot_read_so_stays(settings):
    proto = image_model(**settings)
    assert read_side_by_side(proto).SerializeToString() == proto.SerializeToString()


def test_other_transpositions_stay():
    rng = np.random.default_rng(2)
    nodes = [
        helper.make_node("Relu", ["image"], ["made"]),
        helper.make_node("Transpose", ["made"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "weights"], ["end"]),
        helper.make_node("Transpose", ["end"], ["end_too"]),
    ]
    inputs = {"image": (TensorProto.FLOAT, (None, HEIGHT, WIDTH, CHANNELS))}
    weights = rng.normal(size=(4, CHANNELS, 3, 3)).astype(np.float32)
    proto = model(nodes, inputs, {"weights": weights}, 4)
    assert read_side_by_side(proto).SerializeToString() == proto.SerializeToString()


def rows_model(starts, stops, more=()):
    cuts = {"starts": starts, "stops": stops, "starts_2": [0, 4], "stops_2": [2**31 - 1] * 2}
    constants = {name: np.array(values, np.int64) for name, values in cuts.items()}
    constants["axes"] = np.array([0, 1])
    nodes = [
        helper.make_node("Relu", ["stars"], ["features"]),
        helper.make_node("Gather", ["features", "index"], ["rows"], axis=0),
        helper.make_node("Slice", ["rows", "starts", "stops", "axes"], ["end_1"]),
        helper.make_node("Slice", ["rows", "starts_2", "stops_2", "axes"], ["end_2"]),
        *more,
    ]
    inputs = {
        "stars": (TensorProto.FLOAT, (None, FEATURES)),
        "index": (TensorProto.INT64, (None,)),
    }
    return model(nodes, inputs, constants, 2)


STARS = {
    "stars": np.random.default_rng(4).normal(size=(3, FEATURES)).astype(np.float32),
    "index": np.array([0, 2, 2, 1, 0], np.int64),
}


def test_columns_are_cut_before_rows_are_gathered():
    proto = rows_model([0, 1], [2**31 - 1, 4])
    found = gather_last(proto)
    onnx.checker.check_model(found)
    assert [node.op_type for node in found.graph.node] == ["Relu", *["Slice", "Gather"] * 2]
    for ours, wanted in zip(run(found, STARS), run(proto, STARS), strict=True):
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize(
    ("stops", "more"),
    [([2, 4], []), ([2**31 - 1, 4], [helper.make_node("Relu", ["rows"], ["end_3"])])],
)
def test_rows_that_are_used_otherwise_are_gathered_first(stops, more):
    proto = rows_model([0, 1], stops, more)
    assert gather_last(proto).SerializeToString() == proto.SerializeToString()
