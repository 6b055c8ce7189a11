"""The results of a run as one table, and their counts: read one after another, whatever made them."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._util.hashing import digest
from .._util.sentences import counted
from ..errors import InputError
from ..io.files import check_distinct, check_place
from ..io.formats import output_format
from ..io.merged import write_merged
from ..io.tables import read_catalogs
from .beside import beside
from .journal import KINDS_BESIDE, WRITERS, Journal, Line, journal_of, lines_of
from .plan import Work, check_apart, read_by

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: What is counted in the summary of an image.
COUNTED = ("detections", "real", "bogus", "unscored")


def counts_of(summaries: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return the sums of what summaries of images count."""
    total = dict.fromkeys(COUNTED, 0)
    for summary in summaries:
        for key in COUNTED:
            total[key] += int(summary.get(key, 0))
    return total


def noted_summaries(folder: Path, results: dict[str, str | None]) -> Iterator[dict[str, Any]]:
    """Yield what the journals of a directory noted of results that are there.

    Parameters
    ----------
    folder : Path
    results : dict of str to str
        The hash of each result, by its name.
    """
    left = dict(results)
    paths = [journal_of(folder, writer) for writer in WRITERS] if left else []
    for line in chain.from_iterable(lines_of(path) for path in paths if path.exists()):
        if line.ok and line.summary and left.get(line.output) == line.output_sha256:
            del left[line.output]
            yield line.summary
    if left:
        log.warning(
            "the journal does not tell the counts of %s: not added", counted(len(left), "result")
        )


def check_merge(
    target: Path,
    folder: Path,
    works: Sequence[Work],
    overwrite: bool,
    patterns: Sequence[str | os.PathLike[str]],
    recursive: bool,
    maps: Iterable[Path] = (),
) -> None:
    """Refuse a merged table before any work is done.

    Parameters
    ----------
    target : Path
        Where it is to be. A table that this directory's journal notes as merged may be replaced.
    folder : Path
        Of the results.
    works : sequence of Work
    overwrite : bool
        Whether any other file may be replaced too.
    patterns : sequence of str or path
        What the images were found by; they must not find the table.
    recursive : bool
        Whether directories are searched with all their folders.
    maps : iterable of Path
        Files that are read for all images.

    Raises
    ------
    InputError
        No such format or folder, a file that is not ours, or one that is read or written otherwise.
    """
    kind = output_format(target)
    if kind.name == "Parquet":
        from .._util.extras import needed

        needed("pyarrow", "Parquet needs", "parquet")
    names = [work.output for work in works]
    results = [folder / name for name in names]
    results += [folder / beside(name, kind) for name in names for kind in KINDS_BESIDE]
    journals = [journal_of(folder, writer) for writer in WRITERS]
    check_distinct([target], [*results, *read_by(works), *maps, *journals])
    check_apart(patterns, [Work("", None, target.name)], target.parent, recursive)
    if target.parent.exists() or os.path.realpath(target.parent) != os.path.realpath(folder):
        check_place(target, overwrite or _is_ours(target, folder))


def merge_results(target: Path, journal: Journal, folder: Path, named: Sequence[tuple[str, str]]) -> int:
    """Write the results of a run as one table, and note it in the journal.

    Parameters
    ----------
    target : Path
        From `check_merge`.
    journal : Journal
    folder : Path
        Of the results.
    named : sequence of (str, str)
        Image and name of the result, in the order of the rows.

    Returns
    -------
    int
        How many rows it has.

    Raises
    ------
    RbinferError
        As by `rbinfer.io.merged.write_merged`; or it is not clear which table of a file is the result.
    """

    def parts() -> "Iterator[tuple[str, Table]]":
        for image, output in named:
            yield image, _result(folder / output)

    def note(whole: Path) -> None:
        # Before it is put in place: what is ours must be known whenever this is killed.
        journal.append(_line(target, folder, digest(whole)))

    return write_merged(parts, target, note)


def _result(path: Path) -> "Table":
    """Read a result: the one scored table, for a catalogue is written back with its other tables."""
    tables = [table for _, table in read_catalogs(path)]
    if len(tables) == 1:
        return tables[0]
    scored = [table for table in tables if not {"rb_score", "rb_status"}.isdisjoint(table.colnames)]
    if len(scored) != 1:
        raise InputError(
            f"{path} has {len(tables)} tables, of which {len(scored)} have rb_score or rb_status, and "
            "one must; score its image again, from a catalogue without these columns"
        )
    return scored[0]


def _line(target: Path, folder: Path, sha256: str) -> Line:
    nothing = ""
    name = _name(target, folder)
    return Line(output=name, ok=True, content=nothing, how=nothing, output_sha256=sha256)


def _is_ours(target: Path, folder: Path) -> bool:
    """Whether a journal of the directory notes that a file was merged, as it stands."""
    path = journal_of(folder, "batch")
    if not target.is_file() or not path.exists():
        return False
    name = _name(target, folder)
    noted = {line.output_sha256 for line in lines_of(path) if line.output == name and not line.image}
    try:
        return bool(noted) and digest(target) in noted
    except OSError as error:
        raise InputError(f"the merged table {target} cannot be read: {error.strerror}") from error


def _name(target: Path, folder: Path) -> str:
    return os.path.relpath(os.path.realpath(target), os.path.realpath(folder))
