"""``rbinfer classify``: score the detections in one image."""

import argparse
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import add_common_options, bits, count, names, plain, positive, probability, share

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import Table
    from numpy.typing import NDArray

    from ..classifier import Classifier
    from ..images import LoadedImage

log = logging.getLogger(__name__)

_MASKED_MUCH = 0.9  # a share of the pixels that deserves a word
_PATIENCE = 3.0  # seconds of silence before a word about them


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "classify",
        help="score the detections in an image",
        description=(
            "Score detections: the rows of a catalogue, or else sources that are detected here. "
            "The rows come out in their order with rb_score, rb_status and, if the model has "
            "classes, rb_class. Without -o they go to stdout as ECSV."
        ),
    )
    parser.add_argument("image", metavar="IMAGE", help="FITS file, also .gz and .fz")
    parser.add_argument(
        "--catalog",
        metavar="CAT",
        help="detections: ECSV, CSV, FITS, FITS_LDAC, VOTable or SExtractor's ASCII (.cat)",
    )
    parser.add_argument("--x-col", metavar="X", help="column of CAT with the x positions")
    parser.add_argument("--y-col", metavar="Y", help="column of CAT with the y positions")
    parser.add_argument(
        "--origin", type=int, choices=(0, 1), help="what CAT calls the centre of the first pixel"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file for the rows; .ecsv, .fits, .csv, .vot or .xml says in which format",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT and REG if they exist")
    parser.add_argument(
        "--regions",
        metavar="REG",
        help="also write all rows as DS9 regions: real green, bogus red, unscored yellow",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON: the summary, and the rows unless they go to OUT",
    )
    parser.add_argument("--filter", action="store_true", help="keep the real rows only")
    parser.add_argument("--model", metavar="M", help="name or file; the one in rbinfer by default")
    point = parser.add_mutually_exclusive_group()
    point.add_argument("--threshold", type=probability, metavar="T", help="scores above it are real")
    point.add_argument(
        "--max-missed",
        type=share,
        metavar="R",
        help="the threshold at which at most this share of the real is missed, such as 1%%",
    )
    point.add_argument(
        "--max-false",
        type=share,
        metavar="R",
        help="the threshold at which at most this share of the bogus is let in, such as 0.1%%",
    )
    parser.add_argument(
        "--real", type=names, metavar="A,B", help="classes that count as real, such as star,galaxy"
    )
    parser.add_argument(
        "--fwhm", type=positive, metavar="F", help="FWHM of the stars in pixels; measured if absent"
    )
    parser.add_argument(
        "--hdu", metavar="H", help="number (from 0) or name of the HDU; the first image by default"
    )
    parser.add_argument(
        "--mask",
        metavar="M",
        help="bad pixels (nonzero): FITS file, FILE[HDU] or HDU of IMAGE; its HDU named MASK by default",
    )
    parser.add_argument(
        "--bad-bits", type=bits, metavar="B", help="only these bits of the mask are bad, such as 0x1F"
    )
    parser.add_argument("--err", metavar="E", help="noise of each pixel (1 sigma): as for --mask")
    parser.add_argument(
        "--saturation", type=positive, metavar="L", help="saturation level; that of the header if absent"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--threads", type=count, metavar="N", help="worker threads; one for each CPU by default"
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    start = time.perf_counter()
    from ..classifier import Classifier
    from ..errors import InputError
    from ..images import load_image
    from ..output import check_distinct, check_place
    from ..regions import as_regions, write_regions
    from ..sky import find_positions
    from ..tables import check_output, read_catalog, write_catalog

    if options.output:
        check_output(options.output, options.overwrite)
    if options.regions:
        check_place(Path(options.regions), options.overwrite)
    named = [Path(name) for name in (options.output, options.regions) if name]
    read = [Path(name) for name in (options.image, options.mask, options.err) if name]
    check_distinct(named, read)
    columns = {"x_col": options.x_col, "y_col": options.y_col, "origin": options.origin}
    if not options.catalog and any(value is not None for value in columns.values()):
        raise InputError("--x-col, --y-col and --origin are about a catalogue; give --catalog too")
    classifier = Classifier(
        options.model,
        device=options.device,
        threads=options.threads,
        real_source_types=options.real,
    )
    threshold, expected = _decision(classifier, options)
    image = load_image(options.image, options.hdu)
    mask, err = _maps(image, options)
    saturation = image.saturation if options.saturation is None else options.saturation
    if options.catalog:
        table = read_catalog(options.catalog)
    else:
        from ..detect import detect

        table = detect(image.data, mask=mask)
    with _patience(quiet=bool(options.quiet)):
        scored = classifier.classify(
            table,
            image.data,
            mask=mask,
            err=err,
            fwhm=options.fwhm,
            saturation=saturation,
            threshold=threshold,
            wcs=image.header,
            **columns,
        )
    real = scored["rb_score"] > scored.meta["rb_threshold"]
    # What a reader of the output needs to find the same positions again.
    used = {"hdu": image.hdu, **columns}
    scored.meta.update({f"rb_{key}": value for key, value in used.items() if value is not None})
    summary = {
        "image": options.image,
        "hdu": image.hdu,
        "catalog": options.catalog,
        **_tally(scored),
        "expected": expected,
        "seconds": round(time.perf_counter() - start, 3),
    }
    kept = scored[real] if options.filter else scored
    if options.output:
        write_catalog(kept, options.output, options.overwrite)
    if options.regions and len(scored):
        # After the rows, which matter more.
        x, y = find_positions(scored, wcs=image.header, **columns)
        text = as_regions(
            x, y, scored["rb_score"], scored.meta["rb_threshold"],
            scored["rb_class"] if "rb_class" in scored.colnames else None,
        )  # fmt: skip
        write_regions(text, options.regions, options.overwrite)
    if options.json:
        _print_json(summary, None if options.output else kept)
    elif not options.output:
        kept.write(sys.stdout, format="ascii.ecsv")
    if not options.quiet:
        print(_in_words(summary), file=sys.stderr)
    return 0


def _decision(
    classifier: "Classifier", options: argparse.Namespace
) -> tuple[float | None, dict[str, float] | None]:
    """Return the threshold asked for, and the rates measured for it where the model names them."""
    from ..errors import InputError

    if options.max_missed is None and options.max_false is None:
        return options.threshold, None
    if classifier.real_source_types != classifier.spec.real:
        raise InputError(
            f"--max-missed and --max-false rest on rates that were measured with "
            f"{', '.join(classifier.spec.real)} as real; with --real give --threshold"
        )
    point = classifier.spec.point_for(options.max_missed, options.max_false)
    return point.threshold, {"missed": point.missed, "false": point.false}


def _maps(
    image: "LoadedImage", options: argparse.Namespace
) -> "tuple[NDArray[np.bool_] | None, NDArray[Any] | None]":
    """Read the mask, that of the image's own file unless told otherwise, and the noise."""
    from ..errors import InputError
    from ..maps import bad_pixels, read_map

    mask, err, shape = image.mask, None, image.data.shape
    if options.mask is not None:
        mask = bad_pixels(read_map(options.mask, options.image, shape, "mask"), options.bad_bits)
        share = float(mask.mean())
        if share > _MASKED_MUCH:
            log.warning(
                "%.0f %% of the pixels are masked by %s; is it a mask?", 100 * share, options.mask
            )
    elif options.bad_bits is not None:
        raise InputError("--bad-bits says what is bad in a mask; give --mask too")
    if options.err is not None:
        err = read_map(options.err, options.image, shape, "noise map")
    return mask, err


def _tally(scored: "Table") -> dict[str, Any]:
    """Count the verdicts and the reasons, and name what they rest on."""
    import numpy as np

    from ..status import MEANING, UNSCORED

    status = np.asarray(scored["rb_status"])
    unscored = (status & UNSCORED) != 0
    n_real = int(np.count_nonzero(scored["rb_score"] > scored.meta["rb_threshold"]))
    n_unscored = int(np.count_nonzero(unscored))
    counts = {
        str(bit.name): int(np.count_nonzero(status & int(bit)))
        for bit in MEANING
        if np.any(status & int(bit))
    }
    summary: dict[str, Any] = {
        "detections": len(scored),
        "real": n_real,
        "bogus": len(scored) - n_real - n_unscored,
        "unscored": n_unscored,
        "status": counts,
    }
    if "rb_class" in scored.colnames:
        found, times = np.unique(np.asarray(scored["rb_class"])[~unscored], return_counts=True)
        summary["classes"] = {str(k): int(n) for k, n in zip(found, times, strict=True)}
    summary |= {
        key.removeprefix("rb_"): plain(scored.meta[key])
        for key in ("rb_fwhm", "rb_fwhm_source", "rb_threshold", "rb_model", "rb_version")
    }
    return summary


def _in_words(summary: dict[str, Any]) -> str:
    from ..status import UNSCORED, Status

    source = f"from {summary['catalog']}" if summary["catalog"] else "by SEP"
    why = {name: n for name, n in summary["status"].items() if Status[name] & UNSCORED}
    also = {name: n for name, n in summary["status"].items() if name not in why}
    reasons = f" ({_listing(why)})" if why else ""
    lines = [
        f"{summary['image']}: {summary['detections']} detections {source}; "
        f"FWHM {summary['fwhm']:.2f} px ({summary['fwhm_source']})",
        f"  {summary['real']} real, {summary['bogus']} bogus, "
        f"{summary['unscored']} unscored{reasons}; threshold {summary['threshold']:g}",
    ]
    if summary["expected"]:
        missed, false = (summary["expected"][rate] for rate in ("missed", "false"))
        lines.append(
            f"  expected: {missed:.1%} of the real missed, {false:.1%} of the bogus let in (simulation)"
        )
    if also:
        lines.append(f"  noted: {_listing(also)}")
    lines.append(f"  model {summary['model']} {summary['version']}; {summary['seconds']:.2f} s in all")
    return "\n".join(lines)


def _listing(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _print_json(summary: dict[str, Any], scored: "Table | None") -> None:
    result: dict[str, Any] = {"summary": summary}
    if scored is not None:
        # Cell by cell: a column of coordinates or times is no array.
        columns = {name: [plain(cell) for cell in scored[name]] for name in scored.colnames}
        result["rows"] = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    json.dump(result, sys.stdout, allow_nan=False, indent=1)
    sys.stdout.write("\n")


@contextmanager
def _patience(quiet: bool) -> Iterator[None]:
    """Say after some seconds what may be taking so long."""
    text = (
        "rbinfer: still at work; the first run on a machine compiles the kernels, once "
        "('rbinfer warmup' does it beforehand)"
    )
    timer = threading.Timer(_PATIENCE, lambda: quiet or print(text, file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
