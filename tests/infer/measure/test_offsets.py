"""Rows and columns with levels of their own are brought to one, bad ones and everything else stay."""

import numpy as np
import pytest

from rbinfer.io.exposure import as_exposure
from rbinfer.measure.even import evened, of_one_level
from rbinfer.measure.offsets import Offsets

Y, X = np.mgrid[:240, :301]
RNG = np.random.default_rng(3)
STARS = sum(
    peak * np.exp(-((X - cx) ** 2 + (Y - cy) ** 2) / 2 / 1.3**2)
    for peak, cx, cy in zip(10 ** RNG.uniform(2, 4, 80), *RNG.uniform(5, 235, (2, 80)), strict=True)
)
FIELD = RNG.normal(100, 5, Y.shape) + STARS
ROWS, COLUMNS = RNG.normal(0, 8, (240, 1)), RNG.normal(0, 8, (1, 301))
FOUR = np.array([0.0, 15.0, -10.0, 7.0])[X % 4]


@pytest.mark.parametrize("own", [ROWS, COLUMNS, ROWS + COLUMNS, FOUR])
def test_levels_of_lines_are_taken_off(own):
    found = of_one_level(as_exposure(FIELD + own))
    left = found.pixels - FIELD
    assert np.std(left - left.mean()) < 0.35 * np.std(own + 0 * FIELD)


@pytest.mark.parametrize(
    "pixels",
    [
        FIELD,
        FIELD + 0.2 * ROWS,  # a third of the noise
        FIELD + 3.0 * X + 2.0 * Y,
        FIELD + 3000 * np.exp(-np.hypot(X - 150, Y - 120) / 40),  # a galaxy
        FIELD + 40 * (X > 150),  # two amplifiers
        FIELD + 200 * (X % 50 == 7),  # bad columns
        np.full(Y.shape, 7.0),
        np.full(Y.shape, np.nan),
    ],
)
def test_nothing_else_is(pixels):
    assert Offsets.of(as_exposure(pixels)) is None


def test_a_bad_column_among_them_stays():
    offsets = Offsets.of(as_exposure(FIELD + COLUMNS + 300 * (X == 77)))
    assert offsets is not None
    assert offsets.columns[77] == 0


def test_bad_pixels_have_no_say():
    pixels = FIELD + ROWS
    pixels[100] = np.nan
    found = Offsets.of(as_exposure(np.where(X < 40, 1e6, pixels), mask=X < 40))
    good = np.arange(240) != 100
    assert found is not None
    assert np.corrcoef(found.rows[good], ROWS[good, 0])[0, 1] > 0.97


def test_saturated_pixels_stay_so():
    pixels = np.minimum(FIELD + ROWS, 3000).astype(np.float32)
    found = evened(as_exposure(pixels))
    assert (found.pixels[pixels == 3000] == 3000).all()
    assert (found.pixels[pixels < 3000] < 3000).all()
