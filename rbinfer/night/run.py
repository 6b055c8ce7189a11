"""A night from its folder to its tables."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._util.extras import needed
from ..errors import InputError
from ..io.files import check_distinct
from ..pipeline.options import ALL, ScoreOptions
from ..runs.batch import BatchReport, ImageResult, run_batch
from .frames import Frame, read_frame
from .parts import DETECTIONS
from .reckoning import Reckoning
from .result import REGIONS, NightResult

#: What a night writes beside the folder of its results.
OUTPUTS = (
    "sources.ecsv",
    "sources.parquet",
    DETECTIONS,
    "candidates.ecsv",
    "frames.ecsv",
    "hotpixels.fits",
    "doubtful.html",
    "report.html",
)
#: Folder of the results of single frames.
RESULTS = "frames"


def run_night(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    options: ScoreOptions | None = None,
    catalog: str | None = None,
    workers: int | None = None,
    scheduler: Any = None,
    overwrite: bool = False,
    all_frames: bool = False,
    progress: Callable[[ImageResult, int], None] | None = None,
    merging: Callable[[int, int], None] | None = None,
) -> NightResult:
    """Score the lights of a night, and merge what they show.

    Parameters
    ----------
    folder : str or path
        Searched with all its folders.
    output : str or path
        Directory for the tables; the results of the frames are in ``frames`` there. Started again, it
        goes on where it ended, and the tables are the same to the byte.
    options, catalog, workers, scheduler, progress
        As for `rbinfer.runs.batch.run_batch`.
    overwrite : bool
        Whether files that a night did not write there may be replaced.
    all_frames : bool
        Take darks, flats and biases, too, which are left out as headers or names of folders tell them:
        where these are wrong.
    merging : callable, optional
        Called as ``merging(done, total)`` after each reading of a frame's result, once all are scored.

    Returns
    -------
    NightResult

    Raises
    ------
    InputError
        There are no lights, no frame could be scored, a mask or the like would be replaced, or a package
        of the extra ``night`` is absent.
    RbinferError
        The file system refused.
    """
    needed("pyarrow", "the tables of a night need", "night")
    options = options or ScoreOptions()
    if options.show:
        raise InputError("the tables of a night have columns of their own; leave `show` out")
    options = replace(options, show=("snr",))
    if options.hdu is not None and options.hdu.lower() == ALL:
        raise InputError("a night takes one image of each file; give `hdu` a number or a name")
    out = Path(output)
    check_distinct([out / name for name in OUTPUTS], options.pixels.files)
    _check_kept(out, overwrite)
    start = time.perf_counter()
    batch = run_batch(
        folder,
        out / RESULTS,
        options=options,
        catalog=catalog,
        format="fits",
        workers=workers,
        scheduler=scheduler,
        overwrite=overwrite,
        all_frames=all_frames,
        recursive=True,
        progress=progress,
    )
    frames = _frames(batch, out / RESULTS)
    if not frames:
        raise InputError(f"no image in {folder} could be scored; the first: {batch.failed[0].error}")
    night = NightResult(out, batch, frames)
    night.seconds["scoring"] = time.perf_counter() - start
    Reckoning(night, merging).run()
    return night


def _check_kept(out: Path, overwrite: bool) -> None:
    """Refuse to replace files that are not of a night."""
    if overwrite or (out / RESULTS / "batch.jsonl").exists():
        return
    for path in (*(out / name for name in OUTPUTS), *sorted((out / REGIONS).glob("*.reg"))):
        if path.exists():
            raise InputError(f"{path} exists and is kept; use `overwrite=True`")


def _frames(batch: BatchReport, results: Path) -> list[Frame]:
    """Return the frames that have a result, in the order of time."""
    found = []
    for one in batch.results:
        if one.ok:
            folders = one.output.relative_to(results).parent.parts
            found.append(read_frame(one.image, folders, one.output))
    return sorted(found, key=lambda f: (f.time is None, f.time.timestamp() if f.time else 0.0, f.image))
