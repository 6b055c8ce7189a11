"""Images with a finer grid than their detector, whose hits agree as stars do."""

import numpy as np
import pytest
from scipy import ndimage

from rbinfer.measure.grain import narrowest_star
from rbinfer.measure.psf import measure_psf

from .frames import NOISE, SKY, star_frame


def finer(image, side, order=1, shift=0.3):
    """Interpolate to pixels of that side, along both axes."""
    places = np.arange(shift, image.shape[0] - 2, side), np.arange(shift, image.shape[1] - 2, side)
    grid = np.meshgrid(*places, indexing="ij")
    return ndimage.map_coordinates(image, grid, order=order).astype(np.float32)


def sky(rng, size=300):
    return rng.normal(SKY, NOISE, (size, size))


def with_hits(rng, image, n):
    """Add single pixels, and pairs of them."""
    image = image.copy()
    y, x = rng.integers(5, np.array(image.shape) - 5, (n, 2)).T
    height = NOISE * rng.uniform(20, 300, n)
    np.add.at(image, (y, x), height)
    pairs = slice(0, n // 3)
    np.add.at(image, (y[pairs], x[pairs] + 1), height[pairs])
    return image


@pytest.mark.parametrize("side", [0.5, 0.6])
@pytest.mark.parametrize("order", [1, 3])
def test_it_is_that_of_hits(side, order):
    """Whatever interpolates: nearly all fits of single pixels are narrower, and not by much."""
    rng = np.random.default_rng(31)
    image = sky(rng)
    y, x = rng.integers(5, 295, (2, 60))
    image[y, x] += 200 * NOISE
    image = finer(image, side, order)
    limit = narrowest_star(image)
    flux = ndimage.maximum_filter(image, 9) == image
    tops = np.argwhere(flux & (image > SKY + 60 * NOISE))
    widths = []
    for row, column in tops:
        cut = image[row - 4 : row + 5, column - 4 : column + 5] - SKY
        if cut.shape == (9, 9):  # half the peak along the rows and columns, between pixels
            for line in (cut[4], cut[:, 4]):
                right, left = (
                    np.interp(-0.5 * line[4], -part[:4], range(4)) for part in (line[4:], line[4::-1])
                )
                widths.append(right + left)
    assert len(widths) > 40
    assert np.median(widths) < limit < 1.9 * np.median(widths)


@pytest.mark.parametrize(
    "image",
    [
        sky(np.random.default_rng(1)),
        np.rint(sky(np.random.default_rng(2)) / 4),
        np.full((300, 300), 7.0),
        sky(np.random.default_rng(3), size=40),
        star_frame(np.random.default_rng(4), 9000, 2.6, size=600),
        star_frame(np.random.default_rng(5), 20000, 1.4, size=600),
        with_hits(np.random.default_rng(6), sky(np.random.default_rng(6)), 2000),
        finer(sky(np.random.default_rng(7)), 1.0, shift=0.1),
    ],
    ids=["noise", "rounded", "flat", "small", "crowded", "crowded, narrow", "hits", "aligned"],
)
def test_on_the_grid_of_the_detector_it_is_0(image):
    assert narrowest_star(image.astype(np.float32)) == 0.0


def test_bad_pixels_are_passed_over():
    rng = np.random.default_rng(8)
    image = finer(sky(rng), 0.5)
    limit = narrowest_star(image)
    image[:, 100:140] = np.nan
    assert narrowest_star(image) == pytest.approx(limit, rel=0.05)
    image[:] = np.nan
    assert narrowest_star(image) == 0.0


def test_hits_of_a_dark_are_no_stars():
    rng = np.random.default_rng(9)
    dark = with_hits(rng, sky(rng), 250)
    for side in (0.5, 0.6):
        found = measure_psf(finer(dark, side))
        assert found.fwhm is None
        assert "the image is interpolated" in found.reason


@pytest.mark.parametrize("n_hits", [0, 100, 250])
def test_stars_are_found_among_them(n_hits):
    rng = np.random.default_rng(10)
    image = with_hits(rng, star_frame(rng, 60, 2.5, size=300), n_hits)
    assert measure_psf(finer(image, 0.5)).fwhm == pytest.approx(2 * 2.5, rel=0.15)
