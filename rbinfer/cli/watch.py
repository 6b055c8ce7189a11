"""``rbinfer watch``: score images as they arrive."""

import argparse
import json
from typing import Any

from .._util.wording import in_options
from .options import add_common_options, add_scoring_options, add_store_options, store_arguments
from .parser import add_verb
from .values import count, positive


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "watch",
        summary="score images as they arrive in a directory",
        description=(
            "Score the FITS images of a directory as they arrive, until SIGTERM (exit code 0) or "
            "Ctrl-C. A file that is being written is waited for; what is whole is scored in the order "
            "in which it was written, whenever it was observed. What came while nobody watched is "
            "scored at the next start; what DIR/watch.jsonl notes as done is not scored again until it "
            "changes. Each image gives a line of JSON on stdout."
        ),
        example="rbinfer watch incoming/ -o results/",
    )
    parser.add_argument("folder", metavar="INBOX", help="directory in which the images arrive")
    add_store_options(parser)
    parser.add_argument(
        "--settle",
        type=positive,
        default=2.0,
        metavar="S",
        help="seconds without a change after which a file is whole (2)",
    )
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="processes (1)")
    parser.add_argument(
        "--once", action="store_true", help="score what is there and stop; exit code 1 if one failed"
    )
    add_scoring_options(parser)
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from .._util.interrupts import exit_on_sigterm
    from ..runs.watch import run_watch

    with exit_on_sigterm(0):
        report = run_watch(
            options.folder,
            settle=options.settle,
            once=options.once,
            report=_print,
            **store_arguments(options),
        )
    return 1 if report.n_failed else 0


def _print(record: dict[str, Any]) -> None:
    error, warnings = record["error"], record["warnings"]
    told = {"error": error and in_options(error), "warnings": [in_options(text) for text in warnings]}
    print(json.dumps(record | told), flush=True)
