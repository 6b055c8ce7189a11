"""The same numbers by every way to them: Keras, ONNX Runtime, threads, chunks, the plain oracle."""

import json

import numpy as np
import onnxruntime
import pytest

from rbinfer import Classifier
from rbinfer.cutouts.cutter import Cutouts, Cutter
from rbinfer.io.exposure import as_exposure
from rbinfer.model.registry import resolve
from rbinfer.model.spec import AROUND, CORE
from rbinfer.model.stamps import Stamps
from rbinfer.status import is_scored
from tests.infer.kernels import oracle

from . import golden
from .scale import times

#: Largest difference of a score between ways to compute it in float32.
SAME = 1e-5
#: Largest difference of a cutout's pixel from the plain oracle's, which computes in float64.
ORACLE = 2e-5
LEVELS = onnxruntime.GraphOptimizationLevel
PROVIDERS = ["CPUExecutionProvider"]


def session(source, level, threads):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = threads
    data = source if isinstance(source, bytes) else source.read_bytes()
    return onnxruntime.InferenceSession(data, options, providers=PROVIDERS)


def all_ways(source, cutouts, cores=None):
    """Yield the scores by all levels of optimisation and numbers of threads."""
    for level in (LEVELS.ORT_DISABLE_ALL, LEVELS.ORT_ENABLE_BASIC, LEVELS.ORT_ENABLE_ALL):
        for threads in (1, 2, 5):
            one = session(source, level, threads)
            known = {one.get_inputs()[0].name: cutouts} | beside(len(cutouts), cores)
            given = {wanted.name: known[wanted.name] for wanted in one.get_inputs()}
            if "population" in given:  # a file may read fewer numbers than there are
                width = next(i.shape[1] for i in one.get_inputs() if i.name == "population")
                given["population"] = given["population"][:, :width]
            yield one.run(["score"], given)[0].reshape(-1)


def beside(n, cores=None):
    """Return what networks take beside n cutouts: of no star, and what lies around if that is known."""
    none = Stamps.of(None, 31, n)
    cores = np.zeros((n, AROUND), np.float32) if cores is None else cores
    around = {"core": cores[:, :CORE], "context": cores[:, CORE:]}
    stars = {"psf": none.psf, "psf_known": none.known, "psf_index": none.index}
    return stars | {"population": none.population} | around


@pytest.fixture(scope="module")
def cutouts():
    """Return cutouts of each preset: of the example image, and of noise."""
    image, x, y = golden.places()
    rng = np.random.default_rng(0)
    n = times(200, 5000)
    x = np.concatenate([x, rng.uniform(16, 480, n)])
    y = np.concatenate([y, rng.uniform(16, 480, n)])
    found = {}
    for name in golden.MODELS:
        spec = Classifier(name, device="cpu").spec.preprocess
        cut = Cutter.prepare(as_exposure(image, fwhm=golden.FWHM), spec).cut(x, y)
        found[name] = cut.pixels[is_scored(cut.status)]
    return found


@pytest.mark.promise(
    "Numbers", f"ONNX Runtime without, with some, with all optimisations: within {SAME:g}"
)
@pytest.mark.parametrize("name", golden.MODELS)
def test_optimisations_and_threads(cutouts, name, tried, request):
    want = Classifier(name, device="cpu").predict(cutouts[name])[:, 0]
    worst = max(np.abs(got - want).max() for got in all_ways(resolve(name), cutouts[name]))
    request.node.found = f"largest difference {worst:.1e} ({name})"
    assert worst <= SAME
    tried(9 * len(want))


@pytest.mark.promise("Numbers", f"Keras and ONNX Runtime in all these ways: within {SAME:g}")
@pytest.mark.parametrize("name", golden.MODELS)
def test_keras(cutouts, name, tried, request):
    pytest.importorskip("tensorflow")
    from rbtrain.config import TrainConfig
    from rbtrain.export.convert import convert, keras_outputs
    from rbtrain.export.graph import simplify
    from rbtrain.fitting.fit import build
    from rbtrain.fitting.model import inputs_of

    folder = resolve(name).parent
    config = TrainConfig.read(folder / "config.toml")
    spec = Classifier(name, device="cpu").spec
    model = build(config)
    # Some steps towards anything, so that running means, their folding and the scores are not trivial.
    rng = np.random.default_rng(1)
    k = model.output_shape[-1]
    classes = rng.integers(0, max(k, 2), len(cutouts[name]))
    targets = classes[:, np.newaxis] if k == 1 else np.eye(k)[classes]
    cores = rng.uniform(-1, 1, (len(classes), AROUND)).astype(np.float32)
    inputs = inputs_of(model, cutouts[name], Stamps.of(None, 31, len(classes)), cores)
    model.fit(inputs, targets, epochs=12, batch_size=32, verbose=0)
    want = keras_outputs(model, spec.classes, spec.real)(inputs)["score"][:, 0]
    assert np.ptp(want) > 0.02
    proto = simplify(convert(model, spec)).SerializeToString()
    worst = max(np.abs(got - want).max() for got in all_ways(proto, cutouts[name], cores))
    request.node.found = f"largest difference {worst:.1e} ({name})"
    assert worst <= SAME
    tried(9 * len(want))


@pytest.mark.promise(
    "Numbers", "fused and in chunks of any size: the bits of one call; cutouts of the oracle"
)
@pytest.mark.parametrize("name", golden.MODELS)
def test_chunks(name, tried):
    image, x, y = golden.places()
    whole = Classifier(name, device="cpu", threads=1)
    want = whole.score(image, x, y, fwhm=golden.FWHM)
    spec = whole.spec.preprocess
    cut = Cutter.prepare(as_exposure(image, fwhm=golden.FWHM), spec).cut(x, y)
    scored = is_scored(cut.status)
    plain = oracle.reference if spec.preset == "reference" else oracle.default
    for k in np.flatnonzero(scored):
        expected = plain(image, x[k], y[k], spec, golden.FWHM)[0]
        assert np.abs(cut.pixels[k] - expected).max() <= ORACLE
    ready = whole.predict(Cutouts(*(part[scored] for part in cut)))[:, 0]
    assert ready.tobytes() == want.score[scored].tobytes()
    for threads in (1, 2, 3, 8):
        for chunk in (1, 5, 63, 64, 65):
            one = Classifier(name, device="cpu", threads=threads)
            parts = [
                one.score(image, x[k : k + chunk], y[k : k + chunk], fwhm=golden.FWHM).score
                for k in range(0, len(x), chunk)
            ]
            assert np.concatenate(parts).tobytes() == want.score.tobytes()
            tried(len(x))


@pytest.mark.promise(
    "Numbers", "golden outputs of the shipped models, to 1e-5 and bit for bit in status"
)
@pytest.mark.parametrize("name", golden.MODELS)
def test_golden_outputs(name, tried):
    want = json.loads((golden.FOLDER / f"{name}.json").read_text())
    got = golden.outputs(name)
    assert got["x"] == want["x"]
    assert got["y"] == want["y"]
    assert got["status"] == want["status"]
    for one, other in zip(got["score"], want["score"], strict=True):
        assert (one is None) == (other is None)
        assert one is None or abs(one - other) <= SAME
    tried(len(want["x"]))
