"""How worker processes start: forked from one that has imported what they need, where that is safe.

To import all that scoring takes needs as long as half a frame. The fork server of the standard library
does it once, beside the process that has the run; workers that replace others are forked from it, too.
Only the standard library is imported here, so that a command can begin before all else.
"""

import multiprocessing
import os
import sys
from contextlib import suppress
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
    with suppress(OSError), without_ctrl_c():  # what starts the workers will say why
        forkserver.ensure_running()


def context() -> Any:
    """Return what makes workers and their pipes."""
    begin()
    return multiprocessing.get_context("forkserver" if CAN_FORK else "spawn")
