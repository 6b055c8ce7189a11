"""Classifier and classify_realbogus: rows, bits, threads, copies, and what is refused."""

import inspect
import multiprocessing
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import MaskedColumn, Table
from hypothesis import given
from hypothesis import strategies as st

from rbinfer import (
    Classifier,
    InputError,
    ModelError,
    ModelNotFoundError,
    Status,
    classify_realbogus,
    extract_cutouts,
    load_realbogus_model,
    measure_psf,
    preprocess_cutout,
)
from rbinfer.cutouts.cutter import Cutouts
from rbinfer.io.exposure import Width, as_exposure
from rbinfer.model.registry import resolve
from rbinfer.model.session import Output, Session
from rbinfer.scoring.prepare import prepare
from rbinfer.scoring.rows import share_out, tasks
from rbinfer.status import UNSCORED, explain, is_scored


def test_it_tells_stars_from_hits(classifier, scene):
    image, table, fwhm = scene
    scores = classifier.score(image, table["x"], table["y"], fwhm=fwhm)
    scored = is_scored(scores.status)
    real = np.asarray(table["real"])
    called = scores.score > classifier.spec.threshold
    assert scores.score.dtype == np.float32
    assert scores.status.dtype == np.int32
    assert called[real & scored].mean() >= 0.95
    assert called[~real & scored].mean() <= 0.05


def test_fwhm_is_measured_when_not_given(classifier, scene):
    image, table, fwhm = scene
    out = classifier.classify(table, image)
    assert out.meta["rb_fwhm_source"] == "measured"
    assert out.meta["rb_fwhm"] == pytest.approx(fwhm, rel=0.1)


def star_of(fwhm, side=25):
    y, x = np.indices((side, side)) - side // 2
    return np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2)


def test_a_psf_tells_the_width_unless_that_is_given_too(classifier, scene):
    image, table, fwhm = scene
    # Samples at the middles of pixels: as the scene has them.
    out = classifier.classify(table, image, psf=star_of(fwhm))
    assert out.meta["rb_fwhm_source"] == "psf"
    width = out.meta["rb_fwhm"]
    assert width == pytest.approx(fwhm, rel=0.05)
    assert not (out["rb_status"] & Status.FWHM_ASSUMED).any()
    x, y = table["x"], table["y"]
    by_width = classifier.cutouts(image, x, y, fwhm=width).pixels
    np.testing.assert_array_equal(classifier.cutouts(image, x, y, psf=star_of(fwhm)).pixels, by_width)
    wider = star_of(2 * fwhm)
    beside = classifier.cutouts(image, x, y, fwhm=width, psf=wider)
    np.testing.assert_array_equal(beside.pixels, by_width)
    assert not np.array_equal(classifier.cutouts(image, x, y, psf=wider).pixels, by_width)
    # The network sees the same cutouts, and the star beside them.
    alone = classifier.score(image, x, y, fwhm=width)
    assert 0 < np.nanmax(np.abs(out["rb_score"] - alone.score)) < 0.1
    seed = classify_realbogus(table, image, classifier, flag_bogus=False, psf=star_of(fwhm))
    np.testing.assert_array_equal(seed["rb_score"], out["rb_score"])


def test_the_frames_star_reaches_what_scores(classifier, scene):
    image, table, fwhm = scene
    place = np.asarray(table["x"]), np.asarray(table["y"])
    spec = classifier.spec.preprocess
    measured = prepare(as_exposure(image), spec, *place)
    assert measured.psf.shape == (31, 31)
    assert measured.psf.dtype == np.float32
    assert measured.psf.max() == 1.0
    np.testing.assert_array_equal(measured.width.stamp, measure_psf(image).stamp)
    given = prepare(as_exposure(image), spec, *place, psf=star_of(fwhm))
    assert np.abs(given.psf - measured.psf).max() < 0.05
    assert prepare(as_exposure(image), spec, *place, fwhm=fwhm).psf is None
    # What an exposure knows is not measured again.
    known = as_exposure(image, fwhm=5.0)
    assert prepare(known, spec, *place).width == Width(5.0, "given")


def test_every_row_is_scored_or_told_why(classifier, scene):
    image, _, fwhm = scene
    x = np.array([200.0, np.nan, 200.0, -1.0, 400.0, 1e300, np.inf, -0.5, 399.49, 0, 399])
    y = np.array([200.0, 10.0, np.inf, 10.0, 10.0, 10.0, 1.0, 200, 200, 0, 399])
    scores = classifier.score(image, x, y, fwhm=fwhm)
    assert np.array_equal(np.isfinite(scores.score), is_scored(scores.status))
    assert ((scores.score >= 0) & (scores.score <= 1))[is_scored(scores.status)].all()
    assert (scores.status[[1, 2, 6]] == Status.POSITION_NOT_FINITE).all()
    assert (scores.status[[3, 4, 5]] == Status.OFF_IMAGE).all()
    assert is_scored(scores.status)[0]


def test_scores_do_not_depend_on_the_company(classifier, scene):
    image, table, fwhm = scene
    x, y = np.asarray(table["x"]), np.asarray(table["y"])
    together = classifier.score(image, x, y, fwhm=fwhm).score
    each = [classifier.score(image, a, b, fwhm=fwhm).score for a, b in zip(x, y, strict=True)]
    alone = np.concatenate(each)
    order = np.random.default_rng(0).permutation(len(x))
    shuffled = classifier.score(image, x[order], y[order], fwhm=fwhm).score
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(shuffled, together[order])


def test_scores_do_not_depend_on_threads_or_layout(model_path, scene):
    image, table, fwhm = scene
    x, y = (np.tile(np.asarray(table[c]), 30) for c in "xy")
    one = Classifier(model_path, threads=1).score(image, x, y, fwhm=fwhm)
    many = Classifier(model_path, threads=5)
    for other in (
        image,
        image.astype(">f4"),
        image.astype(np.float64),
        np.asfortranarray(image),
        np.repeat(image, 2, axis=0)[::2],
    ):
        got = many.score(other, x, y, fwhm=fwhm)
        np.testing.assert_array_equal(got.score, one.score)
        np.testing.assert_array_equal(got.status, one.status)


def test_one_classifier_serves_many_threads(classifier, scene):
    image, table, fwhm = scene
    expected = classifier.score(image, table["x"], table["y"], fwhm=fwhm).score
    barrier = threading.Barrier(8)

    def work(_):
        barrier.wait()
        return classifier.score(image, table["x"], table["y"], fwhm=fwhm).score

    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(work, range(8)):
            np.testing.assert_array_equal(got, expected)


def test_it_can_be_pickled(classifier, scene):
    image, table, fwhm = scene
    twin = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(
        twin.score(image, table["x"], table["y"], fwhm=fwhm).score,
        classifier.score(image, table["x"], table["y"], fwhm=fwhm).score,
    )


def _score_in_child(queue, classifier, image, x, y, fwhm):
    queue.put(classifier.score(image, x, y, fwhm=fwhm).score)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_of_a_process_that_has_scored(classifier, scene, method):
    image, table, fwhm = scene
    x, y = np.asarray(table["x"]), np.asarray(table["y"])
    expected = classifier.score(image, x, y, fwhm=fwhm).score
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_score_in_child, args=(queue, classifier, image, x, y, fwhm))
    child.start()
    got = queue.get(timeout=120)
    child.join()
    np.testing.assert_array_equal(got, expected)


def test_progress_reaches_the_end(classifier, scene):
    image, _, fwhm = scene
    seen = []
    n = 2000
    classifier.score(
        image, np.full(n, 200.0), np.full(n, 200.0), fwhm=fwhm, progress=lambda *a: seen.append(a)
    )
    assert seen[-1] == (n, n)
    assert [a for a, _ in seen] == sorted(a for a, _ in seen)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_task_is_done_once(workers):
    done = list(share_out(lambda item: item * 10, range(97), workers))
    assert sorted(done) == [10 * item for item in range(97)]


@pytest.mark.parametrize("where", ["calling thread", "helper"])
def test_an_error_in_any_thread_ends_the_work(where):
    caller, begun = threading.get_ident(), []

    def work(item):
        begun.append(item)
        if (threading.get_ident() == caller) == (where == "calling thread"):
            raise MemoryError(where)
        time.sleep(0.001)
        return item

    with pytest.raises(MemoryError, match=where):
        list(share_out(work, range(10_000), 2))
    assert len(begun) < 1000


def test_an_interruption_by_the_caller_ends_the_work():
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.001)
        return item

    tasks = share_out(work, range(10_000), 3)
    next(tasks)
    with pytest.raises(KeyboardInterrupt):
        tasks.throw(KeyboardInterrupt())
    assert len(begun) < 1000


@pytest.mark.parametrize(
    ("n", "threads", "batch", "sizes"),
    [
        (2048, 2, 64, [512, 384, 256, 192, 128, 128, 64]),
        (10, 4, 64, [10]),
        (0, 1, 64, []),
        (9000, 1, 4096, [4096, 4096, 808]),
    ],
)
def test_tasks_shrink_by_whole_batches(n, threads, batch, sizes):
    found = [part.stop - part.start for part in tasks(n, threads, batch)]
    assert found[: len(sizes)] == sizes
    assert sum(found) == n


@given(st.integers(0, 100_000), st.integers(1, 64), st.integers(1, 5000))
def test_tasks_are_all_rows_in_order(n, threads, batch):
    parts = tasks(n, threads, batch)
    assert [row for part in parts[:3] for row in range(part.start, part.stop)] == list(
        range(parts[min(2, len(parts) - 1)].stop if parts else 0)
    )
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    sizes = [part.stop - part.start for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size % batch == 0 for size in sizes[:-1])
    assert sum(sizes) == n
    assert max(sizes, default=0) <= max(512, batch)


@pytest.mark.parametrize(("name", "batch"), [("default", 96), ("reference", 32)])
def test_batch_by_the_kind_of_network(name, batch):
    assert Session(resolve(name), "cpu").batch == batch


def test_classes_that_a_network_does_not_tell_are_nan(classifier, scene):
    """One whose spec names classes may yet return scores alone."""

    class ScoresAlone:
        spec, batch = classifier.spec, 64

        def run(self, cutouts):
            return Output(np.full(len(cutouts), 0.5, np.float32), None)

    image, table, fwhm = scene
    scores = Classifier(ScoresAlone()).score(image, table["x"], table["y"], fwhm=fwhm)
    assert np.isfinite(scores.score).any()
    assert np.isnan(scores.classes).all()


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


def test_models_that_are_none(tmp_path, scene):
    with pytest.raises(ModelNotFoundError, match="no_such_model"):
        Classifier("no_such_model")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not an ONNX file")
    with pytest.raises(ModelError, match=r"broken\.onnx is not a model"):
        Classifier(broken)


def test_no_file_stands_in_for_the_shipped_model(tmp_path, monkeypatch, model_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RBINFER_MODELS", str(tmp_path / "own"))
    for name in ("default", "reference"):
        (tmp_path / name).write_text("not a model")
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "model.onnx").write_text("nor this")
    assert resolve(None) == model_path


def test_a_missing_keras_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.h5"):
        load_realbogus_model(str(tmp_path / "gone.h5"))


def test_installed_models_are_found_by_name(tmp_path, monkeypatch, model_path):
    monkeypatch.setenv("RBINFER_MODELS", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.onnx").write_bytes(model_path.read_bytes())
    assert Classifier("mine").spec == Session(model_path).spec


def test_parameters_out_of_range(scene, classifier):
    image, table, _ = scene
    for kwargs, says in (
        ({"threshold": 1.5}, "threshold"),
        ({"fwhm": 0.0}, "fwhm"),
        ({"batch_size": 0}, "batch_size"),
        ({"bg": np.zeros((3, 3))}, "bg has shape"),
        ({"mask": np.zeros((3, 3), bool)}, "mask"),
        ({"real_source_types": ["unicorn"]}, "unicorn"),
        ({"asinh_softening": -1.0}, "asinh_softening"),
        ({"asinh_softening": "a"}, "asinh_softening must be a number, not 'a'"),
        ({"threshold": "a"}, "threshold must be a number, not 'a'"),
        ({"batch_size": "a"}, "batch_size must be a number, not 'a'"),
        ({"batch_size": 1.5}, "batch_size must be a whole number of at least 1, not 1.5"),
        ({"fwhm": "a"}, "fwhm must be a number, not 'a'"),
        ({"model": object()}, "model must have 'predict' and 'input_shape'"),
    ):
        with pytest.raises(InputError, match=says):
            classify_realbogus(table, image, **{"fwhm": 3.0, **kwargs})
    for level in (0, -1, np.nan, np.inf, "a"):
        with pytest.raises(InputError, match="saturation must be a"):
            classifier.score(image, [50], [50], fwhm=3.0, saturation=level)
    with pytest.raises(InputError, match="x has 2 positions but y has 1"):
        classifier.score(image, [1, 2], [1])
    for unit in (u.arcsec, u.deg):
        with pytest.raises(InputError, match=f"x is in {unit}, not in pixels"):
            classifier.score(image, [50.0] * unit, [50.0] * u.pix, fwhm=3.0)
    assert classifier.score(image, [50.0] * u.pix, [50.0] * u.pix, fwhm=3.0).score.shape == (1,)
    with pytest.raises(InputError, match="x must be numbers"):
        classifier.score(image, [10**400], [50], fwhm=3.0)
    for threads in (0, 1.5, True, "a"):
        with pytest.raises(InputError, match="threads must be a"):
            Classifier(threads=threads)
    with pytest.raises(InputError, match="device"):
        Classifier(device="tpu")


def test_a_class_named_twice_counts_once(scene, model_path):
    image, table, fwhm = scene
    once, twice = (
        Classifier(model_path, real_source_types=names).classify(table, image, fwhm=fwhm)
        for names in (("star", "galaxy"), ("star", "galaxy", "star"))
    )
    assert (once["rb_score"] < 0.5).any()
    np.testing.assert_array_equal(once["rb_score"], twice["rb_score"])
    assert twice.meta["rb_real"] == ["star", "galaxy"]


def test_readings_are_sums_of_the_classes(scene):
    image, table, fwhm = scene
    default, turned, stars = (
        Classifier("default", device="cpu", real_source_types=names)
        for names in (None, ("galaxy", "star"), ("star",))
    )
    scores = [c.score(image, table["x"], table["y"], fwhm=fwhm) for c in (default, turned, stars)]
    classes = scores[0].classes
    np.testing.assert_allclose(scores[0].score, classes[:, 0] + classes[:, 1], atol=1e-6)
    assert np.nanmax(scores[0].score) <= 1
    np.testing.assert_array_equal(scores[1].score, scores[0].score)
    np.testing.assert_array_equal(scores[2].score, classes[:, 0])
    assert stars.threshold == stars.spec.reading(("star",)).threshold


def test_what_one_caller_sets_is_not_the_next_ones(scene):
    image, table, fwhm = scene
    expected = classify_realbogus(table, image, fwhm=fwhm, flag_bogus=False)["rb_score"]
    mine = load_realbogus_model()
    mine.real_source_types = ("cosmic_ray",)
    assert load_realbogus_model().real_source_types == ("star", "galaxy")
    again = classify_realbogus(table, image, fwhm=fwhm, flag_bogus=False)["rb_score"]
    np.testing.assert_array_equal(again, expected)


def test_of_an_earlier_scoring_nothing_is_left_and_nothing_else_is_lost(scene, classifier):
    image, table, fwhm = scene
    table = table.copy()
    table.meta.update(rb_night="2026-11-25", RB_MODEL="another", rb_hash="0")
    table["rb_score"], table["rb_class"] = 2.0, "elephant"
    again = classifier.classify(table, image, fwhm=fwhm, add_score=False)
    assert not {"rb_score", "rb_class"} & set(again.colnames)
    assert again.meta["rb_night"] == "2026-11-25"
    assert again.meta["rb_model"] == classifier.spec.name
    assert not {"RB_MODEL", "rb_hash"} & set(again.meta)


def test_cutouts_are_what_the_network_sees(scene, classifier):
    image, table, fwhm = scene
    x, y = np.asarray(table["x"]), np.asarray(table["y"])
    peaks = np.rint(x) + 2, np.rint(y)
    cut = classifier.cutouts(image, x, y, fwhm=fwhm, peaks=peaks)
    scored = classifier.score(image, x, y, fwhm=fwhm, peaks=peaks)
    good = is_scored(cut.status)
    ready = Cutouts(*(part[good] for part in cut))
    np.testing.assert_array_equal(classifier.predict(ready)[:, 0], scored.score[good])
    np.testing.assert_array_equal(is_scored(scored.status), good)


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


def test_cuda_is_given_or_refused():
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert Classifier(device="cuda").running_on == "cuda"
    else:
        from rbinfer import DeviceError

        with pytest.raises(DeviceError, match="CPUExecutionProvider"):
            Classifier(device="cuda")


def test_status_explains_itself():
    words = explain(Status.NEAR_EDGE | Status.OFF_IMAGE)
    assert [w.split(":")[0] for w in words] == ["OFF_IMAGE", "NEAR_EDGE"]
    assert explain(0) == []
    assert all(explain(bit) for bit in Status)
