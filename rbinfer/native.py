"""Calls the kernels; where that is possible as machine code of an earlier run, without Numba.

To import Numba and LLVM takes half a second and 130 MB, which a process that only scores can do without.
Kernels reserve no memory and need no function of others, so their code can be kept in a file and mapped.
Where that is not possible (on anything but Linux on x86-64, on a file system that nothing is executed
from, with a Numba that compiles otherwise), Numba runs them, and keeps them in its own cache.
"""

import ctypes
import functools
import hashlib
import importlib.util
import logging
import mmap
import os
import platform
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Entry of a kernel's code: returns 0, or Numba's mark of an exception; takes room for Numba's result
#: and exception, and then the addresses of arrays, whole numbers (lengths among them) and real ones.
_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 5)
_PACKAGE = Path(__file__).parent
#: What the code of kernels is made by.
_SOURCES = ("_kernels.py", "elf.py", "native.py", "scratch.py")
#: Bytes of the hash that ends a file; before it, 8 bytes tell where the code is entered.
_HASH = 32


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
    """

    is_native: bool
    is_new: bool
    place: Path | None


class Kernel:
    """A function of :mod:`rbinfer._kernels`; loaded, or compiled, when it is first called.

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
        self._lock = threading.Lock()
        self._function: Any = None
        self._code: NDArray[np.uint8] | None = None
        self._is_new = False
        self._place: Path | None = None

    def bind(self, *first: Any) -> "Call":
        """Return the kernel with its first arguments given, to be called many times with the rest."""
        return Call(self, first)

    def __call__(self, *arguments: Any) -> None:
        """Call the kernel once."""
        Call(self, arguments)()

    @property
    def function(self) -> Any:
        """Entry of the kernel's code, or Numba's function."""
        with self._lock:
            if self._function is None:
                self._load()
        return self._function

    @property
    def is_native(self) -> bool:
        """Whether it is run as code from a file, and not by Numba."""
        return self.function is not None and self._code is not None

    def state(self) -> "State":
        """Tell how the kernel is run; Numba knows that after the first call."""
        if self.is_native:
            return State(True, self._is_new, self._place)
        from . import _kernels

        return State(False, *_kernels.cached(self.function))

    def _load(self) -> None:
        path = kept_in(self)
        if path is not None:
            try:
                if not path.exists() or not _is_whole(path):
                    _keep(path, self)
                    self._is_new = True
                mapped = _mapped(path)
            except OSError as error:
                log.debug("%s: %s", path, error)
            else:
                if mapped is not None:
                    self._code, entry = mapped
                    self._place = path.parent
                    self._function = _ENTRY(self._code.ctypes.data + entry)
                    return
        from . import _kernels

        self._function = getattr(_kernels, self.name)


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


def kept_in(kernel: Kernel) -> Path | None:
    """Return the file that has, or will have, the code of a kernel; None where there can be none."""
    environment = _environment()
    if environment is None:
        return None
    text = repr((kernel.name, kernel.kinds, environment))
    name = f"{kernel.name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.code"
    for place in _places():
        with suppress(OSError):
            existing = next(folder for folder in (place, *place.parents) if folder.exists())
            if os.statvfs(existing).f_flag & os.ST_NOEXEC:
                continue
            if (place / name).exists() or (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
                return place / name
    return None


def _places() -> Iterator[Path]:
    """Yield folders for the code, as Numba has them: the one asked for, the package's, the user's."""
    if asked := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(asked).absolute()
    yield _PACKAGE / "__pycache__"
    if cache := os.environ.get("XDG_CACHE_HOME"):
        yield Path(cache, "rbinfer").absolute()
    else:
        with suppress(RuntimeError):  # a user without a home
            yield Path.home() / ".cache/rbinfer"


@functools.cache
def _environment() -> tuple[Any, ...] | None:
    """Return all that the code depends on but the kernel; None where Numba has to run them."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32:
        return None
    settings = {name: value for name, value in os.environ.items() if name.startswith("NUMBA_")}
    settings.pop("NUMBA_CACHE_DIR", None)
    if "NUMBA_CACHE_LOCATOR_CLASSES" in settings:
        return None  # its user decides what is kept
    try:
        sources = [(_PACKAGE / name).read_bytes() for name in _SOURCES]
        for package in ("numba", "llvmlite"):
            found = importlib.util.find_spec(package)
            if found is None or found.origin is None:
                return None
            sources.append(Path(found.origin).with_name("_version.py").read_bytes())
        with open("/proc/cpuinfo", "rb") as file:
            # All processors are alike, and there may be hundreds; how fast they are just now varies.
            lines = file.read(16384).split(b"\n\n")[0].splitlines()
    except OSError:
        return None
    cpu = [line for line in lines if line.startswith((b"model", b"cpu family", b"stepping", b"flags"))]
    return (
        *(hashlib.sha256(b"\n".join(each)).hexdigest() for each in (sources, cpu)),
        sorted(settings.items()),
    )


def _is_whole(path: Path) -> bool:
    data = path.read_bytes()
    return hashlib.sha256(data[:-_HASH]).digest() == data[-_HASH:]


def _keep(path: Path, kernel: Kernel) -> None:
    """Compile a kernel and write its code; without any if it needs more than code, not to try again."""
    from . import _kernels
    from .elf import Code, link

    try:
        made = link(*_kernels.object_code(kernel.name, kernel.kinds))
    except (OSError, MemoryError):
        raise
    except Exception as error:
        # What Numba and LLVM offer changes from version to version, and their errors with it.
        log.info("%s is left to Numba: %s: %s", kernel.name, type(error).__name__, error)
        made = Code(b"", 0)
    data = made.code + made.entry.to_bytes(8, "little")
    data += hashlib.sha256(data).digest()
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        written.write_bytes(data)
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


def _mapped(path: Path) -> tuple[NDArray[np.uint8], int] | None:
    """Map the code of a file; return it and where it is entered, or None if it has none."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size - _HASH - 8
        if size <= 0:
            return None
        pages = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    return np.frombuffer(pages, np.uint8), int.from_bytes(pages[size : size + 8], "little")


# ---------------------------------------------------------------------------------- the kernels

# Image, mask, background and noise; numbers tell which of these there are, or stand in their place.
_SCENE = "f2 ?2 ? f2 ? d ? f2 ? d ?"
_ROWS = "d1 d1 f2 i1 f1"
_REFERENCE_SCRATCH = "f1 q1"

cut_reference = Kernel("cut_reference", f"{_SCENE} q q q d d d f2 {_REFERENCE_SCRATCH} {_ROWS}")
cut_default = Kernel("cut_default", f"{_SCENE} q q q q1 d2 q1 d d d ? ? d d f2 f2 d2 d2 ?1 {_ROWS}")
#: By the dtype of the window.
preprocess_reference = {
    letter: Kernel(
        "preprocess_reference",
        f"{letter}1 q q {letter}1 ? d ? d ? q q d ? {letter}2 {_REFERENCE_SCRATCH} f1",
    )
    for letter in "fd"
}


def warmup() -> float:
    """Load the kernels, or compile them and keep them.

    Returns
    -------
    float
        Seconds that it took.
    """
    # Imported here because cutouts imports this module.
    from .cutouts import Cutter, preprocess_cutout
    from .spec import PreprocessSpec

    start = time.perf_counter()
    image = np.zeros((64, 64), np.float32)
    position = np.array([32.0])
    for spec in (PreprocessSpec.reference(), PreprocessSpec.default()):
        Cutter.prepare(image, spec, fwhm=3.0).cut(position, position)
    preprocess_cutout(image[:31, :31])
    return time.perf_counter() - start
