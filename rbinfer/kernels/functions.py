"""The kernels as functions of Numba, by name; to import them takes Numba."""

from pathlib import Path
from typing import Any

from ..errors import RbinferError
from . import blocks, cleaning, decimals, default, islands, mesh, reference, runs

_KERNELS = {
    kernel.__name__: kernel
    for kernel in (
        default.cut_default,
        reference.cut_reference,
        reference.preprocess_reference,
        mesh.measure_mesh,
        runs.find_runs,
        runs.label_runs,
        runs.group_runs,
        islands.measure_islands,
        cleaning.find_wings,
        cleaning.drop_wings,
        blocks.survey_blocks,
        decimals.write_rows,
    )
}


def numbas(name: str) -> Any:
    """Return Numba's function of a kernel.

    Parameters
    ----------
    name : str
        Of the kernel.

    Returns
    -------
    numba.core.dispatcher.Dispatcher

    Raises
    ------
    RbinferError
        Numba was told not to compile.
    """
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
