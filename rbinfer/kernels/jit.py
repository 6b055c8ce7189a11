"""How Numba compiles the kernels, and when it uses what it has cached.

Kernels trust their callers (:mod:`rbinfer.cutouts.cutter` validates): native float32 arrays, C order,
and parameters in range. Optional maps come as 1 x 1 dummies together with a flag. All release the GIL,
so that threads can share the work. They reserve no memory and raise nothing, so that their code needs
no Python. Counts that are handed on begin as ``np.int64(0)``: for a literal 0 Numba compiles what takes
them once more.
"""

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

from .._util.compiling import announce_compiling
from .sources import digest_of_sources

log = logging.getLogger(__name__)

#: Of the files that kernels are made of, when they were imported.
DIGEST = digest_of_sources()
#: All functions that `jit` has compiled, or will.
FUNCTIONS: list[Any] = []


class _Cache(FunctionCache):
    """Numba's cache, which says when it has nothing, so that Numba compiles."""

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return what is kept for a signature, if anything."""
        found: Any = super().load_overload(signature, target)  # type: ignore[no-untyped-call]
        if found is None:
            announce_compiling()
        return found


_numbas_cache: Any = _Cache


def jit(function: Callable[..., Any]) -> Any:
    """Compile lazily, without the GIL; cached on disk where a place for the cache can be written."""
    settings: Any = numba.config
    if settings.DISABLE_JIT:
        return function
    compiled: Any = numba.njit(nogil=True, error_model="numpy")(function)
    cache = _cache_of(function)
    if cache is not None:
        compiled._cache = cache
    FUNCTIONS.append(compiled)
    return compiled


def _cache_of(function: Callable[..., Any]) -> Any:
    """Return Numba's cache of a function, made to discard what was compiled before a source changed.

    By itself it looks at the file of the function only, not at those of the functions and constants that
    are compiled into it.
    """
    if DIGEST is None and not getattr(sys, "frozen", False):  # frozen: Numba looks at the whole program
        _tell_uncached("there are no source files to tell whether cached code is current")
        return None
    try:
        cache = _numbas_cache(function)
        index = cache._cache_file
        index._source_stamp = index._source_stamp, DIGEST
    except RuntimeError:  # Numba's "no locator available"
        folder = Path(__file__).parent
        _tell_uncached(
            f"neither {folder} nor a home directory can be written; set NUMBA_CACHE_DIR to a directory "
            "that can be written"
        )
    except AttributeError as error:
        _tell_uncached(f"Numba {numba.__version__} caches in another way than is known here ({error})")
    else:
        return cache
    return None


@functools.cache
def _tell_uncached(why: str) -> None:
    """Say once that every start will compile."""
    log.warning("each start compiles the kernels anew: %s", why)
