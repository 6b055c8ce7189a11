import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rbinfer import measure_psf
from rbinfer.io.exposure import Width
from rbinfer.measure.single import fit_star, own_shape

from .frames import add, ellipse, fine_stamp, gaussian_stamp, star_frame


def window(stamp, noise=1.0, sky=100.0, seed=1):
    image = np.random.default_rng(seed).normal(sky, noise, stamp.shape)
    return image + stamp


@pytest.mark.parametrize("fwhm", [1.2, 3.0, 5.5])
def test_own_width_is_that_of_the_gaussian(fwhm):
    image = window(2000.0 * gaussian_stamp(61, 0.3, -0.2, fwhm) / gaussian_stamp(61, 0, 0, fwhm).max())
    found = own_shape(image, 30, 30)
    assert found.fwhm == pytest.approx(fwhm, rel=0.03)
    if fwhm < 1.5:
        assert np.isnan(found.ratio)
    else:
        assert found.ratio == pytest.approx(1.0, abs=0.05)


@example(0.5, 0.5, 0)  # equally bright in four pixels: 5 % too wide
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_narrow_star_between_two_pixels_is_never_called_long(dx, dy, seed):
    star = gaussian_stamp(41, dx, dy, 1.18)
    image = window(3000.0 * star / star.max(), 10.0, seed=seed)
    j, i = np.unravel_index(image.argmax(), image.shape)
    found = own_shape(image, int(i), int(j))
    assert np.isnan(found.ratio)
    assert found.fwhm == pytest.approx(1.18, rel=0.08)


@given(
    st.floats(2.0, 5.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5),
    st.integers(-1, 1), st.integers(-1, 1), st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_the_pixel_where_the_fit_starts_does_not_matter(fwhm, dx, dy, to_x, to_y, seed):
    star = gaussian_stamp(61, dx, dy, fwhm)
    image = window(1000.0 * star / star.max(), 5.0, seed=seed)
    here, beside = own_shape(image, 30, 30), own_shape(image, 30 + to_x, 30 + to_y)
    assert beside.fwhm == pytest.approx(here.fwhm, rel=0.03)
    assert beside.ratio == pytest.approx(here.ratio, rel=0.05)


def test_what_is_too_faint_has_no_width():
    noise = window(np.zeros((61, 61)), 10.0)
    wide = gaussian_stamp(61, 0, 0, 6.0)
    assert own_shape(noise + 10.0 * wide / wide.max(), 30, 30) is None
    assert own_shape(noise + 300.0 * wide / wide.max(), 30, 30).fwhm == pytest.approx(6.0, rel=0.1)


def test_a_slope_wider_than_the_window_is_fitted_within_it():
    slope = np.add.outer(np.arange(41.0), np.arange(41.0))
    found = own_shape(window(slope, 0.1), 20, 20)
    assert found is None or found.fwhm < 10 * 41
    assert own_shape(window(np.zeros((3, 3)), 0.0), 1, 1) is None


def test_elongation_is_told():
    stamp = 3000.0 * fine_stamp(ellipse(4.0, 0.5, 0.6), 61, 0.1, 0.2)
    found = own_shape(window(stamp), 30, 30)
    assert found.ratio == pytest.approx(2.0, rel=0.1)
    assert found.fwhm == pytest.approx(4.0, rel=0.05)


def test_nothing_that_stands_out_has_no_shape():
    assert own_shape(np.full((21, 21), np.nan), 10, 10) is None
    hole = window(-500.0 * gaussian_stamp(41, 0, 0, 3.0))
    assert own_shape(hole, 20, 20) is None or own_shape(hole, 20, 20).fwhm < 11.0


def test_star_of_the_frame_explains_a_star_and_no_hit():
    psf = measure_psf(star_frame(np.random.default_rng(3), 60, 3.0))
    width = Width(psf.fwhm, "measured", stamp=psf.stamp)
    star = window(1000.0 * gaussian_stamp(41, 0.4, -0.3, 3.0) / gaussian_stamp(41, 0, 0, 3.0).max(), 5.0)
    found = fit_star(star, 20, 20, width)
    assert found.unexplained < 0.07
    assert (found.x, found.y) == (pytest.approx(20.4, abs=0.1), pytest.approx(19.7, abs=0.1))
    assert found.sky == pytest.approx(100.0, abs=3.0)
    assert found.peak == pytest.approx(1000.0, rel=0.05)
    np.testing.assert_allclose(found.model, star, atol=60.0)
    hit = window(np.zeros((41, 41)), 5.0)
    hit[20, 20] += 1000.0
    assert fit_star(hit, 20, 20, width).unexplained > 0.7


def test_without_a_stamp_the_star_is_a_gaussian():
    star = np.zeros((41, 41))
    add(star, gaussian_stamp(31, 0.2, 0.1, 3.0, flux=20000.0), 20, 20)
    found = fit_star(star, 20, 20, Width(3.0, "assumed"))
    assert found.unexplained < 0.02
    assert found.peak == pytest.approx(star.max(), rel=0.05)
