"""Kernels are run as code of a library, or by Numba, and what they are given is checked."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from rbinfer import RbinferError
from rbinfer.kernels import dispatch, library
from rbinfer.kernels.dispatch import Kernel
from rbinfer.kernels.library import Found

PAIRS = np.array([[0, 1], [0, 2], [1, 3]])
KEPT = [True, False, False, True]

needs_library = pytest.mark.usefixtures("kernels_as_library")


def small():
    return Kernel("drop_wings", "q2 ?1")


def result(kernel):
    kept = np.ones(4, bool)
    kernel(PAIRS, kept)
    return kept.tolist()


@pytest.fixture
def no_library(monkeypatch):
    monkeypatch.setattr(library, "find", lambda: Found(None, ("x.so is passed over: it is damaged",)))


@needs_library
def test_code_of_the_library_is_run():
    kernel = small()
    assert result(kernel) == KEPT
    assert kernel.state() == (True, False, library.find().library.path, None)


def test_numba_runs_it_where_no_library_fits(no_library):
    kernel = small()
    assert result(kernel) == KEPT
    assert not kernel.is_native
    assert kernel.state().why == "x.so is passed over: it is damaged"
    assert kernel.state().place is not None


@pytest.mark.parametrize(
    ("name", "value"), [("NUMBA_OPT", "1"), ("NUMBA_CPU_NAME", "haswell"), ("NUMBA_BOUNDSCHECK", "1")]
)
def test_settings_of_numba_are_numbas(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    kernel = small()
    assert not kernel.is_native
    assert kernel.state().why == f"{name} is set"


@needs_library
@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "NUMBA_DISABLE_JIT"])
def test_settings_that_change_no_code(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert small().is_native


def test_without_library_and_numba_the_error_says_what_to_install(monkeypatch, no_library):
    monkeypatch.setattr(dispatch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        RbinferError, match=r"x\.so is passed over: it is damaged, and Numba, .* is not "
    ):
        result(small())


@needs_library
def test_settings_of_numba_do_not_matter_without_numba(monkeypatch):
    monkeypatch.setattr(dispatch.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("NUMBA_OPT", "1")
    assert result(small()) == KEPT


@needs_library
def test_other_threads_run_while_a_kernel_does():
    """The code releases the GIL: a thread counts on while another is in a kernel."""
    kernel, n = small(), 40_000_000
    pairs, kept = np.zeros((n, 2), np.int64), np.ones(1, bool)
    call = kernel.bind()
    done, seen = threading.Event(), []

    def count():
        while not done.is_set():
            seen.append(time.perf_counter())
            time.sleep(0)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.perf_counter()
    call(pairs, kept)
    end = time.perf_counter()
    done.set()
    thread.join()
    assert sum(start < at < end for at in seen) > 1


@pytest.mark.filterwarnings("ignore:.*fork")
def test_fork_while_a_kernel_is_loaded():
    """The child has a lock of its own."""
    context = multiprocessing.get_context("fork")
    with dispatch._loading:
        holder = threading.Thread(target=dispatch._loading.acquire)
        holder.daemon = True
        holder.start()
    time.sleep(0.05)  # the thread holds it now, for good
    try:
        child = context.Process(target=lambda: result(small()))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    finally:
        dispatch._renew_lock()


@pytest.mark.parametrize(
    "pairs", [PAIRS.astype("i4"), PAIRS.astype(">i8"), PAIRS[:, ::-1], PAIRS[np.newaxis]]
)
def test_other_arrays_are_refused(pairs):
    kernel = small()
    with pytest.raises(TypeError, match="kernels take contiguous arrays of int64 in 2 dim"):
        kernel(pairs, np.ones(4, bool))
    with pytest.raises(TypeError, match="kernels take contiguous arrays of bool in 1 dim"):
        kernel.bind(PAIRS)(np.ones(4))


def test_arrays_that_are_read_only_or_empty():
    pairs, kept = PAIRS.copy(), np.ones(4, bool)
    pairs.flags.writeable = False
    small()(pairs, kept)
    assert kept.tolist() == KEPT
    small()(pairs[:0], kept[:0])


def test_symbols_differ():
    assert len({kernel.symbol for kernel in dispatch.KERNELS}) == len(dispatch.KERNELS) == 13


def test_compiling_is_announced_where_there_is_no_library(tmp_path):
    code = (
        "from rbinfer._util.compiling import told_of_compiling\n"
        "from rbinfer.kernels import library\n"
        "library.find = lambda: library.Found(None)\n"
        "from tests.infer.kernels.test_dispatch import result, small\n"
        "with told_of_compiling(lambda: print('told')): result(small())"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for told in ("told\n", ""):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout == told
