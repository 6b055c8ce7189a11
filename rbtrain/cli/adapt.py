"""``rbtrain adapt``: a model made your own, by labels; it proves to be better, or says that it isn't."""

import argparse
import sys
from typing import Any

from rbinfer.cli.parser import Parser, add_verb

from .common import progress_bar


def add_parser(verbs: Any) -> Parser:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "adapt",
        summary="adapt a model to your own labels, and prove that it is better",
        description=(
            "Fit the last layer of a model to labels from 'rbinfer label' and 'rbtrain harvest', "
            "while it rehearses simulated frames of all kinds so that nothing is forgotten. With "
            "fewer than a hundred labels the score is calibrated anew, or the threshold chosen anew. "
            "The new model is compared with the old one, on labels that the fit has not seen and on "
            "simulation, and written as a file of its own with the verdict in it. Needs no "
            "TensorFlow: pip install 'rbinfer[adapt]'. A fit of all layers does: pip install "
            "'rbinfer[train]'."
        ),
        example="rbtrain adapt --labels labels.ecsv --use",
    )
    parser.add_argument("--labels", metavar="FILE", nargs="+", required=True, help="tables of labels")
    parser.add_argument("--model", metavar="MODEL", help="what to adapt (default: the model in use)")
    parser.add_argument("--name", default="mine", help="of the new model (default: mine)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="its file (default: NAME-VERSION.onnx among your models)"
    )
    parser.add_argument(
        "--darks", metavar="FILE", nargs="+", default=(), help="rehearse on your own darks, too"
    )
    parser.add_argument(
        "--images", metavar="FILE", nargs="+", default=(), help="rehearse on your own images, too"
    )
    parser.add_argument(
        "--layers",
        choices=("last", "all"),
        default="last",
        help="what is fitted, with a hundred labels or more; 'all' needs TensorFlow (default: last)",
    )
    parser.add_argument(
        "--use", action="store_true", help="make it your default if it proves to be better"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Adapt, say what came of it, and make it the default if that was asked for and it is better."""
    from rbinfer.errors import InputError
    from rbinfer.model.choice import use

    from ..adapting import AdaptOptions, adapt

    if options.use and options.output is not None:
        raise InputError("--use takes a model among your models: leave -o out")
    asked = AdaptOptions(
        options.labels,
        options.model,
        options.name,
        options.output,
        options.darks,
        options.images,
        options.layers,
        options.seed,
    )
    found = adapt(asked, lambda step: progress_bar(step, "", options.quiet))
    sys.stdout.write("".join(f"{line}\n" for line in found.in_words()))
    if options.use and found.comparison.verdict == "better":
        use(found.path.stem)
        sys.stdout.write(
            f"{found.path.stem} is your default now; 'rbinfer models rollback' takes it back\n"
        )
    return 0
