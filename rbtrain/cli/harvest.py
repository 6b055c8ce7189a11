"""``rbtrain harvest``: labels for nothing, from darks, repeats, a catalogue, a mask."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rbinfer.cli.parser import Parser, add_verb

from .common import progress_bar


def add_parser(verbs: Any) -> Parser:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "harvest",
        summary="labels for nothing: from a night's repeats, darks, a catalogue, a mask",
        description=(
            "Label detections by what is known of them without a look: all on a dark is bogus; what "
            "repeats on the sky while it moves over the detector is real; what stands on the "
            "detector, or is seen once though bright enough for every frame, is bogus. Movers and "
            "variables get no label. Labels are added to a table that 'rbtrain adapt' and 'rbinfer "
            "label' take, with their evidence and its estimated purity."
        ),
        example="rbtrain harvest night/ --darks DARK/*.fits -o labels.ecsv",
    )
    parser.add_argument("night", metavar="NIGHT", nargs="?", help="folder that 'rbinfer night' wrote")
    parser.add_argument(
        "--darks",
        metavar="FILE",
        nargs="+",
        default=(),
        help="darks, biases, frames with a closed shutter",
    )
    parser.add_argument(
        "--catalog", metavar="FILE", help="known sources with ra and dec, such as an extract of Gaia"
    )
    parser.add_argument(
        "--radius",
        metavar="ARCSEC",
        type=float,
        default=1.0,
        help="how near to one of them (default: 1)",
    )
    parser.add_argument("--mask", metavar="FILE[HDU]", help="bad pixels of the camera")
    parser.add_argument(
        "--images", metavar="DIR", help="where the images are now, if not where 'night' found them"
    )
    parser.add_argument(
        "--most",
        metavar="N",
        type=int,
        default=1000,
        help="labels of each evidence at most (default: 1000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw of these (default: 0)")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        required=True,
        help="table of labels, made or added to",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Harvest, and say what came of it."""
    from ..data.harvest import HarvestOptions, harvest

    if options.output.suffix.lower() != ".ecsv":
        raise ValueError(
            f"labels are written as ECSV: -o must end in .ecsv, not {options.output.name!r}"
        )
    asked = HarvestOptions(
        options.night,
        tuple(options.darks),
        options.catalog,
        options.radius,
        options.mask,
        options.most,
        options.seed,
        options.images,
    )
    with progress_bar("darks", "frame", options.quiet or not options.darks) as progress:
        report = harvest(asked, options.output, progress)
    sys.stdout.write("".join(f"{line}\n" for line in report.in_words()))
    sys.stdout.write(f"{options.output}: {sum(report.written.values())} labels added\n")
    return 0
