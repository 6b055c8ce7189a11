"""What a worker does with an image: a pure function of files, on this machine or on a cluster."""

import errno
import hashlib
import json
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import InputError, RbinferError
from ..io.files import check_file
from ..io.maps import place_of
from ..io.tables import write_catalog
from ..model.registry import resolve
from ..pipeline.options import ScoreOptions
from ..pipeline.score_file import score_file
from ..scoring.classifier import Classifier
from .journal import Entry, brief
from .plan import Work

log = logging.getLogger(__name__)

#: Options without a say in the scores (the model's file is hashed instead).
_NO_SAY = {"model", "device", "threads"}
#: What the next image would meet too.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True)
class Recipe:
    """What is the same for all images of a run.

    Attributes
    ----------
    options : ScoreOptions
    how : str
        From `fingerprint`.
    folder : str
        Directory of the results, absolute.
    scratch : str
        Directory on the same file system in which results are written before they are put in place.
    base : str
        Directory from which relative names count, absolute.
    overwrite : bool
        Whether results may replace files that are not ours.
    """

    options: ScoreOptions
    how: str
    folder: str
    scratch: str
    base: str
    overwrite: bool


@dataclass(frozen=True)
class Task:
    """An image to score, and what the journals know of its result."""

    work: Work
    done: tuple[Entry, ...] = ()
    failed: Entry | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes
    ----------
    ok : bool
    skipped : bool
        Nothing was to be done: the journal has the same.
    error : str or None
        The reason, unless `ok`.
    is_fatal : bool
        The other images would meet the same: no room, another model.
    is_unsettled : bool
        The image is gone or changed while it was read.
    is_final : bool
        The same content would fail again, however often it is tried.
    content : str
        Hash of what was read: the bytes of the image and, if it has one, of the catalogue after them.
    parcel : str or None
        The result, still to be put in place.
    output_sha256 : str or None
        Hash of the result.
    summary : dict or None
        As of `rbinfer.pipeline.score_file.score_file`.
    warnings : tuple of str
    seconds : float
    worker : str
        Machine and process.
    attempts : int
        2 after the death of a worker.
    """

    ok: bool = False
    skipped: bool = False
    error: str | None = None
    is_fatal: bool = False
    is_unsettled: bool = False
    is_final: bool = False
    content: str = ""
    parcel: str | None = None
    output_sha256: str | None = None
    summary: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    worker: str = ""
    attempts: int = 1


def fingerprint(options: ScoreOptions) -> str:
    """Hash all that the scores of an image depend on but the image and its catalogue.

    Parameters
    ----------
    options : ScoreOptions

    Returns
    -------
    str
        Of the model's bytes, those of files for mask and noise, the options, and rbinfer's version.

    Raises
    ------
    ModelError
        There is no such model.
    InputError
        There is no such mask or noise map.
    """
    from .. import __version__

    said: dict[str, Any] = {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if field.name not in _NO_SAY
    }
    said["version"] = __version__
    said["files"] = [digest(resolve(options.model)), *map(digest, _map_files(options))]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _map_files(options: ScoreOptions) -> Iterator[Path]:
    """Yield the files of maps that all images have in common."""
    for where, what in ((options.mask, "mask"), (options.err, "noise map")):
        file = None if where is None else place_of(where, what)[0]
        if file is not None:
            check_file(file)
            yield file


def digest(*paths: str | Path) -> str:
    """Hash the bytes of files, one after another, with SHA-256."""
    total = hashlib.sha256()
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while n := file.readinto(buffer):
                total.update(view[:n])
    return total.hexdigest()


@lru_cache(maxsize=1)
def prepared(recipe: Recipe) -> Classifier:
    """Load the model, once a process.

    Parameters
    ----------
    recipe : Recipe

    Raises
    ------
    RbinferError
        This process has another model or version than the one that sent the recipe, or does not see
        its directory; or the model has no such operating point.
    """
    try:
        how = fingerprint(recipe.options)
    except InputError as error:
        raise RbinferError(f"the worker {_name()} says: {error}") from error
    if how != recipe.how:
        raise RbinferError(
            f"the worker {_name()} has another model, mask, noise map or version of rbinfer than the "
            "process that sent the images; install the same on both"
        )
    if not os.path.isdir(recipe.scratch):
        raise RbinferError(
            f"the worker {_name()} does not see the directory {recipe.folder}; images and results must "
            "lie on a file system that all workers share, under the same path"
        )
    classifier = replace(recipe.options, threads=recipe.options.threads or 1).classifier()
    recipe.options.point(classifier)
    return classifier


def do(task: Task, recipe: Recipe) -> Outcome:
    """Score an image and write its result beside its place, unless the journal has the same.

    Parameters
    ----------
    task : Task
    recipe : Recipe

    Returns
    -------
    Outcome
        Whatever happened: no exception leaves.
    """
    start = time.perf_counter()
    outcome = Outcome()
    with _collected() as warnings:
        try:
            try:
                classifier = prepared(recipe)
            except RbinferError as error:
                outcome = Outcome(error=str(error), is_fatal=True)
            else:
                outcome = _done(task, recipe, classifier)
        except RbinferError as error:
            outcome = Outcome(error=str(error))
        except MemoryError:
            outcome = Outcome(error="the memory does not suffice for it; use fewer workers")
        except Exception as error:
            log.debug("%s", task.work.image, exc_info=True)
            text = " ".join(str(error).split())
            outcome = Outcome(error=f"{type(error).__name__}: {text}")
    seconds = round(time.perf_counter() - start, 3)
    return replace(outcome, warnings=tuple(warnings), seconds=seconds, worker=_name())


def _done(task: Task, recipe: Recipe, classifier: Classifier) -> Outcome:
    work = task.work
    image = _seen_from(recipe.base, work.image)
    catalog = None if work.catalog is None else _seen_from(recipe.base, work.catalog)
    read = [image] if catalog is None else [image, catalog]
    before = signature(*read)
    if before is None:
        missing = next((path for path in read if not os.path.exists(path)), image)
        return Outcome(error=f"{missing} does not exist", is_unsettled=missing == image)
    try:
        content = digest(*read)
    except OSError as error:
        return Outcome(error=f"{error.filename} cannot be read: {error.strerror}")
    found = _found(os.path.join(recipe.folder, work.output))
    ours = [entry for entry in task.done if found is not None and entry.output == brief(found)]
    now = (brief(content), brief(recipe.how))
    if any(entry[:2] == now for entry in ours):
        return Outcome(ok=True, skipped=True, content=content, output_sha256=found)
    if task.failed is not None and task.failed[:2] == now:
        return Outcome(skipped=True, content=content, error=f"failed before: {task.failed.error}")
    if found is not None and not ours and not recipe.overwrite:
        return Outcome(
            error=f"the result {work.output} exists, is not as rbinfer wrote it, and is kept; use "
            "--overwrite (overwrite=True), or move it away",
            content=content,
        )
    try:
        scored = score_file(image, catalog, recipe.options, classifier)
    except RbinferError as error:
        changed = signature(*read) != before
        final = _is_final(error)
        return Outcome(error=str(error), is_unsettled=changed, is_final=final, content=content)
    # As they were named, from wherever the worker saw them.
    scored.summary.update(image=work.image, catalog=work.catalog)
    scored.table.meta["rb_image"] = work.image
    try:
        parcel, sha256 = _pack(scored.table, recipe.scratch, work.output)
    except RbinferError as error:
        cause = error.__cause__
        full = isinstance(cause, OSError) and (cause.errno is None or cause.errno in _NO_ROOM)
        text = f"{recipe.folder} cannot take the result {work.output}: {_reason(cause)}"
        return Outcome(error=text if full else str(error), is_fatal=full, content=content)
    if signature(*read) != before:
        with suppress(OSError):
            os.unlink(parcel)
        return Outcome(error=f"{work.image} changed while it was read", is_unsettled=True)
    return Outcome(ok=True, content=content, parcel=parcel, output_sha256=sha256, summary=scored.summary)


def signature(*paths: str) -> tuple[int, ...] | None:
    """Return sizes, times and inodes of files: what changes when they do; None where one is absent."""
    found: list[int] = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            return None
        found += (status.st_size, status.st_mtime_ns, status.st_ino)
    return tuple(found)


def _pack(table: Any, scratch: str, output: str) -> tuple[str, str]:
    """Write a result whole and to the disk, under a name of its own; return that and its hash."""
    path = Path(scratch, f"{secrets.token_hex(8)}{os.path.splitext(output)[1]}")
    write_catalog(table, path)
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise RbinferError(f"{path} cannot be written: {_reason(error)}") from error
    return str(path), digest(path)


def _found(path: str) -> str | None:
    try:
        return digest(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"the result {path} cannot be replaced: {_reason(error)}") from error


def _seen_from(base: str, name: str) -> str:
    # Names stay short in messages where the worker runs in the same place.
    return name if os.getcwd() == base else os.path.join(base, name)


def _is_final(error: BaseException | None) -> bool:
    """Whether the content explains an error: memory and the file system have no part in it."""
    while error is not None:
        # What Astropy says of damaged files is an OSError too, but without a number.
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            return False
        error = error.__cause__
    return True


def _reason(error: BaseException | None) -> str:
    return str(getattr(error, "strerror", None) or error)


def _name() -> str:
    return f"{platform.node()}:{os.getpid()}"


class _Collector(logging.Handler):
    """Collects the warnings of the thread that made it."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._texts, self._thread = texts, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._texts.append(record.getMessage())


@contextmanager
def _collected() -> Iterator[list[str]]:
    """Collect the warnings that this thread logs, for the process that prints them."""
    texts: list[str] = []
    handler, logger = _Collector(texts), logging.getLogger("rbinfer")
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)
