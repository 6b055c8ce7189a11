"""Signals that end a run: kept out of steps that belong together, and turned into a clean end."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

_ENDING = (signal.SIGINT, signal.SIGTERM)
_GRACE = 20  # seconds


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the block is done; they come in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number in _ENDING:
        signal.signal(number, lambda came_as, frame: came.append(came_as))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Start processes in the block that SIGINT does not reach; here it waits until the block is done."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def exit_on_sigterm(code: int) -> Iterator[None]:
    """Make SIGTERM an exit like any other, so that what is open is closed and removed.

    It comes amid any step, perhaps within a library's lock, which is never opened then: a process whose
    threads wait for that is ended after `_GRACE` seconds.

    Parameters
    ----------
    code : int
        Exit code.
    """
    told: list[int] = []

    def leave(number: int, frame: Any) -> None:
        told.append(number)
        log.info("ended by SIGTERM")
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, lambda number, frame: os._exit(code))
            signal.alarm(_GRACE)
        sys.exit(code)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except Exception:
        # Amid an import the exit may be lost: Python and libraries in C raise errors of theirs instead.
        if told:
            log.debug("an error followed SIGTERM", exc_info=True)
            raise SystemExit(code) from None
        raise
    finally:
        if hasattr(signal, "SIGALRM"):
            signal.alarm(0)
        signal.signal(signal.SIGTERM, before)
