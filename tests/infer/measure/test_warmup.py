"""Warming up leaves nothing to be compiled later."""

import subprocess
import sys

CODE = """
from rbinfer.measure.warmup import warmup
from rbinfer.kernels import dispatch
print(sum(kernel._function is None for kernel in dispatch.KERNELS))
seconds = warmup()
print(sum(kernel._function is None for kernel in dispatch.KERNELS))
assert 0 < seconds < 600
"""


def test_warmup_readies_every_kernel():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    # Numba never compiles the one that writes tables: without a library, Python writes them.
    assert done.stdout.split() == ["13", "1"]


WITHOUT = """
from rbinfer.measure.warmup import warmup
from rbinfer.kernels import dispatch
warmup(detects=False)
print(*[kernel.name for kernel in dispatch.KERNELS if kernel._function is None])
"""


def test_warmup_without_a_detection_leaves_its_kernels():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "measure_mesh", "find_runs", "label_runs", "group_runs", "measure_islands", "find_wings",
        "drop_wings", "write_rows",
    ]  # fmt: skip
