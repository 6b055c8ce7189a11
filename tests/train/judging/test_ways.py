"""Labelled images scored with widths, without, without a catalogue, and with a FWHM that is given."""

import dataclasses

import numpy as np
import onnx
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer import Classifier, InputError
from rbinfer.model.registry import shipped_model
from rbinfer.model.session import read_spec
from rbinfer.model.spec import METADATA_KEY
from rbtrain.export.recalibrate import recalibrated
from rbtrain.judging.labelled import measure_groups, score_images
from rbtrain.judging.text import format_undetected
from rbtrain.judging.ways import WAYS, given_widths, nearest_within, ways_for

FWHM = 3.5
BY_KEY = {way.key: way for way in WAYS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen stars, four hits of one pixel, and a label where there is nothing."""
    where = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(3)
    image = rng.normal(100, 5, (200, 200))
    yy, xx = np.mgrid[:200, :200]
    stars = [(x + 0.3, y - 0.2) for x in (30, 75, 120, 165) for y in (30, 75, 120, 165)]
    for x, y in stars:
        image += 2000 * np.exp(-4 * np.log(2) * ((xx - x) ** 2 + (yy - y) ** 2) / FWHM**2)
    hits = [(52, 52), (98, 52), (52, 98), (140, 98)]
    for x, y in hits:
        image[y, x] += 3000
    x, y = np.array([*stars, *hits, (190.0, 8.0)]).T
    table = Table({"x": x, "y": y, "label": [1] * 16 + [0] * 4 + [1]})
    # Widths of hits, as an edited catalogue might have them.
    table["a"] = table["b"] = np.full(len(table), 0.4)
    table["fwhm"] = np.full(len(table), 1.1)
    table["xpeak"], table["ypeak"] = np.rint(x).astype(int), np.rint(y).astype(int)
    table.meta["fwhm_px"] = 4.9
    table.write(where / "field_1.ecsv")
    fits.writeto(where / "field_1.fits", image.astype(np.float32))
    return where


@pytest.fixture(scope="module")
def classifier():
    return Classifier(device="cpu")


def test_detections_are_matched_and_the_missed_are_counted(folder, classifier):
    (case,) = score_images(classifier, [folder], BY_KEY["images_detected"])["field"]
    assert case.detected.tolist()[:16] == [True] * 16
    assert not case.detected[-1]
    assert np.isfinite(case.score).tolist() == case.detected.tolist()
    assert (case.score[:16] > 0.5).all()
    measured = measure_groups({"field": [case]}, 0.5)
    n_hits = int((~case.detected[16:20]).sum())
    assert measured["field"]["undetected"] == {"real": [1, 17], "bogus": [n_hits, 4]}
    assert measured["field"]["n_real"] == 16
    assert format_undetected(measured).split() == f"field 1 of 17 real, {n_hits} of 4 bogus".split()


def test_the_fwhm_that_is_given_is_the_tables_or_that_of_the_groups(folder, classifier, tmp_path):
    way = BY_KEY["images_fwhm_given"]
    assert score_images(classifier, [folder], way)["field"][0].fwhm == 4.9
    (tmp_path / "widths").mkdir()
    (tmp_path / "widths" / "groups.csv").write_text("name,fwhm_px,fits\nfield_1,3.5,16\n")
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    assert given_widths([folder, tmp_path]) == {"field_1": 3.5}
    assert score_images(classifier, [tmp_path], way)["field"][0].fwhm == 3.5
    (tmp_path / "widths" / "groups.csv").write_text("case,fwhm\nfield_1,3.5\n")
    with pytest.raises(InputError, match=r"lacks the columns \['fwhm_px', 'name'\]"):
        given_widths([tmp_path])


def test_stars_and_galaxies_are_counted_on_what_is_scored(folder, classifier, tmp_path):
    """By a model that counts stars alone as what they are by one that counts both."""
    old = read_spec(shipped_model())
    spec = dataclasses.replace(old, readings=old.readings[::-1], golden=None)
    assert (spec.real, old.real) == (("star",), ("star", "galaxy"))
    proto = recalibrated(onnx.load(shipped_model()), spec, 1.0, np.zeros(len(spec.classes)))
    del proto.metadata_props[:]
    proto.metadata_props.add(key=METADATA_KEY, value=spec.to_json())
    onnx.save(proto, tmp_path / "stars.onnx")
    stars = Classifier(tmp_path / "stars.onnx", device="cpu")
    for key in ("images", "images_widths", "images_fwhm_given"):
        (one,) = score_images(stars, [folder], BY_KEY[key])["field"]
        (both,) = score_images(classifier, [folder], BY_KEY[key])["field"]
        assert both.sky_score is None
        assert one.sky_score == pytest.approx(both.score, abs=1e-5, nan_ok=True)
        assert not np.allclose(one.score, both.score, atol=1e-4, equal_nan=True)


def test_ways_that_do_not_differ_are_left_out(folder, tmp_path):
    assert ways_for([folder / "field_1.ecsv"]) == WAYS
    Table({"x": [1.0], "y": [2.0], "label": [1]}).write(tmp_path / "t.ecsv")
    keys = [way.key for way in ways_for([tmp_path / "t.ecsv"])]
    assert keys == ["images", "images_detected", "images_fwhm_given"]


def test_groups_are_of_all_folders(folder, classifier, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name.replace("field_1", "other")).symlink_to(file)
    groups = score_images(classifier, [folder, tmp_path])
    assert sorted(groups) == ["field", "other"]
    np.testing.assert_array_equal(groups["field"][0].score, groups["other"][0].score)


def test_the_nearest_within_reach():
    found = Table({"x": [10.0, 12.0, 50.0], "y": [10.0, 10.0, 50.0]})
    rows = nearest_within(found, np.array([10.9, 11.1, 50.0, 0.0]), np.array([10, 10, 51.9, 0]), 2.0)
    assert rows.tolist() == [0, 1, 2, -1]
    assert nearest_within(found[:0], np.zeros(2), np.zeros(2), 2.0).tolist() == [-1, -1]


def test_cutouts_of_one_frame_tell_their_width(folder, classifier, tmp_path):
    image, table = fits.getdata(folder / "field_1.fits"), Table.read(folder / "field_1.ecsv")[:20]
    padded = np.pad(image, 15, mode="reflect")
    at = zip(table["ypeak"], table["xpeak"], strict=True)
    fits.writeto(tmp_path / "cube.fits", np.stack([padded[y : y + 31, x : x + 31] for y, x in at]))
    table["frame_fwhm"] = 1.35 * FWHM
    table.write(tmp_path / "cube.ecsv")
    # Alone, a cutout is scored with a width that is given.
    assert score_images(classifier, [tmp_path], BY_KEY["images"]) == {}
    (alone,) = score_images(classifier, [tmp_path], BY_KEY["images_fwhm_given"])["cube"]
    table["frame"] = "one"
    table.write(tmp_path / "cube.ecsv", overwrite=True)
    (measured,) = score_images(classifier, [tmp_path], BY_KEY["images"])["cube"]
    (given,) = score_images(classifier, [tmp_path], BY_KEY["images_fwhm_given"])["cube"]
    for case in (alone, measured, given):
        assert case.real.tolist() == [True] * 16 + [False] * 4
        assert (case.score[:16] > 0.5).all()
    assert (measured.score[16:] < 0.5).all()
    assert (given.score != alone.score).any()
    assert score_images(classifier, [tmp_path], BY_KEY["images_detected"]) == {}
