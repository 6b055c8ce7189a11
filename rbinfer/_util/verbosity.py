"""What `verbose=` means in the functions of the reference API, for rbinfer and rbtrain alike."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

Verbose = bool | Callable[..., Any]

_lock = threading.Lock()
#: By package: how many listen, and the level there was before the first.
_listeners: dict[str, tuple[int, int]] = {}


@contextlib.contextmanager
def reporting(verbose: Verbose, name: str = "rbinfer") -> Iterator[None]:
    """Send what this thread logs to the caller's function, or for True to stderr, while it lasts.

    Parameters
    ----------
    verbose : bool or callable
        True for stderr, unless logging is configured to print already; a callable gets each message.
    name : str
        The package whose log it is.
    """
    if not verbose:
        yield
        return
    root = logging.getLogger(name)
    handler: logging.Handler = logging.StreamHandler()
    if callable(verbose):
        handler = logging.Handler()
        handler.emit = lambda record: verbose(record.getMessage())  # type: ignore[method-assign]
    elif root.hasHandlers():
        handler = logging.NullHandler()
    thread = threading.get_ident()
    handler.addFilter(lambda record: record.thread == thread)
    root.addHandler(handler)
    _listen(root, 1)
    try:
        yield
    finally:
        root.removeHandler(handler)
        _listen(root, -1)


def _listen(root: logging.Logger, change: int) -> None:
    """Let INFO through while anybody listens, then put the level back."""
    with _lock:
        count, before = _listeners.get(root.name, (0, root.level))
        _listeners[root.name] = count + change, before
        if count == 0:
            root.setLevel(min(logging.INFO, before or logging.INFO))
        elif count + change == 0:
            root.setLevel(before)
            del _listeners[root.name]
