"""``rbinfer warmup``: compile the kernels before they are needed."""

import argparse
import sys
from typing import Any

from .options import add_common_options
from .parser import add_verb


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "warmup",
        summary="compile and cache the kernels",
        description="Compile the kernels and keep them on disk, so that no later run has to.",
        example="rbinfer warmup",
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from ..measure.warmup import warmup

    seconds = warmup()
    if not options.quiet:
        print(f"kernels ready after {seconds:.1f} s", file=sys.stderr)
    return 0
