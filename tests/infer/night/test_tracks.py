import numpy as np
import pytest

from rbinfer.night.affine import Affine
from rbinfer.night.coverage import Cover, counted
from rbinfer.night.lines import complete
from rbinfer.night.tracks import Track, _Linker, find_tracks

from .skies import merge_rows, of_kind, rows_of

N = 15
HOURS = np.arange(N) / 12
COVERS = [Cover(k, Affine(np.eye(2, 3)), (700, 700), HOURS[k]) for k in range(N)]


def field_of(rng, n_stars=60, n_once=20):
    """Stars that every frame has, and positions of one frame alone, as detections."""
    stars = rng.uniform(10, 690, (n_stars, 2))
    parts = []
    for k in range(N):
        parts.append(rows_of(k, *(stars + rng.normal(0, 0.15, stars.shape)).T))
        parts.append(rows_of(k, *rng.uniform(10, 690, (2, n_once))))
    return parts


def merged(parts):
    rows = np.concatenate(parts)
    return rows, merge_rows(rows, COVERS, HOURS)


@pytest.mark.parametrize("step", [0.8, 1.8, 6.0, 15.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_mover_is_one_source_however_slow(step, seed):
    # At 1.8 pixels a frame, half the FWHM, it would merge with itself.
    rng = np.random.default_rng(seed)
    parts = field_of(rng)
    own = np.array([250.0, 300.0]) + step * np.arange(N)[:, None] * np.array([0.8, 0.6])
    parts += [rows_of(k, *(own[k] + rng.normal(0, 0.1, 2)), snr=77.0) for k in range(N)]
    rows, found = merged(parts)
    is_mover = rows["snr"] == 77.0
    [number] = of_kind(found, "moving")
    assert np.count_nonzero(is_mover & (found.label == number)) >= N - 1
    assert not np.any(~is_mover & (found.label == number))
    moves = found.found[number]
    assert np.hypot(moves["rate_u"], moves["rate_v"]) == pytest.approx(12 * step, rel=0.03)


@pytest.mark.parametrize("seed", range(10))
def test_chance_makes_no_tracks(seed):
    rng = np.random.default_rng(seed)
    _, found = merged(field_of(rng, n_once=60))
    assert not of_kind(found, "moving").size


def test_stars_that_scatter_and_blends_make_no_tracks():
    rng = np.random.default_rng(2)
    parts = field_of(rng, n_once=0)
    for _ in range(10):  # bright stars with pieces of their wings
        star = rng.uniform(50, 650, 2)
        for k in range(N):
            parts.append(rows_of(k, *star))
            parts.append(rows_of(k, *(star + rng.normal(0, 3.0, 2))))
    assert not of_kind(merged(parts)[1], "moving").size


def test_three_positions_suffice_where_nothing_else_is():
    rng = np.random.default_rng(0)
    covers = COVERS[:3]
    parts = [rows_of(k, 100 + 5 * k, 200 - 4 * k) for k in range(3)]
    stars = rng.uniform(300, 690, (20, 2))
    parts += [rows_of(k, *(stars + rng.normal(0, 0.1, stars.shape)).T) for k in range(3)]
    rows = np.concatenate(parts)
    found = merge_rows(rows, covers, HOURS)
    assert of_kind(found, "moving").size == 1


def test_without_times_nothing_is_linked_and_all_is_merged():
    rng = np.random.default_rng(0)
    rows = np.concatenate(field_of(rng))
    covers = [Cover(c.frame, c.affine, c.shape, np.nan) for c in COVERS]
    found = merge_rows(rows, covers, np.full(N, np.nan))
    assert not of_kind(found, "moving").size
    assert np.sort(np.bincount(found.label))[-60] >= N - 1


def test_what_stands_on_the_detector_is_one_source_and_no_track():
    # While the sky drifts, a hot pixel moves over it as an asteroid does.
    rng = np.random.default_rng(4)
    parts = field_of(rng)
    parts += [rows_of(k, 300 + 3 * k, 310.0, 50.0, 60.0, snr=33.0) for k in range(N)]
    rows = np.concatenate(parts)
    standing = np.where(rows["snr"] == 33.0, 0, -1)
    found = merge_rows(rows, COVERS, HOURS, standing)
    assert not of_kind(found, "moving").size
    [number] = of_kind(found, "detector")
    np.testing.assert_array_equal(found.label == number, standing == 0)


def test_a_star_keeps_its_detections_where_it_crosses_a_hot_pixel():
    rng = np.random.default_rng(6)
    parts = field_of(rng, n_once=0)
    star = [rows_of(k, 200.0, 210.0, 200.0 + 3 * k, 210.0, snr=44.0) for k in range(N)]
    hot = [
        rows_of(k, 230.0 - 3 * k, 210.0, 230.0, 210.0, score=0.02, snr=33.0) for k in range(N) if k != 10
    ]
    rows = np.concatenate([*parts, *star, *hot])
    standing = np.where((rows["snr"] == 33.0) | ((rows["snr"] == 44.0) & (rows["frame"] == 10)), 0, -1)
    found = merge_rows(rows, COVERS, HOURS, standing)
    own = found.label[rows["snr"] == 44.0]
    assert len(set(own)) == 1
    [number] = of_kind(found, "detector")
    np.testing.assert_array_equal(found.label == number, rows["snr"] == 33.0)


def test_coverage_counts_frames_and_those_that_moved():
    covers = [
        Cover(0, Affine(np.array([[1.0, 0, 0], [0, 1, 0]])), (100, 200), 0.0),
        Cover(1, Affine(np.array([[1.0, 0, 50], [0, 1, 0]])), (100, 200), 1.0),
    ]
    u, v = np.array([10.0, 100.0, 240.0, 100.0]), np.array([50.0, 50.0, 50.0, 99.0])
    every, moved = counted(covers, u, v, u, v, 2.0)
    assert list(every) == [1, 2, 1, 0]
    assert list(moved) == [0, 1, 1, 0]


def test_a_group_with_nothing_but_hot_pixels():
    rows = np.concatenate([rows_of(k, [3.0 * k, 9.0 - k], [50.0, 60.0], 50.0, 60.0) for k in range(N)])
    found = merge_rows(rows, COVERS, HOURS, np.tile([0, 1], N))
    assert not of_kind(found, "moving").size
    assert of_kind(found, "detector").tolist() == [0, 1]
    np.testing.assert_array_equal(np.bincount(found.label), [N, N])


def test_no_track_is_completed_with_a_piece_of_another():
    parts = [rows_of(k, 350.0, 322.0 + 4 * k) for k in range(N) if k != 7]
    parts += [rows_of(k, 322.0 + 4 * k, 350.0) for k in range(N)]  # in frame 7 it is where the other was
    rows = np.concatenate(parts)
    first, second = np.arange(N - 1), np.arange(N - 1, 2 * N - 1)
    found = [Track.fitted(rows, HOURS, members) for members in (first, second)]
    whole, tracks = complete(found, rows, COVERS, HOURS, 1.75)
    np.testing.assert_array_equal(whole, rows)
    np.testing.assert_array_equal(tracks[0].members, first)
    np.testing.assert_array_equal(tracks[1].members, second)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_that_are_given_up_at_once_would_have_grown_to_nothing(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    parts = field_of(rng, n_stars=0, n_once=80)
    for step in (3.0, 9.0):
        own = rng.uniform(200, 300, 2) + step * np.arange(N)[:, None] * np.array([0.8, 0.6])
        parts += [rows_of(k, *own[k]) for k in range(N) if k not in (3, 4)]
    rows = np.concatenate(parts)
    # Frames that were moved do not cover all.
    moved = [Affine(np.array([[1.0, 0.0, 40.0 * k], [0.0, 1.0, 0.0]])) for k in range(N)]
    covers = [Cover(k, moved[k], (700, 700), HOURS[k]) for k in range(N)]
    found = find_tracks(rows, np.arange(len(rows)), HOURS, covers, 2.0)
    asked = []
    monkeypatch.setattr(_Linker, "followed", lambda linker, pairs: asked.extend(pairs) or set(pairs))
    known = find_tracks(rows, np.arange(len(rows)), HOURS, covers, 2.0)
    assert [t.members.tolist() for t in found] == [t.members.tolist() for t in known]
    assert len(found) >= 2
    assert len(asked) > 1000


def test_what_scatters_about_a_place_all_night_is_given_up_and_a_slow_mover_is_not():
    rng = np.random.default_rng(5)
    n = 200
    hours = np.arange(n) / 20
    covers = [Cover(k, Affine(np.eye(2, 3)), (700, 700), hours[k]) for k in range(n)]
    slow = np.array([300.0, 300.0]) + 0.03 * np.arange(n)[:, None] * np.array([0.8, 0.6])
    parts = [rows_of(k, *(slow[k] + rng.normal(0, 0.2, 2))) for k in range(n)]
    parts += [rows_of(k, *(rng.normal(0, 0.3, 2) + 100.0)) for k in range(n)]
    rows = np.concatenate(parts)
    [track] = find_tracks(rows, np.arange(len(rows)), hours, covers, 2.0)
    assert len(track.members) == n
    assert np.hypot(track.u[1], track.v[1]) == pytest.approx(0.6, rel=0.1)
