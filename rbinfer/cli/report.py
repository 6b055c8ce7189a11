"""``rbinfer report``: one page about a night's results."""

import argparse
import sys
from typing import Any

from .._util.sentences import counted
from .options import add_common_options, add_overwrite_option, add_reference_option
from .parser import add_verb
from .values import count


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "report",
        summary="write a page about a directory of results",
        description=(
            "Write one HTML file about the scored catalogues in a directory: counts, FWHM and bogus "
            "fraction of each image, scores, cutouts of the brightest bogus and the borderline, and "
            "positions where bogus repeat; and what is unlike the frames of a reference night, or "
            "unlike what the model was measured on. It needs no other file and no network."
        ),
        example="rbinfer report results/ -o night.html",
    )
    parser.add_argument(
        "folder", metavar="DIR", help="what 'rbinfer batch' or 'rbinfer classify' wrote into"
    )
    parser.add_argument("-o", "--output", metavar="PAGE", required=True, help="the page, .html")
    parser.add_argument(
        "--images", metavar="DIR", help="where the images are, if not where the results note them"
    )
    add_reference_option(parser)
    parser.add_argument(
        "--completeness",
        type=count,
        metavar="N",
        help="plant N stars in copies of the sharpest image, a middling one and the widest, and tell "
        "how faint stars may be, as 'rbinfer completeness' does; 1000 are enough",
    )
    parser.add_argument("--title", metavar="T", help="title of the page; the name of DIR by default")
    parser.add_argument(
        "--most", type=count, default=12, metavar="N", help="cutouts of each kind at most (12)"
    )
    add_overwrite_option(parser, "PAGE if it exists")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from ..report import write_report

    night = write_report(
        options.folder,
        options.output,
        options.images,
        options.overwrite,
        options.title,
        options.most,
        options.reference,
        options.completeness,
    )
    if not options.quiet:
        found = sum(image.detections for image in night.images)
        bogus = sum(image.bogus for image in night.images)
        failed = f", {len(night.failed)} failed" if night.failed else ""
        print(
            f"{options.output}: {counted(len(night.images), 'image')}{failed}; "
            f"{counted(found, 'detection')}, {bogus} bogus",
            file=sys.stderr,
        )
    return 0
