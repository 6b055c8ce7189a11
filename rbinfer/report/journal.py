"""What the journals of ``rbinfer batch`` and ``rbinfer watch`` say of a directory of results."""

import logging
from pathlib import Path

from ..runs.journal import WRITERS, Line, journal_of

log = logging.getLogger(__name__)


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


def _newest_of(path: Path) -> dict[str, Line]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError as error:
        log.warning("%s cannot be read, so what it notes is not used: %s", path, error.strerror or error)
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
