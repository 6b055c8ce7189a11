"""``rbinfer config``: which defaults hold here, and where they are from."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from .options import add_common_options
from .parser import add_verb
from .site import Setting, places, read_site, shared_options, sharing


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "config",
        summary="print the defaults that hold here, and where they are from",
        description=(
            "Print the defaults that are set, and the file that sets each: rbinfer.toml in the current "
            "folder, then that in the user's folder of settings; the command line goes over both. Keys "
            "are the names of options without the hyphens before them. Options that classify, batch and "
            "watch share stand at the top. They hold for night, stamps, explain and completeness too, "
            "where these have them. Those of one verb stand in a table of its name, such as [batch], "
            "and go over those at the top."
        ),
        example="rbinfer config",
    )
    parser.add_argument(
        "--all", action="store_true", help="also list the options that can be set and are not"
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from . import build_parser
    from .parser import verbs_of

    verbs = verbs_of(build_parser())
    site = read_site(verbs)
    lines = [f"{'read' if place.is_file() else 'absent'}  {place.absolute()}" for place in places()]
    shared = shared_options(verbs) if options.all else {}
    for verb in verbs:
        rows = {
            name.replace("_", "-"): _row(site[verb].get(name), action.default)
            for name, action in shared.items()
            if verb in sharing(verbs, name)
        }
        rows |= {name.replace("_", "-"): _row(setting, None) for name, setting in site[verb].items()}
        if rows:
            lines += ["", f"[{verb}]", *_table(rows)]
    if not options.all:
        are_set = any(site[verb] for verb in verbs)
        lines += ["", f"{'the rest' if are_set else 'all'} as by default; --all lists the options"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _row(setting: Setting | None, default: Any) -> tuple[str, str]:
    if setting is None:
        return "-" if default in (None, ()) else str(default).lower(), "default"
    return setting.text, str(setting.place)


def _table(rows: Mapping[str, tuple[str, str]]) -> list[str]:
    names = max(map(len, rows))
    values = max(len(value) for value, _ in rows.values())
    return [f"{name:{names}}  {value:{values}}  {place}" for name, (value, place) in rows.items()]
