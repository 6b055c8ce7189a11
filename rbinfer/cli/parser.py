"""The parser of a command line that answers mistakes in a sentence each."""

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from .._util.sentences import did_you_mean
from .codes import WRONG_USAGE

#: Of argparse's messages, and how we say it; the fields are those of the pattern.
_SENTENCES = (
    (r"the following arguments are required: (?P<names>.+)", "{names} is missing"),
    (r"argument (?P<name>[^:]+): expected one argument", "{name} needs a value"),
    (r"argument (?P<name>[^:]+): expected at least one argument", "{name} needs at least one value"),
    (
        r"argument (?P<name>[^:]+): not allowed with argument (?P<other>.+)",
        "{name} and {other} exclude each other; give one of them",
    ),
    (
        r"ambiguous option: (?P<name>\S+) could match (?P<choices>.+)",
        "{name} may stand for {choices}; write it out",
    ),
    (r"argument (?P<name>[^:]+): ignored explicit argument (?P<value>.+)", "{name} takes no value"),
    (r"argument (?P<name>[^:]+): (?P<text>.+)", "{name}: {text}"),
)
_CHOICE = re.compile(
    r"argument (?P<name>[^:]+): invalid choice: '?(?P<value>.*?)'? \(choose from (?P<all>.*)\)"
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, without the usage, and whose help ends with an example.

    Parameters
    ----------
    description : str
    example : str
        A command line; several have a line each.
    **given
        As for `argparse.ArgumentParser`.
    """

    def __init__(self, *, description: str = "", example: str = "", **given: Any) -> None:
        width = min(shutil.get_terminal_size().columns, 100) - 2
        lines = "".join(f"\n  {line}" for line in example.splitlines())
        super().__init__(
            description=textwrap.fill(description, width),
            epilog=f"example:{lines}" if example else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **given,
        )
        self._words: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does; the words are kept for what `error` says of them."""
        self._words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does; a word without a meaning is refused by the verb that has it."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            verbs_of(self).get(getattr(options, "verb", ""), self).refuse(rest)
        return options

    def error(self, message: str) -> NoReturn:
        """Say in a sentence what is wrong, and end with exit code 2."""
        self.exit(
            WRONG_USAGE, f"{self.prog.split()[0]}: error: {self._sentence(message)} ({self.prog} -h)\n"
        )

    def refuse(self, rest: Sequence[str]) -> NoReturn:
        """Say what is wrong with words that have no meaning for the verb.

        Parameters
        ----------
        rest : sequence of str
            At least one.
        """
        unknown = self._unknown_option(rest)
        self.error(unknown or f"{rest[0]!r} is one argument too many")

    def _sentence(self, message: str) -> str:
        # A slip in an option can be why something else is missing.
        if unknown := self._unknown_option(self._words):
            return unknown
        if found := _CHOICE.fullmatch(message):
            choices = [choice.strip(" '") for choice in found["all"].split(",")]
            hint = did_you_mean(found["value"], choices) or f"; it is one of {', '.join(choices)}"
            return f"{found['name']} cannot be {found['value']!r}{hint}"
        for pattern, sentence in _SENTENCES:
            if match := re.fullmatch(pattern, message):
                return sentence.format(**match.groupdict())
        return message

    def _unknown_option(self, words: Sequence[str]) -> str | None:
        """Return a sentence about the first word that looks like an option and is none."""
        known = [name for action in self._actions for name in action.option_strings]
        for word in words:
            name = word.split("=")[0]
            if word == "--":
                return None
            if re.match(r"--\w", word) and not any(each.startswith(name) for each in known):
                return f"there is no option {name}{did_you_mean(name, known)}"
        return None


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    """Return the parsers of the verbs of a parser, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def add_verb(verbs: Any, name: str, *, summary: str, description: str, example: str) -> Parser:
    """Add a verb to a command line.

    Parameters
    ----------
    verbs : argparse action
        From ``Parser.add_subparsers``.
    name : str
    summary : str
        A line in the list of verbs.
    description : str
        What the verb does, for its help.
    example : str
        A command line that works.

    Returns
    -------
    Parser
    """
    parser: Parser = verbs.add_parser(
        name, help=summary, description=description, example=example, allow_abbrev=True
    )
    return parser
