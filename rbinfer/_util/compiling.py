"""Word that kernels are about to be compiled, for whoever waits for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: What those who wait are told.
COMPILING = (
    "the kernels are compiled now, which can take a minute, once on a machine "
    "('rbinfer warmup' does it beforehand)"
)
_listeners: list[Callable[[], None]] = []


@contextmanager
def told_of_compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Call a function before kernels are compiled in this process, once, while this lasts."""
    _listeners.append(tell)
    try:
        yield
    finally:
        if tell in _listeners:
            _listeners.remove(tell)


def announce_compiling() -> None:
    """Tell whoever listens, and has not been told, that kernels are about to be compiled."""
    told, _listeners[:] = list(_listeners), []
    for tell in told:
        tell()
