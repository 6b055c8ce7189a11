"""Numbers from JSON that somebody else may have damaged."""

import math
from collections.abc import Mapping
from typing import Any


def number_of(values: Mapping[str, Any], key: str, least: float = -math.inf) -> float | None:
    """Return a number, or None where there is none that can be used.

    Parameters
    ----------
    values : mapping of str to Any
        From JSON.
    key : str
    least : float, optional
        What is below this is no such number.

    Returns
    -------
    float or None
        None where the key lacks, and for what is no number, not finite, too large for a float, or below
        the least.
    """
    value = values.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        return None
    return number if math.isfinite(number) and number >= least else None
