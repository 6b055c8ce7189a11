"""The command ``rbinfer``: one file a verb.

What a verb needs is imported when it runs, so that ``rbinfer --help`` is there at once.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import RbinferError
from . import bench, classify, gallery, models, status, warmup

_VERBS = (classify, gallery, models, status, warmup, bench)
_BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="rbinfer",
        description="Real/bogus scores for detections in single astronomical images.",
    )
    parser.add_argument("--version", action="version", version=f"rbinfer {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in _VERBS:
        module.add_parser(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0 fine, 1 error, 130 interrupted, 141 the reader of stdout went away. Wrong
        usage exits with 2 before.
    """
    options = build_parser().parse_args(argv)
    level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    logging.basicConfig(
        level=level.get(options.verbose - options.quiet, logging.DEBUG),
        format="rbinfer: %(message)s",
        stream=sys.stderr,
    )
    try:
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        print("rbinfer: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        text = " ".join(str(error).split())
        if not isinstance(error, RbinferError):
            text = f"{type(error).__name__}: {text} (--debug shows where)"
        print(f"rbinfer: error: {text}", file=sys.stderr)
        return 1
