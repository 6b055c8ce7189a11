"""Old place of `rbinfer.runs.batch`, for one release."""

import warnings

from .runs.batch import BatchReport, ImageResult, run_batch

__all__ = ["BatchReport", "ImageResult", "run_batch"]

warnings.warn(
    "rbinfer.batch has moved to rbinfer.runs.batch; the old name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)
