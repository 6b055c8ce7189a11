"""A mosaic of colour filters in front of the pixels, and light of several colours behind it."""

import math
from dataclasses import dataclass

import numpy as np

from .._arrays import F32, F64
from .config import DetectorConfig
from .draws import chance, log_uniform

#: How much redder than most stars are: red passes more of their light by exp of this, and blue less.
WARMTHS = (-0.3, 0.0, 0.3)
_SHARES = (0.25, 0.5, 0.25)  # of the stars


@dataclass(frozen=True)
class Filters:
    """Filters in squares of 2 x 2 pixels: green on one diagonal, red and blue on the other.

    Attributes
    ----------
    red, blue : float
        What these pass of the light of most stars, over what the green ones do.
    flipped, mirrored : bool
        Which of RGGB, GBRG, GRBG and BGGR it is: upside down, and left to right.
    """

    red: float
    blue: float
    flipped: bool
    mirrored: bool

    def passed(self, shape: tuple[int, int], warmth: float = 0.0) -> F32:
        """Return what each pixel gets of light of some colour, 1 in the mean.

        Parameters
        ----------
        shape : (int, int)
        warmth : float
            See `WARMTHS`.

        Returns
        -------
        array, shape `shape`
            float32.
        """
        square = np.array([[self.red * math.exp(warmth), 1.0], [1.0, self.blue * math.exp(-warmth)]])
        square = square[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1] / square.mean()
        times = [n // 2 + 1 for n in shape]
        return np.tile(square.astype(np.float32), times)[: shape[0], : shape[1]]


def draw_filters(config: DetectorConfig, rng: np.random.Generator) -> Filters:
    """Draw a mosaic.

    Parameters
    ----------
    config : DetectorConfig
        With the range `filters_pass`.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    Filters
    """
    red, blue = (log_uniform(rng, config.filters_pass) for _ in range(2))
    return Filters(red, blue, chance(rng, 0.5), chance(rng, 0.5))


def draw_warmths(rng: np.random.Generator, n: int) -> F64:
    """Draw which of `WARMTHS` each of n stars has."""
    return rng.choice(WARMTHS, n, p=_SHARES)
