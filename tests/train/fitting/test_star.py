"""Networks that read the star of a frame and what lies around it: data, fit, export, scores."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from rbinfer import Classifier, ModelError
from rbinfer.model.session import Session, read_spec, verify
from rbinfer.model.spec import METADATA_KEY
from rbinfer.model.stamps import POPULATION, Stamps
from rbtrain.config import CLASSES, SOURCES, NetworkConfig
from rbtrain.export.convert import keras_outputs
from rbtrain.export.release import export_run
from rbtrain.fitting.batches import Batches, augment, targets_of
from rbtrain.fitting.fit import PARENT, build, fit
from rbtrain.fitting.inherit import inherit
from rbtrain.fitting.model import inputs_of
from rbtrain.fitting.saved import load_network
from rbtrain.judging.evaluate import evaluate_simulation


@pytest.fixture(scope="module")
def run(star_config, star_data, tmp_path_factory):
    where = tmp_path_factory.mktemp("star-fit")
    fit(star_config, star_data, where, verbose=0)
    return where


@pytest.fixture(scope="module")
def exported(star_config, star_data, run, tmp_path_factory):
    path = tmp_path_factory.mktemp("star-export") / "model.onnx"
    return path, export_run(star_config, star_data, run / "best.keras", path)


def test_each_cutout_knows_the_star_of_its_frame(star_data):
    rows, frames = star_data.rows["stamp"], star_data.rows["frame"]
    known = rows >= 0
    assert 0.3 < known.mean() < 1
    assert rows.max() == len(star_data.stars) - 1
    for frame in np.unique(frames):
        assert len(np.unique(rows[frames == frame])) == 1
    assert (star_data.stars.max(axis=(1, 2)) == 1).all()
    some = np.array([0, len(rows) // 2, len(rows) - 1])
    _, stamps, _ = star_data.inputs(some)
    psf, is_known, _ = stamps.one_each()
    for k, row in enumerate(some):
        expected = star_data.stars[rows[row]] if known[row] else np.zeros((31, 31))
        np.testing.assert_array_equal(psf[k, :, :, 0], expected)
        assert is_known[k, 0] == known[row]


def test_a_star_is_turned_with_its_cutout(star_config, star_data):
    labels = star_data.rows["label"]
    targets, weights = targets_of(star_config, labels), np.ones(len(labels), "f4")
    rows = np.flatnonzero(star_data.rows["stamp"] >= 0)
    batches = Batches(star_data, rows, targets, weights, 32, seed=1, psf=True, core=True, context=True)
    (pixels, psf, known, cores, views), _, _ = batches[0]
    assert 0.6 < known.mean() < 1
    squares, wide = cores[:, :25].reshape(-1, 5, 5, 1), views.reshape(-1, 13, 13, 1)
    told = cores.any(axis=1)
    assert 0.7 < told.mean() < 1
    taken = np.sort(np.random.default_rng([1, 0]).permutation(rows)[:32])
    plain, stamps, native = star_data.inputs(taken)
    around, far = native[:, :25].reshape(-1, 5, 5, 1), native[:, 27:].reshape(-1, 13, 13, 1)
    ends = []
    stars, _, _ = stamps.one_each()
    for k in range(32):
        turns = [t for t in range(8) if (augment(plain[k : k + 1], t)[0] == pixels[k]).all()]
        assert any((augment(stars[k : k + 1], t)[0] == psf[k]).all() for t in turns)
        turned = [(augment(around[k : k + 1], t)[0] == squares[k]).all() for t in turns]
        assert any(turned) if told[k] else not squares[k].any()
        if not told[k]:
            assert not wide[k].any()
        elif wide[k].any():
            # Turned alike, and either whole or 0 beyond some cells from the middle.
            views_turned = [augment(far[k : k + 1], t)[0] for t in turns]
            reach = max(r for r in range(7) if _ring(wide[k], r).any())
            ends.append(reach)
            inner = slice(6 - reach, 7 + reach)
            assert any((view[inner, inner] == wide[k][inner, inner]).all() for view in views_turned)
    assert (cores[told, 25:] == native[told, 25:27]).all()
    assert min(ends) < 5
    assert np.median(ends) == 6


def _ring(view, reach):
    """The cells of a wide view that are so far from the middle."""
    rows, columns = np.indices(view.shape[:2]) - 6
    return view[np.maximum(np.abs(rows), np.abs(columns)) == reach]


def test_the_file_is_the_same_function_with_and_without_stars(star_config, star_data, run, exported):
    path, worst = exported
    assert worst <= 1e-5
    session = Session(path, "cpu")
    assert session.reads_psf
    assert session.reads_population
    assert verify(path).ok
    assert session.reads_around == 196
    assert session.spec.golden.cores.shape == (8, 196)
    golden = session.spec.golden.stamps
    assert golden is not None
    assert 0 < golden.known[golden.index].mean() <= 1
    assert golden.population[golden.index].any(axis=1).mean() > 0.5
    cutouts, stamps, cores = star_data.inputs(slice(0, 300))
    known = session.run(cutouts, stamps, cores)
    # Calibration moves temperature and one shift: order among the sources stays.
    raw = keras_outputs(_best(star_config, run), CLASSES, star_config.real)
    none = Stamps.of(None, 31, 300), np.zeros_like(cores)
    for given, output in (((stamps, cores), known), (none, session.run(cutouts))):
        classes = raw(inputs_of(_best(star_config, run), cutouts, *given))["classes"]
        sources = slice(0, len(SOURCES))
        assert (classes[:, sources].argmax(1) == output.classes[:, sources].argmax(1)).all()
    _, is_known, population = stamps.one_each()
    is_known = (is_known[:, 0] == 1) | population.any(axis=1)
    differs = np.abs(known.score - session.run(cutouts, cores=cores).score)
    assert differs[is_known].max() > 1e-3
    assert (differs[~is_known] == 0).all()
    measured = evaluate_simulation(path, star_data)
    aucs = {name: found["auc"] for name, found in measured["told"].items()}
    assert aucs["all"] == measured["overall"]["auc"]
    assert len(set(aucs.values())) == len(aucs) == 6
    # Native pixels alone are enough; where the wide view is not known it is 0.
    close = session.run(cutouts, stamps, cores[:, :27])
    far = np.hstack([cores[:, :27], np.zeros((300, 169), "f4")])
    np.testing.assert_array_equal(close.score, session.run(cutouts, stamps, far).score)
    assert np.abs(close.score - known.score).max() > 1e-3
    # A score does not depend on what else is in the call.
    alone = session.run(cutouts[37:38], stamps.taken(slice(37, 38)), cores[37:38])
    assert alone.score[0] == known.score[37]


def test_a_classifier_shows_the_network_the_star_of_the_frame(star_data, exported):
    rng = np.random.default_rng(4)
    image = rng.normal(100, 3, (300, 300)).astype("f4")
    y, x = rng.uniform(20, 280, (2, 60))
    rows, columns = np.mgrid[:300, :300]
    for cx, cy in zip(x, y, strict=True):
        image += 900 * np.exp(-((columns - cx) ** 2 / 9.0 + (rows - cy) ** 2 / 3.0)).astype("f4")
    classifier = Classifier(exported[0], device="cpu")
    scores = classifier.score(image, x, y)
    width = classifier.classify({"x": x, "y": y}, image).meta["rb_fwhm"]
    cutouts = classifier.cutouts(image, x, y)
    session = Session(exported[0], "cpu")
    without = session.run(cutouts.pixels, cores=cutouts.core)
    assert width == pytest.approx(2.355 * np.sqrt(np.sqrt(4.5 * 1.5)), rel=0.1)
    assert np.abs(scores.score - without.score).max() > 1e-4
    # A width from the caller alone tells nothing of the star.
    given = classifier.score(image, x, y, fwhm=width)
    np.testing.assert_allclose(given.score, without.score, atol=1e-5)
    ready = classifier.predict(cutouts)[:, 0]
    np.testing.assert_array_equal(ready, without.score)
    assert np.abs(classifier.predict(cutouts.pixels)[:, 0] - ready).max() > 1e-4


@pytest.fixture(scope="module")
def parent(star_config, star_data, tmp_path_factory):
    """A model that reads no star."""
    where = tmp_path_factory.mktemp("parent")
    blind = {name: False for name in ("psf", "population", "core", "context")}
    network = dataclasses.replace(star_config.network, **blind)
    config = dataclasses.replace(star_config, network=network)
    fit(config, star_data, where / "fit", verbose=0)
    export_run(config, star_data, where / "fit" / "best.keras", where / "model.onnx")
    return where / "model.onnx"


def test_a_network_inherits_that_of_a_file(star_config, star_data, parent):
    cutouts, stamps, cores = star_data.inputs(slice(0, 1500))
    model = build(star_config)
    inherit(model, parent, cutouts)
    found = model.predict(inputs_of(model, cutouts, stamps, cores), verbose=0)
    np.testing.assert_allclose(found, Session(parent, "cpu").run(cutouts).classes, atol=1e-5)
    other = build(dataclasses.replace(star_config, network=NetworkConfig("compact", (8, 16, 32))))
    with pytest.raises(ValueError, match=r"where conv2d.* takes .* of another network"):
        inherit(other, parent, cutouts)
    deeper = build(dataclasses.replace(star_config, network=NetworkConfig("compact", (8, 16, 16, 16))))
    with pytest.raises(ValueError, match="has 6 layers of cutouts, but 8 are needed"):
        inherit(deeper, parent, cutouts)


def test_a_network_inherits_all_that_a_file_reads(star_config, star_data, exported):
    cutouts, stamps, cores = star_data.inputs(slice(0, 1500))
    of_file = Session(exported[0], "cpu").run(cutouts, stamps, cores).classes
    model = build(star_config)
    inherit(model, exported[0], cutouts)
    found = model.predict(inputs_of(model, cutouts, stamps, cores), verbose=0)
    np.testing.assert_allclose(found, of_file, atol=1e-5)
    blind = build(dataclasses.replace(star_config, network=NetworkConfig("compact", (8, 16, 16))))
    with pytest.raises(ValueError, match=r"reads .*'context'.*; a network goes on from a file"):
        inherit(blind, exported[0], cutouts)


@pytest.mark.parametrize(
    ("unread", "around", "reads_population"), [("context", 27, True), ("population", 196, False)]
)
def test_a_network_goes_on_from_one_that_reads_less(
    unread, around, reads_population, star_config, star_data, tmp_path
):
    network = dataclasses.replace(star_config.network, **{unread: False})
    config = dataclasses.replace(
        star_config, network=network, fit=dataclasses.replace(star_config.fit, epochs=1)
    )
    fit(config, star_data, tmp_path / "fit", verbose=0)
    export_run(config, star_data, tmp_path / "fit" / "best.keras", tmp_path / "model.onnx")
    cutouts, stamps, cores = star_data.inputs(slice(0, 500))
    session = Session(tmp_path / "model.onnx", "cpu")
    assert session.reads_psf
    assert (session.reads_around, bool(session.reads_population)) == (around, reads_population)
    model = build(star_config)
    inherit(model, tmp_path / "model.onnx", cutouts)
    found = model.predict(inputs_of(model, cutouts, stamps, cores), verbose=0)
    np.testing.assert_allclose(found, session.run(cutouts, stamps, cores).classes, atol=1e-5)


def _reading_fewer(model_file, target, n):
    """Write a model file whose network reads the first `n` numbers of the population alone."""
    proto = onnx.load(model_file)
    name = next(node.input[1] for node in proto.graph.node if "population" in node.input)
    kernel = next(c for c in proto.graph.initializer if c.name == name)
    kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel)[:n], name))
    of_input = next(value for value in proto.graph.input if value.name == "population")
    of_input.type.tensor_type.shape.dim[1].dim_value = n
    (entry,) = (e for e in proto.metadata_props if e.key == METADATA_KEY)
    # Its golden pairs are of all numbers.
    entry.value = dataclasses.replace(read_spec(model_file), golden=None).to_json()
    target.write_bytes(proto.SerializeToString())
    return target


def test_a_network_goes_on_from_one_that_reads_fewer_numbers(star_config, star_data, exported, tmp_path):
    session = Session(_reading_fewer(exported[0], tmp_path / "model.onnx", 62), "cpu")
    assert session.reads_population == 62 < Session(exported[0], "cpu").reads_population == POPULATION
    cutouts, stamps, cores = star_data.inputs(slice(0, 500))
    assert stamps.population[:, 62:].any()
    fewer = stamps.population.copy()
    fewer[:, 62:] = 0.0
    found = session.run(cutouts, stamps, cores)
    without = dataclasses.replace(stamps, population=fewer)
    np.testing.assert_array_equal(found.score, session.run(cutouts, without, cores).score)
    # To the file that reads them all, numbers of 0 are as if they were not there.
    whole = Session(exported[0], "cpu")
    np.testing.assert_allclose(found.score, whole.run(cutouts, without, cores).score, atol=1e-5)
    assert np.abs(found.score - whole.run(cutouts, stamps, cores).score).max() > 1e-4
    model = build(star_config)
    inherit(model, tmp_path / "model.onnx", cutouts)
    grown = model.predict(inputs_of(model, cutouts, stamps, cores), verbose=0)
    np.testing.assert_allclose(grown, found.classes, atol=1e-5)


def test_a_file_that_reads_more_numbers_than_there_are_is_refused(exported, tmp_path):
    proto = onnx.load(exported[0])
    of_input = next(value for value in proto.graph.input if value.name == "population")
    of_input.type.tensor_type.shape.dim[1].dim_value = POPULATION + 1
    name = next(node.input[1] for node in proto.graph.node if "population" in node.input)
    kernel = next(c for c in proto.graph.initializer if c.name == name)
    wider = np.pad(numpy_helper.to_array(kernel), ((0, 1), (0, 0)))
    kernel.CopyFrom(numpy_helper.from_array(wider, name))
    newer = tmp_path / "newer.onnx"
    newer.write_bytes(proto.SerializeToString())
    with pytest.raises(
        ModelError, match=f"reads {POPULATION + 1} numbers of population.*update rbinfer"
    ):
        Session(newer, "cpu")


def test_of_a_part_of_the_cutouts_the_population_is_not_told(star_config, star_data):
    labels = star_data.rows["label"]
    targets, weights = targets_of(star_config, labels), np.ones(len(labels), "f4")
    rows = np.flatnonzero(star_data.rows["population"] >= 0)
    batches = Batches(star_data, rows, targets, weights, 1000, seed=1, psf=True, population=True)
    (_, _, known, population), _, _ = batches[0]
    told = population.any(axis=1)
    assert told.mean() == pytest.approx(0.85, abs=0.04)
    assert 0.5 < known[told].mean() < 1
    taken = np.sort(np.random.default_rng([1, 0]).permutation(rows)[:1000])
    whose = star_data.rows["population"][taken]
    np.testing.assert_array_equal(population[told], star_data.populations[whose[told]])


def test_a_fit_that_goes_on_from_a_file_says_so(star_config, star_data, parent, tmp_path):
    once = dataclasses.replace(star_config, fit=dataclasses.replace(star_config.fit, epochs=1))
    fit(once, star_data, tmp_path / "fit", verbose=0, parent=parent)
    noted = (tmp_path / "fit" / PARENT).read_text()
    assert noted.startswith("tiny 1, SHA-256 ")
    assert noted.endswith(", fitted further\n")
    export_run(once, star_data, tmp_path / "fit" / "best.keras", tmp_path / "model.onnx")
    assert Session(tmp_path / "model.onnx", "cpu").spec.parent == noted.strip()


def test_a_network_may_be_moved_back_towards_its_parent(star_config, star_data, parent, tmp_path):
    once = dataclasses.replace(star_config, fit=dataclasses.replace(star_config.fit, epochs=1))
    fit(once, star_data, tmp_path / "fit", verbose=0, parent=parent)
    cutouts, stamps, cores = star_data.inputs(slice(0, 400))
    found = {}
    for share in (0.0, 0.3, 1.0):
        config = dataclasses.replace(once, fit=dataclasses.replace(once.fit, parent_share=share))
        export_run(config, star_data, tmp_path / "fit" / "best.keras", tmp_path / "model.onnx")
        found[share] = Session(tmp_path / "model.onnx", "cpu").run(cutouts, stamps, cores).classes
    # All of the parent is the parent, whose calibration is fitted anew to the same frames.
    np.testing.assert_allclose(found[1.0], Session(parent, "cpu").run(cutouts).classes, atol=0.02)
    apart = {share: np.abs(classes - found[0.0]).mean() for share, classes in found.items()}
    assert 0 < apart[0.3] < apart[1.0]


def _best(star_config, run):
    return load_network(star_config, run / "best.keras")


def test_a_larger_network_goes_on_from_a_smaller_one(star_config, star_data, exported):
    cutouts, stamps, cores = star_data.inputs(slice(0, 500))
    network = dataclasses.replace(star_config.network, native=70, judged=100)
    model = build(dataclasses.replace(star_config, network=network))
    inherit(model, exported[0], cutouts)
    found = model.predict(inputs_of(model, cutouts, stamps, cores), verbose=0)
    of_file = Session(exported[0], "cpu").run(cutouts, stamps, cores).classes
    np.testing.assert_allclose(found, of_file, atol=1e-5)
    # What it has more of is drawn, so that a fit can use it.
    assert np.abs(model.get_layer("judged").get_weights()[0][:, 64:]).min() > 0
    network = dataclasses.replace(star_config.network, judged=40)
    smaller = build(dataclasses.replace(star_config, network=network))
    with pytest.raises(ValueError, match="is of another network"):
        inherit(smaller, exported[0], cutouts)
