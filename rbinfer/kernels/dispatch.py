"""Calls the kernels: where possible as machine code of an earlier run, without Numba.

Importing Numba and LLVM takes 0.65 s and 126 MB, which a process that only scores can do without.
Kernels reserve no memory and need no function of others, so their code can be kept in a file and mapped.
Where that is not possible (on anything but Linux on x86-64, where memory may not be executed, with a
Numba that was told or has learnt to compile otherwise), Numba runs and caches them.
"""

import ctypes
import hashlib
import importlib.util
import logging
import mmap
import os
import platform
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._util.compiling import announce_compiling
from .elf import LinkError, link
from .sources import digest_of_sources

log = logging.getLogger(__name__)

#: Entry of a kernel's code: returns 0, or Numba's mark of an exception; takes room for Numba's result
#: and exception, and then the addresses of arrays, whole numbers (lengths among them) and real ones.
_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 5)
_PACKAGE = Path(__file__).parent
#: Settings of Numba that do not change what it compiles.
_HARMLESS = {
    "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY",
    "NUMBA_WARNINGS", "NUMBA_DISABLE_PERFORMANCE_WARNINGS", "NUMBA_DEBUG_CACHE",
}  # fmt: skip
#: Bytes of the hash that ends a file; before it, 8 bytes tell where the code is entered.
_HASH = 32
_DAY = 86400.0
#: One for all kernels: they are few, and a forked process needs a new one.
_loading = threading.RLock()


def _renew_lock() -> None:
    global _loading
    _loading = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


#: Files may be replaced while a process runs; it keeps to the code that goes with what it imported.
_DIGEST = digest_of_sources()


class State(NamedTuple):
    """How a kernel is run.

    Attributes
    ----------
    is_native : bool
        As machine code from a file; else by Numba.
    is_new : bool
        It was compiled by this process.
    place : Path or None
        Folder that it is kept in; None if every process compiles it.
    why : str or None
        Why Numba runs it, where that is not the rule.
    """

    is_native: bool
    is_new: bool
    place: Path | None
    why: str | None = None


class Kernel:
    """A function of :mod:`rbinfer.kernels`; loaded, or compiled, when it is first called.

    Parameters
    ----------
    name : str
        Of the function.
    arguments : str
        Its arguments: the letter of an array's dtype and the number of its dimensions, as in ``f2``, or
        ``q``, ``d`` and ``?`` for whole numbers, real numbers and truth values.
    """

    def __init__(self, name: str, arguments: str) -> None:
        self.name = name
        self.kinds = tuple(arguments.split())
        self._function: Any = None
        self._code: NDArray[np.uint8] | None = None
        self._is_new = False
        self._place: Path | None = None
        self._why: str | None = None

    def bind(self, *first: Any) -> "Call":
        """Return the kernel with its first arguments given, to be called many times with the rest."""
        return Call(self, first)

    def __call__(self, *arguments: Any) -> None:
        """Call the kernel once."""
        Call(self, arguments)()

    @property
    def function(self) -> Any:
        """Entry of the kernel's code, or Numba's function."""
        if self._function is None:
            with _loading:
                if self._function is None:
                    self._function = self._load()
        return self._function

    @property
    def is_native(self) -> bool:
        """Whether it is run as code from a file, and not by Numba."""
        return self.function is not None and self._code is not None

    def state(self) -> State:
        """Tell how the kernel is run; Numba knows that after the first call."""
        if self.is_native:
            return State(True, self._is_new, self._place)
        from . import compile

        return State(False, *compile.cached(self.function), self._why)

    def _load(self) -> Any:
        name = file_name(self)
        if name is not None:
            data = self._found(name)
            if data is None:
                data = self._made(name)
            if data is not None and len(data) > _HASH + 8:
                try:
                    self._code, entry = _mapped(data)
                except (OSError, AttributeError) as error:
                    self._why = f"code cannot be mapped: {error}"
                else:
                    return _ENTRY(entry)
            elif data is not None:
                self._why = "it is not compiled into code that can stand alone"
        if self._why is not None:
            log.info("%s is left to Numba: %s", self.name, self._why)
        from . import compile

        return compile.numbas(self.name)

    def _found(self, name: str) -> bytes | None:
        for place in _places():
            data = _read(place / name)
            if data is not None:
                self._place = place
                return data
        return None

    def _made(self, name: str) -> bytes | None:
        """Compile and keep the code; just a hash if it needs more than code, not to try again."""
        place = next(filter(_can_be_written, _places()), None)
        if place is None:
            return None
        from . import compile, jit

        if jit.DIGEST != _DIGEST:
            self._why = "rbinfer's files were replaced after it was imported"
            return None
        announce_compiling()
        try:
            code, entry = link(*compile.object_code(self.name, self.kinds))
        except LinkError as error:
            log.info("%s: %s", self.name, error)
            code, entry = b"", 0
        except compile.FAILURES as error:
            self._why = f"{type(error).__name__}: {error}"
            return None
        data = code + entry.to_bytes(8, "little")
        data += hashlib.sha256(data).digest()
        try:
            _write(place / name, data)
        except OSError as error:
            self._why = f"{place / name} cannot be written: {error}"
            return None
        self._place, self._is_new = place, True
        return data


class Call:
    """A kernel with some of its arguments; keeps their arrays. For one thread at a time.

    Parameters
    ----------
    kernel : Kernel
    first : sequence
        Its first arguments.
    """

    def __init__(self, kernel: Kernel, first: Sequence[Any]) -> None:
        self._kernel, self._first = kernel, first
        self._function = kernel.function
        self._is_native = kernel.is_native
        kinds = kernel.kinds
        self._rest = tuple((np.dtype(kind[0]), int(kind[1])) for kind in kinds[len(first) :])
        addresses: list[int] = []
        numbers: list[int] = []
        reals: list[float] = []
        for value, kind in zip(first, kinds, strict=False):
            if len(kind) == 2:
                _check(value, np.dtype(kind[0]), int(kind[1]))
                addresses.append(_address(value))
                numbers.extend(value.shape)
            elif kind == "d":
                reals.append(float(value))
            else:
                numbers.append(int(value))
        self._known = len(addresses), len(numbers)
        more = sum(dimensions for _, dimensions in self._rest)
        self._addresses = np.array(addresses + [0] * len(self._rest), np.int64)
        self._numbers = np.array(numbers + [0] * more, np.int64)
        self._reals = np.array(reals, np.float64)
        # Room for what Numba returns and raises: pointers.
        self._result = np.zeros(2, np.int64)
        at = self._result.ctypes.data
        self._pointers = (
            at, at + 8, self._addresses.ctypes.data, self._numbers.ctypes.data, self._reals.ctypes.data,
        )  # fmt: skip

    def __call__(self, *rest: NDArray[Any]) -> None:
        """Call the kernel with the arrays that are its other arguments."""
        if not self._is_native:
            self._function(*self._first, *rest)
            return
        addresses: list[int] = []
        numbers: list[int] = []
        for value, (dtype, dimensions) in zip(rest, self._rest, strict=True):
            _check(value, dtype, dimensions)
            addresses.append(_address(value))
            numbers.extend(value.shape)
        n_addresses, n_numbers = self._known
        self._addresses[n_addresses:] = addresses
        self._numbers[n_numbers:] = numbers
        if status := self._function(*self._pointers):
            raise RuntimeError(f"the kernel {self._kernel.name} ended with {status}")


def _check(value: NDArray[Any], dtype: np.dtype[Any], dimensions: int) -> None:
    if value.dtype != dtype or value.ndim != dimensions or not value.flags.c_contiguous:
        raise TypeError(
            f"kernels take contiguous arrays of {dtype} in {dimensions} dimensions, not an array of "
            f"{value.dtype} in {value.ndim}"
        )


def _address(array: NDArray[Any]) -> int:
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # three times as fast
    except (TypeError, ValueError):  # read-only, or empty
        return int(array.ctypes.data)


# ------------------------------------------------------------------------------------- the files


def file_name(kernel: Kernel) -> str | None:
    """Return the name of the file with the code of a kernel; None where Numba has to run it."""
    settings = {name for name in os.environ if name.startswith("NUMBA_")} - _HARMLESS
    compiler = _compiler()
    if settings or compiler is None or _DIGEST is None:
        return None
    text = repr((kernel.name, kernel.kinds, _DIGEST, compiler))
    return f"{kernel.name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.code"


def _places() -> Iterator[Path]:
    """Yield folders for the code, as Numba has them: the one asked for, or the package's, the user's."""
    if asked := os.environ.get("NUMBA_CACHE_DIR"):
        place = Path(asked).absolute()
        if os.path.isdir(place) or _can_be_written(place):
            yield place
            return
    yield _PACKAGE / "__pycache__"
    if parent := os.environ.get("XDG_CACHE_HOME"):
        yield Path(parent, "rbinfer").absolute()
    else:
        with suppress(RuntimeError):  # a user without a home
            yield Path.home() / ".cache/rbinfer"


def _can_be_written(place: Path) -> bool:
    existing = next((folder for folder in (place, *place.parents) if os.path.exists(folder)), place)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


@cache
def _compiler() -> tuple[Any, ...] | None:
    """Return all that the code depends on but our sources; None where it is left to Numba."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32:
        return None
    versions = []
    try:
        for package in ("numba", "llvmlite"):
            found = importlib.util.find_spec(package)
            if found is None or found.origin is None:
                return None
            versions.append(Path(found.origin).with_name("_version.py").read_bytes())
        with open("/proc/cpuinfo", "rb") as file:
            # All processors are alike, and there may be hundreds; how fast they are just now varies.
            lines = file.read(16384).split(b"\n\n")[0].splitlines()
    except OSError:
        return None
    cpu = [line for line in lines if line.startswith((b"model", b"cpu family", b"stepping", b"flags"))]
    if not any(line.startswith(b"flags") for line in cpu):
        return None
    return sys.version_info[:2], *(
        hashlib.sha256(b"\n".join(each)).hexdigest() for each in (versions, cpu)
    )


def _read(path: Path) -> bytes | None:
    """Return what a file has, if it is whole and of someone whose programs are run anyway."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
        trusted = {0, os.geteuid(), _PACKAGE.stat().st_uid}
    except OSError:
        return None
    if status.st_uid not in trusted or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        log.info("%s is passed over: others can write it", path)
        return None
    return data if hashlib.sha256(data[:-_HASH]).digest() == data[-_HASH:] else None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob("*.code.*"):  # of a process that was killed
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _DAY:
                left.unlink()
    written = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    try:
        written.write_bytes(data)
        written.chmod(0o644)  # like Python's compiled files, for whoever can read the folder
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


def _mapped(data: bytes) -> tuple[NDArray[np.uint8], int]:
    """Put code into memory that can be executed; return that and the address of its entry.

    The file itself is not mapped: who changed it would change, or end, every process that runs it.
    """
    with open(os.memfd_create("rbinfer"), "wb", buffering=0) as file:
        file.write(data)
        pages = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    code = np.frombuffer(pages, np.uint8)
    entry = int.from_bytes(data[-_HASH - 8 : -_HASH], "little")
    return code, int(code.ctypes.data) + entry


# ---------------------------------------------------------------------------------- the kernels

# Image, mask, background and noise; numbers tell which of these there are, or stand in their place.
_SCENE = "f2 ?2 ? f2 ? d ? f2 ? d ?"
_ROWS = "d1 d1 f2 i1 f1"
_REFERENCE_WORKSPACE = "f1 q1"

cut_reference = Kernel("cut_reference", f"{_SCENE} q q q d d d f2 {_REFERENCE_WORKSPACE} {_ROWS}")
cut_default = Kernel(
    "cut_default",
    f"{_SCENE} q q q q1 d2 q1 d d d ? ? d d q d f1 f1 i3 q2 f2 q f2 f2 d2 d2 ?1 {_ROWS} f2",
)
#: By the dtype of the window.
preprocess_reference = {
    letter: Kernel(
        "preprocess_reference",
        f"{letter}1 q q {letter}1 ? d ? d ? q q d ? {letter}2 {_REFERENCE_WORKSPACE} f1",
    )
    for letter in "fd"
}
# Those of the detection, in the order of its steps.
measure_mesh = Kernel("measure_mesh", "f2 ?2 ? q q q d q d2 d2 d2 d2 q2")
find_runs = Kernel("find_runs", "f2 ?2 ? d4 q d d d ? q q f2 i2 f2 q1")
label_runs = Kernel("label_runs", "i2 q1")
group_runs = Kernel("group_runs", "i2 q1 q q1 q2 q1 q1 q1")
measure_islands = Kernel(
    "measure_islands", "q q q1 q1 q2 i2 q1 f2 q d q q i2 f2 d1 i1 q1 d1 d1 d2 d2 q1"
)
find_wings = Kernel("find_wings", "d2 q1 q1 q q q q2 q1")
drop_wings = Kernel("drop_wings", "q2 ?1")
KERNELS = (
    cut_default, cut_reference, *preprocess_reference.values(), measure_mesh, find_runs, label_runs,
    group_runs, measure_islands, find_wings, drop_wings,
)  # fmt: skip
