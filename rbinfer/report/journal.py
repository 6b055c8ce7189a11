"""What the journals of ``rbinfer batch`` and ``rbinfer watch`` say of a directory of results."""

import logging
from collections import deque
from pathlib import Path

from ..runs.journal import WRITERS, Line, journal_of, slot_of

log = logging.getLogger(__name__)

_UNREADABLE = "%s cannot be read, so what it notes is not used: %s"


def read_journals(folder: Path) -> dict[str, Line]:
    """Read the newest line of each image from the journals of a directory.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of str to Line
        By the result's name below the directory, or that of the image where there is none; empty without
        a journal.
    """
    newest: dict[str, Line] = {}
    for writer in WRITERS:
        for name, line in _newest_of(journal_of(folder, writer)).items():
            # Between two journals the time decides, within one the order.
            if name not in newest or line.finished >= newest[name].finished:
                newest[name] = line
    return newest


def newest_lines(folder: Path, most: int) -> list[Line]:
    """Read the end of the journals of a directory, in little memory whatever their length.

    Parameters
    ----------
    folder : Path
    most : int

    Returns
    -------
    list of Line
        The newest line of each image in the last lines of all journals, in the order in which they were
        noted.
    """
    lines = []
    for writer in WRITERS:
        path = journal_of(folder, writer)
        try:
            if path.is_file():
                with path.open(encoding="utf-8", errors="replace") as file:
                    parsed = map(Line.parse, deque(file, maxlen=most))
                    lines += [line for line in parsed if line is not None and line.image]
        except OSError as error:
            log.warning(_UNREADABLE, path, error.strerror or error)
    newest: dict[str, Line] = {}
    for line in sorted(lines, key=lambda line: line.finished):
        newest.pop(slot_of(line.output), None)  # so that the order is that of the newest
        newest[slot_of(line.output)] = line
    return list(newest.values())[-most:]


def results_in(folder: Path) -> Path:
    """Return where the journals of a directory are: in it or, as of ``rbinfer night``, below it."""
    from ..night.run import RESULTS

    below = folder / RESULTS
    has_own = any(journal_of(folder, writer).is_file() for writer in WRITERS)
    is_below = not has_own and any(journal_of(below, writer).is_file() for writer in WRITERS)
    return below if is_below else folder


def _newest_of(path: Path) -> dict[str, Line]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError as error:
        log.warning(_UNREADABLE, path, error.strerror or error)
        return {}
    newest = {}
    damaged = 0
    for each in text.splitlines():
        line = Line.parse(each)
        if line is not None:
            newest[line.output or Path(line.image).name] = line
        else:
            damaged += bool(each.strip())
    if damaged:
        # One torn line at the end is what an interrupted run leaves.
        log.info("%s: %d lines are no entries and are left out", path, damaged)
    return newest
