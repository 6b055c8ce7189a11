"""The kernels of the reference preset."""

import math
from typing import Any

import numpy as np

from .constants import (
    LARGEST,
    PARTLY_MASKED,
    SATURATED,
    SMALLEST,
    TOO_FEW_GOOD_PIXELS,
    WINDOW_OFF_IMAGE,
)
from .jit import jit
from .numerics import absolute_peak, all_finite, asinh, mad_std, median
from .windows import (
    any_masked,
    clear_rejected,
    copy,
    copy_rows,
    position_status,
    prefetch_part,
    write_channels,
)


@jit
def _edge_median(window: Any, h: int, w: int, workspace: Any) -> Any:
    """Return the median of the four edge rows and columns; corners count twice."""
    n = 0
    for j in range(w):
        workspace[n] = window[j]
        workspace[n + 1] = window[(h - 1) * w + j]
        n += 2
    for i in range(h):
        workspace[n] = window[i * w]
        workspace[n + 1] = window[i * w + w - 1]
        n += 2
    return median(workspace, n)


@jit
def _block_mean(window: Any, w: int, i: int, j: int, f: int) -> Any:
    """Return the mean of the block of `f` x `f` pixels that is at (i, j) among the blocks."""
    # Row sums first and in the window's own precision, as NumPy adds them up.
    total = window[0]
    for a in range(i * f, i * f + f):
        row = window[a * w + j * f]
        for p in range(a * w + j * f + 1, a * w + j * f + f):
            row += window[p]
        total = total + row if a > i * f else row
    return window.dtype.type(total / (f * f))


@jit
def _subtract(
    window: Any, bg_window: Any, has_bg: bool, background: Any, h: int, w: int, down: int,
    subtracted: Any,
) -> None:  # fmt: skip
    """Fill `subtracted` with the rescaled window less its background."""
    level = subtracted.dtype.type(background)
    if down == 1 and not has_bg:
        for p in range(h * w):
            subtracted[p] = window[p] - level
    else:
        hs, ws = h // down, w // down
        for i in range(hs):
            for j in range(ws):
                below = _block_mean(bg_window, w, i, j, down) if has_bg else level
                subtracted[i * ws + j] = _block_mean(window, w, i, j, down) - below


@jit
def _crop_or_pad(pairs: Any, h: int, w: int, up: int, column: Any, out: Any) -> None:
    """Copy both channels of `h` x `w` pixels, each repeated `up` times; crop, or repeat the edges."""
    size = column.size
    hu, wu = h * up, w * up
    top = (hu - size) // 2 if hu > size else -((size - hu) // 2)
    left = (wu - size) // 2 if wu > size else -((size - wu) // 2)
    for j in range(size):
        column[j] = min(max(j + left, 0), wu - 1) // up  # divisions are slow
    for i in range(size):
        row = min(max(i + top, 0), hu - 1) // up * w
        for j in range(size):
            p, q = 2 * (row + column[j]), 2 * (i * size + j)
            out[q] = pairs[p]
            out[q + 1] = pairs[p + 1]


@jit
def _window_noise(window: Any, n: int, workspace: Any) -> Any:
    """Return 1.4826 x the MAD of ``window[:n]``."""
    copy(window, n, workspace)
    return mad_std(window, n, median(workspace, n), workspace)


@jit
def _map_noise(err_map: Any, top: int, left: int, h: int, w: int, workspace: Any) -> Any:
    """Return the median of a window of the noise map, but for NaN."""
    n = 0
    for i in range(top, top + h):
        for j in range(left, left + w):
            if not math.isnan(err_map[i, j]):
                workspace[n] = err_map[i, j]
                n += 1
    return median(workspace, n) if n > 0 else np.nan


@jit
def _finish(
    window: Any, bg_window: Any, has_bg: bool, background: Any, sigma: float,
    h: int, w: int, down: int, up: int, softening: float, normalise: bool,
    subtracted: Any, workspace: Any, pairs: Any, column: Any, out: Any,
) -> None:  # fmt: skip
    """Rescale, subtract the background, make both channels, normalise, crop or pad."""
    size = column.size
    # Replication repeats pixels, so peaks can be found before it and indices mapped after it.
    hs, ws = h // down, w // down
    _subtract(window, bg_window, has_bg, background, h, w, down, subtracted)
    peak_linear = absolute_peak(subtracted, hs * ws)
    inverse = np.float32(min(1.0 / (softening * sigma), 1.0 / SMALLEST))
    # asinh is odd and grows, so its peak lies where the linear peak lies.
    peak_asinh = asinh(np.float32(peak_linear * inverse))
    scale_linear = 1.0
    scale_asinh = np.float32(1.0)
    if normalise:
        if peak_linear > 1e-10:
            scale_linear = 1.0 / peak_linear
        if peak_asinh > 1e-10:
            scale_asinh = np.float32(1.0) / peak_asinh
    no_limit = np.float32(np.inf)
    if up == 1 and hs == size and ws == size:
        write_channels(
            subtracted, size * size, inverse, scale_linear, scale_asinh, no_limit, workspace, out
        )
        return
    write_channels(subtracted, hs * ws, inverse, scale_linear, scale_asinh, no_limit, workspace, pairs)
    _crop_or_pad(pairs, hs, ws, up, column, out)


@jit
def preprocess_reference(
    window: Any, h: int, w: int, bg_map: Any, has_bg_map: bool, background: float, has_background: bool,
    sigma: float, has_sigma: bool, down: int, up: int, softening: float, normalise: bool,
    lines: Any, pairs: Any, column: Any, out: Any,
) -> None:  # fmt: skip
    """Preprocess one ready cutout as the reference does; see `rbinfer.preprocess_cutout`."""
    subtracted, workspace = lines[0], lines[1]
    if not has_bg_map and not has_background:
        background = _edge_median(window, h, w, workspace)
    if not has_sigma:
        sigma = _window_noise(window, h * w, workspace)
    if not (sigma > 0 and sigma < np.inf):
        sigma = 1.0
    _finish(
        window, bg_map, has_bg_map, background, sigma, h, w, down, up, softening, normalise,
        subtracted, workspace, pairs, column, out,
    )  # fmt: skip


@jit
def _fill_bad(
    window: Any, mask: Any, has_mask: bool, top: int, left: int, h: int, w: int, least: float,
    workspace: Any,
) -> bool:  # fmt: skip
    """Give bad pixels the median of the good; False if fewer than `least` of them are good."""
    n = 0
    for i in range(h):
        for j in range(w):
            if abs(window[i * w + j]) < LARGEST and not (has_mask and mask[top + i, left + j]):
                workspace[n] = window[i * w + j]
                n += 1
    if n < least or n == 0:
        return False
    level = median(workspace, n)
    for i in range(h):
        for j in range(w):
            if not abs(window[i * w + j]) < LARGEST or (has_mask and mask[top + i, left + j]):
                window[i * w + j] = level
    return True


@jit
def cut_reference(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, background: float,
    has_background: bool, err_map: Any, has_err_map: bool, sigma_given: float, has_sigma: bool,
    radius: int, down: int, up: int, softening: float, min_good: float, saturation: float,
    lines: Any, pairs: Any, column: Any, x: Any, y: Any, out: Any, status: Any, snr: Any,
) -> None:  # fmt: skip
    """Cut and preprocess objects as the reference does; `status` says which could not be."""
    height, width = image.shape
    side = 2 * radius + 2
    window, bg_window, subtracted, workspace = lines[0], lines[1], lines[2], lines[3]
    for k in range(x.size):
        prefetch_part(image, x, y, k + 1, -radius, side - 1, 0)
        snr[k] = np.nan
        status[k] = position_status(x[k], y[k], width, height)
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
        copy_rows(image, y1, x1, h, w, window)
        if not all_finite(window, n) or (has_mask and any_masked(mask, y1, x1, h, w)):
            status[k] = PARTLY_MASKED
            if not _fill_bad(window, mask, has_mask, y1, x1, h, w, min_good * n, workspace):
                status[k] = TOO_FEW_GOOD_PIXELS
                continue
        prefetch_part(image, x, y, k + 1, -radius, side - 1, 1)
        level = background
        if has_bg_map:
            copy_rows(bg_map, y1, x1, h, w, bg_window)
        elif not has_background:
            level = _edge_median(window, h, w, workspace)
        prefetch_part(image, x, y, k + 1, -radius, side - 1, 2)
        sigma = sigma_given
        if has_err_map:
            sigma = _map_noise(err_map, y1, x1, h, w, workspace)
        elif not has_sigma:
            sigma = _window_noise(window, n, workspace)
        if not (sigma > 0 and sigma < np.inf):
            sigma = 1.0
        prefetch_part(image, x, y, k + 1, -radius, side - 1, 3)
        _finish(
            window, bg_window, has_bg_map, level, sigma, h, w, down, up, softening, True,
            subtracted, workspace, pairs, column, out[k],
        )  # fmt: skip
        total = 0.0
        for i in range(radius - 1, radius + 2):
            for p in range(i * w + radius - 1, i * w + radius + 2):
                total += window[p] - (bg_window[p] if has_bg_map else level)
                if window[p] >= saturation:
                    status[k] |= SATURATED
        snr[k] = total / (3.0 * sigma)
    clear_rejected(status, out)
