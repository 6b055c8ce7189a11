"""From a kernel to an object file, by Numba and LLVM; `rbinfer.kernels.dispatch` keeps its code."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import types
from numba.core.caching import NullCache
from numba.core.errors import NumbaError

from ..errors import RbinferError
from . import cleaning, default, islands, mesh, numerics, reference, runs
from .elf import LinkError
from .jit import FUNCTIONS

_types: Any = types  # its annotations are wrong

#: What `object_code` may raise, but for `rbinfer.kernels.elf.LinkError`, where Numba may do better.
FAILURES = (
    NumbaError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
_KERNELS = {
    kernel.__name__: kernel
    for kernel in (
        default.cut_default,
        reference.cut_reference,
        reference.preprocess_reference,
        numerics.asinh_array,
        mesh.measure_mesh,
        runs.find_runs,
        runs.label_runs,
        runs.group_runs,
        islands.measure_islands,
        cleaning.find_wings,
        cleaning.drop_wings,
    )
}
# What Numba compiles by when it is told nothing.
_USUAL = {
    "OPT": (3,), "BOUNDSCHECK": (None, 0), "CPU_NAME": (None,), "CPU_FEATURES": (None,),
    "DEBUGINFO_DEFAULT": (0,), "DISABLE_JIT": (0,),
}  # fmt: skip


def numbas(name: str) -> Any:
    """Return Numba's function of a kernel; raises `RbinferError` where Numba was told not to compile."""
    function = _KERNELS[name]
    if not hasattr(function, "py_func"):
        raise RbinferError(
            "the kernels are not compiled, because NUMBA_DISABLE_JIT is set, and cannot run as they "
            "are; unset it"
        )
    return function


def cached(function: Any) -> tuple[bool, Path | None]:
    """Tell whether this process compiled one of the kernels, and where Numba keeps them, if it does."""
    place = function.stats.cache_path
    return sum(function.stats.cache_misses.values()) > 0, None if place is None else Path(place)


def object_code(name: str, kinds: Sequence[str]) -> tuple[bytes, str]:
    """Compile a kernel for this CPU.

    Parameters
    ----------
    name : str
        Of the kernel.
    kinds : sequence of str
        Its arguments; see `rbinfer.kernels.dispatch.Kernel`.

    Returns
    -------
    data : bytes
        An object file of position-independent code.
    symbol : str
        Its entry; see `rbinfer.kernels.dispatch`.

    Raises
    ------
    LinkError
        Numba or LLVM compile, or tell of it, in another way than is known here.
    One of `FAILURES`
        Numba cannot compile it, or has settings of its own: in a file, or by a program.
    """
    settings: Any = numba.config
    for setting, usual in _USUAL.items():
        if (value := getattr(settings, setting, None)) not in usual:
            raise ValueError(f"Numba's setting {setting} is {value}")
    entry: Any = numba.njit(nogil=True, error_model="numpy")(_entry(numbas(name), kinds))
    arguments = tuple(_types.CPointer(kind) for kind in (types.voidptr, types.int64, types.float64))
    with _numbas_cache_aside():
        entry.compile(arguments)
    try:
        return _emitted(entry, arguments)
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise LinkError(f"{type(error).__name__}: {error}") from error


@contextmanager
def _numbas_cache_aside() -> Iterator[None]:
    """Compile all functions anew: Numba's cache does not record the settings that it was filled by."""
    caches = [function._cache for function in FUNCTIONS]
    try:
        for function in FUNCTIONS:
            function._cache = NullCache()
        yield
    finally:
        for function, kept in zip(FUNCTIONS, caches, strict=True):
            function._cache = kept


def _emitted(entry: Any, arguments: tuple[Any, ...]) -> tuple[bytes, str]:
    symbol = entry.overloads[arguments].fndesc.llvm_func_name
    # The description of an exception is of no use without Numba: that there was one is enough.
    text = re.sub(
        r"^(@\S*picklebuf\S* = [^{]*\{[^}]*\}) \{.*\}", r"\1 zeroinitializer",
        entry.inspect_llvm(arguments), flags=re.MULTILINE,
    )  # fmt: skip
    module = llvm.parse_assembly(text)
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration and each.name != symbol:
            each.linkage = llvm.Linkage.internal
    triple, cpu, features = entry.targetctx.codegen().magic_tuple()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small"
    )
    # Python's way in, which Numba makes too, would need Python.
    passes = llvm.create_new_module_pass_manager()
    if hasattr(passes, "add_global_dead_code_eliminate_pass"):
        passes.add_global_dead_code_eliminate_pass()
        passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    else:  # llvmlite below 0.45
        old_passes = llvm.create_module_pass_manager()
        old_passes.add_global_dce_pass()
        old_passes.run(module)
    return machine.emit_object(module), symbol


def _entry(kernel: Any, kinds: Sequence[str]) -> Any:
    """Make a function that takes a kernel's arguments from three arrays in memory."""
    addresses, numbers, reals = count(), count(), count()
    arguments = []
    for kind in kinds:
        if len(kind) == 2:
            shape = "".join(f"numbers[{next(numbers)}], " for _ in range(int(kind[1])))
            dtype = f"np.{np.dtype(kind[0]).type.__name__}"
            arguments.append(f"numba.carray(addresses[{next(addresses)}], ({shape}), {dtype})")
        elif kind == "d":
            arguments.append(f"reals[{next(reals)}]")
        else:
            arguments.append(f"numbers[{next(numbers)}]" + (" != 0" if kind == "?" else ""))
    scope = {"kernel": kernel, "numba": numba, "np": np}
    exec(f"def entry(addresses, numbers, reals):\n    kernel({', '.join(arguments)})\n", scope)
    return scope["entry"]
