import numpy as np
import pytest

from rbinfer.io.arrays import median
from rbinfer.io.exposure import Exposure
from rbinfer.measure.level import measure_level


@pytest.mark.parametrize("shape", [(64, 64), (900, 700)])
def test_background_and_noise_of_a_field_with_sources(shape):
    rng = np.random.default_rng(0)
    image = rng.normal(500, 12, shape)
    n = image.size // 100
    image[rng.integers(0, shape[0], n), rng.integers(0, shape[1], n)] += rng.uniform(100, 9e4, n)
    level = measure_level(Exposure(image.astype(np.float32)))
    assert level.background == pytest.approx(500, abs=2)
    assert level.noise == pytest.approx(12, rel=0.06)


def test_a_gradient_widens_no_noise_and_steps_of_whole_numbers_little():
    rng = np.random.default_rng(1)
    image = rng.normal(500, 1.5, (400, 400)) + np.linspace(0, 3000, 400)
    assert measure_level(Exposure(np.float32(image))).noise == pytest.approx(1.5, rel=0.06)
    image = np.rint(rng.normal(500, 1.5, (400, 400))) + np.linspace(0, 300, 400)[:, None]
    assert measure_level(Exposure(np.float32(image))).noise == pytest.approx(1.5, rel=0.06)


def test_bad_pixels_do_not_count():
    image = np.random.default_rng(2).normal(10, 1, (200, 200)).astype(np.float32)
    mask = np.zeros(image.shape, bool)
    image[:, :120], mask[:, :120] = 9999.0, True
    image[5, 150:] = np.nan
    level = measure_level(Exposure(image, mask=mask))
    assert level.background == pytest.approx(10, abs=0.1)
    assert level.noise == pytest.approx(1, rel=0.05)
    assert measure_level(Exposure(image, mask=np.ones(image.shape, bool))) is None
    assert measure_level(Exposure(np.zeros((3, 3), np.float32))) is None


@pytest.mark.parametrize("side", [320, 2000])
def test_how_uneven_the_background_is(side):
    rng = np.random.default_rng(3)
    flat = rng.normal(300, 15, (side, side))
    assert measure_level(Exposure(np.float32(flat))).range < 3
    corner = np.outer(np.linspace(1, 0, side), np.linspace(1, 0, side))
    found = measure_level(Exposure(np.float32(flat + 200 * corner))).range
    # Parts of a third a side: their middles have (5 / 6)^2 and (1 / 6)^2 of what the corner has.
    assert found == pytest.approx(200 * (25 - 1) / 36, rel=0.05)
    mask = np.zeros(flat.shape, bool)
    mask[:, side // 4 :] = True
    assert np.isnan(measure_level(Exposure(np.float32(flat), mask=mask)).range)


@pytest.mark.parametrize("n", [1, 2, 99, 5000, 5001])
def test_the_median_is_that_of_numpy(n):
    rng = np.random.default_rng(n)
    noise = rng.normal(500.0, 7.0, n)
    # Whole numbers; a sample that misleads: each of its values is far above the others.
    misleading = noise.copy()
    misleading[:: max(n // 1000, 1)] += 1e4
    for values in (noise, np.rint(noise), np.full(n, 3.0), np.sort(noise), misleading):
        before = values.copy()
        assert median(values) == np.median(values)
        assert median(np.float32(values)) == np.median(np.float32(values))
        assert np.array_equal(values, before)
