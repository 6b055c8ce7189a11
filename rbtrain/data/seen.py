"""What a network is shown of some detections, as it takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rbinfer.model.spec import AROUND
from rbinfer.model.stamps import Stamps

from .._arrays import F32, Bools

Rows = NDArray[np.intp] | slice


class Shown(Protocol):
    """Detections of which the inputs of a network can be had, such as a dataset on disk."""

    def __len__(self) -> int: ...

    def inputs(self, rows: Rows) -> tuple[F32, Stamps, F32]:
        """Return cutouts (n, size, size, 2), the stars of their frames, what lies around (n, 196)."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Inputs of a network that are in memory.

    Attributes
    ----------
    cutouts : ndarray of float32, shape (n, size, size, 2)
    stamps : Stamps
        The stars of their frames.
    around : ndarray of float32, shape (n, 196)
        What lies around them, as `rbinfer.cutouts.cutter.Cutouts` has it.
    """

    cutouts: F32
    stamps: Stamps
    around: F32

    def __len__(self) -> int:
        return len(self.cutouts)

    @classmethod
    def none(cls, size: int) -> Self:
        """Return those of no detection, with cutouts of `size` pixels."""
        cutouts = np.zeros((0, size, size, 2), np.float32)
        return cls(cutouts, Stamps.of(None, size, 0), np.zeros((0, AROUND), np.float32))

    @classmethod
    def joined(cls, parts: "Sequence[Seen]") -> Self:
        """Put several together, in their order; there must be one at least."""
        return cls(
            np.concatenate([part.cutouts for part in parts]),
            Stamps.joined([part.stamps for part in parts]),
            np.concatenate([part.around for part in parts]),
        )

    def inputs(self, rows: Rows) -> tuple[F32, Stamps, F32]:
        """Return those of some detections, as `Shown` has it."""
        return self.cutouts[rows], self.stamps.taken(rows), self.around[rows]

    def taken(self, rows: Rows | Bools) -> Self:
        """Return those of some detections."""
        return type(self)(self.cutouts[rows], self.stamps.taken(rows), self.around[rows])
