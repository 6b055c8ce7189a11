"""Sky, maxima, and what is done to a frame before."""

from dataclasses import fields

import numpy as np
import pytest

from rbinfer.io.exposure import as_exposure
from rbinfer.measure import layers, maxima
from rbinfer.measure.candidates import Pyramid
from rbinfer.measure.clean import cleaned
from rbinfer.measure.layers import Layer
from rbinfer.measure.lines import is_close, line_through_most, needed_on_line
from rbinfer.measure.maxima import RADIUS, find_maxima, measure_sky, spread
from rbinfer.measure.nodata import with_no_data

from .frames import NOISE, SKY, add, add_hot_pixels, gaussian_stamp, star_frame


def test_sky_and_noise_in_a_field_of_stars():
    image = star_frame(np.random.default_rng(1), 200, 3.0)
    sky = measure_sky(Layer(image))
    assert np.median(sky.level) == pytest.approx(SKY, abs=1.0)
    assert np.median(sky.noise) == pytest.approx(NOISE, rel=0.1)


@pytest.mark.parametrize("noise", [0.25, 0.6])
def test_noise_below_one_unit_of_whole_numbers(noise):
    image = np.rint(np.random.default_rng(2).normal(40.2, noise, (256, 256))).astype(np.float32)
    # Rounding adds 1/12 to the variance.
    assert np.median(measure_sky(Layer(image)).noise) == pytest.approx(
        np.hypot(noise, 12**-0.5), rel=0.5
    )


def test_a_constant_area_tells_nothing():
    image = star_frame(np.random.default_rng(3), 50, 3.0)
    image[:, 200:] = 7.0
    sky = measure_sky(Layer(image))
    assert np.isnan(sky.level[:, -2:]).all()
    assert np.isfinite(sky.level[:, :2]).all()


def test_bright_stars_are_found_and_single_pixels_are_not():
    rng = np.random.default_rng(4)
    image = rng.normal(SKY, NOISE, (320, 320))
    places = [(40 + 60 * j, 50 + 60 * i) for j in range(4) for i in range(4)]
    for row, column in places:
        add(image, gaussian_stamp(21, 0.2, -0.1, 3.0, 80 * NOISE * 9), row, column)
    image = image.astype(np.float32)
    add_hot_pixels(rng, image, 100)
    found = find_maxima(Layer(image), measure_sky(Layer(image)), None)
    assert {(int(y), int(x)) for y, x in zip(found.y, found.x, strict=True)} >= set(places)
    assert len(found) < len(places) + 10
    stars = np.isin(found.y * 320 + found.x, [row * 320 + column for row, column in places])
    assert found.height[stars] == pytest.approx(720 * gaussian_stamp(21, 0.2, -0.1, 3.0).max(), rel=0.2)


@pytest.mark.parametrize("slope", [0.0, 3.0])
def test_bright_blocks_are_those_that_a_look_at_each_finds(slope):
    rng = np.random.default_rng(7)
    shape, sides = (13, 17), (61, 70)
    level, noise = rng.normal(SKY, 30.0, shape), rng.uniform(1.0, NOISE, shape)
    level[2, 3:5] = noise[2, 3:5] = noise[:, 9] = level[:, 9] = np.nan
    level += slope * 60 * np.arange(shape[0])[:, None]
    sky = maxima.Sky(level, noise, *sides)
    rows, columns = (n * side // 8 + 1 for n, side in zip(shape, sides, strict=True))
    y, x = np.mgrid[4 : 8 * rows : 8, 4 : 8 * columns : 8]
    here, spread_here = sky.at(y, x)
    tops = np.float32(np.nan_to_num(here, nan=SKY) + rng.normal(6.0, 4.0, y.shape) * NOISE)
    tops[5:7, 4], tops[9, 9] = -np.inf, np.inf
    with np.errstate(invalid="ignore"):
        excess = (tops - here) / spread_here
    for first in (0, 30):
        part = slice(first, rows)
        bright = excess[part] > 8.0
        found = maxima._bright_blocks(tops[part], first, sky)
        place = np.flatnonzero(bright) + first * columns
        wanted = place, *(each[part][bright] for each in (tops, here, excess))
        for one, other in zip(found, wanted, strict=True):
            assert np.array_equal(one, other)
        assert 100 < len(place) < bright.size


@pytest.mark.parametrize("bad", [0.0, 0.3])
def test_the_sky_of_cells_is_that_of_sorted_samples(bad):
    rng = np.random.default_rng(8)
    image = np.float32(rng.normal(SKY, NOISE, (190, 270)))
    image[rng.random(image.shape) < bad] = np.nan
    sky = measure_sky(Layer(image))
    for j, i in np.ndindex(sky.level.shape):
        cell = image[j * sky.height :, i * sky.width :][: sky.height, : sky.width]
        samples = np.sort(np.append(cell[::4, ::4], cell[3::4, 3::4]))
        samples = samples[np.isfinite(samples)]
        middle, low = (float(samples[int(q * len(samples))]) for q in (0.5, 0.16))
        assert sky.level[j, i] == middle
        assert sky.noise[j, i] == (middle - low) / 1.0056


def test_maxima_of_one_height_are_saturated():
    image = star_frame(np.random.default_rng(5), 80, 3.0)
    sky = measure_sky(Layer(image))
    level = float(np.quantile(find_maxima(Layer(image), sky, None).height, 0.7)) * NOISE + SKY
    clipped = np.minimum(image, np.float32(level))
    found = find_maxima(Layer(clipped), sky, None)
    assert len(found) > 10
    assert found.height.max() * NOISE + SKY < level
    assert len(find_maxima(Layer(image), sky, level)) == pytest.approx(len(found), abs=3)


def test_maxima_are_chosen_all_over_the_image():
    image = star_frame(np.random.default_rng(6), 600, 1.5, size=640)
    image[:320] += 20.0 * (image[:320] - np.float32(SKY))  # the brightest are all in one half
    found = find_maxima(Layer(image), measure_sky(Layer(image)), None)
    chosen = found[spread(found, image.shape, 100)]
    assert len(chosen) == len(np.unique(chosen.y * 640 + chosen.x)) == 100
    assert 30 < np.count_nonzero(chosen.y < 320) < 70
    assert chosen.y.min() >= RADIUS


@pytest.mark.parametrize("kept", [0, 100])
def test_a_half_is_the_mean_of_four(monkeypatch, kept):
    monkeypatch.setattr(layers, "_KEPT", kept)
    image = np.arange(35, dtype=np.float32).reshape(5, 7)
    half = Layer(image).halved()
    assert half.is_halved == (kept == 0)
    assert half.shape == (2, 3)
    assert half.rows(0, 2) == pytest.approx(image[:4, :6].reshape(2, 2, 3, 2).mean(axis=(1, 3)))
    image[0, 0] = np.nan
    assert np.isnan(Layer(image).halved().rows(0, 1)[0, 0])


def test_layers_are_the_same_kept_or_computed(monkeypatch):
    image = star_frame(np.random.default_rng(9), 60, 4.0, size=333)
    image[200, 100:105] = np.nan
    expected = Pyramid.of(Layer(image), None)
    monkeypatch.setattr(layers, "_KEPT", 1000)
    monkeypatch.setattr(layers, "_BAND", 5000)
    found = Pyramid.of(Layer(image), None)
    assert [layer.is_halved for layer in found.layers] == [False, True, False, True]
    assert not any(layer.is_halved for layer in expected.layers)
    y, x = np.mgrid[3:30:2, 5:25]
    for one, other in zip(found.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(one.rows(1, 40), other.rows(1, 40))
        np.testing.assert_array_equal(one.at(y, x), other.at(y, x))
    for one, other in zip(found.maxima, expected.maxima, strict=True):
        for field in fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_a_frame_that_needs_nothing_is_not_copied():
    image = star_frame(np.random.default_rng(7), 20, 3.0)
    layer = cleaned(image, np.zeros(image.shape, bool))
    assert layer.image is image


def test_bad_pixels_and_empty_areas():
    image = star_frame(np.random.default_rng(8), 20, 3.0)
    image[:100] = 0.0
    image[200, 200], image[201, 201] = -3e33, 3e33
    mask = np.zeros(image.shape, bool)
    mask[300:310] = True
    before = image.copy()
    exposure = with_no_data(as_exposure(image, mask=mask))
    bad = np.isnan(cleaned(exposure.pixels, exposure.mask).image)
    assert bad[:100].all()
    assert bad[300:310].all()
    assert bad[200, 200]
    assert bad[201, 201]
    assert bad.sum() == 100 * 400 + 10 * 400 + 2
    assert np.array_equal(image, before, equal_nan=True)


def test_sky_cut_off_at_zero_is_not_missing():
    image = np.maximum(star_frame(np.random.default_rng(9), 20, 3.0) - np.float32(SKY + 10 * NOISE), 0)
    exposure = with_no_data(as_exposure(image))
    assert np.isfinite(cleaned(exposure.pixels, exposure.mask).image).all()


def test_the_line_that_most_points_are_on():
    rng = np.random.default_rng(12)
    s = rng.uniform(0, 300, 9)
    x = np.concatenate([20 + 0.8 * s + rng.normal(0, 0.3, 9), rng.uniform(0, 300, 8)])
    y = np.concatenate([200 - 0.6 * s + rng.normal(0, 0.3, 9), rng.uniform(0, 300, 8)])
    line, n = line_through_most(x, y, 1.5)
    assert n >= 9 > needed_on_line(17)
    assert is_close(line, x, y, 1.5)[:9].all()
    # The direction is (0.8, -0.6), so the normal is (0.6, 0.8).
    assert abs(line[0] * 0.6 + line[1] * 0.8) > 0.99


@pytest.mark.parametrize(("n", "needed"), [(3, 3), (4, 4), (5, 4), (6, 4), (12, 6), (40, 19)])
def test_how_many_on_a_line_are_a_trail(n, needed):
    assert needed_on_line(n) == needed


def test_one_walk_tells_brightest_pixels_halves_and_bad_pixels(monkeypatch):
    rng = np.random.default_rng(10)
    image = rng.normal(SKY, NOISE, (45, 61)).astype(np.float32)
    assert Layer(image).is_good
    image[3, 5], image[8:16, 16:24], image[44, 60] = np.nan, np.nan, np.nan
    blocks = image[:40, :56].reshape(5, 8, 7, 8).transpose(0, 2, 1, 3).reshape(5, 7, 64)
    expected = np.where(np.isnan(blocks), -np.inf, blocks).max(axis=2)
    for band in (1 << 21, 900):
        monkeypatch.setattr(layers, "_BAND", band)
        layer = Layer(image)
        assert not layer.is_good
        assert np.array_equal(layer.tops, expected)
        assert layer.tops[1, 2] == -np.inf
        sums = image[:44:2, :60] + image[1:44:2, :60]
        half = np.float32(0.25) * (sums[:, ::2] + sums[:, 1::2])
        assert np.array_equal(layer.halved().image, half, equal_nan=True)
    image[:] = SKY
    image[44, 2] = np.inf
    assert not Layer(image).is_good
    image[44, 2] = 2e30
    assert not Layer(image).is_good
