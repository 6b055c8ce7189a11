"""A night in many bands is the night in one."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer.errors import RbinferError
from rbinfer.night import bands
from rbinfer.night.affine import Affine
from rbinfer.night.bands import Bands, RowFile
from rbinfer.night.coverage import Cover
from rbinfer.night.detector import SPOT, find_standing
from rbinfer.night.repeats import MARGIN
from rbinfer.night.run import run_night

from .skies import merge_rows, of_kind, rows_of
from .test_night import TABLES, same_bytes

SIDE, N = 700, 12
HOURS = np.arange(N) / 12
COVERS = [Cover(k, Affine(np.eye(2, 3)), (SIDE, SIDE), HOURS[k]) for k in range(N)]
ROW = np.dtype([("index", np.int64), ("v", np.float64)])


def same(merged, other):
    np.testing.assert_array_equal(merged.label, other.label)
    for name in merged.found.dtype.names:
        np.testing.assert_array_equal(merged.found[name], other.found[name], err_msg=name)


def crowd(rng, n_stars, n_once, n_hot):
    """Stars, some of them on lines across, hot pixels that the sky crosses, a mover along the axis."""
    stars = rng.uniform(2, SIDE - 2, (n_stars, 2))
    # About the edges of bands of any width that is a seventh or less of the side.
    stars[: n_stars // 4, 1] = rng.integers(1, 70, n_stars // 4) * 10 + rng.normal(0, 0.3, n_stars // 4)
    hot = rng.uniform(2, SIDE - 2, (n_hot, 2))
    parts, standing = [], []
    for k in range(N):
        offset = np.array([3.0 * k, 2.0 * k])
        seen = stars + rng.normal(0, 0.3, stars.shape)
        once = rng.uniform(2, SIDE - 2, (n_once, 2))
        once_score = rng.uniform(0, 1, n_once)
        mover = np.array([[100.0 + 2 * k, 20.0 + 55.0 * k / 5]])
        parts += [
            rows_of(k, *seen.T, score=0.97),
            rows_of(k, *once.T, score=once_score),
            rows_of(k, *mover.T, score=0.99 if k % 4 else 0.1),
            rows_of(k, *(hot + offset).T, *hot.T, score=rng.uniform(0, 1, n_hot)),
        ]
        standing += [np.full(n_stars + n_once + 1, -1), np.arange(n_hot)]
    return np.concatenate(parts), np.concatenate(standing)


@pytest.mark.parametrize("seed", range(3))
def test_merged_in_bands_is_merged_at_once(seed, monkeypatch):
    rows, standing = crowd(np.random.default_rng(seed), n_stars=150, n_once=100, n_hot=50)
    monkeypatch.setattr(bands, "_ROWS", 10**9)
    whole = merge_rows(rows, COVERS, HOURS, standing)
    [mover] = of_kind(whole, "moving")
    assert whole.found["n_seen"][mover] == N  # completed with what scores little
    assert np.ptp(rows["v"][whole.label == mover]) > 100
    assert of_kind(whole, "detector").size == 50
    for n in (200, 700, 1500):
        monkeypatch.setattr(bands, "_ROWS", n)
        same(merge_rows(rows, COVERS, HOURS, standing), whole)


def test_where_bands_do_not_agree_each_row_is_in_one_source(monkeypatch):
    # No place for another source between any two: what is taken where depends on all of the plane.
    rng = np.random.default_rng(0)
    rows = np.concatenate(
        [rows_of(k, *rng.uniform(0, (60, SIDE), (800, 2)).T, score=0.01) for k in range(N)]
    )
    monkeypatch.setattr(bands, "_ROWS", 200)
    monkeypatch.setattr("rbinfer.night.stored._RADII", 1.0)
    monkeypatch.setattr("rbinfer.night.stored._WIDTHS", 0.0)
    found = merge_rows(rows, COVERS, HOURS)
    monkeypatch.undo()
    assert len(found.found) > len(merge_rows(rows, COVERS, HOURS).found)  # they do not agree
    assert set(found.label) == set(range(len(found.found)))
    pairs = np.unique(np.column_stack([found.label, rows["frame"]]), axis=0)
    assert len(pairs) == len(rows)  # each frame once


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60),
    st.integers(1, 20),
    st.floats(0.0, 3.0),
)
def test_each_row_is_in_one_band_and_with_those_near_it(tmp_path_factory, values, per_band, margin):
    rows = np.zeros(len(values), ROW)
    rows["index"], rows["v"] = np.arange(len(values))[::-1], values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "_ROWS", per_band)
        span, n = (-10.0, 10.0), len(rows)
        sorted_in = Bands(tmp_path_factory.getbasetemp(), ROW, "v", span, n, margin)
    with sorted_in:
        for part in np.array_split(rows, 3):
            sorted_in.add(part)
        for _ in range(2):
            parts = list(sorted_in)
            seen = np.concatenate([band.rows["index"][band.where == 0] for band in parts])
            assert sorted(seen) == list(range(len(rows)))
        for band in parts:
            assert np.all(np.diff(band.rows["index"]) > 0)
            own = band.rows["v"][band.where == 0]
            near = np.abs(np.nan_to_num(rows["v"])[:, None] - own) < 0.99 * margin
            there = near.any(axis=1) & (np.abs(rows["v"]) < 10.0)
            assert set(rows["index"][there]) <= set(band.rows["index"])
    assert len(sorted_in) == len(rows)


def test_what_stands_is_found_in_bands_as_at_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(8)
    hot = rng.integers(0, SIDE, (100, 2))
    parts = []
    for k in range(20):
        own = np.zeros(300, SPOT)
        offset = rng.normal(0, 15, 2)
        own["frame"] = k
        own["x"], own["y"] = np.vstack(
            [hot + rng.normal(0, 0.2, hot.shape), rng.uniform(0, SIDE, (200, 2))]
        ).T
        own["u"], own["v"] = own["x"] - offset[0], own["y"] - offset[1]
        own["real"][100:] = True
        parts.append(own)
    spots = np.concatenate(parts)
    spots["index"] = np.arange(len(spots))
    found = []
    for n in (10**9, 300):
        monkeypatch.setattr(bands, "_ROWS", n)
        with Bands(tmp_path, SPOT, "y", (0.0, SIDE), len(spots), MARGIN) as rows:
            rows.add(spots)
            assert len(list(rows)) == (1 if n > 300 else 20)
            found.append(find_standing(rows, 20, SIDE**2))
    whole, banded = found
    assert len(whole.x) > 90
    for name in ("x", "y", "frames", "real", "number", "repeats"):
        np.testing.assert_array_equal(getattr(banded, name), getattr(whole, name))


def test_a_night_in_many_bands_has_the_same_tables(dithered, tmp_path, monkeypatch):
    _, folder, _ = dithered
    shutil.copytree(folder / "out", tmp_path / "out")
    for name in TABLES:
        (tmp_path / "out" / name).unlink()
    monkeypatch.setattr(bands, "_ROWS", 30)
    night = run_night(folder / "in", tmp_path / "out", workers=1)
    assert night.batch.n_skipped == 6
    assert same_bytes(tmp_path / "out") == same_bytes(folder / "out")


def test_rows_that_the_disk_has_no_place_for(tmp_path):
    with pytest.raises(
        RbinferError, match=r"rows cannot be kept on the disk of .*nowhere: No such file"
    ):
        RowFile(tmp_path / "nowhere", ROW)


@pytest.mark.parametrize("score", [0.999, 0.9, 0.5, 0.01])
def test_what_stands_on_the_detector_is_bogus_however_much_it_looks_like_a_star(score):
    n, here = len(COVERS), np.array([120.0])
    rows = np.concatenate([rows_of(k, here + 5 * k, here - 3 * k, here, here, score) for k in range(n)])
    merged = merge_rows(rows, COVERS, HOURS, np.zeros(n, int))
    (found,) = of_kind(merged, "detector")
    assert merged.found["n_seen"][found] == n
    assert merged.found["probability"][found] < 0.5
