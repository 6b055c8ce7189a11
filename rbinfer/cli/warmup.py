"""``rbinfer warmup``: compile the kernels before they are needed."""

import argparse
import sys
from typing import Any

from .options import add_common_options


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "warmup",
        help="compile and cache the kernels",
        description="Compile the kernels and keep them on disk, so that no later run has to.",
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from ..cutouts.warmup import warmup

    seconds = warmup()
    if not options.quiet:
        print(f"kernels ready after {seconds:.1f} s", file=sys.stderr)
    return 0
