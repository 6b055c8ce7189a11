"""A model adapted to labels: whole on disk, with its lineage and its verdict; and without TensorFlow."""

import dataclasses
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
from astropy.io import fits
from onnx import numpy_helper

from rbinfer import Classifier
from rbinfer._util.hashing import digest
from rbinfer.cli import main as rbinfer_main
from rbinfer.errors import InputError
from rbinfer.io.images import load_image
from rbinfer.io.labels import Label, LabelFile
from rbinfer.model.registry import resolve, shipped_model
from rbinfer.model.session import read_spec, verify
from rbtrain.adapting import AdaptOptions, adapt, material, tries
from rbtrain.cli import main
from rbtrain.config import CLASSES
from rbtrain.data import kept
from rbtrain.data.kept import Kept
from rbtrain.export.last_layer import last_layer, write_features_model
from rbtrain.fitting.examples import Examples
from rbtrain.fitting.head import Head

from ..infer.night.skies import add_star

SIDE, PITCH = 480, 24


@pytest.fixture(scope="module")
def small_sets(tmp_path_factory):
    """Let the kept sets be small, in a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name, which in (("REHEARSED", Kept("rehearsed", 5, 10)), ("JUDGED", Kept("judged", 6, 14))):
            patch.setattr(material, name, which)
        yield


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv("RBINFER_MODELS", str(folder))
    return folder


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """Return an image of stars and of rings, and its labels with the truth."""
    folder = tmp_path_factory.mktemp("strange")
    rng = np.random.default_rng(3)
    image = rng.normal(300, 8, (SIDE, SIDE))
    middles = np.stack(np.meshgrid(*[np.arange(16, SIDE - 10, PITCH)] * 2), -1).reshape(-1, 2)
    real = rng.random(len(middles)) < 0.5
    rows, columns = np.mgrid[-6:7, -6:7]
    labels = []
    for (x, y), is_real in zip(middles, real, strict=True):
        if is_real:
            add_star(image, x, y, rng.uniform(1000, 6000))
        else:
            ring = np.exp(-((np.hypot(rows, columns) - 2.2) ** 2) / 1.2)
            image[y - 6 : y + 7, x - 6 : x + 7] += rng.uniform(60, 200) * ring
    path = folder / "image.fits"
    fits.writeto(path, np.rint(image).astype(np.int16))
    for (x, y), is_real in zip(middles, real, strict=True):
        label = "real" if is_real else "bogus"
        labels.append(Label(str(path), digest(path), float(x), float(y), label, who="test"))
    return labels


def written(tmp_path, labels):
    LabelFile(tmp_path / "labels.ecsv").append(labels)
    return tmp_path / "labels.ecsv"


def mix_of(spec):
    """Return what a calibration tells of the mix; it must tell all of it."""
    return {key: spec.calibration[key] for key in ("sources", "widths", "bogus_weights")}


@pytest.fixture(scope="module")
def labels(strange, tmp_path_factory):
    return written(tmp_path_factory.mktemp("labels"), strange)


@pytest.fixture(scope="module")
def adapted(labels, small_sets, tmp_path_factory):
    """Return what came of it where nothing is asked for, beside no other models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RBINFER_MODELS", str(tmp_path_factory.mktemp("adapted")))
        return adapt(AdaptOptions([labels]))


def test_an_adapted_model_tells_what_the_shipped_one_does_not(
    adapted, strange, labels, monkeypatch, capsys
):
    models = next(folder for folder in adapted.path.parents if folder.name != "rejected")
    monkeypatch.setenv("RBINFER_MODELS", str(models))
    image = load_image(strange[0].image)
    x, y = (np.array([getattr(label, k) for label in strange]) for k in ("x", "y"))
    real = np.array([label.label == "real" for label in strange])
    before, after = (Classifier(m, device="cpu") for m in (None, adapted.path))
    let_in = [(c.score(image, x, y).score > c.threshold)[~real].mean() for c in (before, after)]
    assert adapted.method == "head"
    assert let_in[1] < 0.5 * let_in[0]
    assert adapted.comparison.let_in.won > adapted.comparison.let_in.lost
    is_better = adapted.comparison.verdict == "better"
    assert adapted.path == (models if is_better else models / "rejected") / "mine-1.onnx"
    assert ("rbinfer models use mine-1'" in " ".join(adapted.in_words())) == is_better
    assert verify(adapted.path).ok
    spec = read_spec(adapted.path)
    assert (spec.name, spec.version) == ("mine", "1")
    assert spec.parent.endswith(f"{digest(shipped_model())}, adapted to labels (head)")
    assert spec.adaptation["labels"]["sha256"] == [digest(labels)]
    assert spec.adaptation["labels"]["real"] + spec.adaptation["labels"]["bogus"] == len(strange)
    assert spec.adaptation["verdict"] == adapted.comparison.verdict
    # The rates of both models are of one set, and 'models info' shows them so.
    on_one_set = spec.adaptation["rates_before"]["star,galaxy"]["missed 1.0%"]
    assert on_one_set["missed"] == pytest.approx(0.01, abs=0.003)
    assert rbinfer_main(["models", "info", str(adapted.path)]) == 0
    told = capsys.readouterr().out
    assert f"(before: {on_one_set['missed']:.3%}, {on_one_set['false']:.3%})" in told
    assert f"on {spec.adaptation['rates_on']} simulated detections of 'rbtrain adapt'" in told
    assert spec.calibration == {"method": "fitted to labels (head)", **mix_of(before.spec)}
    assert len(spec.adaptation["seen"]) == len(strange)
    assert len(spec.readings) == len(before.spec.readings)
    assert resolve(None) == shipped_model()  # nothing is promoted unasked


def test_all_layers_are_fitted_where_that_is_asked_for(
    strange, small_sets, models, tmp_path, monkeypatch
):
    monkeypatch.setattr(material, "FOLDS", 2)
    monkeypatch.setattr(tries, "HOLDS", (30.0,))
    adapted = adapt(AdaptOptions([written(tmp_path, strange)], layers="all"))
    assert adapted.method == "layers"
    assert "are enough for them" in adapted.why
    image = load_image(strange[0].image)
    x, y = (np.array([getattr(label, k) for label in strange]) for k in ("x", "y"))
    real = np.array([label.label == "real" for label in strange])
    before, after = (Classifier(m, device="cpu") for m in (None, adapted.path))
    calls = [c.score(image, x, y).score > c.threshold for c in (before, after)]
    assert calls[1][~real].mean() < 0.5 * calls[0][~real].mean()
    assert calls[1][real].mean() > 0.97
    simulated = adapted.comparison.simulated_kept
    assert simulated.after > simulated.before - 0.02
    first = [
        numpy_helper.to_array(constant)
        for path in (shipped_model(), adapted.path)
        for constant in onnx.load(path).graph.initializer
        if tuple(constant.dims[1:]) == (1, 3, 6)
    ]
    # Of an image that is read as it lies, its two channels side by side.
    assert [kernel.shape for kernel in first] == [(16, 1, 3, 6)] * 2
    assert not np.allclose(*first, atol=1e-4)
    assert verify(adapted.path).ok
    spec = read_spec(adapted.path)
    assert spec.parent.endswith(f"{digest(shipped_model())}, adapted to labels (layers)")
    shipped = read_spec(shipped_model())
    assert spec.calibration == {"method": "fitted to labels (layers)", **mix_of(shipped)}


def test_it_rehearses_on_frames_of_ones_own(labels, adapted, models, tmp_path, monkeypatch):
    monkeypatch.setattr(material, "_OWN_FRAMES", 3)
    rng = np.random.default_rng(4)
    darks = [tmp_path / f"dark_{k}.fits" for k in range(3)]
    for path in darks:
        fits.writeto(path, np.rint(rng.normal(100, 6, (512, 512))).astype(np.int16))
    sky = rng.normal(300, 17, (512, 512))
    for x, y in rng.uniform(20, 490, (40, 2)):
        add_star(sky, x, y, rng.uniform(2000, 20000))
    fits.writeto(tmp_path / "sky.fits", np.rint(sky).astype(np.int16))
    steps = []

    @contextmanager
    def progress(step):
        done = []
        yield lambda *counts: done.append(counts)
        steps.append((step, done[-1:]))

    found = adapt(AdaptOptions([labels], darks=darks, images=[tmp_path / "sky.fits"]), progress)
    assert ("simulation on your frames", [(3, 3)]) in steps
    settings = found.spec.adaptation["settings"]
    assert {frame["sha256"] for frame in settings["frames"]} == {
        digest(path) for path in (*darks, tmp_path / "sky.fits")
    }
    assert adapted.spec.adaptation["settings"]["frames"] == []
    one, other = (last_layer(onnx.load(path)) for path in (found.path, adapted.path))
    assert not np.allclose(one.kernel, other.kernel, atol=1e-4)
    twice = tmp_path / "twice.fits"
    twice.write_bytes(darks[0].read_bytes())
    with pytest.raises(InputError, match=r"holds the same bytes as .* give each once"):
        adapt(AdaptOptions([labels], darks=[darks[0], twice], output=tmp_path / "none.onnx"))
    assert not (tmp_path / "none.onnx").exists()


def test_all_layers_without_tensorflow_are_refused_before_work(models, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(InputError, match=r"tensorflow, which is not installed: .*rbinfer\[train\]"):
        adapt(AdaptOptions([tmp_path / "none.ecsv"], layers="all"))


def test_a_model_of_other_layers_is_refused_before_the_simulation(
    strange, models, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    proto = onnx.load(shipped_model())
    place, first = next((k, n) for k, n in enumerate(proto.graph.node) if n.op_type == "Conv")
    [shape] = [tuple(c.dims) for c in proto.graph.initializer if c.name == first.input[1]]
    output, first.output[0] = first.output[0], "before_more"
    # A layer more, which changes nothing.
    same = np.eye(shape[0], dtype=np.float32)[:, :, None, None]
    proto.graph.initializer.append(numpy_helper.from_array(same, "more"))
    more = onnx.helper.make_node("Conv", ["before_more", "more"], [output])
    proto.graph.node.insert(place + 1, more)
    onnx.save(proto, tmp_path / "other.onnx")
    options = AdaptOptions([written(tmp_path, strange)], tmp_path / "other.onnx", layers="all")
    with pytest.raises(InputError, match=r"its layers can't be fitted: .*; leave '--layers all' out"):
        adapt(options)
    assert not list((tmp_path / "cache").rglob("*.npy"))
    assert not models.exists()


def test_the_same_labels_and_seed_make_the_same_file(adapted, labels, tmp_path):
    again = adapt(AdaptOptions([labels], output=tmp_path / "again.onnx"))
    one, other = (last_layer(onnx.load(path)) for path in (adapted.path, again.path))
    assert np.array_equal(one.kernel, other.kernel)
    assert np.array_equal(one.bias, other.bias)


@pytest.mark.parametrize(
    ("n_real", "n_bogus", "method"),
    [(30, 30, "calibration"), (0, 30, "threshold"), (12, 3, "threshold")],
)
def test_few_labels_move_no_layer_and_it_says_why(
    n_real, n_bogus, method, strange, small_sets, models, tmp_path
):
    real = [label for label in strange if label.label == "real"][:n_real]
    bogus = [label for label in strange if label.label == "bogus"][:n_bogus]
    found = adapt(AdaptOptions([written(tmp_path, real + bogus)]))
    assert found.method == method
    assert f"{n_real + n_bogus} labels, {n_real} real and {n_bogus} bogus" in found.why
    kernels = [last_layer(onnx.load(path)).kernel for path in (shipped_model(), found.path)]
    if method == "threshold":
        assert np.array_equal(*kernels)
    else:
        ratio = kernels[1] / kernels[0]
        assert ratio == pytest.approx(np.full_like(ratio, np.median(ratio)), rel=1e-4)


def scored(scores, real):
    """Examples of one feature, the log odds of their score, each sure of its label."""
    odds = np.log(np.array(scores) / (1 - np.array(scores)))
    return Examples(
        odds[:, np.newaxis].astype(np.float32),
        np.array(real),
        np.where(real, 0, 2).astype(np.intp),
        np.ones(len(real)),
    )


@pytest.mark.parametrize(
    ("scores", "method"),
    [
        ([0.42, 0.9, 0.9, 0.45, 0.01, 0.01], "unchanged"),
        ([0.42, 0.42, 0.42, 0.2, 0.01, 0.01], "threshold"),
    ],
)
def test_a_threshold_that_is_worse_on_labels_kept_apart_is_not_chosen(scores, method):
    """Faint stars ask for a lower threshold, at which a bogus one may be let in that was not seen."""
    kernel = np.array([[1, *[0] * 6]], np.float32)
    bias = np.array([0, -20, 0, *[-20] * 4], np.float32)
    parent = Head(kernel, bias, np.isin(CLASSES, ("star", "galaxy")), 0.5)
    labels = scored(scores, [True] * 3 + [False] * 3)
    simulated = scored([0.999] * 40 + [0.001] * 40, [True] * 40 + [False] * 40)
    fold = np.array([0, 1, 2, 3, 4, 4])
    seen = np.ones(6, bool)
    known = material.Material(
        labels, fold, seen, seen, np.arange(6), simulated, simulated, None, None, []
    )
    found = tries.try_ways("none.onnx", parent, known, False, 0)
    assert [one.method for one in found] == ["threshold", "unchanged"][: 1 + (method == "unchanged")]
    last = found[-1]
    if method == "unchanged":
        assert last.network.threshold == 0.5
        assert (last.comparison.kept.lost, last.comparison.let_in.lost) == (0, 0)
        assert last.comparison.verdict == "no better"
        assert "judges 0 better and 1 worse, so it stays" in last.why
    else:
        assert last.network.threshold == pytest.approx(0.4)
        assert last.comparison.kept.won == 3


def test_too_few_labels_are_refused_with_what_to_do(strange, small_sets, models, tmp_path):
    skipped = [dataclasses.replace(label, label="skip") for label in strange[9:]]
    with pytest.raises(
        InputError, match=r"there are 9 labels that can be used; 10 are needed .* label more"
    ):
        adapt(AdaptOptions([written(tmp_path, strange[:9] + skipped)]))
    assert not models.exists()


def test_labels_of_an_image_that_is_gone_or_changed_are_left_out(strange, small_sets, models, tmp_path):
    gone = [dataclasses.replace(label, image="/nowhere.fits", hash="0") for label in strange[:5]]
    changed = [dataclasses.replace(label, hash="1") for label in strange[5:8]]
    found = adapt(AdaptOptions([written(tmp_path, gone + changed + strange[8:48])]))
    assert sorted(reason.split(":")[0].split(" ")[0] for reason in found.left_out) == ["3", "5"]
    assert "the image is not there any more" in " ".join(found.left_out)
    assert "the image has changed since it was labelled" in " ".join(found.left_out)
    assert "left out: 8 labels that can't be used, of 2 images" in found.in_words()


def test_features_are_what_the_last_layer_gets(tmp_path, strange):
    layer = write_features_model(shipped_model(), tmp_path / "features.onnx")
    twin, shipped = (Classifier(m, device="cpu") for m in (tmp_path / "features.onnx", None))
    image = load_image(strange[0].image)
    x, y = np.array([16.0, 40.0]), np.array([16.0, 16.0])
    found, wanted = twin.score(image, x, y), shipped.score(image, x, y)
    logits = found.classes @ layer.kernel + layer.bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert powers / powers.sum(axis=1, keepdims=True) == pytest.approx(wanted.classes, abs=1e-6)
    assert found.score == pytest.approx(wanted.score, abs=1e-6)


def test_the_verb_promotes_only_what_is_better(strange, labels, small_sets, models, tmp_path, capsys):
    assert main(["adapt", "--labels", str(labels), "--use", "-q"]) == 0
    said = capsys.readouterr().out
    better = "Better: use it with 'rbinfer models use mine-1'" in said
    assert better == ("mine-1 is your default now" in said)
    assert resolve(None) == (models / "mine-1.onnx" if better else shipped_model())
    # The opposite of the truth may be learned from, but not be used.
    turned = {"real": "bogus", "bogus": "real"}
    few = [dataclasses.replace(label, label=turned[label.label]) for label in strange[:60]]
    wrong = written(tmp_path / "models", few)
    assert main(["adapt", "--labels", str(wrong), "--model", "default", "--use", "-q"]) == 0
    assert capsys.readouterr().out.startswith("Not promoted")
    assert resolve(None) == (models / "mine-1.onnx" if better else shipped_model())


def test_names_that_cannot_be_are_refused():
    for name in ("default", "reference", "a/b", "mine-2", ""):
        with pytest.raises(InputError, match="can't be the name of a model of yours"):
            AdaptOptions(["labels.ecsv"], name=name)


def test_layers_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="layers must be one of last, all, not 'All'"):
        AdaptOptions(["labels.ecsv"], layers="All")


def test_a_file_that_exists_is_kept(models, tmp_path):
    path = tmp_path / "own.onnx"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match=r"own.onnx exists and is kept; name another file"):
        adapt(AdaptOptions([tmp_path / "none.ecsv"], output=path))
    assert path.read_bytes() == b"precious"


def test_a_file_without_the_suffix_of_models_is_refused_before_work(models, tmp_path):
    for name in ("mine.keras", "mine"):
        with pytest.raises(InputError, match=rf"must end in \.onnx, not '{name}': name another with -o"):
            adapt(AdaptOptions([tmp_path / "none.ecsv"], output=tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_what_the_parent_was_fitted_to_proves_nothing(adapted, labels, models):
    found = adapt(AdaptOptions([labels], adapted.path))
    assert found.comparison.kept.n == found.comparison.let_in.n == 0
    assert found.comparison.verdict != "better"
    assert (
        "labels of 0 real and 0 bogus objects that neither model was fitted to"
        in found.comparison.no_better
    )
    assert set(found.spec.adaptation["seen"]) == set(adapted.spec.adaptation["seen"])


def test_adapt_and_harvest_need_no_tensorflow():
    code = (
        "import sys, rbtrain.adapting, rbtrain.data.harvest\n"
        "print([n for n in ('tensorflow', 'keras', 'tf2onnx', 'matplotlib') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_kept_sets_are_drawn_once(small_sets):
    config = kept.shipped_config(read_spec(shipped_model()).preprocess)
    done = []
    first = kept.kept_set(config, Kept("few", 9, 2), lambda n, _: done.append(n), workers=1)
    again = kept.kept_set(config, Kept("few", 9, 2), lambda n, _: done.append(n), workers=1)
    assert done == [2]
    assert np.array_equal(first.rows, again.rows)
    # One of an earlier version, with less of each detection, is drawn again.
    place = next(kept.cache_directory().glob("few-*/cores.npy"))
    np.save(place, np.load(place)[:, :27])
    kept.kept_set(config, Kept("few", 9, 2), lambda n, _: done.append(n), workers=1)
    assert done == [2, 2]
