"""``rbinfer completeness``: how faint stars may be, to be detected and called real."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from .options import add_common_options, add_model_options, add_overwrite_option
from .parser import add_verb
from .values import count, finite, names, positive, probability, whole

if TYPE_CHECKING:
    from ..diagnostics.completeness import Completeness


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "completeness",
        summary="plant stars in an image and tell how many are found and called real",
        description=(
            "Plant stars of the frame's own measured PSF at random places of copies in memory, with "
            "Poisson noise by the gain; detect and score them. Prints the recovered fractions by S/N, "
            "the 50 and 90 % depths before and after the classifier, and how many bogus the same "
            "threshold lets in on the negative image."
        ),
        example="rbinfer completeness image.fits --gain 1.5 -o depth.ecsv --plot depth.png",
    )
    parser.add_argument("image", metavar="IMAGE", help="FITS file; it is left as it is")
    parser.add_argument("-o", "--output", metavar="OUT", help="file for the table by S/N, such as .ecsv")
    parser.add_argument("--plot", metavar="PICTURE", help=".png, .pdf, .svg, ...")
    add_overwrite_option(parser, "OUT and PICTURE if they exist")
    parser.add_argument("--stars", type=count, default=1000, metavar="N", help="stars to plant (1000)")
    parser.add_argument(
        "--on-galaxies",
        action="store_true",
        help="plant them on the galaxies of the image, where their light is, and not anywhere",
    )
    parser.add_argument("--seed", type=whole, default=1, metavar="S", help="of the random numbers (1)")
    parser.add_argument(
        "--gain",
        type=positive,
        metavar="G",
        help="electrons per unit of the image; GAIN or EGAIN of the header if absent",
    )
    parser.add_argument(
        "--zeropoint",
        type=finite,
        metavar="Z",
        help="magnitude of a flux of 1: tells depths in it too, and OUT has a column of it",
    )
    parser.add_argument("--dark", metavar="DARK", help="also count what is let in on this dark")
    add_model_options(parser)
    parser.add_argument("--threshold", type=probability, metavar="T", help="scores above it are real")
    parser.add_argument("--real", type=names, metavar="A,B", help="classes that count as real")
    parser.add_argument("--hdu", metavar="H", help="number (from 0) or name of the HDU")
    parser.add_argument("--psf", metavar="S", help="a star of the image, as for 'rbinfer classify'")
    parser.add_argument("--saturation", type=positive, metavar="L", help="saturation level")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from dataclasses import replace

    import numpy as np

    from ..diagnostics.completeness import (
        Trial,
        count_let_in,
        find_galaxies,
        measure_completeness,
        negative_of,
    )
    from ..io.camera import gain_of
    from ..io.images import load_image
    from ..io.tables import write_catalog
    from ..measure.nodata import with_no_data
    from ..pipeline.one import open_frame
    from ..pipeline.options import ScoreOptions

    _check_places(options)
    how = ScoreOptions(
        options.model,
        options.device,
        real=options.real,
        threshold=options.threshold,
        psf=options.psf,
        hdu=options.hdu,
        saturation=options.saturation,
    )
    classifier = how.classifier()
    exposure = open_frame(options.image, how)
    noted = gain_of(exposure.header)
    told = (options.gain, "--gain") if options.gain is not None else noted or (None, "")
    threshold = classifier.threshold if options.threshold is None else options.threshold
    on = find_galaxies(classifier, exposure, threshold) if options.on_galaxies else None
    trial = Trial(options.stars, told[0], threshold, on)
    found = measure_completeness(classifier, exposure, trial, np.random.default_rng(options.seed))
    let_in = {"the negative image": count_let_in(classifier, negative_of(exposure), threshold)}
    if options.dark:
        dark = with_no_data(load_image(options.dark))
        let_in[options.dark] = count_let_in(classifier, replace(dark, width=exposure.width), threshold)
    sys.stdout.write(_in_words(found, options, told[1], let_in) + "\n")
    if options.output:
        table = found.by_snr()
        if options.zeropoint is not None:
            table["magnitude"] = options.zeropoint - 2.5 * np.log10(table["flux"])
        table.meta.update(_noted(found, options, let_in))
        write_catalog(table, options.output, options.overwrite)
    if options.plot:
        from ..report.depth import draw_completeness
        from ..report.gallery import save

        save(draw_completeness(found), options.plot, options.overwrite)
    return 0


def _check_places(options: argparse.Namespace) -> None:
    """Refuse before any work what could not be written after it."""
    from pathlib import Path

    from ..io.files import check_distinct
    from ..io.tables import check_output

    if options.output:
        check_output(options.output, options.overwrite)
    if options.plot:
        from .._util.extras import needed

        needed("matplotlib", "pictures need", "plots")
        from ..report.gallery import check_picture

        check_picture(options.plot, options.overwrite)
    outputs = [Path(each) for each in (options.output, options.plot) if each]
    check_distinct(outputs, [Path(each) for each in (options.image, options.dark) if each])


def _depths(found: "Completeness") -> dict[tuple[str, float], float | None]:
    from ..diagnostics.completeness import FRACTIONS

    columns = ("detected", "accepted")
    return {(name, part): found.depth(part, name) for name in columns for part in FRACTIONS}


def _noted(
    found: "Completeness", options: argparse.Namespace, let_in: dict[str, tuple[int, int]]
) -> dict[str, Any]:
    noted: dict[str, Any] = {
        "image": options.image,
        "seed": options.seed,
        "stars": len(found.score),
        "gain": found.trial.gain,
        "threshold": found.trial.threshold,
    }
    if found.trial.on is not None:
        noted["galaxies"] = len(found.trial.on.x)
    for (name, part), snr in _depths(found).items():
        noted[f"{name}_{100 * part:.0f}"] = snr
    noted["let_in"] = {name: list(counts) for name, counts in let_in.items()}
    return noted


def _in_words(
    found: "Completeness",
    options: argparse.Namespace,
    gain_card: str,
    let_in: dict[str, tuple[int, int]],
) -> str:
    gain = found.trial.gain
    if gain is None:
        noise = "the gain is not known, so they have no noise of their own; --gain tells it"
    else:
        noise = f"gain {gain:g} by {gain_card}"
    on = "" if found.trial.on is None else f" on {len(found.trial.on.x)} galaxies"
    lines = [f"{options.image}: {len(found.score)} stars planted{on} ({noise}; seed {options.seed})"]
    lines.append("  S/N            n  detected  called real  median score")
    for row in found.by_snr():
        lines.append(
            f"  {row['snr_low']:4.1f} - {row['snr_high']:4.1f}  {row['n']:5d}"
            f"  {row['detected']:8.3f}  {row['accepted']:11.3f}  {row['score']:12.3f}"
        )
    for (name, part), snr in _depths(found).items():
        what = "detected" if name == "detected" else "called real"
        depth = _beyond(found, part, name) if snr is None else _depth(found, snr, options.zeropoint)
        lines.append(f"  {100 * part:.0f} % {what}: {depth}")
    for name, (detected, passed) in let_in.items():
        lines.append(f"  on {name}: {passed} of {detected} detections are called real")
    return "\n".join(lines)


def _beyond(found: "Completeness", part: float, name: str) -> str:
    """Say on which side of the stars that were planted a depth lies."""
    from ..diagnostics.completeness import SNR_RANGE

    table = found.by_snr()
    brightest = table[name][table["n"] > 0][-1]
    return f"above S/N {SNR_RANGE[1]:g}" if brightest < part else f"below S/N {SNR_RANGE[0]:g}"


def _depth(found: "Completeness", snr: float, zeropoint: float | None) -> str:
    import math

    import numpy as np

    if zeropoint is None:
        return f"S/N {snr:.1f}"
    flux = float(found.flux_at(np.array([snr]))[0])
    return f"S/N {snr:.1f}, magnitude {zeropoint - 2.5 * math.log10(flux):.2f}"
