"""The detector's kernels beside slow oracles, on many small images, within the bounds of arrays."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rbinfer.kernels import cleaning, deblend, mesh, numerics, runs, shapes
from rbinfer.kernels import constants as c
from rbinfer.measure import islands
from rbinfer.measure.islands import find_detections
from rbinfer.measure.runs import grouped
from rbinfer.measure.threads import Threads

EIGHT = np.ones((3, 3))
KERNEL = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16


def test_exponential_and_logarithm_are_those_of_numpy():
    x = np.linspace(-690, 0, 20_001)
    got = np.array([numerics.exponential(v) for v in x])
    np.testing.assert_allclose(got, np.exp(x), rtol=1e-15 * 3)
    y = np.logspace(-300, 300, 20_001)
    np.testing.assert_allclose([numerics.logarithm(v) for v in y], np.log(y), rtol=1e-15 * 3, atol=1e-15)


def flat_splines(level, noise):
    splines = np.zeros((2, 4, 1, 1))
    splines[0, 0], splines[1, 0] = level, noise
    return splines


def found_runs(image, mask, threshold, smooths, room=None):
    height, width = image.shape
    room = image.size + width if room is None else room
    found, pixels = np.empty((room, 3), np.int32), np.empty((3, room), np.float32)
    progress = np.zeros(3, np.int64)
    runs.find_runs(
        image, np.zeros((1, 1), bool) if mask is None else mask, mask is not None,
        flat_splines(10.0, 2.0), 64, 2.0, 0.2, threshold, smooths, 0, height,
        np.full((c.N_LINES, width + 2), np.nan, np.float32), found, pixels, progress,
    )  # fmt: skip
    row, n, m = progress
    return row, found[:n], pixels[:, :m]


@st.composite
def images(draw, largest=24):
    shape = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    image = rng.normal(10, 2, shape)
    image += draw(st.sampled_from([3, 30, 3000])) * (rng.random(shape) < draw(st.floats(0, 0.6)))
    image = ndimage.gaussian_filter(image, draw(st.sampled_from([0, 0.7, 2.0])))
    kind = draw(st.sampled_from(["plain", "masked", "not finite", "whole numbers"]))
    mask = rng.random(shape) < 0.2 if kind == "masked" else None
    if kind == "not finite":
        image[rng.random(shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf, 3e38])
    elif kind == "whole numbers":
        image = np.round(image)
    return image.astype(np.float32), mask


@settings(max_examples=300, deadline=None)
@given(images(), st.booleans())
def test_runs_are_those_of_a_slow_filter(scene, smooths):
    image, mask = scene
    bad = ~(np.abs(image) < c.LARGEST) | (False if mask is None else mask)
    data = np.where(bad, 0, image - np.float32(10)).astype(float)
    kernel = KERNEL if smooths else np.ones((1, 1))
    total = ndimage.correlate(data, kernel, mode="constant")
    spread = np.sqrt(ndimage.correlate((~bad).astype(float), kernel**2, mode="constant"))
    ratio = total / np.where(spread > 0, 2 * spread, np.inf)
    _, got, pixels = found_runs(image, mask, 1.5, smooths)
    above = np.zeros(image.shape, bool)
    for y, x, n in got:
        assert not above[y, max(x - 1, 0) : x + n + 1].any()  # runs of a row do not touch
        above[y, x : x + n] = True
    clear = np.abs(ratio - 1.5) > 1e-4
    np.testing.assert_array_equal(above[clear], (ratio > 1.5)[clear])
    np.testing.assert_allclose(pixels[0], data[above], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(pixels[1], total[above], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(pixels[2], 3.0, rtol=1e-6)
    assert len(got) == 0 or (np.diff(got[:, 0] * 1000 + got[:, 1]) > 0).all()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.05, 0.8), st.integers(1, 6))
def test_islands_are_those_of_scipy(seed, share, minarea):
    rng = np.random.default_rng(seed)
    above = rng.random(rng.integers(1, 40, 2)) < share
    edges = np.diff(np.pad(above, ((0, 0), (1, 1))).astype(int))
    y, first = np.nonzero(edges == 1)
    all_runs = np.column_stack([y, first, np.nonzero(edges == -1)[1] - first]).astype(np.int32)
    if len(all_runs) == 0:
        return
    got = grouped(all_runs, minarea)
    labels, _ = ndimage.label(above, EIGHT)
    wanted = [np.flatnonzero(labels == k) for k in range(1, labels.max() + 1)]
    wanted = sorted(tuple(w) for w in wanted if len(w) >= minarea)
    sets, begin = [], 0
    for k, end in enumerate(got.ends):
        pixels = []
        for r in got.order[begin:end]:
            row, x, n = all_runs[r]
            pixels.extend(row * above.shape[1] + x + np.arange(n))
        begin = end
        rows, columns = np.divmod(pixels, above.shape[1])
        box = len(pixels), rows.min(), rows.max(), columns.min(), columns.max()
        assert tuple(got.islands[k]) == box
        sets.append(tuple(sorted(pixels)))
    assert sorted(sets) == wanted


def test_a_full_array_tells_where_to_go_on():
    image = np.full((20, 30), 10, np.float32)
    image[5:15, 3:27] = 90
    row, got, pixels = found_runs(image, None, 1.5, True, room=150)
    assert 0 < row < 20
    assert got[:, 0].max() < row
    whole = found_runs(image, None, 1.5, True)
    np.testing.assert_array_equal(got, whole[1][: len(got)])
    np.testing.assert_array_equal(pixels, whole[2][:, : pixels.shape[1]])


def histogram_of(values, n_levels):
    counts, places = np.empty(c.MOST_LEVELS + 1, np.int32), np.empty(64, np.int32)
    below = np.empty((3, c.MOST_LEVELS // c.LEVELS_A_BLOCK), np.int64)
    cell = np.asarray(values, np.float32)
    mesh._count(cell, len(cell), 0.0, 1.0, n_levels, counts, places, below)
    return counts, below


def test_levels_are_counted_and_summed_up():
    rng = np.random.default_rng(2)
    for n_levels in (1, 63, 64, 65, 400, c.MOST_LEVELS):
        values = rng.integers(-20, n_levels + 20, 4000).astype(np.float32)
        values[::50] = np.nan
        counts, below = histogram_of(values, n_levels)
        inside = values[(values >= 0) & (values < n_levels)].astype(np.int64)
        np.testing.assert_array_equal(counts[:n_levels], np.bincount(inside, minlength=n_levels))
        for level in {0, 1, n_levels // 2, n_levels - 1, n_levels}:
            part = inside[inside < level]
            wanted = len(part), part.sum(), (part**2).sum()
            assert mesh._sums_below(counts, below, level) == wanted


def test_median_of_levels_is_that_of_the_values():
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = np.clip(rng.normal(200, rng.uniform(3, 40), 4000), 0, 399).astype(int)
        low, high = np.sort(rng.integers(0, 400, 2)) if rng.random() < 0.5 else (0, 399)
        inside = values[(values >= low) & (values <= high)]
        if len(inside) < 100:
            continue
        base = np.count_nonzero(values < low)
        got = mesh._median_level(*histogram_of(values, 400), low, high, base, len(inside), 400)
        assert got == pytest.approx(np.median(inside), abs=1.0)


def test_sums_of_a_cell_are_those_of_its_columns_in_turn():
    rng = np.random.default_rng(3)
    for h, w in ((64, 64), (1, 1), (3, 7), (13, 64), (64, 5)):
        cell = rng.normal(500, 30, (h, w)).astype(np.float32)
        cell[rng.random((h, w)) < 0.1] = np.nan
        kept = (cell >= 480) & (cell <= 530)
        columns = np.zeros((2, w))
        for row, is_kept in zip(cell.astype(np.float64), kept, strict=True):
            columns[0] += np.where(is_kept, row, 0.0)
            columns[1] += np.where(is_kept, row * row, 0.0)
        total = squares = 0.0
        for part, other in columns.T.tolist():
            total, squares = total + part, squares + other
        low, high = np.float32(480), np.float32(530)
        got = mesh._sums(cell.ravel(), h, w, low, high, np.empty((2, w)), np.empty(w, np.int32))
        assert got == (kept.sum(), total, squares)


def test_mesh_is_that_of_a_clipped_sky():
    rng = np.random.default_rng(1)
    image = rng.normal(500, 8, (64, 64)).astype(np.float32)
    image[rng.random(image.shape) < 0.05] += 300
    level, noise, highest = (np.empty((1, 1)) for _ in range(3))
    arrays = (
        np.empty(64 * 64, np.float32), np.empty((2, 64)), np.empty(c.MOST_LEVELS + 1, np.int32),
        np.empty(64, np.int32), np.empty((3, c.MOST_LEVELS // c.LEVELS_A_BLOCK), np.int64),
    )  # fmt: skip
    no_mask = np.zeros((1, 1), bool)
    mesh.measure_mesh(image, no_mask, False, 64, 0, 1, 0.5, 1, level, noise, highest, *arrays)
    assert level[0, 0] == pytest.approx(500, abs=0.6)
    assert noise[0, 0] == pytest.approx(8, rel=0.05)
    mask = np.ones(image.shape, bool)
    mask[:30] = False  # less than half of the pixels
    mesh.measure_mesh(image, mask, True, 64, 0, 1, 0.5, 1, level, noise, highest, *arrays)
    assert np.isnan(level[0, 0])


def test_shape_of_a_gaussian():
    y, x = np.mgrid[:41, :41]
    a, b, angle = 4.0, 2.5, 0.6
    u = (x - 20.3) * np.cos(angle) + (y - 19.6) * np.sin(angle)
    v = -(x - 20.3) * np.sin(angle) + (y - 19.6) * np.cos(angle)
    light = 1000 * np.exp(-0.5 * (u**2 / a**2 + v**2 / b**2))
    n = light.size
    numbers = np.array([x.ravel(), y.ravel(), np.arange(1, n + 1)], np.int32)
    values = np.array([light.ravel(), light.ravel(), np.full(n, 0.01)], np.float32)
    row = np.empty(c.N_COLUMNS)
    box = np.array([0, 0, 40, 40, 43, 100, 100])
    shapes.measure_chain(0, n, numbers, values, 0.01, 3, box, np.empty(3), row)
    shapes.finish_shape(row)
    assert row[[c.FIRST_X, c.FIRST_Y]] == pytest.approx([20.3, 19.6], abs=1e-3)
    peak_y, peak_x = np.unravel_index(light.argmax(), light.shape)
    assert row[[c.PEAK_X, c.PEAK_Y, c.N_PIXELS]].tolist() == [peak_x, peak_y, n]
    middle, root = (row[c.XX] + row[c.YY]) / 2, np.hypot((row[c.XX] - row[c.YY]) / 2, row[c.XY])
    assert np.sqrt([middle + root, middle - root]) == pytest.approx([a, b], rel=1e-2)
    assert np.arctan2(2 * row[c.XY], row[c.XX] - row[c.YY]) / 2 == pytest.approx(angle, abs=1e-3)
    assert row[c.FLUX] == pytest.approx(light.sum(), rel=1e-6)
    assert row[c.FLAGS] == c.TRUNCATED  # it reaches the first row of the image


def test_chances_are_even():
    chances = [deblend._chance(x, y, part) for x in range(40) for y in range(40) for part in range(5)]
    assert 0 < min(chances) < max(chances) < 1
    counts, _ = np.histogram(chances, 20, (0, 1))
    assert np.abs(counts - 400).max() < 5 * 20


def check_rows(rows, image):
    height, width = image.shape
    assert np.isfinite(rows).all()
    assert (rows[:, c.N_PIXELS] >= 1).all()
    assert ((rows[:, c.FIRST_X] > -0.51) & (rows[:, c.FIRST_X] < width - 0.49)).all()
    assert ((rows[:, c.FIRST_Y] > -0.51) & (rows[:, c.FIRST_Y] < height - 0.49)).all()
    assert (rows[:, c.XX] * rows[:, c.YY] > rows[:, c.XY] ** 2).all()
    assert ((rows[:, c.AREA_RATIO] > 0) & (rows[:, c.AREA_RATIO] <= 1)).all()


@settings(max_examples=400, deadline=None)
@given(
    images(48),
    st.floats(0.3, 8),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from([0.0, 1e-3, 0.1, 1.0]),
)
def test_detections_of_any_image_are_sound(scene, threshold, minarea, smooths, contrast):
    image, mask = scene
    rows = find_detections(image, mask, threshold, minarea, smooths, contrast, 1)
    check_rows(rows, image)
    again = find_detections(image, mask, threshold, minarea, smooths, contrast, 2)
    assert rows.tobytes() == again.tobytes()


@settings(max_examples=150, deadline=None)
@given(images(48), st.floats(0.5, 3), st.booleans())
def test_parts_share_out_all_pixels_of_their_islands(scene, threshold, smooths):
    image, mask = scene
    pool = Threads(1)
    sky = islands.measure_sky(image, mask, 64, pool)
    if sky is None:
        return
    found = islands._walk(image, mask, sky, threshold, smooths, 0, len(image), pool)
    if len(found.runs) == 0:
        return
    together = grouped(found.runs, 1)
    for contrast in (0.0, 0.005):
        rows = islands._measure(found, together, image.shape, 1, contrast, pool)
        assert rows[:, c.N_PIXELS].sum() == found.runs[:, 2].sum()
        assert rows[:, c.FLUX].sum() == pytest.approx(
            found.pixels[0].sum(dtype=float), rel=1e-5, abs=1e-2
        )
    whole = islands._measure(found, together, image.shape, 1, 1.0, pool)
    assert len(whole) == len(together.ends) <= len(rows)
    sizes, pixels = np.cumsum(together.islands[:, 0]), np.cumsum(rows[:, c.N_PIXELS])
    assert np.isin(sizes, pixels).all()  # parts of one island follow each other, and have all of it


BOUNDS = """
import numpy as np
from tests.infer.kernels.test_detection import check_rows
from rbinfer.measure.islands import find_detections
for seed in range({cases}):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 90, 2)
    image = rng.normal(10, 2, shape) + 200 * rng.pareto(1.5) * (rng.random(shape) < rng.random() ** 3)
    if seed % 4 == 1:  # peaks that do not touch, joined by faint pixels: as many as an island can have
        shape += 80
        image = rng.normal(10, 2, shape)
        image[40:43:2, ::2], image[41, 1::2] = 2000, 100
    if seed % 3 == 0:
        image[rng.random(shape) < 0.1] = np.nan
    mask = rng.random(shape) < 0.1 if seed % 5 == 0 else None
    minarea = 1 if seed % 4 == 1 else int(rng.integers(1, 12))
    how = rng.uniform(0.5, 6), minarea, bool(seed % 8 > 3), float(rng.choice([0, 0.005, 1]))
    check_rows(find_detections(image.astype(np.float32), mask, *how, 1), image)
print("sound")
"""


def test_nothing_is_read_or_written_beyond_an_array(bounds_checked):
    environment = os.environ | bounds_checked
    code = BOUNDS.format(cases=300)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "sound", done.stderr[-2000:]


def test_peaks_that_do_not_touch_are_detections_each():
    image = np.random.default_rng(0).normal(0, 1, (64, 128)).astype(np.float32)
    image[30:33:2, 20:100:2], image[31, 21:99:2] = 1000, 50
    sky, pool = islands.measure_sky(image, None, 64, Threads(1)), Threads(1)
    found = islands._walk(image, None, sky, 5.0, False, 0, len(image), pool)
    rows = islands._measure(found, grouped(found.runs, 1), image.shape, 1, 0.0, pool)
    assert len(rows) == 80
    assert rows[:, c.N_PIXELS].sum() == 80 + 39


@pytest.mark.parametrize("place", [(-1e9, 5), (1e9, 5), (5, -1e9), (5, 1e9), (1e300, -1e300)])
def test_neighbours_are_looked_for_on_the_grid_alone(place):
    rows = np.zeros((3, c.N_COLUMNS))
    rows[:, [c.N_PIXELS, c.SMOOTH_FLUX, c.THRESHOLD, c.XX, c.YY, c.AREA_RATIO]] = 5, 1, 1, 1, 1, 1
    rows[:, c.FIRST_X], rows[:, c.FIRST_Y] = [place[0], 20, 30], [place[1], 9, 40]
    pairs, totals = np.empty((0, 2), np.int64), np.zeros(1, np.int64)
    order, ends = np.arange(3), np.array([1, 2, 2, 3])
    cleaning.find_wings(rows, order, ends, 2, 4, 32, pairs, totals)
    assert totals[0] == 0


def smooths_below_zero(values):
    """Measure a row of pixels with these smoothed values, of which the second is the brightest."""
    n = len(values)
    numbers = np.array([np.arange(20, 20 + n), np.full(n, 7), np.arange(1, n + 1)], np.int32)
    pixels = np.ones((3, n), np.float32)
    pixels[0, 1], pixels[1] = 9, values
    row = np.zeros(c.N_COLUMNS)
    box = np.array([20, 7, 20 + n, 7, n + 2, 64, 64])
    shapes.measure_chain(0, n, numbers, pixels, 1.0, 1, box, np.empty(1), row)
    shapes.finish_shape(row)
    return row


def test_light_below_zero_weighs_nothing():
    row = smooths_below_zero([3.0, 1.0, -3.99])
    assert row[c.SMOOTH_FLUX] == 4
    assert (row[c.FIRST_X], row[c.FIRST_Y]) == (20.25, 7)
    np.testing.assert_allclose(row[[c.XX, c.YY, c.XY]], [0.1875 + 1 / 12, 1 / 12, 0], atol=1e-15)


def test_without_light_the_centre_is_the_brightest_pixel():
    row = smooths_below_zero([0.0, -1.0, -5.0])
    assert row[c.SMOOTH_FLUX] == 0
    assert (row[c.FIRST_X], row[c.FIRST_Y]) == (21, 7)
    np.testing.assert_allclose(row[[c.XX, c.YY, c.XY]], [1 / 12, 1 / 12, 0], atol=1e-15)
