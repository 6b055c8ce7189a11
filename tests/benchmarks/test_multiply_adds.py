"""What a network costs, counted in its graph."""

import numpy as np
import pytest
from _common import multiply_adds

onnx = pytest.importorskip("onnx")


def weights(name, *shape):
    return onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)


def test_what_depends_on_the_stars_alone_is_not_counted(tmp_path):
    make, number = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        make.make_node("Conv", ["cutouts", "kernel"], ["maps"]),
        make.make_node("Reshape", ["maps", "flat"], ["seen"]),
        make.make_node("MatMul", ["psf", "star"], ["stars"]),
        make.make_node("Mul", ["stars", "psf_known"], ["known"]),
        make.make_node("MatMul", ["known", "more"], ["of_star"]),
        make.make_node("Gather", ["of_star", "psf_index"], ["own"]),
        make.make_node("Add", ["seen", "own"], ["both"]),
        make.make_node("MatMul", ["both", "last"], ["score"]),
    ]
    given = [
        make.make_tensor_value_info("cutouts", number, ["n", 2, 5, 5]),
        make.make_tensor_value_info("psf", number, ["m", 9]),
        make.make_tensor_value_info("psf_known", number, ["m", 1]),
        make.make_tensor_value_info("psf_index", onnx.TensorProto.INT64, ["n"]),
    ]
    held = [
        weights("kernel", 4, 2, 3, 3),
        weights("star", 9, 7),
        weights("more", 7, 36),
        weights("last", 36, 1),
        onnx.numpy_helper.from_array(np.array([-1, 36]), "flat"),
    ]
    score = make.make_tensor_value_info("score", number, ["n", 1])
    graph = make.make_graph(nodes, "net", given, [score], held)
    onnx.save(make.make_model(graph), tmp_path / "net.onnx")
    # Four maps of 3 x 3, each of 2 x 3 x 3 products; then 36 for the score.
    assert multiply_adds(tmp_path / "net.onnx") == 4 * 9 * 18 + 36
