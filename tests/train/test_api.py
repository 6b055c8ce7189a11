"""The training side of the reference API."""

import os

import keras
import numpy as np
import pytest

from rbinfer import InputError, ModelError, ModelNotFoundError, classify_realbogus
from rbtrain import (
    create_realbogus_model,
    generate_realbogus_training_data,
    load_realbogus_model,
    save_realbogus_model,
    simulate_image,
    train_realbogus_classifier,
)


@pytest.fixture(scope="module")
def training_data():
    return generate_realbogus_training_data(n_images=4, image_size=(400, 300), seed=3)


def test_the_reference_architecture():
    model = create_realbogus_model()
    assert model.count_params() == 102_177
    assert model.input_shape == (None, 31, 31, 2)
    assert model.output_shape == (None, 1)
    assert model.loss == "binary_crossentropy"
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "BatchNormalization", "MaxPooling2D"]
    tail = ["GlobalAveragePooling2D", "Dense", "Dropout", "Dense"]
    assert kinds == ["InputLayer", *block * 3, *tail]
    scores = model.predict(np.zeros((2, 31, 31, 2)), verbose=0)
    assert ((scores > 0) & (scores < 1)).all()


def test_open_and_other_shapes():
    open_model = create_realbogus_model((None, None, 2))
    assert open_model.predict(np.zeros((1, 41, 41, 2)), verbose=0).shape == (1, 1)
    small = create_realbogus_model((21, 21, 2), filters=(4, 8), dense_units=3, dropout_rate=0.0)
    assert small.input_shape == (None, 21, 21, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_shape", (31, 31)),
        ("input_shape", 31),
        ("input_shape", (31, 31.5, 2)),
        ("filters", ()),
        ("filters", "a"),
        ("filters", (32, 0)),
        ("dense_units", 0),
        ("dense_units", None),
        ("dropout_rate", 1.0),
        ("dropout_rate", "a"),
    ],
)
def test_no_network_of_that_form(name, value):
    with pytest.raises(InputError, match=name):
        create_realbogus_model(**{name: value})


def test_the_same_seed_trains_the_same_network(training_data):
    def losses(seed):
        model, history = train_realbogus_classifier(
            training_data, epochs=1, batch_size=32, seed=seed, verbose=False
        )
        return model.get_weights(), history.history["val_loss"]

    (weights, loss), (again, same), (other, _) = losses(5), losses(5), losses(6)
    assert loss == same
    for one, two in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(np.abs(one - two).max() > 1e-3 for one, two in zip(weights, other, strict=True))


def test_training_data(training_data):
    x, y, fwhm = (training_data[k] for k in ("X", "y", "fwhm"))
    assert x.dtype == y.dtype == np.float32
    assert x.shape == (len(y), 31, 31, 2)
    assert fwhm.shape == y.shape
    assert set(np.unique(y)) == {0.0, 1.0}
    assert np.abs(x).max() <= 1
    types = training_data["metadata"]["type"]
    assert ((types == "star") == (y == 1)).all()


def test_augmentation_repeats_each_cutout_six_times(training_data):
    plain = generate_realbogus_training_data(n_images=4, image_size=(400, 300), seed=3, augment=False)
    n = len(plain["y"])
    assert len(training_data["y"]) == 6 * n
    np.testing.assert_array_equal(training_data["X"][:n], plain["X"])
    np.testing.assert_array_equal(training_data["X"][n : 2 * n], np.rot90(plain["X"], axes=(1, 2)))


def test_seeds(training_data):
    again = generate_realbogus_training_data(n_images=4, image_size=(400, 300), seed=3)
    assert again["X"].tobytes() == training_data["X"].tobytes()
    other = generate_realbogus_training_data(n_images=4, image_size=(400, 300), seed=4)
    assert other["X"].tobytes() != training_data["X"].tobytes()


def test_galaxies_count_when_asked():
    data = generate_realbogus_training_data(
        n_images=2,
        image_size=(400, 400),
        seed=1,
        real_source_types=["star", "galaxy"],
        aberration_fraction=1.0,
        cutout_radius=10,
        augment=False,
    )
    assert data["X"].shape[1:] == (21, 21, 2)
    types = data["metadata"]["type"]
    assert (data["y"][types == "galaxy"] == 1).all()
    assert (types == "galaxy").any()


def test_bad_parameters():
    for kwargs, says in (
        ({"n_images": 0}, "n_images"),
        ({"real_source_types": ["unicorn"]}, "unicorn"),
        ({"fwhm_range": (5, 2)}, "fwhm_range"),
        ({"fwhm_range": "ab"}, "fwhm_range"),
        ({"fwhm_range": (1, None)}, "fwhm_range"),
        ({"fwhm_range": (0.3, 3.0)}, "fwhm_range must lie within"),
        ({"fwhm_range": (40, 70)}, "fwhm_range must lie within"),
        ({"gain_range": (0, 1)}, "gain_range must be above 0"),
        ({"cutout_radius": 200}, "cutout_radius must be at most 127"),
        ({"asinh_softening": -1}, "asinh_softening must be a positive number"),
        ({"detection_threshold": 2000}, "detection_threshold must be at most 1000"),
        ({"n_stars_range": (1.5, 2)}, "n_stars_range"),
        ({"n_images": 1.5}, "n_images must be a whole number"),
        ({"match_radius": -1}, "match_radius"),
        ({"match_radius": "a"}, "match_radius"),
        ({"cutout_radius": 1.5}, "cutout_radius"),
        ({"image_size": (64, "a")}, "image_size"),
        ({"image_size": 64}, "image_size"),
        ({"real_source_types": 5}, "real_source_types"),
        ({"aberration_fraction": 2}, "aberration_fraction"),
        ({"max_separation_fwhm": 0.5}, "min_separation_fwhm"),
        ({"seed": "a"}, "seed"),
    ):
        with pytest.raises(InputError, match=says):
            generate_realbogus_training_data(**{"n_images": 1, "image_size": (64, 64), **kwargs})


@pytest.mark.parametrize(
    "weights", ["equal", [1, 2], {}, {"real": 1.0, "bogus": 2.0}, {0: -1.0}, {1: np.inf}, {1: "a"}]
)
def test_weights_are_refused_before_anything_is_simulated(weights):
    said = []
    with pytest.raises(InputError, match="class_weight must"):
        train_realbogus_classifier(
            n_simulated=1, image_size=(64, 64), class_weight=weights, verbose=said.append
        )
    assert said == []


@pytest.mark.parametrize("seed", [np.int64(3), 2**40, [1, 2]])
def test_any_seed_of_numpy_trains(training_data, seed):
    weights = [
        train_realbogus_classifier(training_data, epochs=1, seed=seed, verbose=False)[0].get_weights()
        for _ in range(2)
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("of", ["X", "y"])
def test_masked_training_data_is_refused(training_data, of):
    masked = np.ma.masked_array(training_data[of], mask=False)
    masked[3] = np.ma.masked
    with pytest.raises(InputError, match=f"{of} has masked values"):
        train_realbogus_classifier({**training_data, of: masked}, epochs=1, verbose=False)


@pytest.mark.parametrize("name", ["bad.keras", "bad.h5", "model.onnx"])
def test_what_is_no_keras_model_is_told(tmp_path, name):
    (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(ModelError, match=f"{name} (cannot be read as a Keras model|is an ONNX file)"):
        load_realbogus_model(str(tmp_path / name))


def test_train_save_load_classify(training_data, tmp_path, monkeypatch):
    monkeypatch.setenv("RBINFER_MODELS", str(tmp_path / "models"))
    path = tmp_path / "deep" / "mine.keras"
    model, history = train_realbogus_classifier(
        training_data, epochs=2, verbose=False, model_file=str(path), seed=1
    )
    assert len(history.history["val_loss"]) == 2
    x = training_data["X"][:50]
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(load_realbogus_model(str(path)).predict(x, verbose=0), expected)
    assert not (tmp_path / "models").exists()
    with pytest.raises(ModelNotFoundError, match="realbogus_default"):
        load_realbogus_model()
    save_realbogus_model(model)
    np.testing.assert_array_equal(load_realbogus_model().predict(x, verbose=0), expected)

    made = simulate_image(width=200, height=200, n_stars=20, seed=5)
    out = classify_realbogus(
        made["catalog"]["x", "y"], made["image"], model=model, fwhm=3.0, flag_bogus=False
    )
    scored = np.isfinite(out["rb_score"])
    assert scored.sum() > 10
    assert ((out["rb_score"][scored] >= 0) & (out["rb_score"][scored] <= 1)).all()


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_both_keras_formats(tmp_path, suffix):
    model = create_realbogus_model(filters=(2,), dense_units=2)
    path = str(tmp_path / f"m{suffix}")
    save_realbogus_model(model, path)
    assert os.listdir(tmp_path) == [f"m{suffix}"]
    x = np.random.default_rng(0).random((3, 31, 31, 2), np.float32)
    np.testing.assert_array_equal(
        load_realbogus_model(path).predict(x, verbose=0), model.predict(x, verbose=0)
    )
    with pytest.raises(InputError, match=r"\.txt"):
        save_realbogus_model(model, str(tmp_path / "m.txt"))


def test_forms_of_training_data(training_data):
    x, y = training_data["X"][:60], training_data["y"][:60]
    for form in ((x, y), (x, y, training_data["fwhm"][:60]), {"X": x, "y": y}):
        model = create_realbogus_model(filters=(2,), dense_units=2)
        got, history = train_realbogus_classifier(form, model=model, epochs=1, verbose=False)
        assert got is model
        assert len(history.history["loss"]) == 1
    for form, says in (
        ({"X": x}, "lacks"),
        ((x,), "tuple"),
        ((x, y[:-1]), "must be"),
        ((x, y + 2), "1 for real"),
    ):
        with pytest.raises(InputError, match=says):
            train_realbogus_classifier(form, epochs=1, verbose=False)
    grey = create_realbogus_model((31, 31, 1), filters=(2,), dense_units=2)
    for kwargs, says in (
        ({"validation_split": 1.0}, "validation_split"),
        ({"validation_split": "a"}, "validation_split"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"epochs": -1}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"model": 5}, "model must be a Keras model"),
        ({"model": keras.Model}, "model must be a Keras model"),
        ({"model": grey}, r"cutouts of \(31, 31, 2\), but the model takes \(31, 31, 1\)"),
        ({"seed": "a"}, "seed"),
    ):
        with pytest.raises(InputError, match=says):
            train_realbogus_classifier((x, y), **kwargs)
    x = x.copy()
    x[3] = np.nan
    with pytest.raises(InputError, match="1 of 60 cutouts in X have pixels that are not finite"):
        train_realbogus_classifier((x, y))


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("m.txt", "must end in .keras"),
        ("folder.keras", "is a folder"),
        ("file/m.keras", "is no folder that can be written"),
        (5, "must be the path of a file, not 5"),
    ],
)
def test_where_no_model_can_be_saved_is_told_before_training(tmp_path, place, says):
    class Model:
        def fit(self, *args, **kwargs):
            pytest.fail("it was trained")

        def save(self, path):
            pytest.fail("it was saved")

    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "file").touch()
    path = place if isinstance(place, int) else str(tmp_path / place)
    with pytest.raises(InputError, match=says):
        train_realbogus_classifier(
            (np.zeros((9, 31, 31, 2)), np.ones(9)), model=Model(), model_file=path
        )
    with pytest.raises(InputError, match=says):
        save_realbogus_model(Model(), path)
    with pytest.raises((InputError, ModelNotFoundError)):
        load_realbogus_model(tmp_path if place == "folder.keras" else path)


def test_what_is_no_model_is_not_saved(tmp_path):
    for model in (5, None, keras.Model):
        with pytest.raises(InputError, match="model must be a Keras model"):
            save_realbogus_model(model, str(tmp_path / "m.keras"))
    assert not list(tmp_path.iterdir())


def test_no_turned_copy_is_on_both_sides(training_data):
    seen = {}

    class Model:
        def fit(self, x, y, validation_data, **kwargs):
            seen.update(train=x, held_out=validation_data[0])

    train_realbogus_classifier(training_data, model=Model(), verbose=False, seed=0)
    total = {cutout.sum().round(3) for cutout in seen["train"].astype(float)}
    assert not [c for c in seen["held_out"].astype(float) if c.sum().round(3) in total]
    assert 0.1 < len(seen["held_out"]) / len(training_data["X"]) < 0.5


def test_verbose_reaches_the_caller(tmp_path, capsys):
    said = []
    save_realbogus_model(
        create_realbogus_model(filters=(2,), dense_units=2),
        str(tmp_path / "m.keras"),
        verbose=said.append,
    )
    assert said == [f"saved {tmp_path / 'm.keras'}"]
    simulate_image(width=64, height=64, verbose=said.append, seed=0)
    assert "64 x 64" in said[-1]


def test_one_class_has_no_weights(training_data):
    seen = {}

    class Model:
        def fit(self, *args, **kwargs):
            seen.update(kwargs)

    x = training_data["X"][:20]
    train_realbogus_classifier((x, np.ones(20)), model=Model(), verbose=False)
    assert seen["class_weight"] is None
    train_realbogus_classifier((x, np.arange(20) < 5), model=Model(), verbose=False, seed=0)
    weights, n = seen["class_weight"], 17
    ones = round(n / (2 * weights[1]))
    assert weights == {0: n / (2 * (n - ones)), 1: n / (2 * ones)}
    assert [type(c) for c in seen["callbacks"]] == [
        keras.callbacks.EarlyStopping,
        keras.callbacks.ReduceLROnPlateau,
    ]
