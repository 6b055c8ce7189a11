import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rbinfer.night import triangles
from rbinfer.night.affine import Affine, align
from rbinfer.night.triangles import similar_triangles


def scattered(rng, n, side=1000):
    return rng.uniform(0, side, (n, 2))


def turned(points, degrees=0.05, shift=(34.0, -21.0)):
    a = np.radians(degrees)
    matrix = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return points @ matrix.T + shift


def error(affine, points, images):
    return np.abs(np.column_stack(affine(*points.T)) - images).max()


def test_an_affine_map_is_recovered_and_goes_back():
    rng = np.random.default_rng(0)
    points = scattered(rng, 50)
    truth = Affine(np.array([[1.01, -0.02, 5.0], [0.03, 0.98, -7.0]]))
    found = Affine.fitted(points, np.column_stack(truth(*points.T)))
    np.testing.assert_allclose(found.matrix, truth.matrix, atol=1e-9)
    assert error(found.inverse(), np.column_stack(found(*points.T)), points) < 1e-9
    assert found.scale == pytest.approx(np.sqrt(1.01 * 0.98 + 0.02 * 0.03))


@pytest.mark.parametrize("seed", range(8))
def test_hot_pixels_called_real_do_not_make_a_false_zero_shift(seed):
    # As of a camera whose hot pixels are the most of what is called real: 700 stand, 65 stars move.
    rng = np.random.default_rng(seed)
    stars, hot = scattered(rng, 65), scattered(rng, 700)
    there = turned(stars) + rng.normal(0, 0.1, stars.shape)
    mixed = rng.permutation(765)
    affine = align(np.vstack([there, hot])[mixed], np.vstack([stars, hot])[rng.permutation(765)])
    assert affine is not None
    assert error(affine, turned(stars), stars) < 0.3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -0.3), (1.8, 1.2), (330.0, 138.0)])
def test_shifts_of_any_size(seed, shift):
    rng = np.random.default_rng(seed)
    sky = rng.uniform(-400, 1400, (300, 2))
    first = sky[np.all((sky > 0) & (sky < 1000), axis=1)]
    moved = sky + shift
    inside = np.all((moved > 0) & (moved < 1000), axis=1)
    second = moved[inside] + rng.normal(0, 0.15, (inside.sum(), 2))
    lost = rng.random(len(second)) < 0.8
    affine = align(np.vstack([second[lost], scattered(rng, 5)]), first)
    assert affine is not None
    assert error(affine, np.array([[500.0, 500.0]]) + shift, np.array([[500.0, 500.0]])) < 0.3


@pytest.mark.parametrize("seed", range(2))
def test_other_skies_are_not_aligned(seed):
    rng = np.random.default_rng(seed)
    assert align(scattered(rng, 150), scattered(rng, 150)) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_spots", [28, 40, 45])
def test_what_stands_on_the_detector_does_not_make_two_skies_one(seed, n_spots):
    rng = np.random.default_rng(seed)
    spots = scattered(rng, n_spots)
    frames = [np.vstack([scattered(rng, 60), spots]) for _ in range(2)]
    assert align(*(each[rng.permutation(len(each))] for each in frames)) is None


def test_where_the_search_began_leaves_no_trace():
    rng = np.random.default_rng(5)
    stars = scattered(rng, 120)
    there = turned(stars) + rng.normal(0, 0.2, stars.shape)
    found = [align(there, stars).matrix for _ in range(4)]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_too_few_stars():
    assert align(np.zeros((2, 2)), np.ones((5, 2))) is None
    assert align(np.zeros((0, 2)), np.ones((5, 2))) is None


def test_triangles_are_tried_in_the_same_order_each_time():
    astroalign = pytest.importorskip("astroalign")
    rng = np.random.default_rng(5)
    stars = scattered(rng, 40)
    there = turned(stars) + rng.normal(0, 0.6, stars.shape)
    found = [similar_triangles(there, stars) for _ in range(6)]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
    assert astroalign._np is np


def test_an_astroalign_without_the_name_is_left_as_it_is(monkeypatch, caplog):
    class Other:
        MaxIterError = RuntimeError

        @staticmethod
        def find_transform(stars, anchors, max_control_points):
            return SimpleNamespace(params=np.eye(3)), None

    monkeypatch.setitem(sys.modules, "astroalign", Other)
    caplog.set_level("INFO")
    np.testing.assert_array_equal(similar_triangles(np.ones((4, 2)), np.ones((4, 2))), np.eye(3)[:2])
    assert "in an order of its own" in caplog.text


def test_a_seed_that_is_given_is_used():
    given, own = (triangles._Random.default_rng(*seed).integers(1 << 30) for seed in ((7,), ()))
    assert given == np.random.default_rng(7).integers(1 << 30)
    assert own == triangles._Random.default_rng().integers(1 << 30) != given


def test_triangles_of_other_sizes_are_not_tried_and_the_map_is_the_same(monkeypatch):
    astroalign = pytest.importorskip("astroalign")
    rng = np.random.default_rng(7)
    stars, others = scattered(rng, 40), scattered(rng, 40)
    there = turned(stars) + rng.normal(0, 0.2, stars.shape)
    mixed = np.vstack([there, scattered(rng, 20)])[rng.permutation(60)]
    maps, tried = [], []
    of_library = astroalign._MatchTransform.get_error
    for scale in (triangles._SCALE, 1e9):
        monkeypatch.setattr(triangles, "_SCALE", scale)
        maps.append(align(mixed, stars).matrix)
        sizes = []
        monkeypatch.setattr(
            astroalign._MatchTransform,
            "get_error",
            lambda own, data, found, sizes=sizes: (
                sizes.append(len(data)) or of_library(own, data, found)
            ),
        )
        assert similar_triangles(others, stars) is None
        monkeypatch.setattr(astroalign._MatchTransform, "get_error", of_library)
        tried.append(sum(sizes))
    np.testing.assert_array_equal(*maps)
    assert tried[1] > 1e5
    assert tried[0] < 0.06 * tried[1]  # each against all others
