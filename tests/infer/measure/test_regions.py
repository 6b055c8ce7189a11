"""Frames whose stars differ from place to place."""

from dataclasses import replace

import numpy as np
import pytest

from rbinfer.io.exposure import as_exposure
from rbinfer.measure.estimate import measure_width
from rbinfer.measure.ninths import area_of, ninth_of
from rbinfer.measure.psf import measure_psf
from rbinfer.measure.regions import width_of

from .frames import star_frame

FWHM = (1.8, 2.6, 3.6)


def banded(rng, n=80, widths=FWHM):
    return np.hstack([star_frame(rng, n, fwhm, size=300) for fwhm in widths])


@pytest.mark.parametrize("shape", [(300, 900), (100, 101), (11, 3)])
def test_ninths_tile_the_frame(shape):
    y, x = (at.ravel().astype(float) for at in np.indices(shape))
    ninth = ninth_of(x, y, shape)
    assert set(ninth) == set(range(9))
    for k in range(9):
        rows, columns = area_of(k, shape)
        # Its own pixels, and a quarter of its sides around them, as far as there are any.
        inside = np.zeros(shape, bool)
        inside[rows, columns] = True
        assert inside.ravel()[ninth == k].all()
        quarter = shape[1] // 12
        assert columns.start >= 0
        assert columns.start <= max(x[ninth == k].min() - quarter, 0) + 1


def test_positions_off_the_frame_go_to_its_edge():
    at = np.array([-5.0, 1e9, np.nan])
    assert ninth_of(at, at, (90, 90)).tolist() == [0, 8, 0]


def test_each_ninth_has_its_own_width():
    width = measure_width(as_exposure(banded(np.random.default_rng(21))))
    assert len(width.regions) == 9
    found = np.array([each.fwhm for each in width.regions]).reshape(3, 3)
    # A quarter of the next band is measured along.
    assert found == pytest.approx(np.tile(FWHM, (3, 1)), rel=0.06)
    assert width.range == (found.min(), found.max())
    assert all(each.stamp.shape == (31, 31) and not each.regions for each in width.regions)
    # What else is there is that of each ninth.
    exposure = as_exposure(banded(np.random.default_rng(21)))
    for ninth, each in enumerate(width.regions):
        part = exposure.pixels[area_of(ninth, exposure.shape)]
        np.testing.assert_array_equal(each.population, measure_psf(part).population)
        assert (each.population != width.population).any()


def test_one_star_stands_for_an_even_frame():
    image = banded(np.random.default_rng(22), widths=(2.6, 2.8, 3.0))
    width = measure_width(as_exposure(image))
    assert width.regions == ()
    assert width.range == (width.fwhm, width.fwhm)


def test_a_ninth_without_stars_is_scored_with_those_of_the_frame():
    rng = np.random.default_rng(23)
    image = banded(rng)
    image[:130, :380] = rng.normal(np.median(image), 6.0, (130, 380))  # with its margin
    exposure = as_exposure(image.astype(np.float32))
    found = measure_psf(exposure)
    widths = width_of(exposure, found).regions
    assert widths[0].fwhm == found.fwhm
    assert widths[6].fwhm == pytest.approx(FWHM[0], rel=0.06)


def test_masked_pixels_stay_masked_in_a_ninth():
    image = banded(np.random.default_rng(24))
    mask = np.zeros(image.shape, bool)
    image[140:160, 20:280], mask[140:160, 20:280] = 1e6, True
    exposure = as_exposure(image, mask=mask)
    plain = width_of(exposure, measure_psf(exposure)).regions
    assert [each.fwhm for each in plain[::3]] == pytest.approx([FWHM[0]] * 3, rel=0.06)


def doubtful(image):
    """Return an image, and what it would be if few of its maxima agreed."""
    exposure = as_exposure(image.astype(np.float32))
    return exposure, replace(measure_psf(exposure), confidence=1.5, variation=0.0)


def test_of_a_doubtful_frame_the_ninths_count_where_they_differ():
    width = width_of(*doubtful(banded(np.random.default_rng(25))))
    found = np.array([each.fwhm for each in width.regions]).reshape(3, 3)
    assert found == pytest.approx(np.tile(FWHM, (3, 1)), rel=0.06)
    assert width.fwhm == np.median(found)
    assert width.n_stars == next(each.n_stars for each in width.regions if each.fwhm == width.fwhm)
    exposure, _ = doubtful(banded(np.random.default_rng(25)))
    unknown = replace(measure_psf(exposure), fwhm=None, likely_fwhm=2.0, confidence=0.9, variation=0.0)
    assert width_of(exposure, unknown).fwhm == width.fwhm
    # Where nothing may be stars, or there is too little of it, nothing is looked at.
    assert width_of(exposure, replace(unknown, likely_fwhm=None)) is None
    assert width_of(exposure, replace(unknown, n_fitted=9)) is None
    assert width_of(exposure, replace(unknown, n_stars=2)) is None


@pytest.mark.parametrize(
    ("confidence", "agreement", "n"),
    [(1.5, 0.9, 9), (2.5, 0.5, 9), (2.5, 0.74, 9), (2.5, 0.9, 0), (5.5, 0.5, 0)],
)
def test_where_more_agrees_the_ninths_have_to_bring_more(confidence, agreement, n):
    exposure, found = doubtful(banded(np.random.default_rng(25)))
    width = width_of(exposure, replace(found, confidence=confidence, agreement=agreement))
    assert len(width.regions) == n


def test_ninths_that_differ_less_count_where_far_more_agrees_in_them():
    exposure, found = doubtful(banded(np.random.default_rng(29), widths=(2.4, 2.7, 3.0)))
    assert width_of(exposure, replace(found, agreement=1.0)).regions == ()
    poor = replace(found, agreement=0.5)
    widths = np.array([each.fwhm for each in width_of(exposure, poor).regions]).reshape(3, 3)
    assert widths == pytest.approx(np.tile([2.4, 2.7, 3.0], (3, 1)), rel=0.06)


def test_ninths_that_are_alike_do_not_count():
    exposure, found = doubtful(banded(np.random.default_rng(26), widths=(2.6, 2.8, 3.0)))
    assert width_of(exposure, found).regions == ()
    assert width_of(exposure, found).fwhm == found.fwhm
    assert width_of(exposure, replace(found, fwhm=None, likely_fwhm=2.8)) is None


def test_a_single_odd_ninth_does_not_count():
    rng = np.random.default_rng(27)
    rows = [[star_frame(rng, 60, 4.0, size=300) for _ in range(3)] for _ in range(3)]
    rows[2][2] = star_frame(rng, 60, 1.4, size=300)
    exposure, found = doubtful(np.vstack([np.hstack(row) for row in rows]))
    assert width_of(exposure, found).regions == ()


def test_stars_of_few_ninths_do_not_count():
    """Two that differ are not enough: hits may agree by chance here and there."""
    rng = np.random.default_rng(28)
    image = rng.normal(300.0, 6.0, (900, 900))
    for corner, fwhm in ((60, 2.0), (690, 3.6)):
        image[corner : corner + 150, corner : corner + 150] = star_frame(rng, 40, fwhm, size=150)
    exposure, found = doubtful(image)
    unknown = replace(found, fwhm=None, likely_fwhm=2.0, n_fitted=80)
    assert width_of(exposure, unknown) is None
