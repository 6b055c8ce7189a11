"""Options that several verbs have, each said once."""

import argparse
from collections.abc import Sequence
from typing import Any

from ..measure.detectors import DETECTOR, DETECTORS
from ..runs.formats import FORMATS
from .values import bits, count, names, pair, positive, probability, share

#: Options, by their attributes, of which one at most is given: where the threshold lies, who works.
EXCLUSIVE = (("threshold", "max_missed", "max_false"), ("workers", "scheduler"))
#: Options that are refused where there is no catalogue.
ABOUT_CATALOG = (
    *("catalog_format", "x_col", "y_col", "origin"),
    *("swap_xy", "flip_x", "flip_y", "scale_xy", "shift_xy"),
)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every verb has."""
    group = parser.add_argument_group("messages")
    group.add_argument(
        "-v", "--verbose", action="count", default=0, help="log more; twice for everything"
    )
    group.add_argument(
        "-q", "--quiet", action="count", default=0, help="no summary and no warnings, errors only"
    )
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    group.add_argument(
        "--log-file", metavar="LOG", help="also append the log to this file, whatever -q says"
    )


def add_model_options(parser: argparse._ActionsContainer) -> None:
    """Add which model is run, and on what."""
    parser.add_argument("--model", metavar="M", help="name or file; the one in rbinfer by default")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="what the network runs on; a GPU if there is one that can be used (auto)",
    )


def add_position_options(parser: argparse._ActionsContainer) -> None:
    """Add where a catalogue has its positions."""
    parser.add_argument("--x-col", metavar="X", help="column of the catalogue with the x positions")
    parser.add_argument("--y-col", metavar="Y", help="column of the catalogue with the y positions")
    parser.add_argument(
        "--origin",
        type=int,
        choices=(0, 1),
        help="what the catalogue calls the centre of the first pixel",
    )


def add_overwrite_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add whether what exists may be replaced."""
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what}")


def add_reference_option(parser: argparse.ArgumentParser) -> None:
    """Add the night that others are compared with."""
    parser.add_argument(
        "--reference",
        metavar="DIR",
        help="compare with the results of a night that was as it should be, as 'rbinfer batch', 'night' "
        "or 'watch' wrote them into DIR; by default with the model's own record",
    )


def add_store_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about catalogues and results that are named after their images."""
    parser.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="directory for the results and the journal"
    )
    add_catalog_template(parser)
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default="ecsv",
        help="of the results (ecsv); that of the catalogues is --catalog-format",
    )
    add_overwrite_option(parser, "results that rbinfer did not write there too")
    parser.add_argument(
        "--regions",
        action="store_true",
        help="also write DS9 regions beside each result: real blue, bogus orange, unscored yellow",
    )
    parser.add_argument(
        "--mask-out",
        dest="mask_out",
        action="store_true",
        help="also write a mask beside each result, NAME.mask.fits: bit 1 cosmic rays, 2 hot pixels and "
        "columns, 4 trails",
    )
    parser.add_argument(
        "--recursive",
        action="store_true",
        help="search directories with all their folders; the results lie in folders of the same names",
    )
    add_all_frames_option(parser)


def add_all_frames_option(parser: argparse.ArgumentParser) -> None:
    """Add whether darks, flats and biases are scored too."""
    parser.add_argument(
        "--all-frames",
        action="store_true",
        help="score darks, flats and biases too, which are left out as headers (IMAGETYP and the like) "
        "or names of folders tell them",
    )


def add_catalog_template(parser: argparse.ArgumentParser) -> None:
    """Add how the catalogues of many images are called."""
    parser.add_argument(
        "--catalog",
        metavar="TEMPLATE",
        help="names of the catalogues, with {dir}, {stem} and {name} of the image, such as "
        "'{dir}/{stem}.cat'; without it rbinfer detects",
    )


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add who does the work on many images."""
    parser.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="processes, each of one thread unless --threads says more; one for each CPU by default, "
        "a single one on a GPU",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="let the workers of this Dask scheduler do it, such as tcp://host:8786; they must see the "
        "images and DIR under the same paths",
    )


def store_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `run_batch` and `run_watch` both take of the options that are added here."""
    from ..pipeline.options import ScoreOptions

    asked = {"regions": options.regions, "mask": options.mask_out}
    return {
        "output": options.output,
        "options": ScoreOptions(**score_arguments(options)),
        "catalog": options.catalog,
        "format": options.format,
        "workers": options.workers,
        "overwrite": options.overwrite,
        "recursive": options.recursive,
        "all_frames": options.all_frames,
        "beside": [kind for kind, given in asked.items() if given],
    }


def add_scoring_options(
    parser: argparse.ArgumentParser, format_flags: Sequence[str] = ("--catalog-format",)
) -> None:
    """Add the options of verbs that score images; `format_flags` name the format of catalogues."""
    group = parser.add_argument_group("scores")
    add_model_options(group)
    point = group.add_mutually_exclusive_group()
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
    group.add_argument(
        "--real",
        type=names,
        metavar="A,B",
        help="classes that count as real, such as star (default: those of the model)",
    )
    group.add_argument(
        "--threads", type=count, metavar="N", help="worker threads; one for each CPU by default"
    )
    group.add_argument(
        "--columns",
        type=names,
        metavar="A,B",
        default=(),
        help="add 'classes' (rb_p_star and the like: the probability of each class) or 'snr' (rb_snr); "
        "where other columns are named, such as id,rb_score, these alone are written",
    )
    _add_input_options(parser, format_flags)


def _add_input_options(parser: argparse.ArgumentParser, format_flags: Sequence[str]) -> None:
    group = parser.add_argument_group("images and catalogues")
    group.add_argument(
        "--hdu",
        metavar="H",
        help="number (from 0) or name of the HDU, or 'all' for every image of a mosaic; "
        "the first image by default",
    )
    group.add_argument(
        "--fwhm", type=positive, metavar="F", help="FWHM of the stars in pixels; measured if absent"
    )
    group.add_argument(
        "--psf",
        metavar="S",
        help="a star of the images, without sky, near the middle, which tells the FWHM: FITS file, "
        "FILE[HDU] or HDU of IMAGE",
    )
    group.add_argument(
        "--plane", metavar="P", help="plane of a cube: its number (from 0), R, G, B, or mean"
    )
    group.add_argument(
        "--bayer",
        action=argparse.BooleanOptionalAction,
        help="undo the mosaic of a colour sensor's filters; done by itself where the header names one "
        "or the sky shows it",
    )
    group.add_argument(
        "--mask",
        metavar="M",
        help="bad pixels (nonzero): FITS file, FILE[HDU] or HDU of IMAGE; its HDU named MASK by default",
    )
    group.add_argument(
        "--bad-bits",
        type=bits,
        metavar="B",
        help="only these bits of the mask are bad, such as 0x1F; by default those that its header calls "
        "bad (MP_BAD, MP_CR, ...), or all where it names none",
    )
    group.add_argument("--err", metavar="E", help="noise of each pixel (1 sigma): as for --mask")
    group.add_argument(
        "--saturation", type=positive, metavar="L", help="saturation level; that of the header if absent"
    )
    group.add_argument(
        *format_flags,
        dest="catalog_format",
        metavar="FORMAT",
        help="that of the catalogue, such as CSV or DAOPHOT; told by its content if absent"
        + ("; both names mean the same" if len(format_flags) > 1 else ""),
    )
    group.add_argument(
        "--detector",
        choices=DETECTORS,
        default=DETECTOR,
        help=f"what detects where there is no catalogue ({DETECTOR})",
    )
    add_position_options(group)
    group.add_argument(
        "--swap-xy", action="store_true", help="the catalogue's x are rows, its y columns"
    )
    group.add_argument("--flip-x", action="store_true", help="its x count from the right")
    group.add_argument("--flip-y", action="store_true", help="its y count from the top")
    group.add_argument(
        "--scale-xy",
        type=positive,
        metavar="S",
        help="pixels of the image for one of the catalogue: 2 if that is of the image binned 2 x 2",
    )
    group.add_argument(
        "--shift-xy",
        type=pair,
        metavar="DX,DY",
        help="pixels to add to the catalogue's positions; --shift-xy=-3,5 where the first is below 0",
    )
    group.add_argument(
        "--trust-positions",
        action="store_true",
        help="take a catalogue even if it looks like one of another image",
    )
    group.add_argument(
        "--allow-off-image",
        action="store_true",
        help="take a catalogue even if more than half of its positions lie off the image",
    )


def score_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `rbinfer.pipeline.options.ScoreOptions` takes of the options that are added here."""
    import dataclasses

    from ..pipeline.options import ScoreOptions

    attributes = {field.name: field.name for field in dataclasses.fields(ScoreOptions)}
    attributes["show"] = "columns"
    return {name: getattr(options, each) for name, each in attributes.items()}
