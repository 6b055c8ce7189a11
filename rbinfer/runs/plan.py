"""From images to the names of their catalogues and results."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .._util.sentences import counted
from ..errors import InputError
from ..io.files import check_distinct
from .beside import beside
from .search import FITS_SUFFIXES, Found, is_fits_name, without_compression

log = logging.getLogger(__name__)

#: Key of the images that are left out since the result of another in their folder has their name.
SAME_NAME = "same name"
_TOLD = 3  # images in a message


@dataclass(frozen=True)
class Work:
    """An image to score, as it was named; its catalogue, if any; and the name of its result."""

    image: str
    catalog: str | None
    output: str


def stem_of(image: str) -> str:
    """Return the name of an image without its folder and the suffixes of FITS and compression."""
    name = without_compression(os.path.basename(image))
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in FITS_SUFFIXES else name


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


def work_of(image: str, below: str, suffix: str, template: str | None) -> Work:
    """Name the catalogue of an image, and its result, which lies `below` the folder of results."""
    output = os.path.join(below, stem_of(image) + suffix)
    return Work(image, catalog_of(image, template), output)


def plan(
    images: Sequence[Found],
    folder: Path,
    suffix: str,
    template: str | None,
    kinds: Sequence[str] = (),
    left_out: list[str] | None = None,
    maps: Iterable[Path] = (),
) -> list[Work]:
    """Name the catalogue and the result of each image.

    Of images in one folder whose results would have one name, such as ``a.fits`` and ``a.fits.fz``, the
    first by name is taken, with a warning.

    Parameters
    ----------
    images : sequence of Found
        From `rbinfer.runs.search.find_images`. The results lie in folders as the images do below a
        directory that was searched with all its folders.
    folder : Path
        Of the results.
    suffix : str
        Of the results.
    template : str, optional
        As for `catalog_of`.
    kinds : sequence of str
        Of files beside each result, as in `rbinfer.runs.beside.SUFFIXES`.
    left_out : list of str, optional
        Takes the names of the images that are left out.
    maps : iterable of Path
        Files that are read for all images.

    Raises
    ------
    InputError
        Two images of different folders would have one result, or a result would replace what is read.
    """
    works = [work_of(image.path, image.below, suffix, template) for image in images]
    # A catalogue in FITS format that lies among the images is no image.
    real = os.path.realpath
    catalogs = {real(work.catalog) for work in works if work.catalog not in (None, work.image)}
    works = [work for work in works if real(work.image) not in catalogs]
    works, twins = _without_twins(works)
    if left_out is not None:
        left_out.extend(twins)
    first: dict[str, str] = {}
    for work in works:
        other = first.setdefault(work.output, work.image)
        if other != work.image:
            raise InputError(
                f"{other} and {work.image} would both have the result {work.output}; give the images of "
                "each folder an output directory of their own, or name the folder above with "
                "`recursive=True`"
            )
    outputs = [work.output for work in works]
    outputs += [beside(work.output, kind) for work in works for kind in kinds]
    check_distinct([folder / output for output in outputs], {*read_by(works), *maps})
    return works


def read_by(works: Iterable[Work]) -> Iterator[Path]:
    """Yield the images and catalogues that are read."""
    for work in works:
        yield from (Path(name) for name in (work.image, work.catalog) if name is not None)


def _without_twins(works: Sequence[Work]) -> tuple[list[Work], list[str]]:
    """Take the first by name of images in one folder whose results would have one name."""
    first: dict[tuple[str, str], str] = {}
    twins: dict[str, str] = {}
    for work in sorted(works, key=lambda work: work.image):
        place = os.path.dirname(os.path.abspath(work.image)), work.output
        if first.setdefault(place, work.image) != work.image:
            twins[work.image] = first[place]
    if twins:
        named = [f"{image} ({os.path.basename(other)} is scored)" for image, other in twins.items()]
        more = f", and {len(named) - _TOLD} more" if len(named) > _TOLD else ""
        log.warning(
            "left out: %s whose result would have the name of another's in the same folder; the first "
            "by name is scored: %s%s",
            counted(len(named), "image"), ", ".join(named[:_TOLD]), more,
        )  # fmt: skip
    return [work for work in works if work.image not in twins], list(twins)


def check_apart(
    patterns: Iterable[str | os.PathLike[str]],
    works: Iterable[Work],
    folder: Path,
    recursive: bool = False,
    kinds: Sequence[str] = (),
) -> None:
    """Refuse results that the same patterns would find as images the next time.

    Parameters
    ----------
    patterns : iterable of str or path
        As for `rbinfer.runs.search.find_images`.
    works : iterable of Work
        From `plan`.
    folder : Path
        Of the results.
    recursive : bool
        Whether directories are searched with all their folders.
    kinds : sequence of str
        As for `plan`.

    Raises
    ------
    InputError
        With the pattern.
    """
    outputs = [work.output for work in works]
    outputs += [beside(output, kind) for output in outputs for kind in kinds]
    results = [os.path.abspath(folder / output) for output in outputs]
    for pattern in [os.fspath(each) for each in patterns]:
        if os.path.isfile(pattern):
            continue
        if os.path.isdir(pattern):
            is_found = is_searched(pattern, folder, recursive) and any(
                is_fits_name(os.path.basename(result)) for result in results
            )
        else:
            wanted = os.path.abspath(pattern).split(os.sep)
            is_found = any(_is_like(result.split(os.sep), wanted) for result in results)
        if is_found:
            raise InputError(
                f"results in {folder} would be taken for images by {pattern}; name another directory"
            )


def is_searched(directory: str, folder: str | os.PathLike[str], recursive: bool) -> bool:
    """Whether a search of a directory looks into a folder too."""
    top, below = os.path.realpath(directory), os.path.realpath(folder)
    return below == top or (recursive and below.startswith(os.path.join(top, "")))


def _is_like(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether `glob` would find a path, given as its parts."""
    if not pattern or not path:
        return not path and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _is_like(path, pattern[1:]) or _is_like(path[1:], pattern)
    return fnmatchcase(path[0], pattern[0]) and _is_like(path[1:], pattern[1:])
