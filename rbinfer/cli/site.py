"""Defaults of a site: ``rbinfer.toml`` of the user and of the current folder."""

import argparse
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from .._util.sentences import did_you_mean
from ..errors import InputError
from .options import ABOUT_CATALOG, EXCLUSIVE
from .parser import Parser

NAME = "rbinfer.toml"
#: Verbs that score images; what they share may stand above the tables of the verbs.
SCORING = ("classify", "batch", "watch")
#: Others for which it holds, too, as far as they have an option that means the same.
_ALSO = ("night", "stamps", "explain", "completeness")
#: Options of theirs that they refuse.
_REFUSED = {("night", "columns")}

_NOT_GIVEN = object()


@dataclass(frozen=True)
class Setting:
    """A default, the file that sets it, and how it stands there."""

    value: Any
    place: Path
    text: str


def places() -> list[Path]:
    """Return where defaults may be; what a later file sets goes over the earlier ones."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    if os.name == "nt":
        home = Path(os.environ.get("APPDATA") or home)
    return [home / "rbinfer" / NAME, Path(NAME)]


def has_site() -> bool:
    """Whether there are defaults."""
    return any(map(os.path.exists, places()))  # False also where it may not be looked for


def read_site(verbs: Mapping[str, Parser]) -> dict[str, dict[str, Setting]]:
    """Read the defaults of each verb.

    Parameters
    ----------
    verbs : mapping of str to Parser
        The parsers of the verbs by name.

    Returns
    -------
    dict of str to dict of str to Setting
        By verb and by the name of the option, with underscores. The table of a verb goes over what
        stands above the tables, within one file; the current folder's file goes over the user's.

    Raises
    ------
    InputError
        A file cannot be read, or says what has no meaning.
    """
    site: dict[str, dict[str, Setting]] = {name: {} for name in verbs}
    for place in places():
        for verb, option, setting in _read(place, verbs):
            for other in _rivals(option):  # what is said nearer to the verb goes over what it excludes
                site[verb].pop(other, None)
            site[verb][option] = setting
    return site


def sharing(verbs: Mapping[str, Parser], option: str) -> list[str]:
    """Return the verbs for which an option above the tables holds."""
    meaning = _options(verbs[SCORING[0]])[option].help
    others = [verb for verb in _ALSO if verb in verbs]
    same = [
        verb
        for verb in others
        if getattr(_options(verbs[verb]).get(option), "help", None) == meaning
        and (verb, option) not in _REFUSED
    ]
    return [*SCORING, *same]


def shared_options(verbs: Mapping[str, Parser]) -> dict[str, argparse.Action]:
    """Return the options that mean the same for all verbs that score, by their name."""
    first, *others = (_options(verbs[name]) for name in SCORING)
    return {
        name: action
        for name, action in first.items()
        if all(name in other and other[name].help == action.help for other in others)
    }


def parse_with_site(
    parser: Parser, verb: Parser, words: list[str], settings: Mapping[str, Setting]
) -> tuple[argparse.Namespace, list[str], dict[str, Setting]]:
    """Parse a command line over the defaults of its verb.

    Parameters
    ----------
    parser, verb : Parser
        Of the command, and of the verb in it; the defaults of the latter are changed.
    words : list of str
        The command line.
    settings : mapping of str to Setting
        Of the verb, from `read_site`.

    Returns
    -------
    options : Namespace
    rest : list of str
        Words without a meaning.
    used : dict of str to Setting
        The settings that the command line left as they are, and that have a say beside it.
    """
    actions = _options(verb)
    before = {name: actions[name].default for name in settings}
    for name, setting in settings.items():
        actions[name].default = _absent(actions[name], setting)
        actions[name].required = False
    options, rest = parser.parse_known_args(words)
    used = {}
    for name, setting in settings.items():
        dest = actions[name].dest
        if getattr(options, dest) != actions[name].default:
            continue
        if _is_excluded(name, options, actions):
            setattr(options, dest, before[name])
        else:
            setattr(options, dest, setting.value)
            used[name] = setting
    for name in [name for name in used if _is_idle(name, options)]:
        setattr(options, actions[name].dest, before[name])
        del used[name]
    return options, rest, used


def _absent(action: argparse.Action, setting: Setting) -> Any:
    """Return what an option is where the command line does not give it."""
    if isinstance(action, argparse._CountAction):
        return setting.value
    return None if isinstance(action, argparse._AppendAction) else _NOT_GIVEN


def _is_excluded(name: str, options: argparse.Namespace, actions: Mapping[str, argparse.Action]) -> bool:
    """Whether the command line gives what excludes it."""
    others = [other for other in _rivals(name) if other in actions]
    return any(getattr(options, other) not in (None, _NOT_GIVEN) for other in others)


def _rivals(name: str) -> list[str]:
    """Return the options that exclude one."""
    return [other for group in EXCLUSIVE if name in group for other in group if other != name]


def _is_idle(name: str, options: argparse.Namespace) -> bool:
    """Whether an option is about a catalogue and there is none, or the other way round."""
    if not hasattr(options, "catalog"):
        return False
    return name in ABOUT_CATALOG if options.catalog is None else name == "detector"


def _read(place: Path, verbs: Mapping[str, Parser]) -> Iterator[tuple[str, str, Setting]]:
    """Yield verb, option and setting of each line of a file."""
    if not os.path.exists(place):
        return
    import tomllib

    try:
        found = tomllib.loads(place.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"the defaults {place} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"the defaults {place} are no TOML: {error}") from error
    parts = {"": found} | {f"[{key}] ": given for key, given in found.items() if isinstance(given, dict)}
    for (where, table), group in product(parts.items(), EXCLUSIVE):
        both = [key for key in table if key.replace("-", "_") in group]
        if len(both) > 1:
            raise InputError(f"{place}: {where}{' and '.join(both)} exclude each other; keep one")
    shared = shared_options(verbs)
    tables = {name: given for name, given in found.items() if isinstance(given, dict)}
    for key, given in found.items():
        if key in tables:
            continue
        option = _known(place, key, shared, "", verbs)
        setting = _setting(place, key, given, shared[option])
        yield from ((verb, option, setting) for verb in sharing(verbs, option))
    for name, table in tables.items():
        if name not in verbs:
            hint = did_you_mean(name, verbs)
            raise InputError(f"{place}: [{name}] is no verb of rbinfer{hint}")
        options = _options(verbs[name])
        for key, given in table.items():
            option = _known(place, key, options, f"[{name}] ", verbs)
            yield name, option, _setting(place, key, given, options[option])


def _known(
    place: Path,
    key: str,
    options: Mapping[str, argparse.Action],
    where: str,
    verbs: Mapping[str, Parser],
) -> str:
    """Return the name of an option by its key, which has hyphens or underscores."""
    name = key.replace("-", "_")
    if name in options:
        return name
    for known, action in options.items():
        if f"--{name.replace('_', '-')}" in action.option_strings:
            return known
    having = [verb for verb, parser in verbs.items() if name in _options(parser)]
    if having and not where:
        tables = " or ".join(f"[{verb}]" for verb in having)
        raise InputError(f"{place}: {key} is not the same for all verbs; put it below {tables}")
    hint = did_you_mean(key, [each.replace("_", "-") for each in options])
    raise InputError(f"{place}: {where}{key} is no option{hint}")


def _setting(place: Path, key: str, given: Any, action: argparse.Action) -> Setting:
    text = ",".join(map(str, given)) if isinstance(given, list) else str(given)
    text = text.lower() if isinstance(given, bool) else text  # as it stands in the file
    wanted = "true or false" if action.const is True else "a number" if action.nargs == 0 else "a value"
    if isinstance(action, argparse._CountAction):
        is_right = isinstance(given, int) and not isinstance(given, bool)
    else:
        is_right = isinstance(given, bool) == (action.nargs == 0)
    if not is_right or isinstance(given, dict):
        raise InputError(f"{place}: {key} is {text}, but {wanted} is needed")
    if action.nargs == 0:
        return Setting(given, place, text.lower())
    if isinstance(action, argparse._AppendAction):
        return Setting([str(each) for each in given] if isinstance(given, list) else [text], place, text)
    try:
        value = action.type(text) if callable(action.type) else text
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise InputError(f"{place}: {key}: {error}") from error
    if action.choices is not None and value not in action.choices:
        choices = ", ".join(map(str, action.choices))
        raise InputError(f"{place}: {key} is {text}, which is none of {choices}")
    return Setting(value, place, text)


def _options(parser: Parser) -> dict[str, argparse.Action]:
    """Return the options of a verb that a file may set, by their name with underscores."""
    return {
        # Of --bayer and --no-bayer the first; of -o and --output the last.
        action.option_strings[0 if isinstance(action, argparse.BooleanOptionalAction) else -1]
        .lstrip("-")
        .replace("-", "_"): action
        for action in parser._actions
        if action.option_strings and action.dest not in ("help", "debug")
    }
