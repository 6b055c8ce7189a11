"""Processes that end with the one that started them."""

import multiprocessing
import os
import threading
from multiprocessing import connection


def follow_parent() -> None:
    """End this process at once when its parent does, killed without a word too.

    Else a worker waits for work for good: it holds both ends of the pipe that work comes through. A
    process that `multiprocessing` has not started stays as it is.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
