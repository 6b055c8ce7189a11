"""Fit, resume, calibrate, export: the same function in Keras and in ONNX Runtime, or no file."""

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from rbinfer import Classifier, ModelError
from rbinfer.model.session import Session, verify
from rbinfer.model.spec import METADATA_KEY, ModelSpec
from rbinfer.model.stamps import Stamps
from rbtrain.config import CLASSES, SOURCES, FitConfig
from rbtrain.data.building import build_dataset
from rbtrain.data.cutting import ROW
from rbtrain.export.convert import export_model, keras_outputs
from rbtrain.export.proof import ExportError
from rbtrain.export.release import _least_snr, export_run
from rbtrain.fitting.batches import Batches, augment, class_weights, targets_of
from rbtrain.fitting.calibrate import calibrate
from rbtrain.fitting.fit import best_epoch, build, fit
from rbtrain.fitting.rates import mix_weights, width_weights
from rbtrain.judging.evaluate import evaluate_simulation
from rbtrain.metrics import auc


@pytest.fixture(scope="module")
def fitted(config, data, tmp_path_factory):
    run = tmp_path_factory.mktemp("fit")
    return fit(config, data, run, verbose=0), run


@pytest.fixture(scope="module")
def exported(config, data, fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    return path, export_run(config, data, fitted[1] / "best.keras", path)


def test_fitting_learns(config, data, fitted):
    _, held_out = data.split(config.data.validation)
    score = keras_outputs(fitted[0], CLASSES, ["star"])(data.pixels[held_out].astype("f4"))["score"]
    assert auc(data.rows["label"][held_out] == 0, score[:, 0]) > 0.8


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_fit_in_mixed_precision_is_exported_in_float32(config, data, tmp_path, precision):
    half = dataclasses.replace(
        config, fit=dataclasses.replace(config.fit, precision=precision, epochs=2)
    )
    model = fit(half, data, tmp_path / "fit", verbose=0)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    saved = keras.models.load_model(tmp_path / "fit" / "best.keras")
    assert precision in {layer.dtype_policy.name for layer in saved.layers}
    path = tmp_path / "model.onnx"
    assert export_run(half, data, tmp_path / "fit" / "best.keras", path) < 1e-5
    assert len(Session(path, "cpu").run(data.pixels[:3].astype("f4")).score) == 3


def test_training_needs_no_tensorflow(config, data, tmp_path):
    # With another backend of Keras, in a process where TensorFlow cannot be imported.
    script = """
import sys
sys.modules["tensorflow"] = None
from rbtrain.config import TrainConfig
from rbtrain.data.dataset import Dataset
from rbtrain.fitting.fit import fit
import keras
assert keras.backend.backend() == "jax"
config = TrainConfig.read(sys.argv[1])
fit(config, Dataset.open(sys.argv[2]), sys.argv[3], verbose=0)
"""
    short = dataclasses.replace(config, fit=dataclasses.replace(config.fit, epochs=2))
    (tmp_path / "config.toml").write_text(short.to_toml())
    where = Path(data.pixels.filename).parent
    arguments = [str(tmp_path / "config.toml"), str(where), str(tmp_path / "fit")]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # TensorFlow is needed to export what JAX has fitted.
    assert export_run(short, data, tmp_path / "fit" / "best.keras", tmp_path / "model.onnx") < 1e-5


def test_a_run_holds_its_config_and_history(config, fitted):
    run = fitted[1]
    assert json.loads((run / "state.json").read_text())["epoch"] == config.fit.epochs
    assert (run / "config.toml").read_text() == config.to_toml()
    assert not list(run.glob("*.part*"))


def test_a_run_in_use_is_not_overwritten(config, data, fitted):
    with pytest.raises(FileExistsError, match="--resume"):
        fit(config, data, fitted[1], verbose=0)


class Die(keras.callbacks.Callback):
    """Stands in for `_EarlyStopping`: ends a fit after its first epoch, as Ctrl-C would."""

    def is_due(self):
        return False

    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


def stopped_after_one(config, data, run):
    import rbtrain.fitting.fit as room

    original = room._EarlyStopping
    room._EarlyStopping = lambda *a: Die()
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(config, data, run, verbose=0)
    finally:
        room._EarlyStopping = original
    assert json.loads((run / "state.json").read_text())["epoch"] == 1


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_resuming_gives_what_an_undisturbed_run_gives(config, data, tmp_path, precision):
    # Dropout draws on, and float16 has an optimizer that Keras itself does not read back.
    config = dataclasses.replace(
        config,
        network=dataclasses.replace(config.network, dropout=0.3),
        fit=dataclasses.replace(config.fit, precision=precision, epochs=3),
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    undisturbed = fit(config, data, whole, verbose=0)
    stopped_after_one(config, data, broken)
    other = dataclasses.replace(config, real=("galaxy",))
    with pytest.raises(ValueError, match="another configuration"):
        fit(other, data, broken, resume=True, verbose=0)
    resumed = fit(config, data, broken, resume=True, verbose=0)
    pixels = data.pixels[:200].astype(np.float32)
    np.testing.assert_array_equal(
        resumed.predict(pixels, verbose=0), undisturbed.predict(pixels, verbose=0)
    )
    assert (broken / "state.json").read_text() == (whole / "state.json").read_text()


def test_a_finished_run_has_nothing_to_resume(config, data, tmp_path):
    # Early stopping is due after the second epoch: a third must not be fitted on resume.
    impatient = dataclasses.replace(
        config, fit=dataclasses.replace(config.fit, patience=1, epochs=30, learning_rate=0.5)
    )
    fit(impatient, data, tmp_path, verbose=0)
    before = (tmp_path / "state.json").read_text()
    assert json.loads(before)["epoch"] < 30
    # Killed before the last two files were written: they come from the state.
    (tmp_path / "state.json").unlink()
    weights = keras.models.load_model(tmp_path / "best.keras").get_weights()
    build(impatient).save(tmp_path / "best.keras")
    for name in ("best.part.keras", "last.part.npz", "state.part.json"):
        (tmp_path / name).write_text("half")
    resumed = fit(impatient, data, tmp_path, resume=True, verbose=0)
    assert (tmp_path / "state.json").read_text() == before
    assert all(map(np.array_equal, resumed.get_weights(), weights))
    assert not list(tmp_path.glob("*.part*"))


def test_a_state_that_cannot_be_read_says_so(config, data, tmp_path):
    stopped_after_one(config, data, tmp_path)
    last = tmp_path / "last.npz"
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"last\.npz cannot be read .* fit again"):
        fit(config, data, tmp_path, resume=True, verbose=0)
    with np.load(io.BytesIO(whole)) as saved:
        arrays = dict(saved)
    del arrays["optimizer_0"]
    np.savez(last, **arrays)
    with pytest.raises(ValueError, match=r"last\.npz .* fit again"):
        fit(config, data, tmp_path, resume=True, verbose=0)
    last.unlink()
    with pytest.raises(ValueError, match=r"has no last\.npz to go on from; .* fit again"):
        fit(config, data, tmp_path, resume=True, verbose=0)


def test_batches_depend_on_seed_and_epoch_alone(config, data):
    labels = data.rows["label"]
    targets, weights = targets_of(config, labels), class_weights(labels, 0.5)
    rows = np.arange(len(data))
    one = Batches(data, rows, targets, weights, 64, seed=3)
    two = Batches(data, rows, targets, weights, 64, seed=3)
    np.testing.assert_array_equal(one[1][0], two[1][0])
    one.start_epoch(1)
    assert not np.array_equal(one[1][0], two[1][0])
    plain = Batches(data, rows, targets, weights, 64)
    np.testing.assert_array_equal(plain[0][0], data.pixels[:64].astype("f4"))
    assert sum(len(plain[i][0]) for i in range(len(plain))) == len(data)


def test_other_weights_are_taken_late(config, data):
    targets = targets_of(config, data.rows["label"])
    early, late = np.full(len(data), 1, "f4"), np.full(len(data), 5, "f4")
    batches = Batches(data, np.arange(len(data)), targets, early, 64, seed=3, late=(2, late))
    for epoch, weight in ((0, 1), (1, 1), (2, 5), (3, 5), (1, 1)):
        batches.start_epoch(epoch)
        assert (batches[0][2] == weight).all()


def test_bogus_weigh_by_the_width_of_the_stars():
    rows = np.zeros(6, ROW)
    rows["label"] = [CLASSES.index("cosmic_ray")] * 5 + [CLASSES.index("star")]
    rows["fwhm"] = [0.8, 1.3, np.sqrt(1.3 * 2.0), 2.0, 9.0, 0.8]
    np.testing.assert_allclose(width_weights(rows, (1.3, 2.0), (4, 1)), [4, 4, 2.5, 1, 1, 1], rtol=1e-6)
    assert (width_weights(rows, (1.0,), (1.0,)) == 1).all()
    for widths, weights in (((2.0, 1.0), (1, 1)), ((1.0,), ()), ((1.0,), (0.0,)), ((0.0,), (1.0,))):
        with pytest.raises(ValueError, match=r"must rise from above 0|must be like"):
            FitConfig(widths=widths, bogus_weights=weights)


def test_the_epoch_that_is_kept_is_the_last_of_the_least():
    assert [best_epoch(losses) for losses in ([0.5], [0.5, 0.4, 0.6], [0.5, 0.4, 0.4])] == [1, 2, 3]


def test_the_eight_symmetries_are_eight():
    cutout = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    seen = {augment(cutout, turn).tobytes() for turn in range(8)}
    assert len(seen) == 8
    assert all(augment(cutout, turn)[0, 1, 1, 0] == 4 for turn in range(8))


def test_class_weights():
    weights = class_weights(np.array([0] * 90 + [1] * 10), 1.0)
    assert weights[:90].sum() == pytest.approx(weights[90:].sum())
    assert weights.mean() == pytest.approx(1.0)
    assert (class_weights(np.array([0, 0, 1]), 0.0) == 1).all()


def test_export_is_the_same_function(exported, fitted, data, config):
    path, worst = exported
    assert worst <= 1e-5
    session = Session(path)
    pixels = data.pixels[:1000].astype(np.float32)
    output = session.run(pixels)
    assert output.classes.shape == (1000, len(CLASSES))
    np.testing.assert_allclose(output.classes.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(output.score, output.classes[:, 0], atol=1e-6)
    # Calibration is a temperature and one shift: among the sources, and among the rest, order stays.
    raw = fitted[0].predict(pixels, verbose=0)
    for part in (slice(0, len(SOURCES)), slice(len(SOURCES), None)):
        assert (raw[:, part].argmax(axis=1) == output.classes[:, part].argmax(axis=1)).all()


def test_the_file_tells_all(exported, config):
    spec = Session(exported[0]).spec
    assert spec.name == "tiny"
    assert spec.preprocess == config.preprocess
    assert spec.classes == CLASSES
    assert [reading.real for reading in spec.readings] == [("star",), ("star", "galaxy")]
    assert spec.config_hash == config.hash
    assert spec.calibration["method"] == "temperature"
    for name, low in (("real", 10), ("bogus", 0)):
        histogram = spec.readings[0].scores[name]
        assert len(histogram) == 20
        assert sum(histogram) == pytest.approx(1, abs=1e-4)
        assert sum(histogram[low : low + 10]) > 0.5
    assert [p.name for p in spec.operating_points] == [
        "missed 1.0%",
        "missed 2.0%",
        "missed 5.0%",
        "false 0.1%",
        "false 1.0%",
    ]
    assert 0.5 < spec.fwhm_range[0] < spec.fwhm_range[1] < 30
    assert ModelSpec.from_json(spec.to_json()) == spec
    onnx.checker.check_model(onnx.load(exported[0]), full_check=True)


def scaled_convolutions(path, factor):
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.ndim == 4:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(factor), tensor.name))
    return proto


def test_golden_pairs_verify(exported, tmp_path):
    result = verify(exported[0])
    assert result.ok
    assert result.n == 8
    assert result.max_difference < 1e-6
    # Changed weights are found out: by much when the model is loaded, by a little when verified.
    changed = tmp_path / "changed.onnx"
    onnx.save(scaled_convolutions(exported[0], 1.1), changed)
    with pytest.raises(ModelError, match="from the golden scores in it"):
        verify(changed)
    by = 0.01
    while True:  # how much a score changes is another matter for each training
        onnx.save(scaled_convolutions(exported[0], 1 + by), changed)
        try:
            assert not verify(changed).ok
            return
        except ModelError:
            by /= 3


def test_real_source_types_at_run_time(exported, data):
    stars = Classifier(exported[0])
    both = stars.counting(["star", "galaxy"])
    pixels = data.pixels[:100].astype(np.float32)
    classes = Session(exported[0]).run(pixels).classes
    np.testing.assert_allclose(stars.predict(pixels)[:, 0], classes[:, 0], atol=1e-6)
    np.testing.assert_allclose(both.predict(pixels)[:, 0], classes[:, :2].sum(axis=1), atol=1e-6)
    assert stars.real_source_types == ("star",)


def test_classes_of_an_image(exported, config):
    from rbtrain.data.cutting import frame_rng
    from rbtrain.simulate import draw_frame

    frame = draw_frame(config.simulate, frame_rng(99, 0))
    truth = frame.truth[:20]
    scores = Classifier(exported[0]).score(frame.image, truth["x"], truth["y"], fwhm=frame.fwhm)
    assert scores.classes.shape == (len(truth), len(CLASSES))
    scored = np.isfinite(scores.score)
    np.testing.assert_allclose(scores.classes[scored, 0], scores.score[scored], atol=1e-6)


def test_a_file_that_differs_is_not_written(exported, fitted, data, tmp_path, monkeypatch):
    import rbtrain.export.convert as room

    spec = dataclasses.replace(Session(exported[0]).spec, golden=None)
    other = keras.models.clone_model(fitted[0])  # same shape, other weights
    convert = room.convert
    monkeypatch.setattr(room, "convert", lambda model, spec: convert(other, spec))
    pixels, cores = data.pixels[:1000].astype(np.float32), np.zeros((1000, 196), np.float32)
    with pytest.raises(ExportError, match="differ by"):
        export_model(fitted[0], spec, tmp_path / "m.onnx", (pixels, Stamps.of(None, 31, 1000), cores))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ExportError, match="1000 cutouts"):
        export_model(
            fitted[0], spec, tmp_path / "m.onnx", (pixels[:10], Stamps.of(None, 31, 10), cores[:10])
        )


@pytest.mark.parametrize("change", ["none", "schema", "size", "classes", "json", "nan"])
def test_files_that_are_not_ours_are_refused(exported, tmp_path, change):
    proto = onnx.load(exported[0])
    entry = next(p for p in proto.metadata_props if p.key == METADATA_KEY)
    data = json.loads(entry.value)
    if change == "none":
        proto.metadata_props.remove(entry)
    elif change == "json":
        entry.value = "{"
    else:
        if change == "schema":
            data["schema"] = 99
        elif change == "size":
            data["preprocess"]["size"] = 21
        elif change == "classes":
            data["classes"] = ["star", "bogus"]
        else:
            data["readings"][0]["threshold"] = 7
        entry.value = json.dumps(data)
    path = tmp_path / "other.onnx"
    onnx.save(proto, path)
    with pytest.raises(ModelError, match=r"other\.onnx"):
        Classifier(path)


def test_calibration_finds_the_scale_that_was_hidden(config, data):
    model = build(config)
    pixels = data.pixels[:1500].astype(np.float32)
    # Fresh weights say nothing about anything: make them opinionated first.
    kernel, bias = model.layers[-1].get_weights()
    spread = np.log(model.predict(pixels, verbose=0)).std()
    model.layers[-1].set_weights([kernel * 2 / spread, bias])
    classes = model.predict(pixels, verbose=0)
    rng = np.random.default_rng(0)
    drawn = np.array([rng.choice(len(CLASSES), p=p / p.sum()) for p in classes.astype(float)])
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 3, bias * 3])  # now three times too certain
    calibrated, found = calibrate(model, pixels, np.eye(len(CLASSES), dtype="f4")[drawn])
    assert found["temperature"] == pytest.approx(3, rel=0.15)
    assert calibrated.count_params() == model.count_params()


def test_calibration_is_for_the_mix_that_is_asked_for(config, data, fitted):
    model, _ = fitted
    _, held_out = data.split(config.data.validation)
    pixels, labels = data.pixels[held_out].astype("f4"), data.rows["label"][held_out]
    targets = targets_of(config, labels)
    in_the_sky = np.isin(labels, SOURCES)
    for share in (0.3, 0.95):
        weights = mix_weights(labels, share)
        assert weights.mean() == pytest.approx(1, rel=1e-5)
        assert weights[in_the_sky].sum() / weights.sum() == pytest.approx(share, rel=1e-5)
        calibrated, found = calibrate(model, pixels, targets, weights, SOURCES)
        score = calibrated.predict(pixels, verbose=0)[:, list(SOURCES)].sum(axis=1)
        # With a free shift the mean score of a calibrated model is the share of the sources.
        assert np.average(score, weights=weights) == pytest.approx(share, abs=2e-3)
    assert found["shift"] > 0
    with pytest.raises(ValueError, match="needs sources and artefacts"):
        mix_weights(labels[in_the_sky], 0.5)


def test_the_reference_architecture_goes_all_the_way(reference_config, tmp_path):
    data = build_dataset(reference_config, tmp_path / "train", workers=1)
    run = tmp_path / "fit"
    fit(reference_config, data, run, verbose=0)
    path = tmp_path / "m.onnx"
    assert export_run(reference_config, data, run / "best.keras", path) <= 1e-5
    spec = Session(path).spec
    assert spec.classes == ("bogus", "real")
    assert spec.calibration["method"] == "platt"
    measured = evaluate_simulation(path, data)
    assert measured["overall"]["n_real"] == int((data.rows["label"] == 0).sum())
    assert measured["by_class"]["star"]["real"]
    assert not measured["by_class"]["galaxy"]["real"]


def test_the_least_snr_is_that_of_fields_whose_scatter_is_noise():
    rows = np.zeros(2000, ROW)
    rows["crowding"][1000:], rows["window_snr"][:1000] = 0.2, 5 + np.arange(1000) / 100
    rows["window_snr"][1000:] = 0.5
    assert _least_snr(rows, ("star",)) == pytest.approx(5.05, abs=0.02)
    assert _least_snr(rows[1000:], ("star",)) == 0.5
