"""Warnings of one thread, collected for whoever asked for the work."""

import logging
import threading
from collections.abc import Iterator
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
