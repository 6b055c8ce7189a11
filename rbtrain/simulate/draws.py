"""Draw numbers; every draw takes the one generator of the frame."""

from typing import Any

import numpy as np

from rbinfer import InputError
from rbinfer._util.arguments import shown

from .._arrays import F32, F64
from . import _render

#: Low and high end of a range.
Range = tuple[float, float]


def generator(seed: Any) -> np.random.Generator:
    """Return the generator of a seed; raises `InputError` if that is none."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"seed is {shown(seed)} but must be a whole number of at least 0, or None"
        ) from error


def uniform(rng: np.random.Generator, span: Range) -> float:
    """Draw one number uniformly from `span`."""
    return float(rng.uniform(span[0], span[1]))


def log_uniform(rng: np.random.Generator, span: Range) -> float:
    """Draw one number from `span` (both ends above 0), uniformly in its logarithm."""
    return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))


def log_uniforms(rng: np.random.Generator, span: Range, n: int) -> F64:
    """Draw `n` numbers as `log_uniform` does."""
    return np.exp(rng.uniform(np.log(span[0]), np.log(span[1]), n))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)


def power_law(rng: np.random.Generator, low: float, high: float, slope: float, n: int) -> F64:
    """Draw `n` numbers with N(>F) proportional to F**-slope between `low` and `high`.

    The truncated Pareto distribution, by inversion of its cumulative distribution.

    Parameters
    ----------
    rng : numpy.random.Generator
    low, high : float
        Ends of the range, above 0.
    slope : float
        Above 0.
    n : int

    Returns
    -------
    array, shape (n,)
    """
    tail = (high / low) ** -slope
    drawn: F64 = low * (1 - rng.random(n) * (1 - tail)) ** (-1 / slope)
    return drawn


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> F32:
    """Draw a smooth random field with features of about `cell` pixels and unit variance.

    Random numbers on a coarse grid are interpolated by cubic B-splines, which for a frame of
    512 x 512 pixels is far cheaper than a Fourier transform.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (height, width)
        Pixels.
    cell : float
        Distance of the knots, pixels.

    Returns
    -------
    array, shape (h, w)
        float32.
    """
    height, width = shape
    knots = (int((height - 1) / cell) + 4, int((width - 1) / cell) + 4)
    coarse = rng.standard_normal(knots, dtype=np.float32)
    out = np.empty(shape, np.float32)
    # The sum of squared B-spline weights is 0.479 on average along one axis.
    _render.spline_surface(coarse / np.float32(0.479), cell, out)
    return out
