"""Pixels in a file are as those in memory, and what was walked over is let go."""

import errno
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from rbinfer.io import scratch
from rbinfer.io.arrays import as_image, values_at

pytestmark = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="images are kept in memory here"
)


def room_for(shape):
    """Return pixels of which each tells its place."""

    def fill(part, first):
        size = part[0].size
        part[:] = np.arange(first * size, first * size + part.size).reshape(part.shape)

    pixels = scratch.filled(shape, np.float32, 7, fill)
    assert (pixels.ravel() == np.arange(pixels.size)).all()
    return pixels


@pytest.fixture
def in_file(monkeypatch, tmp_path):
    """Let images of more than 1000 pixels be large, and a few hundred be in memory."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(scratch, "LARGE", 1000)
    monkeypatch.setattr(scratch, "_BAND", 300)
    monkeypatch.setattr(scratch, "_SCATTERED", 7)


def test_what_is_let_go_is_read_again(in_file, tmp_path):
    image = np.random.default_rng(0).normal(size=(50, 60)).astype(np.float32)
    pixels = scratch.copy_of(image)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert not list(tmp_path.iterdir())
    scratch.release(pixels[3:])
    np.testing.assert_array_equal(pixels, image)
    pixels[20] = 7.0
    scratch.release(pixels)
    assert (pixels[20] == 7.0).all()
    assert as_image(pixels)[0].base is not None
    assert np.shares_memory(as_image(pixels)[0], pixels)


def test_bands_are_all_rows_once(in_file):
    pixels = room_for((50, 60))
    assert [(rows.start, rows.stop) for rows in scratch.bands(pixels)] == [
        (first, first + 5) for first in range(0, 50, 5)
    ]
    assert [(rows.start, rows.stop) for rows in scratch.bands(np.empty((50, 60)))] == [(0, 50)]


def test_pixels_here_and_there(in_file):
    rng = np.random.default_rng(1)
    image = rng.normal(size=(50, 60)).astype(np.float32)
    pixels = scratch.copy_of(image)
    y, x = rng.integers(0, 50, (9, 1)), rng.integers(0, 60, 13)
    np.testing.assert_array_equal(scratch.taken(pixels, y, x), image[y, x])
    np.testing.assert_array_equal(scratch.taken(pixels.T, x, y), image.T[x, y])
    y, x = rng.integers(-5, 55, (2, 40))
    np.testing.assert_array_equal(values_at(pixels, None, y, x), values_at(image, None, y, x))
    assert scratch.taken(pixels, y[:0], x[:0]).shape == (0,)


def test_positions_are_near_each_other_until_the_next_are_let_in(in_file, monkeypatch):
    # Strip by strip, positions may be 32 rows apart however wide the rows are.
    by_strips = np.array([31.0, 0.0, 30.0, 2.0, 63.0, 33.0])
    assert len([*scratch.Passing(room_for((70, 60))).parts(by_strips)]) == 1
    monkeypatch.setattr(scratch, "_ROWS_APART", 1)
    y = np.array([3.0, 1.0, 4.9, 9.0, np.nan, np.inf, np.inf, 30.0, 34.0, 36.0])
    found = [(part.start, part.stop) for part in scratch.Passing(room_for((50, 60))).parts(y)]
    assert found == [(0, 3), (3, 5), (5, 7), (7, 9), (9, 10)]
    assert [*scratch.Passing(np.zeros((50, 60))).parts(y)] == [slice(0, 10)]
    assert not [*scratch.Passing(room_for((50, 60))).parts(y[:0])]


def test_a_failure_on_the_way_leaves_nothing(in_file, tmp_path):
    def fill(part, first):
        if first == 21:
            raise OSError("it ends before its data do")

    with pytest.raises(OSError, match="it ends"):
        scratch.filled((50, 60), np.float32, 7, fill)
    assert not list(tmp_path.iterdir())


def test_what_is_not_float32_is_in_memory(in_file):
    pixels = scratch.filled((50, 60), np.float64, 7, lambda part, first: part.fill(first))
    assert pixels.dtype == np.float64
    assert pixels.base is None
    assert (pixels[49] == 49.0).all()


def test_a_small_image_is_in_memory(in_file):
    assert room_for((10, 100)).base is None
    assert room_for((10, 101)).base is not None


def test_without_room_on_the_disk_it_is_in_memory(in_file, monkeypatch, caplog, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert room_for((50, 60)).base is None
    assert re.search(
        rf"kept in memory: {tmp_path} cannot hold its 1\.2e-05 GB \(No space left on device\); "
        "set TMPDIR",
        caplog.text,
    )


MEMORY = """
import resource, numpy as np
from rbinfer.io import scratch
from rbinfer.io.arrays import spread_over, values_at
def most():
    return [int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")][0] / 1024
def faults():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_majflt + usage.ru_minflt
before = most()
scratch.LARGE, scratch._BAND, scratch._SCATTERED = 1000, 1 << 18, 256
def fill(part, _):
    part[:] = np.arange(8192)
counted = faults()
pixels = scratch.filled((4096, 8192), np.float32, 16, fill)
assert faults() - counted < 1000, "the pages of the file are 32768"
total = sum(int(pixels[rows].sum(dtype=np.float64)) for rows in scratch.bands(pixels))
assert total == 4096 * 8192 * 8191 // 2, total
y, x = spread_over(pixels.shape, 20_000)
assert (values_at(pixels, None, y, x) == x).all()
y = np.sort(y)
for near in scratch.Passing(pixels).parts(y.astype(float)):
    assert (pixels[y[near], x[near]] == x[near]).all()
print(most() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="tells nothing of its memory")
def test_128_megabytes_are_walked_over_in_fewer():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 40


def test_maps_of_others_are_left_alone(in_file, tmp_path):
    image = np.random.default_rng(1).normal(size=(50, 60)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="c")
    mapped += np.float32(1000)
    scratch.release(mapped)
    for _ in scratch.bands(mapped):
        pass
    np.testing.assert_array_equal(mapped, image + np.float32(1000))
    np.testing.assert_array_equal(scratch.copy_of(mapped), image + np.float32(1000))
