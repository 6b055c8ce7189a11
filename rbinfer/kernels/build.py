"""Makes the library of kernels: for a wheel, or for the user's cache.

Numba and LLVM make the objects, in a process of their own (`rbinfer.kernels.emit`); a C compiler links
them. Light to import, and without NumPy: the build of a wheel asks it first what it needs.
"""

import ctypes
import hashlib
import importlib.util
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from .._util.compiling import announce_compiling
from ..errors import RbinferError
from .library import LEVELS, PACKAGE, cache_folder, file_name, find

log = logging.getLogger(__name__)

_COMPILERS = ("cc", "gcc", "clang")
#: Nothing of the C library is linked: `memset` is that of the process, so any C library will do.
_FLAGS = (
    "-shared", "-fPIC", "-O2", "-nostdlib", "-fno-stack-protector", "-fvisibility=hidden", "-s",
    "-Wl,--build-id=none", "-Wl,-z,noexecstack",
)  # fmt: skip
#: Machine code that former versions kept, kernel by kernel, and what was left of writing it.
_FORMER = re.compile(r"[a-z_]+-[0-9a-f]{32}\.code(\.[0-9a-f]{16})?")
_OURS = re.compile(r"kernels-[0-9a-f]{32}\.so")
#: Libraries of other checkouts and versions that the user's cache has room for.
_MOST_KEPT = 8


class BuildError(RbinferError):
    """The library cannot be made here."""


def is_supported() -> bool:
    """Tell whether there can be a library for this machine: Linux on x86-64, 64 bits."""
    return sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 2**32


def find_compiler() -> list[str] | None:
    """Return the command of a C compiler: the system's, else that of the package ``ziglang``."""
    for name in _COMPILERS:
        if (found := shutil.which(name)) is not None:
            return [found]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    return None


def build(folder: Path, levels: Sequence[int] | None = None) -> Path:
    """Make the library of the sources beside this file.

    Parameters
    ----------
    folder : Path
        Where it goes; made if need be. The file is whole or not there.
    levels : sequence of int, optional
        Of `rbinfer.kernels.library.LEVELS`; that of this machine by default.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    BuildError
        There is no compiler, no Numba, no source files, or one of them fails.
    OSError
        The folder cannot be written.
    """
    name = file_name()
    if name is None or not is_supported():
        raise BuildError("kernels are made beforehand from source files, on Linux, on x86-64")
    compiler = find_compiler()
    if compiler is None:
        raise BuildError(f"there is no C compiler: none of {', '.join(_COMPILERS)}, nor ziglang")
    if importlib.util.find_spec("numba") is None:
        raise BuildError("Numba, which compiles the kernels, is not installed")
    announce_compiling()
    with TemporaryDirectory() as place:
        scratch = Path(place)
        if levels is None:
            levels = [_level_of_machine(compiler, scratch)]
        _run([sys.executable, "-m", "rbinfer.kernels.emit", place, *map(str, levels)], scratch)
        objects = sorted(path.name for path in scratch.glob("*.o"))
        data = _linked(compiler, objects, scratch)
    data += hashlib.sha256(data).digest()
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{name}.{os.urandom(8).hex()}"
    try:
        written.write_bytes(data)
        written.chmod(0o644)
        written.replace(folder / name)
    finally:
        written.unlink(missing_ok=True)
    return folder / name


def build_into_cache(levels: Sequence[int] | None = None) -> Path:
    """Make the library for the user's cache, where later processes find it; see `build`."""
    folder = cache_folder()
    if folder is None:
        raise BuildError("there is no home directory to keep the library in; set XDG_CACHE_HOME")
    path = build(folder, levels)
    find.cache_clear()
    others = [each for each in folder.iterdir() if _OURS.fullmatch(each.name) and each != path]
    for each in sorted(others, key=lambda other: other.stat().st_mtime)[:-_MOST_KEPT]:
        each.unlink(missing_ok=True)
    return path


def remove_former() -> int:
    """Delete the machine code that former versions kept in files of their own; returns how many."""
    asked = os.environ.get("NUMBA_CACHE_DIR")
    removed = 0
    for place in (PACKAGE / "__pycache__", cache_folder(), Path(asked) if asked else None):
        if place is None or not place.is_dir():
            continue
        for path in place.iterdir():
            if _FORMER.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                with suppress(OSError):
                    path.unlink()
                    removed += 1
    return removed


def _level_of_machine(compiler: Sequence[str], scratch: Path) -> int:
    path = scratch / "level.so"
    path.write_bytes(_linked(compiler, [], scratch))
    level = int(ctypes.CDLL(str(path)).rbinfer_cpu_level())
    if level not in LEVELS:
        raise BuildError(
            f"this CPU is of level {level} of x86-64; the kernels need {min(LEVELS)} or more"
        )
    return level


def _linked(compiler: Sequence[str], objects: Sequence[str], scratch: Path) -> bytes:
    """Link objects with what they need; file names are relative, so that none differs between builds."""
    shutil.copyfile(PACKAGE / "support.c", scratch / "support.c")
    _run([*compiler, *_FLAGS, "-o", "linked.so", "support.c", *objects], scratch)
    return (scratch / "linked.so").read_bytes()


def _run(command: Sequence[str], scratch: Path) -> None:
    """Run a program of the build, with those settings of Numba's alone that the build needs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    path = filter(None, (str(PACKAGE.parents[1]), os.environ.get("PYTHONPATH")))
    # What Numba optimises has the vectors of this machine; LLVM optimises it later, for each level.
    environment |= {"NUMBA_OPT": "0", "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    environment["PYTHONPATH"] = os.pathsep.join(path)
    done = subprocess.run(
        command, cwd=scratch, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        log.info("%s failed:\n%s", command[0], "\n".join(lines))
        raise BuildError(f"{Path(command[0]).name} ended with {done.returncode}: {lines[-1]}")
