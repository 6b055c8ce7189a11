"""A sky that is cut off at its lowest value, as by programs that keep no negative numbers."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]

#: Share of pixels at one value below which there are hardly any that tells that the sky is cut off
#: there, and that at which too little is left of it.
_CUT_OFF, _HARDLY, _TOO_MUCH = 0.05, 0.01, 0.75
#: What is above is compared with a normal distribution where so much of the image lies below, or from
#: the floor on for so much. What is brighter is of sources.
_FROM, _UP_TO, _NEXT, _BEYOND, _LEVELS = 0.3, 0.5, 0.02, 0.12, 9
_FEWEST = 400  # pixels; fewer do not tell
#: Step of rounded pixels, in sigma, from which a sky that is cut off may be one of few counted photons.
_COARSE = 0.83
#: Share of neighbours of pixels at the value that are there too, from which they are areas without data.
_AREAS = 0.93
_AGREES = 0.25  # within so many sigma the floor is where that distribution has it
_REACH, _STEPS = 5.0, 1001  # of a table of the normal distribution: sigma, and how many


@dataclass(frozen=True)
class Floor:
    """Where a sky was cut off, and what it was like.

    Attributes
    ----------
    value : float
        That of the pixels which were lower.
    share : float
        Of the pixels there.
    level, noise : float
        Median and standard deviation of the whole sky, in the units of the pixels.
    """

    value: float
    share: float
    level: float
    noise: float

    @classmethod
    def of(cls, sample: Pixels) -> Self | None:
        """Find the floor of a frame.

        The sky is one that was cut off if many pixels have one value and hardly any are lower, and if
        the pixels above are distributed as those of a normal distribution that has as many below.

        Parameters
        ----------
        sample : ndarray of float32, shape (..., n)
            Rows of all parts of the frame; pixels that are not finite have no say.

        Returns
        -------
        Floor or None
            None of a sky that is whole, or of which less than a quarter is left.
        """
        known = sample[np.isfinite(sample)]
        n = len(known)
        if n < _FEWEST:
            return None
        rank = int(_HARDLY * n)
        value = float(np.partition(known, rank)[rank])
        # Nearly always this is all that has to be looked at.
        if np.count_nonzero(known == np.float32(value)) <= _CUT_OFF * n:
            return None
        good = np.sort(known).astype(np.float64)
        first, last = (int(np.searchsorted(good, value, side)) for side in ("left", "right"))
        share = last / n
        if share >= _TOO_MUCH or _are_areas(sample, value):
            return None
        parts = np.linspace(max(share + _NEXT, _FROM), max(share + _BEYOND, _UP_TO), _LEVELS)
        levels = np.unique(good[(parts * (n - 1)).astype(int)])
        if len(levels) == 1:  # whole numbers: the floor is one of few
            levels = np.array([value, levels[0]])
        below = np.searchsorted(good, levels, "right")
        following = np.searchsorted(good, good[last], "right") - last
        if below[-1] == n or following > last - first:
            return None  # more pixels have the next value: the lowest is no floor then, but rounding
        # Of rounded pixels those at a value are what lies within half a step of it.
        edges, floor = (levels + good[below]) / 2, (value + good[last]) / 2
        deviations, shares = _normal()
        noise, level = np.polyfit(np.interp(below / n, shares, deviations), edges, 1)
        if not noise > (good[last] - value) / _COARSE:
            return None
        off = (floor - level) / noise - np.interp(share, shares, deviations)
        return cls(value, share, float(level), float(noise)) if abs(off) < _AGREES else None

    def fill(self, part: Pixels, rows: slice) -> None:
        """Give pixels at the floor what a normal distribution has below it, each time the same.

        Parameters
        ----------
        part : ndarray of float32, shape (n, nx)
            Rows of the frame; changed.
        rows : slice
            Which these are.
        """
        is_at = part == np.float32(self.value)
        deviations, shares = _normal()
        highest = np.interp((self.value - self.level) / self.noise, deviations, shares)
        drawn = np.random.default_rng([rows.start, len(part)]).random(int(is_at.sum())) * highest
        part[is_at] = self.level + self.noise * np.interp(drawn, shares, deviations)


def _normal() -> tuple[Floats, Floats]:
    """Return deviations in sigma, and the share of a normal distribution that lies below each."""
    deviations = np.linspace(-_REACH, _REACH, _STEPS)
    shares = np.array([0.5 + 0.5 * math.erf(deviation / math.sqrt(2.0)) for deviation in deviations])
    return deviations, shares


def _are_areas(sample: Pixels, value: float) -> bool:
    """Whether the pixels at a value lie side by side, as where there is no data."""
    is_at = sample == np.float32(value)
    return bool(np.count_nonzero(is_at[..., 1:] & is_at[..., :-1]) > _AREAS * np.count_nonzero(is_at))
