"""Scores on frames whose stars differ from place to place."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer import Classifier
from rbinfer.io.exposure import as_exposure
from rbinfer.measure.estimate import measure_width
from rbinfer.measure.ninths import ninth_of

from ..measure.test_regions import banded


@pytest.fixture(scope="module")
def classifier():
    return Classifier(threads=2)


@pytest.fixture(scope="module")
def exposure():
    exposure = as_exposure(banded(np.random.default_rng(31)))
    return replace(exposure, width=measure_width(exposure))


@pytest.fixture(scope="module")
def places(exposure):
    rng = np.random.default_rng(32)
    ny, nx = exposure.shape
    return rng.uniform(0, nx - 1, 300), rng.uniform(0, ny - 1, 300)


def test_each_row_is_scored_with_the_stars_around_it(classifier, exposure, places):
    x, y = places
    found = classifier.score(exposure, x, y)
    ninth = ninth_of(x, y, exposure.shape)
    for k, width in enumerate(exposure.width.regions):
        rows = ninth == k
        alone = classifier.score(replace(exposure, width=width), x[rows], y[rows])
        for whole, own in zip(found, alone, strict=True):
            assert np.array_equal(whole[rows], own, equal_nan=True)
    whole = classifier.score(replace(exposure, width=replace(exposure.width, regions=())), x, y)
    assert not np.array_equal(whole.score, found.score, equal_nan=True)


def test_cutouts_are_those_that_are_scored(classifier, exposure, places):
    x, y = places
    cutouts = classifier.cutouts(exposure, x, y)
    ninth = ninth_of(x, y, exposure.shape)
    for k in (0, 8):
        alone = classifier.cutouts(
            replace(exposure, width=exposure.width.regions[k]), x[ninth == k], y[ninth == k]
        )
        assert np.array_equal(cutouts.pixels[ninth == k], alone.pixels)
        assert np.array_equal(cutouts.core[ninth == k], alone.core)


def test_progress_counts_all_rows(classifier, exposure, places):
    told = []
    classifier.score(exposure, *places, progress=lambda *at: told.append(at))
    done = [each for each, _ in told]
    assert {n for _, n in told} == {len(places[0])}
    assert done == sorted(done)
    assert done[-1] == len(places[0])


def test_a_given_width_stands_for_the_whole_frame(classifier, exposure, places):
    table = Table(dict(zip("xy", places, strict=True)))
    given = classifier.classify(table, exposure.pixels, fwhm=2.6)
    assert "rb_fwhm_min" not in given.meta
    measured = classifier.classify(table, exposure.pixels)
    assert measured.meta["rb_fwhm_min"] == pytest.approx(1.8, rel=0.06)
    assert measured.meta["rb_fwhm_max"] == pytest.approx(3.6, rel=0.06)


def test_the_summary_says_how_far_the_width_varies(exposure, tmp_path):
    image = tmp_path / "banded.fits"
    fits.writeto(image, exposure.pixels)
    command = [sys.executable, "-m", "rbinfer", "classify", str(image)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out.fits")], capture_output=True, text=True, check=True
    )
    assert " agree, 1." in done.stderr
    assert " px over the image)" in done.stderr
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    found = (
        json.loads(done.stdout)["summary"] if "summary" in done.stdout[:200] else json.loads(done.stdout)
    )
    assert found["fwhm_min"] < found["fwhm"] < found["fwhm_max"]
