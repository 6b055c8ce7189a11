"""The command ``rbinfer``: one file a verb.

What a verb needs is imported when it runs, so that ``rbinfer --help`` is there at once.
"""

import argparse
import logging
import os
import shlex
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack

from .. import __version__
from .._util.interrupts import exit_on_sigterm
from ..errors import RbinferError
from . import batch, bench, classify, completion, doctor, gallery, models, report, status, warmup, watch
from .logs import log_in_file, log_on_terminal

log = logging.getLogger(__name__)

_VERBS = (classify, batch, watch, gallery, models, status, warmup, bench, doctor, completion, report)
_BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended,
_TERMINATED = 143  # and for one that SIGTERM did


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
        usage exits with 2 before, and SIGTERM with 143 (0 from ``watch``).
    """
    if os.path.expanduser("~") == "~":
        # A user without a home or a name: Astropy would refuse to be imported.
        os.environ["HOME"] = os.devnull
    options = build_parser().parse_args(argv)
    with ExitStack() as logs:
        logs.enter_context(log_on_terminal(options))
        try:
            logs.enter_context(log_in_file(options))
            given = sys.argv[1:] if argv is None else argv
            log.info("%s: %s", __version__, shlex.join(given))
            return _run(options)
        except BrokenPipeError:
            # Python flushes stdout once more at exit, which would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _BROKEN_PIPE
        except KeyboardInterrupt:
            log.error("interrupted")
            return 130
        except Exception as error:
            text = " ".join(str(error).split())
            if not isinstance(error, RbinferError):
                text = f"{type(error).__name__}: {text} (--debug shows where)"
            log.error("error: %s", text)
            if options.debug:
                raise
            return 1


def _run(options: argparse.Namespace) -> int:
    with ExitStack() as until_done:
        # Handlers of signals are the main thread's alone.
        if threading.current_thread() is threading.main_thread():
            until_done.enter_context(exit_on_sigterm(_TERMINATED))
        code = int(options.run(options))
    if sys.stdout is not None:  # as with >&-
        sys.stdout.flush()
    return code
