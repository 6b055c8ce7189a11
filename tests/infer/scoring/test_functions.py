"""classify_realbogus and the other functions of the reference API: rows, models, what is refused."""

import inspect
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.table import MaskedColumn, Table

from rbinfer import (
    Classifier,
    InputError,
    ModelError,
    Status,
    classify_realbogus,
    extract_cutouts,
    load_realbogus_model,
    preprocess_cutout,
)
from rbinfer.status import UNSCORED, is_scored


def test_rows_come_back_in_the_order_of_the_positions(classifier, scene):
    """They are worked through in another one."""
    image, table, fwhm = scene
    x, y = np.asarray(table["x"], float), np.asarray(table["y"], float)
    x, y = np.append(x, [np.nan, 50.0, -1e300]), np.append(y, [10.0, np.inf, 20.0])
    shuffled = np.random.default_rng(1).permutation(len(x))
    scores = classifier.score(image, x, y, fwhm=fwhm)
    again = classifier.score(image, x[shuffled], y[shuffled], fwhm=fwhm)
    for first, second in zip(scores, again, strict=True):
        np.testing.assert_array_equal(first[shuffled], second)
    assert scores.status[-3:].tolist() == [
        Status.POSITION_NOT_FINITE,
        Status.POSITION_NOT_FINITE,
        Status.OFF_IMAGE,
    ]


def test_the_callers_table_is_left_alone(scene):
    image, table, fwhm = scene
    table = table.copy()
    table["rb_score"] = "old"
    before = table.copy()
    out = classify_realbogus(table, image, fwhm=fwhm, flag_bogus=False)
    assert table.colnames == before.colnames
    assert all(np.array_equal(table[c], before[c]) for c in table.colnames)
    assert out["id"].tolist() == before["id"].tolist()
    assert out["rb_score"].dtype == np.float32
    assert {"rb_score", "rb_status"} <= set(out.colnames)


def test_columns_of_positions_are_named_as_the_message_says(scene):
    image, table, fwhm = scene
    named = Table({"XPOS": table["x"] + 1, "YPOS": table["y"] + 1})
    with pytest.raises(InputError, match="name them by `x_col='XPOS', y_col='YPOS'`, with `origin=1`"):
        classify_realbogus(named, image, fwhm=fwhm)
    found = classify_realbogus(
        named, image, fwhm=fwhm, flag_bogus=False, x_col="XPOS", y_col="YPOS", origin=1
    )
    wanted = classify_realbogus(table["x", "y"], image, fwhm=fwhm, flag_bogus=False)
    np.testing.assert_allclose(found["rb_score"], wanted["rb_score"], atol=1e-5)


def test_flag_bogus_returns_the_real_ones(scene):
    image, table, fwhm = scene
    table = Table(table)
    table["flags"] = np.int16(3)
    table.add_row([np.nan, 10.0, True, 100, 3])
    every = classify_realbogus(table, image, fwhm=fwhm, flag_bogus=False)
    kept = classify_realbogus(table, image, fwhm=fwhm)
    wanted = np.asarray(every["rb_score"]) > 0.5
    assert kept["id"].tolist() == every["id"][wanted].tolist()
    assert 100 not in kept["id"]
    assert (kept["flags"] == 3).all()
    assert "flags" in classify_realbogus(table["x", "y"], image, fwhm=fwhm).colnames


@pytest.mark.parametrize("dtype", [float, bool, str])
def test_flags_of_another_type_are_refused_before_anything_is_scored(scene, dtype):
    image, table, _ = scene
    table = Table(table)
    table["flags"] = np.zeros(len(table)).astype(dtype)
    done = []
    with pytest.raises(InputError, match=r"column 'flags' has dtype .*give flag_bogus=False"):
        Classifier().classify(table, image, flag_bogus=True, progress=lambda *n: done.append(n))
    assert done == []
    assert len(classify_realbogus(table, image, flag_bogus=False)) == len(table)


def test_a_score_equal_to_the_threshold_is_not_real(scene):
    image, table, fwhm = scene
    every = classify_realbogus(table, image, fwhm=fwhm, flag_bogus=False)
    limit = float(np.nanmax(every["rb_score"]))
    assert len(classify_realbogus(table, image, fwhm=fwhm, threshold=limit)) == 0


def test_a_class_of_another_model_does_not_stay(scene):
    image, table, fwhm = scene
    table = Table(table)
    table["rb_class"] = "galaxy"
    out = classify_realbogus(table, image, model_file="reference", fwhm=fwhm, flag_bogus=False)
    assert "rb_class" not in out.colnames


def test_masked_flags_stay_masked(scene):
    image, table, fwhm = scene
    table = Table(table, masked=True)
    table["flags"] = MaskedColumn(np.zeros(len(table), np.int32), mask=np.arange(len(table)) == 3)
    out = classify_realbogus(table, image, fwhm=fwhm, threshold=0.0)
    assert out["flags"].mask[np.asarray(out["id"]) == 3].all()


def test_without_scores(scene):
    image, table, fwhm = scene
    out = classify_realbogus(table, image, fwhm=fwhm, add_score=False, flag_bogus=False)
    assert out.colnames == table.colnames


def test_nothing_in_nothing_out(scene):
    image, table, _ = scene
    for flag_bogus in (False, True):
        out = classify_realbogus(table[:0], image, flag_bogus=flag_bogus)
        assert len(out) == 0
        assert {"x", "y", "real", "id", "rb_score", "rb_status"} <= set(out.colnames)


def test_a_table_without_columns_is_empty_too(scene):
    out = classify_realbogus(Table(), scene[0])
    assert len(out) == 0
    assert {"rb_score", "rb_status", "flags"} <= set(out.colnames)


def test_masked_positions_are_told(scene):
    image, table, fwhm = scene
    x = MaskedColumn(table["x"], mask=np.arange(len(table)) == 7)
    out = classify_realbogus(Table({"x": x, "y": table["y"]}), image, fwhm=fwhm, flag_bogus=False)
    assert out["rb_status"][7] & UNSCORED == Status.POSITION_NOT_FINITE
    assert np.isnan(out["rb_score"][7])


def test_masks_of_ccddata_count(scene):
    image, table, fwhm = scene
    mask = np.zeros(image.shape, bool)
    x0, y0 = int(table["x"][0]), int(table["y"][0])
    mask[max(y0 - 40, 0) : y0 + 40, max(x0 - 40, 0) : x0 + 40] = True
    out = classify_realbogus(table, CCDData(image, unit="adu", mask=mask), fwhm=fwhm, flag_bogus=False)
    assert not is_scored(out["rb_status"])[0]


class Constant:
    """Has what a Keras model has, and says what it was asked."""

    input_shape = (None, 31, 31, 2)
    name = "constant"

    def __init__(self):
        self.batches = []

    def predict(self, cutouts, batch_size=None, verbose=0):
        self.batches.append((cutouts.shape, batch_size))
        return np.full((len(cutouts), 1), 0.75, np.float32)


def test_a_keras_like_model_is_taken_as_it_is(scene):
    image, table, fwhm = scene
    model = Constant()
    out = classify_realbogus(table, image, model=model, fwhm=fwhm, flag_bogus=False, batch_size=7)
    _, valid = extract_cutouts(table, image, fwhm=fwhm)
    scored = np.flatnonzero(np.isfinite(out["rb_score"]))
    assert scored.tolist() == valid.tolist()
    assert (out["rb_score"][scored] == 0.75).all()
    assert model.batches[0][1] == 7


@pytest.mark.parametrize("shape", [(None, 31, 30, 2), (None, 30, 30, 2), (None, 31, 31, 3)])
def test_shapes_that_cannot_be_are_refused(scene, shape):
    model = Constant()
    model.input_shape = shape
    with pytest.raises(ValueError, match="the model takes"):
        classify_realbogus(scene[1], scene[0], model=model)


def test_only_what_can_be_scored_reaches_the_model(scene):
    image, _, fwhm = scene
    model = Constant()
    classify_realbogus(
        {"x": [200.0, 1.0, np.nan], "y": [200.0, 1.0, 5.0]}, image, model=model, fwhm=fwhm
    )
    assert [shape for shape, _ in model.batches] == [(1, 31, 31, 2)]


def test_a_dynamic_shape_means_31(scene):
    model = Constant()
    model.input_shape = (None, None, None, 2)
    assert Classifier(model).input_shape == (None, 31, 31, 2)


def test_loaded_model_is_what_model_takes(scene):
    image, table, fwhm = scene
    model = load_realbogus_model()
    given = classify_realbogus(table, image, model=model, fwhm=fwhm, flag_bogus=False)
    default = classify_realbogus(table, image, fwhm=fwhm, flag_bogus=False)
    np.testing.assert_array_equal(given["rb_score"], default["rb_score"])


def test_predict_has_the_call_of_keras(scene):
    image, table, fwhm = scene
    model = load_realbogus_model("reference")
    cutouts, valid = extract_cutouts(table, image, fwhm=fwhm)
    got = model.predict(cutouts, batch_size=16, verbose=0)
    scores = model.score(image, table["x"], table["y"], fwhm=fwhm).score
    assert got.shape == (len(valid), 1)
    np.testing.assert_array_equal(got[:, 0], scores[valid])
    with pytest.raises(InputError, match="cutouts have shape"):
        model.predict(np.zeros((2, 21, 21, 2)))
    for wrong in (cutouts + 0j, "x", None, [[1], [2, 3]]):
        with pytest.raises(InputError, match="cutouts"):
            model.predict(wrong)


def test_verbose_reports(scene, tmp_path):
    image, table, fwhm = scene
    said = []
    classify_realbogus(table, image, fwhm=fwhm, verbose=said.append)
    assert any("real" in line for line in said)
    # In a process of its own: pytest's handlers would count as a logging configuration.
    np.save(tmp_path / "image.npy", image)
    for configure, verbose, times in (
        ("", True, 1),
        ("", False, 0),
        ("logging.basicConfig(level=20)", True, 1),
    ):
        code = (
            f"import logging, numpy as np, rbinfer\n{configure}\n"
            f"image = np.load({str(tmp_path / 'image.npy')!r})\n"
            "table = {'x': [200.0], 'y': [200.0]}\n"
            f"rbinfer.classify_realbogus(table, image, fwhm=3.2, verbose={verbose})"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr.count("1 rows:") == times
        assert done.stdout == ""


def test_each_thread_hears_its_own_call(scene):
    image, table, fwhm = scene
    heard = {name: [] for name in "ab"}
    barrier = threading.Barrier(2)

    def work(name):
        for _ in range(5):
            barrier.wait()
            rows = table[: 10 if name == "a" else 20]
            classify_realbogus(rows, image, fwhm=fwhm, verbose=heard[name].append)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, "ab"))
    for name, n in (("a", 10), ("b", 20)):
        assert len([line for line in heard[name] if line.startswith(f"{n} rows")]) == 5
        assert not [line for line in heard[name] if "rows:" in line and not line.startswith(f"{n} rows")]


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_keras_files_are_refused_with_the_remedy(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"rbtrain export .*mine"):
        load_realbogus_model(str(path))


def test_a_missing_keras_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.h5"):
        load_realbogus_model(str(tmp_path / "gone.h5"))


def test_what_one_caller_sets_is_not_the_next_ones(scene):
    image, table, fwhm = scene
    expected = classify_realbogus(table, image, fwhm=fwhm, flag_bogus=False)["rb_score"]
    mine = load_realbogus_model()
    mine.real_source_types = ("cosmic_ray",)
    assert load_realbogus_model().real_source_types == ("star", "galaxy")
    again = classify_realbogus(table, image, fwhm=fwhm, flag_bogus=False)["rb_score"]
    np.testing.assert_array_equal(again, expected)


def test_cutouts_of_columns_that_are_named():
    rng = np.random.default_rng(4)
    image = rng.normal(100.0, 5.0, (80, 90)).astype(np.float32)
    found, rows = extract_cutouts({"x": [30.0, 50.0], "y": [40.0, 35.0]}, image, fwhm=3.0)
    named = {"colour": [31.0, 51.0], "other": [41.0, 36.0]}
    got, valid = extract_cutouts(named, image, fwhm=3.0, x_col="colour", y_col="other", origin=1)
    np.testing.assert_array_equal(got, found)
    np.testing.assert_array_equal(valid, rows)
    with pytest.raises(InputError, match=r"it has colour .*; name them by `x_col` and `y_col`"):
        extract_cutouts(named, image, fwhm=3.0)


#: Parameters and defaults of the reference API.
SEED = {
    preprocess_cutout: {
        "cutout_sci": ...,
        "cutout_bg": None,
        "cutout_err": None,
        "fwhm": None,
        "target_fwhm": 3.0,
        "target_size": 31,
        "downscale_threshold": 1.5,
        "normalize": True,
        "asinh_softening": None,
    },
    extract_cutouts: {
        "obj": ...,
        "image": ...,
        "bg": None,
        "err": None,
        "mask": None,
        "radius": 15,
        "fwhm": None,
        "target_fwhm": 3.0,
        "asinh_softening": None,
        "verbose": False,
    },
    load_realbogus_model: {"model_file": None, "verbose": False},
    classify_realbogus: {
        "obj": ...,
        "image": ...,
        "model": None,
        "model_file": None,
        "bg": None,
        "err": None,
        "mask": None,
        "fwhm": None,
        "asinh_softening": None,
        "threshold": 0.5,
        "add_score": True,
        "flag_bogus": True,
        "batch_size": 128,
        "verbose": False,
    },
}


@pytest.mark.parametrize("function", SEED, ids=lambda function: function.__name__)
def test_signatures_are_those_of_the_reference(function):
    given = inspect.signature(function).parameters.values()
    ours = {
        each.name: ... if each.default is each.empty else each.default
        for each in given
        if each.kind is each.POSITIONAL_OR_KEYWORD
    }
    assert ours == SEED[function]
    assert list(ours) == list(SEED[function])
