"""Images with a finer grid than their detector, whose hits agree as stars do."""

import numpy as np
import pytest
from scipy import ndimage

from rbinfer.measure.candidates import Pyramid, measure_round
from rbinfer.measure.clean import cleaned
from rbinfer.measure.grain import _skew, grain_of
from rbinfer.measure.psf import measure_psf

from .frames import NOISE, SKY, gaussian_stamp, star_frame


def finer(image, side, order=1, shift=0.3):
    """Interpolate to pixels of that side, along both axes."""
    places = np.arange(shift, image.shape[0] - 2, side), np.arange(shift, image.shape[1] - 2, side)
    grid = np.meshgrid(*places, indexing="ij")
    return ndimage.map_coordinates(image, grid, order=order).astype(np.float32)


def fwhm_much_finer(image):
    """Return how wide a single pixel is on a grid much finer than the detector's; else None."""
    found = grain_of(image)
    is_known = found is not None and found.is_much_finer and found.shows_single_pixels
    return found.single if is_known else None


def sky(seed, size=300):
    return np.random.default_rng(seed).normal(SKY, NOISE, (size, size))


def with_hits(rng, image, n, share_of_pairs=0.33):
    """Add single pixels, and pairs of them."""
    image = image.copy()
    y, x = rng.integers(5, np.array(image.shape) - 5, (n, 2)).T
    height = NOISE * rng.uniform(20, 300, n)
    np.add.at(image, (y, x), height)
    pairs = slice(0, round(share_of_pairs * n))
    np.add.at(image, (y[pairs], x[pairs] + 1), height[pairs])
    return image


@pytest.mark.parametrize("side", [0.5, 0.6])
@pytest.mark.parametrize("order", [1, 3])
def test_it_is_that_of_fits_to_single_pixels(side, order):
    rng = np.random.default_rng(31)
    image = sky(31)
    y, x = rng.integers(5, 295, (2, 60))
    image[y, x] += NOISE * rng.uniform(50, 300, 60)
    image = finer(image, side, order)
    fits = measure_round(Pyramid.of(cleaned(image, None), None))
    assert len(fits) > 30
    assert fwhm_much_finer(image) == pytest.approx(np.exp(np.median(fits.log_fwhm)), rel=0.12)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: sky(1),
        lambda: np.rint(sky(2) / 4),
        lambda: np.full((300, 300), 7.0),
        lambda: sky(3, size=40),
        lambda: star_frame(np.random.default_rng(4), 9000, 2.6, size=600),
        lambda: star_frame(np.random.default_rng(5), 20000, 1.4, size=600),
        lambda: with_hits(np.random.default_rng(6), sky(6), 2000),
        lambda: finer(sky(7), 0.7),
        lambda: finer(sky(7), 1.0, shift=0.1),
        lambda: finer(sky(8), 1.0, shift=0.5),
        lambda: finer(sky(8), 1.0, order=3, shift=0.5),
        lambda: finer(star_frame(np.random.default_rng(9), 250, 3.0, size=300), 1.0, shift=0.5),
        lambda: np.full((300, 300), np.nan),
    ],
    ids=[
        "noise",
        "rounded",
        "flat",
        "small",
        "crowded",
        "crowded, narrow",
        "hits",
        "hardly finer",
        "shifted by a tenth",
        "shifted by half",
        "shifted by half, cubic",
        "stars, shifted by half",
        "no data",
    ],
)
def test_on_the_grid_of_the_detector_it_is_not_known(draw):
    assert fwhm_much_finer(draw().astype(np.float32)) is None


def test_where_stars_crowd_it_is_not_known():
    """On a finer grid, too: neighbours are alike because of stars."""
    image = finer(star_frame(np.random.default_rng(11), 9000, 1.4, size=400), 0.5)
    assert fwhm_much_finer(image) is None


def test_slopes_do_not_count():
    image = finer(sky(12), 0.5)
    plain = fwhm_much_finer(image)
    y, x = np.indices(image.shape, np.float32)
    assert fwhm_much_finer(image + np.float32(0.5) * y - np.float32(0.8) * x) == pytest.approx(
        plain, rel=0.05
    )


@pytest.mark.parametrize("turn", [np.asarray, np.transpose])
def test_bad_pixels_are_passed_over(turn):
    """Margins, as of a warped image, and single ones."""
    rng = np.random.default_rng(8)
    image = finer(sky(13, size=502), 0.5)
    whole = fwhm_much_finer(image)
    assert whole == pytest.approx(2.0, rel=0.15)
    image[:, :40] = image[:, -40:] = np.nan
    assert fwhm_much_finer(turn(image)) == pytest.approx(whole, rel=0.05)
    image[rng.random(image.shape) < 0.01] = np.nan
    assert fwhm_much_finer(turn(image)) == pytest.approx(whole, rel=0.05)


def test_it_does_not_depend_on_how_an_image_is_turned():
    image = finer(sky(14), 0.55, order=3)
    widths = [fwhm_much_finer(np.ascontiguousarray(np.rot90(image, k))) for k in range(4)]
    assert widths == pytest.approx([widths[0]] * 4, rel=0.03)


@pytest.mark.parametrize("side", [0.5, 0.6])
def test_hits_of_a_dark_are_no_stars(side):
    """Nor is what is left of them above their width."""
    rng = np.random.default_rng(9)
    found = measure_psf(finer(with_hits(rng, sky(9), 250), side))
    assert found.fwhm is None
    assert "the image is interpolated" in found.reason


@pytest.mark.parametrize("n_hits", [0, 100, 250])
def test_stars_are_found_among_them(n_hits):
    rng = np.random.default_rng(10)
    image = with_hits(rng, star_frame(rng, 60, 2.5, size=300), n_hits)
    assert measure_psf(finer(image, 0.5)).fwhm == pytest.approx(2 * 2.5, rel=0.15)


@pytest.mark.parametrize("fwhm", [1.4, 2.5])
def test_stars_well_above_the_width_of_hits_are_stars(fwhm):
    image = finer(star_frame(np.random.default_rng(16), 80, fwhm, size=300), 0.5)
    assert fwhm_much_finer(image) == pytest.approx(2.0, rel=0.15)
    # What interpolation adds: about a pixel of the detector.
    assert measure_psf(image).fwhm == pytest.approx(2 * np.hypot(fwhm, 1.1), rel=0.1)


@pytest.mark.parametrize("sigma", [0.85, 1.5])
def test_stars_sharper_than_the_noise_are_stars(sigma):
    """As where the noise alone was smoothed: then a hit is not as wide as the noise reaches."""
    rng = np.random.default_rng(15)
    image = ndimage.gaussian_filter(rng.normal(0, 1, (400, 400)), sigma)
    image *= NOISE / image.std()
    for row, column in rng.integers(8, 392, (60, 2)):
        image[row - 6 : row + 7, column - 6 : column + 7] += gaussian_stamp(
            13, *rng.uniform(-0.5, 0.5, 2), 1.4, flux=NOISE * rng.uniform(50, 500)
        )
    image = image.astype(np.float32)
    assert fwhm_much_finer(image) > 1.4
    assert measure_psf(image).fwhm == pytest.approx(1.4, rel=0.1)


@pytest.mark.parametrize(("side", "shift", "order"), [(0.7, 0.3, 1), (0.7, 0.3, 3), (1.0, 0.5, 1)])
def test_hits_on_a_grid_that_is_hardly_finer_are_no_stars(side, shift, order):
    image = finer(with_hits(np.random.default_rng(17), sky(17), 250, 0.1), side, order, shift)
    grain = grain_of(image)
    assert grain.shows_single_pixels
    assert not grain.is_much_finer
    assert grain.single == pytest.approx(
        {(0.7, 1): 1.5, (0.7, 3): 1.3, (1.0, 1): 1.47}[side, order], rel=0.1
    )
    found = measure_psf(image)
    assert (found.fwhm, found.likely_fwhm) == (None, None)


@pytest.mark.parametrize("fwhm", [2.2, 3.0])
def test_stars_on_a_grid_that_is_hardly_finer_are_found_among_hits(fwhm):
    rng = np.random.default_rng(18)
    image = finer(with_hits(rng, star_frame(rng, 60, fwhm, size=300), 150, 0.1), 0.7)
    assert not grain_of(image).is_much_finer
    assert measure_psf(image).fwhm == pytest.approx(np.hypot(fwhm, 1.1) / 0.7, rel=0.1)


def test_where_there_is_no_interpolation_nothing_is_known():
    rng = np.random.default_rng(19)
    for image in (sky(19), with_hits(rng, sky(19), 2000), np.full((300, 300), 7.0)):
        grain = grain_of(image.astype(np.float32))
        assert grain is None or not (grain.shows_single_pixels or grain.shows_faint_stars)


@pytest.mark.parametrize("image", [sky(20), finer(sky(20), 1.0, shift=0.5)], ids=["plain", "shifted"])
def test_the_faint_stars_of_a_field_hide_it(image):
    """Where pixels are further above the median than below, neighbours may be alike because of stars."""
    rng = np.random.default_rng(20)
    y, x = rng.integers(0, np.array(image.shape), (12_000, 2)).T
    light = np.zeros(image.shape)
    np.add.at(light, (y, x), rng.uniform(5, 40, 12_000) * NOISE)
    crowded = image + ndimage.gaussian_filter(light, 0.6)
    grain = grain_of(crowded.astype(np.float32))
    assert grain is None or not grain.shows_single_pixels


@pytest.mark.parametrize("seed", range(3))
def test_stars_shifted_as_a_whole_are_stars_and_hits_shifted_so_are_not(seed):
    """Fits to undersampled stars are drawn to some places in a pixel; but not as hits are."""
    rng = np.random.default_rng(seed)
    image = with_hits(rng, star_frame(rng, 150, 0.9, size=300), 60)
    shift = {"shift": (0.3, 0.3), "order": 3, "mode": "nearest"}
    assert measure_psf(ndimage.shift(image, **shift)).fwhm == pytest.approx(1.22, rel=0.05)
    found = measure_psf(ndimage.shift(with_hits(rng, sky(seed), 200, 0.0), **shift))
    assert found.fwhm is None
    assert "lie at one place in a pixel" in found.reason


@pytest.mark.parametrize("seed", range(3))
def test_faint_stars_make_it_likely_that_narrow_ones_are_stars(seed):
    """Hits are no more than what is seen of them; stars are many more."""
    rng = np.random.default_rng(seed)
    image = with_hits(rng, star_frame(rng, 60, 0.75, size=300), 80, 0.4)
    assert not grain_of(image.astype(np.float32)).shows_faint_stars
    y, x = rng.integers(0, 300, (2, 9000))
    np.add.at(image, (y, x), rng.exponential(4.0 * NOISE, 9000))
    assert grain_of(image.astype(np.float32)).shows_faint_stars
    found = measure_psf(image)
    assert found.fwhm is None
    assert found.likely_fwhm == pytest.approx(0.75, rel=0.1)
    assert 0.25 < found.confidence < 0.6


@pytest.mark.parametrize("photons", [0.3, 0.5, 0.7, 1.5, 2.2, 3.3])
def test_few_photons_are_no_faint_stars(photons):
    image = np.random.default_rng(21).poisson(photons, (300, 300)).astype(np.float32)
    grain = grain_of(image)
    assert grain is None or not (grain.shows_faint_stars or grain.shows_single_pixels)


@pytest.mark.parametrize("noise", [1.0, 1.5, 2.7, 3.7, 6.0])
@pytest.mark.parametrize("level", [100.0, 100.3, 100.5])
def test_noise_in_whole_numbers_is_no_faint_stars(noise, level):
    """Nor does it hide that an image was interpolated, if steps are smaller than the noise."""
    white = np.random.default_rng(22).normal(level, noise, (300, 300))
    grain = grain_of(np.rint(white).astype(np.float32))
    assert grain is None or not grain.shows_faint_stars
    assert grain is None or not grain.shows_single_pixels
    grain = grain_of(np.rint(finer(white, 0.7)).astype(np.float32))
    assert not grain.shows_faint_stars
    assert grain.shows_single_pixels == (noise > 3.0)


@pytest.mark.parametrize(("order", "seed"), [(3, 10), (3, 11), (3, 12), (1, 10), (1, 11)])
def test_pairs_of_hits_shifted_by_half_a_pixel_are_no_stars(order, seed):
    """They lie at one place along one axis alone."""
    rng = np.random.default_rng(seed)
    image = ndimage.shift(with_hits(rng, sky(seed), 150), 0.5, order=order, mode="nearest")
    assert measure_psf(image).fwhm is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
def test_where_many_pixels_are_equal_nothing_is_divided_by_zero(share):
    rng = np.random.default_rng(23)
    image = np.where(rng.random((300, 300)) < share, 0.0, rng.normal(0, NOISE, (300, 300)))
    grain = grain_of(image.astype(np.float32))
    assert grain is None or not grain.shows_single_pixels
    assert measure_psf(image).fwhm is None


@pytest.mark.filterwarnings("error")
def test_where_no_two_sextiles_differ_nothing_is_divided_by_zero():
    """Most pixels are the same, and all of those at which steps are looked for."""
    block = np.full((1, 32, 32), 100.0)
    block[0, :, 1::8] = np.random.default_rng(24).normal(100, NOISE, (32, 4))
    skew, coarse = _skew(block)
    assert np.isnan(skew)
    assert coarse == np.inf


@pytest.mark.parametrize(("n", "fwhm"), [(3000, 1.8), (5000, 3.0)])
def test_where_negative_stars_crowd_too_it_is_not_known(n, fwhm):
    """Another exposure of the field was subtracted: pixels are as far below the median as above it."""
    rng = np.random.default_rng(12)
    stars = star_frame(rng, n, fwhm, size=400)
    image = stars - np.roll(stars + rng.normal(0, NOISE, stars.shape), (13, -9), (0, 1))
    image = image.astype(np.float32)
    found = grain_of(image)
    assert found.skew < 1.25
    assert found.alike > 0.3
    assert found.single == 0.0
    assert measure_psf(image).fwhm == pytest.approx(fwhm, rel=0.1)
