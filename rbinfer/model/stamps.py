"""`Stamps`: what the stars and the maxima of a frame are like, as networks that read it take it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

#: Numbers that tell what the maxima and the noise of a frame are like; see `rbinfer.measure.population`.
#: More may come behind them: a model file reads as many as it was fitted with, from the first on.
POPULATION = 70
#: How many the first files read that are told any.
LEAST_POPULATION = 62


@dataclass(frozen=True, eq=False)
class Stamps:
    """Stars and populations of one or more frames or regions, and which belong to each cutout.

    Attributes
    ----------
    psf : ndarray of float32, shape (k, size, size, 1)
        On the grid of the cutouts, with the star on the middle pixel and a maximum of 1; zeros where
        none is known.
    known : ndarray of float32, shape (k, 1)
        1 where a star is known, else 0.
    population : ndarray of float32, shape (k, 70)
        What the maxima of the frame are like; zeros where it is not known, or where there are none.
    index : ndarray of int64, shape (n,)
        Stamp of each cutout.
    """

    psf: NDArray[np.float32]
    known: NDArray[np.float32]
    population: NDArray[np.float32]
    index: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        stamp: NDArray[np.floating] | None,
        size: int,
        n: int,
        population: NDArray[np.floating] | None = None,
    ) -> Self:
        """Give `n` cutouts of `size` pixels one stamp and one population (70,), or none."""
        psf, known = np.zeros((1, size, size, 1), np.float32), np.zeros((1, 1), np.float32)
        if stamp is not None:
            psf[0, :, :, 0], known[0] = stamp, 1.0
        told = np.zeros((1, POPULATION), np.float32)
        if population is not None:
            told[0] = population
        return cls(psf, known, told, np.zeros(n, np.int64))

    @classmethod
    def joined(cls, parts: "Sequence[Stamps]") -> Self:
        """Put several together, in their order; there must be one at least."""
        starts = np.cumsum([0, *(len(part.psf) for part in parts)])
        return cls(
            np.concatenate([part.psf for part in parts]),
            np.concatenate([part.known for part in parts]),
            np.concatenate([part.population for part in parts]),
            np.concatenate([part.index + start for part, start in zip(parts, starts[:-1], strict=True)]),
        )

    def taken(self, rows: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Return those of some of the cutouts."""
        return replace(self, index=self.index[rows])

    def one_each(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return stamp (n, size, size, 1), known (n, 1) and population (n, 70) of each cutout."""
        return self.psf[self.index], self.known[self.index], self.population[self.index]
