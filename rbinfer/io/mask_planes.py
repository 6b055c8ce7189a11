"""What the bits of a mask mean, where its header says so.

The pipelines of Rubin (LSST) and of Hyper Suprime-Cam write a card for each plane of a mask: ``MP_BAD``,
``MP_DETECTED`` and so on, with the number of its bit. Most planes say what a pixel shows, not that it is
bad: all sources have ``MP_DETECTED``.
"""

import re
from collections.abc import Mapping
from typing import Any

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
