"""``rbinfer explain``: why a detection has its score."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .options import add_common_options, add_overwrite_option, add_scoring_options, score_arguments
from .parser import add_verb
from .values import pair, row_number


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "explain",
        summary="say why a detection has its score",
        description=(
            "Explain the score of one detection: how wide it is beside the stars of the frame, how well "
            "the frame's star fits it, the probability of each class, and which part of the cutout "
            "counts. -o also draws it."
        ),
        example=(
            "rbinfer explain image.fits --at 211.5,98.2 -o why.png\n"
            "rbinfer explain image.fits --catalog detections.csv --row 17"
        ),
    )
    parser.add_argument("image", metavar="IMAGE", help="FITS file, also .gz and .fz")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--at",
        type=pair,
        metavar="X,Y",
        help="its place: pixels, counted from 0 unless --origin says otherwise",
    )
    which.add_argument(
        "--row",
        type=row_number,
        metavar="N",
        help="its row, counted from 0, in CAT, or else among what 'rbinfer classify IMAGE' detects",
    )
    parser.add_argument(
        "--catalog",
        metavar="CAT",
        help="catalogue; of one that was scored, its threshold, FWHM and options of the pixels hold, "
        "unless they are given",
    )
    parser.add_argument("-o", "--output", metavar="PICTURE", help=".png, .pdf, .svg, ...")
    add_overwrite_option(parser, "PICTURE if it exists")
    parser.add_argument(
        "--labels",
        metavar="TABLE",
        help="labels of 'rbinfer label' or 'rbtrain harvest': also show the labelled detections of "
        "which the network sees nearly the same",
    )
    add_scoring_options(parser, ("--format", "--catalog-format"))
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from .._util.wording import in_options
    from ..diagnostics.examples import nearest_labelled
    from ..diagnostics.explain import explain
    from ..diagnostics.sentences import in_words
    from ..errors import InputError
    from ..io.labels import read_labels
    from ..io.tables import as_table, read_catalog
    from ..pipeline.as_scored import as_scored
    from ..pipeline.one import detection_at
    from ..pipeline.options import ScoreOptions

    if options.catalog and options.row is None:
        raise InputError("--catalog is about a row; give --row instead of --at")
    if options.output and find_spec("matplotlib"):
        from ..report.gallery import check_picture

        check_picture(options.output, options.overwrite)
    labels = read_labels(Path(options.labels)) if options.labels else []
    if options.at is not None and options.origin is not None:
        options.at = (options.at[0] - options.origin, options.at[1] - options.origin)
        options.origin = None
    how = ScoreOptions(**score_arguments(options))
    table = None
    if options.catalog:
        table = as_table(read_catalog(options.catalog, how.catalog_format))
        how = as_scored(how, table.meta)
    classifier = how.classifier()
    point = how.point(classifier)
    of = detection_at(
        options.image, how, at=options.at, row=options.row, catalog=options.catalog, table=table
    )
    found = explain(
        classifier,
        of.exposure,
        of.x,
        of.y,
        peak=of.peak,
        threshold=how.threshold if point is None else point.threshold,
    )
    examples = []
    if options.labels:
        examples = nearest_labelled(found.seen, labels, classifier.spec.preprocess)
    sys.stdout.write(in_options(in_words(found, examples)) + "\n")
    if options.output:  # after the words, which need no matplotlib
        from .._util.extras import needed

        needed("matplotlib", "pictures need", "plots")
        from ..report.explanation import draw
        from ..report.gallery import save

        save(draw(found, examples), options.output, options.overwrite)
    return 0
