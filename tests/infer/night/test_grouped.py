import numpy as np
import pytest

from rbinfer.night.grouped import Grouped


@pytest.mark.parametrize("seed", range(5))
def test_each_figure_is_that_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.concatenate([np.arange(30), rng.integers(0, 30, 200)]))
    rank = rng.integers(0, 9, label.size).astype(np.int32)
    values = np.round(rng.normal(size=label.size), 1)  # with equal ones
    gaps = np.where(rng.random(label.size) < 0.3, np.nan, values)
    kinds = rng.integers(-1, 4, label.size).astype(np.int16)
    groups = Grouped(label, rank)
    for k in range(30):
        own = np.flatnonzero(label == k)
        own = own[np.argsort(rank[own], kind="stable")]
        assert groups.size[k] == own.size
        assert groups.first[k] == own[0]
        assert groups.median(values)[k] == np.median(values[own])
        np.testing.assert_equal(groups.median(gaps)[k], np.median(gaps[own]))
        assert groups.variance(values)[k] == pytest.approx(np.var(values[own]))
        known = gaps[own][np.isfinite(gaps[own])]
        expected = (known.mean(), known.min(), known.max()) if known.size else (np.nan,) * 3
        got = groups.mean(gaps)[k], groups.least(gaps)[k], groups.most(gaps)[k]
        assert got == pytest.approx(expected, nan_ok=True)
        assert groups.best(gaps)[k] == own[np.argmax(np.nan_to_num(gaps[own], nan=-9.0))]
        assert groups.distinct(rank)[k] == len(set(rank[own]))
        found, times = np.unique(kinds[own], return_counts=True)
        assert groups.commonest(kinds)[k] == found[np.argmax(times)]
