"""The kernels' machine code on disk: damage, and processes that make it at once and are killed."""

import os
import platform
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from rbinfer.kernels import dispatch

from .scale import times

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="code is kept on Linux, x86-64"
)

MAKE = (
    "import numpy as np, sys\n"
    "from rbinfer.kernels.dispatch import Kernel\n"
    "print('begun', flush=True)\n"
    "kernel, values = Kernel('asinh_array', 'f1 f1'), np.linspace(-9, 9, 999, dtype='f4')\n"
    "out = np.empty_like(values)\n"
    "kernel(values, out)\n"
    "assert kernel.is_native\n"
    "sys.stdout.write(out.tobytes().hex())"
)


def started(place):
    return subprocess.Popen(
        [sys.executable, "-c", MAKE],
        env=os.environ | {"NUMBA_CACHE_DIR": str(place)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.promise("Files", "Kept code of kernels with a bit changed, or cut, anywhere: not run")
def test_damaged_code(tmp_path, monkeypatch, tried):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    dispatch.Kernel("asinh_array", "f1 f1").bind()
    (path,) = tmp_path.glob("*.code")
    whole = path.read_bytes()
    assert dispatch._read(path) == whole
    rng = np.random.default_rng(11)
    for _ in range(times(500, 50_000)):
        data = bytearray(whole)
        if rng.random() < 0.8:
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        else:
            data = data[: rng.integers(len(data))]
        path.write_bytes(data)
        assert dispatch._read(path) is None
        tried()


@pytest.mark.promise(
    "Faults", "Processes that compile kernels at once, killed at any time: whole code, same bits"
)
def test_killed_while_compiling(tmp_path, tried):
    expected = None
    for case in range(times(2, 50)):
        place = tmp_path / str(case)
        processes = [started(place) for _ in range(3)]
        for process in processes[1:]:
            process.stdout.readline()
        victims, pause = processes[1:], random.Random(case).uniform(0, 4)
        time.sleep(pause)
        for process in victims:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        said, _ = processes[0].communicate(timeout=120)
        assert processes[0].returncode == 0
        code = [file for file in place.iterdir() if file.suffix == ".code"]
        assert len(code) == 1
        assert dispatch._read(code[0])
        expected = expected or said
        assert said == expected
        tried()
