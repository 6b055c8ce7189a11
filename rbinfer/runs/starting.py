"""How worker processes start: forked from one that has imported what they need, where that is safe.

To import all that scoring takes needs as long as half a frame. The fork server of the standard library
does it once, beside the process that has the run; workers that replace others are forked from it, too.
Only the standard library is imported here, so that a command can begin before all else.
"""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .._util.interrupts import without_ctrl_c

#: Whether the system has `fork`, and its libraries bear it: those of macOS do not.
CAN_FORK = hasattr(os, "fork") and sys.platform != "darwin"
_WORKER = "rbinfer.runs.worker"
_is_begun = False


def begin() -> None:
    """Let the imports of workers begin; where it does nothing, workers are started anew.

    For commands alone: the server is one for the whole program, with its list of modules and with what
    the program's environment was when it began.
    """
    global _is_begun
    if not CAN_FORK:
        return
    from multiprocessing import forkserver, resource_tracker

    multiprocessing.get_context("forkserver").set_forkserver_preload([_WORKER])
    with suppress(OSError):  # such as a path of TMPDIR that is too long for the socket in it
        resource_tracker.ensure_running()  # or it would let SIGINT through to the server
        with without_ctrl_c(), _our_path():
            forkserver.ensure_running()
        _is_begun = True


@contextmanager
def _our_path() -> Iterator[None]:
    """Let Python that is started in the block import what is imported here.

    The server would look in the working directory first, where another file may have the name of a
    module, and not where this process has been told to look.
    """
    path = os.pathsep.join(each for each in sys.path if isinstance(each, str))
    ours = {"PYTHONSAFEPATH": "1", "PYTHONPATH": path}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def do_without_server() -> bool:
    """Let workers be started anew from now on; tells whether they were forked before."""
    global _is_begun
    was_begun, _is_begun = _is_begun, False
    return was_begun


def context() -> Any:
    """Return what makes workers and their pipes."""
    if _is_begun:
        begin()  # a server that was killed
    return multiprocessing.get_context("forkserver" if _is_begun else "spawn")
