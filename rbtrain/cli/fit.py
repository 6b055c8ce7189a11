"""``rbtrain fit``: fit the network to the simulated set."""

import argparse
from typing import Any

from .common import add_training, open_training


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "fit", help="fit the network; Ctrl-C keeps the best so far"
    )
    add_training(parser)
    parser.add_argument("--resume", action="store_true", help="go on where the last fit stopped")
    return parser


def run(options: argparse.Namespace) -> int:
    """Fit."""
    from ..data.dataset import Dataset
    from ..fitting.fit import fit

    config, where = open_training(options)
    fit(
        config,
        Dataset.open(where.train, config),
        where.fit,
        resume=options.resume,
        verbose=0 if options.quiet else 1,
    )
    return 0
