"""Classifier: rows, bits, threads, copies, and what is refused."""

import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy import units as u

from rbinfer import (
    Classifier,
    InputError,
    ModelError,
    ModelNotFoundError,
    Status,
    classify_realbogus,
    measure_psf,
)
from rbinfer.cutouts.cutter import Cutouts
from rbinfer.io.exposure import as_exposure
from rbinfer.model.registry import resolve
from rbinfer.model.session import Output, Session
from rbinfer.scoring.prepare import prepare
from rbinfer.status import explain, is_scored


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
    assert prepare(known, spec, *place).width is known.width
    assert (known.width.fwhm, known.width.source) == (5.0, "given")


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
