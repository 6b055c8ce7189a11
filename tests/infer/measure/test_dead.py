"""Pixels that share a value far below the sky are bad; no other value is taken for such a one."""

import logging

import numpy as np
import pytest

from rbinfer.io.exposure import as_exposure
from rbinfer.measure.dead import dead_value
from rbinfer.measure.even import evened, of_one_level

RNG = np.random.default_rng(7)
SKY = RNG.normal(1000, 5, (200, 300))


def with_pixels(value, share, sky=SKY):
    """Give a share of the pixels a value."""
    return np.where(np.random.default_rng(3).random(sky.shape) < share, value, sky).astype(np.float32)


@pytest.mark.parametrize("value", [0.0, -999.0, -32768.0, 820.0])
@pytest.mark.parametrize("share", [5e-4, 0.02])
def test_they_are_left_out_and_told(value, share, caplog):
    pixels = with_pixels(value, share)
    with caplog.at_level(logging.WARNING):
        even = evened(as_exposure(pixels, mask=SKY > 1019))
    np.testing.assert_array_equal(even.mask, (pixels == np.float32(value)) | (SKY > 1019))
    np.testing.assert_array_equal(even.pixels, pixels)
    assert f"are exactly {value:g}, far below the sky" in caplog.text


def test_two_values_are_found():
    pixels = with_pixels(-999.0, 0.01, with_pixels(0.0, 0.01))
    even = evened(as_exposure(pixels))
    np.testing.assert_array_equal(even.mask, pixels <= 0)


def test_those_behind_colour_filters_are_found_before_the_levels_are_changed():
    rows, columns = np.indices(SKY.shape)
    pixels = with_pixels(0.0, 0.02, SKY * np.array([[0.6, 1.0], [1.0, 0.5]])[rows % 2, columns % 2])
    for even in (evened(as_exposure(pixels)), evened(of_one_level(as_exposure(pixels)))):
        np.testing.assert_array_equal(even.mask, pixels == 0)


@pytest.mark.parametrize(
    "pixels",
    [
        SKY,
        with_pixels(900.0, 0.02),  # 20 sigma
        np.where(
            RNG.random(SKY.shape) < 0.02, RNG.uniform(-500, 500, SKY.shape), SKY
        ),  # cold, not alike
        with_pixels(60000.0, 0.02),
        np.where(np.indices(SKY.shape)[1] % 2, np.rint(SKY), np.rint(SKY) - 500),  # two amplifiers
        np.where(np.indices(SKY.shape)[1] < 60, np.rint(SKY) - 900, SKY),  # a dark fifth of the frame
        np.rint(SKY / 50),  # no noise left
        np.rint(
            (SKY - 3 * np.minimum(np.indices(SKY.shape)[1], 150)) / 8
        ),  # a dark side, in coarse steps
        RNG.poisson(0.2, SKY.shape),
        np.maximum(SKY, 1000),
        np.full(SKY.shape, 3.0),
        np.full(SKY.shape, np.nan),
    ],
)
def test_other_frames_have_none(pixels):
    assert evened(as_exposure(pixels)).mask is None or not evened(as_exposure(pixels)).mask.any()


def test_a_single_pixel_is_not_enough():
    sky = 40 * [5.0, 6.0, 7.0]
    assert dead_value(np.array([*sky, -900], np.float32), 1.0) is None
    assert dead_value(np.array([*sky, -900, -900, -900], np.float32), 1.0) == -900
    assert dead_value(np.array([*sky, -900, -900, -900], np.float32), 0.0) is None
    assert dead_value(np.array([*sky, *20 * [-900]], np.float32), 1.0) is None
    assert dead_value(np.array([np.nan], np.float32), 1.0) is None
