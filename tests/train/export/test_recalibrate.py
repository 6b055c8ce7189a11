"""The network of a model file with another calibration and another reading of what is real."""

import dataclasses

import numpy as np
import onnx
import pytest

from rbinfer.cli import main
from rbinfer.model.registry import resolve
from rbinfer.model.session import Session, read_spec, verify
from rbinfer.model.spec import METADATA_KEY
from rbtrain.config import CLASSES
from rbtrain.export.proof import ExportError
from rbtrain.export.recalibrate import export_recalibrated, recalibrated
from rbtrain.judging.card import card_text


@pytest.fixture(scope="module")
def config_of_version_9(config):
    return dataclasses.replace(
        config,
        name="tiny",
        version="9",
        real=("galaxy", "star"),
        sources=0.5,
        preprocess=read_spec(resolve("default")).preprocess,
        network=dataclasses.replace(config.network, psf=True, population=True),
    )


@pytest.fixture(scope="module")
def renewed(config_of_version_9, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("renewed") / "model.onnx"
    return path, export_recalibrated(config_of_version_9, data, resolve("default"), path)


def test_temperature_and_shift_are_all_that_changes(renewed, data):
    path, worst = renewed
    assert worst <= 1e-5
    old, new = (Session(file, "cpu") for file in (resolve("default"), path))
    before, after = (session.run(data.pixels[:500].astype("f4")) for session in (old, new))
    calibration = {key: spec.calibration for key, spec in (("old", old.spec), ("new", new.spec))}
    temperature = calibration["new"]["temperature"] / calibration["old"]["temperature"]
    shift = calibration["new"]["shift"] - calibration["old"]["shift"] / temperature
    powers = np.maximum(before.classes, 1e-38).astype(float) ** (1 / temperature)
    powers[:, :2] *= np.exp(shift)
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after.classes, expected, atol=1e-5)
    np.testing.assert_allclose(after.score, expected[:, :2].sum(axis=1), atol=1e-5)


def test_the_score_is_calibrated_for_the_mix_that_is_asked_for(renewed, config_of_version_9, data):
    _, held_out = data.split(config_of_version_9.data.validation)
    score = Session(renewed[0], "cpu").run(*data.inputs(held_out)).score
    real = np.isin(data.rows["label"][held_out], (0, 1))
    weights = np.where(real, 0.5 / real.mean(), 0.5 / (1 - real.mean()))
    # With a free shift the mean score is the share of the sources.
    assert np.average(score, weights=weights) == pytest.approx(0.5, abs=2e-3)


def test_the_file_says_whose_network_it_is(renewed, config_of_version_9):
    spec, old = Session(renewed[0], "cpu").spec, Session(resolve("default"), "cpu").spec
    assert (spec.name, spec.version, spec.config_hash) == ("tiny", "9", config_of_version_9.hash)
    assert [reading.real for reading in spec.readings] == [("galaxy", "star"), ("star",)]
    assert spec.parent.startswith(f"{old.name} {old.version}, SHA-256 ")
    assert spec.snr_range == old.snr_range
    assert verify(renewed[0]).max_difference < 1e-6


def test_of_an_adaptation_only_what_was_seen_stays(config_of_version_9, data, tmp_path, capsys):
    with_labels = tmp_path / "adapted.onnx"
    proto = onnx.load(resolve("default"))
    told = {"verdict": "worse", "method": "head", "rates_on": 9, "rates_before": {}, "seen": ["a", "b"]}
    spec = dataclasses.replace(read_spec(resolve("default")), adaptation=told)
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {METADATA_KEY: spec.to_json()})
    onnx.save(proto, with_labels)
    export_recalibrated(config_of_version_9, data, with_labels, tmp_path / "new.onnx")
    assert read_spec(tmp_path / "new.onnx").adaptation == {"seen": ["a", "b"]}
    assert main(["models", "info", str(tmp_path / "new.onnx")]) == 0
    told = capsys.readouterr().out
    assert "2 labels, of an adaptation before" in told
    assert "on simulated frames of its own training" in told
    assert "verdict" not in told
    card = card_text(read_spec(tmp_path / "new.onnx"), {})
    assert "Trained on simulation and on 2 labels of real images" in card
    assert "On the validation frames (simulated)" in card
    assert "no real image" not in card


def test_rates_of_each_reading_are_those_of_its_scores(renewed, config_of_version_9, data):
    session = Session(renewed[0], "cpu")
    _, held_out = data.split(config_of_version_9.data.validation)
    labels = data.rows["label"][held_out]
    classes = session.run(*data.inputs(held_out)).classes
    for reading in session.spec.readings:
        columns = [CLASSES.index(name) for name in reading.real]
        score, real = classes[:, columns].sum(axis=1), np.isin(labels, columns)
        bogus = labels > 1  # galaxies are no artefacts, whatever counts
        for point in reading.operating_points:
            # A threshold lies on a score, which rounding may move across it.
            missed, false = (
                np.sum(score[real] <= point.threshold),
                np.sum(score[bogus] > point.threshold),
            )
            assert missed == pytest.approx(point.missed * real.sum(), abs=1.01)
            assert false == pytest.approx(point.false * bogus.sum(), abs=1.01)


def test_a_model_that_does_not_fit_the_configuration_is_refused(config, data, tmp_path):
    with pytest.raises(ExportError, match="has the classes bogus, real and the reference preset"):
        export_recalibrated(config, data, resolve("reference"), tmp_path / "m.onnx")
    with pytest.raises(ExportError, match="and default, with another likely_width: give"):
        export_recalibrated(config, data, resolve("default"), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_of_another_form_is_refused():
    spec = Session(resolve("default"), "cpu").spec
    with pytest.raises(ExportError, match="no dense last layer"):
        recalibrated(onnx.load(resolve("reference")), spec, 1.0, np.zeros(7))
    proto = onnx.load(resolve("default"))
    next(node for node in proto.graph.node if node.op_type == "Softmax").op_type = "Sigmoid"
    with pytest.raises(ExportError, match="ends in MatMul, Add, Sigmoid, MatMul"):
        recalibrated(proto, spec, 1.0, np.zeros(7))
