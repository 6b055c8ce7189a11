"""What the width may be where little agrees: on images, and on fits and groups that are made up."""

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from rbinfer import measure_psf
from rbinfer.measure.agreement import largest_group
from rbinfer.measure.likely import likely_width

from .test_agreement import candidates

SIDE = 64
SMALL, LARGE = (SIDE, SIDE), (512, 512)
Y, X = np.mgrid[:SIDE, :SIDE]
PLACES = [(20.3, 31.6), (44.8, 14.1), (41.2, 47.7)]


def image(fwhm, n, height=3000.0):
    """Return a small frame of n stars."""
    pixels = np.random.default_rng(3).normal(200.0, 6.0, (SIDE, SIDE))
    for x, y in PLACES[:n]:
        pixels += height * np.exp(-4 * np.log(2) * ((X - x) ** 2 + (Y - y) ** 2) / fwhm**2)
    return pixels


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("fwhm", [3.0, 5.0])
def test_one_star_or_two_of_a_small_frame_show_its_width(n, fwhm):
    found = measure_psf(image(fwhm, n))
    assert found.fwhm is None
    assert found.likely_fwhm == pytest.approx(fwhm, rel=0.06)
    assert "fewer than three agree" in found.reason


def test_hits_show_none():
    pixels = image(3.0, 0)
    pixels[[12, 30, 47], [40, 11, 52]] += 3000.0
    pixels[20, 20:27] += 1500.0
    assert measure_psf(pixels).likely_fwhm is None


def test_a_track_is_not_round():
    across, along = (X - 30.2 + Y - 33.4) / np.sqrt(2), (X - 30.2 - Y + 33.4) / np.sqrt(2)
    found = {}
    for ratio in (1.0, 2.2):
        spot = 3000.0 * np.exp(-4 * np.log(2) * ((across / 2.4) ** 2 + (along / (2.4 * ratio)) ** 2))
        found[ratio] = measure_psf(image(3.0, 0) + spot)
    assert found[1.0].likely_fwhm == pytest.approx(2.4, rel=0.1)
    assert (found[2.2].n_fitted, found[2.2].likely_fwhm) == (1, None)


def test_a_hit_that_was_smoothed_is_no_star():
    pixels = image(3.0, 0)
    pixels[30, 33] += 1e5
    smooth = measure_psf(gaussian_filter(pixels, 1.2))
    assert (smooth.n_fitted, smooth.likely_fwhm) == (1, None)


def test_pieces_of_a_trail_do_not_count():
    pixels = np.random.default_rng(3).normal(200.0, 6.0, (160, 160))
    y, x = np.mgrid[:160, :160]
    for k in range(14):
        pixels += 3000.0 * np.exp(
            -4 * np.log(2) * ((x - 12 - 10.3 * k) ** 2 + (y - 20 - 8.1 * k) ** 2) / 9.0
        )
    found = measure_psf(pixels)
    assert (found.fwhm, found.likely_fwhm) == (None, None)


def one(**changes):
    """Return one fit, of which nothing speaks against a star but the changes."""
    star = replace(candidates(0.0, 1, 3.0), log_fwhm=np.log([3.0]), snr=np.array([30.0]))
    return replace(star, **changes)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, 3.0),
        ({"log_fwhm": np.log([11.9])}, 11.9),
        ({"log_fwhm": np.log([12.1])}, None),
        ({"log_fwhm": np.log([2.1])}, None),
        ({"snr": np.array([19.0])}, None),
        ({"excess": np.array([0.05])}, None),
        ({"error": np.array([0.3])}, None),
        ({"shape": np.array([[0.2, 0.2]])}, 3.0),
        ({"shape": np.array([[0.22, 0.22]])}, None),
    ],
)
def test_one_maximum_is_no_hit_if_it_is_wide_bright_and_smooth(changes, wanted):
    found = likely_width(one(**changes), None, SMALL)
    assert found == (None if wanted is None else pytest.approx(wanted))


def test_galaxies_and_blends_are_wider_than_stars():
    several = replace(
        one(), **{f.name: np.repeat(getattr(one(), f.name), 3, axis=0) for f in fields(one())}
    )
    several = replace(several, log_fwhm=np.log([4.0, 3.1, 9.0]))
    assert likely_width(several, None, SMALL) == pytest.approx(3.1)


def test_hits_of_an_interpolated_image_are_as_wide_as_its_grid_is_fine():
    assert likely_width(one(), None, SMALL, wider_than=2.9) == pytest.approx(3.0)
    assert likely_width(one(), None, SMALL, wider_than=3.1) is None


def some(n_members, part, fwhm=1.3):
    """Return a group with such a part of the evidence that it takes."""
    group = largest_group(candidates(0.0, 12, fwhm))
    return replace(group, members=group.members[:n_members], evidence=part * group.needed)


@pytest.mark.parametrize(("n_members", "wanted"), [(2, 3.0), (3, None)])
def test_where_three_agree_on_too_little_a_single_one_says_nothing(n_members, wanted):
    found = likely_width(one(), some(n_members, 0.05), SMALL)
    assert found == (None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize(
    ("fwhm", "n_members", "part", "shape", "faint", "wanted"),
    [
        (3.0, 2, 0.16, LARGE, False, True),
        (3.0, 2, 0.14, LARGE, False, False),
        (1.85, 3, 0.16, LARGE, False, True),
        (1.75, 3, 0.16, LARGE, False, False),
        (1.3, 2, 0.90, SMALL, False, False),  # two hits are alike by chance
        (1.3, 3, 0.11, (200, 200), False, True),
        (1.3, 3, 0.09, (200, 200), False, False),
        (1.3, 3, 0.11, (200, 201), False, False),
        (1.3, 3, 0.61, LARGE, False, True),
        (1.3, 3, 0.59, LARGE, False, False),
        (1.3, 3, 0.26, LARGE, True, True),
        (1.3, 3, 0.24, LARGE, True, False),
    ],
)
def test_how_much_must_agree(fwhm, n_members, part, shape, faint, wanted):
    group = some(n_members, part, fwhm)
    faint_one = one(snr=np.array([10.0]))
    assert likely_width(faint_one, group, shape, faint) == (group.fwhm if wanted else None)
