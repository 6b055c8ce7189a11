"""The command ``rbinfer``: one file a verb.

What a verb needs is imported when it runs, so that ``rbinfer --help`` is there at once.
"""

import argparse
import gc
import logging
import os
import shlex
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module

from .. import __version__
from .._util.compiling import COMPILING, told_of_compiling
from .._util.interrupts import exit_on_sigterm
from .._util.sentences import did_you_mean, unforeseen
from ..errors import RbinferError
from .codes import BROKEN_PIPE, ERROR, INTERRUPTED, TERMINATED
from .logs import log_in_file, log_on_terminal
from .parser import Parser, verbs_of
from .site import has_site, parse_with_site, read_site
from .streams import open_streams

log = logging.getLogger(__name__)

#: The verbs in the order of the help, each a module of its name.
_VERBS = (
    "classify", "batch", "night", "watch", "label", "serve", "stamps", "explain", "completeness",
    "gallery", "report", "status", "models", "config", "warmup", "bench", "doctor", "completion",
)  # fmt: skip
#: Those that say themselves how long compiling took.
_COMPILERS = {"warmup", "bench", "doctor"}
_HELP = {"-h", "--help"}


def build_parser(only: str | None = None) -> Parser:
    """Build the parser of the command line.

    Parameters
    ----------
    only : str, optional
        The one verb that it is to know; all by default.
    """
    parser = Parser(
        prog="rbinfer",
        description="Real/bogus scores for detections in single astronomical images.",
        example="rbinfer classify image.fits -o scored.ecsv",
    )
    parser.add_argument("--version", action="version", version=f"rbinfer {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in _VERBS if only is None else (only,):
        import_module(f".{name}", __name__).add_parser(verbs)
    return parser


def program() -> int:
    """Run the command line as the one thing that a process is for; returns the exit code."""
    try:
        return main()
    finally:
        # What is left goes with the process; Python would look through it for garbage once more.
        gc.freeze()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0 fine, 1 error, 3 nothing could be scored, 130 interrupted, 141 the reader of stdout
        went away. Wrong usage exits with 2 before, and SIGTERM with 143 (0 from ``watch``,
        ``serve`` and ``label``).
    """
    if os.path.expanduser("~") == "~":
        # A user without a home or a name: Astropy would refuse to be imported.
        os.environ["HOME"] = os.devnull
    open_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        options, defaults = _parsed(words)
    except RbinferError as error:
        print(f"rbinfer: error: {error}", file=sys.stderr)
        return ERROR
    with ExitStack() as logs:
        logs.enter_context(log_on_terminal(options))
        try:
            logs.enter_context(log_in_file(options))
            log.info("%s: %s", __version__, shlex.join(words))
            for text in defaults:
                log.warning("%s", text)
            return _run(options)
        except BrokenPipeError:
            # Python flushes stdout once more at exit, which would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        except KeyboardInterrupt:
            goes_on = "; the same command goes on where it stopped" if "goes_on" in options else ""
            log.error("interrupted%s", goes_on)
            return INTERRUPTED
        except Exception as error:
            if isinstance(error, RbinferError):
                text = " ".join(str(error).split())
            else:
                text = f"{unforeseen(error)} (--debug shows where)"
            log.error("error: %s", text)
            if options.debug:
                raise
            return ERROR


def _parsed(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parse the command line; also return what is to be said of the site's defaults."""
    name = next((word for word in words if not word.startswith("-")), None)
    is_help = bool(_HELP & set(words))
    # The verbs that are not meant need not be imported; help lists them, and a site's defaults may be
    # those of any.
    alone = name if name in _VERBS and not is_help and not has_site() else None
    parser = build_parser(alone)
    verbs = verbs_of(parser)
    if name is not None and name not in verbs:
        from .classify import instead_of_verb

        parser.error(instead_of_verb(name) or f"there is no verb {name}{did_you_mean(name, verbs)}")
    if not words:
        parser.error(f"a verb is missing: {', '.join(verbs)}")
    if name is None or is_help:
        return parser.parse_args(words), []
    settings = read_site(verbs)[name]
    options, rest, used = parse_with_site(parser, verbs[name], words, settings)
    if rest:
        if name == "classify":
            from .classify import instead_of_more

            if text := instead_of_more(options.image, rest):
                verbs[name].error(text)
        verbs[name].refuse(rest)
    by_place: dict[str, list[str]] = {}
    for option, setting in used.items():
        by_place.setdefault(str(setting.place), []).append(f"{option.replace('_', '-')} {setting.text}")
    return options, [f"defaults from {place}: {', '.join(each)}" for place, each in by_place.items()]


def _run(options: argparse.Namespace) -> int:
    with ExitStack() as until_done:
        if options.verb not in _COMPILERS:
            until_done.enter_context(told_of_compiling(lambda: log.warning(COMPILING)))
        # Handlers of signals are the main thread's alone.
        if threading.current_thread() is threading.main_thread():
            until_done.enter_context(exit_on_sigterm(TERMINATED))
        code = int(options.run(options))
    sys.stdout.flush()
    return code
