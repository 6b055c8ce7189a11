"""Every Numba kernel of rbinfer, and nothing else.

The kernels trust their callers (:mod:`rbinfer.cutouts` validates): native float32 arrays, C order,
and parameters in range. Optional maps come as 1 x 1 dummies together with a flag. All release the
GIL, so threads can share the work. Numba's cache does not see changes in other modules, so
everything the kernels depend on is an argument or stands in this file.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_LN2 = np.float32(math.log(2.0))
_SQRT2 = np.float32(math.sqrt(2.0))
# 1 / Phi^-1(3/4): scales the MAD of normal deviates to their standard deviation.
_MAD_TO_SIGMA = 1.482602218505602

# Status bits, as in rbinfer.status (a test compares them).
POSITION_NOT_FINITE = 1
OFF_IMAGE = 2
WINDOW_OFF_IMAGE = 4
TOO_FEW_GOOD_PIXELS = 8
NEAR_EDGE = 256
PARTLY_MASKED = 512
SATURATED = 1024


def _jit(function: Callable[..., Any]) -> Any:
    """Compile lazily, without the GIL; cached on disk where a place for the cache can be written."""
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # Numba's "no locator available"
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


@_jit
def _select(a: Any, n: int, k: int) -> Any:
    """Return the k-th smallest of ``a[:n]``; partitions in place (Hoare's quickselect)."""
    low, high = 0, n - 1
    while low < high:
        # Median of three as pivot: sorted and constant input stay fast.
        middle = (low + high) >> 1
        if a[middle] < a[low]:
            a[middle], a[low] = a[low], a[middle]
        if a[high] < a[low]:
            a[high], a[low] = a[low], a[high]
        if a[high] < a[middle]:
            a[high], a[middle] = a[middle], a[high]
        pivot = a[middle]
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while pivot < a[j]:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return a[k]


@_jit
def _median(a: Any, n: int) -> Any:
    """Return the median of ``a[:n]`` (mean of the middle two when even); reorders `a`."""
    upper = _select(a, n, n >> 1)
    lower = upper
    if n & 1 == 0:
        lower = a[0]
        for i in range(1, n >> 1):
            lower = max(lower, a[i])
    # Through the array, for a result in its own precision, like NumPy's.
    kept = a[0]
    a[0] = 0.5 * (float(lower) + float(upper))
    result = a[0]
    a[0] = kept
    return result


@_jit
def _mad_sigma(a: Any, n: int, median: float) -> Any:
    """Return 1.4826 x the median of ``|a[:n] - median|``; overwrites `a`."""
    for i in range(n):
        a[i] = abs(a[i] - median)
    return _MAD_TO_SIGMA * _median(a, n)


# --------------------------------------------------------------------------- reference preset


@_jit
def _edge_median(window: Any, h: int, w: int, scratch: Any) -> Any:
    """Median of the four edge rows and columns, corners counted twice."""
    n = 0
    for j in range(w):
        scratch[n] = window[0, j]
        scratch[n + 1] = window[h - 1, j]
        n += 2
    for i in range(h):
        scratch[n] = window[i, 0]
        scratch[n + 1] = window[i, w - 1]
        n += 2
    return _median(scratch, n)


@_jit
def _block_mean(window: Any, i: int, j: int, f: int) -> Any:
    # Row sums first and in the window's own precision, as NumPy adds them up.
    total = window[i * f, j * f]
    for a in range(i * f, i * f + f):
        row = window[a, j * f]
        for b in range(j * f + 1, j * f + f):
            row += window[a, b]
        total = total + row if a > i * f else row
    return total / (f * f)


@_jit
def _reference_finish(
    window: Any, bg_window: Any, has_bg: bool, background: float, sigma: float,
    h: int, w: int, down: int, up: int, softening: float, normalise: bool,
    work: Any, out: Any,
) -> None:  # fmt: skip
    """Rescale, subtract the background, make both channels, normalise, crop or pad."""
    size = out.shape[0]
    # Replication repeats pixels, so peaks can be found before it and indices mapped after it.
    hs, ws = h // down, w // down
    work[0, 0] = 0.0
    peak_linear = work[0, 0]
    for i in range(hs):
        for j in range(ws):
            work[i, j] = _block_mean(window, i, j, down)
            work[i, j] -= _block_mean(bg_window, i, j, down) if has_bg else background
            peak_linear = max(peak_linear, abs(work[i, j]))
    inverse = np.float32(1.0 / (softening * sigma))
    # asinh is odd and grows, so its peak lies where the linear peak lies.
    peak_asinh = _asinh(np.float32(peak_linear * inverse))
    scale_linear = 1.0
    scale_asinh = np.float32(1.0)
    if normalise:
        if peak_linear > 1e-10:
            scale_linear = 1.0 / peak_linear
        if peak_asinh > 1e-10:
            scale_asinh = np.float32(1.0) / peak_asinh
    hu, wu = hs * up, ws * up
    top = (hu - size) // 2 if hu > size else -((size - hu) // 2)
    left = (wu - size) // 2 if wu > size else -((size - wu) // 2)
    for i in range(size):
        a = min(max(i + top, 0), hu - 1) // up
        for j in range(size):
            b = min(max(j + left, 0), wu - 1) // up
            value = work[a, b]
            out[i, j, 0] = value * scale_linear
            out[i, j, 1] = _asinh(np.float32(value * inverse)) * scale_asinh


@_jit
def preprocess_reference(
    cutout: Any, bg_map: Any, has_bg_map: bool, background: float, has_background: bool,
    sigma: float, has_sigma: bool, down: int, up: int, softening: float, normalise: bool, out: Any,
) -> None:  # fmt: skip
    """Preprocess one ready cutout as the reference does; see `rbinfer.cutouts.preprocess_cutout`."""
    h, w = cutout.shape
    scratch = np.empty(max(h * w, 2 * (h + w)), cutout.dtype)
    work = np.empty((h, w), cutout.dtype)
    if not has_bg_map and not has_background:
        background = _edge_median(cutout, h, w, scratch)
    if not has_sigma:
        scratch[: h * w] = cutout.ravel()
        middle = _median(scratch, h * w)
        sigma = _mad_sigma(scratch, h * w, middle)
    if not (sigma > 0 and sigma < np.inf):
        sigma = 1.0
    _reference_finish(
        cutout, bg_map, has_bg_map, background, sigma, h, w, down, up, softening, normalise,
        work, out,
    )  # fmt: skip


@_jit
def cut_reference(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, background: float,
    has_background: bool, err_map: Any, has_err_map: bool, sigma_given: float, has_sigma: bool,
    x: Any, y: Any, radius: int, down: int, up: int, softening: float, min_good: float,
    saturation: float, out: Any, status: Any, snr: Any,
) -> None:  # fmt: skip
    """Cut and preprocess objects as the reference does; `status` says which could not be."""
    height, width = image.shape
    side = 2 * radius + 2
    window = np.empty((side, side), np.float32)
    bg_window = np.empty((side, side), np.float32)
    work = np.empty((side, side), np.float32)
    scratch = np.empty(max(side * side, 4 * side), np.float32)
    for k in range(x.size):
        status[k] = 0
        snr[k] = np.nan
        out[k] = 0.0
        if not (math.isfinite(x[k]) and math.isfinite(y[k])):
            status[k] = POSITION_NOT_FINITE
            continue
        if not (-0.5 <= x[k] < width - 0.5 and -0.5 <= y[k] < height - 0.5):
            status[k] = OFF_IMAGE
            continue
        # Truncation toward zero, as in the reference.
        x1, x2 = int(x[k] - radius), int(x[k] + radius + 1)
        y1, y2 = int(y[k] - radius), int(y[k] + radius + 1)
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            status[k] = WINDOW_OFF_IMAGE
            continue
        h, w = y2 - y1, x2 - x1
        n_good = 0
        for i in range(h):
            for j in range(w):
                value = image[y1 + i, x1 + j]
                window[i, j] = value
                if math.isfinite(value) and not (has_mask and mask[y1 + i, x1 + j]):
                    scratch[n_good] = value
                    n_good += 1
                if has_bg_map:
                    bg_window[i, j] = bg_map[y1 + i, x1 + j]
        if n_good < min_good * h * w or n_good == 0:
            status[k] = TOO_FEW_GOOD_PIXELS
            continue
        if n_good < h * w:
            status[k] |= PARTLY_MASKED
            fill = np.float32(_median(scratch, n_good))
            for i in range(h):
                for j in range(w):
                    bad = has_mask and mask[y1 + i, x1 + j]
                    if bad or not math.isfinite(window[i, j]):
                        window[i, j] = fill
        level = background
        if not has_bg_map and not has_background:
            level = _edge_median(window[:h, :w], h, w, scratch)
        sigma = sigma_given
        if has_err_map:
            n = 0
            for i in range(h):
                for j in range(w):
                    value = err_map[y1 + i, x1 + j]
                    if not math.isnan(value):
                        scratch[n] = value
                        n += 1
            sigma = _median(scratch, n) if n > 0 else np.nan
        elif not has_sigma:
            n = 0
            for i in range(h):
                for j in range(w):
                    scratch[n] = window[i, j]
                    n += 1
            middle = _median(scratch, n)
            sigma = _mad_sigma(scratch, n, middle)
        if not (sigma > 0 and sigma < np.inf):
            sigma = 1.0
        _reference_finish(
            window, bg_window, has_bg_map, level, sigma, h, w, down, up, softening, True,
            work, out[k],
        )  # fmt: skip
        total = 0.0
        for i in range(radius - 1, radius + 2):
            for j in range(radius - 1, radius + 2):
                total += window[i, j] - (bg_window[i, j] if has_bg_map else level)
                if window[i, j] >= saturation:
                    status[k] |= SATURATED
        snr[k] = total / (3.0 * sigma)


# ----------------------------------------------------------------------------- default preset


@_jit
def _is_good(image: Any, mask: Any, has_mask: bool, i: int, j: int) -> bool:
    return math.isfinite(image[i, j]) and not (has_mask and mask[i, j])


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
def _block(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool,
    i0: int, j0: int, f: int,
) -> Any:  # fmt: skip
    """Mean over the good pixels of an f x f block, and how many are good and how many on the image."""
    height, width = image.shape
    total, good, inside = 0.0, 0, 0
    for i in range(max(i0, 0), min(i0 + f, height)):
        for j in range(max(j0, 0), min(j0 + f, width)):
            inside += 1
            if _is_good(image, mask, has_mask, i, j):
                value = float(image[i, j])
                if has_bg_map:
                    value -= bg_map[i, j]
                total += value
                good += 1
    return (total / good if good else 0.0), good, inside


@_jit
def cut_default(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, background: float,
    has_background: bool, err_map: Any, has_err_map: bool, sigma_given: float, has_sigma: bool,
    x: Any, y: Any, recentre: int, down: int, up: int, softening: float, min_good: float,
    centre_linear: bool, centre_asinh: bool, clip: float, saturation: float,
    out: Any, status: Any, snr: Any,
) -> None:  # fmt: skip
    """Cut and preprocess objects by the default preset; see `rbinfer.spec.PreprocessSpec`."""
    height, width = image.shape
    size = out.shape[1]
    half = size // 2
    n_pixels = size * size
    window = np.empty((size, size), np.float32)
    good = np.empty((size, size), np.uint8)
    ring = np.empty(n_pixels, np.float32)
    limit = np.float32(clip)
    for k in range(x.size):
        status[k] = 0
        snr[k] = np.nan
        out[k] = 0.0
        if not (math.isfinite(x[k]) and math.isfinite(y[k])):
            status[k] = POSITION_NOT_FINITE
            continue
        if not (-0.5 <= x[k] < width - 0.5 and -0.5 <= y[k] < height - 0.5):
            status[k] = OFF_IMAGE
            continue
        ci, cj = int(math.floor(y[k] + 0.5)), int(math.floor(x[k] + 0.5))
        if recentre > 0:
            ci, cj = _brightest(image, mask, has_mask, ci, cj, recentre)

        # Pixels, rescaled: block (half, half) holds pixel (ci, cj) in its middle.
        n_good, n_inside, n_native = 0, 0, 0
        if down > 1:
            top, left = ci - half * down - (down - 1) // 2, cj - half * down - (down - 1) // 2
            span = size * down
        else:
            top, left = (
                ci - (half + up - 1 - (up - 1) // 2) // up,
                cj - (half + up - 1 - (up - 1) // 2) // up,
            )
            span = 0
        whole = (
            not has_mask and down == 1 and up == 1 and not has_bg_map
            and top >= 0 and left >= 0 and top + size <= height and left + size <= width
        )  # fmt: skip
        if whole:
            n_bad = 0
            for i in range(size):
                for j in range(size):
                    value = image[top + i, left + j]
                    window[i, j] = value
                    n_bad += 0 if math.isfinite(value) else 1
            whole = n_bad == 0
        if whole:
            n_good = n_inside = n_native = n_pixels
        elif down > 1:
            n_native = span * span
            for i in range(size):
                for j in range(size):
                    value, g, inside = _block(
                        image, mask, has_mask, bg_map, has_bg_map,
                        top + i * down, left + j * down, down,
                    )  # fmt: skip
                    window[i, j] = np.float32(value)
                    good[i, j] = 1 if g > 0 else 0
                    n_good += g
                    n_inside += inside
        else:
            n_native = n_pixels
            shift = (up - 1) // 2
            for i in range(size):
                a = ci + (i - half + shift) // up
                for j in range(size):
                    b = cj + (j - half + shift) // up
                    inside = 0 <= a < height and 0 <= b < width
                    ok = inside and _is_good(image, mask, has_mask, a, b)
                    window[i, j] = 0.0
                    if ok:
                        window[i, j] = image[a, b] - (bg_map[a, b] if has_bg_map else np.float32(0.0))
                    good[i, j] = 1 if ok else 0
                    n_good += 1 if ok else 0
                    n_inside += 1 if inside else 0
        if n_inside < n_native:
            status[k] |= NEAR_EDGE
        if n_good < n_inside:
            status[k] |= PARTLY_MASKED
        centre_good = whole
        if not whole:
            for i in range(half - 1, half + 2):
                for j in range(half - 1, half + 2):
                    centre_good = centre_good or good[i, j] == 1
        if n_good < min_good * n_native or not centre_good:
            status[k] |= TOO_FEW_GOOD_PIXELS
            continue

        # Background and noise from the border of the window.
        level: Any = background
        sigma: Any = sigma_given
        need_level = not has_bg_map and not has_background
        need_sigma = not has_err_map and not has_sigma
        if need_level or need_sigma:
            n = 0
            for i in range(size):
                step = 1 if i == 0 or i == size - 1 else size - 1
                for j in range(0, size, step):
                    if whole or good[i, j]:
                        ring[n] = window[i, j]
                        n += 1
            if n < 2 * size:
                # Most of the border is missing: every good pixel has to serve.
                n = 0
                for i in range(size):
                    for j in range(size):
                        if whole or good[i, j]:
                            ring[n] = window[i, j]
                            n += 1
            middle = _median(ring, n)
            if need_level:
                level = middle
            if need_sigma:
                sigma = _mad_sigma(ring, n, middle)
        if has_err_map:
            n = 0
            for i in range(size):
                step = 1 if i == 0 or i == size - 1 else size - 1
                for j in range(0, size, step):
                    if down > 1:
                        a, b = top + i * down + (down - 1) // 2, left + j * down + (down - 1) // 2
                    else:
                        a = ci + (i - half + (up - 1) // 2) // up
                        b = cj + (j - half + (up - 1) // 2) // up
                    if 0 <= a < height and 0 <= b < width and math.isfinite(err_map[a, b]):
                        ring[n] = err_map[a, b]
                        n += 1
            sigma = _median(ring, n) if n > 0 else float(err_map[ci, cj])
        if has_err_map or has_sigma:
            sigma /= down  # the noise of a block mean of independent pixels

        # Subtract, and find what to normalise by.
        zero_level = np.float32(0.0 if has_bg_map else level)
        peak = np.float32(0.0)
        for i in range(size):
            for j in range(size):
                value = window[i, j] - zero_level
                value = value if whole or good[i, j] else np.float32(0.0)
                window[i, j] = value
                peak = max(peak, abs(value))
        centre = np.float32(0.0)
        total = 0.0
        for i in range(half - 1, half + 2):
            for j in range(half - 1, half + 2):
                centre = max(centre, abs(window[i, j]))
                total += window[i, j]
        if not (sigma > 1e-4 * peak and sigma < np.inf):
            # No noise to be seen: a scale-free stand-in keeps the score free of the gain.
            sigma = 1e-4 * peak if peak > 0 else 1.0
        snr[k] = total / (3.0 * sigma)
        centre = max(centre, np.float32(sigma))
        inverse = np.float32(1.0 / (softening * sigma))
        scale_linear = np.float32(1.0) / (centre if centre_linear else max(peak, np.float32(sigma)))
        top_asinh = _asinh((centre if centre_asinh else max(peak, np.float32(sigma))) * inverse)
        scale_asinh = np.float32(1.0) / top_asinh
        for i in range(size):
            for j in range(size):
                value = window[i, j]
                linear = value * scale_linear
                curved = _asinh(value * inverse) * scale_asinh
                out[k, i, j, 0] = min(max(linear, -limit), limit)
                out[k, i, j, 1] = min(max(curved, -limit), limit)
        if saturation < np.inf:
            for i in range(max(ci - 1, 0), min(ci + 2, height)):
                for j in range(max(cj - 1, 0), min(cj + 2, width)):
                    if image[i, j] >= saturation:
                        status[k] |= SATURATED


def warmup() -> float:
    """Compile every kernel (or load it from the cache).

    Returns
    -------
    float
        Seconds that it took.
    """
    # Imported here because cutouts imports this module.
    from .cutouts import Cutter, preprocess_cutout
    from .spec import PreprocessSpec

    start = time.perf_counter()
    image = np.zeros((64, 64), np.float32)
    position = np.array([32.0])
    for spec in (PreprocessSpec.reference(), PreprocessSpec.default()):
        Cutter.prepare(image, spec, fwhm=3.0).cut(position, position)
    preprocess_cutout(image[:31, :31])
    return time.perf_counter() - start
