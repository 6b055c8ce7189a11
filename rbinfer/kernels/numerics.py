"""Numbers of kernels: asinh, and order statistics.

LLVM vectorises counts, and maxima of integers, but not maxima of floats: the order statistics look at
the bits of floats. A median takes some 20 counts, of 23 ns each for 961 pixels with AVX-512; a selection
by partition takes ten times as long, because its branches cannot be predicted.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import overload

from .constants import LANES, LARGEST
from .jit import jit

_LN2 = np.float32(math.log(2.0))
_SQRT2 = np.float32(math.sqrt(2.0))
# 1 / Phi^-1(3/4): scales the MAD of normal deviates to their standard deviation.
_MAD_TO_SIGMA = 1.482602218505602
_LOG2_E = 1.0 / math.log(2.0)
# ln 2 in two parts: the first has so few digits that small multiples of it are exact.
_LN2_HIGH = 0.693147180369123816490
_LN2_LOW = 1.90821492927058770002e-10
_ROOT_OF_2 = math.sqrt(2.0)


@jit
def asinh(value: Any) -> Any:
    """Float32 asinh without branches, so that LLVM vectorises loops over it.

    asinh(a) = log1p(u) with u = a + a^2 / (1 + sqrt(1 + a^2)); the logarithm is the atanh series
    2 s (1 + s^2/3 + s^4/5 + ...) with s = f / (2 + f) and |s| < 0.172, after splitting off the power
    of two. Truncation is below 3e-9 and rounding a few units in the last place: under 5e-7 relative.
    """
    a = min(abs(value), np.float32(1e18))
    u = a + a * a / (np.float32(1.0) + math.sqrt(np.float32(1.0) + a * a))
    t = np.float32(1.0) + u
    bits = np.float32(t).view(np.int32)
    e = np.int32((bits >> 23) - 127)
    m = np.int32((bits & 0x007FFFFF) | 0x3F800000).view(np.float32)
    high = m > _SQRT2
    m = m * np.float32(0.5) if high else m
    e = np.int32(e + high)
    f = u if t < _SQRT2 else m - np.float32(1.0)
    scale = np.float32(0.0) if t < _SQRT2 else np.float32(e)
    s = f / (np.float32(2.0) + f)
    q = s * s
    poly = np.float32(1.0 / 9.0)
    poly = poly * q + np.float32(1.0 / 7.0)
    poly = poly * q + np.float32(1.0 / 5.0)
    poly = poly * q + np.float32(1.0 / 3.0)
    poly = poly * q + np.float32(1.0)
    result = scale * _LN2 + np.float32(2.0) * s * poly
    return -result if value < 0 else result


@jit
def asinh_array(values: Any, out: Any) -> None:
    """Fill `out` with the kernels' asinh of `values`; for tests and benchmarks."""
    for i in range(values.size):
        out[i] = asinh(values[i])


def _bits(values: Any) -> Any:
    """Return an array of floats as integers of the same width; in kernels only."""
    raise NotImplementedError


@overload(_bits)
def _overload_bits(values: Any) -> Callable[..., Any]:
    integer = np.int32 if values.dtype == numba.float32 else np.int64

    def implementation(values: Any) -> Any:
        return values.view(integer)

    return implementation


@jit
def all_finite(values: Any, n: int) -> Any:
    """Tell whether all of ``values[:n]`` lie within `LARGEST`."""
    count = np.int32(0)
    for i in range(n):
        count = np.int32(count + (abs(values[i]) < LARGEST))
    return count == n


@jit
def absolute_peak(values: Any, n: int) -> Any:
    """Return the largest absolute value of ``values[:n]`` but NaN; overwrites ``values[n]``."""
    bits = _bits(values)
    number = bits.dtype.type
    magnitude = np.iinfo(bits.dtype).max
    values[n] = np.inf
    infinite = bits[n]
    peak = number(0)
    for i in range(n):
        value = number(bits[i] & magnitude)
        peak = max(peak, value if value <= infinite else number(0))
    bits[n] = peak
    return values[n]


@jit
def _flip(bits: Any, n: int) -> None:
    """Turn bits of floats into integers of the same order, or back."""
    lowest = np.iinfo(bits.dtype).min
    for i in range(n):
        bits[i] = bits[i] if bits[i] >= 0 else lowest - bits[i]


@jit
def _count_to(keys: Any, n: int, bound: Any) -> Any:
    count = np.int32(0)
    for i in range(n):
        count = np.int32(count + (keys[i] <= bound))
    return count


@jit
def _least_above(keys: Any, n: int, bound: Any) -> Any:
    top = keys.dtype.type(np.iinfo(keys.dtype).max)
    least = top
    for i in range(n):
        candidate = keys[i] if keys[i] > bound else top
        least = min(least, candidate)
    return least


@jit
def median(a: Any, n: int) -> Any:
    """Return the median of ``a[:n]``, the mean of two if `n` is even; `a` is padded and overwritten."""
    keys = _bits(a)
    key = keys.dtype.type
    _flip(keys, n)
    whole = (n + LANES - 1) // LANES * LANES
    for i in range(n, whole):
        keys[i] = np.iinfo(keys.dtype).max  # no remainder, which would not be vectorised
    rank = (n - 1) >> 1
    # `n_below` keys, at most `rank`, go up to `below`, and `n_above`, which is more, up to `above`.
    below, above = np.int64(np.iinfo(keys.dtype).min), np.int64(np.iinfo(keys.dtype).max)
    n_below, n_above = 0, n
    while n_above - n_below > 1 and above - 1 > below:
        middle = (below & above) + ((below ^ above) >> 1)  # their mean, without overflow
        count = _count_to(keys, whole, key(middle))
        if count > rank:
            above, n_above = middle, count
        else:
            below, n_below = middle, count
    lower = _least_above(keys, whole, key(below))
    upper = lower
    if n & 1 == 0 and _count_to(keys, whole, lower) == rank + 1:
        upper = _least_above(keys, whole, lower)
    keys[0], keys[1] = lower, upper
    _flip(keys, 2)
    # Through the array, for a result in its own precision, like NumPy's.
    a[0] = 0.5 * (float(a[0]) + float(a[1]))
    return a[0]


@jit
def mad_std(values: Any, n: int, centre: Any, workspace: Any) -> Any:
    """Return 1.4826 x the median of ``|values[:n] - centre|``, where `centre` is their median."""
    for i in range(n):
        workspace[i] = abs(values[i] - centre)
    return _MAD_TO_SIGMA * median(workspace, n)


@jit
def exponential(value: Any) -> Any:
    """Return e to a power from -700 to 0, in double precision and without the C library.

    With ``value = k ln 2 + r`` and ``|r| <= ln 2 / 2`` the series of ``exp(r)`` to the 13th power leaves
    less than one unit in the last place.
    """
    k = math.floor(value * _LOG2_E + 0.5)
    r = (value - k * _LN2_HIGH) - k * _LN2_LOW
    total = 1.0
    for n in range(13, 0, -1):
        total = 1.0 + total * r / n
    power = np.int64((np.int64(k) + 1023) << 52)
    return total * np.float64(power.view(np.float64))


@jit
def logarithm(value: Any) -> Any:
    """Return the natural logarithm of a normal number above 0, without the C library.

    The power of two is split off; for the rest, from 1/sqrt(2) to sqrt(2), the series of
    ``2 atanh((m - 1) / (m + 1))`` is cut off below 1e-16.
    """
    bits = np.float64(value).view(np.int64)
    e = (bits >> 52) - 1023
    m = np.int64((bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)
    if m > _ROOT_OF_2:
        m *= 0.5
        e += 1
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    total = 0.0
    for n in range(21, 0, -2):
        total = total * q + 1.0 / n
    return e * (_LN2_HIGH + _LN2_LOW) + 2.0 * s * total
