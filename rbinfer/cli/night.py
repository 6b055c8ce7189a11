"""``rbinfer night``: a night from its folder to what to look at first."""

import argparse
import sys
from typing import Any

from .._util.wording import in_options
from .batch import print_json, told
from .codes import DONE, ERROR
from .options import (
    add_all_frames_option,
    add_catalog_template,
    add_common_options,
    add_overwrite_option,
    add_scoring_options,
    add_worker_options,
    score_arguments,
)
from .parser import add_verb


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "night",
        summary="score a night and merge its frames: sources, candidates, a mask of hot pixels",
        description=(
            "Find the lights in FOLDER, score them, and merge what frames of a target and filter show "
            "at one position of the sky, by their WCS or else by their stars. DIR has candidates.ecsv "
            "(moving, or real and seen once), doubtful.html (cutouts of what can be told least), "
            "sources.ecsv, detections.parquet, frames.ecsv, report.html, regions/ for DS9, and "
            "hotpixels.fits, a mask of what stands on the detector while the sky moves. Give the same "
            'command again to go on after an interrupt. Needs pip install "rbinfer[night]".'
        ),
        example="rbinfer night 2026-11-28/ -o night/",
    )
    parser.add_argument("folder", metavar="FOLDER", help="searched with all its folders")
    parser.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="directory for the tables and pages"
    )
    add_catalog_template(parser)
    add_all_frames_option(parser)
    add_overwrite_option(parser, "files in DIR that a night did not write too")
    add_worker_options(parser)
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")
    add_scoring_options(parser)
    add_common_options(parser)
    parser.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    if options.scheduler is None:
        from ..runs import starting

        starting.begin()  # beside what is imported here
    from ..pipeline.options import ScoreOptions
    from ..report.night import write_night

    with told(options) as (_, tell, merging):
        night = write_night(
            options.folder,
            options.output,
            options=ScoreOptions(**score_arguments(options)),
            catalog=options.catalog,
            workers=options.workers,
            scheduler=options.scheduler,
            overwrite=options.overwrite,
            all_frames=options.all_frames,
            progress=tell,
            merging=merging,
        )
    if options.json:
        print_json(night.as_dict())
    if not options.quiet:
        print("\n".join(map(in_options, night.in_words())), file=sys.stderr)
    return ERROR if night.batch.failed else DONE
