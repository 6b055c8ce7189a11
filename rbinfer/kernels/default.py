"""The kernel of the default preset."""

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
from .jit import jit
from .numerics import absolute_peak, all_finite, asinh, mad_std, median
from .windows import (
    any_masked,
    clear_rejected,
    copy,
    fill,
    is_good,
    position_status,
    prefetch_part,
    write_channels,
)

# A resampled pixel counts as good when more than this share of it is; sums of shares are rounded.
_LEAST_SHARE = 0.4999
_ROUNDING = 1e-6


@jit
def _brightest(image: Any, mask: Any, has_mask: bool, i0: int, j0: int, reach: int) -> Any:
    """Brightest good pixel within `reach` of (i0, j0); the nearest of equals, (i0, j0) if none."""
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
def _weighed(weights: Any, j: int, values: Any, at: int) -> Any:
    total = 0.0
    for t in range(weights.shape[1]):
        total += weights[j, t] * values[np.uint64(at + t)]
    return total


@jit
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


@jit
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


@jit
def _fetch_partly(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, top: int, left: int,
    span: int, first: Any, weights: Any, columns: Any, known: Any, inside: Any, window: Any, good: Any,
) -> Any:  # fmt: skip
    """Fill the resampled window; return how much of it is good, and on the image, in its pixels."""
    height, width = image.shape
    size, taps = weights.shape
    n_good, n_inside = 0.0, 0.0
    for i in range(size):
        fill(columns, 0.0)
        fill(known, 0.0)
        fill(inside, 0.0)
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
        for j in range(size):
            share = _weighed(weights, j, known, first[j])
            n_good += share
            n_inside += _weighed(weights, j, inside, first[j])
            good[i * size + j] = share > _LEAST_SHARE
            value = _weighed(weights, j, columns, first[j])
            window[i * size + j] = value / share if share > _LEAST_SHARE else 0.0
    return n_good, n_inside


@jit
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


@jit
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
    return float(median(scratch, n)) if n > 0 else float(err_map[ci, cj])


@jit
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
        prefetch_part(image, x, y, k + 1, start, span, 0)
        snr[k] = np.nan
        status[k] = position_status(x[k], y[k], width, height)
        if status[k]:
            continue
        ci, cj = math.floor(y[k] + 0.5), math.floor(x[k] + 0.5)
        if recentre > 0:
            ci, cj = _brightest(image, mask, has_mask, ci, cj, recentre)

        # Pixels, resampled. A pixel that is not finite makes those that it is part of so.
        top, left = ci + start, cj + start
        whole = (
            top >= 0 and left >= 0 and top + span <= height and left + span <= width
            and not (has_mask and any_masked(mask, top, left, span, span))
        )  # fmt: skip
        if whole:
            if between:
                _fetch_between(
                    image, bg_map, has_bg_map, top, left, span, first, weights, turned, sums[0], rows,
                    window,
                )  # fmt: skip
            else:
                _fetch_whole(image, bg_map, has_bg_map, top, left, span, first, weights, sums[0], window)
            whole = all_finite(window, n_pixels)
        fill(good, True)
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

        prefetch_part(image, x, y, k + 1, start, span, 1)
        # Background and noise from the border of the window.
        level: Any = background
        sigma: Any = sigma_given
        need_level = not has_bg_map and not has_background
        need_sigma = not has_err_map and not has_sigma
        if need_level or need_sigma:
            n = _border(window, good, size, ring)
            copy(ring, n, scratch)
            middle = median(scratch, n)
            if need_level:
                level = middle
            if need_sigma:
                sigma = mad_std(ring, n, middle, scratch)
        if has_err_map:
            sigma = _border_noise(err_map, ci, cj, middles, scratch)
        if has_err_map or has_sigma:
            sigma *= noise_factor  # resampling averages independent pixels

        prefetch_part(image, x, y, k + 1, start, span, 2)
        # Subtract, and find what to normalise by.
        zero_level = np.float32(0.0 if has_bg_map else level)
        for p in range(n_pixels):
            window[p] = window[p] - zero_level if good[p] else np.float32(0.0)
        peak = absolute_peak(window, n_pixels)
        centre = np.float32(0.0)
        total = 0.0
        for i in range(half - 1, half + 2):
            for p in range(i * size + half - 1, i * size + half + 2):
                centre = max(centre, abs(window[p]))
                total += window[p]
        if not (sigma > max(1e-4 * peak, SMALLEST) and sigma < np.inf):
            # No noise to be seen: a scale-free stand-in keeps the score free of the gain.
            sigma = 1e-4 * peak if 1e-4 * peak > SMALLEST else 1.0
        snr[k] = total / (3.0 * sigma)
        centre = max(centre, np.float32(sigma))
        top_of_all = max(peak, np.float32(sigma))
        inverse = np.float32(min(1.0 / (softening * sigma), 1.0 / SMALLEST))
        scale_linear = np.float32(1.0) / (centre if centre_linear else top_of_all)
        scale_asinh = np.float32(1.0) / asinh((centre if centre_asinh else top_of_all) * inverse)
        prefetch_part(image, x, y, k + 1, start, span, 3)
        write_channels(window, n_pixels, inverse, scale_linear, scale_asinh, limit, scratch, out[k])
        if saturation < np.inf:
            for i in range(max(ci - 1, 0), min(ci + 2, height)):
                for j in range(max(cj - 1, 0), min(cj + 2, width)):
                    if image[i, j] >= saturation:
                        status[k] |= SATURATED
    clear_rejected(status, out)
