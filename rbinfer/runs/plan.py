"""From patterns to images, and from images to the names of their catalogues and results."""

import glob
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import InputError
from ..io.files import check_distinct

log = logging.getLogger(__name__)

#: Suffixes of the formats of results.
FORMATS = {"ecsv": ".ecsv", "fits": ".fits", "csv": ".csv", "vot": ".vot", "parquet": ".parquet"}
_FITS = (".fits", ".fit", ".fts")
_COMPRESSED = (".gz", ".fz")


@dataclass(frozen=True)
class Work:
    """An image to score, as it was named; its catalogue, if any; and the name of its result."""

    image: str
    catalog: str | None
    output: str


def find_images(patterns: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Find the images that patterns mean.

    Parameters
    ----------
    patterns : iterable of str or path
        Files; directories, which mean the FITS files in them; and patterns with ``*``, ``?``, ``[]``
        and ``**`` (any depth of folders). What exists under a name as it stands is meant first.

    Returns
    -------
    list of str
        In the order of the patterns, sorted within each; a file that is met again is left out.

    Raises
    ------
    InputError
        Patterns without a file.
    """
    found: dict[str, str] = {}
    unmatched = []
    for pattern in [os.fspath(each) for each in patterns]:
        matches = _matches(pattern)
        if not matches:
            unmatched.append(pattern)
        for match in matches:
            first = found.setdefault(os.path.realpath(match), match)
            if first != match:
                log.info("%s is %s, which is scored once", match, first)
    if unmatched:
        raise InputError(
            f"no images are found for {', '.join(unmatched)}; name files, directories with FITS files, "
            "or patterns in quotes"
        )
    if not found:
        raise InputError("no images are named; name files, directories or patterns")
    return list(found.values())


def is_fits_name(name: str) -> bool:
    """Whether a file's name is that of a FITS image that is there for good."""
    return not name.startswith(".") and _bare(name).lower().endswith(_FITS)


def stem_of(image: str) -> str:
    """Return the name of an image without its folder and the suffixes of FITS and compression."""
    name = _bare(os.path.basename(image))
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in _FITS else name


def catalog_of(image: str, template: str | None) -> str | None:
    """Return the name of an image's catalogue.

    Parameters
    ----------
    image : str
        The image.
    template : str, optional
        With ``{dir}``, ``{stem}`` and ``{name}`` for the image's folder, its name without suffixes
        and its name.

    Raises
    ------
    InputError
        The template has something else in braces.
    """
    if template is None:
        return None
    parts = {
        "dir": os.path.dirname(image) or ".",
        "stem": stem_of(image),
        "name": os.path.basename(image),
    }
    try:
        return template.format(**parts)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise InputError(
            f"the template {template!r} for catalogues cannot be filled in ({error}); it may hold "
            "{dir}, {stem} and {name}, as in '{dir}/{stem}.cat'"
        ) from error


def suffix_of(kind: str) -> str:
    """Return the suffix of results in a format; raises `InputError` if that is none of `FORMATS`."""
    if kind not in FORMATS:
        raise InputError(f"the format {kind!r} is none of {', '.join(FORMATS)}")
    return FORMATS[kind]


def plan(images: Sequence[str], folder: Path, suffix: str, template: str | None) -> list[Work]:
    """Name the catalogue and the result of each image.

    Parameters
    ----------
    images : sequence of str
        From `find_images`.
    folder : Path
        Of the results.
    suffix : str
        Of the results.
    template : str, optional
        As for `catalog_of`.

    Raises
    ------
    InputError
        Two images would have one result, or a result would replace what is read.
    """
    works = [Work(image, catalog_of(image, template), stem_of(image) + suffix) for image in images]
    # A catalogue in FITS format that lies among the images is no image.
    real = os.path.realpath
    catalogs = {real(work.catalog) for work in works if work.catalog not in (None, work.image)}
    works = [work for work in works if real(work.image) not in catalogs]
    first: dict[str, str] = {}
    for work in works:
        other = first.setdefault(work.output, work.image)
        if other != work.image:
            raise InputError(
                f"{other} and {work.image} would both have the result {work.output}; give the images of "
                "each folder an output directory of their own"
            )
    read = {Path(name) for work in works for name in (work.image, work.catalog) if name is not None}
    check_distinct([folder / work.output for work in works], read)
    return works


def check_apart(patterns: Iterable[str | os.PathLike[str]], works: Iterable[Work], folder: Path) -> None:
    """Refuse results that the same patterns would find as images the next time.

    Parameters
    ----------
    patterns : iterable of str or path
        As for `find_images`.
    works : iterable of Work
        From `plan`.
    folder : Path
        Of the results.

    Raises
    ------
    InputError
        With the pattern.
    """
    results = [os.path.abspath(folder / work.output) for work in works]
    for pattern in [os.fspath(each) for each in patterns]:
        if os.path.isfile(pattern):
            continue
        if os.path.isdir(pattern):
            same = os.path.realpath(pattern) == os.path.realpath(folder)
            is_found = same and any(is_fits_name(os.path.basename(result)) for result in results)
        else:
            wanted = os.path.abspath(pattern).split(os.sep)
            is_found = any(_is_like(result.split(os.sep), wanted) for result in results)
        if is_found:
            raise InputError(
                f"results in {folder} would be taken for images by {pattern}; name another directory"
            )


def _is_like(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether `glob` would find a path, given as its parts."""
    if not pattern or not path:
        return not path and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _is_like(path, pattern[1:]) or _is_like(path[1:], pattern)
    return fnmatchcase(path[0], pattern[0]) and _is_like(path[1:], pattern[1:])


def _matches(pattern: str) -> list[str]:
    if os.path.isdir(pattern):
        inside = [entry.path for entry in os.scandir(pattern) if entry.is_file()]
        return sorted(path for path in inside if is_fits_name(os.path.basename(path)))
    if os.path.isfile(pattern):
        return [pattern]
    return sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))


def _bare(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in _COMPRESSED else name
