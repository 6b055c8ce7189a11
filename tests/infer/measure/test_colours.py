"""Colour filters, and amplifiers in turn, show in the levels of the sky, and nothing else does."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from rbinfer.io.exposure import as_exposure
from rbinfer.io.planes import Kinds, levelled, with_one_level
from rbinfer.measure.colours import Pattern
from rbinfer.measure.even import evened

Y, X = np.mgrid[:240, :301]
RNG = np.random.default_rng(3)
STARS = sum(
    peak * np.exp(-((X - cx) ** 2 + (Y - cy) ** 2) / 2 / 1.3**2)
    for peak, cx, cy in zip(10 ** RNG.uniform(2, 4, 80), *RNG.uniform(5, 235, (2, 80)), strict=True)
)
NOISE = RNG.normal(0, 5, Y.shape)


def behind(levels, light=NOISE + STARS):
    """Light behind four filters, whose sky has these levels: rows, then columns."""
    return light + np.array(levels).reshape(2, 2)[Y % 2, X % 2]


@pytest.mark.parametrize(
    "levels",
    [
        (100, 200, 200, 150),
        (200, 100, 150, 200),
        (150, 200, 200, 100),
        (200, 150, 100, 200),
        (100, 106, 106, 102),
    ],
)
def test_the_levels_of_a_colour_sensor_are_noticed(levels):
    exposure = as_exposure(behind(levels))
    pattern = Pattern.of(exposure)
    assert pattern is not None
    assert pattern.is_of_colours
    off = np.array(levels) - np.mean(levels)
    np.testing.assert_allclose(pattern.levels, off, atol=0.5)
    assert Pattern.of(as_exposure(levelled(exposure.pixels, None))) is None


def test_bad_pixels_do_not_hide_it():
    pixels = behind((100, 200, 200, 150))
    pixels[:100] = np.nan
    assert Pattern.of(as_exposure(pixels, mask=X < 100)) is not None


@pytest.mark.parametrize(
    "pixels",
    [
        behind((100, 100, 100, 100)),
        behind((100, 101, 101, 100.5)),  # a tenth of the noise
        behind((500, 500, 500, 500)) + 3.0 * X + 2.0 * Y,
        behind((500, 500, 500, 500)) + 4.0 * X + 4.0 * Y,
        behind((500, 500, 500, 500)) + 400 * np.exp(-((X - 150) ** 2 + (Y - 90) ** 2) / 2 / 30**2),
        NOISE + np.where(RNG.random(Y.shape) < 0.05, 4000, 100),  # a dark with hot pixels
        np.rint(NOISE / 10) + 100,
        np.full(Y.shape, 100.0),
        np.full(Y.shape, np.nan),
        NOISE[:1, :50],
    ],
)
def test_other_images_show_no_pattern(pixels):
    assert Pattern.of(as_exposure(pixels)) is None


@pytest.mark.parametrize("side", [4, 8, 16, 32])
def test_noise_of_small_images_shows_no_pattern(side):
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(100, 5, (side, side)).astype(np.float32)
        assert Pattern.of(as_exposure(noise)) is None


@pytest.mark.parametrize(
    "levels",
    [
        (100, 150, 100, 150),  # two amplifiers read the columns in turn
        (100, 100, 150, 150),
        (100, 150, 170, 220),  # rows and columns
    ],
)
def test_amplifiers_in_turn_are_levelled_but_are_no_colours(levels):
    pixels = behind(levels)
    pattern = Pattern.of(as_exposure(pixels))
    assert pattern is not None
    assert not pattern.is_of_colours
    even = evened(as_exposure(pixels)).pixels
    wanted = behind(4 * [np.mean(levels)])
    assert np.abs(even - wanted).max() < 0.1 * 5  # of the noise


def test_light_behind_filters_is_brought_to_one_level_and_scale(caplog):
    passed = np.array([[0.6, 1.0], [1.0, 0.5]])[Y % 2, X % 2]
    exposure = as_exposure((STARS + 500) * passed + NOISE)
    with caplog.at_level(logging.WARNING):
        even = evened(exposure)
    assert "colour filters" in caplog.text
    assert "`bayer=False`" in caplog.text
    shown = STARS > 300
    stars = np.maximum(STARS, 1)
    light = even.pixels - np.median(even.pixels)
    scales = [
        np.median((light[i::2, j::2] / stars[i::2, j::2])[shown[i::2, j::2]])
        for i, j in np.ndindex(2, 2)
    ]
    assert np.ptp(scales) < 0.05 * np.mean(scales)


def test_what_is_said_to_have_no_filters_is_not_scaled(caplog):
    passed = np.array([[0.6, 1.0], [1.0, 0.5]])[Y % 2, X % 2]
    pixels = ((STARS + 500) * passed + NOISE).astype(np.float32)
    with caplog.at_level(logging.WARNING):
        even = evened(replace(as_exposure(pixels), no_filters=True))
    assert not caplog.text
    added = even.pixels - pixels
    for i, j in np.ndindex(2, 2):
        assert np.ptp(added[i::2, j::2]) < 0.01


@pytest.mark.parametrize("passed", [(0.6, 1.0, 1.0, 0.5), (1.0, 1.0, 1.0, 1.0)])
@pytest.mark.parametrize("is_told", [True, False])
def test_pixels_that_are_saturated_stay_so_and_no_other_becomes_one(passed, is_told):
    full, columns = 3000.0, 0.0 if passed[0] < 1 else 40.0
    light = (STARS + 500) * np.array(passed).reshape(2, 2)[Y % 2, X % 2] + NOISE
    pixels = np.minimum(light + columns * (X % 2), full)
    exposure = as_exposure(pixels, saturation=full if is_told else None)
    even = evened(exposure)
    assert np.abs(even.pixels - exposure.pixels).max() > 15
    assert (exposure.pixels >= full).sum() > 20
    np.testing.assert_array_equal(even.pixels >= full, exposure.pixels >= full)


@pytest.mark.parametrize("passed", [(0.6, 1.0, 1.0, 0.5), (1.0, 1.2, 1.0, 1.2)])
def test_maps_that_are_given_are_levelled_with_the_pixels(passed):
    """What stands out of a given background, over a given noise, is what it was, up to a scale."""
    through = np.array(passed).reshape(2, 2)[Y % 2, X % 2]
    sky, noise = 500 * through, 5 * through
    pixels = STARS * through + sky + NOISE * through
    even = evened(as_exposure(pixels, bg=sky, err=noise))
    assert Pattern.of(even) is None
    before, after = (pixels - sky) / noise, (even.pixels - even.background) / even.noise
    np.testing.assert_allclose(after, before, atol=0.02, rtol=1e-3)


def test_one_number_is_no_background_of_a_mosaic():
    assert evened(as_exposure(behind((100, 200, 200, 150)), bg=150.0)).background is None
    assert evened(as_exposure(behind((100, 100, 100, 100)), bg=100.0)).background == 100.0


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.45])
@pytest.mark.parametrize("levels", [(20, 30, 30, 15), (20, 21, 20, 21)])
def test_rounded_pixels_show_a_pattern_too(levels, noise):
    rng = np.random.default_rng(2)
    light = rng.normal(0, noise, Y.shape)
    assert Pattern.of(as_exposure(np.rint(behind(levels, light)))) is not None
    for level in (20.0, 20.45, 20.5):
        assert Pattern.of(as_exposure(np.rint(behind(4 * [level], light)))) is None


@pytest.mark.parametrize("side", [64, 128, 256])
def test_noise_of_rows_and_columns_is_no_pattern(side):
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        pixels = rng.normal(0, 5, (side, side)) + rng.normal(0, 15, (side, 1))
        if seed % 2:
            pixels += rng.normal(0, 15, (1, side))
        found += Pattern.of(as_exposure(pixels)) is not None
    assert found <= 2


def test_rows_that_are_changed_a_few_at_a_time_are_those_of_the_whole():
    kinds = Kinds((1.0, 2.0, 3.0, 4.0), (0.5, 1.0, 1.5, 1.0))
    values = np.random.default_rng(1).normal(0, 5, (12, 7)).astype(np.float32)
    whole = with_one_level(values, kinds)
    assert whole[0, 0] == pytest.approx((values[0, 0] - 1.0) / 0.5 + 2.5)
    assert whole[5, 2] == pytest.approx((values[5, 2] - 3.0) / 1.5 + 2.5)
    np.testing.assert_array_equal(kinds.level(values[5:8], slice(5, 8)), whole[5:8])
    np.testing.assert_allclose(kinds.scaled(np.ones((12, 7), np.float32))[:2, :2], [[2, 1], [2 / 3, 1]])
