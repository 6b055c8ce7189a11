"""A night with its pages: the tables of `rbinfer.night` and what a person looks at."""

import os
import time
from pathlib import Path
from typing import Any

from ..night.result import NightResult
from ..night.run import RESULTS, run_night
from ..pipeline.options import ScoreOptions
from . import write_report
from .doubtful import write_doubtful


def write_night(
    folder: str | os.PathLike[str], output: str | os.PathLike[str], **how: Any
) -> NightResult:
    """Score and merge a night, and write ``report.html`` and ``doubtful.html`` beside its tables.

    Parameters
    ----------
    folder, output : str or path
    **how
        As for `rbinfer.night.run.run_night`, whose errors are raised too.

    Returns
    -------
    NightResult
    """
    night = run_night(folder, output, **how)
    options = how.get("options") or ScoreOptions()
    start = time.perf_counter()
    name = Path(folder).resolve().name
    write_doubtful(
        night.doubtful,
        night.folder / "doubtful.html",
        f"Doubtful sources: {name}",
        options.plane,
        options.bayer,
    )
    results = night.folder / RESULTS
    write_report(
        results,
        night.folder / "report.html",
        overwrite=True,
        title=f"Night report: {name}",
        # Results of frames that were taken away since are there still.
        own={os.path.relpath(one.output, results) for one in night.batch.results},
    )
    night.seconds["pages"] = time.perf_counter() - start
    return night
