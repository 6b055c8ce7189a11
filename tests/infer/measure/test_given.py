"""A PSF that the caller gives is as wide as the frame's stars would be measured, and has their stamp."""

import math

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from rbinfer.errors import InputError
from rbinfer.measure.given import width_of_psf
from rbinfer.measure.psf import measure_psf

from .frames import SIGMA, ellipse, fine_stamp, gaussian_stamp, moffat, slow_fit, star_frame


@pytest.mark.parametrize("fwhm", [0.6, 1.0, 1.7, 3.0, 6.0, 12.0, 25.0])
@pytest.mark.parametrize("side", [41, 101])
def test_width_of_a_gaussian(fwhm, side):
    if fwhm * 2 > side:
        pytest.skip("the image ends within the star")
    # Narrow ones show their width in the middle of a pixel alone.
    place = (0.3, -0.2) if fwhm > 0.7 else (0.0, 0.0)
    found = width_of_psf(gaussian_stamp(side, *place, fwhm, flux=7e4))
    assert found.fwhm == pytest.approx(fwhm, rel=0.01)
    assert (found.source, found.is_trusted) == ("psf", True)
    assert found.ellipticity < 0.03


@pytest.mark.parametrize("fwhm", [2.5, 5.0])
def test_width_of_a_moffat_is_that_of_the_slow_fit(fwhm):
    stamp = fine_stamp(moffat(fwhm, 3.0), 61, 0.1, 0.2)
    found = width_of_psf(stamp)
    offsets = np.arange(-30, 31)
    weights = (np.hypot(offsets[:, None], offsets) <= 2.2 * found.fwhm).astype(float)
    slow, _ = slow_fit(stamp / stamp.max(), weights, fwhm / SIGMA)
    assert found.fwhm == pytest.approx(SIGMA * math.exp(slow[3]), rel=0.005)
    assert found.fwhm > 1.05 * fwhm


@pytest.mark.parametrize("ratio", [0.7, 0.4, 0.15])
def test_width_of_a_streak_is_that_of_equal_area(ratio):
    found = width_of_psf(fine_stamp(ellipse(6.0, ratio, 0.5), 81, 0.0, 0.0))
    assert found.fwhm == pytest.approx(6.0, rel=0.03)
    assert found.ellipticity == pytest.approx(1 - ratio, abs=0.07)
    assert found.theta == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("fwhm", "profile"), [(2.2, None), (4.0, None), (4.0, moffat(4.0, 3.0)), (9.0, None)]
)
def test_width_and_stamp_are_those_of_the_frames_stars(fwhm, profile):
    frame = star_frame(np.random.default_rng(3), 120, fwhm, profile=profile)
    measured = measure_psf(frame)
    psf = gaussian_stamp(101, 0, 0, fwhm) if profile is None else fine_stamp(profile, 101, 0, 0)
    given = width_of_psf(psf)
    assert given.fwhm == pytest.approx(measured.fwhm, rel=0.05)
    assert given.stamp.shape == measured.stamp.shape == (31, 31)
    assert given.stamp.dtype == np.float32
    assert given.stamp.max() == given.stamp[15, 15] == 1.0
    assert np.abs(given.stamp - measured.stamp).max() < 0.06


def test_stamp_of_a_gaussian_is_one_3_pixels_wide():
    stamp = width_of_psf(gaussian_stamp(151, 0.0, 0.0, 15.0)).stamp
    offsets = np.arange(-15, 16)
    wanted = np.exp(-4 * math.log(2) * (offsets[:, None] ** 2 + offsets**2) / 9.0)
    assert np.abs(stamp - wanted).max() < 0.02


def test_a_width_beside_it_wins_and_scales_the_stamp():
    psf = gaussian_stamp(61, 0.0, 0.0, 4.0)
    alone, wider = width_of_psf(psf), width_of_psf(psf, 8.0)
    assert (wider.fwhm, wider.source) == (8.0, "given")
    # At half the scale the star is half as wide: what was 2 pixels from the middle is 1 from it.
    assert wider.stamp[15, 16] == pytest.approx(alone.stamp[15, 17], abs=0.06)


def test_units_sky_and_place_do_not_matter():
    psf = gaussian_stamp(41, 0.0, 0.0, 3.4)
    plain = width_of_psf(psf)
    for other in (psf * 1e-9, psf * 3e6, psf + 0.02 * psf.max(), np.roll(psf, (2, -3), (0, 1))):
        assert width_of_psf(other).fwhm == pytest.approx(plain.fwhm, rel=0.005)
        assert np.abs(width_of_psf(other).stamp - plain.stamp).max() < 0.01


def test_a_donut_has_its_centre_in_its_hole():
    y, x = np.mgrid[-40:41, -40:41]
    donut = np.exp(-0.5 * ((np.hypot(x, y) - 9.0) / 2.5) ** 2)
    found = width_of_psf(donut)
    assert 15 < found.fwhm < 30
    assert found.stamp[15, 15] < 0.6
    assert np.abs(found.stamp - found.stamp[::-1, ::-1]).max() < 0.1


def test_files_and_objects_are_read(tmp_path):
    psf = gaussian_stamp(25, 0.0, 0.0, 2.8)
    fits.writeto(tmp_path / "psf.fits", psf.astype(">f4"))
    wanted = width_of_psf(psf).fwhm
    for each in (
        tmp_path / "psf.fits",
        str(tmp_path / "psf.fits"),
        CCDData(psf, unit="adu"),
        psf.tolist(),
    ):
        assert width_of_psf(each).fwhm == pytest.approx(wanted, rel=1e-5)


STAR = gaussian_stamp(25, 0.0, 0.0, 3.0)


@pytest.mark.parametrize(
    ("psf", "message"),
    [
        (np.stack([STAR, STAR]), r"2-D image, not 3-D; give one plane, such as psf\[0\]"),
        ("star", "does not exist"),
        ([["a"]], "2-D image of numbers, not list"),
        (np.ones((3, 3)), r"shape \(3, 3\); give an image of 5 x 5"),
        (np.zeros((15, 15)), "no maximum: all its pixels are 0"),
        (np.where(STAR.max() == STAR, np.nan, STAR), "1 of 625 pixels of the PSF are not finite"),
        (np.ma.masked_equal(STAR, STAR.max()), "1 of 625 pixels of the PSF are not finite or masked"),
        (CCDData(STAR, unit="adu", mask=STAR.max() == STAR), "1 of 625 pixels .* or masked"),
        (STAR + 0j, "the PSF must be real numbers, not complex"),
        (-STAR, "does not stand out"),
        (STAR + 9.0, "without sky"),
        (np.roll(STAR, 9, 0), r"9\.0 pixels from the middle of its image \(25 x 25 pixels\); centre it"),
        (gaussian_stamp(9, 0.0, 0.0, 14.0), "does not stand out"),
        (gaussian_stamp(9, 0.0, 0.0, 8.5), r"8\.5 pixels wide \(FWHM\), but its image only 9 x 9"),
    ],
)
def test_what_cannot_be_a_psf_is_refused(psf, message):
    with pytest.raises(InputError, match=message):
        width_of_psf(psf)
