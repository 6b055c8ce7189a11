"""Bad pixels within a star: it is scored as its good pixels are."""

import numpy as np
import pytest

from rbinfer import PreprocessSpec, Status
from rbinfer.cutouts.cutter import Cutter
from rbinfer.io.exposure import as_exposure


def spoiled(image, kind):
    """Return it with NaN in single pixels, a grid, or rows."""
    pixels = image.copy()
    if kind == "rows":
        pixels[4::10] = np.nan
    elif kind == "grid":
        pixels[2::4, 1::4] = np.nan
    else:
        pixels[np.random.default_rng(2).random(image.shape) < kind] = np.nan
    return pixels


@pytest.mark.parametrize("kind", [0.03, 0.1, "rows", "grid"])
def test_stars_with_bad_pixels_are_kept(classifier, scene, kind):
    image, table, fwhm = scene
    pixels = spoiled(image, kind)
    column, row = (np.rint(np.asarray(table[name])).astype(int) for name in ("x", "y"))
    whole = classifier.score(image, table["x"], table["y"], fwhm=fwhm)
    found = classifier.score(pixels, table["x"], table["y"], fwhm=fwhm)
    real = np.asarray(table["real"])
    # Where a hit of one pixel is bad, nothing is left of it.
    seen = np.isfinite(pixels[row, column])
    assert np.count_nonzero(real & ~seen) > 0 or kind == 0.03
    assert np.count_nonzero(found.score[real] < 0.5) <= np.count_nonzero(whole.score[real] < 0.5) + 1
    assert np.count_nonzero(found.score[~real & seen] > 0.5) == 0
    assert (found.status[real] & int(Status.PARTLY_MASKED) != 0).mean() > 0.9


def test_a_bad_pixel_on_a_slope_is_what_it_was():
    y, x = np.indices((64, 64))
    image = (500 + 3.0 * x - 2.0 * y + np.random.default_rng(0).normal(0, 1e-3, x.shape)).astype("f4")
    pixels = image.copy()
    pixels[32, 33] = np.nan
    place = np.array([32.0])
    whole, found = (
        Cutter.prepare(as_exposure(each, fwhm=3.0), PreprocessSpec.default()).cut(place, place)
        for each in (image, pixels)
    )
    np.testing.assert_allclose(found.core, whole.core, atol=1e-3)
    np.testing.assert_allclose(found.pixels, whole.pixels, atol=1e-3)


def test_a_block_of_bad_pixels_is_not_made_up():
    image = np.random.default_rng(1).normal(500, 5, (64, 64)).astype(np.float32)
    image[30:35, 30:35] += 300
    pixels = image.copy()
    pixels[31:34, 31:34] = np.nan
    place = np.array([32.0])
    spec = PreprocessSpec.default()
    found = Cutter.prepare(as_exposure(pixels, fwhm=3.0), spec).cut(place, place)
    core = found.core[0, :25].reshape(5, 5)
    assert core[2, 2] == 0.0, "no good neighbour"
    assert core[1, 2] == 0.0, "four of twelve parts are good"
    assert core[1, 1] > 0.5, "at a corner, seven are"
