"""How the rows of a catalogue are shared out: in what order, in which tasks, among which threads."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")

#: Rows that a worker takes at a time, at most unless one batch is more; it cuts and scores them batch
#: by batch in its own buffers.
_TASK_ROWS = 512
#: Rows of the image that are worked through from left to right together: the more, the nearer the next
#: object is, and the more of what it is cut from lies in the cache; up to here.
_STRIP_ROWS = 128


def tasks(n: int, threads: int, batch: int) -> list[slice]:
    """Divide rows into tasks of whole batches, of fewer and fewer so that the threads end together."""
    found: list[slice] = []
    start = 0
    while start < n:
        share = min(_TASK_ROWS, (n - start) // (2 * threads))
        stop = min(start + max(share // batch, 1) * batch, n)
        found.append(slice(start, stop))
        start = stop
    return found


def by_strips(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return an order in which neighbours follow each other, and find their pixels in the caches."""
    # One finite number each for sorting by strip, then column; where the others go does not matter.
    key, column = (np.nan_to_num(np.clip(values, -1e6, 1e6), copy=False) for values in (y, x))
    key //= _STRIP_ROWS
    key *= 1e8
    key += column
    del column
    return np.argsort(key)


def share_out(work: Callable[[Item], int], items: Sequence[Item], workers: int) -> Iterator[int]:
    """Yield ``work(item)`` of all items, in any order; an error anywhere ends the work of all.

    The calling thread is one of the workers, and tells of the others' items after its own. One that
    only waited would be woken for each item, on the CPU of the worker that woke it, and small catalogues
    lost a third of the second CPU by it.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    left, taking = iter(items), threading.Lock()
    failed = threading.Event()
    results: queue.SimpleQueue[int] = queue.SimpleQueue()

    def take() -> Item | None:
        with taking:
            return None if failed.is_set() else next(left, None)

    def help_out() -> None:
        try:
            while (item := take()) is not None:
                results.put(work(item))
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(workers - 1, thread_name_prefix="rbinfer") as pool:
        try:
            helpers = [pool.submit(help_out) for _ in range(workers - 1)]
            while (item := take()) is not None:
                yield work(item)
                while not results.empty():
                    yield results.get()
            for helper in helpers:
                helper.result()
            while not results.empty():
                yield results.get()
        except BaseException:
            failed.set()
            raise
