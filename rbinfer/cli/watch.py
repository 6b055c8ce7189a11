"""``rbinfer watch``: score images as they arrive."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .._util.wording import in_options
from ..errors import RbinferError
from .options import add_common_options, add_scoring_options, add_store_options, store_arguments
from .parser import add_verb
from .values import count, positive

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from ..report.live import LivePage
    from ..runs.commands import Commands

_LINE = 299  # bytes of a line of JSON, without its end
#: What a short line tells of a summary.
_TOLD = ("detections", "real", "bogus", "unscored", "fwhm")


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
            "changes. Each image gives a line on stdout: for people on a terminal, else short JSON; "
            "with -v all that the journal has. Failures are told on stderr too."
        ),
        example=(
            "rbinfer watch incoming/ -o results/\n"
            "rbinfer watch incoming/ -o results/ --report live.html --exec 'notify {image} {result}'"
        ),
    )
    parser.add_argument("folder", metavar="INBOX", help="directory in which the images arrive")
    add_store_options(parser)
    parser.add_argument(
        "--settle",
        type=positive,
        default=2.0,
        metavar="S",
        help="seconds without a change after which a file is whole (2); ten times as long for one that "
        "is shorter than its headers say",
    )
    parser.add_argument(
        "--exec",
        dest="command",
        metavar="CMD",
        help="run this for each image that was scored, one after another and without a shell; {image} "
        "and {result} stand for the files",
    )
    parser.add_argument(
        "--report",
        metavar="PAGE",
        help="keep an HTML page of how it goes, written anew after each image; in a browser it reloads "
        "itself",
    )
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="processes (1)")
    parser.add_argument(
        "--once",
        action="store_true",
        help="score what is there and stop; exit code 1 if an image or its command failed",
    )
    add_scoring_options(parser)
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from .._util.interrupts import exit_on_sigterm
    from ..runs.watch import run_watch

    line_of: Callable[[dict[str, Any]], str] = _for_people if sys.stdout.isatty() else _as_json
    if options.verbose:
        line_of = json.dumps
    with exit_on_sigterm(0), ExitStack() as until_done:
        page = commands = None
        if options.report is not None:
            from ..report.live import LivePage

            page = LivePage.of(options.report, options.output)
            if page.path.parent.is_dir():
                page.write()  # for a browser to show before the first image
        if options.command is not None:
            from ..runs.commands import Commands

            commands = until_done.enter_context(Commands(options.command))
        report = run_watch(
            options.folder,
            settle=options.settle,
            once=options.once,
            report=_teller(options.output, line_of, page, commands),
            **store_arguments(options),
        )
    return 1 if report.n_failed or (commands is not None and commands.n_failed) else 0


def _teller(
    folder: str,
    line_of: Callable[[dict[str, Any]], str],
    page: "LivePage | None",
    commands: "Commands | None",
) -> Callable[[dict[str, Any]], None]:
    """Return what tells of each image: on stdout, on the page and by the command."""

    def tell(record: dict[str, Any]) -> None:
        from ..runs.journal import Line

        if page is not None:
            line = Line.parse(json.dumps(record))
            assert line is not None  # the journal wrote it
            try:
                page.add(line)
            except RbinferError as refused:
                log.warning("%s", refused)  # the next image may find room again
        if commands is not None and record["ok"]:
            commands.submit(record["image"], os.path.join(folder, record["output"]))
        error, warnings = record["error"], record["warnings"]
        told = {
            "error": error and in_options(error),
            "warnings": [in_options(text) for text in warnings],
        }
        print(line_of(record | told), flush=True)

    return tell


def _as_json(record: dict[str, Any]) -> str:
    """Return a line of JSON; an error is cut so that it stays below 300 bytes, where names allow it."""
    keys = ("image", "output", "ok", "error", "final", "seconds")
    short = {key: record[key] for key in keys if key not in ("error", "final") or not record["ok"]}
    if record["summary"] is not None:
        short["summary"] = {key: record["summary"][key] for key in _TOLD}
        short["summary"]["fwhm"] = round(short["summary"]["fwhm"], 3)
    text = json.dumps(short)
    while len(text) > _LINE and short.get("error"):
        short["error"] = short["error"][: -max(len(text) - _LINE, 1)].rstrip()
        text = json.dumps(short)
    return text


def _for_people(record: dict[str, Any]) -> str:
    """Return a line for the terminal."""
    name, when = os.path.basename(record["image"]), f"{datetime.now():%H:%M:%S}"
    if not record["ok"]:
        return f"{when} {name}: failed"  # the reason is on stderr
    found = record["summary"]
    return (
        f"{when} {name}: {found['detections']} detections, {found['real']} real, "
        f"{found['bogus']} bogus, {found['unscored']} unscored; FWHM {found['fwhm']:.2f} px "
        f"({found['fwhm_source']}); "
        f"{record['seconds']:.1f} s"
    )
