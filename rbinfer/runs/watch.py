"""Images that arrive in a directory, scored one after another for as long as it lasts.

The directory is read again and again: what tells of changes in the kernel (inotify and kin) is silent
about files that another machine writes to a network file system.
"""

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._util.interrupts import uninterrupted
from ..errors import InputError, RbinferError
from ..pipeline.options import ScoreOptions
from .arrivals import Arrivals
from .beside import SUFFIXES, uses_detector
from .formats import suffix_of
from .journal import lines_of
from .lending import Lenders, Lent
from .outcome import Kind, Outcome, of_image
from .plan import Work, is_searched, work_of
from .processes import Workers
from .search import as_text, is_fits_name, type_of
from .store import Store
from .task import Task

__all__ = ["WatchReport", "run_watch"]

log = logging.getLogger(__name__)

_INTERVAL = 0.5  # seconds between two looks, at least,
_SHARE = 10  # and so many times what a look takes
_MOST_LENDERS = 50  # newest frames of a camera and filter that one without stars borrows from


@dataclass(frozen=True)
class WatchReport:
    """How many images were scored and failed while it lasted, what failed before included."""

    n_scored: int
    n_failed: int


def run_watch(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    options: ScoreOptions | None = None,
    catalog: str | None = None,
    format: str = "ecsv",
    workers: int = 1,
    settle: float = 2.0,
    once: bool = False,
    overwrite: bool = False,
    recursive: bool = False,
    all_frames: bool = False,
    beside: Sequence[str] = (),
    report: Callable[[dict[str, Any]], None] = lambda record: None,
) -> WatchReport:
    """Score the images of a directory as they arrive, until an exception such as an interrupt.

    An image is scored when it is there whole (see `settle`) and not again until its content changes; one
    that ends before its own headers say is waited for ten times as long, and then told as failed, but
    not for good.
    What came while nobody watched is scored at the next start. Each has one result, and is noted in
    ``OUTPUT/watch.jsonl`` as in a batch.

    Parameters
    ----------
    folder : str or path
        Directory with FITS images. Other names and hidden ones are not looked at; darks, flats and
        biases are left out, as headers and names of folders tell them.
    output : str or path
        Directory for the results.
    options : ScoreOptions, optional
        How images are scored.
    catalog : str, optional
        Template for the names of the catalogues, as for `rbinfer.runs.batch.run_batch`. An image waits
        for its catalogue, and is scored again when that changes.
    format : {"ecsv", "fits", "csv", "vot", "parquet"}
        Format of the results.
    workers : int
        Processes.
    settle : float
        Seconds without a change after which a file is taken to be whole.
    once : bool
        Score what is there now, and stop.
    overwrite : bool
        Whether results may replace files that rbinfer did not write there.
    recursive : bool
        Look into all folders of the directory too, but for hidden ones; results lie in folders of the
        same names.
    all_frames : bool
        Score darks, flats and biases too.
    beside : sequence of str
        As for `rbinfer.runs.batch.run_batch`.
    report : callable
        Called with the line of the journal after each image.

    Returns
    -------
    WatchReport

    Raises
    ------
    InputError
        There is no such directory, its results would be taken for images or could replace
        what is read, or an option cannot be used.
    RbinferError
        What is the same for all images: no model, a file system that refuses.
    """
    source = os.fspath(folder)
    if not os.path.isdir(source):
        raise InputError(f"{source} is not a directory; name the one in which images arrive")
    suffix = suffix_of(format)
    suffixes = [suffix, *(SUFFIXES[kind] for kind in beside)]
    if any(is_fits_name(f"x{end}") for end in suffixes) and is_searched(source, output, recursive):
        raise InputError(f"results in {output} would be taken for images; name another directory")
    options = options or ScoreOptions()
    options.check(catalog)
    for file in options.pixels.files:
        if file.name.endswith(tuple(suffixes)) and is_searched(
            os.fspath(output), file.parent, recursive
        ):
            raise InputError(f"a result could replace {file}, which is read; copy it to another folder")
    with Store(Path(output), "watch", options, suffix, overwrite, beside) as store:
        arrivals = Arrivals(source, catalog, settle, once, recursive)
        executor = Workers(store.recipe, workers, uses_detector(options, catalog, beside))
        try:
            places = _Places(source, catalog, suffix)
            return _Watch(store, arrivals, executor, places, all_frames, report).run(once)
        finally:
            executor.close()


@dataclass(frozen=True)
class _Places:
    """Where images lie, and how their catalogues and results are named."""

    source: str
    catalog: str | None
    suffix: str

    def work(self, name: str) -> Work:
        image = os.path.join(self.source, name)
        return work_of(image, os.path.dirname(name), self.suffix, self.catalog)


class _Watch:
    """The loop of `run_watch`."""

    def __init__(
        self,
        store: Store,
        arrivals: Arrivals,
        executor: Workers,
        places: _Places,
        all_frames: bool,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self._store, self._arrivals, self._executor = store, arrivals, executor
        self._places, self._all_frames, self._report = places, all_frames, report
        self._n_scored = self._n_failed = 0
        self._deferred: deque[Task] = deque()
        self._lenders: Lenders | None = None
        self._left_out: Counter[str] = Counter()

    def run(self, once: bool) -> WatchReport:
        ready: deque[str] = deque()
        next_look = time.monotonic()
        while True:
            start = time.monotonic()
            if start >= next_look:
                ready.extend(self._of_the_sky(self._arrivals.look()))
                end = time.monotonic()
                next_look = end + max(_INTERVAL, _SHARE * (end - start))
            while (self._deferred or ready) and self._executor.n_free > 0:
                again = self._deferred
                self._executor.submit(again.popleft() if again else self._task(ready.popleft()))
            idle = not (self._deferred or ready or self._executor.pending)
            if once and idle and not self._arrivals.is_waiting:
                return WatchReport(self._n_scored, self._n_failed)
            left = max(next_look - time.monotonic(), 0.0)
            if idle:
                time.sleep(left)
                continue
            for task, outcome in self._executor.wait(left):
                self._take(task, outcome)

    def _task(self, name: str) -> Task:
        return self._store.task(self._places.work(name), is_final=True)

    def _lent_to(self, camera: str) -> Lent:
        """Return what the frames so far lend."""
        if self._lenders is None:
            # Not before it is needed: a journal may be long.
            self._lenders = Lenders(self._store.recipe.how, _MOST_LENDERS)
            for line in lines_of(self._store.journal.path):
                self._lenders.note(line)
        lent = self._lenders.lent_to(camera)
        # Images may be moved away once they are scored; their widths are noted, their stars are not.
        return lent if os.path.exists(lent.image) else replace(lent, image="")

    def _of_the_sky(self, names: list[str]) -> Iterator[str]:
        """Yield the names of images of the sky; say of the first of each other type what it is."""
        for name in names:
            image = os.path.join(self._places.source, name)
            told = None if self._all_frames else type_of(image, os.path.dirname(name))
            if told is None or not told.is_calibration:
                yield name
                continue
            self._left_out[told.kind] += 1
            first = self._left_out[told.kind] == 1
            text = "%s is left out: %s" + ("; `all_frames=True` takes such frames" if first else "")
            log.log(logging.WARNING if first else logging.INFO, text, image, as_text([told]))
            self._arrivals.release(name)

    def _take(self, task: Task, outcome: Outcome) -> None:
        image = task.work.image
        if outcome.kind is Kind.FATAL:
            raise RbinferError(outcome.error)
        if outcome.kind is Kind.DEFERRED:
            lent = self._lent_to(outcome.camera)
            self._deferred.append(self._store.task(task.work, lent, is_final=True))
            return
        name = os.path.relpath(image, self._places.source)
        if outcome.kind is Kind.CUT and self._arrivals.postpone(name):
            log.warning("%s ends early: the rest of it is waited for", image)
            return
        is_unsettled = outcome.kind is Kind.UNSETTLED
        self._arrivals.release(name, again=is_unsettled)
        if is_unsettled:
            gone = not os.path.exists(image)
            what = "vanished before it was scored" if gone else "is still changing, and waited for"
            log.warning("%s %s", image, what)
            return
        self._n_failed += not outcome.ok
        if outcome.skipped:
            if outcome.ok:
                self._store.confirm({task.work.output: outcome.output_sha256})
                log.info("%s: nothing changed since it was scored", image)
            else:
                log.warning("%s", of_image(image, outcome.error or ""))
            return
        for text in outcome.warnings:
            log.warning("%s", of_image(image, text))
        with uninterrupted():
            line = self._store.keep(task, outcome)
            if self._lenders is not None:
                self._lenders.note(line)
            if line.ok:
                log.info("%s: scored in %.2f s, %s", image, outcome.seconds, task.work.output)
            else:
                log.error("%s", of_image(image, line.error or ""))
            self._report(line.as_dict())
        self._n_scored += outcome.ok
