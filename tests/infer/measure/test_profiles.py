"""Fits of many Gaussians at once against slow ones, one at a time and in double precision."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbinfer.measure.profiles import FWHM_PER_SIGMA, erf, fit_ellipses, fit_round

from .frames import ellipse, fine_stamp, gaussian_stamp, slow_fit

SIDE = 11


@pytest.mark.parametrize("fwhm", [0.8, 1.2, 2.0, 3.2])
def test_fits_are_those_of_a_slow_fit(fwhm):
    rng = np.random.default_rng(int(100 * fwhm))
    places = rng.uniform(-0.5, 0.5, (12, 2))
    stamps = np.stack([gaussian_stamp(SIDE, x, y, fwhm, 3000.0) + 5.0 for x, y in places])
    stamps = (stamps + rng.normal(0, 4.0, stamps.shape)).astype(np.float32)
    offsets = np.arange(SIDE) - SIDE // 2
    weights = np.broadcast_to(np.hypot(offsets[:, None], offsets) <= 4.3, stamps.shape).astype(
        np.float32
    )
    fits = fit_round(stamps, weights, np.full(12, 0.9))
    for k in range(12):
        (flux, x, y, log_sigma, sky), cost = slow_fit(
            stamps[k].astype(float), weights[k].astype(float), 0.9
        )
        assert FWHM_PER_SIGMA * fits.sigma[k] == pytest.approx(
            FWHM_PER_SIGMA * math.exp(log_sigma), rel=2e-3
        )
        assert (fits.x[k], fits.y[k]) == pytest.approx((x, y), abs=2e-3)
        assert fits.flux[k] == pytest.approx(flux, rel=2e-3)
        assert fits.sky[k] == pytest.approx(sky, abs=0.05)
        # The shape takes off a little more than the round fit.
        assert 0.8 * cost < fits.residual[k] <= 1.001 * cost


def test_errors_are_those_that_noise_makes():
    rng = np.random.default_rng(3)
    stamps = gaussian_stamp(SIDE, 0.2, -0.3, 2.0, 300.0) + rng.normal(0, 1, (600, SIDE, SIDE))
    fits = fit_round(stamps.astype(np.float32), np.ones(stamps.shape, np.float32), np.full(600, 0.8))
    assert np.log(fits.sigma).std() == pytest.approx(np.median(fits.error), rel=0.12)
    assert fits.shape.std(axis=0) == pytest.approx(np.median(fits.shape_error), rel=0.12)
    assert (fits.residual / fits.freedom).mean() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(("ratio", "angle"), [(0.9, 0.0), (0.8, 1.2), (0.85, -0.7)])
def test_shape_of_what_is_nearly_round(ratio, angle):
    stamp = fine_stamp(ellipse(2.5, ratio, angle), SIDE, 0.2, 0.1)[None].astype(np.float32)
    for fits in (
        fit_round(stamp, np.ones_like(stamp), np.array([1.0])),
        fit_ellipses(stamp, np.ones_like(stamp), np.array([1.0]), np.zeros((1, 2))),
    ):
        size, turn = np.hypot(*fits.shape[0]), 0.5 * math.atan2(fits.shape[0, 1], fits.shape[0, 0])
        assert size == pytest.approx(-0.5 * math.log(ratio), rel=0.12)
        assert math.cos(2 * (turn - angle)) > 0.995
        assert FWHM_PER_SIGMA * fits.sigma[0] == pytest.approx(2.5, rel=0.02)


@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_long_ellipses(ratio):
    stamps = np.stack(
        [fine_stamp(ellipse(3.0, ratio, angle), 15, 0.1, -0.2) for angle in (0.0, 0.4, 1.0, 2.0)]
    ).astype(np.float32)
    start = np.array([[0.2, 0.0], [0.2, 0.1], [-0.1, 0.2], [-0.1, -0.2]])
    fits = fit_ellipses(stamps, np.ones_like(stamps), np.full(4, 1.3), start)
    assert FWHM_PER_SIGMA * fits.sigma == pytest.approx(3.0, rel=0.02)
    assert np.hypot(*fits.shape.T) == pytest.approx(-0.5 * math.log(ratio), rel=0.03)


def test_pixels_without_weight_do_not_matter():
    stamp = gaussian_stamp(SIDE, 0.1, 0.2, 2.0, 1000.0)[None].astype(np.float32)
    weights = np.ones_like(stamp)
    weights[0, :, 8:] = 0.0
    spoilt = stamp.copy()
    spoilt[0, :, 8:] = 1e4
    fits = fit_round(spoilt, weights, np.array([0.8]))
    assert FWHM_PER_SIGMA * fits.sigma[0] == pytest.approx(2.0, rel=1e-3)


def test_no_stamps_are_no_fits():
    nothing = np.zeros((0, SIDE, SIDE), np.float32)
    assert len(fit_round(nothing, nothing, np.zeros(0)).flux) == 0
    assert len(fit_ellipses(nothing, nothing, np.zeros(0), np.zeros((0, 2))).flux) == 0


@given(st.floats(-6, 6))
def test_erf(x):
    assert erf(np.array([x]))[0] == pytest.approx(math.erf(x), abs=2e-7)
