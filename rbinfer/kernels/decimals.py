"""Rows of a table as text: numbers with the fewest digits that tell them apart in their type.

The digits are found by the method of Schubfach: R. Giulietti, "The Schubfach way to render doubles"
(2020), https://drive.google.com/file/d/1IEeATSVnEE6TkrHlCYNY2GjaraBjOT4f. They are laid out as NumPy
does it: with an exponent below 1e-4 and from 1e16 on; where that begins for reals of 32 bits differs
between its versions.
"""

from typing import Any

import numpy as np

from .constants import DOUBLE, LOWEST_POWER, MOST_OF_DOUBLE, SINGLE, TEXT_ROOM, WHOLE
from .jit import jit

_ZERO, _ONE, _TWO, _TEN = (np.uint64(n) for n in (0, 1, 2, 10))
_HUNDRED_MILLION = np.uint64(100_000_000)
_HALF_WORD, _LOW_HALF = np.uint64(32), np.uint64(2**32 - 1)
_TOP_BIT, _LOW_63 = np.uint64(63), np.uint64(2**63 - 1)
# log10(2), log10(3/4) and log2(10), so many bits before the point, as exact as exponents of reals need.
_LOG_BITS = 41
_LOG10_2, _LOG10_3_4, _LOG2_10 = 661_971_961_083, -274_743_187_321, 7_304_997_133_928
_MINUS, _PLUS, _E, _DIGIT_0 = 45, 43, 101, 48
_NAN, _INF = (110, 97, 110), (105, 110, 102)


@jit
def _high(a: Any, b: Any) -> Any:
    """Return the upper 64 bits of a product of two numbers of 64."""
    a0, a1 = a & _LOW_HALF, a >> _HALF_WORD
    b0, b1 = b & _LOW_HALF, b >> _HALF_WORD
    middle = a1 * b0 + (a0 * b0 >> _HALF_WORD)
    other = a0 * b1 + (middle & _LOW_HALF)
    return a1 * b1 + (middle >> _HALF_WORD) + (other >> _HALF_WORD)


@jit
def _scaled(high: Any, low: Any, number: Any) -> Any:
    """Return a number times a power of ten; the lowest bit tells whether anything was cut off."""
    upper = (high * number >> _ONE) + _high(low, number)
    whole = _high(high, number) + (upper >> _TOP_BIT)
    return whole | ((upper & _LOW_63) + _LOW_63 >> _TOP_BIT)


@jit
def _shortest(number: Any, exponent: Any, is_power: Any, powers: Any) -> Any:
    """Return the digits and the decimal exponent of ``number * 2**exponent``.

    ``is_power``: the next smaller real is only half as far away as the next larger one.
    """
    odd = number & _ONE
    middle = number << _TWO
    above = middle + _TWO
    below = middle - _TWO
    log = exponent * _LOG10_2
    if is_power:
        below = middle - _ONE
        log += _LOG10_3_4
    k = log >> _LOG_BITS
    shift = np.uint64(exponent + (-k * _LOG2_10 >> _LOG_BITS) + 2)
    high, low = powers[-k - LOWEST_POWER, 0], powers[-k - LOWEST_POWER, 1]
    value = _scaled(high, low, middle << shift)
    least = _scaled(high, low, below << shift) + odd
    most = _scaled(high, low, above << shift) - odd
    digits = value >> _TWO
    if digits >= _TEN:
        fewer = digits // _TEN * _TEN
        fits_below = least <= fewer << _TWO
        fits_above = fewer + _TEN << _TWO <= most
        if fits_below != fits_above:
            return (fewer if fits_below else fewer + _TEN), k
    fits_below = least <= digits << _TWO
    fits_above = digits + _ONE << _TWO <= most
    if fits_below != fits_above:
        return (digits if fits_below else digits + _ONE), k
    half = (digits << _TWO) + _TWO
    is_lower = value < half or (value == half and digits & _ONE == _ZERO)
    return (digits if is_lower else digits + _ONE), k


@jit
def _count(number: Any) -> Any:
    """Return how many digits a number has."""
    n, limit = np.int64(1), _TEN
    while n < 20 and number >= limit:
        n += 1
        limit *= _TEN
    return n


@jit
def _put(number: Any, n: Any, out: Any, at: Any) -> None:
    """Write the n digits of a number."""
    for i in range(at + n - 1, at - 1, -1):
        rest = number // _TEN
        out[i] = np.uint8(number - rest * _TEN + np.uint64(_DIGIT_0))
        number = rest


@jit
def _write_whole(value: Any, out: Any, at: Any) -> Any:
    number = np.uint64(value)
    if value < 0:
        out[at] = _MINUS
        at += 1
        number = ~number + _ONE
    n = _count(number)
    _put(number, n, out, at)
    return at + n


@jit
def _write_word(letters: Any, out: Any, at: Any) -> Any:
    for i in range(3):
        out[at + i] = letters[i]
    return at + 3


@jit
def _write_digits(digits: Any, k: Any, is_double: Any, most: Any, point: Any, out: Any, at: Any) -> Any:
    """Write ``digits * 10**k``; with an exponent if more than so many digits stand before the point."""
    while digits % _HUNDRED_MILLION == _ZERO:
        digits //= _HUNDRED_MILLION
        k += 8
    while digits % _TEN == _ZERO:
        digits //= _TEN
        k += 1
    n = _count(digits)
    before = n + k  # digits before the point
    # The real of 32 bits that is nearest to 1e-4 is below it.
    is_small = before < -3 or (before == -3 and digits == _ONE and not is_double)
    if is_small or before > most:
        _put(digits, n, out, at + 1)
        out[at] = out[at + 1]
        out[at + 1] = point
        at += n + 1 if n > 1 else 1
        out[at], power = _E, before - 1
        out[at + 1] = _MINUS if power < 0 else _PLUS
        power = abs(power)
        width = np.int64(3 if power >= 100 else 2)
        _put(np.uint64(power), width, out, at + 2)
        return at + 2 + width
    if before <= 0:
        out[at], out[at + 1] = _DIGIT_0, point
        for i in range(at + 2, at + 2 - before):
            out[i] = _DIGIT_0
        _put(digits, n, out, at + 2 - before)
        return at + 2 + n - before
    if before >= n:
        _put(digits, n, out, at)
        for i in range(at + n, at + before):
            out[i] = _DIGIT_0
        out[at + before], out[at + before + 1] = point, _DIGIT_0
        return at + before + 2
    _put(digits, n, out, at + 1)
    for i in range(at, at + before):
        out[i] = out[i + 1]
    out[at + before] = point
    return at + n + 1


@jit
def _write_real(bits: Any, is_double: Any, most: Any, point: Any, powers: Any, out: Any, at: Any) -> Any:
    """Write a real number by its bits."""
    one = np.int64(1)
    mantissa, width = (52, 64) if is_double else (23, 32)
    top = (one << (width - 1 - mantissa)) - 1
    number = bits & ((one << mantissa) - 1)
    exponent = (bits >> mantissa) & top
    if exponent == top and number != 0:
        return _write_word(_NAN, out, at)
    if (bits >> (width - 1)) & 1:
        out[at] = _MINUS
        at += 1
    if exponent == top:
        return _write_word(_INF, out, at)
    if exponent == 0 and number == 0:
        out[at], out[at + 1], out[at + 2] = _DIGIT_0, point, _DIGIT_0
        return at + 3
    is_power = number == 0 and exponent > 1
    if exponent > 0:
        number += one << mantissa
    else:
        exponent = one
    # The exponent of the lowest bit.
    exponent -= top // 2 + mantissa
    digits, k = _shortest(np.uint64(number), exponent, is_power, powers)
    return _write_digits(digits, k, is_double, most, point, out, at)


@jit
def write_rows(
    cells: Any, kinds: Any, texts: Any, powers: Any, separator: int, point: int, most_of_single: int,
    out: Any, written: Any,
) -> None:  # fmt: skip
    """Write rows of text, each with a line feed.

    Parameters
    ----------
    cells : ndarray of int64, shape (n, k)
        Of `WHOLE` columns the numbers, of `DOUBLE` and `SINGLE` ones the bits of the reals; of `TEXT`
        ones where the text begins in `texts`, times `TEXT_ROOM`, and its length.
    kinds : ndarray of int64, shape (k,)
    texts : ndarray of uint8, shape (m,)
    powers : ndarray of uint64, shape (617, 2)
        Powers of ten from `LOWEST_POWER` on as numbers of `POWER_BITS` bits, the next above the true
        ones: their upper and lower 63 bits.
    separator, point : int
        Characters between cells, and before the fraction of a number.
    most_of_single : int
        Digits before the point beyond which a real of 32 bits has an exponent.
    out : ndarray of uint8, shape (room,)
        With room for the longest rows that there may be.
    written : ndarray of int64, shape (1,)
        Set to how many bytes the rows take.
    """
    at = np.int64(0)
    for i in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            value = cells[i, j]
            if kinds[j] == WHOLE:
                at = _write_whole(value, out, at)
            elif kinds[j] == DOUBLE:
                at = _write_real(value, True, MOST_OF_DOUBLE, point, powers, out, at)
            elif kinds[j] == SINGLE:
                at = _write_real(value, False, most_of_single, point, powers, out, at)
            else:
                start, length = value // TEXT_ROOM, value % TEXT_ROOM
                for n in range(length):
                    out[at + n] = texts[start + n]
                at += length
            out[at] = separator
            at += 1
        out[at - 1] = 10
    written[0] = at
