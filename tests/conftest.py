"""What all tests share: Ctrl-C reaches what they start, BLAS has one thread, kernels are made once."""

import os
import signal
import warnings

import pytest

from rbinfer.kernels import build, library

# On a few CPUs its threads wait for one another: fits of small matrices take up to four times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell ignores SIGINT for what it starts in the background, and so would all children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def kernels_made_once():
    """Make the library for all levels, unless it is there: no process of a test has to compile."""
    found = library.find().library
    if build.is_supported() and (found is None or library.levels_of(found.handle) != library.LEVELS):
        try:
            build.build_into_cache(library.LEVELS)
        except build.BuildError as error:
            warnings.warn(f"tests compile the kernels: {error}", stacklevel=1)


@pytest.fixture(scope="session")
def kernels_as_library(kernels_made_once):
    """The library; without one, the test is skipped, or fails where all tests have to run."""
    found = library.find().library
    if found is None:
        missing = "there is no library of kernels, and it could not be made"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found


@pytest.fixture(scope="session")
def bounds_checked(tmp_path_factory):
    """Environment of processes in which Numba checks bounds; what it compiles is kept apart."""
    place = tmp_path_factory.mktemp("bounds")
    return {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(place)}
