import numpy as np
import pytest

from rbinfer import measure_psf
from rbinfer.io.exposure import Width
from rbinfer.measure.single import fit_star, own_shape

from .frames import add, ellipse, fine_stamp, gaussian_stamp, star_frame


def window(stamp, noise=1.0, sky=100.0, seed=1):
    image = np.random.default_rng(seed).normal(sky, noise, stamp.shape)
    return image + stamp


@pytest.mark.parametrize("fwhm", [1.2, 3.0, 5.5])
def test_own_width_is_that_of_the_gaussian_whatever_the_frames_stars(fwhm):
    image = window(2000.0 * gaussian_stamp(61, 0.3, -0.2, fwhm) / gaussian_stamp(61, 0, 0, fwhm).max())
    found = own_shape(image, 30, 30, 3.0)
    assert found.fwhm == pytest.approx(fwhm, rel=0.03)
    assert found.ratio == pytest.approx(1.0, abs=0.05)


def test_elongation_is_told():
    stamp = 3000.0 * fine_stamp(ellipse(4.0, 0.5, 0.6), 61, 0.1, 0.2)
    found = own_shape(window(stamp), 30, 30, 3.0)
    assert found.ratio == pytest.approx(2.0, rel=0.1)
    assert found.fwhm == pytest.approx(4.0, rel=0.05)


def test_nothing_that_stands_out_has_no_shape():
    assert own_shape(np.full((21, 21), np.nan), 10, 10, 3.0) is None
    hole = window(-500.0 * gaussian_stamp(41, 0, 0, 3.0))
    assert own_shape(hole, 20, 20, 3.0) is None or own_shape(hole, 20, 20, 3.0).fwhm < 11.0


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
