"""The kernel of the default preset: it resamples windows to the canonical FWHM as it cuts them.

Functions take each array as an argument of its own: arrays in tuples cost up to 6 % of the speed. That a
window is fetched in the loop over objects, and not in a function with as many arguments, saves 2 %.
"""

import math
from typing import Any

import numpy as np

from .constants import (
    LARGEST,
    NEAR_EDGE,
    PARTLY_MASKED,
    SATURATED,
    SMALLEST,
    TOO_FEW_GOOD_PIXELS,
)
from .context import fill_context
from .jit import jit
from .numerics import absolute_peak, all_finite, asinh, mad_std, median
from .windows import (
    MOST_AHEAD,
    any_masked,
    clear_rejected,
    copy,
    fill,
    is_good,
    mended,
    position_status,
    prefetch_part,
    write_channels,
)

# A resampled pixel is good when more than this share of it is good; sums of shares are rounded.
_LEAST_SHARE = 0.4999
_ROUNDING = 1e-6
# Noise below this part of the peak counts as none.
_LEAST_NOISE = 1e-4


@jit
def _brightest(image: Any, mask: Any, has_mask: bool, i0: int, j0: int, reach: int) -> Any:
    """Return the brightest good pixel within `reach` of (i0, j0), which is itself returned without one.

    Of equally bright pixels it is the nearest.
    """
    height, width = image.shape
    best_i, best_j, best, best_distance = i0, j0, -np.inf, 0
    for i in range(max(i0 - reach, 0), min(i0 + reach + 1, height)):
        for j in range(max(j0 - reach, 0), min(j0 + reach + 1, width)):
            if is_good(image, mask, has_mask, i, j):
                value = image[i, j]
                distance = (i - i0) ** 2 + (j - j0) ** 2
                if value > best or (value == best and distance < best_distance):
                    best_i, best_j, best, best_distance = i, j, value, distance
    return best_i, best_j


@jit
def _weighted_sum(weights: Any, j: int, values: Any, start: int) -> Any:
    total = 0.0
    for t in range(weights.shape[1]):
        total += weights[j, t] * values[np.uint64(start + t)]
    return total


@jit
def _resample(
    image: Any, bg_map: Any, has_bg_map: bool, top: int, left: int, span: int, first: Any,
    weights: Any, columns: Any, window: Any,
) -> None:  # fmt: skip
    """Fill the window, all of which is on the image and unmasked."""
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
            window[i * size + j] = _weighted_sum(weights, j, columns, first[j])


@jit
def _interpolate(
    image: Any, bg_map: Any, has_bg_map: bool, top: int, left: int, span: int, first: Any,
    weights: Any, transposed: Any, line: Any, rows: Any, window: Any,
) -> None:  # fmt: skip
    """Fill the window as `_resample` does, from two native pixels for each: where the image grows.

    Each axis in turn is worked on along the other, which lies contiguous in memory, in whole vectors; in
    between the pixels are transposed. That is twice as fast. With more pixels to transpose it is not.
    """
    size = weights.shape[0]
    for i in range(span):
        a = np.uint64(top + i)
        for p in range(span):
            transposed[np.uint64(p), np.uint64(i)] = image[a, np.uint64(left + p)]
        if has_bg_map:
            for p in range(span):
                transposed[np.uint64(p), np.uint64(i)] -= bg_map[a, np.uint64(left + p)]
    for j in range(size):
        w0, w1 = weights[j, 0], weights[j, 1]
        a, b = np.uint64(first[j]), np.uint64(first[j] + 1)
        for i in range(transposed.shape[1]):
            line[i] = w0 * transposed[a, np.uint64(i)] + w1 * transposed[b, np.uint64(i)]
        for i in range(span):
            rows[np.uint64(i), np.uint64(j)] = line[i]
    for i in range(size):
        w0, w1 = weights[i, 0], weights[i, 1]
        a, b = np.uint64(first[i]), np.uint64(first[i] + 1)
        # The next row overwrites what is written beyond a row's end; `window` has room for the last.
        for j in range(rows.shape[1]):
            window[np.uint64(i * size + j)] = w0 * rows[a, np.uint64(j)] + w1 * rows[b, np.uint64(j)]


@jit
def _resample_good(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, top: int, left: int,
    span: int, first: Any, weights: Any, columns: Any, known: Any, inside: Any, whole: Any,
    window: Any, good: Any,
) -> Any:  # fmt: skip
    """Fill the window; return how many of its pixels are good, and how many lie on the image.

    A bad one is as its good neighbours where these tell; it is not counted as good.
    """
    height, width = image.shape
    size, taps = weights.shape
    n_good, n_inside = 0.0, 0.0
    for i in range(size):
        fill(columns, 0.0)
        fill(known, 0.0)
        fill(inside, 0.0)
        fill(whole, 0.0)
        for t in range(taps):
            w, a = weights[i, t], top + first[i] + t
            if w > 0 and 0 <= a < height:
                for p in range(span):
                    b = left + p
                    if 0 <= b < width:
                        inside[p] += w
                        if is_good(image, mask, has_mask, a, b):
                            columns[p] += w * (image[a, b] - (bg_map[a, b] if has_bg_map else 0.0))
                            known[p] += w
                            whole[p] += w
                        else:
                            value, tells = mended(image, mask, has_mask, bg_map, has_bg_map, 0.0, a, b)
                            if tells:
                                columns[p] += w * value
                                known[p] += w
        for j in range(size):
            share = _weighted_sum(weights, j, known, first[j])
            n_good += _weighted_sum(weights, j, whole, first[j])
            n_inside += _weighted_sum(weights, j, inside, first[j])
            good[i * size + j] = share > _LEAST_SHARE
            value = _weighted_sum(weights, j, columns, first[j])
            window[i * size + j] = value / share if share > _LEAST_SHARE else 0.0
    return n_good, n_inside


@jit
def _window_status(good: Any, size: int, n_good: float, n_inside: float, min_good: float) -> int:
    """Return the status bits of a window of which not all is good and on the image."""
    half, n_pixels = size // 2, size * size
    status = 0
    if n_inside < n_pixels - _ROUNDING:
        status |= NEAR_EDGE
    if n_good < n_inside - _ROUNDING:
        status |= PARTLY_MASKED
    is_centre_good = False
    for i in range(half - 1, half + 2):
        for j in range(half - 1, half + 2):
            is_centre_good = is_centre_good or good[i * size + j]
    if n_good < min_good * n_pixels or not is_centre_good:
        status |= TOO_FEW_GOOD_PIXELS
    return status


@jit
def _copy_border(values: Any, good: Any, size: int, border: Any) -> int:
    """Copy the good pixels of the window's border; all its good pixels if most of those are missing."""
    n = 0
    for i in range(size):
        step = 1 if i == 0 or i == size - 1 else size - 1
        for p in range(i * size, i * size + size, step):
            if good[p]:
                border[n] = values[p]
                n += 1
    if n < 2 * size:
        n = 0
        for p in range(size * size):
            if good[p]:
                border[n] = values[p]
                n += 1
    return n


@jit
def _border_noise(err_map: Any, ci: int, cj: int, middles: Any, workspace: Any) -> float:
    """Return the median of the noise map in the middles of the pixels along the window's border."""
    height, width = err_map.shape
    size, n = middles.size, 0
    for i in range(size):
        a = ci + middles[i]
        for j in range(0, size, 1 if i == 0 or i == size - 1 else size - 1):
            b = cj + middles[j]
            if 0 <= a < height and 0 <= b < width and abs(err_map[a, b]) < LARGEST:
                workspace[n] = err_map[a, b]
                n += 1
    return float(median(workspace, n)) if n > 0 else float(err_map[ci, cj])


@jit
def _subtract(window: Any, good: Any, size: int, level: Any) -> Any:
    """Subtract the background; return the sum and peak of the central 3 x 3 pixels, and the peak."""
    half, n_pixels = size // 2, size * size
    for p in range(n_pixels):
        window[p] = window[p] - level if good[p] else np.float32(0.0)
    peak = absolute_peak(window, n_pixels)
    total, central_peak = 0.0, np.float32(0.0)
    for i in range(half - 1, half + 2):
        for p in range(i * size + half - 1, i * size + half + 2):
            central_peak = max(central_peak, abs(window[p]))
            total += window[p]
    return total, central_peak, peak


@jit
def _is_saturated(image: Any, ci: int, cj: int, saturation: float) -> bool:
    """Tell whether any of the central 3 x 3 native pixels is at or above the saturation level."""
    height, width = image.shape
    is_saturated = False
    for i in range(max(ci - 1, 0), min(ci + 2, height)):
        for j in range(max(cj - 1, 0), min(cj + 2, width)):
            is_saturated = is_saturated or image[i, j] >= saturation
    return is_saturated


@jit
def _fill_core(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, ci: int, cj: int, level: Any,
    sigma: Any, side: int, log_scale: float, core: Any,
) -> None:  # fmt: skip
    """Fill the native pixels around the centre, and two numbers of them.

    A bad one is as its good neighbours where these tell, else as the background.
    """
    height, width = image.shape
    reach, n_pixels = side // 2, side * side
    peak = np.float32(0.0)
    for p in range(n_pixels):
        i, j = ci - reach + p // side, cj - reach + p % side
        value = np.float32(0.0)
        if 0 <= i < height and 0 <= j < width:
            if is_good(image, mask, has_mask, i, j):
                value = np.float32(image[i, j] - (bg_map[i, j] if has_bg_map else level))
            else:
                near, tells = mended(image, mask, has_mask, bg_map, has_bg_map, level, i, j)
                value = np.float32(near if tells else 0.0)
        core[p] = value
        peak = max(peak, abs(value))
    peak = max(peak, np.float32(sigma))
    for p in range(n_pixels):
        core[p] /= peak
    core[n_pixels] = asinh(np.float32(min(peak / sigma, LARGEST)))
    core[n_pixels + 1] = log_scale


@jit
def cut_default(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, background: float,
    has_background: bool, err_map: Any, has_err_map: bool, sigma_given: float, has_sigma: bool,
    recentre: int, start: int, span: int, first: Any, weights: Any, middles: Any,
    noise_factor: float, softening: float, min_good: float,
    centre_linear: bool, centre_asinh: bool, clip: float, saturation: float, core_side: int,
    log_scale: float, pixels: Any, sky: Any, samples: Any, offsets: Any, shares: Any, reach: int,
    lines: Any, transposed: Any, rows: Any, sums: Any, good: Any,
    x: Any, y: Any, out: Any, status: Any, snr: Any, core: Any,
) -> None:  # fmt: skip
    """Cut and preprocess objects by the default preset; see `rbinfer.model.spec.PreprocessSpec`.

    `pixels` and `sky` are `image` and `bg_map` line after line.
    """
    height, width = image.shape
    size = middles.size
    window, border, workspace = lines[0], lines[1], lines[2]
    needs_level = not has_bg_map and not has_background
    needs_sigma = not has_err_map and not has_sigma
    limit = np.float32(clip)
    interpolates = weights.shape[1] == 2
    n_core = core_side * core_side + 2
    # What is prefetched: the wide view where there is one, unless it is too wide.
    ahead, extent = start, span
    if core.shape[1] > n_core and span < 2 * reach + 1 <= MOST_AHEAD:
        ahead, extent = -reach, 2 * reach + 1
    for k in range(x.size):
        prefetch_part(image, x, y, k + 1, ahead, extent, 0)
        snr[k] = np.nan
        fill(core[k], 0.0)
        status[k] = position_status(x[k], y[k], width, height)
        if status[k]:
            continue
        ci, cj = math.floor(y[k] + 0.5), math.floor(x[k] + 0.5)
        if recentre > 0:
            ci, cj = _brightest(image, mask, has_mask, ci, cj, recentre)
        top, left = ci + start, cj + start
        is_whole = (
            top >= 0 and left >= 0 and top + span <= height and left + span <= width
            and not (has_mask and any_masked(mask, top, left, span, span))
        )  # fmt: skip
        if is_whole:
            if interpolates:
                _interpolate(
                    image, bg_map, has_bg_map, top, left, span, first, weights,
                    transposed, sums[0], rows, window,
                )  # fmt: skip
            else:
                _resample(image, bg_map, has_bg_map, top, left, span, first, weights, sums[0], window)
            # A native pixel that is not finite makes those that it is part of so.
            is_whole = all_finite(window, size * size)
        fill(good, True)
        if not is_whole:
            n_good, n_inside = _resample_good(
                image, mask, has_mask, bg_map, has_bg_map, top, left, span, first, weights,
                sums[0], sums[1], sums[2], sums[3], window, good,
            )  # fmt: skip
            status[k] = _window_status(good, size, n_good, n_inside, min_good)
            if status[k] & TOO_FEW_GOOD_PIXELS:
                continue
        prefetch_part(image, x, y, k + 1, ahead, extent, 1)
        # What is not given comes from the border of the window.
        level: Any = background
        sigma: Any = sigma_given
        if needs_level or needs_sigma:
            n = _copy_border(window, good, size, border)
            copy(border, n, workspace)
            middle = median(workspace, n)
            if needs_level:
                level = middle
            if needs_sigma:
                sigma = mad_std(border, n, middle, workspace)
        if has_err_map:
            sigma = _border_noise(err_map, ci, cj, middles, workspace)
        if has_err_map or has_sigma:
            sigma *= noise_factor  # resampling averages independent pixels
        prefetch_part(image, x, y, k + 1, ahead, extent, 2)
        zero_level = np.float32(0.0 if has_bg_map else level)
        total, central_peak, peak = _subtract(window, good, size, zero_level)
        if not (sigma > max(_LEAST_NOISE * peak, SMALLEST) and sigma < np.inf):
            # Without noise, a stand-in that scales with the pixels keeps the score free of the gain.
            sigma = _LEAST_NOISE * peak if _LEAST_NOISE * peak > SMALLEST else 1.0
        snr[k] = total / (3.0 * sigma)
        if core.shape[1] > 0:
            _fill_core(
                image, mask, has_mask, bg_map, has_bg_map, ci, cj, zero_level, sigma, core_side,
                log_scale, core[k],
            )  # fmt: skip
        if core.shape[1] > n_core:
            fill_context(
                image, mask, has_mask, bg_map, has_bg_map, ci, cj, zero_level, sigma, pixels, sky,
                samples, offsets, shares, reach, core[k, n_core:],
            )  # fmt: skip
        central_norm, norm = max(central_peak, np.float32(sigma)), max(peak, np.float32(sigma))
        inverse = np.float32(min(1.0 / (softening * sigma), 1.0 / SMALLEST))
        scale_linear = np.float32(1.0) / (central_norm if centre_linear else norm)
        scale_asinh = np.float32(1.0) / asinh((central_norm if centre_asinh else norm) * inverse)
        prefetch_part(image, x, y, k + 1, ahead, extent, 3)
        write_channels(window, size * size, inverse, scale_linear, scale_asinh, limit, workspace, out[k])
        if saturation < np.inf and _is_saturated(image, ci, cj, saturation):
            status[k] |= SATURATED
    clear_rejected(status, out)
