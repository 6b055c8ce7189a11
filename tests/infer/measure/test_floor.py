"""Where a sky was cut off, and that no other image is taken for one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer.measure.floor import Floor

N = 40_000


def normal(level, noise, seed=0):
    return np.random.default_rng(seed).normal(level, noise, N).astype(np.float32)


#: With steps this coarse, a floor elsewhere is no fuller than the next value, or too full.
COARSE = [(-0.5, 3.0), (0.0, 3.0)]


@pytest.mark.parametrize(
    ("deviation", "step"), [*itertools.product([-1.5, -0.5, 0.0, 0.5], [0.0, 0.5]), *COARSE]
)
def test_level_and_noise_of_the_whole_sky(deviation, step):
    """The floor is so many sigma above the median of the sky; rounded or not."""
    noise, floor = 4.0, 12.0
    pixels = normal(floor - deviation * noise, noise)
    pixels = np.maximum(np.rint(pixels / step) * step if step else pixels, np.float32(floor))
    found = Floor.of(pixels)
    assert found.value == floor
    assert found.share == pytest.approx((pixels == floor).mean())
    assert found.level == pytest.approx(floor - deviation * noise, abs=0.1 * noise)
    assert found.noise == pytest.approx(noise, rel=0.1)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 1000),
    level=st.floats(-1e4, 1e4),
    noise=st.floats(0.05, 1e3),
    step=st.sampled_from([0.0, 1.0]),
)
def test_a_whole_sky_has_no_floor(seed, level, noise, step):
    pixels = normal(level, noise, seed)
    assert Floor.of(np.rint(pixels) if step else pixels) is None


OTHERS = {
    "areas far below the sky": lambda p: np.where(np.arange(N) % 3 == 0, 0, p),
    "areas at its foot": lambda p: np.where(np.arange(N) % 200 < 70, 68, p),
    "areas above it": lambda p: np.where(np.arange(N) % 3 == 0, 1e4, p),
    "all alike": lambda p: np.full(N, 3.0),
    "hardly anything left": lambda p: np.maximum(p, 110),
    "cut off at the top": lambda p: np.minimum(p, 100),
    "two values": lambda p: np.where(np.arange(N) % 2, 0, 1),
    "nothing at all": lambda p: np.full(N, np.nan),
    "no pixel": lambda p: np.zeros(0),
    "few pixels": lambda p: np.maximum(p[:300], 100),
    "few photons": lambda p: np.random.default_rng(1).poisson(0.6, N),
    "few photons, amplified": lambda p: 3.7 * np.random.default_rng(1).poisson(1.0, N),
    "hardly any at the lowest": lambda p: np.maximum(p, 82.5),
    "many lower": lambda p: np.where(np.arange(N) % 50 == 0, 0, np.maximum(p, 100)),
    "far from where it would be": lambda p: np.where(p < 98, 88, p),
    "a little away from there": lambda p: np.where(p < 95, 86, p),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_have_none(name):
    assert Floor.of(OTHERS[name](normal(100.0, 10.0)).astype(np.float32)) is None


@pytest.mark.parametrize("level", [2.0, 3.0, 4.0])
def test_areas_at_the_foot_of_the_sky_are_no_floor(level):
    """A third of the pixels at 0, and a whole sky of noise 1 a few sigma above."""
    pixels = normal(level, 1.0).reshape(200, 200)
    pixels[:, :70] = 0
    assert Floor.of(pixels) is None


def test_sources_and_a_few_lower_pixels_change_little():
    pixels = np.maximum(normal(0.0, 5.0), 0)
    pixels[::20] += np.float32(500)
    pixels[::400] = -999
    found = Floor.of(pixels)
    assert found.value == 0
    assert found.noise == pytest.approx(5.0, rel=0.25)


@pytest.mark.parametrize(("smooth", "is_floor"), [(3.0, True), (30.0, False)])
def test_areas_are_told_by_their_neighbours(smooth, is_floor):
    """Half of a smooth sky lies in areas too, but not in such large ones."""
    from scipy.ndimage import gaussian_filter

    rows = gaussian_filter(normal(0.0, 1.0).reshape(200, 200), smooth)
    found = Floor.of(np.maximum(rows - np.median(rows), 0))
    assert (found is not None) == is_floor


def test_what_is_filled_in_is_the_lower_part_of_a_normal_distribution():
    floor = Floor(0.0, 0.5, level=0.0, noise=3.0)
    part = np.maximum(normal(0.0, 3.0), 0).reshape(200, 200)
    before = part.copy()
    floor.fill(part, slice(0, 200))
    filled = part[before == 0]
    np.testing.assert_array_equal(part[before > 0], before[before > 0])
    wanted = np.quantile(-np.abs(normal(0.0, 3.0, 9)), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(np.quantile(filled, [0.1, 0.5, 0.9]), wanted, rtol=0.06)
    again = before.copy()
    floor.fill(again, slice(0, 200))
    np.testing.assert_array_equal(again, part)
