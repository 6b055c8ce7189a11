"""The frame's own star on the grid of the cutouts."""

import numpy as np
import pytest

from rbinfer import PreprocessSpec
from rbinfer.cutouts.star import star_on_grid

SPEC = PreprocessSpec.default()


def gaussian(fwhm: float, size: int = 31) -> np.ndarray:
    offsets = np.arange(size) - size // 2
    profile = np.exp(-4 * np.log(2) * (offsets / fwhm) ** 2)
    return np.outer(profile, profile).astype("f4")


@pytest.mark.parametrize("fwhm", [0.8, 3.0, 12.0])
def test_a_star_has_the_width_that_cutouts_aim_at(fwhm):
    found = star_on_grid(gaussian(3.0), fwhm / 3.0, SPEC, fwhm)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, gaussian(SPEC.target_fwhm), atol=0.03)


def test_a_frame_cut_with_another_width_shows_its_star_so():
    # Stars of 4 pixels in a frame that is cut for 6 are narrower than what cutouts aim at.
    found = star_on_grid(gaussian(3.0), 4.0 / 3.0, SPEC, 6.0)
    np.testing.assert_allclose(found, gaussian(SPEC.target_fwhm * 4 / 6), atol=0.04)
    assert found[15, 15] == 1


def test_an_elongated_star_stays_as_it_lies():
    rows, columns = np.mgrid[:31, :31] - 15
    stamp = np.exp(-((columns / 3.0) ** 2) - (rows / 1.5) ** 2).astype("f4")
    found = star_on_grid(stamp, 1.0, SPEC, 3.0)
    scale = SPEC.target_fwhm / 3.0
    expected = np.exp(-((columns / 3.0 / scale) ** 2) - (rows / 1.5 / scale) ** 2)
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_beyond_the_stamp_there_is_nothing():
    found = star_on_grid(np.ones((31, 31), "f4"), 1.0, SPEC, 12.0)  # three pixels of the stamp each
    assert found[15, 15] == 1
    assert (found[:9] == 0).all()
    assert (found[:, -9:] == 0).all()
