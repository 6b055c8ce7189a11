"""``rbtrain fit``: fit the network to the simulated set."""

import argparse
from typing import Any

from rbinfer.cli.parser import Parser, add_verb

from .common import add_training, open_training


def add_parser(verbs: Any) -> Parser:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "fit",
        summary="fit the network; Ctrl-C keeps the best so far",
        description=(
            "Fit the network to the simulated set. Ctrl-C keeps the best so far; --resume goes on after "
            "any end."
        ),
        example="rbtrain fit my.toml --resume",
    )
    add_training(parser)
    parser.add_argument("--resume", action="store_true", help="go on where the last fit stopped")
    parser.add_argument(
        "--from",
        dest="parent",
        metavar="MODEL",
        help="begin with the network of this .onnx file (or the model of this name), of the same layers",
    )
    parser.add_argument(
        "--teacher",
        metavar="MODEL",
        help="model that gives a share of the targets, where fit.taught asks for it (default: that of "
        "--from)",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Fit."""
    from rbinfer.model.registry import resolve

    from ..data.dataset import Dataset
    from ..fitting.fit import fit

    config, where = open_training(options)
    fit(
        config,
        Dataset.open(where.train, config),
        where.fit,
        resume=options.resume,
        parent=None if options.parent is None else resolve(options.parent),
        teacher=None if options.teacher is None else resolve(options.teacher),
        verbose=0 if options.quiet else 1,
        is_stopped=options.is_stopped,
    )
    return 0
