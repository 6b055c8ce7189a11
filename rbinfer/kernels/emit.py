"""The objects of the library of kernels; run by `rbinfer.kernels.build` as a program.

    python -m rbinfer.kernels.emit FOLDER LEVEL...

Numba types the kernels once, and LLVM makes an object of each for each level of x86-64. Nothing reorders
sums or fuses products, so all levels give the same bits.
"""

import re
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import types
from numba.core.caching import NullCache

from .dispatch import KERNELS, Kernel
from .functions import numbas
from .jit import FUNCTIONS
from .library import symbol_at

_types: Any = types  # its annotations are wrong

_TRIPLE = "x86_64-unknown-linux-gnu"


class _Typed(NamedTuple):
    """A kernel in LLVM's language, before it is optimised."""

    text: str
    symbol: str


def emit(folder: Path, levels: Sequence[int], kernels: Sequence[Kernel] = KERNELS) -> None:
    """Write an object for each kernel and level into a folder."""
    # Numba's cache does not record the settings that it was filled by.
    for function in FUNCTIONS:
        function._cache = NullCache()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    for kernel in kernels:
        typed = _typed(kernel)
        for level in levels:
            symbol = symbol_at(kernel.symbol, level)
            (folder / f"{symbol}.o").write_bytes(_object(typed, symbol, f"x86-64-v{level}"))


def _typed(kernel: Kernel) -> _Typed:
    entry: Any = numba.njit(nogil=True, error_model="numpy")(_entry(kernel))
    arguments = tuple(_types.CPointer(kind) for kind in (types.voidptr, types.int64, types.float64))
    entry.compile(arguments)
    # The description of an exception is of no use without Numba: that there was one is enough.
    text = re.sub(
        r"^(@\S*picklebuf\S* = [^{]*\{[^}]*\}) \{.*\}", r"\1 zeroinitializer",
        entry.inspect_llvm(arguments), flags=re.MULTILINE,
    )  # fmt: skip
    return _Typed(text, entry.overloads[arguments].fndesc.llvm_func_name)


def _object(typed: _Typed, symbol: str, cpu: str) -> bytes:
    # LLVM would leave half of AVX-512's width alone, for the sake of CPUs that slow down with it. The
    # network takes the whole width anyway, and cutouts are made in a tenth less time with it.
    machine = llvm.Target.from_triple(_TRIPLE).create_target_machine(
        cpu=cpu, features="-prefer-256-bit", opt=3, reloc="pic", codemodel="small"
    )
    module = llvm.parse_assembly(typed.text)
    module.triple, module.data_layout = _TRIPLE, str(machine.target_data)
    module.get_function(typed.symbol).name = symbol
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration and each.name != symbol:
            each.linkage = llvm.Linkage.internal
    # Python's way in, which Numba makes too, goes before it is worked on.
    unused = llvm.create_new_module_pass_manager()
    unused.add_global_dead_code_eliminate_pass()
    unused.run(module, _passes(machine, 3))
    # As in Numba, functions are optimised before they are inlined, and once more, quickly, before the
    # end: cutouts of wide stars and detections take half the time of what one pass makes.
    module = _each_by_itself(module, machine)
    for effort in (1, 3):
        builder = _passes(machine, effort)
        builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


def _each_by_itself(module: Any, machine: Any) -> Any:
    """Optimise functions without inlining any; returns a new module."""
    for function in module.functions:
        if not function.is_declaration:
            function.add_function_attribute("noinline")
    builder = _passes(machine, 3)
    builder.getModulePassManager().run(module, builder)
    # An attribute cannot be taken away but in the text, where the list of them must not become empty.
    return llvm.parse_assembly(str(module).replace(" noinline", ' "was-noinline"'))


def _passes(machine: Any, effort: int) -> Any:
    tuning = llvm.create_pipeline_tuning_options(speed_level=effort)
    tuning.loop_vectorization, tuning.slp_vectorization = True, effort == 3
    return llvm.create_pass_builder(machine, tuning)


def _entry(kernel: Kernel) -> Any:
    """Make a function that takes a kernel's arguments from three arrays in memory."""
    addresses, numbers, reals = count(), count(), count()
    arguments = []
    for kind in kernel.kinds:
        if len(kind) == 2:
            shape = "".join(f"numbers[{next(numbers)}], " for _ in range(int(kind[1])))
            dtype = f"np.{np.dtype(kind[0]).type.__name__}"
            arguments.append(f"numba.carray(addresses[{next(addresses)}], ({shape}), {dtype})")
        elif kind == "d":
            arguments.append(f"reals[{next(reals)}]")
        else:
            arguments.append(f"numbers[{next(numbers)}]" + (" != 0" if kind == "?" else ""))
    scope = {"kernel": numbas(kernel.name), "numba": numba, "np": np}
    exec(f"def entry(addresses, numbers, reals):\n    kernel({', '.join(arguments)})\n", scope)
    return scope["entry"]


if __name__ == "__main__":
    emit(Path(sys.argv[1]), [int(level) for level in sys.argv[2:]])
