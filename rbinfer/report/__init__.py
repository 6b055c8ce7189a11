"""A night's report: one HTML file for a directory of scored catalogues."""

import logging
from collections.abc import Collection
from os import PathLike
from pathlib import Path

from ..errors import InputError
from ..io.files import check_distinct, check_place, written_whole
from ..night.bands import RowFile
from ..night.repeats import find_repeats
from .completeness import measure_depths
from .drift import by_record, by_reference, drift_of
from .one import SOURCE
from .page import render
from .pictures import draw_groups
from .reference import record_of_night, reference_scores
from .results import Night, read_night
from .stars import draw_stars

__all__ = ["Night", "write_report"]

log = logging.getLogger(__name__)

_SUFFIXES = {".html", ".htm"}


def write_report(
    folder: str | PathLike[str],
    output: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    overwrite: bool = False,
    title: str | None = None,
    most: int = 12,
    reference: str | PathLike[str] | None = None,
    planted: int | None = None,
    own: Collection[str] | None = None,
) -> Night:
    """Write a page about a directory of results that needs no other file and no network.

    Parameters
    ----------
    folder : str or path
        Where ``rbinfer batch`` or ``rbinfer classify`` wrote scored catalogues; its journal, if it
        has one, says too which images failed. Of each image the newest result counts.
    output : str or path
        The page, ``.html``; written whole or not at all. The same results make the same bytes.
    images : str or path, optional
        Folder with the images, where they are not at the places that the catalogues note.
    overwrite : bool
        Whether an existing page may be replaced.
    title : str, optional
        By default the name of the folder says which night it is.
    most : int
        Largest number of cutouts of each kind.
    reference : str or path, optional
        Results of a night that was as it should be, with their journal, to compare the frames with;
        without it they are compared with the model's own record.
    planted : int, optional
        How many stars to plant in the sharpest image, a middling one and the widest, to tell how faint
        stars may be; none by default, as it takes seconds an image.
    own : collection of str, optional
        Names of the only results that count, within `folder`; all by default.

    Returns
    -------
    Night
        What the page tells.

    Raises
    ------
    InputError
        There are no results, the output cannot be written there, or the reference cannot be used.
    RbinferError
        The file system refused.
    """
    folder, output = Path(folder), Path(output)
    if output.suffix.lower() not in _SUFFIXES:
        raise InputError(f"the report is an HTML file; call it {output.with_suffix('.html').name}")
    check_place(output, overwrite)
    if images is not None and not Path(images).is_dir():
        raise InputError(f"the folder of images {images} does not exist")
    watcher = None if reference is None else by_reference(reference, folder)
    with RowFile(output.parent, SOURCE) as bogus:
        night = read_night(folder, None if images is None else Path(images), most, bogus, own)
        check_distinct([output], [image.result for image in night.images])
        repeats = find_repeats(night.bogus, night.images_of_hdu)
        log.info("%d positions with bogus detections repeat", len(repeats.found))
        groups = draw_groups(night, repeats, most)
        stars = draw_stars(night)
        record = record_of_night(night)
        text = render(
            night,
            repeats,
            groups,
            stars,
            reference_scores(night, record),
            drift_of(night.lines, watcher or by_record(record)),
            None if planted is None else measure_depths(night, planted),
            title or f"Night report: {folder.resolve().name}",
        )
    with written_whole(output, output.suffix) as beside:
        # Names of files need not be UTF-8.
        beside.write_text(text, encoding="utf-8", errors="replace")
    return night
