"""What `verbose=` means in the functions of the reference API, for rbinfer and rbtrain alike."""

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

Verbose = bool | Callable[..., Any]

_lock = threading.Lock()
#: Those that listen now, by package.
_listening: dict[str, "_Listeners"] = {}


@contextlib.contextmanager
def reporting(verbose: Verbose, name: str = "rbinfer") -> Iterator[None]:
    """Send what this thread logs to the caller's function, or for True to stderr, while it lasts.

    Parameters
    ----------
    verbose : bool or callable
        True for stderr, but for lines that logging is configured to print there already; a callable
        gets each message.
    name : str
        The package whose log it is.
    """
    if not verbose:
        yield
        return
    logger, thread = logging.getLogger(name), threading.get_ident()
    tell = _teller(verbose) if callable(verbose) else _printer(logger)
    with _lock:
        listeners = _listening.get(name)
        if listeners is None:
            listeners = _listening[name] = _Listeners(logger)
        listeners.of_threads[thread] = [*listeners.of_threads.get(thread, []), tell]
    try:
        yield
    finally:
        with _lock:
            left = [each for each in listeners.of_threads.pop(thread) if each is not tell]
            if left:
                listeners.of_threads[thread] = left
            elif not listeners.of_threads:
                del _listening[name]
                listeners.leave()


class _Listeners(logging.Handler):
    """The one handler of a package: each record goes to those who listen in its thread.

    Where nothing else handles them, records of other threads are printed as if it were not there.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self.of_threads: dict[int, list[Callable[[logging.LogRecord], None]]] = {}
        self._logger, self._before = logger, logger.level
        self._others = logger.getEffectiveLevel()
        logger.setLevel(min(logging.INFO, self._before or logging.INFO))
        logger.addHandler(self)

    def leave(self) -> None:
        """Put the logger back as it was."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._before)

    def handle(self, record: logging.LogRecord) -> bool:
        """Pass a record on, under no lock: those who listen may take their time, and log themselves."""
        tellers = self.of_threads.get(record.thread or 0)
        if tellers is not None:
            for tell in tellers:
                tell(record)
        elif record.levelno >= self._others and not any(_others(self._logger)):
            last = logging.lastResort
            if last is not None and record.levelno >= last.level:
                last.handle(record)
        return True


def _teller(tell: Callable[..., Any]) -> Callable[[logging.LogRecord], None]:
    return lambda record: tell(record.getMessage())


def _printer(logger: logging.Logger) -> Callable[[logging.LogRecord], None]:
    """Return what prints a record, unless another handler does so."""
    printing = logging.StreamHandler()

    def tell(record: logging.LogRecord) -> None:
        if not any(_prints(other, record.levelno) for other in _others(logger)):
            printing.handle(record)

    return tell


def _others(logger: logging.Logger) -> Iterator[logging.Handler]:
    """Yield the handlers that a record of this package comes to beside ours."""
    at: logging.Logger | None = logger
    while at is not None:
        yield from (handler for handler in at.handlers if not isinstance(handler, _Listeners))
        at = at.parent if at.propagate else None


def _prints(handler: logging.Handler, level: int) -> bool:
    """Whether a handler shows a person records of a level."""
    if level < handler.level or isinstance(handler, logging.NullHandler):
        return False
    if isinstance(handler, logging.StreamHandler):
        streams = sys.stderr, sys.__stderr__, sys.stdout, sys.__stdout__
        return any(handler.stream is stream for stream in streams)
    # Of others than those of Python, such as Rich's, it is taken for granted.
    return not type(handler).__module__.startswith("logging")
