"""Values on the command line, read from their text."""

import argparse
import math


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


def finite(text: str) -> float:
    """Read a finite number."""
    value = _number(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def count(text: str) -> int:
    """Read an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not an integer of at least 1")
    return int(text)


def row_number(text: str) -> int:
    """Read the number of a row, counted from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not the number of a row, counted from 0")
    return int(text)


def whole(text: str) -> int:
    """Read an integer of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not an integer of at least 0")
    return int(text)


def port(text: str) -> int:
    """Read the number of a port, 0 to 65535."""
    value = whole(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: they go up to 65535")
    return value


def bits(text: str) -> int:
    """Read an integer of at least 1, also in hexadecimal."""
    try:
        value = int(text, 0)
    except ValueError:
        value = 0
    if not 1 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is no integer from 1 to 2^63 - 1, such as 7 or 0x1F")
    return value


def pair(text: str) -> tuple[float, float]:
    """Read two finite numbers separated by a comma."""
    try:
        parts = [_number(part) for part in text.split(",")]
    except argparse.ArgumentTypeError:
        parts = []
    if len(parts) != 2 or not all(map(math.isfinite, parts)):
        raise argparse.ArgumentTypeError(
            f"{text} is not two numbers separated by a comma, such as 12,-3.5"
        )
    return parts[0], parts[1]


def names(text: str) -> tuple[str, ...]:
    """Read names separated by commas."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise argparse.ArgumentTypeError("no name is given")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
