"""Which pixels are a detection's, on images where that is known."""

import tracemalloc

import numpy as np
import pytest

from rbinfer.measure.footprints import _mark_segments, footprints

SHAPE = (80, 90)
NOISE = 5.0


def image(seed=1):
    return np.random.default_rng(seed).normal(100, NOISE, SHAPE).astype(np.float32)


def star(pixels, x, y, peak, fwhm=3.0):
    rows, columns = np.indices(SHAPE)
    r2 = (columns - x) ** 2 + (rows - y) ** 2
    pixels += (peak * np.exp(-r2 * 4 * np.log(2) / fwhm**2)).astype(np.float32)


def marked(pixels, *detections, mask=None):
    """Return the mask of detections (x, y, bit)."""
    x, y, bits = np.array(detections, float).T
    return footprints(pixels, mask, x, y, bits.astype(np.uint8))


def test_a_track_is_marked_from_end_to_end_and_little_else():
    pixels = image()
    track = np.zeros(SHAPE, bool)
    for k in range(15):
        track[30 + k // 2, 20 + k] = True
    pixels[track] += 40 * NOISE
    found = marked(pixels, (27, 33, 1))
    assert np.all(found[track] == 1)
    rim = (found > 0) & ~track
    assert rim.sum() < track.sum()
    assert np.all(pixels[rim] > 100 + NOISE)


def test_bits_of_several_detections_stand_side_by_side():
    pixels = image()
    pixels[10, 10] += 50 * NOISE
    pixels[40:60, 50] += 50 * NOISE
    found = marked(pixels, (10.3, 9.8, 1), (50, 50, 2), (70, 70, 0))
    assert found[10, 10] == 1
    assert np.all(found[40:60, 50] == 2)
    assert np.count_nonzero(found[65:, 65:]) == 0


def test_a_star_beside_a_hit_keeps_its_pixels():
    pixels = image()
    star(pixels, 40, 40, 60 * NOISE, fwhm=4)
    pixels[40, 44] += 120 * NOISE
    found = marked(pixels, (44, 40, 1), (40, 40, 0))
    assert found[40, 44] == 1
    assert found[40, 40] == found[41, 39] == 0


def test_what_is_faint_is_its_brightest_pixel_at_least():
    pixels = np.full(SHAPE, 100, np.float32)
    pixels[::2] += 2 * NOISE
    pixels[20, 21] += 1
    assert marked(pixels, (20, 20, 4))[20, 21] == 4


@pytest.mark.parametrize("position", [(np.nan, 3), (-0.6, 3), (3, SHAPE[0]), (1e9, -1e9)])
def test_positions_off_the_image_mark_nothing(position):
    assert not marked(image(), (*position, 1)).any()


def test_edges_constants_and_masks():
    pixels = image()
    pixels[0, 0] += 50 * NOISE
    assert marked(pixels, (-0.4, -0.4, 1))[0, 0] == 1
    assert not marked(np.ones(SHAPE, np.float32), (3, 3, 1)).any()
    pixels[30, 30:40] += 50 * NOISE
    bad = np.zeros(SHAPE, bool)
    bad[30, 34] = True
    found = marked(pixels, (31, 30, 1), mask=bad)
    assert found[30, 30:34].all()


def test_a_shared_set_goes_to_the_nearest_within_reach_in_little_memory():
    rng = np.random.default_rng(3)
    segments = np.zeros((400, 410), np.int32)
    segments[:, :200], segments[:, 210:] = 1, 2
    rows, columns = rng.integers(0, 400, 300), rng.integers(0, 410, 300)
    bits = rng.integers(0, 3, 300).astype(np.uint8)
    out = np.zeros(segments.shape, np.uint8)
    tracemalloc.start()
    _mark_segments(out, segments, rows, columns, bits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All pixels by all detections take 8 bytes * 80,000 * 150.
    assert peak < 10e6

    expected = np.zeros_like(out)
    for y, x in np.argwhere(segments):
        apart = (rows - y) ** 2 + (columns - x) ** 2
        apart = np.where(segments[rows, columns] == segments[y, x], apart, 10**6)
        if apart.min() <= 3**2:
            expected[y, x] = bits[np.argmin(apart)]
    np.testing.assert_array_equal(out, expected)
    assert np.unique(expected).tolist() == [0, 1, 2]
