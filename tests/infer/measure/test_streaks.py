"""Streaks are fitted as a whole, from places and sizes that are only about right."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest

from rbinfer.measure.candidates import Candidates, Pyramid
from rbinfer.measure.layers import Layer
from rbinfer.measure.psf import measure_psf
from rbinfer.measure.streaks import fit_streaks

from .frames import NOISE, SKY, add, ellipse, fine_stamp, star_frame


@pytest.mark.parametrize(
    ("fwhm", "ratio", "angle"), [(5.0, 0.12, 0.4), (3.0, 0.3, -1.2), (9.0, 0.25, 1.5), (6.0, 0.08, 0.0)]
)
def test_places_widths_and_fluxes_of_whole_streaks(fwhm, ratio, angle):
    rng = np.random.default_rng(2)
    image = rng.normal(SKY, NOISE, (400, 400))
    x, y = np.meshgrid([70.3, 200.8, 330.1], [110.6, 290.2])
    x, y = x.ravel(), y.ravel()
    flux = 4e5 * rng.uniform(0.5, 1, 6)
    side = 2 * math.ceil(1.6 * fwhm / math.sqrt(ratio)) + 5
    for one in range(6):
        column, row = round(x[one]), round(y[one])
        stamp = fine_stamp(ellipse(fwhm, ratio, angle), side, x[one] - column, y[one] - row, over=5)
        add(image, flux[one] * stamp / stamp.sum(), row, column)
    ones, size = np.ones(6), -0.5 * math.log(ratio)
    about = Candidates(
        x=x + 2 * math.cos(angle), y=y + 2 * math.sin(angle), phase=np.zeros((6, 2)),
        factor=np.ones(6, np.int64), log_fwhm=math.log(0.75 * fwhm) * ones, error=0.1 * ones,
        shape=np.tile(0.8 * size * np.array([math.cos(2 * angle), math.sin(2 * angle)]), (6, 1)),
        shape_error=0.1 * ones, snr=flux, excess=0 * ones, flux=ones, sky=SKY * ones,
    )  # fmt: skip
    found = fit_streaks(Pyramid.of(Layer(image.astype(np.float32)), None), about)
    order = np.argsort(-flux)
    np.testing.assert_allclose(np.exp(found.log_fwhm), fwhm, rtol=0.05)
    np.testing.assert_allclose(np.hypot(*found.shape.T), size, rtol=0.06)
    away = np.hypot(found.x - x[order], found.y - y[order])
    assert np.median(away) < 0.3
    np.testing.assert_allclose(found.flux, flux[order], rtol=0.08)
    np.testing.assert_allclose(found.sky, SKY, atol=NOISE)
    again = fit_streaks(Pyramid.of(Layer(image.astype(np.float32)), None), replace(about))
    np.testing.assert_array_equal(found.log_fwhm, again.log_fwhm)
    # One that has nothing above its sky is left out, and takes the others nowhere.
    low = replace(about, sky=np.where(np.arange(6) == 2, SKY + 1e7, SKY))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rest = fit_streaks(Pyramid.of(Layer(image.astype(np.float32)), None), low)
    assert len(rest.x) == 5
    np.testing.assert_allclose(np.exp(rest.log_fwhm), fwhm, rtol=0.05)


@pytest.mark.parametrize("ratio", [0.25, 0.15, 0.1])
def test_frames_of_long_streaks(ratio):
    image = star_frame(np.random.default_rng(16), 50, profile=ellipse(5.0, ratio, 0.7), size=600)
    found = measure_psf(image)
    assert found.fwhm == pytest.approx(5.0, rel=0.06)
    assert math.cos(2 * (found.theta - 0.7)) > 0.99
    assert found.n_stars >= 5
