"""`Stamps`: what the stars of a frame look like, as networks that read it take it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Stamps:
    """Stars of one or more frames or regions, and which of them belongs to each cutout.

    Attributes
    ----------
    psf : ndarray of float32, shape (k, size, size, 1)
        On the grid of the cutouts, with the star on the middle pixel and a maximum of 1; zeros where
        none is known.
    known : ndarray of float32, shape (k, 1)
        1 where a star is known, else 0.
    index : ndarray of int64, shape (n,)
        Stamp of each cutout.
    """

    psf: NDArray[np.float32]
    known: NDArray[np.float32]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, stamp: NDArray[np.floating] | None, size: int, n: int) -> Self:
        """Give `n` cutouts of `size` pixels one stamp, or none."""
        psf, known = np.zeros((1, size, size, 1), np.float32), np.zeros((1, 1), np.float32)
        if stamp is not None:
            psf[0, :, :, 0], known[0] = stamp, 1.0
        return cls(psf, known, np.zeros(n, np.int64))

    @classmethod
    def joined(cls, parts: "Sequence[Stamps]") -> Self:
        """Put several together, in their order; there must be one at least."""
        starts = np.cumsum([0, *(len(part.psf) for part in parts)])
        return cls(
            np.concatenate([part.psf for part in parts]),
            np.concatenate([part.known for part in parts]),
            np.concatenate([part.index + start for part, start in zip(parts, starts[:-1], strict=True)]),
        )

    def taken(self, rows: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Return those of some of the cutouts."""
        return replace(self, index=self.index[rows])

    def one_each(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the stamp of each cutout (n, size, size, 1), and whether it is known (n, 1)."""
        return self.psf[self.index], self.known[self.index]
