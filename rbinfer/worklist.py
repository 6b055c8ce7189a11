"""Old place of `rbinfer.runs.plan` and `rbinfer.runs.search`, for one release."""

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from .runs import plan as _plan
from .runs import search as _search
from .runs.plan import FORMATS, Work, catalog_of, check_apart, stem_of, suffix_of
from .runs.search import is_fits_name

__all__ = [
    "FORMATS",
    "Work",
    "catalog_of",
    "check_apart",
    "find_images",
    "is_fits_name",
    "plan",
    "stem_of",
    "suffix_of",
]

warnings.warn(
    "rbinfer.worklist has moved to rbinfer.runs.plan, and find_images to rbinfer.runs.search; the old "
    "name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)


def find_images(patterns: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return the paths that `rbinfer.runs.search.find_images` finds."""
    return [found.path for found in _search.find_images(patterns)]


def plan(images: Sequence[str], folder: Path, suffix: str, template: str | None) -> list[Work]:
    """Name catalogues and results as `rbinfer.runs.plan.plan` does."""
    return _plan.plan([_search.Found(image) for image in images], folder, suffix, template)
