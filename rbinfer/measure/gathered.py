"""Rows that are measured here and there, gathered: there may be millions of them."""

import numpy as np
from numpy.typing import NDArray

from ..kernels.constants import N_COLUMNS

#: Rows of a block. The allocator of the C library takes what is larger than 32 MB from the system, and
#: gives it back; of what is smaller, each piece that is kept holds up what was freed around it.
_BLOCK = 1 << 18


class Gathered:
    """Rows of `rbinfer.kernels.islands.measure_islands`, each with its place in an order."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.float64]] = []
        self._n = 0

    def add(self, rows: NDArray[np.float64], places: NDArray[np.int64]) -> None:
        """Add rows, and as many whole numbers that tell their order."""
        done = 0
        while done < len(rows):
            start = self._n % _BLOCK
            if start == 0:
                self._blocks.append(np.empty((_BLOCK, N_COLUMNS + 1)))
            n = min(_BLOCK - start, len(rows) - done)
            room = self._blocks[-1][start : start + n]
            room[:, :-1], room[:, -1] = rows[done : done + n], places[done : done + n]
            done += n
            self._n += n

    def in_order(self) -> NDArray[np.float64]:
        """Return the rows by their places, equals as they came; there are none any more."""
        rows, places = np.empty((self._n, N_COLUMNS)), np.empty(self._n)
        first = 0
        while self._blocks:
            part = self._blocks.pop(0)[: self._n - first]
            last = first + len(part)
            rows[first:last], places[first:last] = part[:, :-1], part[:, -1]
            first = last
        self._n = 0
        if np.any(places[1:] < places[:-1]):  # parts of a flood may end far above it
            rows = rows[np.argsort(places, kind="stable")]
        return rows
