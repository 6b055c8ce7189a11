"""Islands of pixels above the threshold, measured; those with several peaks are taken apart.

They are taken apart as SExtractor does (Bertin & Arnouts 1996, A&AS 117, 393). Between threshold and peak
lie 32 levels, equally spaced in magnitudes. From the top down, the parts of an island that are connected
above a level join into larger ones; where two or more that have enough of the light do, they become
detections of their own. Pixels below belong to one of them by chance, with the odds of Gaussians.

The parts are kept as trees of pixels (union-find) instead of labelling the island anew at every level. The
chance is a hash of a pixel's place, so that it depends neither on threads nor on the rest of the image.
"""

from typing import Any

import numpy as np

from .constants import (
    AREA_RATIO, FIRST_X, FIRST_Y, N_PIXELS, PEAK_SMOOTH, THRESHOLD, XX, XY, YY,
)  # fmt: skip
from .jit import jit
from .numerics import exponential
from .shapes import distance, finish_shape, measure_chain, move_centre

_LEVELS = 32
#: Pixels of a part that may become a detection of its own; fewer if fewer are asked for.
_LEAST_PART = 3
# A Gaussian of a part is at most so many times its peak, and ends at a 1e-7th of its height.
_MOST_HEIGHT, _END = 4.0, 16.0


@jit
def _load(
    first: int, last: int, order: Any, runs: Any, starts: Any, pixels: Any, left: int, top: int, span: int,
    numbers: Any, values: Any, grid: Any,
) -> Any:  # fmt: skip
    """Copy the pixels of an island, and note their numbers in its grid; returns how many there are."""
    xs, ys, following = numbers[0], numbers[1], numbers[2]
    n = 0
    for r in range(first, last):
        k = order[r]
        y, x, start = runs[k, 0], runs[k, 1], starts[k]
        place = (y - top + 1) * span + (x - left + 1)
        for j in range(runs[k, 2]):
            xs[n], ys[n], following[n] = x + j, y, n + 1
            for c in range(3):
                values[c, n] = pixels[c, start + j]
            grid[place + j] = n
            n += 1
    return n


@jit
def _clear(first: int, last: int, order: Any, runs: Any, left: int, top: int, span: int, grid: Any) -> None:
    for r in range(first, last):
        k = order[r]
        place = (runs[k, 0] - top + 1) * span + (runs[k, 1] - left + 1)
        for j in range(runs[k, 2]):
            grid[place + j] = -1


@jit
def _neighbour(k: int, span: int) -> int:
    """Return how far the k-th of eight neighbours lies in a grid."""
    if k < 3:
        return k - 1 - span
    if k > 4:
        return k - 6 + span
    return 2 * k - 7


@jit
def _has_peaks(n: int, lowest: float, numbers: Any, values: Any, grid: Any, span: int, left: int, top: int) -> bool:
    """Tell whether two pixels or more above a level are brighter than all around them."""
    count = 0
    for p in range(n):
        value = values[1, p]
        if not value > lowest:
            continue
        place = (numbers[1, p] - top + 1) * span + (numbers[0, p] - left + 1)
        is_peak = True
        for k in range(8):
            q = grid[place + _neighbour(k, span)]
            # Of equals the last one counts.
            if q >= 0 and (values[1, q] > value or (values[1, q] == value and q > p)):
                is_peak = False
                break
        count += is_peak
        if count > 1:
            return True
    return False


@jit
def _sort_by_level(n: int, levels: Any, values: Any, level_of: Any, sorted_pixels: Any, bounds: Any) -> None:
    """Bring the pixels above each level together, the highest level last."""
    for k in range(_LEVELS + 1):
        bounds[k] = 0
    for p in range(n):
        low, high = 0, _LEVELS - 1
        while low < high:  # the highest level below the pixel
            middle = (low + high + 1) >> 1
            if values[1, p] > levels[middle]:
                low = middle
            else:
                high = middle - 1
        level_of[p] = low
        bounds[low + 1] += 1
    for k in range(_LEVELS):
        bounds[k + 1] += bounds[k]
    for p in range(n):
        k = level_of[p]
        sorted_pixels[bounds[k]] = p
        bounds[k] += 1
    for k in range(_LEVELS, 0, -1):
        bounds[k] = bounds[k - 1]
    bounds[0] = 0


@jit
def _root(parent: Any, k: int) -> Any:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@jit
def _join(a: int, b: int, parent: Any, following: Any, tail: Any, size: Any, flux: Any) -> None:
    """Make one part of two; its chain is that of one with that of the other behind it."""
    if size[a] < size[b]:
        a, b = b, a
    parent[b] = a
    following[tail[a]] = b  # a root is the head of its chain
    tail[a] = tail[b]
    size[a] += size[b]
    flux[a] += flux[b]


@jit
def _cut_out(
    head: int, n: int, level: float, threshold: float, part: int, numbers: Any, values: Any, owner: Any,
    best: Any, rows: Any, width: int, height: int,
) -> None:  # fmt: skip
    """Make a connected part a detection: measure its core, and give it its pixels."""
    following = numbers[2]
    row = rows[part]
    measure_chain(
        head, n, following, numbers[0], numbers[1], values, level, 0, width, height, best, row
    )
    finish_shape(row)
    row[THRESHOLD] = threshold
    p = head
    for _ in range(n):
        owner[p] = part
        p = following[p]


@jit
def _parts(
    n: int, threshold: float, levels: Any, least_pixels: int, least_flux: float, numbers: Any, values: Any,
    work: Any, grid: Any, span: int, left: int, top: int, best: Any, rows: Any, width: int, height: int,
) -> Any:  # fmt: skip
    """Find the cores of an island's detections; returns how many there are: none if it is only one."""
    following = numbers[2]
    level_of, sorted_pixels, parent, tail = numbers[3], numbers[4], numbers[5], numbers[6]
    size, owner, roots, heads, sizes = numbers[7], numbers[8], numbers[9], numbers[10], numbers[11]
    n_great, is_whole, is_great = numbers[12], numbers[13], numbers[14]
    flux, bounds = work[0], numbers[15]
    for p in range(n):
        parent[p] = owner[p] = -1
    _sort_by_level(n, levels, values, level_of, sorted_pixels, bounds)
    n_roots = n_parts = 0
    for k in range(_LEVELS - 1, -1, -1):
        # The parts above the level before this one, of which some may have enough light.
        n_heads = 0
        for r in range(n_roots):
            root = roots[r]
            if size[root] >= least_pixels:
                heads[n_heads], sizes[n_heads] = root, size[root]
                is_great[n_heads] = flux[root] - levels[k + 1] * size[root] > least_flux
                # Kept beyond the join, where another may become the root.
                is_great[n_heads] += 2 * is_whole[root]
                n_heads += 1
        for s in range(bounds[k], bounds[k + 1]):
            p = sorted_pixels[s]
            parent[p] = tail[p] = p
            size[p], flux[p] = 1, values[1, p]
            roots[n_roots] = p
            n_roots += 1
            place = (numbers[1, p] - top + 1) * span + (numbers[0, p] - left + 1)
            for d in range(8):
                q = grid[place + _neighbour(d, span)]
                if q >= 0 and parent[q] >= 0:
                    a, b = _root(parent, p), _root(parent, q)
                    if a != b:
                        _join(a, b, parent, following, tail, size, flux)
        kept = 0
        for r in range(n_roots):
            root = roots[r]
            if parent[root] == root:
                roots[kept] = root
                n_great[root], is_whole[root] = 0, 1
                kept += 1
        n_roots = kept
        for h in range(n_heads):
            root = _root(parent, heads[h])
            n_great[root] += is_great[h] & 1
            is_whole[root] &= is_great[h] >> 1
        for h in range(n_heads):
            root = _root(parent, heads[h])
            if n_great[root] > 1:
                is_whole[root] = 0
                if is_great[h] == 3:
                    _cut_out(
                        heads[h], sizes[h], levels[k + 1], threshold, n_parts, numbers, values, owner, best,
                        rows, width, height,
                    )  # fmt: skip
                    n_parts += 1
    return n_parts


@jit
def _chance(x: int, y: int, part: int) -> Any:
    """Return a number from 0 to 1 that depends on nothing but these."""
    mask = 0xFFFFFFFF
    h = (x * 0x9E3779B1 ^ y * 0x85EBCA77 ^ (part + 1) * 0xC2B2AE3D) & mask
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & mask
    h = ((h ^ (h >> 15)) * 0x846CA68B) & mask
    return ((h ^ (h >> 16)) + 0.5) / 4294967296.0


@jit
def _share_out(
    n: int, n_parts: int, numbers: Any, work: Any, grid: Any, span: int, box: Any, rows: Any
) -> None:  # fmt: skip
    """Give the pixels around the cores to one of them each: at random, with the odds of Gaussians."""
    left, top, right, bottom = box[0], box[1], box[2], box[3]
    owner, is_core, odds = numbers[8], numbers[9], work[0]
    for p in range(n):
        is_core[p] = owner[p] >= 0
        odds[p] = 0.0
    for part in range(n_parts):
        row = rows[part]
        area = row[N_PIXELS] / (
            2.0 * np.pi * row[AREA_RATIO] * np.sqrt(row[XX] * row[YY] - row[XY] ** 2)
        )
        top_height = _MOST_HEIGHT * row[PEAK_SMOOTH]
        amplitude = top_height
        if area < 70.0:
            amplitude = min(row[THRESHOLD] / exponential(-area), top_height)
        reach = 2.0 * _END * row[AREA_RATIO]
        dx, dy = np.sqrt(reach * row[XX]), np.sqrt(reach * row[YY])
        for y in range(max(top, int(row[FIRST_Y] - dy)), min(bottom, int(row[FIRST_Y] + dy) + 1) + 1):
            for x in range(max(left, int(row[FIRST_X] - dx)), min(right, int(row[FIRST_X] + dx) + 1) + 1):
                p = grid[(y - top + 1) * span + (x - left + 1)]
                if p < 0 or is_core[p]:
                    continue
                far = distance(row, x, y)
                if far < _END:
                    here = amplitude * exponential(-far)
                    odds[p] += here
                    # Each of those so far keeps its share of the odds.
                    if _chance(x, y, part) * odds[p] < here:
                        owner[p] = part


@jit
def _spread(n: int, numbers: Any, grid: Any, span: int, left: int, top: int) -> None:
    """Give what no Gaussian reaches to the owner of the nearest pixel, by steps from pixel to pixel."""
    owner, queue = numbers[8], numbers[10]
    n_queue = 0
    for p in range(n):
        if owner[p] >= 0:
            queue[n_queue] = p
            n_queue += 1
    head = 0
    while head < n_queue and n_queue < n:
        p = queue[head]
        head += 1
        place = (numbers[1, p] - top + 1) * span + (numbers[0, p] - left + 1)
        for k in range(8):
            q = grid[place + _neighbour(k, span)]
            if q >= 0 and owner[q] < 0:
                owner[q] = owner[p]
                queue[n_queue] = q
                n_queue += 1


@jit
def _chain_up(n: int, n_parts: int, numbers: Any) -> None:
    """Make one chain of the pixels of each part: ``numbers[4]`` has their heads, ``numbers[5]`` their lengths."""
    following, owner, heads, sizes, tails = numbers[2], numbers[8], numbers[4], numbers[5], numbers[6]
    for part in range(n_parts):
        sizes[part] = 0
    for p in range(n):
        part = owner[p]
        if sizes[part] == 0:
            heads[part] = p
        else:
            following[tails[part]] = p
        tails[part] = p
        sizes[part] += 1


@jit
def measure_islands(
    first: int, last: int, order: Any, ends: Any, islands: Any, runs: Any, starts: Any, pixels: Any,
    minarea: int, contrast: float, width: int, height: int, numbers: Any, values: Any, work: Any, grid: Any,
    levels: Any, best: Any, parts: Any, rows: Any, totals: Any,
) -> None:  # fmt: skip
    """Measure islands from `first` until before `last`, in as many parts as they have.

    Parameters
    ----------
    first, last : int
    order, ends, islands : arrays
        From `rbinfer.kernels.runs.group_runs`.
    runs, pixels : arrays
        From `rbinfer.kernels.runs.find_runs`.
    starts : array of int64, (n,)
        Where the pixels of each run begin.
    minarea : int
    contrast : float
        Least share of the light that a part must have; 1 if no island is to be taken apart.
    width, height : int
        Of the image.
    numbers : array of int32, (16, at least 33 and as many as the largest island has pixels)
        To work in, as are the next five.
    values : array of float32, (3, the same)
    work : array of float64, (1, the same)
    grid : array of int32, (pixels of the largest box around an island, with a border of 1,)
        All -1; left so.
    levels, best : array of float64, (33,) and (minarea,)
    parts : array of float64, (half as many as `values` and 1, `N_COLUMNS`)
    rows : array of float64, (as many as pixels at most, `N_COLUMNS`)
        Result: see `rbinfer.kernels.constants`.
    totals : array of int64, (1,)
        Result: how many there are.
    """
    n_rows = 0
    for i in range(first, last):
        begin = ends[i - 1] if i > 0 else 0
        top, bottom, left, right = islands[i, 1], islands[i, 2], islands[i, 3], islands[i, 4]
        span = right - left + 3
        n = _load(
            begin, ends[i], order, runs, starts, pixels, left, top, span, numbers, values, grid
        )
        threshold = total = 0.0
        peak = 0.0
        for p in range(n):
            threshold += values[2, p]
            total += values[1, p]
            peak = max(peak, float(values[1, p]))
        threshold /= n
        n_parts = 0
        if contrast < 1.0 and peak > threshold:
            ratio = peak / threshold
            for _ in range(5):
                ratio = np.sqrt(ratio)
            levels[0] = threshold
            for k in range(_LEVELS):
                levels[k + 1] = levels[k] * ratio
            if _has_peaks(n, levels[1], numbers, values, grid, span, left, top):
                n_parts = _parts(
                    n, threshold, levels, min(minarea, _LEAST_PART), contrast * total, numbers, values, work,
                    grid, span, left, top, best, parts, width, height,
                )  # fmt: skip
        if n_parts == 0:
            for p in range(n):
                numbers[2, p] = p + 1
            measure_chain(
                0, n, numbers[2], numbers[0], numbers[1], values, threshold, minarea, width, height, best,
                rows[n_rows],
            )  # fmt: skip
            finish_shape(rows[n_rows])
            n_rows += 1
        else:
            numbers[15, 0], numbers[15, 1], numbers[15, 2], numbers[15, 3] = left, top, right, bottom
            _share_out(n, n_parts, numbers, work, grid, span, numbers[15], parts)
            _spread(n, numbers, grid, span, left, top)
            _chain_up(n, n_parts, numbers)
            for part in range(n_parts):
                row = rows[n_rows]
                measure_chain(
                    numbers[4, part], numbers[5, part], numbers[2], numbers[0], numbers[1], values, threshold,
                    minarea, width, height, best, row,
                )  # fmt: skip
                move_centre(parts[part, FIRST_X], parts[part, FIRST_Y], row)
                finish_shape(row)
                n_rows += 1
        _clear(begin, ends[i], order, runs, left, top, span, grid)
    totals[0] = n_rows
