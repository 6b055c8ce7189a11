"""A directory of results and its journal: one process writes there, and what it writes is whole."""

import logging
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Self

from .._util.hashing import digest
from .._util.interrupts import uninterrupted
from .._util.sentences import counted
from ..errors import InputError, RbinferError
from ..io.formats import output_format
from ..pipeline.options import ScoreOptions
from .beside import FilesBeside, beside, check_beside, digest_of_result
from .formats import FORMATS
from .journal import (
    KINDS_BESIDE,
    WRITERS,
    Entry,
    Journal,
    Line,
    Notes,
    journal_of,
    lines_of,
    shortened,
    slot_of,
)
from .lending import Lenders, Lent
from .outcome import Kind, Outcome
from .plan import Work
from .task import Recipe, Task, fingerprint

log = logging.getLogger(__name__)

_TRIAL = 4096  # bytes


class Store:
    """A directory of results that this process alone fills; a context manager.

    The journal is the point of commitment: a result is written to a staging directory, then noted in the
    journal, then renamed to its place. Killed before the note, the image is scored again; killed after
    it, the next start renames. What the journal of the other verb notes is known too, as it was at the
    start.

    Parameters
    ----------
    folder : Path
        Made if need be.
    name : str
        "batch" or "watch"; the journal is ``NAME.jsonl``, the staging directory ``.rbinfer-NAME``.
    options : ScoreOptions
        How images are scored.
    suffix : str
        Of the results, which says what format they have.
    overwrite : bool
        Whether results may replace files that are not ours.
    kinds : sequence of str
        Of the files beside each result, as in `rbinfer.runs.beside.SUFFIXES`.

    Attributes
    ----------
    folder : Path
    recipe : Recipe
        For the workers.
    journal : Journal

    Raises
    ------
    InputError
        Another process is at work there.
    RbinferError
        The file system refused.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        options: ScoreOptions,
        suffix: str,
        overwrite: bool,
        kinds: Sequence[str] = (),
    ) -> None:
        check_beside(kinds, options)
        self.folder, self._suffix = folder, suffix
        how = fingerprint(options)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RbinferError(f"the directory {folder} cannot be made: {error.strerror}") from error
        self.journal = Journal(journal_of(folder, name))
        others = [Notes.read(journal_of(folder, other)) for other in WRITERS if other != name]
        self._notes = [self.journal, *others]
        self._staging = folder / f".rbinfer-{name}"
        self._n_cleared = 0
        self.recipe = Recipe(
            options=options,
            how=how,
            folder=os.path.abspath(folder),
            staging=os.path.abspath(self._staging),
            base=os.getcwd(),
            overwrite=overwrite,
            beside=tuple(kinds),
        )

    def __enter__(self) -> Self:
        try:
            self._finish_last()
            self._sweep()
            self._staging.mkdir(exist_ok=True)
            self._check_writable()
        except BaseException as error:
            self.__exit__()
            if isinstance(error, OSError):
                raise RbinferError(
                    f"the directory {self.folder} cannot be written: {error.strerror}"
                ) from error
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self._sweep()
        if self._n_cleared:
            log.warning(
                "%s removed from beside new results: of an earlier scoring, and not asked for now",
                counted(self._n_cleared, "file"),
            )
        self.journal.__exit__(*raised)

    def task(self, work: Work, lent: Lent | None = None, is_final: bool = False) -> Task:
        """Return the task of an image.

        Parameters
        ----------
        work : Work
        lent : Lent, optional
            What it borrows if it shows no stars; without it, it is deferred then.
        is_final : bool
            Whether an image that has not changed is left alone, although it failed before because of its
            content, or other frames would lend it something else now.
        """
        failed = self.journal.failed(work.output) if is_final else None
        return Task(work, self._done(work.output), failed, lent, keeps_lent=is_final)

    def lenders(self, results: Mapping[str, tuple[str, str]]) -> Lenders:
        """Return those of the results of a run whose frames have stars.

        Parameters
        ----------
        results : mapping of str to (str, str)
            By name, the image as this run names it and the hash of the result.
        """
        paths = [journal_of(self.folder, writer) for writer in WRITERS]
        lenders = Lenders(self.recipe.how)
        for line in chain.from_iterable(lines_of(path) for path in paths if path.exists()):
            image, sha256 = results.get(line.output, ("", None))
            if sha256 is not None and line.output_sha256 == sha256:
                lenders.note(replace(line, image=image))
        return lenders

    def keep(self, task: Task, outcome: Outcome) -> Line:
        """Note an outcome in the journal and put its result in place.

        Parameters
        ----------
        task : Task
        outcome : Outcome
            One that was not skipped.

        Returns
        -------
        Line
            Of the journal.

        Raises
        ------
        RbinferError
            The file system refused.
        """
        line = self._line(task, outcome)
        with uninterrupted():
            self.journal.append(line)
            for kind, staged, _ in outcome.beside:
                self._place(Path(staged), beside(task.work.output, kind))
            if outcome.staged is not None:
                self._place(Path(outcome.staged), task.work.output)
                self._clear(task.work.output, [kind for kind, _, _ in outcome.beside], task.done)
        return line

    def confirm(self, results: Mapping[str, str | None]) -> None:
        """Note results anew that are right as they are, where the last word is that their images failed.

        An image that was cut short is scored no more when the bytes come back that it had before.

        Parameters
        ----------
        results : mapping of str to str
            The hash of each result, by its name.

        Raises
        ------
        RbinferError
            The file system refused.
        """
        wanted = {
            slot_of(output): (output, sha256)
            for output, sha256 in results.items()
            if any(notes.is_failing(output) for notes in self._notes)
        }
        newest: dict[str, Line] = {}
        right: dict[str, Line] = {}
        paths = [journal_of(self.folder, writer) for writer in WRITERS] if wanted else []
        for line in chain.from_iterable(lines_of(path) for path in paths if path.exists()):
            slot = slot_of(line.output)
            if slot not in wanted:
                continue
            if slot not in newest or line.finished >= newest[slot].finished:
                newest[slot] = line
            if line.ok and (line.output, line.output_sha256) == wanted[slot]:
                right[slot] = line
        for slot, line in right.items():
            if not newest[slot].ok:
                self.journal.append(replace(line, finished=_now()))

    def _line(self, task: Task, outcome: Outcome) -> Line:
        return Line(
            image=task.work.image,
            output=task.work.output,
            ok=outcome.ok,
            error=outcome.error,
            final=outcome.kind is Kind.UNUSABLE,
            warnings=outcome.warnings,
            summary=outcome.summary,
            seconds=outcome.seconds,
            worker=outcome.worker,
            attempts=outcome.attempts,
            finished=_now(),
            content=outcome.content,
            how=self.recipe.how,
            output_sha256=outcome.output_sha256,
            camera=outcome.camera,
            lent="" if task.lent is None else task.lent.key,
            beside={kind: sha256 for kind, _, sha256 in outcome.beside},
        )

    def _place(self, staged: Path, output: str) -> None:
        target = self.folder / output
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged, target)
        except OSError as error:
            raise RbinferError(f"{target} cannot be written: {error.strerror}") from error

    def _done(self, output: str) -> tuple[Entry, ...]:
        """Return what notes a result in any format: files beside them have the same names."""
        names = {output, *(slot_of(output) + suffix for suffix in FORMATS.values())}
        found = (notes.done(name) for notes in self._notes for name in sorted(names))
        return tuple(entry for entry in found if entry is not None)

    def _clear(self, output: str, written: Collection[str], entries: Sequence[Entry]) -> None:
        """Remove files of ours beside a new result that are of other scores than it has."""
        kinds = [kind for kind in KINDS_BESIDE if kind not in written]
        try:
            for name in FilesBeside(output, str(self.folder), kinds).noted(entries):
                (self.folder / name).unlink()
                self._n_cleared += 1
        except (InputError, OSError) as error:
            log.warning("%s: a file of an earlier scoring stays beside it: %s", output, error)

    def _finish_last(self) -> None:
        """Put in place what the last line notes, if its writer was killed before it did."""
        last = self.journal.last
        entry = None if last is None else self.journal.done(last)
        if last is None or entry is None or not self._staging.is_dir():
            return
        names = {sha256: beside(last, k) for k, sha256 in zip(KINDS_BESIDE, entry.beside, strict=True)}
        names[entry.output] = last
        for staged in sorted(self._staging.iterdir()):
            name = names.get(shortened(digest(staged)))
            if name is not None:
                log.info("%s: put in place what was noted last", self.folder / name)
                self._place(staged, name)
        if shortened(digest_of_result(str(self.folder / last))) == entry.output:
            nothing = shortened(None)
            written = [
                k for k, sha256 in zip(KINDS_BESIDE, entry.beside, strict=True) if sha256 != nothing
            ]
            self._clear(last, written, self._done(last))

    def _sweep(self) -> None:
        # The journal is locked: what lies there is nobody else's.
        shutil.rmtree(self._staging, ignore_errors=True)

    def _check_writable(self) -> None:
        """Write a small file, for the reasons why no result could be written."""
        trial = self._staging / f"trial{self._suffix}"
        output_format(trial).check()
        trial.write_bytes(bytes(_TRIAL))
        trial.unlink()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
