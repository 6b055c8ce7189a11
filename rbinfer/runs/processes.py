"""Processes on this machine that run one task each at a time, and may die without harm to the rest."""

import logging
import os
import signal
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from typing import Any

from .._util.ahead import read_ahead
from .._util.compiling import announce_compiling
from .._util.interrupts import without_ctrl_c
from .._util.machine import usable_cpus
from ..errors import RbinferError
from ..kernels import library
from ..model.session import CUDA, available_providers
from .outcome import Kind, Outcome
from .starting import context, do_without_server
from .task import Recipe, Task
from .worker import COMPILING, serve

log = logging.getLogger(__name__)

#: A worker that has done so much is replaced: what libraries keep for good, such as SEP some bytes of
#: each detection (sep-developers/sep#170), would add up over many nights.
_MOST_IMAGES, _MOST_DETECTIONS = 1_000, 1_000_000
#: Seconds in which SIGTERM comes here too, if it is the run that is to end: whoever ends all processes
#: of a group or a service may come to a worker first.
_OURS_TOO = 1.0
#: Exit code of a worker where the server that it was forked from died, too, and nobody knows more.
_SERVER_DIED = 255


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Any
    task: Task | None = None
    attempt: int = 1
    is_ready: bool = False
    n_images: int = 0
    n_detections: int = 0


class Workers:
    """Worker processes, with a model each.

    A worker that dies is replaced. Its task is run once more when nothing else is left to do, alone, so
    that it has all the memory; if a worker dies of it again, it has failed.

    Parameters
    ----------
    recipe : Recipe
    count : int, optional
        By default one for each CPU that the process may use, or a single one for a GPU.
    detects : bool
        Whether the kernels of the detection are made ready too.
    n_tasks : int
        How many tasks there will be at least: so many workers are started together where none of them
        has to compile kernels for the others; otherwise one, and more when there is work for them.

    Raises
    ------
    RbinferError
        The first worker cannot start: no such model, no such device.
    """

    def __init__(
        self, recipe: Recipe, count: int | None = None, detects: bool = True, n_tasks: int = 1
    ) -> None:
        self._recipe, self._detects = recipe, detects
        self._workers: list[_Worker] = []
        self._retries: deque[Task] = deque()
        try:
            first = self._start()
        except OSError as error:
            raise RbinferError(f"no worker process can be started: {error.strerror or error}") from error
        try:
            if library.find().library is not None:
                with suppress(OSError):  # those that there are will do
                    for _ in range(1, min(n_tasks, count or _default_count(recipe.options.device))):
                        self._start()
            device = self._wait_until_ready(first)
        except (EOFError, OSError) as error:
            how = self._reap(first)
            self.close()
            raise RbinferError(
                f"a worker process ended while it started ({how}); a script must start workers under "
                "'if __name__ == \"__main__\":'"
            ) from error
        except BaseException:
            self.close()
            raise
        self.count = count or _default_count(device)

    @property
    def n_free(self) -> int:
        """How many tasks can be taken now."""
        busy = [worker for worker in self._workers if worker.task is not None]
        return 0 if any(worker.attempt > 1 for worker in busy) else self.count - len(busy)

    @property
    def pending(self) -> int:
        """How many tasks have no outcome yet."""
        return len(self._retries) + sum(worker.task is not None for worker in self._workers)

    def submit(self, task: Task, following: Task | None = None) -> None:
        """Let a worker run a task; one must be free. The image of the following one is read ahead."""
        self._submit(task, 1)
        if following is not None:
            read_ahead(following.work.image)

    def wait(self, timeout: float | None = None) -> list[tuple[Task, Outcome]]:
        """Wait for outcomes.

        Parameters
        ----------
        timeout : float, optional
            Seconds; no end by default.

        Returns
        -------
        list of (Task, Outcome)
            May be empty.
        """
        if self._retries and all(worker.task is None for worker in self._workers):
            self._submit(self._retries.popleft(), 2)
        busy = {worker.pipe: worker for worker in self._workers if worker.task is not None}
        outcomes = []
        for pipe in connection.wait(list(busy), timeout):
            worker = busy[pipe]
            task, outcome = worker.task, self._receive(worker)
            if outcome is not None and task is not None:
                outcomes.append((task, replace(outcome, attempts=worker.attempt)))
        return outcomes

    def close(self) -> None:
        """End the workers, in the middle of a task too."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _submit(self, task: Task, attempt: int) -> None:
        for worker in [one for one in self._workers if one.task is None]:
            if worker.process.is_alive():
                break
            log.warning("a worker process died idle (%s) and is replaced", self._reap(worker))
        else:
            worker = self._start()
        worker.task, worker.attempt = task, attempt
        with suppress(OSError):  # where it died just now, `wait` finds it
            worker.pipe.send(task)

    def _receive(self, worker: _Worker) -> Outcome | None:
        """Take what a worker says, or its death; None where that is no outcome yet."""
        try:
            if not worker.is_ready:
                self._wait_until_ready(worker)
                return None
            outcome: Outcome = worker.pipe.recv()
        except (EOFError, OSError):
            return self._after_death(worker)
        worker.task = None
        worker.n_images += 1
        worker.n_detections += (outcome.summary or {}).get("detections", 0)
        if worker.n_images >= _MOST_IMAGES or worker.n_detections >= _MOST_DETECTIONS:
            worker.process.kill()  # it waits, with nothing begun
            self._reap(worker)
        return outcome

    def _after_death(self, worker: _Worker) -> Outcome | None:
        how, task = self._reap(worker), worker.task
        if task is None:
            return None
        if worker.attempt == 1:
            text = "a worker process died (%s) at %s, which is tried once more, alone"
            log.warning(text, how, task.work.image)
            self._retries.append(task)
            return None
        if how in (signal.SIGTERM.name, f"exit code {_SERVER_DIED}"):
            time.sleep(_OURS_TOO)
        return Outcome(Kind.FAILED, f"its worker process died, twice ({how})")

    def _reap(self, worker: _Worker) -> str:
        """Wait for a dead process and forget it; return what it died of."""
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        code = int(worker.process.exitcode)
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"{name}: short of memory?" if name == "SIGKILL" else name

    def _start(self) -> _Worker:
        try:
            process, ours = self._begun(context())
        except OSError:
            # The server lives, but its socket in TMPDIR was cleared away: then without it, from now on.
            if not do_without_server():
                raise
            process, ours = self._begun(context())
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _begun(self, kind: Any) -> tuple[Any, Any]:
        """Start a process; return it and our end of its pipe."""
        ours, theirs = kind.Pipe()
        process = kind.Process(
            target=serve,
            args=(theirs, self._recipe, self._detects, dict(os.environ)),
            daemon=True,
        )
        with closing(theirs):
            try:
                # Ctrl-C reaches all processes of a terminal; what workers do then is for us to say.
                with without_ctrl_c():
                    process.start()
            except BaseException:
                ours.close()
                raise
        return process, ours

    def _wait_until_ready(self, worker: _Worker) -> str:
        """Wait until a worker is ready; return its device."""
        said = worker.pipe.recv()
        if said == COMPILING:
            announce_compiling()  # to those who listen in this process
            said = worker.pipe.recv()
        device, error = said
        if error is not None:
            raise RbinferError(error)
        worker.is_ready = True
        return str(device)


def _default_count(device: str) -> int:
    """Return how many workers a device suits; one for the GPU that "auto" takes if there is one."""
    is_gpu = device == "cuda" or (device == "auto" and CUDA in available_providers())
    return 1 if is_gpu else usable_cpus()
