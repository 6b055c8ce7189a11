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
    assert done.stdout.split() == ["11", "0"]
