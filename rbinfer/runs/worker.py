"""What a worker process does: tasks, one after another, until nobody has more."""

import gc
import logging
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .._util.compiling import told_of_compiling
from .._util.machine import keep_freed_memory
from .._util.parent import follow_parent
from ..measure.warmup import warmup
from .task import Recipe, prepared, run_task

#: What a worker says before it compiles kernels.
COMPILING = "compiling"
#: Bytes of freed memory that a worker keeps at most: those of an image of 64 megapixels, twice.
_KEPT = 2**29


def serve(pipe: Any, recipe: Recipe, detects: bool, environment: Mapping[str, str]) -> None:
    """Run tasks until the other end of the pipe is closed; runs in a process of its own.

    Parameters
    ----------
    pipe : Connection
        Says `COMPILING` before kernels are compiled; then device and error, of which one is empty; then
        an outcome for each task.
    recipe : Recipe
    detects : bool
        Whether the kernels of the detection are made ready too.
    environment : mapping of str to str
        Of the process that has the run, which may be newer than that of a fork server.
    """
    # Ctrl-C reaches all processes of a terminal; what the workers do then is for that process to say.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # A script that says at its import what SIGTERM does says so here too: an exit of Python's, amid an
    # import of ours, would look like an error of the image.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    follow_parent()
    # Warnings travel with the outcome; Python would print them here too.
    logging.getLogger("rbinfer").addHandler(logging.NullHandler())
    keep_freed_memory(_KEPT)
    try:
        with told_of_compiling(lambda: pipe.send(COMPILING)):
            warmup(detects)
        device = prepared(recipe).running_on
    except Exception as error:
        pipe.send(("", str(error)))
        return
    pipe.send((device, None))
    is_first = True
    with suppress(EOFError, OSError):
        while True:
            pipe.send(run_task(pipe.recv(), recipe))
            # Tables are cycles that hold whole images; what was imported is never looked at again.
            gc.collect()
            if is_first:
                gc.freeze()
            is_first = False
