"""What the journals of ``rbinfer batch`` and ``rbinfer watch`` say of a directory of results."""

import json
import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

#: Names of the journals.
JOURNALS = ("batch.jsonl", "watch.jsonl")


def read_journals(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the newest entry of each image from the journals of a directory.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of str to dict
        By the name of the result, or of the image where there is none; empty without a journal.
    """
    newest: dict[str, dict[str, Any]] = {}
    for name in JOURNALS:
        for key, entry in _newest_of(folder / name).items():
            # Between two journals the time decides, within one the order.
            if key not in newest or _when(entry) >= _when(newest[key]):
                newest[key] = entry
    return newest


def _newest_of(path: Path) -> dict[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError as error:
        log.warning("%s cannot be read, so what it notes is not used: %s", path, error.strerror or error)
        return {}
    newest = {}
    damaged = 0
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            entry = None
        key = (entry.get("output") or entry.get("image")) if isinstance(entry, dict) else None
        if isinstance(key, str):
            newest[Path(key).name] = entry
        else:
            damaged += bool(line.strip())
    if damaged:
        # One torn line at the end is what an interrupted run leaves.
        log.info("%s: %d lines are no entries and are left out", path, damaged)
    return newest


def _when(entry: dict[str, Any]) -> str:
    return str(entry.get("finished") or "")
