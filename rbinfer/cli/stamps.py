"""``rbinfer stamps``: score cutouts that somebody else made."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from .._util.sentences import counted
from .codes import DONE, NOTHING_SCORED
from .options import add_common_options, add_model_options, add_overwrite_option
from .parser import add_verb
from .values import names, positive, probability

if TYPE_CHECKING:
    from astropy.table import Table


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "stamps",
        summary="score ready-made stamps: a cube, a folder of them, alert packets",
        description=(
            "Score stamps without their image; the detection is in the middle of each. The FWHM is "
            "measured on the stamps of one image together: the planes of a cube, alerts of one "
            "exposure. Where that fails it is borrowed or assumed, and rb_fwhm_source says so."
        ),
        example=(
            "rbinfer stamps cube.fits -o scored.ecsv\nrbinfer stamps alerts/ --fwhm 2.1 > scored.ecsv"
        ),
    )
    parser.add_argument(
        "stamps",
        nargs="+",
        metavar="STAMPS",
        help="FITS cube or image, Avro file with alert packets, or a folder of these",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file for the rows; .ecsv, .fits, .csv, .vot, .xml or .parquet says in which format",
    )
    add_overwrite_option(parser, "OUT if it exists")
    add_model_options(parser)
    parser.add_argument("--threshold", type=probability, metavar="T", help="scores above it are real")
    parser.add_argument(
        "--real", type=names, metavar="A,B", help="classes that count as real, such as star"
    )
    parser.add_argument(
        "--fwhm", type=positive, metavar="F", help="FWHM of the stars in pixels; measured if absent"
    )
    parser.add_argument(
        "--one-image",
        action="store_true",
        help="all stamps are of one image: measure the FWHM on all of them together",
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from pathlib import Path

    from ..io.files import check_distinct
    from ..io.ready import stamp_files
    from ..io.tables import check_output, write_catalog
    from ..pipeline.ready import score_stamp_files
    from ..scoring.classifier import Classifier

    if options.output:
        check_output(options.output, options.overwrite)
        inputs = [file for path in options.stamps for file in stamp_files(Path(path))]
        check_distinct([Path(options.output)], inputs)
    classifier = Classifier(options.model, device=options.device, real_source_types=options.real)
    table = score_stamp_files(
        options.stamps,
        classifier,
        fwhm=options.fwhm,
        one_image=options.one_image,
        threshold=options.threshold,
    )
    if options.output:
        write_catalog(table, options.output, options.overwrite)
    else:
        table.write(sys.stdout, format="ascii.ecsv")
    if not options.quiet:
        print(_in_words(table), file=sys.stderr)
    is_nothing = len(table) > 0 and bool((table["rb_score"] != table["rb_score"]).all())
    return NOTHING_SCORED if is_nothing else DONE


def _in_words(table: "Table") -> str:
    from collections import Counter

    import numpy as np

    from ..status import UNSCORED, is_real

    meta = table.meta
    n_real = int(is_real(table["rb_score"], meta["rb_threshold"]).sum())
    n_unscored = int(np.count_nonzero(np.asarray(table["rb_status"]) & UNSCORED))
    sources = Counter(table["rb_fwhm_source"].tolist())
    told = ", ".join(f"{count} {source}" for source, count in sources.most_common())
    return (
        f"{counted(len(table), 'stamp')}; FWHM {meta['rb_fwhm']:.2f} px in the median ({told})\n"
        f"  {n_real} real, {len(table) - n_real - n_unscored} bogus, {n_unscored} unscored; "
        f"threshold {meta['rb_threshold']:g}\n"
        f"  model {meta['rb_model']} {meta['rb_version']}"
    )
