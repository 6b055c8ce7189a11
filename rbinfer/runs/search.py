"""From patterns to images: which files are meant, which of them show the sky, and in which order."""

import glob
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import InputError
from ..io.frame_types import CALIBRATION, FrameType, folder_type, frame_type
from ..io.headers import first_headers, observed_at

log = logging.getLogger(__name__)

#: Names of FITS images end so, but for the suffix of a compression.
FITS_SUFFIXES = (".fits", ".fit", ".fts")
_COMPRESSED = (".gz", ".fz")
#: Formats that programs at the telescope save images in, other than FITS.
_RAW = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2")
_OTHER_IMAGES = (".xisf", ".tif", ".tiff", ".ser", *_RAW)
_PICTURES = (".jpg", ".jpeg", ".png")
_TOLD = 3  # ways in which the type of frames was told, in a message
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Found:
    """An image that a search found.

    Attributes
    ----------
    path : str
        As it was named, or below the directory that was.
    below : str
        Its folder below a directory that was searched with all its folders; empty elsewhere.
    group : int
        Number of the pattern that it was found for.
    is_named : bool
        Whether the pattern is its name.
    folders : tuple of str
        Names of its folders below what the pattern fixes.
    """

    path: str
    below: str = ""
    group: int = 0
    is_named: bool = False
    folders: tuple[str, ...] = ()


def is_fits_name(name: str) -> bool:
    """Whether a file's name is that of a FITS image that is there for good."""
    return not name.startswith(".") and without_compression(name).lower().endswith(FITS_SUFFIXES)


def other_format(name: str) -> str:
    """Return the suffix of an image in a format that is not read, such as ``.xisf``; else nothing."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if suffix in _OTHER_IMAGES and not name.startswith(".") else ""


def without_compression(name: str) -> str:
    """Return a file's name without the suffix of a compression."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in _COMPRESSED else name


def find_images(patterns: Iterable[str | os.PathLike[str]], recursive: bool = False) -> list[Found]:
    """Find the images that patterns mean; raises `InputError` where one has no file.

    Parameters
    ----------
    patterns, recursive
        As for `search_images`.

    Returns
    -------
    list of Found
    """
    found, unmatched = search_images(patterns, recursive)
    if unmatched:
        raise InputError(_about(list(unmatched), recursive))
    return found


def search_images(
    patterns: Iterable[str | os.PathLike[str]], recursive: bool = False
) -> tuple[list[Found], dict[str, str]]:
    """Find the images that patterns mean, and the patterns that mean none.

    Parameters
    ----------
    patterns : iterable of str or path
        Files; directories, which mean the FITS files in them; and patterns with ``*``, ``?``, ``[]``
        and ``**`` (any depth of folders). What exists under a name as it stands is meant first.
    recursive : bool
        Search directories with all their folders, but for hidden ones.

    Returns
    -------
    images : list of Found
        In the order of the patterns, sorted within each; a file that is met again is left out.
    unmatched : dict of str to str
        Patterns without a file, each with the sentence about it.

    Raises
    ------
    InputError
        No pattern has a file.
    """
    found: dict[str, Found] = {}
    unmatched = []
    for number, pattern in enumerate(os.fspath(each) for each in patterns):
        try:
            matches = _matches(pattern, number, recursive)
        except PermissionError:
            matches = []
        if not matches:
            unmatched.append(pattern)
        for match in matches:
            first = found.setdefault(os.path.realpath(match.path), match)
            if first.path != match.path:
                log.info("%s is %s, which is scored once", match.path, first.path)
    if not found and not unmatched:
        raise InputError("no images are named; name files, directories or patterns")
    if not found:
        raise InputError(_about(unmatched, recursive))
    return list(found.values()), {pattern: _about([pattern], recursive) for pattern in unmatched}


def _about(unmatched: Sequence[str], recursive: bool) -> str:
    """Say what to do about patterns without a file."""
    deeper = any(map(_has_folders, unmatched)) and not recursive
    hint = "; `recursive=True` looks into folders" if deeper else ""
    names = ", ".join(_with_reason(pattern, recursive) for pattern in unmatched)
    return (
        f"no images are found for {names}; name files, directories with FITS files, or "
        f"patterns in quotes{hint}"
    )


def _with_reason(name: str, recursive: bool) -> str:
    """Return a name or pattern, and why no file is found under it if that can be told."""
    try:
        suffixes = Counter(os.path.splitext(file)[1].lower() for file in _files(name, recursive))
        others = {end: n for end in (*_OTHER_IMAGES, *_PICTURES) if (n := suffixes[end])}
        if not others:
            return name
        kinds = ", ".join(f"{n} {end}" for end, n in sorted(others.items()))
        return f"{name} (it has {kinds}, which are not read: save images as FITS)"
    except (NotADirectoryError, FileNotFoundError, ValueError):
        if os.path.exists(name) or glob.has_magic(name):
            return name
        if os.path.islink(name):
            return f"{name} (it is a link to {os.readlink(name)}, which does not exist)"
        return f"{name} (it does not exist)"
    except OSError as error:
        return f"{name} (it cannot be read: {error.strerror})"


def _files(directory: str, recursive: bool) -> list[str]:
    """Return the names of the files in a directory without FITS files, but for hidden ones."""
    names: list[str] = []
    if recursive:
        list(walk(directory, lambda error: None, names.append))  # it has warned when it was searched
    else:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    return [name for name in names if not name.startswith(".")]


def select(images: Sequence[Found], all_frames: bool = False) -> tuple[list[Found], dict[str, int]]:
    """Leave darks, flats and biases out, say so, and sort by the time of observation.

    Parameters
    ----------
    images : sequence of Found
        From `find_images`. Those that were named are kept and stay where they are.
    all_frames : bool
        Keep them.

    Returns
    -------
    images : list of Found
        What a pattern found is in the order of time; what tells no time is last, by its name.
    left_out : dict of str to int
        How many of which type were left out.

    Raises
    ------
    InputError
        Nothing is left.
    """
    kept: list[tuple[int, datetime, Found]] = []
    calibration: list[FrameType] = []
    for image in images:
        time = _LAST
        if not image.is_named:
            headers = first_headers(image.path)
            told = frame_type(headers) or folder_type(image.folders)
            if told is not None and told.is_calibration and not all_frames:
                log.info("%s is left out: %s", image.path, told.told_by)
                calibration.append(told)
                continue
            time = observed_at(headers) or _LAST
        kept.append((image.group, time, image))
    if calibration:
        text = as_text(calibration)
        if not kept:
            raise InputError(f"nothing is left to score: {text}; `all_frames=True` takes them")
        log.warning("left out: %s; `all_frames=True` takes them", text)
    kept.sort(key=lambda each: each[:2])
    return [image for _, _, image in kept], dict(Counter(told.kind for told in calibration))


def type_of(path: str, below: str = "") -> FrameType | None:
    """Return the type of a frame by its headers, or else by the folders `below` a directory."""
    return frame_type(first_headers(path)) or folder_type(_parts(below))


def as_text(told: Sequence[FrameType]) -> str:
    """Return how many frames are of which type, and what told it."""
    parts = []
    for kind, plural in CALIBRATION.items():
        ways = Counter(each.told_by for each in told if each.kind == kind)
        if n := ways.total():
            named = ", ".join(way for way, _ in ways.most_common(_TOLD))
            more = ", ..." if len(ways) > _TOLD else ""
            parts.append(f"{n} {kind if n == 1 else plural} ({named}{more})")
    return ", ".join(parts)


def walk(
    directory: str,
    refused: Callable[[OSError], None],
    passed_over: Callable[[str], None] = lambda name: None,
) -> Iterator[tuple[str, str]]:
    """Yield folder and name of each FITS file in a directory and its folders, but for hidden ones.

    Parameters
    ----------
    directory : str
    refused : callable
        Called with the error of each folder in it that cannot be read.
    passed_over : callable
        Called with the name of each other file.

    Yields
    ------
    (str, str)
        Folder below `directory`, and name. One at a time: there may be very many.

    Raises
    ------
    OSError
        The directory itself cannot be read.
    """
    seen: set[str] = set()
    left = [""]
    while left:
        below = left.pop()
        path = os.path.join(directory, below) if below else directory
        # Links may lead back.
        if (real := os.path.realpath(path)) in seen:
            continue
        seen.add(real)
        try:
            entries = os.scandir(path)
        except OSError as error:
            if not below:
                raise
            refused(error)
            continue
        with entries:
            for entry in entries:
                if entry.is_dir():
                    if not entry.name.startswith("."):
                        left.append(os.path.join(below, entry.name))
                elif is_fits_name(entry.name) and entry.is_file():
                    yield below, entry.name
                else:
                    passed_over(entry.name)


def _warn(error: OSError) -> None:
    log.warning("the folder %s cannot be read (%s) and is left out", error.filename, error.strerror)


def _matches(pattern: str, number: int, recursive: bool) -> list[Found]:
    if os.path.isfile(pattern):
        return [Found(pattern, group=number, is_named=True)]
    if os.path.isdir(pattern) and recursive:
        places = sorted(walk(pattern, _warn))
        return [
            Found(os.path.join(pattern, below, name), below, number, folders=_parts(below))
            for below, name in places
        ]
    if os.path.isdir(pattern):
        names = [entry.name for entry in os.scandir(pattern) if entry.is_file()]
        inside = sorted(filter(is_fits_name, names))
        return [Found(os.path.join(pattern, name), group=number) for name in inside]
    paths = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    fixed = _fixed_part(pattern)
    return [
        Found(path, group=number, folders=_parts(os.path.dirname(os.path.relpath(path, fixed or "."))))
        for path in paths
    ]


def _fixed_part(pattern: str) -> str:
    """Return the folder in which a pattern begins to be one."""
    parts = pattern.split(os.sep)
    first = next((k for k, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return os.sep.join(parts[:first]) or (os.sep if pattern.startswith(os.sep) else "")


def _parts(folder: str) -> tuple[str, ...]:
    return tuple(part for part in folder.split(os.sep) if part and part != ".")


def _has_folders(pattern: str) -> bool:
    try:
        with os.scandir(pattern) as entries:
            return any(entry.is_dir() for entry in entries)
    except OSError:
        return False
