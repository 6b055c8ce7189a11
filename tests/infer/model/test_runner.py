"""A network with its inputs and outputs in one place says what it says of new arrays, to the bit."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rbinfer import Classifier
from rbinfer.model.networks import KerasNetwork
from rbinfer.model.runner import runner_of
from rbinfer.model.session import Session, read_spec
from rbinfer.model.spec import METADATA_KEY
from rbinfer.model.stamps import POPULATION, Stamps


@pytest.fixture(scope="module")
def session(model_path):
    return Session(model_path, "cpu")


def drawn(session, n, seed):
    rng = np.random.default_rng(seed)
    size = session.spec.preprocess.size
    return rng.normal(size=(n, size, size, 2)).astype("f4"), rng.normal(size=(n, 196)).astype("f4")


def stamps_of(session, seed):
    rng = np.random.default_rng(seed)
    star = rng.random((session.spec.preprocess.size,) * 2).astype("f4")
    return Stamps.of(star, len(star), session.batch, rng.random(POPULATION).astype("f4"))


@pytest.mark.parametrize("told", [True, False])
def test_call_after_call(session, told):
    stamps = stamps_of(session, 5) if told else Stamps.of(None, 31, session.batch)
    runner = runner_of(session, stamps, session.batch)
    for n, seed in ((session.batch, 1), (7, 2), (session.batch - 1, 3), (1, 4)):
        cutouts, around = drawn(session, n, seed)
        runner.cutouts[:n] = cutouts
        found = runner.run(n, around[:, : session.reads_around])
        expected = session.run(cutouts, stamps.taken(slice(n)), around)
        np.testing.assert_array_equal(found.score, expected.score)
        np.testing.assert_array_equal(found.classes, expected.classes)


def test_two_do_not_disturb_each_other(session):
    one, other = (runner_of(session, stamps_of(session, k), 4) for k in (1, 2))
    for k, runner in enumerate((one, other)):
        runner.cutouts[:4] = drawn(session, 4, k)[0]
    around = np.zeros((4, session.reads_around), "f4")
    before = one.run(4, around).score.copy()
    other.run(4, around)
    np.testing.assert_array_equal(one.run(4, around).score, before)


class Mean:
    """Stands for a Keras model: says the mean of each cutout."""

    input_shape = (None, 31, 31, 2)

    def predict(self, cutouts, batch_size, verbose):
        return cutouts.mean(axis=(1, 2, 3))[:, np.newaxis]


def test_a_network_that_is_no_session_gets_what_was_cut():
    network = KerasNetwork(Mean())
    runner = runner_of(network, Stamps.of(None, 31, network.batch), 10)
    assert runner.cutouts.shape == (10, 31, 31, 2)
    runner.cutouts[:] = np.arange(10)[:, np.newaxis, np.newaxis, np.newaxis]
    assert runner.run(3, np.zeros((3, 0), "f4")).score.tolist() == [0, 1, 2]


def with_outputs(model_path, path, change):
    """Write a copy of a model whose outputs are changed, without golden pairs."""
    proto = onnx.load(model_path)
    spec = replace(read_spec(model_path), golden=None)
    del proto.metadata_props[:]
    proto.metadata_props.add(key=METADATA_KEY, value=spec.to_json())
    change(proto.graph)
    onnx.save(proto, path)
    return path


def flat(graph):
    """Let the score have one axis."""
    graph.node.append(helper.make_node("Reshape", ["score", "all"], ["flat"]))
    graph.initializer.append(numpy_helper.from_array(np.array([-1]), "all"))


def double(graph):
    """Let the score be of double precision."""
    graph.node.append(helper.make_node("Cast", ["score"], ["flat"], to=TensorProto.DOUBLE))


@pytest.mark.parametrize(("change", "kind", "shape"), [
    (flat, TensorProto.FLOAT, [None]), (double, TensorProto.DOUBLE, [None, 1]),
])  # fmt: skip
def test_outputs_of_another_form_are_scored_as_they_were(model_path, tmp_path, change, kind, shape):
    def renamed(graph):
        change(graph)
        for node in graph.node:
            for names in (node.input, node.output):
                for k, name in enumerate(names):
                    names[k] = {"score": "inner", "flat": "score"}.get(name, name)
        (old,) = [output for output in graph.output if output.name == "score"]
        graph.output.remove(old)
        graph.output.append(helper.make_tensor_value_info("score", kind, shape))

    path = with_outputs(model_path, tmp_path / "other.onnx", renamed)
    image = np.random.default_rng(1).normal(100, 5, (80, 80)).astype("f4")
    known = {"x": [40.0, 30.0], "y": [40.0, 50.0], "fwhm": 3.0}
    expected = Classifier(model_path, device="cpu").score(image, **known)
    np.testing.assert_array_equal(
        Classifier(path, device="cpu").score(image, **known).score, expected.score
    )
