"""``rbinfer completion``: what a shell needs to complete the command line."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from .options import add_common_options

_SHELLS = ("bash", "zsh", "tcsh")
#: What stands in the usage for files, and for folders.
FILES = {
    "IMAGE",
    "PATTERN",
    "CAT",
    "OUT",
    "REG",
    "SCORED",
    "PICTURE",
    "PAGE",
    "FILE",
    "LOG",
    "MODEL",
    "M",
    "E",
}
FOLDERS = {"DIR", "INBOX"}


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "completion",
        help="print what a shell needs to complete rbinfer's commands",
        description=(
            "Print a script for the shell; bash: rbinfer completion bash > "
            "~/.local/share/bash-completion/completions/rbinfer"
        ),
    )
    parser.add_argument("shell", choices=_SHELLS)
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from .._util.extras import needed
    from . import build_parser

    shtab = needed("shtab", "completion needs", "completion")
    parser = build_parser()
    for action in actions_of(parser):
        if action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    sys.stdout.write(shtab.complete(parser, shell=options.shell))
    return 0


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of the verbs below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions_of(below)
        else:
            yield action
