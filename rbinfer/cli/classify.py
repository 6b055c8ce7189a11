"""``rbinfer classify``: score the detections in one image."""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .common import add_common_options, count, names, plain, positive, probability

if TYPE_CHECKING:
    from astropy.table import Table

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
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file for the rows; .ecsv, .fits, .csv, .vot or .xml says in which format",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON: the summary, and the rows unless they go to OUT",
    )
    parser.add_argument("--filter", action="store_true", help="keep the real rows only")
    parser.add_argument("--model", metavar="M", help="name or file; the one in rbinfer by default")
    parser.add_argument("--threshold", type=probability, metavar="T", help="scores above it are real")
    parser.add_argument(
        "--real", type=names, metavar="A,B", help="classes that count as real, such as star,galaxy"
    )
    parser.add_argument(
        "--fwhm", type=positive, metavar="F", help="FWHM of the stars in pixels; measured if absent"
    )
    parser.add_argument(
        "--hdu", metavar="H", help="number (from 0) or name of the HDU; the first image by default"
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
    from ..images import load_image
    from ..tables import check_output, read_catalog, write_catalog

    if options.output:
        check_output(options.output, options.overwrite)
    classifier = Classifier(
        options.model,
        device=options.device,
        threads=options.threads,
        real_source_types=options.real,
    )
    image = load_image(options.image, options.hdu)
    if options.catalog:
        table = read_catalog(options.catalog)
    else:
        from ..detect import detect

        table = detect(image.data, mask=image.mask)
    with _patience(quiet=bool(options.quiet)):
        scored = classifier.classify(
            table,
            image.data,
            mask=image.mask,
            fwhm=options.fwhm,
            saturation=image.saturation,
            threshold=options.threshold,
        )
    real = scored["rb_score"] > scored.meta["rb_threshold"]
    summary = {
        "image": options.image,
        "hdu": image.hdu,
        "catalog": options.catalog,
        **_tally(scored),
        "seconds": round(time.perf_counter() - start, 3),
    }
    if options.filter:
        scored = scored[real]
    if options.output:
        write_catalog(scored, options.output, options.overwrite)
    if options.json:
        _print_json(summary, None if options.output else scored)
    elif not options.output:
        scored.write(sys.stdout, format="ascii.ecsv")
    if not options.quiet:
        print(_in_words(summary), file=sys.stderr)
    return 0


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
