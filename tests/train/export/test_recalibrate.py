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


def test_of_an_adaptation_is_kept_what_was_fitted_to(config_of_version_9, data, tmp_path, capsys):
    """Its verdict and its rates are not of the new calibration."""
    proto, spec = onnx.load(resolve("default")), read_spec(resolve("default"))
    rates = {
        r.name: {p.name: {"missed": 0.2, "false": 0.3} for p in r.operating_points}
        for r in spec.readings
    }
    told = {"method": "head", "verdict": "worse", "worse": ["kept"], "rates_on": 9}
    told |= {"rates_before": rates, "seen": ["0123456789ab"]}
    adapted = dataclasses.replace(spec, name="mine", version="1", adaptation=told)
    del proto.metadata_props[:]
    proto.metadata_props.add(key=METADATA_KEY, value=adapted.to_json())
    onnx.save(proto, tmp_path / "mine.onnx")
    assert main(["models", "info", str(tmp_path / "mine.onnx")]) == 0
    assert "(before: 20.000%, 30.000%)" in capsys.readouterr().out
    renewed = tmp_path / "renewed.onnx"
    export_recalibrated(config_of_version_9, data, tmp_path / "mine.onnx", renewed)
    assert read_spec(renewed).adaptation == {"seen": ["0123456789ab"]}
    assert main(["models", "info", str(renewed)]) == 0
    said = capsys.readouterr().out
    assert "on simulated frames of its own training" in said
    assert not any(word in said for word in ("before", "verdict", "adapted to"))


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
