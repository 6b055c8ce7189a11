"""The photon transfer of a camera, as the frames of a reference night show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from .frames import FrameFigures

#: Background and noise of the reference follow one another this well, or tell nothing of the gain.
_LEAST_CORRELATION = 0.8


@dataclass(frozen=True)
class Transfer:
    """The variance of a pixel against its level: a line whose slope is set by the gain alone.

    The level may have any offset: the variance of photon noise grows with the signal, in units of the
    image by one over the electrons a unit (J. R. Janesick, Photon Transfer, SPIE Press, 2007).

    Attributes
    ----------
    slope, constant : float
        Of the variance, in units of the image.
    """

    slope: float
    constant: float

    @classmethod
    def of(cls, frames: Sequence[FrameFigures], least: int) -> Self | None:
        """Fit the line; None where the sky did not change enough, or with fewer frames than `least`."""
        known = [(f.background, f.noise**2) for f in frames if f.background is not None and f.noise]
        if len(known) < least:
            return None
        level, variance = np.array(known).T
        if min(np.ptp(level), np.ptp(variance)) <= 0:
            return None
        if np.corrcoef(level, variance)[0, 1] < _LEAST_CORRELATION:
            return None
        slope, constant = np.polyfit(level, variance, 1)
        return cls(float(slope), float(constant))

    def noise(self, background: float) -> float | None:
        """Return the noise at a level; None below where the line has any."""
        variance = self.slope * background + self.constant
        return float(np.sqrt(variance)) if variance > 0 else None

    def change(self, frame: FrameFigures) -> float | None:
        """Return the logarithm of the noise of a frame over what the line gives for its background."""
        if frame.background is None or not frame.noise:
            return None
        expected = self.noise(frame.background)
        return None if expected is None else float(np.log(frame.noise / expected))
