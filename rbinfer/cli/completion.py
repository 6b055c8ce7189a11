"""``rbinfer completion``: what a shell needs to complete the command line."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from .options import add_common_options
from .parser import add_verb, verbs_of

_SHELLS = ("bash", "zsh", "tcsh")
#: What stands in the usage for files, and for folders.
FILES = {
    "IMAGE",
    "RESULTS",
    "TABLE",
    "PATTERN",
    "CAT",
    "OUT",
    "REG",
    "MASK",
    "PATH",
    "SCORED",
    "DARK",
    "STAMPS",
    "PICTURE",
    "PAGE",
    "FILE",
    "LOG",
    "MODEL",
    "M",
    "E",
}
FOLDERS = {"DIR", "FOLDER", "INBOX"}


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "completion",
        summary="print what a shell needs to complete rbinfer's commands",
        description="Print a script with which the shell completes verbs, options and names of files.",
        example="rbinfer completion bash > ~/.local/share/bash-completion/completions/rbinfer",
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
    yield from (
        action for action in parser._actions if not isinstance(action, argparse._SubParsersAction)
    )
    for verb in verbs_of(parser).values():
        yield from actions_of(verb)
