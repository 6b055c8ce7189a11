"""Threads that share numbered pieces of work."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Threads:
    """So many threads.

    Attributes
    ----------
    count : int
    """

    count: int

    def map(self, function: Callable[[int], Result], n: int) -> list[Result]:
        """Return what a function returns for each number from 0 until before `n`, in their order."""
        if self.count == 1 or n < 2:
            return [function(k) for k in range(n)]
        with ThreadPoolExecutor(min(self.count, n), thread_name_prefix="rbinfer") as pool:
            return list(pool.map(function, range(n)))
