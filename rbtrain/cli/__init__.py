"""The command ``rbtrain``: one file a verb, all driven by one TOML configuration."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from rbinfer import __version__
from rbinfer._util.sentences import unforeseen
from rbinfer._util.wording import in_options
from rbinfer.cli.parser import Parser

_VERBS = ("simulate", "fit", "export", "evaluate", "sheet", "harvest", "adapt")
#: Verbs that a smaller extra than ``train`` is enough for.
_EXTRAS = {"harvest": "adapt", "adapt": "adapt"}


def build_parser() -> Parser:
    """Build the parser of the command line; what only training needs is imported when a verb runs."""
    parser = Parser(
        prog="rbtrain",
        description="Simulate labelled images, fit, export and measure a network; make it your own.",
        example="rbtrain simulate my.toml",
    )
    parser.add_argument("--version", action="version", version=f"rbtrain {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in _VERBS:
        module = import_module(f".{name}", __name__)
        verb = module.add_parser(verbs)
        verb.add_argument("--debug", action="store_true", help="show tracebacks")
        verb.add_argument("-q", "--quiet", action="store_true", help="no progress, warnings only")
        verb.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0 fine, 1 error, 2 usage, 130 Ctrl-C, 143 SIGTERM (as a shell reports them).
    """
    with _stopping_on_signals() as came:
        try:
            return _run(argv, came)
        except (KeyboardInterrupt, Exception) as error:
            # A library may have turned the interruption into an error of its own.
            if came or isinstance(error, KeyboardInterrupt):
                number = came[0] if came else signal.SIGINT
                word = "interrupted" if number == signal.SIGINT else "terminated"
                print(f"rbtrain: {word}", file=sys.stderr)
                return 128 + number
            raise


def _run(argv: Sequence[str] | None, came: list[int]) -> int:
    options = build_parser().parse_args(argv)
    options.is_stopped = lambda: bool(came)
    logging.basicConfig(
        level=logging.WARNING if options.quiet else logging.INFO, format="%(message)s", stream=sys.stderr
    )
    # TensorFlow prints notes on stderr at its start that help nobody here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        return int(options.run(options))
    except Exception as error:
        if options.debug or came:
            raise
        # Every error ends the command with one sentence; --debug shows where it came from.
        is_of_file = isinstance(error, OSError) and error.errno is not None
        text = unforeseen(error) if is_of_file else str(error)
        # What was raised by our own code says itself what to install.
        if isinstance(error, ModuleNotFoundError) and error.name and "pip install" not in text:
            text = (
                f"{error.name} is not installed; rbtrain needs more than rbinfer does: "
                f"pip install 'rbinfer[{_EXTRAS.get(options.verb, 'train')}]'"
            )
        print(f"rbtrain: error: {in_options(text)}", file=sys.stderr)
        return 1


@contextmanager
def _stopping_on_signals() -> Iterator[list[int]]:
    """Let SIGTERM, which batch systems send, stop the run as Ctrl-C does; yields what signals came."""
    came: list[int] = []

    def stop(number: int, _: Any) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def unraisable(what: Any) -> None:
        # The signal came within a callback that must not fail, such as one of the garbage collector's.
        # Python drops the exception there, so the signal is sent again.
        if came and isinstance(what.exc_value, KeyboardInterrupt):
            again.append(threading.Timer(0.1, signal.raise_signal, (came[0],)))
            again[-1].start()
        else:
            hook(what)

    before = {}
    again: list[threading.Timer] = []
    hook = sys.unraisablehook
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            # A signal that is ignored stays ignored: shells do so for jobs in the background.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, stop)
        sys.unraisablehook = unraisable
    try:
        yield came
    finally:
        sys.unraisablehook = hook
        for timer in again:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
