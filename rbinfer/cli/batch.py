"""``rbinfer batch``: score many images."""

import argparse
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._util.sentences import counted
from .._util.wording import in_options
from .codes import DONE, ERROR, NOTHING_SCORED
from .options import (
    add_common_options,
    add_scoring_options,
    add_store_options,
    add_worker_options,
    store_arguments,
)
from .parser import add_verb

if TYPE_CHECKING:
    from ..runs.batch import BatchReport, ImageResult

log = logging.getLogger(__name__)

_TICK = 0.5  # seconds between two drawings of the bar


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "batch",
        summary="score many images, on all CPUs or on a Dask cluster",
        description=(
            "Score many images, one result each. What DIR/batch.jsonl notes as done is skipped while "
            "the bytes of image, catalogue, model and result, the options and the version of rbinfer "
            "are the same, so give the same command again to go on after an interrupt. An image that "
            "fails is told and the rest go on; the exit code is 1 then."
        ),
        example=(
            "rbinfer batch night/ -o results/\n"
            "rbinfer batch night/ -o results/ --catalog '{dir}/{stem}.cat' --format fits\n"
            "rbinfer batch night/ -o results/ --merge night.parquet"
        ),
    )
    parser.add_argument(
        "patterns",
        nargs="+",
        metavar="PATTERN",
        help="files, directories (their FITS files) and patterns in quotes, such as 'night/**/*.fz'",
    )
    add_store_options(parser)
    parser.add_argument(
        "--merge",
        metavar="FILE",
        help="also write the rows of all images as one table, with their image in rb_image; the suffix "
        "says in which format; done anew each time, for what was scored before too",
    )
    add_worker_options(parser)
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")
    add_scoring_options(parser)
    add_common_options(parser)
    parser.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    if options.scheduler is None:
        from ..runs import starting

        starting.begin()  # beside what is imported here
    from ..runs.batch import NotMergedError, run_batch

    not_merged = None
    with told(options) as (begin, tell, _):
        try:
            report = run_batch(
                options.patterns,
                scheduler=options.scheduler,
                merge=options.merge,
                begin=begin,
                progress=tell,
                **store_arguments(options),
            )
        except NotMergedError as error:
            report, not_merged = error.report, error
    if options.json:
        print_json(report.as_dict())
    if not options.quiet:
        print(_in_words(report), file=sys.stderr)
    if not_merged is not None:
        raise not_merged
    if report.failed:
        return ERROR
    return NOTHING_SCORED if report.is_nothing_scored else DONE


def _in_words(report: "BatchReport") -> str:
    found = report.as_dict()
    rate = f", {found['images_per_s']:.2f} images/s" if found["scored"] else ""
    totals = found["totals"]
    merged = f"\n  merged: {found['merged']}, {counted(found['rows'], 'row')}" if report.merged else ""
    images, detections = counted(found["images"], "image"), counted(totals["detections"], "detection")
    return (
        f"{images}: {found['scored']} scored, {found['skipped']} skipped (done before), "
        f"{found['failed']} failed; {found['seconds']:.1f} s{rate}\n"
        f"  in all {detections}: {totals['real']} real, {totals['bogus']} bogus, "
        f"{totals['unscored']} unscored\n"
        f"  journal: {found['journal']}{merged}"
    )


def print_json(found: dict[str, Any]) -> None:
    """Print a summary with its failures, in the words of the command line."""
    for failure in found["failures"]:
        failure["error"] = in_options(failure["error"])
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")


@contextmanager
def told(
    options: argparse.Namespace,
) -> Iterator[
    tuple[Callable[[int], None], Callable[["ImageResult", int], None], Callable[[int, int], None]]
]:
    """Name what fails, and draw a bar on a terminal, whose clock goes from the first second."""
    from tqdm import tqdm

    from ..runs.outcome import of_image

    bar: Any = tqdm(unit="image", disable=True if options.quiet else None, dynamic_ncols=True)
    is_over = threading.Event()

    def go() -> None:
        # The first image takes seconds: workers start and load the model.
        while not is_over.wait(_TICK):
            bar.refresh()

    def begin(total: int) -> None:
        bar.total = total
        bar.refresh()

    def tell(result: "ImageResult", total: int) -> None:
        bar.total = total
        if not result.ok:
            log.error("%s", of_image(result.image, result.error or ""))
        bar.update()

    def merging(done: int, total: int) -> None:
        if done == 1:
            bar.set_description("merging", refresh=False)
            bar.unit = "reading"
            bar.reset(total)
        bar.update()

    def out_of_the_way(record: logging.LogRecord) -> bool:
        # What Dask says of lost connections are tracebacks; ours is a sentence.
        if record.name.startswith("distributed") and options.verbose < 2:
            return False
        bar.clear()
        return True

    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(out_of_the_way)
    clock = threading.Thread(target=go, daemon=True)
    clock.start()
    try:
        yield begin, tell, merging
    finally:
        is_over.set()
        clock.join()
        for handler in handlers:
            handler.removeFilter(out_of_the_way)
        bar.close()
