"""Finds the kernels as machine code that was made beforehand: a shared library.

A wheel brings one; `rbinfer.kernels.build` makes one for a source tree. Its name has the digest of the
sources that it comes from, so that code of other sources is not even opened. The last 32 bytes are the
SHA-256 of the rest.
"""

import ctypes
import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .sources import digest_of_sources

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent
#: Bytes of the hash that ends a file.
HASH = 32
#: Levels of x86-64 (System V ABI) that there may be code for: with SSE4.2, AVX2 and AVX-512.
LEVELS = (2, 3, 4)
#: What a kernel's code takes: room for Numba's result and exception, and then the addresses of arrays,
#: whole numbers (lengths among them) and real ones. Returns 0, or Numba's mark of an exception.
_ARGUMENTS = [ctypes.c_void_p] * 5

#: Files may be replaced while a process runs; it keeps to the code that goes with what it imported.
_DIGEST = digest_of_sources()


class LibraryError(Exception):
    """A file that is no library for this machine."""


@dataclass(frozen=True)
class Library:
    """A library of kernels, opened.

    Attributes
    ----------
    path : Path
    level : int
        Of x86-64: whose code is run.
    handle : ctypes.CDLL
    """

    path: Path
    level: int
    handle: ctypes.CDLL

    def function(self, symbol: str) -> Any:
        """Return the code of a kernel, by `rbinfer.kernels.dispatch.Kernel.symbol`."""
        function = self.handle[symbol_at(symbol, self.level)]
        function.argtypes, function.restype = _ARGUMENTS, ctypes.c_int32
        return function


@dataclass(frozen=True)
class Found:
    """What a search for the library found.

    Attributes
    ----------
    library : Library or None
    passed_over : tuple of str
        Why files were not taken, a sentence each.
    """

    library: Library | None
    passed_over: tuple[str, ...] = ()


def symbol_at(symbol: str, level: int) -> str:
    """Return the name in the library of a kernel's code for a level."""
    return f"rbinfer_{symbol}_v{level}"


def file_name() -> str | None:
    """Return the name of the library of these sources; None where they are not files."""
    return None if _DIGEST is None else f"kernels-{_DIGEST[:32]}.so"


def cache_folder() -> Path | None:
    """Return the user's folder for libraries; None for a user without a home."""
    if parent := os.environ.get("XDG_CACHE_HOME"):
        return Path(parent, "rbinfer").absolute()
    with suppress(RuntimeError):
        return Path.home() / ".cache/rbinfer"
    return None


@cache
def find() -> Found:
    """Look for the library in the package, then in the user's cache; files passed over are logged.

    Returns
    -------
    Found
        The same each time in a process.
    """
    passed: list[str] = []
    library = next(_usable(passed), None)
    for sentence in passed:
        log.warning("%s", sentence)
    return Found(library, tuple(passed))


def _usable(passed: list[str]) -> Iterator[Library]:
    name = file_name()
    if name is None:
        return
    passed += [
        f"{path} is of other sources" for path in PACKAGE.glob("kernels-*.so") if path.name != name
    ]
    user = cache_folder()
    for path in (PACKAGE / name, *(() if user is None else (user / name,))):
        try:
            if path.is_file():
                if path.parent == user:
                    _check_owner(path)
                yield opened(path)
        except (LibraryError, OSError) as error:
            passed.append(f"{path} is passed over: {error}")


def opened(path: Path, level: int | None = None) -> Library:
    """Open a library.

    Parameters
    ----------
    path : Path
    level : int, optional
        Whose code is to be run; the highest that file and CPU have by default.

    Returns
    -------
    Library

    Raises
    ------
    LibraryError
        The file is damaged, or has no code for this CPU.
    OSError
        It cannot be read or opened.
    """
    data = path.read_bytes()
    if hashlib.sha256(data[:-HASH]).digest() != data[-HASH:]:
        raise LibraryError("it is damaged")
    handle = ctypes.CDLL(str(path))
    highest = int(handle.rbinfer_cpu_level())
    held = levels_of(handle)
    usable = [each for each in held if each <= highest and level in (None, each)]
    if not usable:
        raise LibraryError(
            f"it has code for CPUs of the levels {', '.join(map(str, held))} of x86-64, and this one is "
            f"of {highest}"
        )
    return Library(path, max(usable), handle)


def levels_of(handle: ctypes.CDLL) -> tuple[int, ...]:
    """Return the levels that a library has code for."""
    return tuple(each for each in LEVELS if hasattr(handle, symbol_at("cut_default_f", each)))


def _check_owner(path: Path) -> None:
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LibraryError("others can write it")
