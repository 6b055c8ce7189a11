"""Areas without data are found, and nothing that the sky itself may be is taken for one."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer import Classifier, Status
from rbinfer.io.exposure import as_exposure
from rbinfer.measure import nodata
from rbinfer.measure.nodata import lies_in_no_data, no_data_areas, with_no_data

SHAPE = (400, 400)
Y, X = np.mgrid[:400, :400]


def sky(level=1000.0, noise=10.0, seed=0):
    return np.random.default_rng(seed).normal(level, noise, SHAPE)


def filled(image, where, value):
    image = image.copy()
    image[where] = value
    return image.astype(np.float32)


CORNER = (X * 0.9 + Y * 0.3) < 120
DISC = np.hypot(X - 200, Y - 200) > 190
GAP = np.abs(X - 200) < 4
HALF = Y < 130


@pytest.mark.parametrize(
    ("image", "where", "value"),
    [
        (sky(), HALF, 0),
        (sky(0, 10), HALF, 0),
        (sky(), HALF, -32768),
        (sky(), HALF, 65535),
        (sky(), CORNER, 0),
        (sky(), DISC, -999),
        (sky(), GAP, -1),
        (np.rint(sky(100, 2)), CORNER, 0),
        (np.rint(sky(0, 2)), HALF, 0),
        (sky(), HALF, 1003.25),
    ],
)
def test_a_large_area_of_one_value_is_found(image, where, value):
    areas = no_data_areas(filled(image, where, value))
    assert list(areas) == [value]
    found = areas[value]
    assert found[where].mean() > 0.99
    assert found[~where].mean() < 0.003


@pytest.mark.parametrize("extreme", [1e7, -1e7, 1e10, 1e20])
def test_one_extreme_pixel_does_not_hide_it(extreme):
    image = filled(sky(0, 1), HALF, 0)
    image[300, 17] = extreme
    assert list(no_data_areas(image)) == [0]


def test_two_fillings():
    image = filled(filled(sky(), CORNER, 0), (X * 0.3 - Y * 0.9) > 30, -999)
    assert sorted(no_data_areas(image)) == [-999, 0]


def stars(noise=0.0, width=1.5, peak=1000.0, ceiling=np.inf):
    rng = np.random.default_rng(4)
    image = rng.normal(0, noise, SHAPE) if noise else np.zeros(SHAPE)
    for cx, cy in rng.uniform(20, 380, (40, 2)):
        image += peak * np.exp(-((X - cx) ** 2 + (Y - cy) ** 2) / 2 / width**2)
    return np.minimum(image, ceiling)


HONEST = {
    **{f"sky of 0 in whole numbers, noise {s}": np.rint(sky(0, s)) for s in (0.05, 0.2, 0.5, 1, 3)},
    **{f"sky clipped at 0, mean {m}": np.clip(sky(m, 1), 0, None) for m in (-2, -1, 0, 1)},
    **{f"the same in whole numbers, mean {m}": np.rint(np.clip(sky(m, 1), 0, None)) for m in (-2, 0, 1)},
    "clipped where the sky is low": np.clip(sky(0, 1) + (X - 150) / 20, 0, None),
    "the same in whole numbers": np.rint(np.clip(sky(0, 3) + (X - 150) / 5, 0, None)),
    "saturated stars": stars(10, 8, 1e6, 65535),
    "a saturated nebula": stars(10, 90, 3e5, 65535),
    "a bias of 0": np.where(np.random.default_rng(1).random(SHAPE) < 0.001, 4000, 0),
    "one bit": np.random.default_rng(1).random(SHAPE) < 0.01,
    "one bit in squares": (X // 50 + Y // 50) % 2,
    "a constant": np.full(SHAPE, 7.0),
    "a model": stars(),
    "a model in whole numbers": np.rint(stars()),
    "plain sky": sky(),
}


@pytest.mark.parametrize("name", HONEST)
def test_a_value_of_the_sky_is_none(name):
    assert no_data_areas(HONEST[name].astype(np.float32)) == {}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    mean=st.floats(-3, 3),
    noise=st.floats(0.1, 5),
    whole=st.booleans(),
    clipped=st.booleans(),
)
def test_no_sky_is_taken_for_an_area(seed, mean, noise, whole, clipped):
    image = sky(mean, noise, seed)
    image = np.clip(image, 0, None) if clipped else image
    image = np.rint(image) if whole else image
    assert no_data_areas(image.astype(np.float32)) == {}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("has_mask", [False, True])
def test_all_ways_to_look_find_the_same(monkeypatch, whole, has_mask):
    image = filled(sky(0, 2), HALF, -7)
    image = (np.rint(image) if whole else image).astype(np.float32)
    mask = np.random.default_rng(3).random(SHAPE) < 0.01 if has_mask else None
    found = []
    for few in (0, 1):  # all pixels together, or one by one
        for in_cache in (1, 5000, 1 << 30):
            monkeypatch.setattr(nodata, "_FEW", few)
            monkeypatch.setattr(nodata, "_IN_CACHE", in_cache)
            found.append(no_data_areas(image, mask))
    assert list(found[0]) == [-7.0]
    assert found[0][-7.0].sum() > 0.3 * image.size
    for other in found[1:]:
        assert list(other) == [-7.0]
        np.testing.assert_array_equal(other[-7.0], found[0][-7.0])


def test_an_area_on_an_image_narrower_than_what_lies_beside_it():
    image = np.random.default_rng(0).normal(100, 3, (294, 18)).astype(np.float32)
    image[:100] = 0
    assert list(no_data_areas(image)) == []  # what is left is taken for islands in a model's sky


def test_positions_in_an_area_and_in_nothing_but_nan():
    image = filled(sky(), HALF, 0)
    image[300:340, 300:340] = np.nan
    image[200, 200] = np.nan  # one bad pixel is no area
    exposure = with_no_data(as_exposure(image))
    assert with_no_data(exposure) is exposure
    x = np.array([50.0, 320.0, 200.0, 200.0, np.nan, -5.0, 50.0])
    y = np.array([50.0, 320.0, 200.0, 129.4, 50.0, 50.0, 130.4])
    assert lies_in_no_data(exposure, x, y).tolist() == [True, True, False, False, False, False, False]


def test_rows_there_have_no_score_and_say_why(caplog):
    x, y = np.array([50.0, 200.0]), np.array([50.0, 250.0])
    image = sky()
    image += 500 * np.exp(-((X - 200) ** 2 + (Y - 250) ** 2) / 2 / 1.3**2)
    scores = Classifier(device="cpu").score(filled(image, HALF, 0), x, y, fwhm=3.0)
    assert scores.status[0] & Status.NO_DATA
    assert np.isnan(scores.score[0])
    assert scores.status[1] == 0
    assert scores.score[1] > 0.9
    assert "32.5 % of the pixels are exactly 0 and hold no data; they are left out" in caplog.text


def test_a_million_positions_are_looked_up_in_little_memory():
    exposure = with_no_data(as_exposure(filled(sky(), HALF, 0)))
    x, y = np.random.default_rng(2).uniform(0, 399, (2, 1_000_000))
    tracemalloc.start()
    empty = lies_in_no_data(exposure, x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
    np.testing.assert_array_equal(empty[::9], lies_in_no_data(exposure, x[::9], y[::9]))
    assert 0.30 < empty.mean() < 0.34


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_the_rows_that_are_looked_at_together_do_not_matter(seed, together):
    rng = np.random.default_rng(seed)
    ny, nx = (int(n) for n in rng.integers(30, 160, 2))
    image = rng.normal(100, 4, (ny, nx)).astype(np.float32)
    if rng.random() < 0.4:
        image = np.rint(image / 4).astype(np.float32)  # a sky of few integers
    value = np.float32(rng.choice([0.0, 25.0, float(image.max())]))
    for _ in range(int(rng.integers(1, 4))):
        y, x = int(rng.integers(0, ny)), int(rng.integers(0, nx))
        image[y : y + int(rng.integers(3, 60)), x : x + int(rng.integers(3, 60))] = value
    slope = rng.uniform(-1, 1)
    if rng.random() < 0.5:  # an edge that runs aslant
        image[np.arange(nx) * slope + np.arange(ny)[:, None] < ny / 4] = value
    mask = rng.random((ny, nx)) < 0.02 if rng.random() < 0.5 else None
    at_once = nodata.no_data_areas(image, mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nodata, "_IN_MEMORY", together * nx)
        by_rows = nodata.no_data_areas(image, mask)
    assert list(by_rows) == list(at_once)
    for area, whole in zip(by_rows.values(), at_once.values(), strict=True):
        np.testing.assert_array_equal(area, whole)


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.7, 2.0, 20.0, 1e4])
@pytest.mark.parametrize("shape", [(5, 3), (5, 5), (8, 200), (40, 1000)])
def test_values_of_runs_are_those_that_all_pixels_of_a_run_have(shape, noise):
    rng = np.random.default_rng(9)
    rows = np.rint(rng.normal(100.0, noise, shape)).astype(np.float32)
    rows[rng.random(shape) < 0.01] = np.nan
    for mask in (None, rng.random(shape) < 0.2):
        wanted = [
            row[k]
            for j, row in enumerate(rows)
            for k in range(shape[1] - 4)
            if (row[k : k + 5] == row[k]).all() and (mask is None or not mask[j, k])
        ]
        assert nodata._values_of_runs(rows, mask).tolist() == wanted


def test_an_area_behind_a_rim_of_bad_pixels_takes_little_memory():
    image = np.random.default_rng(5).normal(100, 5, (3000, 3000)).astype(np.float32)
    image[:700] = 0.0
    image[700:704] = np.nan
    tracemalloc.start()
    try:
        found = no_data_areas(image)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(found) == [0.0]
    assert np.count_nonzero(found[0.0]) == 700 * 3000
    assert most < 6 * image.size  # the old way took 15 bytes a pixel
