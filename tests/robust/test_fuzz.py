"""Random cutouts, catalogues and texts; what failed once is a test of its own at the end."""

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
from astropy.table import Column, MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbinfer import Classifier, InputError, PreprocessSpec, RbinferError
from rbinfer.cutouts.cutter import Cutter
from rbinfer.io.exposure import as_exposure
from rbinfer.io.positions import positions
from rbinfer.io.tables import read_catalog, write_catalog

from .scale import times

#: Seeds of the pieces that detections are tried in: a piece takes a few minutes.
PIECES = range(times(1, 25))


def fuzz(cases, seed, module="fuzz_kernels", **environment):
    done = subprocess.run(
        [sys.executable, "-m", f"tests.robust.{module}", str(cases), str(seed)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.promise("Fuzzing", "random images, maps, options and positions through the kernels")
def test_kernels(tried):
    found = fuzz(times(500, 100_000), 2)
    assert found["cutouts"] > found["cases"]
    tried(found["cases"])


@pytest.mark.promise("Fuzzing", "the same with Numba's bounds checking")
def test_kernels_within_bounds(tried, bounds_checked):
    found = fuzz(times(100, 100_000), 3, **bounds_checked)
    assert found["bounds_checked"]
    tried(found["cases"])


@pytest.mark.promise("Fuzzing", "random small images through the detector, which finds what SEP does")
@pytest.mark.parametrize("seed", PIECES)
def test_detection(seed, tried):
    found = fuzz(times(700, 4000), seed, "fuzz_detection")
    # SEP raises the threshold of what bad pixels touch. Where most of an image has no noise but parts of
    # it do, its noise is that of these parts: fewer of the detections there are the same. A single image
    # may hold a fifth of a piece's: one of noise up to 1e13 had 369, of which SEP found 145.
    counts = {
        kind: Counter(n) for kind, n in found["found"].items() if kind not in ("not finite", "masked")
    }
    patches = counts.pop("patches")
    total = sum(counts.values(), Counter())
    assert total["ours"] > found["cases"]
    for same, of in (
        ("ours_matched", "ours"),
        ("seps_matched", "seps"),
        ("centroids", "single"),
        ("fluxes", "single"),
    ):
        assert total[same] >= 0.99 * total[of], same
        assert patches[same] >= 0.8 * patches[of], same
    tried(found["cases"])


@pytest.mark.promise("Fuzzing", "the same with Numba's bounds checking")
@pytest.mark.parametrize("seed", PIECES)
def test_detection_within_bounds(seed, tried, bounds_checked):
    found = fuzz(times(140, 4000), 100 + seed, "fuzz_detection", **bounds_checked)
    assert found["bounds_checked"]
    tried(found["cases"])


def attempt(action, *arguments):
    """Return what came of it, and the text of an error of ours."""
    try:
        return action(*arguments), ""
    except RbinferError as error:
        return None, str(error)


names = st.sampled_from(
    [
        "x",
        "y",
        "X_IMAGE",
        "Y_IMAGE",
        "xcentroid",
        "ycentroid",
        "ra",
        "dec",
        "X",
        "Y",
        "a",
        "flags",
        "xpeak",
    ]
)
cells = {
    "f8": st.floats(),
    "f4": st.floats(width=32),
    "i8": st.integers(-(2**63), 2**63 - 1),
    "u1": st.integers(0, 255),
    "U4": st.text(max_size=4),
    "?": st.booleans(),
    "c16": st.complex_numbers(),
    "O": st.none() | st.text(max_size=2) | st.integers(),
}


@st.composite
def tables(draw):
    """Tables of any columns, with masks and units."""
    n = draw(st.integers(0, 5))
    table = Table()
    for name in draw(st.lists(names, unique=True, max_size=5)):
        kind = draw(st.sampled_from(sorted(cells)))
        values = draw(st.lists(cells[kind], min_size=n, max_size=n))
        unit = draw(st.sampled_from([None, None, None, "pix", "deg", "arcsec", "pixel2"]))
        if draw(st.booleans()):
            mask = draw(st.lists(st.booleans(), min_size=n, max_size=n))
            table[name] = MaskedColumn(values, dtype=kind, mask=mask, unit=unit)
        else:
            table[name] = Column(values, dtype=kind, unit=unit)
    return table


@pytest.mark.promise("Fuzzing", "any table in memory: as many rows come out, or one error of ours")
def test_tables(classifier, tried):
    image = np.random.default_rng(0).normal(100, 3, (50, 50)).astype(np.float32)

    @settings(max_examples=times(200, 8000), deadline=None, suppress_health_check=list(HealthCheck))
    @given(tables())
    def check(table):
        tried(1)
        before = table.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = classifier.classify(table, image, fwhm=3.0)
            except RbinferError:
                return
        assert len(found) == len(before)
        assert found.colnames[: len(before.colnames)] == before.colnames
        x, y = positions(before) if before.colnames else (np.zeros(0), np.zeros(0))
        unscored = (found["rb_status"] & 255) != 0
        assert (np.isnan(found["rb_score"]) == unscored).all()
        assert unscored[~(np.isfinite(x) & np.isfinite(y))].all()

    check()


lines = st.lists(
    st.text("xyXY_IMAGE0123456789.,-+eE#%|\"' \t:{}[]", max_size=30), min_size=0, max_size=8
).map("\n".join)


@pytest.mark.promise("Fuzzing", "any text as a catalogue: a table, or one error of ours")
@pytest.mark.parametrize(
    "suffix",
    [".csv", ".txt", ".ecsv", ".cat", ".vot", ".fits", ".parquet", ".als", ".coo", ".tbl", ".reg"],
)
def test_texts(tmp_path, suffix, tried):
    heads = {
        ".csv": ["", "x,y\n1,2\n"],
        ".ecsv": [
            "",
            "# %ECSV 1.0\n# ---\n# datatype:\n",
            "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: x,",
        ],
        ".cat": ["", "#   1 X_IMAGE  Object [pixel]\n#   2 Y_IMAGE  Object [pixel]\n"],
        ".vot": ["", '<?xml version="1.0"?>\n<VOTABLE version="1.3"><RESOURCE><TABLE>', "<VOTABLE"],
        ".fits": ["", "SIMPLE  =                    T"],
        ".parquet": ["", "PAR1"],
        ".txt": ["# x y\n", "x y\n1 2\n", 'x;y;"a"\n1,5;2,5;"b'],
        ".als": [
            " NL    NX    NY\n  1   512   512\n\n",
            " NL    NX    NY\n  2   512   512\n\n  1 2 3\n",
        ],
        ".coo": [
            "#K IRAF = NOAO/IRAF version %-23s\n",
            "#N XCENTER YCENTER \\\n#U pixels pixels \\\n#F %-9.3f %-9.3f \\\n",
        ],
        ".tbl": ["|x|y|\n", "\\key=1\n|x     |y     |\n|double|double|\n"],
        ".reg": ["# Region file format: DS9\n", "image\ncircle(1,2,3)\n", "fk5;point("],
    }
    path = tmp_path / f"c{suffix}"

    @settings(max_examples=times(60, 2000), deadline=None)
    @given(
        st.sampled_from(heads[suffix]), lines | st.binary(max_size=80).map(lambda b: b.decode("latin-1"))
    )
    def check(head, text):
        tried(1)
        path.write_bytes((head + text).encode("utf-8", "surrogateescape"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table, error = attempt(read_catalog, path)
        assert (table is None) == (len(error.splitlines()) == 1)

    check()


@pytest.mark.promise("Fuzzing", "what can be written can be read again, with all its rows and columns")
@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv", ".vot", ".parquet"])
def test_round_trips(tmp_path, suffix, tried):
    path = tmp_path / f"c{suffix}"

    @settings(max_examples=times(25, 1000), deadline=None, suppress_health_check=list(HealthCheck))
    @given(tables())
    def check(table):
        tried(1)
        path.unlink(missing_ok=True)
        _, error = attempt(write_catalog, table, path)
        if error:
            assert len(error.splitlines()) == 1
            assert not list(tmp_path.iterdir())
            return
        if not table.colnames or not len(table):
            return
        found = read_catalog(path)
        assert found.colnames == table.colnames
        assert len(found) == len(table)
        for name in table.colnames:
            if table[name].dtype.kind in "fi" and suffix != ".csv":
                want = np.ma.filled(np.ma.asarray(table[name], float), np.nan)
                got = np.ma.filled(np.ma.asarray(found[name], float), np.nan)
                np.testing.assert_array_equal(got, want)

    check()


def test_found_blocks_larger_than_the_cutout():
    """The reference preset left cutouts unwritten where its blocks were larger than they are."""
    with pytest.raises(InputError, match="cannot be averaged in blocks of 33: check the FWHM"):
        Cutter.prepare(as_exposure(np.ones((200, 200)), fwhm=99.0), PreprocessSpec.reference(31))


@pytest.mark.parametrize("value", [3.4e38, -3.4e38, 1e30])
@pytest.mark.parametrize("spec", [PreprocessSpec.default(), PreprocessSpec.reference()])
def test_found_pixels_whose_difference_overflows(value, spec):
    """Differences of such pixels were infinite, and the cutouts not finite."""
    image = np.random.default_rng(0).normal(0, 1, (80, 80)).astype(np.float32)
    image[30:34:2, 30:50] = value
    image[35, 36] = -value
    cutouts = Cutter.prepare(as_exposure(image, fwhm=3.0), spec).cut(np.array([40.0]), np.array([40.0]))
    assert np.isfinite(cutouts.pixels).all()
    assert cutouts.status[0] & 512


@pytest.mark.parametrize("spec", [PreprocessSpec.default(), PreprocessSpec.reference()])
def test_found_pixels_too_small_to_be_divided_by(spec):
    """The inverse of a noise of 1e-45 is infinite, and 0 times that no number."""
    image = np.zeros((80, 80), np.float32)
    image[38:41, 37:42] = 1e-45
    cutouts = Cutter.prepare(as_exposure(image, fwhm=3.0), spec).cut(np.array([40.0]), np.array([40.0]))
    assert np.isfinite(cutouts.pixels).all()


@pytest.mark.parametrize("value", [1e-300, 1e-7, 1e7, 1e300])
def test_found_softenings_that_overflow(classifier, value):
    """The asinh channel was 0 times infinity, and the cutouts not finite."""
    with pytest.raises(InputError, match=r"asinh_softening must lie in \[1e-6, 1e6\]"):
        classifier.score(np.ones((50, 50)), [25.0], [25.0], fwhm=3.0, asinh_softening=value)
    for within in (1e-6, 1e6):
        for level in (1e-30, 1.0, 1e29):
            image = np.full((50, 50), level)
            image[24:27, 24:27] *= 1.5
            spec = dataclasses.replace(PreprocessSpec.default(), asinh_softening=within)
            cutouts = Cutter.prepare(as_exposure(image, fwhm=3.0), spec).cut(
                np.array([25.0]), np.array([25.0])
            )
            assert np.isfinite(cutouts.pixels).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, -3.4e38])
def test_found_backgrounds_that_are_unknown(value):
    """The reference preset filled such pixels, and then subtracted the unknown."""
    image = np.random.default_rng(0).normal(100, 1, (80, 80)).astype(np.float32)
    background = np.full((80, 80), 100.0, np.float32)
    background[38:42, 20:60] = value
    cutter = Cutter.prepare(as_exposure(image, fwhm=3.0, bg=background), PreprocessSpec.reference())
    cutouts = cutter.cut(np.array([40.0]), np.array([45.0]))
    assert np.isfinite(cutouts.pixels).all()
    assert cutouts.status[0] & 512


@pytest.mark.parametrize(
    ("text", "suffix"), [("\x0b", ".vot"), ("a\rb", ".csv"), ("\x85", ".ecsv"), ("\n", ".ecsv")]
)
def test_found_characters_that_a_format_cannot_hold(tmp_path, text, suffix):
    """They were written, and the file could not be read again, or had more rows."""
    with pytest.raises(InputError, match=r"column s has the text '.*', which .* cannot hold"):
        write_catalog(Table({"s": ["fine", text]}), tmp_path / f"t{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [[""], []])
def test_found_objects_that_fits_cannot_hold(tmp_path, values):
    """Astropy raises errors of other kinds for these, which came out as they were."""
    with pytest.raises(InputError, match="does not fit into"):
        write_catalog(Table({"x": np.array(values, object)}), tmp_path / "t.fits")
    assert not list(tmp_path.iterdir())


def test_found_metadata_that_are_no_text(model_path, tmp_path):
    """ONNX Runtime decodes metadata when asked for them, and raised a UnicodeDecodeError then."""
    data = model_path.read_bytes()
    at = data.index(b'"threshold"')
    (tmp_path / "m.onnx").write_bytes(data[:at] + b"\xb9" + data[at + 1 :])
    with pytest.raises(RbinferError, match="not a model that ONNX Runtime can load"):
        Classifier(tmp_path / "m.onnx", device="cpu")
