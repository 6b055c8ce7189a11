"""Nights: killed at random moments, aligned among hot pixels, with movers of any speed and with none."""

import os
import signal
import time

import numpy as np
import pytest

from rbinfer.night.affine import align
from rbinfer.night.run import OUTPUTS, run_night
from tests.infer.night.skies import of_kind, write_night
from tests.infer.night.test_affine import error, scattered, turned
from tests.infer.night.test_tracks import N, field_of, merged
from tests.infer.night.test_tracks import rows_of as detections
from tests.infer.runs import folders as runs

from .scale import times

TABLES = [name for name in OUTPUTS if not name.endswith(".html")]


@pytest.mark.promise("Faults", "a night killed at random moments ends in the same tables, to the byte")
def test_kills(tmp_path, tried):
    write_night(tmp_path / "in", n_frames=5)
    start = time.monotonic()
    run_night(tmp_path / "in", tmp_path / "expected", workers=1)
    usual = 1.5 * (time.monotonic() - start)
    rng, n = np.random.default_rng(1), times(2, 20)
    command = ["night", tmp_path / "in", "-o", tmp_path / "out", "--workers", 1]
    for k in range(n):
        if k % 4 == 0 and (tmp_path / "out").exists():  # from the beginning, and not only its end
            (tmp_path / "out").rename(tmp_path / f"before_{k}")
        process = runs.start(*command)
        time.sleep(rng.uniform(0.3, usual))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        for name in OUTPUTS:  # there whole, or not at all
            path = tmp_path / "out" / name
            if name in TABLES and path.exists():
                assert path.read_bytes() == (tmp_path / "expected" / name).read_bytes()
    assert runs.run(*command, patience=600)[0] == 0
    for name in TABLES:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "expected" / name).read_bytes()
    tried(n)


@pytest.mark.promise(
    "Positions", "frames with ten times as many hot pixels called real as stars are aligned by the stars"
)
def test_hot_pixels_do_not_align(tried):
    n = times(10, 200)
    for seed in range(n):
        rng = np.random.default_rng(seed)
        stars, hot = scattered(rng, 65), scattered(rng, 650)
        shift = rng.uniform(-40, 40, 2) + np.array([3.0, 3.0])
        there = turned(stars, rng.uniform(-0.3, 0.3), shift)
        seen = there + rng.normal(0, 0.12, there.shape)
        # The brightest first, in both frames nearly in the same order.
        rank = rng.permutation(715)
        orders = [np.argsort(rank * rng.normal(1.0, 0.1, 715)) for _ in range(2)]
        affine = align(np.vstack([seen, hot])[orders[0]], np.vstack([stars, hot])[orders[1]])
        if np.hypot(*shift) > 3.0:
            assert affine is not None
            assert error(affine, there, stars) < 0.5
    tried(n)


@pytest.mark.promise(
    "Positions", "a mover of 0.5 to 18 pixels a frame is one source, and chance makes no tracks"
)
def test_movers(tried):
    n = times(6, 100)
    for seed in range(n):
        rng = np.random.default_rng(seed)
        parts = field_of(rng, n_once=int(rng.integers(0, 50)))
        step, angle = np.exp(rng.uniform(np.log(0.5), np.log(18.0))), rng.uniform(0, 2 * np.pi)
        way = step * (np.arange(N) - 7)[:, None] * np.array([np.cos(angle), np.sin(angle)])
        own = 350.0 + way + rng.normal(0, 0.12, way.shape)
        parts += [detections(k, *own[k], snr=77.0) for k in range(N)]
        rows, found = merged(parts)
        assert of_kind(found, "moving").size == 1, seed
        [number] = of_kind(found, "moving")
        assert np.count_nonzero((rows["snr"] == 77.0) & (found.label == number)) >= 0.8 * N, seed
    tried(n)
