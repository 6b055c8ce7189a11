"""Sets that join, kept as trees (union-find)."""

from typing import Any

import numpy as np

from .jit import jit


@jit
def root_of(parent: Any, k: int) -> Any:
    """Return the root of the tree that `k` is in, and shorten the way to it.

    Parameters
    ----------
    parent : array of int
        A root is its own parent.
    k : int
    """
    at = np.uint64(k)
    up = parent[at]
    while up != k:
        k = parent[np.uint64(up)]
        parent[at] = k
        at = np.uint64(k)
        up = parent[at]
    return k
