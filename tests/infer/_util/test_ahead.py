"""Files that the system reads ahead."""

import os
import time

import pytest

from rbinfer._util.ahead import read_ahead

SIZE = 8 << 20  # bytes


def cached_share(path):
    """Return the share of the blocks of a file that can be read without waiting for the disk."""
    found = 0
    with path.open("rb") as file:
        for start in range(0, SIZE, 1 << 16):
            try:
                found += os.preadv(file.fileno(), [bytearray(1 << 16)], start, os.RWF_NOWAIT) == 1 << 16
            except BlockingIOError:
                pass
            except OSError:
                pytest.skip("the file system does not tell what it has cached")
    return found / (SIZE >> 16)


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="the system does not tell what it has cached")
def test_a_file_is_read_while_nobody_waits(tmp_path):
    path = tmp_path / "frame.fits"
    path.write_bytes(os.urandom(SIZE))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached_share(path) > 0.5:
        pytest.skip("the file system keeps what it is told to drop")
    read_ahead(path)
    end = time.monotonic() + 30
    while cached_share(path) < 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert cached_share(path) == 1


def test_what_is_no_file_is_passed_over(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent.fits", "pipe", "."):
        read_ahead(tmp_path / name)
