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


def begin() -> None:
    """Let the imports of workers begin, if workers are forked."""
    if not CAN_FORK:
        return
    from multiprocessing import forkserver

    multiprocessing.get_context("forkserver").set_forkserver_preload([_WORKER])
    with suppress(OSError), without_ctrl_c(), _our_path():  # what starts the workers will say why
        forkserver.ensure_running()


@contextmanager
def _our_path() -> Iterator[None]:
    """Let Python that is started in the block import what is imported here.

    The server would look in the working directory first, where another file may have the name of a
    module, and not where this process has been told to look.
    """
    ours = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
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


def context() -> Any:
    """Return what makes workers and their pipes."""
    begin()
    return multiprocessing.get_context("forkserver" if CAN_FORK else "spawn")
