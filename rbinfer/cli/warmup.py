"""``rbinfer warmup``: make the kernels ready before they are needed."""

import argparse
import logging
import sys
from typing import Any

from .options import add_common_options
from .parser import add_verb

log = logging.getLogger(__name__)


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "warmup",
        summary="compile the kernels, where that is not done yet",
        description="Make the kernels ready, so that no later run has to. A wheel brings them compiled; "
        "in a source tree they are compiled into a library in the user's cache, or where there is no C "
        "compiler, by Numba into its own cache.",
        example="rbinfer warmup",
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from ..kernels import build, library
    from ..measure.warmup import warmup

    build.remove_former()
    if library.find().library is None and build.is_supported():
        if not options.quiet:
            print("compiling the kernels, for a minute or less", file=sys.stderr)
        try:
            path = build.build_into_cache()
        except (build.BuildError, OSError) as error:
            log.warning("no library of kernels is made, and Numba runs them: %s", error)
        else:
            log.info("the kernels are kept in %s", path)
    seconds = warmup()
    if not options.quiet:
        print(f"kernels ready after {seconds:.1f} s", file=sys.stderr)
    return 0
