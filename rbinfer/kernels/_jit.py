"""Every Numba kernel of rbinfer, and nothing else; called by way of :mod:`rbinfer.kernels.dispatch`.

The kernels trust their callers (:mod:`rbinfer.cutouts.cutter` validates): native float32 arrays, C
order, and parameters in range. Optional maps come as 1 x 1 dummies together with a flag. All release the
GIL, so threads can share the work. They reserve no memory and raise nothing, so that their code needs
no Python. Numba's cache does not see changes in other modules, so everything the kernels depend on is an
argument or stands in this file.
"""

import functools
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

log = logging.getLogger(__name__)

_codegen: Any = cgutils  # it has no annotations

_LN2 = np.float32(math.log(2.0))
_SQRT2 = np.float32(math.sqrt(2.0))
# 1 / Phi^-1(3/4): scales the MAD of normal deviates to their standard deviation.
_MAD_TO_SIGMA = 1.482602218505602

# A resampled pixel counts as good when more than this share of it is; sums of shares are rounded.
_LEAST_SHARE = 0.4999
_ROUNDING = 1e-6

# Status bits, as in rbinfer.status (a test compares them).
POSITION_NOT_FINITE = 1
OFF_IMAGE = 2
WINDOW_OFF_IMAGE = 4
TOO_FEW_GOOD_PIXELS = 8
NEAR_EDGE = 256
PARTLY_MASKED = 512
SATURATED = 1024
_REJECTED = POSITION_NOT_FINITE | OFF_IMAGE | WINDOW_OFF_IMAGE | TOO_FEW_GOOD_PIXELS

# As in rbinfer.io.images.
LARGEST = np.float32(1e30)
# Noise below this is none: its inverse must stay within float32.
_SMALLEST = 1e-36

# Lines for order statistics are padded to whole vectors of this many values, as in workspace.py.
_LANES = 64

# Float32 pixels of a cache line, of 64 bytes on all that we know.
_LINE = 16

# Largest side of a window, in pixels, that is asked for ahead, and in how many parts.
_MOST_AHEAD = 128
_PARTS = 4


@functools.cache
def _tell_uncached() -> None:
    """Say once that every start will compile."""
    log.warning(
        "the compiled kernels cannot be kept, because neither %s nor a home directory can be written: "
        "each start compiles them anew; set NUMBA_CACHE_DIR to a directory that can be written",
        Path(__file__).parent,
    )


def _jit(function: Callable[..., Any]) -> Any:
    """Compile lazily, without the GIL; cached on disk where a place for the cache can be written."""
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # Numba's "no locator available"
        _tell_uncached()
        return numba.njit(nogil=True, error_model="numpy")(function)


@_jit
def _asinh(value: Any) -> Any:
    """Float32 asinh without branches, so that LLVM vectorises loops over it.

    asinh(a) = log1p(u) with u = a + a^2 / (1 + sqrt(1 + a^2)); the logarithm is the atanh series
    2 s (1 + s^2/3 + s^4/5 + ...) with s = f / (2 + f) and |s| < 0.172, after splitting off the power
    of two. Truncation is below 3e-9 and rounding a few units in the last place: under 5e-7 relative.
    """
    a = min(abs(value), np.float32(1e18))
    u = a + a * a / (np.float32(1.0) + math.sqrt(np.float32(1.0) + a * a))
    t = np.float32(1.0) + u
    bits = np.float32(t).view(np.int32)
    e = (bits >> 23) - 127
    m = np.int32((bits & 0x007FFFFF) | 0x3F800000).view(np.float32)
    high = m > _SQRT2
    m = m * np.float32(0.5) if high else m
    e = e + 1 if high else e
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


@_jit
def asinh_array(values: Any, out: Any) -> None:
    """Fill `out` with the kernels' asinh of `values`; for tests and benchmarks."""
    for i in range(values.size):
        out[i] = _asinh(values[i])


# -------------------------------------------------------------------------- order statistics
#
# LLVM vectorises counts and maxima of integers but not maxima of floats, so these look at the bits of
# floats. To bisect for a value takes some 20 counts, of 23 ns each for 961 pixels with AVX-512; a
# selection by partition takes ten times as long, for its branches cannot be predicted.


def _bits(values: Any) -> Any:
    """Return an array of floats as integers of the same width; in kernels only."""
    raise NotImplementedError


@overload(_bits)
def _overload_bits(values: Any) -> Callable[..., Any]:
    integer = np.int32 if values.dtype == numba.float32 else np.int64

    def implementation(values: Any) -> Any:
        return values.view(integer)

    return implementation


@_jit
def _all_finite(values: Any, n: int) -> Any:
    count = np.int32(0)
    for i in range(n):
        count = np.int32(count + (abs(values[i]) < LARGEST))
    return count == n


@_jit
def _peak(values: Any, n: int) -> Any:
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


@_jit
def _flip(bits: Any, n: int) -> None:
    """Turn bits of floats into integers of the same order, or back."""
    lowest = np.iinfo(bits.dtype).min
    for i in range(n):
        bits[i] = bits[i] if bits[i] >= 0 else lowest - bits[i]


@_jit
def _count_to(keys: Any, n: int, bound: Any) -> Any:
    count = np.int32(0)
    for i in range(n):
        count = np.int32(count + (keys[i] <= bound))
    return count


@_jit
def _least_above(keys: Any, n: int, bound: Any) -> Any:
    top = keys.dtype.type(np.iinfo(keys.dtype).max)
    least = top
    for i in range(n):
        candidate = keys[i] if keys[i] > bound else top
        least = min(least, candidate)
    return least


@_jit
def _median(a: Any, n: int) -> Any:
    """Return the median of ``a[:n]`` (mean of the middle two when even); `a` is scratch, padded."""
    keys = _bits(a)
    key = keys.dtype.type
    _flip(keys, n)
    whole = (n + _LANES - 1) // _LANES * _LANES
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


@_jit
def _sigma_of(values: Any, n: int, median: Any, scratch: Any) -> Any:
    """Return 1.4826 x the median of ``|values[:n] - median|``."""
    for i in range(n):
        scratch[i] = abs(values[i] - median)
    return _MAD_TO_SIGMA * _median(scratch, n)


# ------------------------------------------------------------------------ shared by the presets


@_jit
def _write_channels(
    values: Any, n: int, inverse: Any, scale_linear: Any, scale_asinh: Any, limit: Any,
    curved: Any, out: Any,
) -> None:  # fmt: skip
    """Fill `out` with both channels, in turns, of `n` background-subtracted values."""
    # By way of scratch: LLVM does not vectorise asinh into every other element. Nor does it vectorise
    # the second loop for an array of pairs, whose stride it does not know.
    for p in range(n):
        value = _asinh(np.float32(values[p] * inverse)) * scale_asinh
        curved[p] = min(max(value, -limit), limit)
    for p in range(n):
        out[np.uint64(2 * p)] = min(max(values[p] * scale_linear, -limit), limit)
        out[np.uint64(2 * p + 1)] = curved[p]


@_jit
def _position_status(x: float, y: float, width: int, height: int) -> int:
    if not (math.isfinite(x) and math.isfinite(y)):
        return POSITION_NOT_FINITE
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        return OFF_IMAGE
    return 0


@_jit
def _clear_rejected(status: Any, out: Any) -> None:
    """Zero the cutouts that could not be made."""
    for k in range(status.size):
        if status[k] & _REJECTED:
            _fill(out[k], 0.0)


@_jit
def _copy(source: Any, n: int, target: Any) -> None:
    # Loops compile in a fraction of the time that assignments to slices take.
    for p in range(n):
        target[p] = source[p]


@_jit
def _fill(target: Any, value: Any) -> None:
    for p in range(target.size):
        target[p] = value


@_jit
def _copy_rows(source: Any, top: int, left: int, h: int, w: int, target: Any) -> None:
    # Unsigned indices spare Numba's test for negative ones, here and below.
    for i in range(h):
        a, p = np.uint64(top + i), i * w
        for j in range(w):
            target[np.uint64(p + j)] = source[a, np.uint64(left + j)]


@_jit
def _any_masked(mask: Any, top: int, left: int, h: int, w: int) -> Any:
    count = np.int32(0)
    for i in range(h):
        a = np.uint64(top + i)
        for j in range(w):
            count = np.int32(count + mask[a, np.uint64(left + j)])
    return count > 0


@_jit
def _is_good(image: Any, mask: Any, has_mask: bool, i: int, j: int) -> bool:
    return abs(image[i, j]) < LARGEST and not (has_mask and mask[i, j])


def _code_of_prefetch(context: Any, image: Any, i: Any, j: Any) -> Any:
    """Ask for the cache line of ``image[i, j]``, which must exist, without waiting for it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = _codegen.get_item_pointer(
            context, builder, signature.args[0], array, list(arguments[1:]), wraparound=False
        )
        address = ir.PointerType(ir.IntType(8))
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address, number, number, number])
        function = _codegen.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = number(0), number(3), number(1)
        builder.call(function, [builder.bitcast(pointer, address), read, keep, data])
        return context.get_dummy_value()

    return types.void(image, types.intp, types.intp), code


_prefetch: Any = intrinsic(_code_of_prefetch)


@_jit
def _prefetch_part(image: Any, x: Any, y: Any, k: int, start: int, span: int, part: int) -> None:
    """Ask for some rows of the window of object `k` while the one before it is being worked on.

    Rows lie whole pages apart, so the hardware does not foresee them: in an image larger than the
    caches, waiting for them took a third of the time. CPUs remember few of such wishes at a time, so
    `_PARTS` parts of a window are asked for in turns with work.
    """
    height, width = image.shape
    # Windows that are large beside the caches would drive out the one that is being worked on.
    if k >= x.size or span > _MOST_AHEAD:
        return
    if not (-0.5 <= x[k] < width - 0.5 and -0.5 <= y[k] < height - 0.5):
        return
    top, left = math.floor(y[k] + 0.5) + start, math.floor(x[k] + 0.5) + start
    first, last = max(left, 0), min(left + span, width) - 1
    begin, end = top + span * part // _PARTS, top + span * (part + 1) // _PARTS
    for i in range(max(begin, 0), min(end, height)):
        for j in range(first, last, _LINE):
            _prefetch(image, i, j)
        _prefetch(image, i, last)


# --------------------------------------------------------------------------- reference preset


@_jit
def _edge_median(window: Any, h: int, w: int, scratch: Any) -> Any:
    """Median of the four edge rows and columns, corners counted twice."""
    n = 0
    for j in range(w):
        scratch[n] = window[j]
        scratch[n + 1] = window[(h - 1) * w + j]
        n += 2
    for i in range(h):
        scratch[n] = window[i * w]
        scratch[n + 1] = window[i * w + w - 1]
        n += 2
    return _median(scratch, n)


@_jit
def _block_mean(window: Any, w: int, i: int, j: int, f: int) -> Any:
    # Row sums first and in the window's own precision, as NumPy adds them up.
    total = window[0]
    for a in range(i * f, i * f + f):
        row = window[a * w + j * f]
        for p in range(a * w + j * f + 1, a * w + j * f + f):
            row += window[p]
        total = total + row if a > i * f else row
    return window.dtype.type(total / (f * f))


@_jit
def _subtracted(
    window: Any, bg_window: Any, has_bg: bool, background: Any, h: int, w: int, down: int, work: Any
) -> None:
    """Fill `work` with the rescaled window less its background."""
    level = work.dtype.type(background)
    if down == 1 and not has_bg:
        for p in range(h * w):
            work[p] = window[p] - level
    else:
        hs, ws = h // down, w // down
        for i in range(hs):
            for j in range(ws):
                below = _block_mean(bg_window, w, i, j, down) if has_bg else level
                work[i * ws + j] = _block_mean(window, w, i, j, down) - below


@_jit
def _reference_finish(
    window: Any, bg_window: Any, has_bg: bool, background: Any, sigma: float,
    h: int, w: int, down: int, up: int, softening: float, normalise: bool,
    work: Any, curved: Any, pairs: Any, column: Any, out: Any,
) -> None:  # fmt: skip
    """Rescale, subtract the background, make both channels, normalise, crop or pad."""
    size = column.size
    # Replication repeats pixels, so peaks can be found before it and indices mapped after it.
    hs, ws = h // down, w // down
    _subtracted(window, bg_window, has_bg, background, h, w, down, work)
    peak_linear = _peak(work, hs * ws)
    inverse = np.float32(min(1.0 / (softening * sigma), 1.0 / _SMALLEST))
    # asinh is odd and grows, so its peak lies where the linear peak lies.
    peak_asinh = _asinh(np.float32(peak_linear * inverse))
    scale_linear = 1.0
    scale_asinh = np.float32(1.0)
    if normalise:
        if peak_linear > 1e-10:
            scale_linear = 1.0 / peak_linear
        if peak_asinh > 1e-10:
            scale_asinh = np.float32(1.0) / peak_asinh
    no_limit = np.float32(np.inf)
    if up == 1 and hs == size and ws == size:
        _write_channels(work, size * size, inverse, scale_linear, scale_asinh, no_limit, curved, out)
        return
    _write_channels(work, hs * ws, inverse, scale_linear, scale_asinh, no_limit, curved, pairs)
    hu, wu = hs * up, ws * up
    top = (hu - size) // 2 if hu > size else -((size - hu) // 2)
    left = (wu - size) // 2 if wu > size else -((size - wu) // 2)
    for j in range(size):
        column[j] = min(max(j + left, 0), wu - 1) // up  # divisions are slow
    for i in range(size):
        row = min(max(i + top, 0), hu - 1) // up * ws
        for j in range(size):
            p, q = 2 * (row + column[j]), 2 * (i * size + j)
            out[q] = pairs[p]
            out[q + 1] = pairs[p + 1]


@_jit
def preprocess_reference(
    window: Any, h: int, w: int, bg_map: Any, has_bg_map: bool, background: float, has_background: bool,
    sigma: float, has_sigma: bool, down: int, up: int, softening: float, normalise: bool,
    lines: Any, pairs: Any, column: Any, out: Any,
) -> None:  # fmt: skip
    """Preprocess one ready cutout as the reference does; see `rbinfer.preprocess_cutout`."""
    work, scratch = lines[0], lines[1]
    if not has_bg_map and not has_background:
        background = _edge_median(window, h, w, scratch)
    if not has_sigma:
        _copy(window, h * w, scratch)
        sigma = _sigma_of(window, h * w, _median(scratch, h * w), scratch)
    if not (sigma > 0 and sigma < np.inf):
        sigma = 1.0
    _reference_finish(
        window, bg_map, has_bg_map, background, sigma, h, w, down, up, softening, normalise,
        work, scratch, pairs, column, out,
    )  # fmt: skip


@_jit
def _fill_bad(window: Any, mask: Any, has_mask: bool, y1: int, x1: int, h: int, w: int,
              least: float, scratch: Any) -> bool:  # fmt: skip
    """Give bad pixels the median of the good; False if fewer than `least` of them are good."""
    n = 0
    for i in range(h):
        for j in range(w):
            if abs(window[i * w + j]) < LARGEST and not (has_mask and mask[y1 + i, x1 + j]):
                scratch[n] = window[i * w + j]
                n += 1
    if n < least or n == 0:
        return False
    fill = _median(scratch, n)
    for i in range(h):
        for j in range(w):
            if not abs(window[i * w + j]) < LARGEST or (has_mask and mask[y1 + i, x1 + j]):
                window[i * w + j] = fill
    return True


@_jit
def cut_reference(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, background: float,
    has_background: bool, err_map: Any, has_err_map: bool, sigma_given: float, has_sigma: bool,
    radius: int, down: int, up: int, softening: float, min_good: float, saturation: float,
    lines: Any, pairs: Any, column: Any, x: Any, y: Any, out: Any, status: Any, snr: Any,
) -> None:  # fmt: skip
    """Cut and preprocess objects as the reference does; `status` says which could not be."""
    height, width = image.shape
    side = 2 * radius + 2
    window, bg_window, work, scratch = lines[0], lines[1], lines[2], lines[3]
    for k in range(x.size):
        _prefetch_part(image, x, y, k + 1, -radius, side - 1, 0)
        snr[k] = np.nan
        status[k] = _position_status(x[k], y[k], width, height)
        if status[k]:
            continue
        # Truncation toward zero, as in the reference.
        x1, x2 = int(x[k] - radius), int(x[k] + radius + 1)
        y1, y2 = int(y[k] - radius), int(y[k] + radius + 1)
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            status[k] = WINDOW_OFF_IMAGE
            continue
        h, w = y2 - y1, x2 - x1
        n = h * w
        _copy_rows(image, y1, x1, h, w, window)
        if not _all_finite(window, n) or (has_mask and _any_masked(mask, y1, x1, h, w)):
            status[k] = PARTLY_MASKED
            if not _fill_bad(window, mask, has_mask, y1, x1, h, w, min_good * n, scratch):
                status[k] = TOO_FEW_GOOD_PIXELS
                continue
        _prefetch_part(image, x, y, k + 1, -radius, side - 1, 1)
        level = background
        if has_bg_map:
            _copy_rows(bg_map, y1, x1, h, w, bg_window)
        elif not has_background:
            level = _edge_median(window, h, w, scratch)
        _prefetch_part(image, x, y, k + 1, -radius, side - 1, 2)
        sigma = sigma_given
        if has_err_map:
            n_noise = 0
            for i in range(y1, y2):
                for j in range(x1, x2):
                    if not math.isnan(err_map[i, j]):
                        scratch[n_noise] = err_map[i, j]
                        n_noise += 1
            sigma = _median(scratch, n_noise) if n_noise > 0 else np.nan
        elif not has_sigma:
            _copy(window, n, scratch)
            sigma = _sigma_of(window, n, _median(scratch, n), scratch)
        if not (sigma > 0 and sigma < np.inf):
            sigma = 1.0
        _prefetch_part(image, x, y, k + 1, -radius, side - 1, 3)
        _reference_finish(
            window, bg_window, has_bg_map, level, sigma, h, w, down, up, softening, True,
            work, scratch, pairs, column, out[k],
        )  # fmt: skip
        total = 0.0
        for i in range(radius - 1, radius + 2):
            for p in range(i * w + radius - 1, i * w + radius + 2):
                total += window[p] - (bg_window[p] if has_bg_map else level)
                if window[p] >= saturation:
                    status[k] |= SATURATED
        snr[k] = total / (3.0 * sigma)
    _clear_rejected(status, out)


# ----------------------------------------------------------------------------- default preset


@_jit
def _brightest(image: Any, mask: Any, has_mask: bool, i0: int, j0: int, reach: int) -> Any:
    """Brightest good pixel within `reach` of (i0, j0); the nearest of equals, (i0, j0) if none."""
    height, width = image.shape
    best_i, best_j, best, best_distance = i0, j0, -np.inf, 0
    for i in range(max(i0 - reach, 0), min(i0 + reach + 1, height)):
        for j in range(max(j0 - reach, 0), min(j0 + reach + 1, width)):
            if _is_good(image, mask, has_mask, i, j):
                value = image[i, j]
                distance = (i - i0) ** 2 + (j - j0) ** 2
                if value > best or (value == best and distance < best_distance):
                    best_i, best_j, best, best_distance = i, j, value, distance
    return best_i, best_j


@_jit
def _weighed(weights: Any, j: int, values: Any, at: int) -> Any:
    total = 0.0
    for t in range(weights.shape[1]):
        total += weights[j, t] * values[np.uint64(at + t)]
    return total


@_jit
def _fetch_whole(
    image: Any, bg_map: Any, has_bg_map: bool, top: int, left: int, span: int, first: Any,
    weights: Any, columns: Any, window: Any,
) -> None:  # fmt: skip
    """Fill the resampled window, all of which is on the image and unmasked."""
    size, taps = weights.shape
    for i in range(size):
        # Down the columns first, along which memory is contiguous, and in double precision.
        is_first = True
        for t in range(taps):
            w = weights[i, t]
            if w > 0:
                a = np.uint64(top + first[i] + t)
                if is_first:
                    for p in range(span):
                        columns[p] = w * image[a, np.uint64(left + p)]
                else:
                    for p in range(span):
                        columns[p] += w * image[a, np.uint64(left + p)]
                is_first = False
                if has_bg_map:
                    for p in range(span):
                        columns[p] -= w * bg_map[a, np.uint64(left + p)]
        for j in range(size):
            window[i * size + j] = _weighed(weights, j, columns, first[j])


@_jit
def _fetch_between(
    image: Any, bg_map: Any, has_bg_map: bool, top: int, left: int, span: int, first: Any,
    weights: Any, turned: Any, line: Any, rows: Any, window: Any,
) -> None:  # fmt: skip
    """Fill the window as `_fetch_whole` does, where two native pixels make one: a growing image.

    Along each axis in turn the other one lies contiguous in memory, in whole vectors: twice as fast,
    with the pixels turned over in between. With more pixels to turn over, that no longer pays.
    """
    size = weights.shape[0]
    for i in range(span):
        a = np.uint64(top + i)
        for p in range(span):
            turned[np.uint64(p), np.uint64(i)] = image[a, np.uint64(left + p)]
        if has_bg_map:
            for p in range(span):
                turned[np.uint64(p), np.uint64(i)] -= bg_map[a, np.uint64(left + p)]
    for j in range(size):
        w0, w1 = weights[j, 0], weights[j, 1]
        a, b = np.uint64(first[j]), np.uint64(first[j] + 1)
        for i in range(turned.shape[1]):
            line[i] = w0 * turned[a, np.uint64(i)] + w1 * turned[b, np.uint64(i)]
        for i in range(span):
            rows[np.uint64(i), np.uint64(j)] = line[i]
    for i in range(size):
        w0, w1 = weights[i, 0], weights[i, 1]
        a, b = np.uint64(first[i]), np.uint64(first[i] + 1)
        # What a row has beyond its end is overwritten by the next one; `window` has room for the last.
        for j in range(rows.shape[1]):
            window[np.uint64(i * size + j)] = w0 * rows[a, np.uint64(j)] + w1 * rows[b, np.uint64(j)]


@_jit
def _fetch_partly(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, top: int, left: int,
    span: int, first: Any, weights: Any, columns: Any, known: Any, inside: Any, window: Any, good: Any,
) -> Any:  # fmt: skip
    """Fill the resampled window; return how much of it is good, and on the image, in its pixels."""
    height, width = image.shape
    size, taps = weights.shape
    n_good, n_inside = 0.0, 0.0
    for i in range(size):
        _fill(columns, 0.0)
        _fill(known, 0.0)
        _fill(inside, 0.0)
        for t in range(taps):
            w, a = weights[i, t], top + first[i] + t
            if w > 0 and 0 <= a < height:
                for p in range(span):
                    b = left + p
                    if 0 <= b < width:
                        inside[p] += w
                        if _is_good(image, mask, has_mask, a, b):
                            columns[p] += w * (image[a, b] - (bg_map[a, b] if has_bg_map else 0.0))
                            known[p] += w
        for j in range(size):
            share = _weighed(weights, j, known, first[j])
            n_good += share
            n_inside += _weighed(weights, j, inside, first[j])
            good[i * size + j] = share > _LEAST_SHARE
            value = _weighed(weights, j, columns, first[j])
            window[i * size + j] = value / share if share > _LEAST_SHARE else 0.0
    return n_good, n_inside


@_jit
def _border(values: Any, good: Any, size: int, ring: Any) -> int:
    """Copy the good pixels of the window's border; all its good pixels if most of those are missing."""
    n = 0
    for i in range(size):
        step = 1 if i == 0 or i == size - 1 else size - 1
        for p in range(i * size, i * size + size, step):
            if good[p]:
                ring[n] = values[p]
                n += 1
    if n < 2 * size:
        n = 0
        for p in range(size * size):
            if good[p]:
                ring[n] = values[p]
                n += 1
    return n


@_jit
def _border_noise(err_map: Any, ci: int, cj: int, middles: Any, scratch: Any) -> float:
    """Median of the noise map in the middles of the pixels along the window's border."""
    height, width = err_map.shape
    size, n = middles.size, 0
    for i in range(size):
        a = ci + middles[i]
        for j in range(0, size, 1 if i == 0 or i == size - 1 else size - 1):
            b = cj + middles[j]
            if 0 <= a < height and 0 <= b < width and abs(err_map[a, b]) < LARGEST:
                scratch[n] = err_map[a, b]
                n += 1
    return float(_median(scratch, n)) if n > 0 else float(err_map[ci, cj])


@_jit
def cut_default(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, background: float,
    has_background: bool, err_map: Any, has_err_map: bool, sigma_given: float, has_sigma: bool,
    recentre: int, start: int, span: int, first: Any, weights: Any, middles: Any,
    noise_factor: float, softening: float, min_good: float,
    centre_linear: bool, centre_asinh: bool, clip: float, saturation: float,
    lines: Any, turned: Any, rows: Any, sums: Any, good: Any,
    x: Any, y: Any, out: Any, status: Any, snr: Any,
) -> None:  # fmt: skip
    """Cut and preprocess objects by the default preset; see `rbinfer.model.spec.PreprocessSpec`."""
    height, width = image.shape
    size = middles.size
    half, n_pixels = size // 2, size * size
    between = weights.shape[1] == 2
    window, ring, scratch = lines[0], lines[1], lines[2]
    limit = np.float32(clip)
    for k in range(x.size):
        _prefetch_part(image, x, y, k + 1, start, span, 0)
        snr[k] = np.nan
        status[k] = _position_status(x[k], y[k], width, height)
        if status[k]:
            continue
        ci, cj = math.floor(y[k] + 0.5), math.floor(x[k] + 0.5)
        if recentre > 0:
            ci, cj = _brightest(image, mask, has_mask, ci, cj, recentre)

        # Pixels, resampled. A pixel that is not finite makes those that it is part of so.
        top, left = ci + start, cj + start
        whole = (
            top >= 0 and left >= 0 and top + span <= height and left + span <= width
            and not (has_mask and _any_masked(mask, top, left, span, span))
        )  # fmt: skip
        if whole:
            if between:
                _fetch_between(
                    image, bg_map, has_bg_map, top, left, span, first, weights, turned, sums[0], rows,
                    window,
                )  # fmt: skip
            else:
                _fetch_whole(image, bg_map, has_bg_map, top, left, span, first, weights, sums[0], window)
            whole = _all_finite(window, n_pixels)
        _fill(good, True)
        if not whole:
            n_good, n_inside = _fetch_partly(
                image, mask, has_mask, bg_map, has_bg_map, top, left, span, first, weights,
                sums[0], sums[1], sums[2], window, good,
            )  # fmt: skip
            if n_inside < n_pixels - _ROUNDING:
                status[k] |= NEAR_EDGE
            if n_good < n_inside - _ROUNDING:
                status[k] |= PARTLY_MASKED
            centre_good = False
            for i in range(half - 1, half + 2):
                for j in range(half - 1, half + 2):
                    centre_good = centre_good or good[i * size + j]
            if n_good < min_good * n_pixels or not centre_good:
                status[k] |= TOO_FEW_GOOD_PIXELS
                continue

        _prefetch_part(image, x, y, k + 1, start, span, 1)
        # Background and noise from the border of the window.
        level: Any = background
        sigma: Any = sigma_given
        need_level = not has_bg_map and not has_background
        need_sigma = not has_err_map and not has_sigma
        if need_level or need_sigma:
            n = _border(window, good, size, ring)
            _copy(ring, n, scratch)
            middle = _median(scratch, n)
            if need_level:
                level = middle
            if need_sigma:
                sigma = _sigma_of(ring, n, middle, scratch)
        if has_err_map:
            sigma = _border_noise(err_map, ci, cj, middles, scratch)
        if has_err_map or has_sigma:
            sigma *= noise_factor  # resampling averages independent pixels

        _prefetch_part(image, x, y, k + 1, start, span, 2)
        # Subtract, and find what to normalise by.
        zero_level = np.float32(0.0 if has_bg_map else level)
        for p in range(n_pixels):
            window[p] = window[p] - zero_level if good[p] else np.float32(0.0)
        peak = _peak(window, n_pixels)
        centre = np.float32(0.0)
        total = 0.0
        for i in range(half - 1, half + 2):
            for p in range(i * size + half - 1, i * size + half + 2):
                centre = max(centre, abs(window[p]))
                total += window[p]
        if not (sigma > max(1e-4 * peak, _SMALLEST) and sigma < np.inf):
            # No noise to be seen: a scale-free stand-in keeps the score free of the gain.
            sigma = 1e-4 * peak if 1e-4 * peak > _SMALLEST else 1.0
        snr[k] = total / (3.0 * sigma)
        centre = max(centre, np.float32(sigma))
        top_of_all = max(peak, np.float32(sigma))
        inverse = np.float32(min(1.0 / (softening * sigma), 1.0 / _SMALLEST))
        scale_linear = np.float32(1.0) / (centre if centre_linear else top_of_all)
        scale_asinh = np.float32(1.0) / _asinh((centre if centre_asinh else top_of_all) * inverse)
        _prefetch_part(image, x, y, k + 1, start, span, 3)
        _write_channels(window, n_pixels, inverse, scale_linear, scale_asinh, limit, scratch, out[k])
        if saturation < np.inf:
            for i in range(max(ci - 1, 0), min(ci + 2, height)):
                for j in range(max(cj - 1, 0), min(cj + 2, width)):
                    if image[i, j] >= saturation:
                        status[k] |= SATURATED
    _clear_rejected(status, out)
