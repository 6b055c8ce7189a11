"""Memory that a process frees and takes again."""

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource
import sys
import numpy as np
from rbinfer._util.machine import keep_freed_memory
if sys.argv[1] == "keeps":
    assert keep_freed_memory(2**29)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    np.empty(500_000, np.float32).fill(1.0)
    np.empty(20_000_000, np.float32).fill(1.0)
use()
before = faults()
for _ in range(10):
    use()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_memory_that_is_kept_is_not_cleared_again():
    # Some libraries set such variables for the processes that they start.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}

    def faults(how):
        done = subprocess.run(
            [sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True, env=plain
        )
        return int(done.stdout)

    assert faults("keeps") < 10 < faults("does not")


def test_what_the_user_set_stays_in_force():
    code = "from rbinfer._util.machine import keep_freed_memory; print(keep_freed_memory(2**29))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"MALLOC_TRIM_THRESHOLD_": "100000"},
    )  # fmt: skip
    assert done.stdout.strip() == "False"
