"""What the maxima of a frame are like, in numbers."""

import numpy as np
import pytest
from scipy import ndimage

from rbinfer.measure.candidates import Pyramid, measure_round
from rbinfer.measure.clean import cleaned
from rbinfer.measure.grain import Grain
from rbinfer.measure.population import population_of
from rbinfer.measure.psf import measure_psf
from rbinfer.model.stamps import POPULATION

from .frames import add_hot_pixels, add_tracks, star_frame

#: Where the blocks of the numbers lie: round and well fitted ones, then others, by FWHM and by FWHM over
#: the stars'; phases; all.
ROUND, OTHERS, RATIO, OTHER_RATIO = slice(0, 14), slice(14, 28), slice(28, 39), slice(39, 50)
PHASES, OVERALL, NOISE = slice(50, 52), slice(52, 62), slice(62, 70)
WIDTHS = np.exp(np.linspace(np.log(0.5), np.log(16.0), 14))


def of(image):
    found = measure_psf(image)
    assert found.population.shape == (POPULATION,)
    assert found.population.dtype == np.float32
    return found


@pytest.mark.parametrize("fwhm", [1.3, 3.0, 6.0])
def test_stars_alone_lie_in_the_cells_of_their_width(fwhm):
    found = of(star_frame(np.random.default_rng(3), 80, fwhm))
    near = np.abs(np.log(WIDTHS / fwhm)) < 0.35
    shares = found.population[ROUND]
    assert shares[near].sum() > 0.7
    assert shares[near].sum() > 5 * shares[~near].sum()
    # The middle one of eleven cells is that of the stars.
    assert found.population[RATIO].argmax() == 5
    everything = found.population[ROUND].sum() + found.population[OTHERS].sum()
    assert everything == pytest.approx(1, abs=1e-5)
    assert found.population[RATIO].sum() == pytest.approx(shares.sum(), abs=1e-5)
    assert found.population[OTHER_RATIO].sum() == pytest.approx(found.population[OTHERS].sum(), abs=1e-5)
    overall = found.population[OVERALL]
    assert overall[3] == 1
    assert overall[4] == pytest.approx(np.log(found.fwhm) / 3, abs=1e-5)
    assert overall[8] == pytest.approx(min(found.confidence, 3) / 3, abs=1e-5)


def test_hot_pixels_show_beside_the_stars():
    rng = np.random.default_rng(5)
    image = star_frame(rng, 80, 3.0)
    before = of(image.copy()).population
    add_hot_pixels(rng, image, 300, leak=0.12)  # single ones are taken for bad pixels
    after = of(image).population
    narrow = WIDTHS < 1.1
    assert before[ROUND][narrow].sum() + before[OTHERS][narrow].sum() < 0.02
    assert after[ROUND][narrow].sum() + after[OTHERS][narrow].sum() > 0.3
    # Single pixels lie in the middle of a pixel.
    assert after[PHASES][0] > 0.8
    assert after[PHASES][1] > 0.8
    assert after[OVERALL][1] > 0.3 > before[OVERALL][1]


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_no_number_depends_on_how_the_frame_is_turned(turn):
    rng = np.random.default_rng(8)
    image = star_frame(rng, 60, 2.5)
    add_hot_pixels(rng, image, 60, leak=0.12)
    turned = np.ascontiguousarray(np.rot90(image, turn))
    # Which maxima are fitted may differ by a few where many are as bright.
    np.testing.assert_allclose(of(turned).population, of(image).population, atol=0.06)


def test_hits_without_stars_have_a_population_that_does_not_convince():
    rng = np.random.default_rng(4)
    image = rng.normal(300.0, 6.0, (400, 400))
    add_tracks(rng, image, 200)
    found = of(image.astype("f4"))
    assert found.fwhm is None
    assert found.population[ROUND].sum() + found.population[OTHERS].sum() == pytest.approx(1, abs=1e-5)
    # Most of them are narrow, and what agrees is less than it takes.
    narrow = WIDTHS < 2.0
    assert found.population[ROUND][narrow].sum() + found.population[OTHERS][narrow].sum() > 0.6
    assert found.population[OVERALL][8] < 1 / 3


def test_a_frame_too_small_to_be_looked_at_has_none():
    assert measure_psf(np.random.default_rng(2).normal(300, 6, (9, 9)).astype("f4")).population is None


def test_nothing_at_all():
    assert not of(np.full((200, 200), 7.0, "f4")).population.any()


def test_the_noise_is_told_as_it_is():
    rng = np.random.default_rng(6)
    image = rng.normal(300.0, 6.0, (400, 400))
    seen, skew, step, alike, further, finest, above, below = of(image.astype("f4")).population[NOISE]
    assert seen == 1
    np.testing.assert_allclose([skew, step, alike, further], 0, atol=0.1)
    assert finest == pytest.approx(1, abs=0.05)
    # 0.00023 of a normal deviate is further than 3.5 scatters, above as below.
    np.testing.assert_allclose([above, below], 0.02, atol=0.03)


def test_noise_that_was_smoothed_is_alike_and_has_no_fine_waves():
    image = np.random.default_rng(6).normal(300.0, 6.0, (400, 400))
    smooth = ndimage.gaussian_filter(image, 1.0).astype("f4")
    *_, alike, further, finest, _, _ = of(smooth).population[NOISE]
    # exp(-d^2 / 4 sigma^2), and what the sky's own subtraction takes of it.
    assert alike == pytest.approx(np.exp(-0.25), abs=0.06)
    assert further == pytest.approx(np.exp(-1.0), abs=0.09)
    assert finest < 0.4


def test_steps_hits_and_holes_of_the_sky_are_told():
    rng = np.random.default_rng(6)
    image = rng.normal(300.0, 1.0, (400, 400))
    plain = of(image.astype("f4")).population[NOISE]
    # The sextiles of a normal deviate are 1.93 scatters apart.
    assert of(np.rint(image).astype("f4")).population[NOISE][2] == pytest.approx(1 / 1.93, abs=0.15)
    bright, dark = image.copy(), image.copy()
    where = rng.random(image.shape) < 0.02
    bright[where] += 20.0
    dark[where] -= 20.0
    above = of(bright.astype("f4")).population[NOISE]
    below = of(dark.astype("f4")).population[NOISE]
    assert above[6] > 0.4 > 0.1 > above[7]
    assert below[7] > 0.4 > 0.1 > below[6]
    assert max(plain[6], plain[7]) < 0.1


def test_ratios_of_nothing_are_told_as_0():
    rng = np.random.default_rng(6)
    image = rng.normal(300.0, 6.0, (200, 200)).astype("f4")
    found = measure_round(Pyramid.of(cleaned(image, None), None))
    grain = Grain(np.nan, 1.0, 0.1, np.nan, np.nan, 0.0, 0.0)
    told = population_of(found, None, grain)
    assert np.isfinite(told).all()
    np.testing.assert_allclose(told[NOISE], [1, 0, 1, 0.1, 0, 0, 0, 0], atol=1e-6)


def test_light_that_fills_the_sky_skews_its_noise():
    image = np.random.default_rng(6).normal(300.0, 6.0, (400, 400))
    image += ndimage.gaussian_filter(np.random.default_rng(7).exponential(60.0, image.shape), 1.0)
    assert of(image.astype("f4")).population[NOISE][1] > 0.1
