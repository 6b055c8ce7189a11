"""Old place of `rbinfer.runs.plan`, for one release."""

import warnings

from .runs.plan import (
    FORMATS,
    Work,
    catalog_of,
    check_apart,
    find_images,
    is_fits_name,
    plan,
    stem_of,
    suffix_of,
)

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
    "rbinfer.worklist has moved to rbinfer.runs.plan; the old name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)
