import numpy as np
import pytest

from rbinfer.errors import InputError
from rbinfer.night.bands import Bands
from rbinfer.night.clusters import clusters
from rbinfer.night.detector import _APART, SPOT, _places, find_standing
from rbinfer.night.repeats import MARGIN
from rbinfer.night.run import run_night
from rbinfer.pipeline.options import ScoreOptions

SIDE = 500


def spots_of(n_frames, offsets, n_stars=150, n_hot=40, field=0, seed=0):
    """Stars that the sky carries along, and hot pixels that stay; returns spots and which are hot."""
    rng = np.random.default_rng(seed)
    stars, hot = rng.uniform(0, SIDE, (n_stars, 2)), rng.integers(0, SIDE, (n_hot, 2))
    parts = []
    for k in range(n_frames):
        own = np.zeros(n_stars + n_hot, SPOT)
        own["frame"], own["field"] = k, field
        seen = stars + rng.normal(0, 0.1, stars.shape)
        own["x"], own["y"] = np.vstack([seen + offsets[k], hot]).T
        own["u"], own["v"] = np.vstack([seen, hot - offsets[k]]).T
        own["real"][:n_stars] = True
        parts.append(own)
    is_hot = np.tile(np.arange(n_stars + n_hot) >= n_stars, n_frames)
    return np.concatenate(parts), is_hot


def standing_of(folder, spots, n_frames):
    with Bands(folder, SPOT, "y", (0.0, SIDE), len(spots), MARGIN) as bands:
        spots["index"] = np.arange(len(spots))
        bands.add(spots)
        return find_standing(bands, n_frames, SIDE**2)


def test_hot_pixels_are_told_from_stars_by_dithering(tmp_path):
    rng = np.random.default_rng(1)
    spots, is_hot = spots_of(12, rng.normal(0, 15, (12, 2)))
    found = standing_of(tmp_path, spots, 12)
    assert len(found.x) == 40
    assert np.all(found.frames >= 11)
    assert np.mean(found.number[is_hot] >= 0) > 0.98
    assert np.mean(found.number[~is_hot] >= 0) < 0.02
    assert np.median(found.repeats[is_hot]) >= 10  # two frames may lie within 3 pixels
    assert np.median(found.repeats[~is_hot]) == 0
    assert np.all(found.real < 0.3)


def test_a_slow_drift_suffices(tmp_path):
    spots, is_hot = spots_of(20, np.outer(np.arange(20), [0.6, 0.3]))
    found = standing_of(tmp_path, spots, 20)
    assert np.mean(found.number[is_hot] >= 0) > 0.98
    assert np.mean(found.number[~is_hot] >= 0) < 0.02


def test_where_the_sky_stands_still_nothing_is_told(tmp_path):
    spots, _ = spots_of(20, np.zeros((20, 2)))
    found = standing_of(tmp_path, spots, 20)
    assert len(found.x) == 0
    assert not found.repeats.any()


def test_frames_of_an_unknown_sky_tell_nothing(tmp_path):
    rng = np.random.default_rng(1)
    spots, _ = spots_of(12, rng.normal(0, 15, (12, 2)), field=-1)
    assert len(standing_of(tmp_path, spots, 12).x) == 0


def test_crowding_alone_makes_no_hot_pixels(tmp_path):
    rng = np.random.default_rng(3)
    spots, _ = spots_of(20, rng.normal(0, 40, (20, 2)), n_stars=2500, n_hot=0)
    found = standing_of(tmp_path, spots, 20)
    assert found.by_chance > 0.6
    assert len(found.x) == 0


def test_no_detections(tmp_path):
    found = standing_of(tmp_path, np.zeros(0, SPOT), 3)
    assert (len(found.x), len(found.number), found.by_chance) == (0, 0, 0.0)


def test_places_are_those_that_are_gathered_up_to_three():
    rng = np.random.default_rng(5)
    counts = []
    for _ in range(300):
        own = np.zeros(rng.integers(2, 12), SPOT)
        own["u"], own["v"] = rng.uniform(0, rng.uniform(0, 20), (2, len(own)))
        own["field"] = rng.integers(-1, 2, len(own))
        gathered = 0
        for number in (0, 1):
            of = own[own["field"] == number]
            u, v = of["u"].astype(np.float64), of["v"].astype(np.float64)
            gathered += int(clusters(u, v, _APART).max(initial=-1)) + 1
        assert _places(own) == min(gathered, 3)
        counts.append(gathered)
    assert {0, 1, 2, 3, 4} <= set(counts)


def test_what_repeats_too_often_to_be_compared_counts_all_other_frames(tmp_path):
    rng = np.random.default_rng(2)
    spots, is_hot = spots_of(520, rng.normal(0, 15, (520, 2)), n_stars=3, n_hot=2)
    found = standing_of(tmp_path, spots, 520)
    assert len(found.x) == 2
    assert set(found.repeats[is_hot & (found.number >= 0)]) == {519}


def test_a_mask_that_the_night_itself_would_write_is_refused(dithered):
    _, folder, _ = dithered
    mask = folder / "out" / "hotpixels.fits"
    before = mask.read_bytes()
    with pytest.raises(InputError, match=r"hotpixels\.fits is named twice, or is what is read"):
        run_night(folder / "in", folder / "out", options=ScoreOptions(mask=str(mask)))
    assert mask.read_bytes() == before
