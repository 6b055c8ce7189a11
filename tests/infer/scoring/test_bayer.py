"""Colour filters of an array: what the caller knows of them counts as for a file."""

import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer import InputError, classify_realbogus
from rbinfer.io.exposure import as_exposure
from rbinfer.io.images import load_image

PASSED = np.array([[0.6, 1.0], [1.0, 0.5]])


@pytest.fixture(scope="module")
def raw(scene, tmp_path_factory):
    """An image behind filters, the file with it, and its catalogue."""
    image, table, fwhm = scene
    y, x = np.indices(image.shape)
    pixels = (image * PASSED[y % 2, x % 2]).astype(np.float32)
    path = tmp_path_factory.mktemp("raw") / "raw.fits"
    fits.writeto(path, pixels)
    return pixels, path, table["x", "y"], fwhm


@pytest.mark.parametrize("bayer", [None, True, False])
def test_an_array_is_scored_as_its_file_is(classifier, raw, caplog, bayer):
    caplog.set_level(logging.WARNING)
    pixels, path, table, fwhm = raw
    loaded, x, y = load_image(path, bayer=bayer), table["x"], table["y"]
    caplog.clear()
    scores = classifier.score(pixels, x, y, fwhm, bayer=bayer).score
    assert ("colour filters" in caplog.text) is (bayer is None)
    np.testing.assert_array_equal(scores, classifier.score(loaded, x, y, fwhm).score)
    cut, of_file = (
        classifier.cutouts(pixels, x, y, fwhm, bayer=bayer),
        classifier.cutouts(loaded, x, y, fwhm),
    )
    np.testing.assert_array_equal(cut.pixels, of_file.pixels)
    for found in (
        classifier.classify(table, pixels, fwhm=fwhm, bayer=bayer),
        classify_realbogus(table, pixels, classifier, fwhm=fwhm, bayer=bayer, flag_bogus=False),
    ):
        np.testing.assert_array_equal(found["rb_score"], scores)


def test_what_is_said_changes_scores(classifier, raw):
    pixels, _, table, fwhm = raw
    by_sky, no_filters = (
        classifier.score(pixels, table["x"], table["y"], fwhm, bayer=bayer).score
        for bayer in (None, False)
    )
    assert np.nanmax(np.abs(by_sky - no_filters)) > 0.01


def test_maps_are_changed_with_the_pixels():
    """A sky so dark that it does not show the filters, and maps of what lies behind them."""
    rng = np.random.default_rng(2)
    y, x = np.indices((300, 320))
    passed = PASSED[y % 2, x % 2]
    light = np.zeros(y.shape)
    for cx, cy in rng.uniform(10, 290, (40, 2)):
        light += 4000 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2 / 1.5**2)
    pixels = light * passed + 3 * passed + rng.normal(0, 5, y.shape)
    known = as_exposure(pixels, bg=3 * passed, err=np.full(y.shape, 5.0), bayer=True)
    assert known.no_filters
    mean = PASSED.mean()
    shown = light > 1000
    np.testing.assert_allclose(known.pixels[shown] / light[shown], mean, rtol=0.1)
    np.testing.assert_allclose(known.noise, 5 * mean / passed, rtol=0.05)
    # Filters are undone once, and a background that is one number is that of none of them.
    assert known.known(bayer=True).pixels is known.pixels
    assert as_exposure(pixels, bg=3.0, bayer=True).background is None
    told = as_exposure(pixels, bg=3.0, bayer=False)
    assert (told.no_filters, told.background) == (True, 3.0)
    np.testing.assert_array_equal(told.pixels, pixels.astype(np.float32))


@pytest.mark.parametrize("given", ["RGGB", 1])
def test_names_of_filters_are_refused(classifier, given):
    with pytest.raises(InputError, match=f"bayer must be True, False or None, not {given!r}"):
        classifier.classify(Table({"x": [5.0], "y": [5.0]}), np.zeros((50, 50)), bayer=given)
