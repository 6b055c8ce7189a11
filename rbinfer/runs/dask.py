"""The same work on a Dask cluster that exists already."""

import logging
import secrets
from typing import Any

from .._util.extras import needed
from ..errors import RbinferError
from .outcome import Kind, Outcome
from .task import Recipe, Task, run_task

log = logging.getLogger(__name__)

#: Tasks that the scheduler knows at a time, unless there are more CPUs.
_AT_ONCE = 256
_AGAIN = "give the same command again to go on where it stopped"


class Cluster:
    """Workers of a Dask cluster, with a model in each process.

    A task whose worker dies is done again by another, as often as the scheduler's
    ``distributed.scheduler.allowed-failures`` says (3 by default); then it has failed.

    Parameters
    ----------
    recipe : Recipe
        Its directories, and the images, must lie under the same paths for all workers.
    scheduler : str or distributed.Client
        Address, such as ``tcp://host:8786``.

    Raises
    ------
    RbinferError
        Dask is not installed, or the scheduler does not answer.
    """

    def __init__(self, recipe: Recipe, scheduler: Any) -> None:
        dask = needed("distributed", "a cluster needs", "cluster")
        self._recipe = recipe
        self._owned = isinstance(scheduler, str)
        try:
            self._client = dask.Client(scheduler) if self._owned else scheduler
            cores = int(sum(self._client.ncores().values()))
        except (OSError, ValueError) as error:
            raise RbinferError(f"the scheduler {scheduler} does not answer: {error}") from error
        if not cores:
            log.warning("the cluster has no workers yet; the images wait for them")
        self._most = max(_AT_ONCE, 2 * cores)
        self._run = secrets.token_hex(4)
        self._count = 0
        self._tasks: dict[str, Task] = {}
        # Without results: where one cannot be fetched, it would never tell of that image.
        self._completed = dask.as_completed(loop=self._client.loop)

    @property
    def n_free(self) -> int:
        """How many tasks can be taken now."""
        return self._most - len(self._tasks)

    @property
    def pending(self) -> int:
        """How many tasks have no outcome yet."""
        return len(self._tasks)

    def submit(self, task: Task, following: Task | None = None) -> None:
        """Send a task; one must be free. What will follow is not read here."""
        self._count += 1
        key = f"rbinfer-{self._run}-{self._count}"
        self._tasks[key] = task
        self._completed.add(self._client.submit(run_task, task, self._recipe, key=key, pure=False))

    def wait(self, timeout: float | None = None) -> list[tuple[Task, Outcome]]:
        """Wait for outcomes, of which there is at least one."""
        futures = self._completed.next_batch()
        try:
            results = self._client.gather({future.key: future for future in futures}, errors="skip")
        except (OSError, TimeoutError) as error:
            raise RbinferError(
                f"the scheduler does not hand over results ({error}); {_AGAIN}"
            ) from error
        outcomes = []
        for future in futures:
            task, outcome = self._tasks.pop(future.key), results[future.key]
            if future.status == "error":
                reason = " ".join(str(future.exception()).split()).split(". ")[0]
                outcome = Outcome(Kind.FAILED, f"the cluster gave it up: {reason}")
            elif not isinstance(outcome, Outcome):
                raise RbinferError(
                    f"the scheduler no longer knows {task.work.image} ({future.status}); {_AGAIN}"
                )
            outcomes.append((task, outcome))
        return outcomes

    def close(self) -> None:
        """Drop the tasks that are left, and the connection if it is our own."""
        futures = list(self._completed.futures)
        self._completed.clear()
        self._client.cancel(futures, force=True)
        if self._owned:
            self._client.close()
