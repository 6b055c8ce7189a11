"""``rbinfer classify``: score the detections in one image."""

import argparse
import gc
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._util.plain import plain_rows
from .._util.sentences import counted
from .codes import DONE, NOTHING_SCORED
from .files import Files
from .options import add_common_options, add_overwrite_option, add_scoring_options, score_arguments
from .parser import add_verb
from .values import names

if TYPE_CHECKING:
    from astropy.table import Table

    from ..io.samp import Listeners
    from ..pipeline.score_file import ScoredFile

#: Orders of the rows that `rbinfer.pipeline.columns.order_of` knows.
ORDERS = ("doubtful", "score", "row")
#: New objects after which Python looks for garbage; its own 700 are reached with every few imports.
_OBJECTS = 50_000


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "classify",
        summary="score the detections in an image",
        description=(
            "Score detections: the rows of a catalogue, or else sources that are detected here. "
            "The rows come out in their order with rb_score, rb_status and, if the model has "
            "classes, rb_class. A row is real if its rb_score lies above the threshold; rb_class is "
            "only the most probable class, so a star may be bogus. Without -o they go to stdout as ECSV."
        ),
        example=(
            "rbinfer classify image.fits -o scored.ecsv\n"
            "rbinfer classify image.fits --catalog detections.csv --filter > real.ecsv"
        ),
    )
    parser.add_argument("image", metavar="IMAGE", help="FITS file, also .gz and .fz")
    parser.add_argument(
        "--catalog",
        metavar="CAT",
        help="detections: ECSV, CSV and other text, FITS, VOTable, Parquet, DS9 regions, and what "
        "SExtractor, astrometry.net, DAOPHOT, IRAF and IPAC write; its content tells which",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file for the rows; .ecsv, .fits, .csv, .vot, .xml or .parquet says in which format, "
        "also .gz; others only as they are written back",
    )
    add_overwrite_option(parser, "OUT, REG and MASK if they exist")
    _add_files_beside(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON: the summary, and the rows unless they go to OUT",
    )
    parser.add_argument("--filter", action="store_true", help="keep the real rows only")
    parser.add_argument(
        "--class",
        dest="classes",
        type=names,
        metavar="A,B",
        help="keep the rows of these classes only, such as trail,hot_pixel",
    )
    parser.add_argument(
        "--sort",
        choices=ORDERS,
        default="row",
        help="order of the rows: the nearest to the threshold first, the highest score first, or as "
        "they came (row)",
    )
    parser.add_argument(
        "--stamp", action="store_true", help="also note model, options and counts in IMAGE's header"
    )
    parser.add_argument(
        "--samp",
        action="store_true",
        help="send the rows and the image to what listens by SAMP: DS9, Aladin, TOPCAT",
    )
    add_scoring_options(parser, ("--format", "--catalog-format"))
    add_common_options(parser)
    parser.set_defaults(run=run)


def _add_files_beside(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--regions",
        metavar="REG",
        help="also write the rows, as --filter and --class keep them, as DS9 regions: real blue, bogus "
        "orange, unscored yellow",
    )
    parser.add_argument(
        "--regions-system",
        choices=("fk5", "image"),
        help="coordinates of the regions: fk5 where the image has a WCS, else image",
    )
    parser.add_argument(
        "--mask-out",
        metavar="MASK",
        help="also write the pixels of bogus that are most probably hits, defects or trails, as a FITS "
        "image of IMAGE's size: bit 1 cosmic rays, 2 hot pixels and columns, 4 trails",
    )


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Let Python seldom look for garbage: there is none in the hundreds of modules of a start."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS)
    try:
        yield
    finally:
        # What is left counts as old, or all of it would be looked through when the next object is made.
        gc.freeze()
        gc.set_threshold(*before)
        gc.unfreeze()


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    if not options.samp:
        return _run(options, None)
    from ..io.samp import listeners

    # Before any work: without a hub nothing can be sent after it.
    with listeners() as programs:
        return _run(options, programs)


@_rarely_collected()
def _run(options: argparse.Namespace, programs: "Listeners | None") -> int:
    from ..pipeline.columns import check_classes
    from ..pipeline.options import ScoreOptions
    from ..pipeline.score_file import score_file
    from ..pipeline.summary import is_nothing_scored

    how = ScoreOptions(**score_arguments(options))
    files = Files(
        options.image,
        options.catalog,
        options.output,
        options.regions,
        options.mask_out,
        options.regions_system,
        options.overwrite,
    )
    rows = _Rows(options.filter, options.classes, options.sort)
    files.check(how, is_stdout_used=options.json or not options.output, is_stamped=options.stamp)
    classifier = how.classifier()
    if files.mask:
        from ..pipeline.mask import check_classes as check_mask_classes

        check_mask_classes(classifier)
    if rows.classes:
        check_classes(rows.classes, classifier.spec)
    scored = score_file(files.image, files.catalog, how, classifier, files.output)
    taken, summary = rows.of(scored), scored.summary
    kept = taken.with_columns(how.show)
    if files.output:
        kept.write(files.output, files.overwrite)
    if files.regions and len(scored.table):
        # After the rows, which matter more.
        files.write_regions(taken, how.columns)
    if files.mask:
        files.write_mask(scored, how.columns, classifier)
    if programs is not None:
        programs.send(kept.table, files.image, files.output)
    if options.stamp:
        from ..io.stamp import stamp

        each = summary.get("extensions", [summary])
        stamp(files.image, {part["hdu"]: part for part in each}, scored.table.meta)
    if options.json:
        _print_json(summary, None if files.output else kept.table)
    elif not files.output:
        kept.table.write(sys.stdout, format="ascii.ecsv")
    if not options.quiet:
        print(_in_words(summary, options.detector), file=sys.stderr)
        if len(kept.table) < len(scored.table):
            print(
                f"  {counted(len(kept.table), 'row')} written, as --filter and --class say",
                file=sys.stderr,
            )
    return NOTHING_SCORED if is_nothing_scored(summary) else DONE


@dataclass(frozen=True)
class _Rows:
    """Which rows are given back, and in which order."""

    real_only: bool
    classes: tuple[str, ...] | None
    order: str

    def of(self, scored: "ScoredFile") -> "ScoredFile":
        """Return these rows of what was scored."""
        from ..pipeline.columns import of_classes, order_of
        from ..status import is_real

        table = scored.table
        if self.real_only:
            scored = scored.taken(is_real(table["rb_score"], table.meta["rb_threshold"]))
        if self.classes:
            scored = scored.taken(of_classes(scored.table, self.classes))
        if self.order != "row":
            scored = scored.taken(order_of(scored.table, self.order))
        return scored


def instead_of_verb(word: str) -> str | None:
    """Say what to do with an image or a folder that stands where the verb should."""
    from ..runs.search import is_fits_name

    if Path(word).is_dir():
        return f"{word} is a folder, not a verb; 'rbinfer batch {word} -o RESULTS' scores its images"
    if is_fits_name(os.path.basename(word)):
        return f"{word} is an image, not a verb; did you mean 'rbinfer classify {word}'?"
    return None


def instead_of_more(image: str, rest: Sequence[str]) -> str | None:
    """Say what to do with more than one image, or a catalogue, on the command line."""
    from ..runs.search import is_fits_name

    if any(word.startswith("-") for word in rest):
        return None
    if all(is_fits_name(os.path.basename(word)) for word in rest):
        images = shlex.join([image, *rest[:2]]) + (" ..." if len(rest) > 2 else "")
        return f"classify scores one image; 'rbinfer batch {images} -o RESULTS' scores several"
    if len(rest) == 1:
        return f"{rest[0]!r} is one argument too many; a catalogue is named by --catalog {rest[0]}"
    return None


def _width(summary: dict[str, Any]) -> str:
    """Say how wide the stars are and how that is known."""
    agree = ""
    if summary["fwhm_source"] == "measured":
        agree = f", {summary['npsf']} of {summary['nfit']} agree"
    if summary["fwhm_min"] is not None:
        agree += f", {summary['fwhm_min']:.2f} to {summary['fwhm_max']:.2f} px over the image"
    return f"{summary['fwhm']:.2f} px ({summary['fwhm_source']}{agree})"


def _in_words(summary: dict[str, Any], detector: str) -> str:
    from ..status import UNSCORED, Status

    by = "SEP" if detector == "sep" else "rbinfer"
    source = f"from {summary['catalog']}" if summary["catalog"] else f"by {by}"
    why = {name: n for name, n in summary["status"].items() if Status[name] & UNSCORED}
    also = {name: n for name, n in summary["status"].items() if name not in why}
    reasons = f" ({_listing(why)})" if why else ""
    lines = [
        f"{summary['image']}: {counted(summary['detections'], 'detection')} {source}; "
        f"FWHM {_width(summary)}",
        f"  {summary['real']} real, {summary['bogus']} bogus, "
        f"{summary['unscored']} unscored{reasons}; threshold {summary['threshold']:g}",
    ]
    for part in summary.get("extensions", ()):
        name = f"HDU {part['hdu']} {part['name']}".strip()
        lines.append(
            f"  {name}: {counted(part['detections'], 'detection')}, "
            f"{part['real']} real, {part['bogus']} bogus, {part['unscored']} unscored; "
            f"FWHM {_width(part)}"
        )
    if summary["expected"]:
        missed, false = (summary["expected"][rate] for rate in ("missed", "false"))
        lines.append(
            f"  expected: {missed:.1%} of the real missed, {false:.1%} of the bogus let in (simulation)"
        )
    if summary["note"]:
        lines.append(f"  {summary['note']}")
    if also:
        lines.append(f"  noted: {_listing(also)}")
    lines.append(f"  model {summary['model']} {summary['version']}; {summary['seconds']:.2f} s in all")
    return "\n".join(lines)


def _listing(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _print_json(summary: dict[str, Any], scored: "Table | None") -> None:
    result: dict[str, Any] = {"summary": summary}
    if scored is not None:
        result["rows"] = plain_rows(scored)
    json.dump(result, sys.stdout, allow_nan=False, indent=1)
    sys.stdout.write("\n")
