"""``rbtrain simulate``: labelled cutouts on disk."""

import argparse
from typing import Any

from ..dataset import Dataset, build_dataset
from .common import add_workspace, bar, open_workspace


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "simulate", help="simulate frames and store their labelled cutouts"
    )
    add_workspace(parser)
    parser.add_argument("--workers", type=int, help="processes (default: one for each CPU)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Make the training set and the test set, whichever is not there yet."""
    config, where = open_workspace(options)
    for test, directory in ((False, where.train), (True, where.test)):
        if directory.exists():
            Dataset.open(directory, config)  # refuses one of other settings
            continue
        with bar(directory.name, "frame", options.quiet) as progress:
            build_dataset(config, directory, test=test, workers=options.workers, progress=progress)
    return 0
