"""Many images: each has one result, whatever fails, stops or is killed in between.

from rbinfer.runs.batch import run_batch

report = run_batch(["night/*.fits"], "scored", catalog="{dir}/{stem}.cat")
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from ..errors import InputError, RbinferError
from ..pipeline.options import ScoreOptions
from .beside import uses_detector
from .formats import suffix_of
from .merge import check_merge, counts_of, merge_results, noted_summaries
from .outcome import Kind, Outcome, of_image
from .plan import SAME_NAME, Work, check_apart, plan
from .search import search_images, select
from .store import Store
from .task import Recipe, Task

__all__ = ["BatchReport", "ImageResult", "NotMergedError", "run_batch"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageResult:
    """What came of an image of a batch.

    Attributes
    ----------
    image : str
        As it was named.
    output : Path
        Its result; not there if it failed, unless from an earlier run. The folder of the results for a
        name without a file.
    ok : bool
    skipped : bool
        It was done before, with the same content, options, model and version.
    error : str or None
        The reason, unless `ok`.
    summary : dict or None
        Counts and what they rest on, as ``rbinfer classify --json`` prints them; None unless scored now.
    seconds : float
        Of the worker.
    """

    image: str
    output: Path
    ok: bool
    skipped: bool
    error: str | None
    summary: dict[str, Any] | None
    seconds: float


@dataclass(frozen=True)
class BatchReport:
    """What came of a batch.

    Attributes
    ----------
    results : tuple of ImageResult
        In the order of the images; names and patterns without a file come last, as failed.
    journal : Path
        One JSON line for each image that was scored or failed, of this run and earlier ones.
    seconds : float
    left_out : dict of str to int
        How many darks, flats and biases were left out, by their type, and as "same name" how many
        images whose result would have the name of another's in the same folder.
    totals : dict of str to int
        Detections, real, bogus and unscored in all images with a result, those done before too.
    merged : tuple of (Path, int) or None
        The merged table and how many rows it has.
    """

    results: tuple[ImageResult, ...]
    journal: Path
    seconds: float
    left_out: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    merged: tuple[Path, int] | None = None

    @property
    def failed(self) -> tuple[ImageResult, ...]:
        """Those without a result."""
        return tuple(one for one in self.results if not one.ok)

    @property
    def n_skipped(self) -> int:
        """How many were done before."""
        return sum(one.ok and one.skipped for one in self.results)

    @property
    def n_scored(self) -> int:
        """How many were scored now."""
        return sum(one.ok and not one.skipped for one in self.results)

    @property
    def is_nothing_scored(self) -> bool:
        """Whether images were scored now, with detections of which none has a score."""
        found = [one.summary for one in self.results if one.summary is not None]
        detections, unscored = (sum(each[key] for each in found) for key in ("detections", "unscored"))
        return bool(0 < detections == unscored)

    def as_dict(self) -> dict[str, Any]:
        """Return counts and failures as plain values, for JSON."""
        summaries = [one.summary for one in self.results if one.summary is not None]
        return {
            "images": len(self.results),
            "scored": self.n_scored,
            "skipped": self.n_skipped,
            "failed": len(self.failed),
            "left_out": self.left_out,
            **counts_of(summaries),
            "totals": self.totals,
            "seconds": round(self.seconds, 3),
            "images_per_s": round(self.n_scored / self.seconds, 3),
            "journal": str(self.journal),
            **({} if self.merged is None else {"merged": str(self.merged[0]), "rows": self.merged[1]}),
            "failures": [{"image": one.image, "error": one.error} for one in self.failed],
        }


class NotMergedError(InputError):
    """The results of a batch cannot be one table; all the images are done all the same.

    Attributes
    ----------
    report : BatchReport
        What came of them.
    """

    def __init__(self, reason: str, report: BatchReport) -> None:
        super().__init__(reason)
        self.report = report


class Executor(Protocol):
    """What runs tasks."""

    @property
    def n_free(self) -> int:
        """How many tasks can be taken now."""

    @property
    def pending(self) -> int:
        """How many tasks have no outcome yet."""

    def submit(self, task: Task, following: Task | None = None) -> None:
        """Take a task; one must be free. What will follow may be read ahead."""

    def wait(self, timeout: float | None = None) -> list[tuple[Task, Outcome]]:
        """Wait for outcomes."""

    def close(self) -> None:
        """Drop what is not done."""


def run_batch(
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    options: ScoreOptions | None = None,
    catalog: str | None = None,
    format: str = "ecsv",
    workers: int | None = None,
    scheduler: Any = None,
    overwrite: bool = False,
    recursive: bool = False,
    all_frames: bool = False,
    beside: Sequence[str] = (),
    merge: str | os.PathLike[str] | None = None,
    begin: Callable[[int], None] | None = None,
    progress: Callable[[ImageResult, int], None] | None = None,
) -> BatchReport:
    """Score many images, one result each.

    Results are there whole or not at all, and noted in ``OUTPUT/batch.jsonl``. What that notes as done
    is skipped as long as the bytes of image, catalogue, model and result, the options and the version
    of rbinfer are the same. A batch that was interrupted or killed goes on when it is started again.

    An image that shows no stars is scored after the others, with the median FWHM of those of the same
    camera and filter that do (``FWHM_ASSUMED`` is set): the order of the images does not matter, nor
    what was done in which run.

    Workers are processes of their own; a script starts them under ``if __name__ == "__main__":``.

    Parameters
    ----------
    images : str, path, or sequence of these
        Files, directories and patterns as for `rbinfer.runs.search.search_images`. Darks, flats and
        biases among what directories and patterns mean are left out, as headers and names of folders
        tell them; the rest comes in the order of the times of observation. Of images in one folder
        whose results would have one name, the first by name is taken.
    output : str or path
        Directory for the results, named after the images: ``a.fits.fz`` gives ``a.ecsv``; with
        `recursive` in folders of the same names as below the directory that is searched.
    options : ScoreOptions, optional
        How images are scored.
    catalog : str, optional
        Template for the names of the catalogues, such as ``"{dir}/{stem}.cat"``; SEP detects without.
    format : {"ecsv", "fits", "csv", "vot", "parquet"}
        Format of the results.
    workers : int, optional
        Processes on this machine; by default one for each CPU that may be used, or one on a GPU.
    scheduler : str or distributed.Client, optional
        Dask scheduler, whose workers do the work instead. They must see images, catalogues and
        `output` under the same paths.
    overwrite : bool
        Whether results may replace files that rbinfer did not write there.
    recursive : bool
        Search directories with all their folders.
    all_frames : bool
        Score darks, flats and biases too.
    beside : sequence of {"regions", "mask"}
        What is written beside each result, under its name: DS9 regions (``.reg``), a mask of the
        pixels of artefacts (``.mask.fits``, see `rbinfer.pipeline.mask.artefact_mask`).
    merge : str or path, optional
        Write the results of all images of this run as one table too, those done before included; the
        suffix says in which format, and the column ``rb_image`` from which image a row is. One image is
        read at a time. A table that was merged here before is replaced.
    begin : callable, optional
        Called with the number of images once it is known, before the first is scored.
    progress : callable, optional
        Called as ``progress(result, total)`` after each image.

    Returns
    -------
    BatchReport

    Raises
    ------
    InputError
        No images at all, two of different folders with one result, results that would be taken for
        images or replace what is read, options that no image can have, or another batch is at work in
        `output`.
    NotMergedError
        All is done, but the results cannot be one table. Its ``report`` says what came of the images.
    RbinferError
        No model, no scheduler, or a file system that refuses: what is the same for all images. A single
        image that fails is no exception but in the report.
    """
    start = time.perf_counter()
    if workers is not None and scheduler is not None:
        raise InputError("workers are of this machine and a scheduler has its own; give one of them")
    named = [images] if isinstance(images, str | os.PathLike) else list(images)
    folder = Path(output)
    suffix = suffix_of(format)
    found, unmatched = search_images(named, recursive)
    selected, left_out = select(found, all_frames)
    twins: list[str] = []
    options = options or ScoreOptions()
    maps = options.pixels.files
    works = plan(selected, folder, suffix, catalog, beside, twins, maps)
    if twins:
        left_out[SAME_NAME] = len(twins)
    check_apart(named, works, folder, recursive, beside)
    options.check(catalog)
    target = None if merge is None else Path(merge)
    if target is not None:
        check_merge(target, folder, works, overwrite, named, recursive, maps)
    store = Store(folder, "batch", options, suffix, overwrite, beside)
    with store:
        missing = [_missing(pattern, about, folder) for pattern, about in unmatched.items()]
        total = len(works) + len(missing)
        if begin is not None:
            begin(total)
        if progress is not None:
            for result in missing:
                progress(result, total)
        noted: dict[str, str | None] = {}
        results: dict[str, ImageResult] = {}
        detects = uses_detector(options, catalog, beside)
        executor = _executor(store.recipe, workers, scheduler, detects, len(works))
        try:
            for task, outcome in _all_outcomes(store, executor, works):
                for text in outcome.warnings:
                    log.warning("%s", of_image(task.work.image, text))
                if not outcome.skipped:
                    store.keep(task, outcome)
                elif outcome.ok:
                    noted[task.work.output] = outcome.output_sha256
                result = _result(task, outcome, folder)
                results[task.work.image] = result
                if progress is not None:
                    progress(result, total)
        finally:
            executor.close()
        store.confirm(noted)
        ordered = (*(results[work.image] for work in works), *missing)
        summaries = [one.summary for one in ordered if one.summary is not None]
        totals = counts_of(chain(summaries, noted_summaries(folder, noted)))
        report = BatchReport(ordered, store.journal.path, 0.0, left_out, totals)
        if target is not None:
            done = [(work.image, work.output) for work in works if results[work.image].ok]
            try:
                merged = target, merge_results(target, store.journal, folder, done)
            except RbinferError as error:
                report = replace(report, seconds=time.perf_counter() - start)
                raise NotMergedError(str(error), report) from error
            report = replace(report, merged=merged)
    return replace(report, seconds=time.perf_counter() - start)


def _missing(pattern: str, about: str, folder: Path) -> ImageResult:
    """Return what came of a name without a file."""
    return ImageResult(pattern, folder, False, False, about, None, 0.0)


def _executor(
    recipe: Recipe, workers: int | None, scheduler: Any, detects: bool, n_tasks: int
) -> Executor:
    # What is not asked for need not be installed, or loaded.
    if scheduler is not None:
        from .dask import Cluster

        return Cluster(recipe, scheduler)
    from .processes import Workers

    return Workers(recipe, workers, detects, n_tasks)


def _all_outcomes(
    store: Store, executor: Executor, works: Sequence[Work]
) -> Iterator[tuple[Task, Outcome]]:
    """Yield an outcome of each image; frames without stars come last, with what the others lend them."""
    deferred: list[tuple[Work, str]] = []
    done: dict[str, tuple[str, str]] = {}
    for task, outcome in _outcomes(executor, [store.task(work) for work in works]):
        if outcome.kind is Kind.DEFERRED:
            deferred.append((task.work, outcome.camera))
            continue
        yield task, outcome
        if outcome.output_sha256 is not None:
            done[task.work.output] = task.work.image, outcome.output_sha256
    if deferred:
        lenders = store.lenders(done)
        tasks = [store.task(work, lenders.lent_to(camera)) for work, camera in deferred]
        yield from _outcomes(executor, tasks)


def _outcomes(executor: Executor, tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome]]:
    """Yield the outcomes in the order in which they come; workers wait for nothing meanwhile."""
    left = deque(tasks)
    came: list[tuple[Task, Outcome]] = []
    while left or executor.pending or came:
        while left and executor.n_free > 0:
            executor.submit(left.popleft(), left[0] if left else None)
        for task, outcome in came:
            if outcome.kind is Kind.FATAL:
                raise RbinferError(outcome.error)
            yield task, outcome
        came = executor.wait() if executor.pending else []


def _result(task: Task, outcome: Outcome, folder: Path) -> ImageResult:
    return ImageResult(
        task.work.image,
        folder / task.work.output,
        outcome.ok,
        outcome.skipped,
        outcome.error,
        outcome.summary,
        outcome.seconds,
    )
