"""What the width may be where little agrees: on images, and on fits and groups that are made up."""

from dataclasses import replace

import numpy as np
import pytest

from rbinfer import measure_psf
from rbinfer.measure.agreement import largest_group
from rbinfer.measure.likely import likely_width

from .test_agreement import candidates

SIDE = 64
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


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, 3.0),
        ({"log_fwhm": np.log([2.1])}, None),  # as wide as hits may be
        ({"snr": np.array([19.0])}, None),
        ({"excess": np.array([0.05])}, None),
        ({"error": np.array([0.3])}, None),
    ],
)
def test_one_maximum_is_no_hit_if_it_is_wide_bright_and_smooth(change, wanted):
    one = replace(candidates(0.0, 1, 3.0), log_fwhm=np.log([3.0]), snr=np.array([30.0]))
    found = likely_width(replace(one, **change), None, False)
    assert found == (None if wanted is None else pytest.approx(wanted))


def test_of_several_it_is_the_middle_one():
    widths = np.array([3.0, 4.0, 9.0])
    several = replace(candidates(0.0, 3), log_fwhm=np.log(widths), snr=np.full(3, 30.0))
    assert likely_width(several, None, False) == pytest.approx(4.0)


def test_hits_of_an_interpolated_image_are_as_wide_as_its_grid_is_fine():
    one = replace(candidates(0.0, 1, 3.0), log_fwhm=np.log([3.0]), snr=np.array([30.0]))
    assert likely_width(one, None, False, widest_hits=2.5) == pytest.approx(3.0)
    assert likely_width(one, None, False, widest_hits=2.7) is None


@pytest.mark.parametrize(
    ("fwhm", "n_members", "part", "n_fitted", "faint", "wanted"),
    [
        (3.0, 2, 0.16, 60, False, True),
        (3.0, 2, 0.14, 60, False, False),
        (1.3, 2, 0.90, 10, False, False),  # two hits are alike by chance
        (1.3, 3, 0.11, 39, False, True),
        (1.3, 3, 0.09, 39, False, False),
        (1.3, 3, 0.11, 40, False, False),
        (1.3, 3, 0.61, 40, False, True),
        (1.3, 3, 0.59, 40, False, False),
        (1.3, 3, 0.26, 40, True, True),
        (1.3, 3, 0.24, 40, True, False),
    ],
)
def test_how_much_must_agree(fwhm, n_members, part, n_fitted, faint, wanted):
    hits = replace(candidates(0.0, n_fitted, 1.0), snr=np.full(n_fitted, 10.0))
    group = largest_group(candidates(0.0, 12, fwhm))
    group = replace(group, members=group.members[:n_members], evidence=part * group.needed)
    assert likely_width(hits, group, faint) == (group.fwhm if wanted else None)
