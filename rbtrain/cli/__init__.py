"""The command ``rbtrain``: one file a verb, all driven by one TOML configuration."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from rbinfer import __version__

_VERBS = ("simulate", "fit", "export", "evaluate", "sheet")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="rbtrain",
        description="Simulate labelled images, fit the network, export it, measure it.",
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
    """Run the command line; returns the exit code (0 fine, 1 error, 2 usage, 130 Ctrl-C)."""
    try:
        options = build_parser().parse_args(argv)
    except ModuleNotFoundError as error:
        print(
            f"rbtrain: error: {error.name} is not installed; rbtrain needs more than rbinfer does: "
            "pip install 'rbinfer[train]'",
            file=sys.stderr,
        )
        return 1
    logging.basicConfig(
        level=logging.WARNING if options.quiet else logging.INFO, format="%(message)s", stream=sys.stderr
    )
    # TensorFlow greets on stderr; nobody at the telescope wants to read it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("rbtrain: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        # Every error ends the command with one sentence; --debug shows where it came from.
        print(f"rbtrain: error: {error}", file=sys.stderr)
        return 1
