"""Sets that join, kept as trees (union-find)."""

from typing import Any

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
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k
