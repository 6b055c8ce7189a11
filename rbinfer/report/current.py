"""Which results of a directory count: the newest of each image, unless the image failed since."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import RbinferError
from ..io.columns import NOTED
from ..io.noted import noted_image, options_in
from ..io.tables import read_catalog
from ..runs.journal import Line, slot_of

#: Where a journal notes no time.
_FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Current:
    """What counts of a directory of results.

    Attributes
    ----------
    choices : list of list of str
        One for each result that counts, in the order of the names that were given: the result, and what
        counts in its place where it turns out to be none.
    lines : dict of str to Line
        Lines of the journal that count: of these results, and of images that failed.
    older : list of str
        Results of images that have one which the journal notes, or failed since.
    """

    choices: list[list[str]]
    lines: dict[str, Line]
    older: list[str]


def current_lines(journal: Mapping[str, Line], gone: Collection[str] = ()) -> dict[str, Line]:
    """Return the newest line of each image: results in another format have another name.

    Parameters
    ----------
    journal : mapping of str to Line
        The newest line by the name of the result.
    gone : collection of str
        Names of results that are not there: a line that says that one is there does not count, where
        there is another of its image.

    Returns
    -------
    dict of str to Line
        By the name of the result.
    """
    slots: dict[str, list[str]] = {}
    for name, line in journal.items():
        # A merged table is of no image.
        slots.setdefault(slot_of(name) if line.image else name, []).append(name)
    return {name: journal[name] for names in slots.values() for name in _newest(journal, names, gone)}


def current_results(
    folder: Path, names: Sequence[str], journal: Mapping[str, Line], own: Collection[str] | None = None
) -> Current:
    """Tell which results count, and which lines of the journal.

    Of an image (of an HDU of it, a plane) that counts which the journal notes, or else the newest. The
    images of results that the journal does not name are looked up in these.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        Of what may be results.
    journal : mapping of str to Line
        The newest line by the name of the result.
    own : collection of str, optional
        Names of the only results that may count; all by default.

    Returns
    -------
    Current
    """
    if own is not None:
        names = [name for name in names if name in own]
        journal = {name: line for name, line in journal.items() if name in own}
    there = set(names)
    lines = current_lines(journal, {name for name in journal if name not in there})
    noted = [name for name in names if name in lines and lines[name].ok is not False]
    failed = {name for name in lines if lines[name].ok is False}
    keys = {name: _key(lines[name].image, lines[name].summary or {}, folder / name) for name in noted}
    taken = {key for key in keys.values() if key is not None}
    ends = {_image(lines[name].image, folder / name): name for name in failed}
    choices: dict[Any, list[str]] = {name: [name] for name in noted}
    others = [name for name in names if name not in journal]
    for name in sorted(others, key=lambda name: (_changed(folder / name), name), reverse=True):
        key = _key_of_result(folder / name)
        if key is None:
            choices[name] = [name]  # whether it is a result is seen when it is read
            continue
        end = ends.get(key[0])
        if end is not None and _changed(folder / name) > _time(lines[end]):
            lines.pop(end, None)
            end = None
        if key not in taken and end is None:
            choices.setdefault(key, []).append(name)
    place = {name: number for number, name in enumerate(names)}
    kept = {name for choice in choices.values() for name in choice}
    older = [name for name in names if name not in kept]
    return Current(sorted(choices.values(), key=lambda choice: place[choice[0]]), lines, older)


def _newest(journal: Mapping[str, Line], names: list[str], gone: Collection[str]) -> list[str]:
    """Return those of the lines of an image that count: the newest of each HDU, or that it failed."""
    if len(names) == 1:
        return names
    in_time = sorted(names, key=lambda name: _time(journal[name]))
    done: dict[str, str] = {}
    failed = None
    for name in in_time:
        line = journal[name]
        if line.ok is False:
            done, failed = {}, name
        elif name not in gone:
            done[str((line.summary or {}).get("hdu"))] = name
            failed = None
    return [failed] if failed is not None else list(done.values()) or in_time[-1:]


def _key(image: str, noted: Mapping[str, Any], result: Path) -> tuple[str, str, str] | None:
    """Return what tells results of one image apart from others; None where the image is not noted."""
    if not image:
        return None
    plane = options_in(noted.get("opts")).get("plane")
    return _image(image, result), str(noted.get("hdu")), str(plane)


def _image(image: str, result: Path) -> str:
    """Return where an image is; where it is not found, its name with that of the result."""
    found = noted_image(image, result)
    return f"{image} {result.stem}" if found is None else os.path.realpath(found)


def _key_of_result(path: Path) -> tuple[str, str, str] | None:
    try:
        meta = read_catalog(path).meta
    except RbinferError:
        return None
    except Exception:  # files of others may hold anything; the report says what
        return None
    noted = {str(key).lower().removeprefix(NOTED): value for key, value in meta.items()}
    image = noted.get("image")
    return _key(image if isinstance(image, str) else "", noted, path)


def _changed(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        return _FIRST


def _time(line: Line) -> datetime:
    try:
        time = datetime.fromisoformat(line.finished)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return _FIRST
