"""A mosaic of colour filters shows in the levels of the sky, and nothing else looks like one."""

import numpy as np
import pytest

from rbinfer.io.exposure import as_exposure
from rbinfer.io.planes import levelled
from rbinfer.measure.colours import shows_mosaic

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
    assert shows_mosaic(exposure)
    assert not shows_mosaic(as_exposure(levelled(exposure.pixels, None)))


def test_bad_pixels_do_not_hide_it():
    pixels = behind((100, 200, 200, 150))
    pixels[:100] = np.nan
    assert shows_mosaic(as_exposure(pixels, mask=X < 100))


@pytest.mark.parametrize(
    "pixels",
    [
        behind((100, 100, 100, 100)),
        behind((100, 101, 101, 100.5)),  # a tenth of the noise
        behind((100, 150, 100, 150)),  # two amplifiers read the columns in turn
        behind((100, 100, 150, 150)),
        behind((100, 150, 170, 220)),  # rows and columns
        behind((500, 500, 500, 500)) + 3.0 * X + 2.0 * Y,
        behind((500, 500, 500, 500)) + 400 * np.exp(-((X - 150) ** 2 + (Y - 90) ** 2) / 2 / 30**2),
        NOISE + np.where(RNG.random(Y.shape) < 0.05, 4000, 100),  # a dark with hot pixels
        np.rint(NOISE / 10) + 100,
        np.full(Y.shape, 100.0),
        np.full(Y.shape, np.nan),
        NOISE[:1, :50],
    ],
)
def test_other_images_are_not_taken_for_one(pixels):
    assert not shows_mosaic(as_exposure(pixels))


@pytest.mark.parametrize("side", [4, 8, 16, 32])
def test_noise_of_small_images_shows_no_mosaic(side):
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(100, 5, (side, side)).astype(np.float32)
        assert not shows_mosaic(as_exposure(noise))
