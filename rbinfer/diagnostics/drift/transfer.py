"""The photon transfer of a camera, as the frames of a reference night show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from .frames import FrameFigures

#: Background and noise of the reference follow one another this well, or tell nothing of the gain.
_LEAST_CORRELATION = 0.8
#: The noise of good frames is that of the photon transfer within this logarithm.
_LEAST_SCATTER = 0.05
#: The scatter of few frames is uncertain: it is widened by 1 + this / n.
_FEW = 3.0
#: Of the response of pixels: it adds to the noise by this share of the level, and bends the line.
_RESPONSE = 0.01


@dataclass(frozen=True)
class Transfer:
    """The variance of a pixel against its level: a line whose slope is set by the gain alone.

    The level may have any offset: the variance of photon noise grows with the signal, in units of the
    image by one over the electrons a unit. Pixels that respond differently add a term that grows with
    the square of the signal (J. R. Janesick, Photon Transfer, SPIE Press, 2007).

    Attributes
    ----------
    slope, constant : float
        Of the variance, in units of the image.
    scatter : float
        Of the logarithm of the noise about the line, as the reference's own frames have it.
    lowest, highest : float
        The levels of the reference.
    """

    slope: float
    constant: float
    scatter: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, frames: Sequence[FrameFigures], least: int) -> Self | None:
        """Fit the line.

        Parameters
        ----------
        frames : sequence of FrameFigures
        least : int
            Fewer frames tell nothing.

        Returns
        -------
        Transfer or None
            None where the sky did not change enough, with too few frames, and where the line gives some
            of the frames no noise.
        """
        known = [(f.background, f.noise**2) for f in frames if f.background is not None and f.noise]
        if len(known) < least:
            return None
        level, variance = np.array(known).T
        if min(np.ptp(level), np.ptp(variance)) <= 0:
            return None
        if np.corrcoef(level, variance)[0, 1] < _LEAST_CORRELATION:
            return None
        # By the weights it is the relative error that is least: the logarithm is what is judged.
        slope, constant = np.polyfit(level, variance, 1, w=1 / variance)
        expected = slope * level + constant
        if np.any(expected <= 0):
            return None
        away = np.abs(np.log(variance / expected)) / 2
        scatter = (1 + _FEW / len(known)) * float(np.quantile(away, 0.9))
        return cls(
            float(slope),
            float(constant),
            max(_LEAST_SCATTER, scatter),
            float(level.min()),
            float(level.max()),
        )

    def noise(self, background: float) -> float | None:
        """Return the noise at a level; None below where the line has any."""
        variance = self.slope * background + self.constant
        return float(np.sqrt(variance)) if variance > 0 else None

    def change(self, frame: FrameFigures) -> tuple[float, float] | None:
        """Return the logarithm of the noise over what the line gives, and its scatter there.

        Beyond the levels of the reference the scatter grows by what pixels that respond differently may
        add; None where the noise or the background is not known or the line gives none.
        """
        if frame.background is None or not frame.noise:
            return None
        expected = self.noise(frame.background)
        if expected is None:
            return None
        beyond = max(self.lowest - frame.background, frame.background - self.highest, 0.0)
        bend = 0.5 * float(np.log1p((_RESPONSE * beyond / expected) ** 2))
        return float(np.log(frame.noise / expected)), max(self.scatter, bend)
