"""What is logged while work is done for a caller: collected, and put into other words."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Collector(logging.Handler):
    """Collects the warnings of the thread that made it."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._texts, self._thread = texts, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._texts.append(record.getMessage())


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect the warnings that rbinfer logs in this thread while it lasts.

    Yields
    ------
    list of str
        Grows as they come.
    """
    texts: list[str] = []
    handler, logger = _Collector(texts), logging.getLogger("rbinfer")
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)


class _Reworder(logging.Handler):
    """Changes the texts of records before the handlers of the loggers above see them."""

    def __init__(self, reword: Callable[[str], str]) -> None:
        super().__init__()
        self._reword = reword

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if (other := self._reword(text)) != text:
            record.msg, record.args = other, None


@contextmanager
def reworded(reword: Callable[[str], str]) -> Iterator[None]:
    """Change what rbinfer logs while it lasts, in any thread: `reword` must know its own texts.

    Parameters
    ----------
    reword : callable
        Takes a text and returns what is logged instead.
    """
    handler, logger = _Reworder(reword), logging.getLogger("rbinfer")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
