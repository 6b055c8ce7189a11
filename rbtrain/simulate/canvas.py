"""The layers that artefacts are painted on, and the list of what was painted."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

import numpy as np

from .._arrays import F32, F64, U8
from . import _render
from .truth import Rows, inside


class Artefact(IntEnum):
    """Codes of `Frame.artefact_class`.

    `ASTEROID` is a short trail of a real object: not an artefact, not a star, not to be scored.
    """

    NONE = 0
    #: Cosmic rays and other particles: spots, worms and tracks.
    COSMIC_RAY = 1
    #: Hot and warm pixels, bright columns and rows, traps.
    HOT_PIXEL = 2
    #: Satellites and aeroplanes.
    TRAIL = 3
    #: Diffraction spikes, halos, ghosts, bleeding columns.
    SPIKE = 4
    #: Cold pixels, holes from bad darks, dark columns: the signal is negative.
    COLD = 5
    #: Moving objects.
    ASTEROID = 6


@dataclass
class Canvas:
    """Where artefacts are painted, and what was painted.

    Attributes
    ----------
    signal : array, shape (h, w)
        Electrons, float32; may be negative.
    largest : array, shape (h, w)
        Size of the largest single contribution so far, electrons, float32.
    codes : array, shape (h, w)
        `Artefact` code of that contribution, uint8.
    truth : list of (type, x, y, flux)
        One entry for each artefact.
    """

    signal: F32
    largest: F32
    codes: U8
    truth: list[tuple[str, float, float, float]] = field(default_factory=list)

    @classmethod
    def blank(cls, shape: tuple[int, int]) -> Self:
        """Return an empty canvas."""
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.uint8))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.signal.shape[0], self.signal.shape[1]

    @property
    def layers(self) -> tuple[F32, F32, U8]:
        """The three arrays, in the order that the kernels take them."""
        return self.signal, self.largest, self.codes

    def record(self, kind: str, x: F64, y: F64, flux: F64) -> None:
        """Note artefacts of one type that have their middle on the frame.

        Parameters
        ----------
        kind : str
        x, y : array, shape (n,)
            Middle of each, 0-based pixels.
        flux : array, shape (n,)
            Electrons.
        """
        kept = inside(x, y, self.shape)
        self.truth.extend(
            (kind, float(a), float(b), float(c))
            for a, b, c in zip(x[kept], y[kept], flux[kept], strict=True)
        )

    def record_one(self, kind: str, x: float, y: float, flux: float) -> None:
        """Note one artefact."""
        self.record(kind, np.array([x]), np.array([y]), np.array([flux]))

    def rows(self) -> Rows:
        """Return what was painted as rows of a truth table; their peaks are still 0."""
        x, y, flux = np.array([entry[1:] for entry in self.truth], float).reshape(-1, 3).T
        return Rows([entry[0] for entry in self.truth], x, y, flux, np.zeros(x.size))

    def bloom(self, electrons: F32, full_well: float) -> int:
        """Let charge above the full well run along the columns; returns how many columns bled.

        Parameters
        ----------
        electrons : array, shape (h, w)
            What the pixels would hold, float32; what their neighbours get is added in place, and to
            the canvas.
        full_well : float
            Electrons.
        """
        return int(_render.bloom(electrons, np.float32(full_well), *self.layers, int(Artefact.SPIKE)))
