"""The command line as pages of Markdown, one for each verb, made from the parsers."""

import argparse
import os
import re
from collections.abc import Iterator
from unittest import mock

from rbinfer.cli import build_parser
from rbinfer.cli.parser import verbs_of

#: Columns of the usage lines.
_WIDTH = 74


def pages() -> dict[str, str]:
    """Return the pages of both programs by name, such as ``rbinfer-classify``."""
    from rbtrain.cli import build_parser as build_trainer

    with mock.patch.dict(os.environ, {"COLUMNS": str(_WIDTH)}):
        parsers = [
            verb for program in (build_parser(), build_trainer()) for verb in verbs_of(program).values()
        ]
        return {verb.prog.replace(" ", "-"): page(verb) for verb in parsers}


def page(verb: argparse.ArgumentParser) -> str:
    """Return the page of one verb, with those of the verbs below it as sections."""
    lines = [f"# {verb.prog}", "", *_body(verb, "##")]
    for below in verbs_of(verb).values():
        lines += [f"## {below.prog}", "", *_body(below, "###")]
    return "\n".join(lines).rstrip() + "\n"


def plain(text: str) -> str:
    """Escape what Markdown would take for markup."""
    return re.sub(r"([\\`*_{}\[\]<>|$])", r"\\\1", text)


def _body(verb: argparse.ArgumentParser, heading: str) -> Iterator[str]:
    yield from (plain(" ".join((verb.description or "").split())), "")
    if examples := [line.strip() for line in (verb.epilog or "").splitlines()[1:]]:
        yield from ("```sh", *examples, "```", "")
    yield from ("```text", verb.format_usage().strip(), "```", "")
    for group in verb._action_groups:
        actions = [each for each in group._group_actions if each.help != argparse.SUPPRESS]
        if actions and not isinstance(actions[0], argparse._SubParsersAction):
            yield from (f"{heading} {(group.title or '').capitalize()}", "")
            for action in actions:
                yield from _entry(verb, action)


def _entry(verb: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    """Yield an argument as an entry of a definition list."""
    formatter = verb._get_formatter()
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    value = ""
    if action.nargs != 0:
        value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    # A choice or a metavar is not part of the name, but is typed, too.
    head = f"{names} `{value}`" if names and value else names or f"`{value or action.dest}`"
    yield head
    yield f": {plain(formatter._expand_help(action) if action.help else '')}"
    yield ""
