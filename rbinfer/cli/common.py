"""What the verbs share."""

import argparse
import math
from typing import Any


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


def probability(text: str) -> float:
    """Read a number in [0, 1]."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie in [0, 1]")
    return value


def share(text: str) -> float:
    """Read a number in [0, 1], also in per cent."""
    if text.endswith("%"):
        value = _number(text[:-1]) / 100.0
        if not 0 <= value <= 1:
            raise argparse.ArgumentTypeError(f"{text} does not lie in [0 %, 100 %]")
        return value
    return probability(text)


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


def names(text: str) -> list[str]:
    """Read a list of names separated by commas."""
    found = [name.strip() for name in text.split(",") if name.strip()]
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
