import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer.night.clusters import Cells, _median, clusters


@pytest.mark.parametrize("seed", range(5))
def test_near_and_nearest_are_those_of_all_distances(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-50, 50, (2, 400))
    cells = Cells(x, y, 3.0)
    px, py = rng.uniform(-55, 55, (2, 300))
    away = np.hypot(px[:, None] - x, py[:, None] - y)
    for k in range(20):
        assert set(cells.near(px[k], py[k])) == set(np.flatnonzero(away[k] <= 3.0))
    index, distance = cells.nearest(px, py)
    has = away.min(axis=1) <= 3.0
    assert has.sum() > 100
    np.testing.assert_array_equal(index >= 0, has)
    np.testing.assert_array_equal(index[has], away.argmin(axis=1)[has])
    np.testing.assert_allclose(distance[has], away.min(axis=1)[has])
    assert np.all(np.isinf(distance[~has]))


def test_places_apart_are_clusters_whatever_the_order():
    rng = np.random.default_rng(1)
    centres = 20.0 * np.stack(np.meshgrid(np.arange(10), np.arange(10)), -1).reshape(-1, 2)
    which = np.repeat(np.arange(100), 12)
    points = centres[which] + rng.normal(0, 0.25, (1200, 2))
    frame = np.tile(np.arange(12), 100).astype(np.int32)
    order = rng.permutation(1200)
    label = clusters(*points[order].T, 1.5, frame[order])
    assert label.max() == 99
    pairs = {(int(a), int(b)) for a, b in zip(which[order], label, strict=True)}
    assert len(pairs) == 100


def test_two_detections_of_a_frame_are_two_sources():
    x = np.array([0.0, 0.1, 0.0, 0.9])
    label = clusters(x, np.zeros(4), 1.0, np.array([0, 1, 2, 2], np.int32))
    assert label[0] == label[1] == label[2] != label[3]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(-20, 20), st.integers(0, 3)), min_size=1, max_size=60
    )
)
def test_all_points_have_one_cluster_with_each_frame_once(points):
    x, y, frame = (np.array(column) for column in zip(*points, strict=True))
    frame = frame.astype(np.int32)
    label = clusters(x, y, 2.0, frame)
    assert set(label) == set(range(label.max() + 1))
    for k in range(label.max() + 1):
        own = label == k
        assert len(np.unique(frame[own])) == own.sum()
        assert np.hypot(np.ptp(x[own]), np.ptp(y[own])) <= 4.0 * np.sqrt(2)


def test_points_without_a_place_are_alone():
    label = clusters(np.array([np.nan, np.nan, 1.0, 1e300]), np.zeros(4), 1.0)
    assert len(set(label)) == 4
    index, _ = Cells(np.zeros(1), np.zeros(1), 1.0).nearest(np.array([np.nan, 0.5]), np.zeros(2))
    assert list(index) == [-1, 0]


def test_no_points():
    assert clusters(np.zeros(0), np.zeros(0), 1.0).size == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_the_median_is_that_of_numpy_to_the_bit(values):
    assert _median(np.array(values)) == np.median(values)
