"""Islands with several peaks, taken apart as SExtractor does (Bertin & Arnouts 1996, A&AS 117, 393).

Between threshold and peak lie 32 levels, equally spaced in magnitudes. From the top down, the parts of
an island that are connected above a level join into larger ones; where two or more with enough of the
light do, they become detections of their own. Each pixel below belongs to one of them by chance, with
the odds of Gaussians.

Parts are kept as trees of pixels (union-find), where SExtractor labels the island anew at each level.
The chance is a hash of a pixel's place: it depends neither on threads nor on the rest of the image.

Pixels are looked up by numbers without a sign: for others Numba tests whether they count from the end.

``box`` is always the first column and row of the island, the last ones, the width of its grid, and the
width and height of the image. The grid has the numbers of the pixels, -1 where there is none, and a
border of 1.
"""

import math
from typing import Any

import numpy as np

from . import constants as c
from .jit import jit
from .numerics import exponential, logarithm
from .shapes import distance, finish_shape, measure_chain
from .trees import root_of

_LEVELS = 32
#: Pixels of a part that may become a detection of its own; fewer if fewer are asked for.
_LEAST_PART = 3
# A Gaussian of a part is at most so many times its peak; chance ends at a 1e-7th of its height.
_MOST_HEIGHT, _END = 4.0, 16.0
#: It ends itself at this exponent.
_MOST_EXPONENT = 70.0
# What `numbers` has for each pixel of an island: column, row, the next of its chain;
X, Y, NEXT = 0, 1, 2
# its level; pixels in the order of levels, and where those of each end; its part as a tree, the end of
# the part's chain and its length, if it is the root;
_LEVEL, _SORTED, _BOUNDS, _PARENT, _TAIL, _SIZE = 3, 4, 5, 6, 7, 8
# how many great parts joined into its part, and whether none of those was taken apart;
_GREAT, _WHOLE = 9, 10
# the roots of parts; those that were roots at the level before, their sizes and whether they are great;
_ROOTS, _HEADS, _SIZES, _IS_GREAT = 11, 12, 13, 14
# the detection that it belongs to, a queue of pixels, and, at the end, whether it is of a core.
_OWNER, _QUEUE, _IS_CORE = 15, 16, _SIZE
#: Where, in the end, the heads and the lengths of the chains of the detections are.
HEADS, LENGTHS = _HEADS, _SIZES


@jit
def place_of(numbers: Any, p: int, box: Any) -> Any:
    """Return where a pixel lies in the grid."""
    at = np.uint64(p)
    return (numbers[Y, at] - box[1] + 1) * box[4] + (numbers[X, at] - box[0] + 1)


@jit
def _neighbour(k: int, span: int) -> int:
    """Return how far the k-th of eight neighbours lies in a grid of that width."""
    if k < 3:
        return k - 1 - span
    if k > 4:
        return k - 6 + span
    return 2 * k - 7


@jit
def _has_peaks(n: int, lowest: float, numbers: Any, values: Any, grid: Any, box: Any) -> bool:
    """Tell whether two pixels or more above a level are brighter than all around them."""
    count = 0
    for p in range(n):
        value = values[1, np.uint64(p)]
        if not value > lowest:
            continue
        place = place_of(numbers, p, box)
        is_peak = True
        for k in range(8):
            q = grid[np.uint64(place + _neighbour(k, box[4]))]
            if q < 0:
                continue
            other = values[1, np.uint64(q)]
            # Of equals the last one counts.
            if other > value or (other == value and q > p):
                is_peak = False
                break
        count += is_peak
        if count > 1:
            return True
    return False


@jit
def _sort_by_level(n: int, levels: Any, numbers: Any, values: Any) -> None:
    """Bring the pixels above each level, and not above the next, together."""
    level_of, sorted_pixels, bounds = numbers[_LEVEL], numbers[_SORTED], numbers[_BOUNDS]
    for k in range(_LEVELS + 1):
        bounds[k] = 0
    for p in range(n):
        low, high = 0, _LEVELS - 1
        value = values[1, np.uint64(p)]
        while low < high:  # the highest level below the pixel
            middle = (low + high + 1) >> 1
            if value > levels[np.uint64(middle)]:
                low = middle
            else:
                high = middle - 1
        level_of[np.uint64(p)] = low
        bounds[np.uint64(low + 1)] += 1
    for k in range(_LEVELS):
        bounds[k + 1] += bounds[k]
    for p in range(n):
        level = np.uint64(level_of[np.uint64(p)])
        sorted_pixels[np.uint64(bounds[level])] = p
        bounds[level] += 1


@jit
def _join(a: int, b: int, numbers: Any, flux: Any) -> None:
    """Make one part of two; its chain is that of one with that of the other behind it."""
    size, tail = numbers[_SIZE], numbers[_TAIL]
    if size[a] < size[b]:
        a, b = b, a
    numbers[_PARENT, b] = a
    numbers[NEXT, tail[a]] = b  # a root is the head of its chain
    tail[a] = tail[b]
    size[a] += size[b]
    flux[a] += flux[b]


@jit
def _note_parts(
    n_roots: int, least_pixels: int, level: float, least_flux: float, numbers: Any, flux: Any
) -> int:
    """Note the parts above a level before they join: the large ones, and which have enough light."""
    n_heads = 0
    for r in range(n_roots):
        root = numbers[_ROOTS, r]
        size = numbers[_SIZE, root]
        if size >= least_pixels:
            numbers[_HEADS, n_heads], numbers[_SIZES, n_heads] = root, size
            is_great = flux[root] - level * size > least_flux
            numbers[_IS_GREAT, n_heads] = is_great + 2 * numbers[_WHOLE, root]
            n_heads += 1
    return n_heads


@jit
def _add_level(k: int, n_roots: int, numbers: Any, values: Any, flux: Any, grid: Any, box: Any) -> int:
    """Add the pixels of a level to the parts, which join; returns the number of parts then."""
    parent, roots = numbers[_PARENT], numbers[_ROOTS]
    begin = numbers[_BOUNDS, k - 1] if k > 0 else 0
    for s in range(begin, numbers[_BOUNDS, k]):
        p = numbers[_SORTED, np.uint64(s)]
        at = np.uint64(p)
        parent[at] = numbers[_TAIL, at] = roots[np.uint64(n_roots)] = p
        numbers[_SIZE, at], flux[at] = 1, values[1, at]
        n_roots += 1
        place = place_of(numbers, p, box)
        for d in range(8):
            q = grid[np.uint64(place + _neighbour(d, box[4]))]
            if q >= 0 and parent[np.uint64(q)] >= 0:
                a, b = root_of(parent, p), root_of(parent, q)
                if a != b:
                    _join(a, b, numbers, flux)
    kept = 0
    for r in range(n_roots):
        root = roots[np.uint64(r)]
        at = np.uint64(root)
        if parent[at] == root:
            roots[np.uint64(kept)] = root
            numbers[_GREAT, at], numbers[_WHOLE, at] = 0, 1
            kept += 1
    return kept


@jit
def _cut_out(
    head: int, n: int, level: float, part: int, numbers: Any, values: Any, box: Any, best: Any, row: Any
) -> None:  # fmt: skip
    """Make a connected part a detection: measure its core, and give it its pixels."""
    measure_chain(head, n, numbers, values, level, np.int64(0), box, best, row)
    finish_shape(row)
    p = head
    for _ in range(n):
        numbers[_OWNER, p] = part
        p = numbers[NEXT, p]


@jit
def _find_cores(
    n: int, levels: Any, least_pixels: int, least_flux: float, numbers: Any, values: Any, flux: Any,
    grid: Any, box: Any, best: Any, rows: Any,
) -> Any:  # fmt: skip
    """Find the cores of an island's detections; returns how many there are: none if it is only one."""
    parent, great, whole = numbers[_PARENT], numbers[_GREAT], numbers[_WHOLE]
    heads, is_great = numbers[_HEADS], numbers[_IS_GREAT]
    for p in range(n):
        parent[p] = numbers[_OWNER, p] = -1
    _sort_by_level(n, levels, numbers, values)
    n_parts: Any = np.int64(0)
    n_roots: Any = n_parts
    for k in range(_LEVELS - 1, -1, -1):
        n_heads = _note_parts(n_roots, least_pixels, levels[k + 1], least_flux, numbers, flux)
        n_roots = _add_level(k, n_roots, numbers, values, flux, grid, box)
        for h in range(n_heads):
            root = root_of(parent, heads[h])
            great[root] += is_great[h] & 1
            whole[root] &= is_great[h] >> 1
        for h in range(n_heads):
            root = root_of(parent, heads[h])
            if great[root] > 1:
                whole[root] = 0
                if is_great[h] == 3 and n_parts < rows.shape[0]:
                    _cut_out(
                        heads[h], numbers[_SIZES, h], levels[k + 1], n_parts, numbers, values, box,
                        best, rows[n_parts],
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
def _amplitude(row: Any, threshold: float) -> Any:
    """Return the height of the Gaussian that has the area of a core above the threshold."""
    axes = math.sqrt(row[c.XX] * row[c.YY] - row[c.XY] * row[c.XY])
    exponent = row[c.N_PIXELS] / (2.0 * math.pi * row[c.AREA_RATIO] * axes)
    most = _MOST_HEIGHT * row[c.PEAK_SMOOTH]
    if exponent < _MOST_EXPONENT:
        return min(threshold / exponential(-exponent), most)
    return most


@jit
def _reach(row: Any, end: float, box: Any) -> Any:
    """Return first and last column and row of the island that a Gaussian reaches."""
    square = 2.0 * end * row[c.AREA_RATIO]
    dx, dy = math.sqrt(square * row[c.XX]), math.sqrt(square * row[c.YY])
    x, y = row[c.FIRST_X], row[c.FIRST_Y]
    left, right = max(box[0], int(x - dx)), min(box[2], int(x + dx) + 1)
    return left, right, max(box[1], int(y - dy)), min(box[3], int(y + dy) + 1)


@jit
def _share_out(
    n: int, n_parts: int, threshold: float, numbers: Any, odds: Any, grid: Any, box: Any, rows: Any
) -> Any:  # fmt: skip
    """Give the pixels around the cores to one of them each: at random, with the odds of Gaussians.

    Returns how many pixels none of them reaches.
    """
    owner, is_core = numbers[_OWNER], numbers[_IS_CORE]
    left_over: Any = np.int64(0)
    for p in range(n):
        is_core[p] = owner[p] >= 0
        left_over += owner[p] < 0
        odds[p] = 0.0
    for part in range(n_parts):
        row = rows[part]
        amplitude = _amplitude(row, threshold)
        first, last, bottom, top = _reach(row, _END, box)
        for j in range(bottom, top + 1):
            for i in range(first, last + 1):
                p = grid[np.uint64((j - box[1] + 1) * box[4] + (i - box[0] + 1))]
                if p < 0 or is_core[np.uint64(p)]:
                    continue
                far = distance(row, i, j)
                if far < _END:
                    at = np.uint64(p)
                    here = amplitude * exponential(-far)
                    left_over -= owner[at] < 0
                    odds[at] += here
                    # Each of those so far keeps its share of the odds.
                    if _chance(i, j, part) * odds[at] < here:
                        owner[at] = part
    return left_over


@jit
def _give_far(
    n: int, n_parts: int, threshold: float, numbers: Any, heights: Any, grid: Any, box: Any, rows: Any
) -> None:  # fmt: skip
    """Give what is far from all cores to the Gaussian that is highest there: by far, as a rule."""
    owner = numbers[_OWNER]
    for p in range(n):
        heights[p] = math.inf if owner[p] >= 0 else -math.inf
    for part in range(n_parts):
        row = rows[part]
        middle = logarithm(_amplitude(row, threshold))
        first, last, bottom, top = _reach(row, _MOST_EXPONENT, box)
        for j in range(bottom, top + 1):
            for i in range(first, last + 1):
                p = grid[(j - box[1] + 1) * box[4] + (i - box[0] + 1)]
                if p < 0 or heights[p] == math.inf:
                    continue
                far = distance(row, i, j)
                if far < _MOST_EXPONENT and middle - far > heights[p]:
                    heights[p], owner[p] = middle - far, part


@jit
def _spread(n: int, numbers: Any, grid: Any, box: Any) -> None:
    """Give what no Gaussian reaches to the owner of the nearest pixel, by steps from pixel to pixel."""
    owner, queue = numbers[_OWNER], numbers[_QUEUE]
    n_queue = 0
    for p in range(n):
        if owner[p] >= 0:
            queue[n_queue] = p
            n_queue += 1
    head = 0
    while head < n_queue and n_queue < n:
        p = queue[head]
        head += 1
        place = place_of(numbers, p, box)
        for k in range(8):
            q = grid[place + _neighbour(k, box[4])]
            if q >= 0 and owner[q] < 0:
                owner[q] = owner[p]
                queue[n_queue] = q
                n_queue += 1


@jit
def _chain_up(n: int, n_parts: int, numbers: Any) -> None:
    """Make one chain of the pixels of each detection: its core comes first, as in SEP."""
    heads, lengths, tails = numbers[HEADS], numbers[LENGTHS], numbers[_TAIL]
    for part in range(n_parts):
        lengths[part] = 0
    for is_core in (1, 0):
        for p in range(n):
            if numbers[_IS_CORE, p] != is_core:
                continue
            part = numbers[_OWNER, p]
            if lengths[part] == 0:
                heads[part] = p
            else:
                numbers[NEXT, tails[part]] = p
            tails[part] = p
            lengths[part] += 1


@jit
def take_apart(
    n: int, threshold: float, peak: float, least_flux: float, minarea: int, numbers: Any, values: Any,
    reals: Any, grid: Any, box: Any, levels: Any, best: Any, cores: Any,
) -> Any:  # fmt: skip
    """Find the detections of an island; returns how many there are, or 0 if it is one.

    Parameters
    ----------
    n : int
        Pixels of the island.
    threshold, peak : float
        Of the smoothed island.
    least_flux : float
        What a part must have above the level that it is cut at.
    minarea : int
    numbers : array of int32, (`N_NUMBERS`, pixels)
        Has columns, rows and chain; the others are to work in. Where there are detections, their chains.
    values : array of float32, (3, pixels)
    reals : array of float64, (pixels,)
        To work in.
    grid : array of int32
    box : array of int64, (7,)
    levels, best : array of float64, (33,) and (minarea,)
        To work in.
    cores : array of float64, (pixels, `N_COLUMNS`)
        Result: the cores of the detections, measured; no more than there are rows.
    """
    ratio = peak / threshold
    for _ in range(5):
        ratio = math.sqrt(ratio)
    levels[0] = threshold
    for k in range(_LEVELS):
        levels[k + 1] = levels[k] * ratio
    if not _has_peaks(n, levels[1], numbers, values, grid, box):
        return 0
    n_parts = _find_cores(
        n, levels, min(minarea, _LEAST_PART), least_flux, numbers, values, reals, grid, box, best, cores
    )  # fmt: skip
    if n_parts > 0:
        left_over = _share_out(n, n_parts, threshold, numbers, reals, grid, box, cores)
        if left_over > 0:
            _give_far(n, n_parts, threshold, numbers, reals, grid, box, cores)
            _spread(n, numbers, grid, box)
        _chain_up(n, n_parts, numbers)
    return n_parts
