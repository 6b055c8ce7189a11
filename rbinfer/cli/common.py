"""What the verbs share."""

import argparse
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..pipeline.options import ScoreOptions


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


def add_scoring_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that score images."""
    group = parser.add_argument_group("scores")
    group.add_argument("--model", metavar="M", help="name or file; the one in rbinfer by default")
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
        "--real", type=names, metavar="A,B", help="classes that count as real, such as star,galaxy"
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    group.add_argument(
        "--threads", type=count, metavar="N", help="worker threads; one for each CPU by default"
    )
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
        "--plane", metavar="P", help="plane of a cube: its number (from 0), R, G, B, or mean"
    )
    group.add_argument(
        "--bayer",
        action=argparse.BooleanOptionalAction,
        help="undo the mosaic of a colour sensor's filters; done by itself where the header names one",
    )
    group.add_argument(
        "--mask",
        metavar="M",
        help="bad pixels (nonzero): FITS file, FILE[HDU] or HDU of IMAGE; its HDU named MASK by default",
    )
    group.add_argument(
        "--bad-bits", type=bits, metavar="B", help="only these bits of the mask are bad, such as 0x1F"
    )
    group.add_argument("--err", metavar="E", help="noise of each pixel (1 sigma): as for --mask")
    group.add_argument(
        "--saturation", type=positive, metavar="L", help="saturation level; that of the header if absent"
    )
    group.add_argument("--x-col", metavar="X", help="column of the catalogue with the x positions")
    group.add_argument("--y-col", metavar="Y", help="column of the catalogue with the y positions")
    group.add_argument(
        "--origin",
        type=int,
        choices=(0, 1),
        help="what the catalogue calls the centre of the first pixel",
    )
    group.add_argument(
        "--allow-off-image",
        action="store_true",
        help="take a catalogue even if more than half of its positions lie off the image",
    )


def score_options(options: argparse.Namespace) -> "ScoreOptions":
    """Return what `add_scoring_options` added, as it was given."""
    import dataclasses

    from ..pipeline.options import ScoreOptions

    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(ScoreOptions)}
    return ScoreOptions(**given)


def probability(text: str) -> float:
    """Read a number in [0, 1]."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie in [0, 1]")
    return value


def share(text: str) -> float:
    """Read a share: a number in [0, 1), or per cent up to 100 %."""
    if text.endswith("%"):
        value = _number(text[:-1]) / 100.0
        if not 0 <= value <= 1:
            raise argparse.ArgumentTypeError(f"{text} does not lie in [0 %, 100 %]")
        return value
    value = _number(text)
    if not 0 <= value < 1:
        # Who writes 1 means one per cent, not all of them.
        raise argparse.ArgumentTypeError(
            f"{text} is neither a share below 1, such as 0.01, nor per cent, such as 1%"
        )
    return value


def positive(text: str) -> float:
    """Read a finite number above 0."""
    value = _number(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number above 0")
    return value


def count(text: str) -> int:
    """Read an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not an integer of at least 1")
    return int(text)


def bits(text: str) -> int:
    """Read an integer of at least 1, also in hexadecimal."""
    try:
        value = int(text, 0)
    except ValueError:
        value = 0
    if not 1 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is no integer from 1 to 2^63 - 1, such as 7 or 0x1F")
    return value


def names(text: str) -> tuple[str, ...]:
    """Read names separated by commas."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise argparse.ArgumentTypeError("no name is given")
    return found


def plain(value: Any) -> Any:
    """Turn a value into what JSON knows: masked, NaN and infinite become None.

    Parameters
    ----------
    value : object
        A cell of a table, or nested lists of such.

    Returns
    -------
    None, bool, int, float, str, list or dict
    """
    if hasattr(value, "tolist"):
        # NumPy scalars and arrays, masked ones too: a masked cell gives None.
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
