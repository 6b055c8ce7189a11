"""What is no image of the sky is told; real skies, darks and crowded fields are not doubted."""

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.io.exposure import Exposure, as_exposure
from rbinfer.measure import plausible
from rbinfer.measure.plausible import implausible

Y, X = np.mgrid[:101, :101]
PSF = np.exp(-((X - 50) ** 2 + (Y - 50) ** 2) / 2 / 4.0**2)
RNG = np.random.default_rng(0)
LONG_Y, LONG_X = np.mgrid[:200, :300]
ROUND = np.exp(-((LONG_X - 150) ** 2 + (LONG_Y - 90) ** 2) / 2 / 1.5**2)
NOISE = RNG.normal(100, 5, (200, 300))


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (RNG.random((200, 200)) < 0.01, "two values, 0 and 1; is it a mask"),
        (np.where(RNG.random((200, 200)) < 0.5, 4096, 0), "two values, 0 and 4096"),
        (PSF / PSF.sum(), "model of a PSF"),
        (PSF + RNG.normal(0, 1e-4, PSF.shape), "model of a PSF"),
        (RNG.normal(100, 5, (4, 2048)), "2048 x 4 pixels; is it a spectrum"),
        (np.where(PSF[:, :60] > 0.01, 100 * PSF[:, :60], 0), "no noise"),
        (1000 + 0.1 * LONG_X + 800 * ROUND, "smooth from pixel to pixel"),
        (50 + 3 * np.sin(LONG_X / 30), "smooth from pixel to pixel"),
        (NOISE + 300 * np.exp(-((LONG_Y - 80 - 0.01 * LONG_X) ** 2) / 8), "band crosses it"),
        (NOISE.T + 300 * np.exp(-((LONG_X.T - 80) ** 2) / 8), "is it a spectrum"),
    ],
)
def test_what_is_no_image_of_the_sky(pixels, word):
    assert word in implausible(as_exposure(pixels))


def test_the_header_of_a_spectrum():
    header = fits.Header({"CTYPE1": "WAVE-LOG"})
    pixels = RNG.normal(100, 5, (200, 200)).astype(np.float32)
    assert "is it a spectrum" in implausible(Exposure(pixels, header=header))


@pytest.mark.parametrize(
    "pixels",
    [
        RNG.normal(100, 5, (200, 200)),
        np.rint(RNG.normal(100, 0.8, (200, 200))),
        np.where(RNG.random((200, 200)) < 0.01, 4000, RNG.normal(300, 4, (200, 200))),
        RNG.normal(0, 1, PSF.shape) + 50 * PSF,
        np.ones((50, 50)),
        RNG.normal(100, 5, (30, 400)),
        NOISE + 0.5 * LONG_X + 400 * ROUND,
        NOISE + 500 * (LONG_Y == 80) + 500 * (LONG_X == 77),  # a bad row and a bad column
        NOISE + 500 * (np.abs(LONG_Y - 0.3 * LONG_X - 40) < 2),  # a trail
        NOISE + 400 * np.exp(-((LONG_X - 150) ** 2 + (LONG_Y - 90) ** 2) / 2 / 30**2),  # a galaxy
        NOISE + 100 * (LONG_Y > 100),  # two amplifiers
    ],
)
def test_skies_and_darks_are_not_doubted(pixels):
    assert implausible(as_exposure(pixels)) == ""


@pytest.mark.parametrize("height", [0.0, 30.0, 90.0, 500.0])
def test_a_band_is_where_medians_stand_out(height):
    part = np.float32(np.random.default_rng(1).normal(100.0, 5.0, (300, 16)))
    part[150:153] += height
    levels = np.median(part, axis=1)
    around = np.median([np.roll(levels, 20), np.roll(levels, -20), levels], axis=0)
    bright = (levels - around > 10.0 * 5.0)[20:-20]
    wanted = (bright[2:] & bright[1:-1] & bright[:-2]).any()
    assert plausible._has_band(part, 5.0) == wanted == (height > 70.0)
