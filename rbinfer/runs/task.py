"""What a worker does with an image: a pure function of files, on this machine or on a cluster."""

import errno
import json
import logging
import os
import platform
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.collected import collected_warnings
from .._util.hashing import digest, digest_of
from .._util.sentences import unforeseen
from ..errors import InputError, RbinferError
from ..io.camera import camera_of
from ..io.exposure import Exposure, Width
from ..io.files import check_file
from ..io.headers import first_headers
from ..io.layout import ends_early
from ..measure.estimate import star_of
from ..model.registry import resolve
from ..pipeline.frames import Frames
from ..pipeline.mask import check_classes
from ..pipeline.options import ScoreOptions
from ..pipeline.score_file import ScoredFile, score_file
from ..scoring.classifier import Classifier
from .beside import FilesBeside, beside, digest_of_result, write_beside
from .journal import Entry, shortened
from .lending import Lent
from .outcome import Kind, Outcome
from .plan import Work

log = logging.getLogger(__name__)

#: Options that the scores do not depend on (the model's file is hashed instead).
_NOT_HASHED = {"model", "device", "threads"}
#: Refusals of the file system that the next image would meet too.
_FATAL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


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
    staging : str
        Directory on the same file system in which results are written before they are put in place.
    base : str
        Directory from which relative names count, absolute.
    overwrite : bool
        Whether results may replace files that are not ours.
    beside : tuple of str
        Kinds of files that are written beside each result.
    """

    options: ScoreOptions
    how: str
    folder: str
    staging: str
    base: str
    overwrite: bool
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """An image to score, and what the journals know of its result.

    Attributes
    ----------
    work : Work
    done : tuple of Entry
        What notes a result, in any format.
    failed : Entry or None
        What notes that its content allows of none.
    lent : Lent or None
        What it borrows if it shows no stars; None where that is not known yet: it is deferred then.
    keeps_lent : bool
        A result that is there stays, whatever was lent for it.
    """

    work: Work
    done: tuple[Entry, ...] = ()
    failed: Entry | None = None
    lent: Lent | None = None
    keeps_lent: bool = False

    def has_same_width(self, entry: Entry) -> bool:
        """Whether an entry is of a result for which the same was lent."""
        key = "" if self.lent is None else self.lent.key
        return self.keeps_lent or entry.lent == shortened(key)


class _NoStarsError(Exception):
    """A frame without stars, and it is not known yet what others lend it."""


def fingerprint(options: ScoreOptions) -> str:
    """Hash all that the scores of an image depend on but the image and its catalogue.

    Parameters
    ----------
    options : ScoreOptions

    Returns
    -------
    str
        Of the model's bytes, those of files for mask, noise and PSF, the options, and rbinfer's version.

    Raises
    ------
    ModelError
        There is no such model.
    InputError
        There is no such mask, noise map or PSF.
    """
    from .. import __version__

    facts: dict[str, Any] = {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if field.name not in _NOT_HASHED
    }
    facts["version"] = __version__
    facts["files"] = [digest(resolve(options.model)), *map(digest, _whole(options.pixels.files))]
    return digest_of(json.dumps(facts, sort_keys=True).encode())


def _whole(files: Iterable[Path]) -> Iterator[Path]:
    """Yield files that can be read; raises `InputError` at the first that cannot."""
    for file in files:
        check_file(file)
        yield file


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
        raise RbinferError(f"the worker {_own_name()} says: {error}") from error
    if how != recipe.how:
        raise RbinferError(
            f"the worker {_own_name()} has another model, mask, noise map, PSF or version of rbinfer "
            "than the process that sent the images; install the same on both"
        )
    if not os.path.isdir(recipe.staging):
        raise RbinferError(
            f"the worker {_own_name()} does not see the directory {recipe.folder}; images and results "
            "must lie on a file system that all workers share, under the same path"
        )
    classifier = replace(recipe.options, threads=recipe.options.threads or 1).classifier()
    recipe.options.point(classifier)
    if "mask" in recipe.beside:
        check_classes(classifier)
    return classifier


def run_task(task: Task, recipe: Recipe) -> Outcome:
    """Score an image and stage its result, unless the journal has the same.

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
    with collected_warnings() as warnings:
        try:
            outcome = _with_model(task, recipe)
        except RbinferError as error:
            outcome = Outcome(Kind.FAILED, str(error))
        except MemoryError:
            outcome = Outcome(Kind.FAILED, "the memory does not suffice for it; use fewer workers")
        except Exception as error:
            log.debug("%s", task.work.image, exc_info=True)
            outcome = Outcome(Kind.FAILED, unforeseen(error))
    seconds = round(time.perf_counter() - start, 3)
    return replace(outcome, warnings=tuple(warnings), seconds=seconds, worker=_own_name())


def _with_model(task: Task, recipe: Recipe) -> Outcome:
    try:
        classifier = prepared(recipe)
    except RbinferError as error:
        return Outcome(Kind.FATAL, str(error))
    return _score_unless_known(task, recipe, classifier)


def _score_unless_known(task: Task, recipe: Recipe, classifier: Classifier) -> Outcome:
    work = task.work
    image = _seen_from(recipe.base, work.image)
    catalog = None if work.catalog is None else _seen_from(recipe.base, work.catalog)
    read = [image] if catalog is None else [image, catalog]
    before = signature(*read)
    if before is None:
        missing = next((path for path in read if not os.path.exists(path)), image)
        kind = Kind.UNSETTLED if missing == image else Kind.FAILED
        return Outcome(kind, f"{missing} does not exist")
    try:
        content = digest(*read)
    except OSError as error:
        return Outcome(Kind.FAILED, f"{error.filename} cannot be read: {error.strerror}")
    known = _known(task, recipe, content)
    if known is not None:
        return known
    cameras: list[str] = []

    def borrow(exposure: Exposure) -> Width | None:
        if task.lent is None:
            cameras.append(_camera(image, exposure))
            raise _NoStarsError
        return _borrowed(task.lent, recipe)

    try:
        scored = score_file(image, catalog, recipe.options, classifier, work.output, borrow)
    except _NoStarsError:
        if signature(*read) != before:
            return Outcome(Kind.UNSETTLED, f"{work.image} changed while it was read")
        return Outcome(Kind.DEFERRED, content=content, camera=cameras[0])
    except RbinferError as error:
        kind = _kind_of(error, image)
        if signature(*read) != before:
            kind = Kind.UNSETTLED
        return Outcome(kind, str(error), content)
    # As they were named, from wherever the worker saw them.
    scored.summary.update(image=work.image, catalog=work.catalog)
    scored.table.meta["rb_image"] = work.image
    try:
        staged, sha256, others = _stage(scored, recipe, work, classifier)
    except RbinferError as error:
        return _not_staged(error, recipe, work, content)
    if signature(*read) != before:
        for path in (staged, *(path for _, path, _ in others)):
            with suppress(OSError):
                os.unlink(path)
        return Outcome(Kind.UNSETTLED, f"{work.image} changed while it was read")
    return Outcome(
        Kind.SCORED,
        content=content,
        staged=staged,
        output_sha256=sha256,
        summary=scored.summary,
        camera="" if scored.image is None else _camera(image, scored.image),
        beside=others,
    )


def _camera(image: str, exposure: Exposure) -> str:
    return camera_of([exposure.header, *first_headers(image)], exposure.shape)


def _borrowed(lent: Lent, recipe: Recipe) -> Width | None:
    """Return the width that is lent, with a star of the frame that is most like the others."""
    if lent.fwhm is None:
        return None
    stamp = None
    if lent.image:
        stamp = _star_of(_seen_from(recipe.base, lent.image), lent.content, recipe.options)
    return Width(lent.fwhm, "borrowed", stamp=stamp, n_frames=lent.n_frames)


@lru_cache(maxsize=4)
def _star_of(image: str, content: str, options: ScoreOptions) -> NDArray[np.float32] | None:
    """Measure the star of another frame; `content` makes a file that was replaced be read again."""
    try:
        return star_of(Frames(image, options.hdu, options.pixels).read(options.hdu))
    except RbinferError as error:
        raise RbinferError(f"the star of another frame cannot be borrowed: {error}") from error


def _known(task: Task, recipe: Recipe, content: str) -> Outcome | None:
    """Return what is known of an image beforehand; None if it is to be scored."""
    output = task.work.output
    sha256 = digest_of_result(os.path.join(recipe.folder, output))
    ours = [entry for entry in task.done if sha256 is not None and entry.output == shortened(sha256)]
    now = (shortened(content), shortened(recipe.how))
    files = FilesBeside(output, recipe.folder, recipe.beside)
    if any(
        (entry.content, entry.how) == now and task.has_same_width(entry) and files.are_of(entry)
        for entry in ours
    ):
        return Outcome(Kind.UNCHANGED, content=content, output_sha256=sha256)
    if task.failed is not None and (task.failed.content, task.failed.how) == now:
        return Outcome(Kind.STILL_UNUSABLE, f"failed before: {task.failed.error}", content)
    if sha256 is not None and not ours and not recipe.overwrite:
        text = (
            f"the result {output} exists, is not as rbinfer wrote it, and is kept; use "
            "`overwrite=True`, or move it away"
        )
        return Outcome(Kind.FAILED, text, content)
    strange = None if recipe.overwrite else files.strange(task.done)
    if strange is not None:
        text = (
            f"{strange} exists, is not as rbinfer wrote it, and is kept; use `overwrite=True`, or move "
            "it away"
        )
        return Outcome(Kind.FAILED, text, content)
    return None


def _kind_of(error: RbinferError, image: str) -> Kind:
    """Return what it means that an image could not be scored."""
    if not _is_of_content(error):
        return Kind.FAILED
    return Kind.CUT if ends_early(Path(image)) else Kind.UNUSABLE


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


def _stage(
    scored: ScoredFile, recipe: Recipe, work: Work, classifier: Classifier
) -> tuple[str, str, tuple[tuple[str, str, str], ...]]:
    """Write a result and the files beside it whole and to the disk, under names of their own.

    Returns name and hash of the result; and kind, name and hash of each of the others.
    """
    name = Path(recipe.staging, secrets.token_hex(8))
    path = Path(f"{name}{os.path.splitext(work.output)[1]}")
    paths = {kind: Path(beside(str(path), kind)) for kind in recipe.beside}
    try:
        scored.with_columns(recipe.options.show).write(path)
        others = []
        for kind, other in paths.items():
            write_beside(kind, scored, work.image, recipe.options, classifier, other)
            others.append((kind, str(other), _synced(other)))
        return str(path), _synced(path), tuple(others)
    except BaseException:
        for each in (path, *paths.values()):
            with suppress(OSError):
                each.unlink()
        raise


def _synced(path: Path) -> str:
    """Bring a file to the disk; return its hash."""
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise RbinferError(f"{path} cannot be written: {_reason(error)}") from error
    return digest(path)


def _not_staged(error: RbinferError, recipe: Recipe, work: Work, content: str) -> Outcome:
    """Return what it means that a result could not be written."""
    cause = error.__cause__
    if isinstance(cause, OSError) and (cause.errno is None or cause.errno in _FATAL_ERRORS):
        text = f"{recipe.folder} cannot take the result {work.output}: {_reason(cause)}"
        return Outcome(Kind.FATAL, text, content)
    return Outcome(Kind.FAILED, str(error), content)


def _seen_from(base: str, name: str) -> str:
    # Names stay short in messages where the worker runs in the same place.
    return name if os.getcwd() == base else os.path.join(base, name)


def _is_of_content(error: BaseException | None) -> bool:
    """Whether the content explains an error: memory and the file system have no part in it."""
    while error is not None:
        # What Astropy says of damaged files is an OSError too, but without a number.
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            return False
        error = error.__cause__
    return True


def _reason(error: BaseException | None) -> str:
    return str(getattr(error, "strerror", None) or error)


def _own_name() -> str:
    return f"{platform.node()}:{os.getpid()}"
