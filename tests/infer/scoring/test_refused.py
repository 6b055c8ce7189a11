"""What functions and classifier refuse: by an input error that names the parameter and the value."""

import numpy as np
import pandas
import pyarrow
import pytest
from astropy.nddata import CCDData

from rbinfer import (
    Classifier,
    InputError,
    ModelError,
    PreprocessSpec,
    classify_realbogus,
    extract_cutouts,
)
from rbinfer.io.tables import as_table

IMAGE = np.random.default_rng(1).normal(300, 8, (120, 120)).astype(np.float32)
TABLE = {"x": [30.0, 60.0], "y": [40.0, 50.0]}
STAMPS = np.stack([IMAGE[:41, :41], IMAGE[41:82, 41:82]])


def keras_like(input_shape, scores=0.0):
    """Return what has the face of a Keras model."""
    kind = type("Keras", (), {"predict": lambda self, cutouts, **_: np.full(len(cutouts), scores)})
    model = kind()
    model.input_shape = input_shape
    return model


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"fwhm": "x"}, "fwhm must be a number, not 'x'"),
        ({"fwhm": [3.0]}, r"fwhm must be a number, not \[3.0\]"),
        ({"target_fwhm": "x"}, "target_fwhm must be a number, not 'x'"),
        ({"target_fwhm": None}, "target_fwhm must be a number, not None"),
        ({"asinh_softening": "x"}, "asinh_softening must be a number, not 'x'"),
        ({"radius": 128}, "radius must be at most 127, not 128"),
    ],
)
def test_what_cannot_be_extracted(given, says):
    with pytest.raises(InputError, match=says):
        extract_cutouts(TABLE, IMAGE, **given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        *(
            ({"real_source_types": wrong}, "`real_source_types` must be names, not ")
            for wrong in (5, [5], [None], [[]], b"star")
        ),
        ({"real_source_types": []}, "no class is named"),
        ({"x_col": 0, "y_col": 1}, "x_col must be the name of a column, not 0"),
        ({"model": Classifier}, "model must have 'predict' and 'input_shape'.*class"),
        ({"model": keras_like(None)}, "the model takes None; it must take"),
        ({"model": keras_like((None, "a", "a", 2))}, "the model takes .*'a'"),
        ({"threshold": True}, "threshold must be a number, not True"),
        ({"asinh_softening": True}, "asinh_softening must be a number, not True"),
        ({"bg": True}, "bg must be real numbers, not true and false"),
        ({"fwhm": True}, "fwhm must be a number, not True"),
    ],
)
def test_what_cannot_be_classified(given, says):
    with pytest.raises(InputError, match=says):
        classify_realbogus(TABLE, IMAGE, **{"fwhm": 3.0, **given})


def test_a_model_that_returns_no_numbers():
    for scores in ("a", None, 1j):
        with pytest.raises(ModelError, match="predict returned"):
            classify_realbogus(TABLE, IMAGE, fwhm=3.0, model=keras_like((None, 31, 31, 2), scores))
    with pytest.raises(InputError, match="not the class Classifier"):
        Classifier(Classifier)


@pytest.mark.parametrize("extra", [5, [5], b"snr"])
def test_extra_columns_are_named(classifier, extra):
    with pytest.raises(InputError, match="extra must be names, not"):
        classifier.classify(TABLE, IMAGE, fwhm=3.0, extra=extra)
    with pytest.raises(InputError, match="no extra columns dog, but classes, snr"):
        classifier.classify(TABLE, IMAGE, fwhm=3.0, extra="dog")
    assert "rb_snr" in classifier.classify(TABLE, IMAGE, fwhm=3.0, extra="snr").colnames
    assert "rb_snr" not in classifier.classify(TABLE, IMAGE, fwhm=3.0, extra=None).colnames


def test_progress_is_refused_before_any_work(classifier):
    wrong = "not an image, which would be refused first"
    for call in (
        lambda: classifier.score(wrong, [5.0], [5.0], progress=5),
        lambda: classifier.classify(TABLE, wrong, progress=5),
        lambda: classifier.score_stamps(wrong, progress=5),
    ):
        with pytest.raises(InputError, match="progress must be called as progress"):
            call()


@pytest.mark.parametrize(
    ("stamps", "given", "says"),
    [
        (None, {}, "stamps must be images, .* not None"),
        (5, {}, "stamps must be images, .* not 5"),
        ("x", {}, "stamps must be images, .* not 'x'"),
        (STAMPS[0], {}, r"stamps must be \(n, ny, nx\), not one stamp \(41, 41\); give \[stamp\]"),
        (CCDData(STAMPS[0], unit="adu"), {}, "not one stamp"),
        (STAMPS, {"fwhm": "x"}, "`fwhm` must be a number, not 'x'"),
        (STAMPS, {"fwhm": ["x", "y"]}, "`fwhm` must be numbers"),
        (STAMPS, {"fwhm": 3.0, "x": [1j, 2]}, "`x` must be real numbers, not complex"),
        (STAMPS, {"images": [[1]] * 2}, r"images must name .*, not \[1\]"),
        (STAMPS, {"images": 5}, "images are named for 1 stamp, but the number of stamps is 2"),
    ],
)
def test_what_are_no_stamps(classifier, stamps, given, says):
    with pytest.raises(InputError, match=says):
        classifier.score_stamps(stamps, **given)


@pytest.mark.parametrize(
    "name", ["target_fwhm", "rescale_threshold", "asinh_softening", "clip", "min_good"]
)
@pytest.mark.parametrize("value", ["x", "1", None, True, 1j])
def test_a_preprocessing_is_of_numbers(name, value):
    with pytest.raises(InputError, match=f"{name} must be a number, not"):
        PreprocessSpec(**{name: value})


def test_the_size_may_be_an_integer_of_numpy():
    spec = PreprocessSpec(size=np.int64(31))
    assert spec == PreprocessSpec(size=31)
    assert type(spec.size) is int


def test_a_width_that_is_absurd_is_written_short(classifier, caplog):
    classifier.score(IMAGE, [50.0], [50.0], fwhm=1e300)
    assert "FWHM 1e+300 px (given) is outside" in caplog.text
    classifier.score(IMAGE, [50.0], [50.0], fwhm=25)
    assert "FWHM 25.00 px (given) is outside" in caplog.text


def test_tables_of_others():
    arrow = pyarrow.table({"x": [1.5, None], "name": ["a", "b"]})
    table = as_table(arrow)
    assert table["x"].mask.tolist() == [False, True]
    assert table["name"].tolist() == ["a", "b"]
    assert as_table(pandas.DataFrame({"x": [1.0], 3: [2.0]}))["3"].tolist() == [2.0]
    for twice in (
        pandas.DataFrame([[1.0, 2.0, 3.0]], columns=["x", "y", "x"]),
        pyarrow.table([[1.0], [2.0], [3.0]], names=["x", "y", "x"]),
    ):
        with pytest.raises(InputError, match="more than one column x; give each a name of its own"):
            as_table(twice)
    for wrong, kind in ((5, "int"), (np.float64(5), r"numpy\.float64")):
        with pytest.raises(InputError, match=f"or a data frame, not {kind}$"):
            as_table(wrong)
