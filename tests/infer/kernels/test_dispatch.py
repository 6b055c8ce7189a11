"""Kernels as code from a file: the same as Numba's, kept once, or left to Numba."""

import multiprocessing
import os
import platform
import shutil
import sys
import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.caching import FunctionCache

from rbinfer import PreprocessSpec, preprocess_cutout
from rbinfer.cutouts.cutter import Cutter
from rbinfer.io.exposure import as_exposure
from rbinfer.kernels import compile, dispatch, jit, numerics, sources
from rbinfer.kernels.dispatch import Kernel

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="code is kept on Linux, x86-64"
)

VALUES = np.linspace(-50, 50, 777, dtype=np.float32)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def no_compiler(monkeypatch):
    def object_code(name, kinds):
        raise AssertionError(f"{name} is compiled")

    return lambda: monkeypatch.setattr(compile, "object_code", object_code)


def small():
    return Kernel("asinh_array", "f1 f1")


def result(kernel):
    out = np.empty_like(VALUES)
    kernel(VALUES, out)
    return out


EXPECTED = np.arcsinh(VALUES)


def test_kept_and_found_again(place, no_compiler):
    first = small()
    np.testing.assert_allclose(result(first), EXPECTED, rtol=1e-6)
    assert first.state() == (True, True, place, None)
    assert [path.suffix for path in place.iterdir()] == [".code"]
    no_compiler()
    second = small()
    assert result(second).tobytes() == result(first).tobytes()
    assert second.state() == (True, False, place, None)


def test_bits_are_numbas(place):
    out = np.empty_like(VALUES)
    numerics.asinh_array(VALUES, out)
    kernel = small()
    assert result(kernel).tobytes() == out.tobytes()
    assert kernel.is_native


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_damaged_file_is_made_anew(place, damage):
    first = small()
    expected = result(first)
    (path,) = place.iterdir()
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes({"flipped": bytes(data), "cut": data[:-50], "emptied": b""}[damage])
    assert result(first).tobytes() == expected.tobytes()  # what runs is not touched by it
    second = small()
    assert result(second).tobytes() == expected.tobytes()
    assert second.state() == (True, True, place, None)
    assert small().state() == (True, False, place, None)


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_file_that_others_can_write_is_not_run(place, mode):
    result(small())
    (path,) = place.iterdir()
    path.chmod(mode)
    second = small()
    result(second)
    assert second.state() == (True, True, place, None)
    assert path.stat().st_mode & 0o777 == 0o644


def test_next_place_is_asked_where_a_file_cannot_be_used(tmp_path, monkeypatch):
    places = [tmp_path / "one", tmp_path / "two"]
    monkeypatch.setattr(dispatch, "_places", lambda: iter(places))
    result(small())
    places.reverse()
    result(kernel := small())
    assert kernel.state() == (True, False, tmp_path / "one", None)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (path,) = (tmp_path / "two").iterdir()
    path.chmod(0o666)
    result(kernel := small())
    assert kernel.state() == (True, False, tmp_path / "one", None)


def test_what_cannot_be_linked_is_numbas_and_not_tried_again(place, monkeypatch, caplog):
    tried = []

    def object_code(name, kinds):
        tried.append(name)
        return b"no object file, which is as good as one of an unknown kind: " + bytes(64), "entry"

    monkeypatch.setattr(compile, "object_code", object_code)
    caplog.set_level("INFO", "rbinfer")
    for _ in range(2):
        kernel = small()
        np.testing.assert_allclose(result(kernel), EXPECTED, rtol=1e-6)
        assert not kernel.is_native
    assert tried == ["asinh_array"]
    assert (
        "asinh_array is left to Numba: it is not compiled into code that can stand alone" in caplog.text
    )
    assert kernel.state().why == "it is not compiled into code that can stand alone"


def test_another_interface_of_llvm_is_not_tried_again(place, monkeypatch):
    def renamed(*args):
        raise AttributeError("parse_assembly was renamed")

    monkeypatch.setattr(compile, "_emitted", renamed)
    result(kernel := small())
    assert not kernel.is_native
    monkeypatch.undo()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(place))
    assert not small().is_native


@pytest.mark.parametrize("error", [RecursionError("too deep"), compile.NumbaError("no"), KeyError("x")])
def test_failures_of_one_process_are_not_kept(place, monkeypatch, error):
    def object_code(name, kinds):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(compile, "object_code", object_code)
        result(kernel := small())
        assert type(error).__name__ in kernel.state().why
    assert not place.exists()
    assert small().is_native


@pytest.mark.parametrize(
    "error", [MemoryError(), KeyboardInterrupt(), TimeoutError("of a signal's handler")]
)
def test_other_errors_go_up_and_nothing_is_kept(place, monkeypatch, error):
    def object_code(name, kinds):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(compile, "object_code", object_code)
        with pytest.raises(type(error)):
            result(small())
    assert not place.exists()
    assert np.isfinite(result(small())).all()


def test_memory_that_cannot_be_executed(place, monkeypatch):
    def refuse(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(dispatch.mmap, "mmap", refuse)
    kernel = small()
    np.testing.assert_allclose(result(kernel), EXPECTED, rtol=1e-6)
    assert not kernel.is_native
    assert "cannot be mapped" in kernel.state().why


def test_full_disk(place, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    kernel = small()
    np.testing.assert_allclose(result(kernel), EXPECTED, rtol=1e-6)
    assert not kernel.is_native
    assert not list(place.iterdir())


def test_place_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "kept"))
    kernel = small()
    assert kernel.is_native
    assert kernel.state().place == dispatch._PACKAGE / "__pycache__"


@pytest.mark.parametrize(
    ("name", "value"), [("NUMBA_OPT", "1"), ("NUMBA_CPU_NAME", "haswell"), ("NUMBA_BOUNDSCHECK", "1")]
)
def test_settings_of_numba_are_numbas(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert dispatch.file_name(small()) is None


def test_settings_that_change_no_code(monkeypatch):
    before = dispatch.file_name(small())
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert dispatch.file_name(small()) == before


@pytest.mark.parametrize(("name", "value"), [("OPT", 0), ("BOUNDSCHECK", 1), ("DISABLE_JIT", 1)])
def test_settings_by_a_program_or_a_file_are_not_kept(place, monkeypatch, name, value):
    monkeypatch.setattr(numba.config, name, value)
    kernel = small()
    assert f"setting {name} is {value}" in (kernel.function and kernel.state().why)
    assert not place.exists()


def test_files_that_were_replaced_while_the_process_runs(place, monkeypatch):
    monkeypatch.setattr(jit, "DIGEST", "another")
    kernel = small()
    np.testing.assert_allclose(result(kernel), EXPECTED, rtol=1e-6)
    assert "were replaced" in kernel.state().why
    assert not place.exists()


def test_package_without_sources(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "_FOLDER", tmp_path)
    assert sources.digest_of_sources() is None
    monkeypatch.setattr(dispatch, "_DIGEST", None)
    assert dispatch.file_name(small()) is None


def test_numbas_cache_is_not_asked(place, monkeypatch):
    """It might have been filled by other settings."""
    asked = []
    monkeypatch.setattr(type(numerics.asinh._cache), "load_overload", lambda *args: asked.append(args))
    compile.object_code("asinh_array", ("f1", "f1"))
    assert not asked
    assert isinstance(numerics.asinh._cache, FunctionCache)


def test_cpu_that_is_not_told(monkeypatch, tmp_path):
    real = open

    def masked(file, *args, **kwargs):
        return real(tmp_path / "empty" if file == "/proc/cpuinfo" else file, *args, **kwargs)

    (tmp_path / "empty").touch()
    monkeypatch.setattr("builtins.open", masked)
    assert dispatch._compiler.__wrapped__() is None


def test_leftovers_of_killed_processes_go(place):
    place.mkdir()
    old, young = (place / f"asinh_array-{name}.code.0123456789abcdef" for name in ("old", "young"))
    for path in (old, young):
        path.touch()
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    result(small())
    assert not old.exists()
    assert young.exists()


@pytest.mark.filterwarnings("ignore:.*fork")
def test_fork_while_a_kernel_is_loaded(place):
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


def test_kernels_have_files_of_their_own(place):
    assert len({dispatch.file_name(kernel) for kernel in dispatch.preprocess_reference.values()}) == 2


@pytest.mark.parametrize(
    "values", [VALUES.astype("f8"), VALUES.astype(">f4"), VALUES[::2], VALUES[np.newaxis]]
)
def test_other_arrays_are_refused(values):
    kernel = small()
    with pytest.raises(TypeError, match="kernels take contiguous arrays of float32 in 1 dim"):
        kernel(values, np.empty_like(VALUES))
    with pytest.raises(TypeError, match="kernels take contiguous arrays of float32 in 1 dim"):
        kernel.bind(VALUES)(values)


def test_arrays_that_are_read_only_or_empty():
    values, out = VALUES.copy(), np.empty_like(VALUES)
    values.flags.writeable = False
    kernel = Kernel("asinh_array", "f1 f1")
    kernel.bind()(values, out)
    np.testing.assert_allclose(out, EXPECTED, rtol=1e-6)
    kernel.bind()(values[:0], out[:0])


def test_threads_load_a_kernel_once(place):
    kernel, results = small(), []
    threads = [threading.Thread(target=lambda: results.append(result(kernel))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.tobytes() for each in results}) == 1
    assert len(list(place.iterdir())) == 1


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(3)
    image = rng.normal(500, 7, (120, 140)).astype(np.float32)
    for _ in range(40):
        i, j = rng.integers(2, 118), rng.integers(2, 138)
        image[i - 2 : i + 3, j - 2 : j + 3] += rng.exponential(300)
    image[rng.integers(0, 120, 20), rng.integers(0, 140, 20)] = np.nan
    x, y = rng.uniform(-2, 142, 80), rng.uniform(-2, 122, 80)
    mask = rng.random(image.shape) < 0.02
    return image, mask, x, y


@pytest.mark.parametrize("fwhm", [1.2, 3.0, 4.0, 7.3])
@pytest.mark.parametrize("preset", ["reference", "default"])
def test_cutouts_are_numbas_bit_for_bit(scene, monkeypatch, preset, fwhm):
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    image, mask, x, y = scene
    noise = np.full_like(image, 7)
    noise[:40] = 9
    cases = [{}, {"mask": mask}, {"bg": noise + 491, "err": noise}, {"bg": 500.0, "err": 7.0}]

    spec = getattr(PreprocessSpec, preset)()

    def cut():
        return [
            Cutter.prepare(as_exposure(image, fwhm=fwhm, saturation=900, **case), spec).cut(x, y)
            for case in cases
        ]  # fmt: skip

    kernel = getattr(dispatch, f"cut_{preset}")
    kept = cut()
    assert kernel.is_native
    with monkeypatch.context() as patched:
        patched.setattr(dispatch, "file_name", lambda kernel: None)
        patched.setattr(dispatch, kernel.name, Kernel(kernel.name, " ".join(kernel.kinds)))
        numbas = cut()
        assert not getattr(dispatch, kernel.name).is_native
    for one, other in zip(kept, numbas, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_single_cutouts_are_numbas_bit_for_bit(scene, monkeypatch, dtype):
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    cutout = scene[0][:33, :37].astype(dtype)

    def made():
        return [
            preprocess_cutout(cutout, background, fwhm=fwhm)[0]
            for fwhm in (None, 1.0, 3.0, 7.0)
            for background in (None, np.full_like(cutout, 490), 480.0)
        ]

    kept = made()
    numbas = {
        letter: Kernel(kernel.name, " ".join(kernel.kinds))
        for letter, kernel in dispatch.preprocess_reference.items()
    }
    with monkeypatch.context() as patched:
        patched.setattr(dispatch, "file_name", lambda kernel: None)
        patched.setattr(dispatch, "preprocess_reference", numbas)
        others = made()
    assert not numbas[np.dtype(dtype).char].is_native
    assert [each.tobytes() for each in kept] == [each.tobytes() for each in others]
