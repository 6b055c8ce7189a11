"""Small ways to draw a number: every draw takes the one generator of the frame."""

import numpy as np
from numpy.typing import NDArray

#: Low and high end of a range.
Range = tuple[float, float]


def uniform(rng: np.random.Generator, span: Range) -> float:
    """Draw one number uniformly from `span`."""
    return float(rng.uniform(span[0], span[1]))


def log_uniform(rng: np.random.Generator, span: Range) -> float:
    """Draw one number from `span` (both ends above 0), uniformly in its logarithm."""
    return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))


def log_uniforms(rng: np.random.Generator, span: Range, n: int) -> NDArray[np.float64]:
    """Draw `n` numbers as `log_uniform` does."""
    return np.exp(rng.uniform(np.log(span[0]), np.log(span[1]), n))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Say yes with the given probability."""
    return bool(rng.random() < probability)


def power_law(
    rng: np.random.Generator, low: float, high: float, slope: float, n: int
) -> NDArray[np.float64]:
    """Draw `n` numbers with N(>F) proportional to F**-slope between `low` and `high`.

    The truncated Pareto distribution, by inversion of its cumulative distribution.
    """
    tail = (high / low) ** -slope
    return low * (1 - rng.random(n) * (1 - tail)) ** (-1 / slope)


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> NDArray[np.float32]:
    """Draw a smooth random field with features of about `cell` pixels and unit variance.

    Random numbers on a coarse grid are interpolated by cubic B-splines as a product of two thin
    matrices, which for a frame of 512 x 512 pixels is far cheaper than a Fourier transform.
    """
    height, width = shape
    rows, columns = _spline_matrix(height, cell), _spline_matrix(width, cell)
    coarse = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
    # The sum of squared B-spline weights is 0.479 on average along one axis.
    return rows @ (coarse / np.float32(0.479)) @ columns.T


def _spline_matrix(n: int, cell: float) -> NDArray[np.float32]:
    position = np.arange(n) / max(cell, 1.0)
    knots = np.arange(int(position[-1]) + 4) - 1
    t = np.abs(position[:, None] - knots[None, :])
    inner = 2 / 3 - t**2 + t**3 / 2
    outer = np.clip(2 - t, 0, None) ** 3 / 6
    return np.where(t < 1, inner, outer).astype(np.float32)
