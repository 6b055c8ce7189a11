"""``rbinfer status``: what the bits of ``rb_status`` mean."""

import argparse
import sys
from typing import Any

from .options import add_common_options
from .parser import add_verb


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "status",
        summary="say what a value of rb_status means",
        description="Say what a value of rb_status means; without one, or with EXPLAIN, list all bits.",
        example="rbinfer status 4352",
    )
    parser.add_argument(
        "value",
        nargs="?",
        type=_status,
        metavar="VALUE",
        help="as in the column, such as 4352, or the name of a bit, such as NEAR_EDGE",
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from ..status import MEANING, UNSCORED, explain

    if options.value is None:
        lines = [f"{int(bit):6d}  {bit.name}: {text}" for bit, text in MEANING.items()]
        lines.append(f"bits below {UNSCORED + 1} mean that the row has no score")
    else:
        known = sum(MEANING)
        lines = explain(options.value)
        if options.value == 0:
            lines.append("nothing to remark; the row has a score")
        if options.value & ~known:
            lines.append(f"{options.value & ~known}: not a bit of this version")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _status(text: str) -> int | None:
    from ..status import Status

    if text.upper() == "EXPLAIN":
        return None
    if text.upper() in Status.__members__:
        return int(Status[text.upper()])
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no value of rb_status (an integer from 0) and no name of a bit"
        )
    return value
