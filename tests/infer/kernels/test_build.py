"""The library is made whole or not at all, and why it cannot be made is said."""

import ctypes
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rbinfer._util.compiling import told_of_compiling
from rbinfer.kernels import build, library
from rbinfer.kernels.build import BuildError
from rbinfer.kernels.library import LEVELS

pytestmark = pytest.mark.skipif(not build.is_supported(), reason="libraries are for Linux on x86-64")
NAME = library.file_name()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cache/rbinfer"
    library.find.cache_clear()


@pytest.fixture
def no_kernels(monkeypatch):
    """A build without kernels, which take half a minute; and the levels that it was to have."""
    levels, run = [], build._run

    def quick(command, scratch):
        if "rbinfer.kernels.emit" in command:
            levels.append(command[4:])
        else:
            run(command, scratch)

    monkeypatch.setattr(build, "_run", quick)
    return levels


#: Makes objects of one small kernel for all levels in the working directory.
EMIT = (
    "from pathlib import Path; from rbinfer.kernels import dispatch, emit\n"
    "emit.emit(Path(), (2, 3, 4), [dispatch.drop_wings])"
)


def emitted(folder):
    environment = os.environ | {"NUMBA_OPT": "0", "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    folder.mkdir()
    subprocess.run([sys.executable, "-c", EMIT], cwd=folder, env=environment, check=True)
    return sorted(path.name for path in folder.glob("*.o"))


def test_from_a_kernel_to_its_result_with_the_same_bytes_twice(tmp_path, kernels_as_library):
    compiler = build.find_compiler()
    made = []
    for name in ("one", "another"):
        objects = emitted(tmp_path / name)
        assert objects == [f"rbinfer_drop_wings_q_v{level}.o" for level in LEVELS]
        made.append(build._linked(compiler, objects, tmp_path / name))
    assert made[0] == made[1]
    path = tmp_path / "linked.so"
    path.write_bytes(made[0])
    handle = ctypes.CDLL(str(path))
    pairs, kept = np.array([[0, 1], [1, 2], [3, 0]]), np.ones(4, bool)
    addresses = np.array([pairs.ctypes.data, kept.ctypes.data])
    numbers, reals, result = np.array([3, 2, 4]), np.zeros(1), np.zeros(2, np.int64)
    at = [each.ctypes.data for each in (result, result[1:], addresses, numbers, reals)]
    opened = library.Library(path, kernels_as_library.level, handle)
    assert opened.function("drop_wings_q")(*at) == 0
    assert kept.tolist() == [False, False, True, True]


def test_code_of_a_level_has_no_wider_vectors(kernels_as_library):
    """Whatever the vectors are of the machine that it was made on."""
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("there is no objdump")
    command = [objdump, "-d", "--no-show-raw-insn", kernels_as_library.path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = {level: set() for level in LEVELS}
    for function in re.split(r"^[0-9a-f]+ <", text, flags=re.MULTILINE):
        if named := re.match(r"rbinfer_\w+_v(\d)>", function):
            used[int(named[1])].update(re.findall(r"%([xyz]mm)\d", function))
    assert used == {2: {"xmm"}, 3: {"xmm", "ymm"}, 4: {"xmm", "ymm", "zmm"}}


def test_level_of_this_machine_by_default(tmp_path, no_kernels, kernels_as_library):
    path = build.build(tmp_path / "new")
    assert path == tmp_path / "new" / NAME
    assert no_kernels == [[str(kernels_as_library.level)]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    data = path.read_bytes()
    assert library.hashlib.sha256(data[:-32]).digest() == data[-32:]
    assert [each.name for each in path.parent.iterdir()] == [NAME]


def test_it_is_announced(tmp_path, no_kernels):
    heard = []
    with told_of_compiling(lambda: heard.append("told")):
        build.build(tmp_path)
    assert heard == ["told"]


def test_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    assert build.find_compiler() is None
    with pytest.raises(BuildError, match="there is no C compiler: none of cc, gcc, clang, nor ziglang"):
        build.build(tmp_path)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: name == "ziglang" or None)
    assert build.find_compiler() == [sys.executable, "-m", "ziglang", "cc"]
    assert not list(tmp_path.iterdir())


def test_no_numba(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        build.importlib.util, "find_spec", lambda name: None if name == "numba" else find_spec(name)
    )
    with pytest.raises(BuildError, match="Numba, which compiles the kernels, is not installed"):
        build.build(tmp_path)


def test_a_compiler_that_fails(tmp_path, monkeypatch):
    (tmp_path / "cc").write_text("#!/bin/sh\necho first >&2\necho 'no disk left' >&2\nexit 3\n")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BuildError, match="cc ended with 3: no disk left"):
        build.build(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_no_source_files(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "_DIGEST", None)
    with pytest.raises(BuildError, match="from source files"):
        build.build(tmp_path)


def test_a_full_disk_leaves_what_was_there(tmp_path, no_kernels, monkeypatch):
    path = tmp_path / NAME
    path.write_bytes(b"before")
    real = Path.write_bytes

    def full(self, data):
        if self.name.startswith("kernels-"):
            real(self, data[:100])
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        build.build(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [NAME]
    assert path.read_bytes() == b"before"


def test_the_users_cache_has_room_for_some_of_other_sources(cache, no_kernels):
    cache.mkdir(parents=True)
    others = [cache / f"kernels-{k:032x}.so" for k in range(12)]
    for k, path in enumerate(others):
        path.touch()
        os.utime(path, (time.time() - 1000 + k,) * 2)
    (cache / "of somebody else").touch()
    assert build.build_into_cache() == cache / NAME
    assert {path.name for path in cache.iterdir()} == {
        NAME, "of somebody else", *(path.name for path in others[4:])
    }  # fmt: skip


def test_no_home(monkeypatch):
    monkeypatch.setattr(build, "cache_folder", lambda: None)
    with pytest.raises(BuildError, match="no home directory"):
        build.build_into_cache()


def test_former_machine_code_goes_and_nothing_else(cache, tmp_path, monkeypatch):
    asked = tmp_path / "asked"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(asked))
    former = f"cut_default-{'0a' * 16}.code"
    stays = ["cut_default.code", f"cut_default-{'0a' * 16}.py", f"CUT-{'0a' * 16}.code", NAME]
    for folder in (cache, asked):
        folder.mkdir(parents=True)
        for name in (former, f"{former}.0123456789abcdef", *stays):
            (folder / name).touch()
    (asked / f"drop_wings-{'0a' * 16}.code").mkdir()
    assert build.remove_former() == 4
    assert sorted(path.name for path in cache.iterdir()) == sorted(stays)
    assert len(list(asked.iterdir())) == len(stays) + 1
