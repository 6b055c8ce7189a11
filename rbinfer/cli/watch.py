"""``rbinfer watch``: score images as they arrive."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .._util.sentences import counted
from .._util.wording import in_options
from ..errors import InputError, RbinferError
from .options import (
    add_common_options,
    add_reference_option,
    add_scoring_options,
    add_store_options,
    store_arguments,
)
from .parser import add_verb
from .values import count, positive

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from ..report.drift import Watcher
    from ..report.live import LivePage
    from ..runs.alerts import Alerts
    from ..runs.commands import Commands
    from ..runs.journal import Line

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
            "rbinfer watch incoming/ -o results/ --report live.html --exec 'notify {image} {result}'\n"
            "rbinfer watch incoming/ -o results/ --reference good/ --alert 'notify {cause} {message}'"
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
    add_reference_option(parser)
    parser.add_argument(
        "--alert",
        metavar="CMD",
        help="run this, without a shell, when the frames drift; {cause}, {message} and {image} stand "
        "for what was found; or http://127.0.0.1:PORT/PATH, to which it is posted as JSON",
    )
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="processes (1)")
    parser.add_argument(
        "--once",
        action="store_true",
        help="score what is there and stop; exit code 1 if an image or its command failed",
    )
    add_scoring_options(parser)
    add_common_options(parser)
    parser.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from .._util.interrupts import exit_on_sigterm
    from ..runs import starting

    with exit_on_sigterm(0), ExitStack() as until_done:
        starting.begin()  # beside what is imported here
        from ..runs.watch import run_watch

        tell = _Teller.of(options, until_done)
        report = run_watch(
            options.folder,
            settle=options.settle,
            once=options.once,
            report=tell,
            **store_arguments(options),
        )
    return 1 if report.n_failed or tell.n_failed else 0


@dataclass
class _Teller:
    """Tells of each image: on stdout, on the page, by the command, and of drift."""

    folder: str
    line_of: Callable[[dict[str, Any]], str]
    page: "LivePage | None" = None
    commands: "Commands | None" = None
    watcher: "Watcher | None" = None
    alerts: "Alerts | None" = None

    @classmethod
    def of(cls, options: argparse.Namespace, until_done: ExitStack) -> Self:
        """Make what was asked for; commands end with the stack."""
        line_of: Callable[[dict[str, Any]], str] = _for_people if sys.stdout.isatty() else _as_json
        tell = cls(options.output, json.dumps if options.verbose else line_of)
        if options.command is not None:
            from ..runs.commands import Commands

            tell.commands = until_done.enter_context(Commands(options.command))
        if options.alert is not None:
            from ..runs.alerts import alerts_to

            tell.alerts = until_done.enter_context(alerts_to(options.alert))
        if options.alert is not None or options.reference is not None or options.report is not None:
            tell.watcher = _watcher(options)
        if options.report is not None:
            from ..report.live import LivePage

            drift = None if tell.watcher is None else tell.watcher.drift
            tell.page = LivePage.of(options.report, options.output, drift)
            if tell.page.path.parent.is_dir():
                tell.page.write()  # for a browser to show before the first image
        return tell

    @property
    def n_failed(self) -> int:
        """How many commands and alerts failed."""
        return sum(each.n_failed for each in (self.commands, self.alerts) if each is not None)

    def __call__(self, record: dict[str, Any]) -> None:
        """Tell of an image."""
        from ..runs.journal import Line

        line = Line.parse(json.dumps(record))
        assert line is not None  # the journal wrote it
        if self.watcher is not None:
            self._tell_of_drift(line)
        if self.page is not None:
            try:
                self.page.add(line)
            except RbinferError as refused:
                log.warning("%s", refused)  # the next image may find room again
        if self.commands is not None and record["ok"]:
            self.commands.submit(record["image"], os.path.join(self.folder, record["output"]))
        error, warnings = record["error"], record["warnings"]
        told = {
            "error": error and in_options(error),
            "warnings": [in_options(text) for text in warnings],
        }
        print(self.line_of(record | told), flush=True)

    def _tell_of_drift(self, line: "Line") -> None:
        assert self.watcher is not None
        for alarm in self.watcher.take(line):
            log.warning("drift: %s: %s", alarm.message, ", ".join(alarm.images))
            if self.alerts is not None:
                self.alerts.tell(alarm.as_dict())


def _watcher(options: argparse.Namespace) -> "Watcher | None":
    """Return what compares the frames; it begins with what was scored before."""
    from ..model.registry import resolve
    from ..model.session import read_spec
    from ..report.drift import Watcher, by_record, by_reference, record_of

    if options.reference is not None:
        watcher: Watcher | str = by_reference(options.reference, options.output)
    else:
        watcher = by_record(record_of(read_spec(resolve(options.model)), options.real))
    if isinstance(watcher, str):
        if options.alert is not None:
            raise InputError(f"there is nothing to compare with: {watcher}; give `reference`")
        return None
    watcher.take_night(Path(options.output))
    return watcher


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
        f"{when} {name}: {counted(found['detections'], 'detection')}, {found['real']} real, "
        f"{found['bogus']} bogus, {found['unscored']} unscored; FWHM {found['fwhm']:.2f} px "
        f"({found['fwhm_source']}); "
        f"{record['seconds']:.1f} s"
    )
