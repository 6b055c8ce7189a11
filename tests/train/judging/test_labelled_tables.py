"""Tables of labelled images: what a label can be, and labels that do not lie on their image."""

import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from rbinfer import Classifier, InputError
from rbtrain.judging.labelled import check_cases, score_images
from rbtrain.judging.labelled_tables import read_case, read_labelled
from rbtrain.judging.ways import WAYS


@pytest.fixture(scope="module")
def classifier():
    return Classifier(device="cpu")


@pytest.fixture(scope="module")
def stars():
    """An image of 240 x 300 pixels and its 24 stars, above all in the lower half."""
    rng = np.random.default_rng(4)
    image = rng.normal(100, 5, (240, 300))
    yy, xx = np.mgrid[:240, :300]
    x, y = rng.uniform(15, 285, 24), rng.uniform(15, 140, 24)
    for at, row in zip(x, y, strict=True):
        image += 2000 * np.exp(-4 * np.log(2) * ((xx - at) ** 2 + (yy - row) ** 2) / 3.5**2)
    return image.astype(np.float32), x, y


def written(folder, stars, name="field_1", **columns):
    image, x, y = stars
    table = Table({"x": x, "y": y, "label": np.arange(len(x)) % 2})
    for key, values in columns.items():
        table[key] = values
    table.write(folder / f"{name}.ecsv")
    fits.writeto(folder / f"{name}.fits", image)
    return folder


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        ([1, 0, -1], [1, 0, -1]),
        ([1.0, 0.0, np.nan], [1, 0, -1]),
        ([True, False, True], [1, 0, 1]),
        (["real", "bogus", "skip"], [1, 0, -1]),
        (["1", "0", "-1"], [1, 0, -1]),
        (MaskedColumn([1, 0, 1], mask=[False, False, True]), [1, 0, -1]),
        (MaskedColumn(["real", "bogus", "x"], mask=[False, False, True]), [1, 0, -1]),
    ],
)
def test_what_a_label_can_be(tmp_path, column, labels):
    Table({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0], "label": column}).write(tmp_path / "a.ecsv")
    found = read_labelled(tmp_path / "a.ecsv")["label"]
    assert (found.dtype, found.tolist()) == (np.int8, labels)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ([1, 2, 0], r"has 2 in the column 'label' \(row 1\)"),
        ([1.0, 0.0, 0.5], r"has 0.5 in the column 'label' \(row 2\)"),
        (["star", "real", "bogus"], r"has 'star' in the column 'label' \(row 0\)"),
    ],
)
def test_anything_else_is_refused(tmp_path, column, said):
    Table({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0], "label": column}).write(tmp_path / "a.ecsv")
    with pytest.raises(InputError, match=rf"a\.ecsv {said}"):
        read_labelled(tmp_path / "a.ecsv")


@pytest.mark.parametrize("label", [np.zeros(0, int), np.full(24, -1)])
def test_nothing_labelled_is_refused_where_it_is_all_there_is(
    tmp_path, stars, label, classifier, caplog
):
    image, x, y = stars
    written(tmp_path, (image, x[: len(label)], y[: len(label)]), label=label)
    with pytest.raises(InputError, match=r"nothing is labelled in .*field_1\.ecsv: 'label' is 1 for"):
        check_cases([tmp_path])
    written(tmp_path, stars, "other_1")
    assert [path.name for path in check_cases([tmp_path])] == ["field_1.ecsv", "other_1.ecsv"]
    assert list(score_images(classifier, [tmp_path])) == ["other"]
    assert "field_1.ecsv: nothing is labelled; it is left out" in caplog.text


def test_labels_that_are_unknown_take_no_part(tmp_path, stars, classifier):
    label = MaskedColumn(["real", "bogus", "x"] * 8, mask=[False, False, True] * 8)
    (case,) = score_images(classifier, [written(tmp_path, stars, label=label)])["field"]
    assert case.real.tolist() == [True, False] * 8


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        (lambda x, y: (x, 239 - y), "y counts from the top"),
        (lambda x, y: (x + 5000, y), "24 of 24 positions lie off the image"),
        (lambda x, y: (x, y), None),
    ],
)
def test_labels_beside_their_image_are_told_once(tmp_path, stars, classifier, caplog, moved, said):
    image, x, y = stars
    written(tmp_path, (image, *moved(x, y)))
    told = set()
    for way in WAYS[:3]:
        score_images(classifier, [tmp_path], way, told=told)
    lines = [line for line in caplog.messages if "does not fit" in line]
    assert len(lines) == (said is not None)
    assert said is None or f"field_1.fits: {said}; its figures" in lines[0]


def test_rows_without_a_position_are_left_out_and_told(tmp_path, stars, classifier, caplog):
    x = stars[1].copy()
    x[[3, 5]] = np.nan
    written(tmp_path, stars, x=x)
    told = set()
    for way in WAYS[:3]:
        (case,) = score_images(classifier, [tmp_path], way, told=told)["field"]
        assert case.real.tolist() == [bool(k % 2) for k in range(24) if k not in (3, 5)]
    assert [line for line in caplog.messages if "no position" in line] == [
        f"{tmp_path / 'field_1.ecsv'}: 2 rows have no position and are left out, the first is row 3"
    ]


def test_an_image_without_stars_is_told_once_and_by_name(tmp_path, stars, classifier, caplog):
    caplog.set_level(logging.WARNING)
    flat = np.random.default_rng(0).normal(100, 5, stars[0].shape).astype(np.float32)
    written(tmp_path, (flat, *stars[1:]))
    told = set()
    for way in WAYS[:3]:
        score_images(classifier, [tmp_path], way, told=told)
    lines = [line for line in caplog.messages if "no stars found" in line]
    assert len(lines) == 1
    assert lines[0].startswith(str(tmp_path / "field_1.fits"))


@pytest.mark.parametrize(
    ("shape", "columns", "said"),
    [
        ((4, 31, 31), {}, r"add a column 'frame' .* or 'frame_fwhm'"),
        ((3, 40, 50), {"frame": ["a"] * 4}, "holds 3 planes of 40 x 50 pixels, and .* 4 rows"),
        ((40, 50), {"x": None}, r"no positions: columns x and y, .*; it has y, label"),
        ((40, 50), {"x": ["a", "b", "c", "d"]}, r"t\.ecsv: "),
    ],
)
def test_what_cannot_be_taken_is_said(tmp_path, shape, columns, said):
    table = Table({"x": [5.0] * 4, "y": [5.0] * 4, "label": [1, 0, 1, 0]})
    for key, values in columns.items():
        if values is None:
            del table[key]
        else:
            table[key] = values
    table.write(tmp_path / "t.ecsv")
    fits.writeto(tmp_path / "t.fits", np.zeros(shape, np.float32))
    with pytest.raises(InputError, match=said):
        read_case(tmp_path / "t.ecsv", tmp_path / "t.fits")
