"""A steep sky is made level, and one that was cut off gets its noise back, before it is measured."""

import dataclasses
import logging

import numpy as np
import pytest

from rbinfer import Classifier, extract_cutouts, measure_psf
from rbinfer.io.exposure import as_exposure
from rbinfer.measure.cells import side_of, some_rows
from rbinfer.measure.even import evened
from rbinfer.measure.nodata import no_data_areas

SHAPE = NY, NX = 512, 640
Y, X = np.mgrid[:NY, :NX]
NOISE, FWHM = 8.0, 3.2
R2 = ((X - NX / 2) ** 2 + (Y - NY / 2) ** 2) / (NX / 2) ** 2


def sky(seed=0, level=500.0):
    return np.random.default_rng(seed).normal(level, NOISE, SHAPE).astype(np.float32)


def places(n=60):
    return np.random.default_rng(7).uniform(30, [[NX - 30], [NY - 30]], (2, n))


def stars(peak=20 * NOISE):
    image = np.zeros(SHAPE)
    for x, y in places().T:
        image += peak * np.exp(-4 * np.log(2) * ((X - x) ** 2 + (Y - y) ** 2) / FWHM**2)
    return image.astype(np.float32)


SKIES = {
    "a linear slope": NOISE * (0.2 * X - 0.1 * Y),
    "vignetting": -25 * NOISE * R2,
    "twilight in a corner": NOISE * 3e-4 * (X**2 + Y * X),
}


@pytest.mark.parametrize("shape", SKIES)
def test_a_steep_sky_is_made_level(shape, caplog):
    image = sky() + stars() + SKIES[shape].astype(np.float32)
    before = image.copy()
    with caplog.at_level(logging.INFO):
        even = evened(as_exposure(image))
    assert "steep" in caplog.text
    np.testing.assert_array_equal(image, before)
    left = even.pixels - sky() - stars()
    # Of the sky nothing is left but a level, and no slope in any cutout.
    assert np.ptp([np.median(part) for part in np.array_split(left.ravel(), 64)]) < 0.5 * NOISE
    slopes = np.abs(left[:, 31:] - left[:, :-31])
    assert np.percentile(slopes, 99) < 1.0 * NOISE
    assert np.median(left) == pytest.approx(np.median(SKIES[shape]), abs=0.25 * np.ptp(SKIES[shape]))


@pytest.mark.parametrize(
    "change", [lambda sky: sky, lambda sky: sky + (0.02 * NOISE * X).astype(np.float32)]
)
def test_a_level_sky_is_left_as_it_is(change):
    exposure = as_exposure(change(sky() + stars()))
    even = evened(exposure)
    assert even.pixels is exposure.pixels
    assert even.is_even
    assert evened(even) is even


def disc():
    return np.where(R2 < 0.45, sky(level=2000.0), np.random.default_rng(3).normal(10.0, 2.0, SHAPE))


def chips():
    levels = np.random.default_rng(5).uniform(0, 50 * NOISE, (4, 5))
    return sky() + np.kron(levels, np.ones((128, 128)))


LEVEL = {
    "a nebula": lambda: sky() + 40 * NOISE * np.exp(-np.hypot(X - 300, Y - 250) / 40),
    "a galaxy that fills a small frame": lambda: (
        sky() + 50 * NOISE * np.exp(-np.hypot(X - 128, Y - 128) / 20)
    )[:256, :256],
    "two amplifiers": lambda: sky() + np.where(X < NX / 2, 0, 50 * NOISE),
    "two amplifiers, off the cells": lambda: (sky() + np.where(X < 100, 0, 50 * NOISE))[:256, :256],
    "chips of a mosaic": chips,
    "the circle of a fish-eye lens": disc,
    "ripples that cells do not show": lambda: sky() + 20 * NOISE * np.sin(2 * np.pi * X / 100),
    "a small frame": lambda: (sky() + SKIES["a linear slope"])[:250, :250],
    "one row": lambda: sky()[:1],
}


@pytest.mark.parametrize("name", LEVEL)
def test_steps_and_large_sources_are_no_slope(name):
    exposure = as_exposure(LEVEL[name]().astype(np.float32))
    assert evened(exposure).pixels is exposure.pixels


def test_the_slope_of_a_quarter_of_the_frame_decides():
    """0.05 of the noise a pixel; a test on either side of it."""
    for slope, is_steep in ((0.045, False), (0.056, True)):
        exposure = as_exposure(sky() + (slope * NOISE * X).astype(np.float32))
        assert (evened(exposure).pixels is not exposure.pixels) == is_steep
    # Of the columns, nearly half rise, or only a tenth.
    half = np.minimum(X, 0.45 * NX) * 0.3 * NOISE
    exposure = as_exposure(sky() + half.astype(np.float32))
    assert evened(exposure).pixels is not exposure.pixels
    part = np.maximum(X - 0.9 * NX, 0) * 0.3 * NOISE
    exposure = as_exposure(sky() + part.astype(np.float32))
    assert evened(exposure).pixels is exposure.pixels


def test_a_background_that_is_given_is_not_taken_off_twice():
    image = sky() + SKIES["a linear slope"].astype(np.float32)
    exposure = as_exposure(image, bg=SKIES["a linear slope"] + 500)
    assert evened(exposure).pixels is exposure.pixels


@pytest.mark.parametrize("told", [True, False])
def test_saturated_pixels_stay_so(told):
    slope = SKIES["a linear slope"].astype(np.float32)
    image = np.minimum(sky() + stars(peak=1e5) + slope, 3e4)
    is_saturated = image == 3e4
    assert is_saturated.sum() > 100
    exposure = as_exposure(image, saturation=3e4) if told else as_exposure(image)
    even = evened(exposure)
    assert (even.pixels[is_saturated] == 3e4).all()
    assert (even.pixels[~is_saturated] < 3e4).all()


def test_masked_and_missing_pixels_have_no_say():
    slope = SKIES["a linear slope"].astype(np.float32)
    image = sky() + slope
    mask = Y < 120
    image[mask] = 1e6
    image[:, :40] = np.nan
    even = evened(as_exposure(image, mask=mask))
    left = (even.pixels - sky())[~mask & (X >= 40)]
    assert np.std(left) < 0.3 * NOISE
    assert np.isnan(even.pixels[:, :40]).all()


def test_a_galaxy_on_a_steep_sky_keeps_its_light():
    """A frame of 4 x 4 cells shows only how the sky rises and bends."""
    galaxy = 200 * NOISE * np.exp(-np.hypot(X - 130, Y - 120) / 12)
    slope = SKIES["a linear slope"]
    image = (sky() + galaxy + slope)[:256, :256].astype(np.float32)
    left = (evened(as_exposure(image)).pixels - image + slope[:256, :256])[60:200, 60:200]
    assert np.ptp(left) < 3 * NOISE
    assert np.abs(np.diff(left, axis=1)).max() < 0.05 * NOISE


@pytest.mark.parametrize(("side", "is_changed"), [(63, False), (64, True)])
def test_a_sky_that_is_cut_off_is_seen_from_64_pixels_on(side, is_changed):
    exposure = as_exposure(np.maximum(sky(level=0.0)[:side, :side], 0))
    assert (evened(exposure).pixels is not exposure.pixels) == is_changed


def test_one_saturated_star_is_enough():
    x, y = 300.3, 200.6
    star = 2e3 * np.exp(-4 * np.log(2) * ((X - x) ** 2 + (Y - y) ** 2) / FWHM**2)
    image = np.minimum(sky() + star + SKIES["a linear slope"], 1800).astype(np.float32)
    is_saturated = image == 1800
    assert 5 < is_saturated.sum() < 25
    assert (evened(as_exposure(image)).pixels[is_saturated] == 1800).all()


def flat_top(brighter=None, masked=False):
    """A steep frame with saturated stars, and one pixel that is brighter still."""
    image = np.minimum(sky() + stars(peak=1e5) + SKIES["a linear slope"].astype(np.float32), 3e4)
    mask = np.zeros(SHAPE, bool)
    if brighter is not None:
        image[5, 5], mask[5, 5] = brighter, masked
    return as_exposure(image.astype(np.float32), mask=mask), image == 3e4


@pytest.mark.parametrize(
    ("brighter", "masked"), [(None, False), (4e4, False), (np.inf, False), (65535, True)]
)
def test_a_brighter_pixel_does_not_hide_where_stars_saturate(brighter, masked):
    exposure, is_saturated = flat_top(brighter, masked)
    even = evened(exposure)
    assert even.pixels is not exposure.pixels
    assert (even.pixels[is_saturated] == 3e4).all()


@pytest.mark.parametrize("seed", range(5))
def test_whole_numbers_do_not_make_the_brightest_sky_saturated(seed):
    rng = np.random.default_rng(seed)
    image = np.rint(rng.normal(200, 2.0, SHAPE) + 0.8 * X)
    left = evened(as_exposure(image.astype(np.float32))).pixels - image + 0.8 * X
    assert np.ptp(left) < 12


def test_the_reference_takes_pixels_as_they_are():
    """What it was trained on was cut without this; its width is measured on a level sky all the same."""
    image, (x, y) = sky() + stars() + SKIES["a linear slope"].astype(np.float32), places()
    classifier = Classifier("reference", device="cpu")
    cutouts = classifier.cutouts(image, x, y, fwhm=FWHM)
    wanted, kept = extract_cutouts({"x": x, "y": y}, image, fwhm=FWHM)[:2]
    np.testing.assert_array_equal(cutouts.pixels[kept], wanted)


def test_scores_and_widths_are_those_of_the_level_sky():
    """A star on a slope of a third of the noise a pixel is the star that it is on a level sky."""
    image, (x, y) = sky() + stars(), places()
    steep = image + (NOISE * 0.3 * X).astype(np.float32)
    classifier = Classifier(device="cpu")
    level, found = (classifier.score(each, x, y) for each in (image, steep))
    np.testing.assert_allclose(found.score, level.score, atol=0.1)
    assert measure_psf(steep).fwhm == pytest.approx(measure_psf(image).fwhm, rel=0.02)


def test_a_cut_off_sky_gets_its_noise_back(caplog):
    """Stars on a sky without negative numbers are kept as those on the whole sky are."""
    image, (x, y) = sky(level=0.0) + stars(6 * NOISE), places()
    cut = np.maximum(image, 0)
    even = evened(as_exposure(cut))
    assert "% of the pixels are exactly 0 and few are lower" in caplog.text
    filled = cut == 0
    np.testing.assert_array_equal(even.pixels[~filled], cut[~filled])
    assert (even.pixels[filled] < 0).all()
    assert np.std(even.pixels[filled]) == pytest.approx(np.std(image[filled]), rel=0.1)
    classifier = Classifier(device="cpu")
    whole, found = (classifier.score(each, x, y) for each in (image, cut))
    assert (found.score > classifier.threshold).mean() >= (
        whole.score > classifier.threshold
    ).mean() - 0.02
    np.testing.assert_array_equal(evened(as_exposure(cut)).pixels, even.pixels)


def test_a_steep_sky_that_is_cut_off_too():
    slope = (0.1 * NOISE * (X - NX / 2)).astype(np.float32)
    image = np.maximum(sky(level=25 * NOISE) + stars() + slope, 25 * NOISE - 0.1 * NOISE * NX / 4)
    even = evened(as_exposure(image))
    is_whole = X < NX / 4 - 40  # what is cut off there has no slope any more
    left = even.pixels - np.median(even.pixels)
    assert abs(np.median(left[X > NX - 60])) < 0.5 * NOISE
    assert (image == image.min())[is_whole].mean() > 0.9


def test_a_smooth_sky_that_is_cut_off_holds_data_everywhere():
    """The sky of a resampled or crowded image is smooth: where it is cut off, whole areas are."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(sky(level=0.0), 2.0)
    assert no_data_areas(np.maximum(smooth, 0)) == {}
    # An area without data beside a sky that is whole is still found.
    beside = np.where(X < 200, np.float32(0), sky(level=0.0))
    assert list(no_data_areas(beside)) == [0.0]


def test_rows_are_of_all_cells_and_a_copy():
    image = np.arange(NY * NX, dtype=np.float32).reshape(SHAPE)
    rows = some_rows(image, X < 5)
    side = side_of(SHAPE)
    assert (side, len(rows)) == (64, 8)
    cells = rows[:, :, 10] // NX // side
    np.testing.assert_array_equal(cells, np.broadcast_to(np.arange(8)[:, None], cells.shape))
    assert np.isnan(rows[:, :, :5]).all()
    rows[:] = 0
    assert image[-1, -1] == NY * NX - 1


@pytest.mark.parametrize(
    ("shape", "side"), [((100, 4000), 64), ((2048, 4096), 128), ((9000, 9000), 256)]
)
def test_cells_grow_with_the_frame(shape, side):
    assert side_of(shape) == side
    assert some_rows(np.zeros(shape, np.float32), None).size <= max(1 << 16, 36 * shape[1])


def test_pixels_of_a_file_are_made_level_in_a_file(monkeypatch):
    from rbinfer.io import scratch

    slope = SKIES["a linear slope"].astype(np.float32)
    usual = evened(as_exposure(sky() + slope)).pixels
    monkeypatch.setattr(scratch, "LARGE", 1000)
    pixels = scratch.copy_of(sky() + slope)
    exposure = dataclasses.replace(as_exposure(sky()), pixels=pixels)
    np.testing.assert_array_equal(evened(exposure).pixels, usual)


def test_areas_without_data_are_found_in_what_is_said_to_be_even():
    """Stamps are said to be so, and may have a part without data."""
    exposure = dataclasses.replace(as_exposure(np.where(X < 200, 0, sky())), is_even=True)
    found = evened(exposure)
    assert found.pixels is exposure.pixels
    assert found.mask[:, :195].all()


@pytest.mark.parametrize("side", [257, 258, 260, 300])
@pytest.mark.parametrize("bad", ["last column", "corner"])
def test_bad_pixels_at_the_far_edge_do_not_drag_the_slope(side, bad):
    """Where a cell of the mesh is a few pixels wide there, they are most of it."""
    y, x = np.mgrid[:side, :side]
    slope = NOISE * (0.15 * x + 0.07 * y)
    image = np.random.default_rng(2).normal(500.0, NOISE, (side, side)) + slope
    where = np.s_[:, -1] if bad == "last column" else np.s_[-2:, -2:]
    image[where] += 300 * NOISE
    even = evened(as_exposure(image.astype(np.float32)))
    left = (image - even.pixels - slope)[:-3, :-3]
    assert np.abs(left - np.median(left)).max() < 2.0 * NOISE
