"""What is logged while rbinfer works for a training: kept to itself, or collected to be told once."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_RBINFER = "rbinfer"


class Said(NamedTuple):
    """What was logged: the level, as of `logging`, and the text."""

    level: int
    text: str


@contextmanager
def unheard() -> Iterator[None]:
    """Log nothing of rbinfer's: what it says of a simulated frame is of no use to anybody."""
    logger = logging.getLogger(_RBINFER)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def collected() -> Iterator[list[Said]]:
    """Keep what is logged for the caller, who knows which image it is about.

    Yields
    ------
    list of Said
        Grows as something is logged.
    """
    loggers = [logging.getLogger(name) for name in (_RBINFER, __package__)]
    before = [logger.propagate for logger in loggers]
    said = list[Said]()
    handler = _Keeping(said)
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield said
    finally:
        for logger, propagates in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagates


class _Keeping(logging.Handler):
    def __init__(self, said: list[Said]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(Said(record.levelno, record.getMessage()))
