"""Whatever the positions are: each row its status, the others their score."""

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer import Classifier, InputError, Status
from rbinfer.cutouts.cutter import Cutter
from rbinfer.io.exposure import as_exposure
from rbinfer.io.images import load_image
from rbinfer.measure.detect import detect

from .scale import times

SIDE = 96
FWHM = 3.2
#: Cutouts have no orientation but for the order of sums. The network has: it was trained on all eight.
TURNED_PIXELS = 2e-5
TURNED_SCORES, TURNED_VERDICTS = 0.25, 0.98


@pytest.fixture(scope="module")
def sky() -> np.ndarray:
    """An image that is not square, with stars, hits, NaN and a saturated corner."""
    rng = np.random.default_rng(3)
    image = rng.normal(200, 6, (SIDE, SIDE + 33)).astype(np.float32)
    rows, columns = np.indices(image.shape)
    for _ in range(40):
        x, y = rng.uniform(0, image.shape[1]), rng.uniform(0, SIDE)
        image += rng.uniform(100, 9000) * np.exp(
            -4 * np.log(2) * ((columns - x) ** 2 + (rows - y) ** 2) / FWHM**2
        )
    image[rng.integers(0, SIDE, 20), rng.integers(0, SIDE, 20)] += 4000
    image[30:33, 50:70] = np.nan
    image[:4, :4] = 65535
    return image


@pytest.fixture(scope="module")
def field() -> tuple[np.ndarray, Table]:
    """Return the example image, and what SEP finds in it."""
    image = load_image(Path(__file__).parents[2] / "benchmarks" / "example" / "field.fits").pixels
    return image, detect(image)


EDGES = [0.0, -0.5, -0.4999, -0.5001, SIDE - 1, SIDE - 0.5, SIDE - 0.4999, SIDE + 32.4999, SIDE + 32.5]
STRANGE = [np.nan, np.inf, -np.inf, -1.0, 1e6, -1e6, 1e300, -1e300, 5e-324, 2.0**31, 2.0**63]
numbers = st.one_of(
    st.sampled_from(EDGES + STRANGE),
    st.floats(-40, SIDE + 80, width=64),
    st.integers(-3, SIDE + 40).map(float),
)


def expected_status(x, y, shape):
    """Say which of the bits that keep a score away a position must have, by the definition."""
    if not (np.isfinite(x) and np.isfinite(y)):
        return Status.POSITION_NOT_FINITE
    height, width = shape
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        return Status.OFF_IMAGE
    return None


@pytest.mark.promise("Positions", "each row gets its status and the others the same score as without it")
def test_each_row_for_itself(classifier, sky, tried):
    @settings(max_examples=times(30, 1500), deadline=None)
    @given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40))
    def check(places):
        x, y = np.array(places).T
        together = classifier.score(sky, x, y, fwhm=FWHM)
        for k in range(len(x)):
            wanted = expected_status(x[k], y[k], sky.shape)
            found = Status(int(together.status[k]) & 255)
            if wanted is not None:
                assert found == wanted, (x[k], y[k], found)
            assert np.isfinite(together.score[k]) == (found == 0)
        good = (together.status & 255) == 0
        alone = classifier.score(sky, x[good], y[good], fwhm=FWHM)
        assert alone.score.tobytes() == together.score[good].tobytes()
        np.testing.assert_array_equal(alone.status, together.status[good])
        one = classifier.score(sky, x[:1], y[:1], fwhm=FWHM)
        assert one.score.tobytes() == together.score[:1].tobytes()
        assert one.status[0] == together.status[0]
        tried(len(x))

    check()


@pytest.mark.promise("Positions", "scores do not depend on the order, the chunks or the threads")
def test_order_chunks_and_threads(model_path, sky, tried):
    classifiers = [Classifier(model_path, device="cpu", threads=n) for n in (1, 2, 5)]

    @settings(max_examples=times(5, 120), deadline=None)
    @given(st.integers(0, 2**31), st.integers(1, 900), st.sampled_from([1, 7, 64, 65, 1000]))
    def check(seed, n, chunk):
        rng = np.random.default_rng(seed)
        x, y = rng.uniform(-5, SIDE + 38, n), rng.uniform(-5, SIDE + 5, n)
        want = classifiers[0].score(sky, x, y, fwhm=FWHM)
        order = rng.permutation(n)
        for other in classifiers[1:]:
            got = other.score(sky, x[order], y[order], fwhm=FWHM)
            assert got.score.tobytes() == want.score[order].tobytes()
            assert got.classes.tobytes() == want.classes[order].tobytes()
            np.testing.assert_array_equal(got.status, want.status[order])
        parts = [
            classifiers[1].score(sky, x[k : k + chunk], y[k : k + chunk], fwhm=FWHM).score
            for k in range(0, min(n, 3 * chunk), chunk)
        ]
        got_parts = np.concatenate(parts)
        assert got_parts.tobytes() == want.score[: len(got_parts)].tobytes()
        tried(4 * n)

    check()


def layouts(image):
    """Yield the same image in every layout, byte order and type that holds its values."""
    yield "Fortran", np.asfortranarray(image)
    yield "big-endian", image.astype(">f4")
    yield "float64", image.astype(np.float64)
    yield "big-endian float64", image.astype(">f8")
    yield "longdouble", image.astype(np.longdouble)
    frozen = image.copy()
    frozen.setflags(write=False)
    yield "read-only", frozen
    wide = np.full((2 * image.shape[0], 3 * image.shape[1]), 1e9, np.float32)
    wide[::2, ::3] = image
    yield "strided", wide[::2, ::3]
    yield "backwards", image[::-1, ::-1].copy()[::-1, ::-1]


@pytest.mark.promise("Positions", "scores do not depend on the byte order, type or layout of the image")
def test_layouts(classifier, sky, tmp_path, tried):
    rng = np.random.default_rng(8)
    x, y = rng.uniform(-2, SIDE + 35, 300), rng.uniform(-2, SIDE + 2, 300)
    want = classifier.score(sky, x, y, fwhm=FWHM)
    for name, image in layouts(sky):
        got = classifier.score(image, x, y, fwhm=FWHM)
        assert got.score.tobytes() == want.score.tobytes(), name
        tried(len(x))
    np.save(tmp_path / "sky.npy", sky)
    mapped = np.load(tmp_path / "sky.npy", mmap_mode="r")
    assert classifier.score(mapped, x, y, fwhm=FWHM).score.tobytes() == want.score.tobytes()
    unaligned = np.frombuffer(b"\0" + sky.tobytes(), np.uint8)[1:].view(np.float32).reshape(sky.shape)
    assert classifier.score(unaligned, x, y, fwhm=FWHM).score.tobytes() == want.score.tobytes()
    tried(2 * len(x))
    whole = np.rint(np.nan_to_num(sky, nan=200.0)).clip(0, 65535)
    want = classifier.score(whole.astype(np.float32), x, y, fwhm=FWHM)
    for kind in (np.uint16, ">u2", np.int32, ">i4", np.uint32, np.int64, ">f8"):
        got = classifier.score(whole.astype(kind), x, y, fwhm=FWHM)
        assert got.score.tobytes() == want.score.tobytes(), kind
        tried(len(x))


@pytest.mark.promise(
    "Positions",
    f"cutouts of a mirrored or turned image are mirrored or turned within {TURNED_PIXELS:g}; verdicts "
    f"on its detections agree in {TURNED_VERDICTS:.0%}, and 99 % of the scores within {TURNED_SCORES:g}",
)
def test_turns(classifier, tried, field):
    image, found = field
    # Away from ties: which of two pixels is nearest has no answer that knows no orientation.
    x, y = (np.rint(v) + np.clip(v - np.rint(v), -0.4, 0.4) for v in (found["x"], found["y"]))
    height, width = image.shape
    turned = {
        "mirrored": (lambda a: a[..., :, ::-1], (width - 1 - x, y)),
        "upside down": (lambda a: a[..., ::-1, :], (x, height - 1 - y)),
        "transposed": (lambda a: np.swapaxes(a, -1, -2), (y, x)),
        "half turn": (lambda a: a[..., ::-1, ::-1], (width - 1 - x, height - 1 - y)),
        "quarter turn": (lambda a: np.rot90(a, axes=(-2, -1)), (y, width - 1 - x)),
    }
    spec = classifier.spec.preprocess
    want = Cutter.prepare(as_exposure(image, fwhm=FWHM), spec).cut(x, y)
    want_score = classifier.score(image, x, y, fwhm=FWHM).score
    changes, verdicts = [], []
    for name, (turn, (tx, ty)) in turned.items():
        got = Cutter.prepare(as_exposure(turn(image), fwhm=FWHM), spec).cut(tx, ty)
        np.testing.assert_array_equal(got.status, want.status, err_msg=name)
        pixels = np.moveaxis(turn(np.moveaxis(want.pixels, -1, 1)), 1, -1)
        assert np.abs(got.pixels - pixels).max() <= TURNED_PIXELS, name
        score = classifier.score(turn(image), tx, ty, fwhm=FWHM).score
        changes.append(np.abs(score - want_score))
        verdicts.append((score > 0.5) == (want_score > 0.5))
        tried(len(x))
    assert np.quantile(changes, 0.99) <= TURNED_SCORES
    assert np.mean(verdicts) >= TURNED_VERDICTS


@pytest.mark.promise("Positions", "integer, float, masked and unit-bearing columns are understood")
def test_kinds_of_columns(classifier, sky, tried):
    x, y = np.arange(5, 90, 7), np.arange(3, 88, 7)
    want = classifier.classify(Table({"x": x.astype(float), "y": y.astype(float)}), sky, fwhm=FWHM)
    for kind in ("u1", "i2", ">i4", "i8", "f4", ">f8"):
        got = classifier.classify(Table({"x": x.astype(kind), "y": y.astype(kind)}), sky, fwhm=FWHM)
        assert got["rb_score"].tobytes() == want["rb_score"].tobytes()
        tried(len(x))
    got = classifier.classify(QTable({"x": x * u.pix, "y": y * u.pix}), sky, fwhm=FWHM)
    assert got["rb_score"].tobytes() == want["rb_score"].tobytes()
    masked = np.arange(len(x)) % 3 == 0
    table = Table({"x": MaskedColumn(x, mask=masked), "y": y})
    got = classifier.classify(table, sky, fwhm=FWHM)
    assert (got["rb_status"][masked] == Status.POSITION_NOT_FINITE).all()
    assert np.isnan(got["rb_score"][masked]).all()
    assert got["rb_score"][~masked].tobytes() == want["rb_score"][~masked].tobytes()
    tried(2 * len(x))
    for unit in (u.arcsec, u.deg, u.mm):
        with pytest.raises(InputError, match=f"in {unit}, not in pixels"):
            classifier.classify(QTable({"x": x * unit, "y": y * unit}), sky, fwhm=FWHM)
        tried(1)


@pytest.mark.promise("Positions", "the reference preset scores each row for itself too")
def test_reference_preset(sky, tried):
    reference = Classifier("reference", device="cpu", threads=2)
    assert reference.spec.preprocess.preset == "reference"

    @settings(max_examples=times(5, 150), deadline=None)
    @given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
    def check(places):
        x, y = np.array(places).T
        together = reference.score(sky, x, y, fwhm=FWHM)
        scored = (together.status & 255) == 0
        assert (np.isfinite(together.score) == scored).all()
        one = reference.score(sky, x[-1:], y[-1:], fwhm=FWHM)
        assert one.score.tobytes() == together.score[-1:].tobytes()
        tried(len(x))

    check()
