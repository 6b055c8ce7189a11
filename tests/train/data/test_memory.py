"""Memory that a fit frees is there for its next step, without the system."""

import platform
import subprocess
import sys

import pytest

# Fills and frees buffers as large as a batch's maps, and counts the pages that the system had to give.
_CODE = """
import resource, sys
import numpy as np
if sys.argv[1] == "kept":
    from rbtrain.data.memory import keep_freed_memory
    assert keep_freed_memory()
np.ones(2**21), np.ones(2**21)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    a, b = np.ones(2**21), np.ones(2**21)
    del a, b
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_not_asked_for_again():
    kept, given_back = (
        int(subprocess.check_output([sys.executable, "-c", _CODE, how], text=True))
        for how in ("kept", "plain")
    )
    # 20 x 2 buffers of 16 MiB are 163,840 pages of 4 KiB; large pages may make it fewer.
    assert kept < 50
    assert given_back > 5 * max(kept, 10)
