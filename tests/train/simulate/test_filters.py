"""Frames of colour sensors: a mosaic in front of the pixels, and stars of several colours."""

from dataclasses import replace

import numpy as np
import pytest

from rbinfer.io.exposure import as_exposure
from rbinfer.measure.colours import Pattern
from rbinfer.measure.psf import measure_psf
from rbtrain.simulate import draw_frame
from rbtrain.simulate.filters import WARMTHS, Filters, draw_filters, draw_warmths

from .conftest import plain_stars


def test_a_square_has_two_green_filters_on_a_diagonal():
    passed = Filters(0.5, 0.8, False, False).passed((5, 4))
    assert passed.shape == (5, 4)
    np.testing.assert_allclose(passed[:2, :2] * 0.825, [[0.5, 1.0], [1.0, 0.8]], rtol=1e-6)
    np.testing.assert_array_equal(passed[2:4, 2:4], passed[:2, :2])
    assert passed[:4, :4].mean() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("flipped", "mirrored", "square"),
    [
        (True, False, [[1.0, 0.8], [0.5, 1.0]]),
        (False, True, [[1.0, 0.5], [0.8, 1.0]]),
        (True, True, [[0.8, 1.0], [1.0, 0.5]]),
    ],
)
def test_squares_begin_with_any_filter(flipped, mirrored, square):
    passed = Filters(0.5, 0.8, flipped, mirrored).passed((2, 2))
    np.testing.assert_allclose(passed * 0.825, square, rtol=1e-6)


def test_red_light_passes_the_red_filter_better_and_the_blue_one_worse():
    filters = Filters(0.5, 0.8, False, False)
    red, most, blue = (filters.passed((2, 2), warmth) for warmth in (0.3, 0.0, -0.3))
    assert red[0, 0] / red[0, 1] == pytest.approx(np.exp(0.3) * most[0, 0] / most[0, 1], rel=1e-5)
    assert red[1, 1] / red[0, 1] == pytest.approx(np.exp(-0.3) * most[1, 1] / most[0, 1], rel=1e-5)
    assert blue[1, 1] > most[1, 1] > red[1, 1]


def test_all_squares_and_colours_are_drawn():
    rng = np.random.default_rng(2)
    drawn = [draw_filters(plain_stars(filters_pass=(0.4, 0.9)).detector, rng) for _ in range(80)]
    assert len({(each.flipped, each.mirrored) for each in drawn}) == 4
    assert all(0.4 <= share <= 0.9 for each in drawn for share in (each.red, each.blue))
    warmths = draw_warmths(rng, 400)
    assert [np.mean(warmths == warmth) for warmth in WARMTHS] == pytest.approx(
        [0.25, 0.5, 0.25], abs=0.08
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_frame_behind_filters_shows_them_and_its_stars_are_measured(seed):
    config = plain_stars(filters=1.0, filters_pass=(0.5, 0.7), sky_subtracted=0.0, dead_edge=0.0)
    sky = replace(config.sky, level=(2000.0, 4000.0), flattened=0.0, patches=0.0)
    field = replace(config.field, crowding=(1e-2, 1e-2))
    frame = draw_frame(replace(config, sky=sky, field=field), np.random.default_rng(seed))
    pattern = Pattern.of(as_exposure(frame.image))
    assert pattern is not None
    assert pattern.is_of_colours
    levels = [np.median((frame.image - frame.sky)[i::2, j::2]) for i, j in np.ndindex(2, 2)]
    assert np.ptp(levels) < 0.2 * np.median(frame.noise)  # the sky knows of them
    assert measure_psf(frame.image).fwhm == pytest.approx(frame.fwhm, rel=0.12)
