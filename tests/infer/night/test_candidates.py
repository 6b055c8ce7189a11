import numpy as np

from rbinfer.night.candidates import neighbours
from rbinfer.night.sources import KINDS, SOURCE


def test_the_nearest_brighter_neighbour_is_that_of_all_distances():
    rng, n, reach = np.random.default_rng(4), 300, 3.0 * 2.5
    found = np.zeros(n, SOURCE)
    found["u"], found["v"] = rng.uniform(0, 100, (2, n))
    found["u"][:3] = np.nan
    found["snr"], found["n_seen"] = rng.uniform(5, 50, n), rng.integers(1, 3, n)
    found["kind"] = rng.integers(0, len(KINDS), n)
    away = np.hypot(found["u"][:, None] - found["u"], found["v"][:, None] - found["v"])
    counts = (found["kind"] == KINDS.index("sky")) & (found["n_seen"] > 1)
    brighter = counts & (found["snr"] > found["snr"][:, None]) & (away <= reach)
    expected = np.where(brighter, away, np.inf).min(axis=1)
    assert 30 < np.isfinite(expected).sum() < 270
    np.testing.assert_array_equal(neighbours(found, 2.5), expected)
