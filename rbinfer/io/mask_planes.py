"""Which pixels a mask calls bad; what its bits mean, where its header says so.

The pipelines of Rubin (LSST) and of Hyper Suprime-Cam write a card for each plane of a mask: ``MP_BAD``,
``MP_DETECTED`` and so on, with the number of its bit. Most planes say what a pixel shows, not that it is
bad: all sources have ``MP_DETECTED``.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_CARD = re.compile(r"MP_(\w+)")
#: Planes of pixels that are bad. Saturated ones are real stars, and those near an edge are good.
_BAD = frozenset({"BAD", "CR", "NO_DATA", "UNMASKEDNAN"})


def bad_bits_of(header: Mapping[str, Any]) -> int | None:
    """Return the bits of bad pixels as a number; None where the header does not name its bits."""
    planes = {
        card[1]: bit
        for name, bit in header.items()
        if (card := _CARD.fullmatch(name)) and isinstance(bit, int) and 0 <= bit < 63
    }
    return sum(1 << bit for plane, bit in planes.items() if plane in _BAD) if planes else None


def bad_pixels(values: NDArray[np.generic], bits: int | None = None) -> NDArray[np.bool_]:
    """Turn the values of a mask or of data-quality flags into True for bad pixels.

    Parameters
    ----------
    values : ndarray
        Numbers. Without `bits` all but zeros are bad. NaN, as of BLANK, is bad anyway.
    bits : int, optional
        Only these bits are bad; the other values must be integers then.

    Raises
    ------
    InputError
        Bits were asked of values that are no integers.
    """
    if bits is None:
        return np.asarray(values != 0, np.bool_)
    if values.dtype.kind == "f":  # BZERO makes real numbers of unsigned flags, and BLANK of all
        unknown = np.isnan(values)
        known = np.where(unknown, 0, values)
        if np.array_equal(known, np.rint(known)):
            return np.asarray(bad_pixels(known.astype(np.int64), bits) | unknown, np.bool_)
    if values.dtype.kind not in "iu":
        raise InputError(f"bits can be taken of integers alone, but the mask holds {values.dtype}")
    return np.asarray(values.astype(np.int64) & bits, np.bool_)
