"""Calls the kernels: as machine code of a library, without Numba; or by Numba, where none fits.

Importing Numba and LLVM takes 0.65 s and 126 MB, which a process that only scores can do without.
Kernels reserve no memory and need no function of others, so their code can be called with nothing but
addresses and numbers.
"""

import ctypes
import importlib.util
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import RbinferError
from . import library

#: Settings of Numba that do not change what it compiles, or compile nothing; with others Numba compiles.
_HARMLESS = {
    "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY",
    "NUMBA_WARNINGS", "NUMBA_DISABLE_PERFORMANCE_WARNINGS", "NUMBA_DEBUG_CACHE", "NUMBA_DISABLE_JIT",
}  # fmt: skip
#: One for all kernels: they are few, and a forked process needs a new one.
_loading = threading.RLock()


def _renew_lock() -> None:
    global _loading
    _loading = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class State(NamedTuple):
    """How a kernel is run.

    Attributes
    ----------
    is_native : bool
        As machine code of a library; else by Numba.
    is_new : bool
        This process compiled it.
    place : Path or None
        The library, or the folder of Numba's cache; None if every process compiles it.
    why : str or None
        Why Numba runs it.
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
        self._library: library.Library | None = None
        self._why: str | None = None

    @property
    def symbol(self) -> str:
        """Name of its code; that of a function for several dtypes differs by the first argument's."""
        return f"{self.name}_{self.kinds[0][0]}"

    def bind(self, *first: Any) -> "Call":
        """Return the kernel with its first arguments given, to be called many times with the rest."""
        return Call(self, first)

    def __call__(self, *arguments: Any) -> None:
        """Call the kernel once."""
        Call(self, arguments)()

    @property
    def function(self) -> Any:
        """Code of the kernel, or Numba's function."""
        if self._function is None:
            with _loading:
                if self._function is None:
                    self._function = self._load()
        return self._function

    @property
    def is_native(self) -> bool:
        """Whether it is run as code of a library, and not by Numba."""
        return self.function is not None and self._library is not None

    def state(self) -> State:
        """Tell how the kernel is run; Numba knows that after the first call."""
        if self.is_native and self._library is not None:
            return State(True, False, self._library.path)
        from . import functions

        return State(False, *functions.cached(self.function), self._why)

    def _load(self) -> Any:
        has_numba = importlib.util.find_spec("numba") is not None
        settings = sorted(
            name for name in os.environ if name.startswith("NUMBA_") and name not in _HARMLESS
        )
        if settings and has_numba:
            self._why = f"{', '.join(settings)} is set"
        else:
            found = library.find()
            if found.library is not None:
                self._library = found.library
                return found.library.function(self.symbol)
            self._why = "; ".join(found.passed_over) or "there is no library of them"
        if not has_numba:
            raise RbinferError(
                f"the kernels cannot be run: {self._why}, and Numba, which would compile them, is not "
                "installed; run: pip install 'rbinfer[jit]'"
            )
        from . import functions

        return functions.numbas(self.name)


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
        more = sum(dimensions for _, dimensions in self._rest)
        # Room for two pointers, to what Numba returns and raises, for addresses and for whole numbers.
        # In one array: to make arrays, and to ask where they are, takes longest.
        room = [0, 0, *addresses, *[0] * len(self._rest)]
        n = len(room)
        self._of_rest = 2 + len(addresses), n, n + len(numbers)
        self._room = np.array([*room, *numbers, *[0] * more], np.int64)
        self._reals = np.array([*reals, 0.0])  # never empty, for it has to lie somewhere
        at = _address(self._room)
        self._pointers = at, at + 8, at + 16, at + 8 * n, _address(self._reals)

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
        first, end, more = self._of_rest
        self._room[first:end] = addresses
        self._room[more:] = numbers
        if status := self._function(*self._pointers):
            raise RuntimeError(f"the kernel {self._kernel.name} ended with {status}")


def _check(value: NDArray[Any], dtype: np.dtype[Any], dimensions: int) -> None:
    if value.dtype != dtype or value.ndim != dimensions or not value.flags.c_contiguous:
        raise TypeError(
            f"kernels take contiguous arrays of {dtype} in {dimensions} dimensions, not an array of "
            f"{value.dtype} in {value.ndim}"
        )


def _address(array: NDArray[Any]) -> int:
    if not array.size:
        return 0  # nothing is read there, and to ask takes longest
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # three times as fast
    except (TypeError, ValueError):  # read-only
        return int(array.ctypes.data)


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
measure_mesh = Kernel("measure_mesh", "f2 ?2 ? q q q d q d2 d2 d2 f1 d2 i1 i1 q2")
find_runs = Kernel("find_runs", "f2 ?2 ? d4 q d d d ? q q f2 i2 f2 q1")
label_runs = Kernel("label_runs", "i2 q1")
group_runs = Kernel("group_runs", "i2 q1 q q1 q2 q1 q1 q1")
measure_islands = Kernel(
    "measure_islands", "q q q1 q1 q2 i2 q1 f2 q d q q i2 f2 d1 i1 q1 d1 d1 d2 d2 q1"
)
find_wings = Kernel("find_wings", "d2 q1 q1 q q q q2 q1")
drop_wings = Kernel("drop_wings", "q2 ?1")
# For the stars of a frame.
survey_blocks = Kernel("survey_blocks", "f2 f1 f1 f2 f2 q1")
write_rows = Kernel("write_rows", "q2 q1 B1 Q2 q q q B1 q1")
KERNELS = (
    cut_default, cut_reference, *preprocess_reference.values(), measure_mesh, find_runs, label_runs,
    group_runs, measure_islands, find_wings, drop_wings, survey_blocks, write_rows,
)  # fmt: skip
