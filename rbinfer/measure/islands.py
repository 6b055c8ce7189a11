"""Detections as islands of pixels above a threshold, by the kernels of rbinfer.

The method is that of SExtractor and SEP; the image is walked over twice, in strips that threads share:
for the background, and for what stands out of it. What comes after that is about what stands out.
"""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import constants as c
from .sky import Sky, measure_sky
from .threads import Threads

log = logging.getLogger(__name__)

_MESH = 64  # pixels; side of the background mesh
_STRIP = 128  # rows that are walked over at a time
_CHUNK = 50_000  # pixels of islands that are measured at a time
_CELL = 32  # pixels; side of the cells in which neighbours are looked for
#: Noise of a pixel that is smoothed with the 3 x 3 kernel, in units of that of one that is not.
_SMOOTHED = 0.375
#: An island with more pixels than this, and this share of the image, is no object.
_FLOOD_PIXELS, _FLOOD_SHARE = 65536, 0.02


@dataclass(frozen=True)
class Found:
    """Runs of pixels above the threshold, as from `rbinfer.kernels.runs.find_runs`.

    Attributes
    ----------
    runs : ndarray of int32, shape (n, 3)
    starts : ndarray of int64, shape (n,)
        Where the pixels of each run begin.
    pixels : ndarray of float32, shape (3, m)
    """

    runs: NDArray[np.int32]
    starts: NDArray[np.int64]
    pixels: NDArray[np.float32]


@dataclass(frozen=True)
class Islands:
    """Runs by islands; as `rbinfer.kernels.runs.group_runs` has them."""

    order: NDArray[np.int64]
    ends: NDArray[np.int64]
    islands: NDArray[np.int64]


def find_detections(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    threshold: float,
    minarea: int,
    matched_filter: bool,
    deblend_cont: float,
    threads: int,
) -> NDArray[np.float64]:
    """Detect sources; see `rbinfer.measure.detect.detect` for the parameters.

    Returns
    -------
    ndarray of float64, shape (n, `rbinfer.kernels.constants.N_COLUMNS`)
    """
    pool = Threads(threads)
    nothing = np.zeros((0, c.N_COLUMNS))
    sky = measure_sky(image, mask, _MESH, pool)
    if sky is None:
        return nothing
    found = _walk(image, mask, sky, threshold, matched_filter, pool)
    if len(found.runs) == 0:
        return nothing
    found, islands = _without_floods(found, minarea, image.size, matched_filter)
    rows = _measure(found, islands, image.shape, minarea, deblend_cont, pool)
    return _without_wings(rows, image.shape) if len(rows) else rows


def _walk(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    sky: Sky,
    threshold: float,
    matched_filter: bool,
    threads: Threads,
) -> Found:
    from ..kernels.dispatch import find_runs

    height, width = image.shape
    splines = sky.splines()
    masked = np.zeros((1, 1), np.bool_) if mask is None else mask

    def walk_strip(k: int) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        row, last = k * _STRIP, min((k + 1) * _STRIP, height)
        lines = np.empty((c.N_LINES, width + 2), np.float32)
        progress = np.zeros(3, np.int64)
        room, parts = width + _STRIP * width // 16, []
        while row < last:
            runs, pixels = np.empty((room // 2 + 2, 3), np.int32), np.empty((3, room), np.float32)
            find_runs(
                image, masked, mask is not None, splines, sky.side, sky.typical, sky.floor, threshold,
                matched_filter, row, last, lines, runs, pixels, progress,
            )  # fmt: skip
            row, n_runs, n_pixels = progress.tolist()
            parts.append((runs[:n_runs].copy(), pixels[:, :n_pixels].copy()))
            room *= 2
        return parts

    parts = [part for strip in threads.map(walk_strip, -(-height // _STRIP)) for part in strip]
    runs = np.concatenate([part[0] for part in parts])
    pixels = np.concatenate([part[1] for part in parts], axis=1)
    starts = np.cumsum(runs[:, 2], dtype=np.int64) - runs[:, 2]
    return Found(runs, starts, pixels)


def _grouped(runs: NDArray[np.int32], minarea: int) -> Islands:
    from ..kernels.dispatch import group_runs, label_runs

    n = len(runs)
    parent, number, ends, order = (np.empty(n, np.int64) for _ in range(4))
    islands, totals = np.empty((n, 5), np.int64), np.zeros(1, np.int64)
    label_runs(runs, parent)
    group_runs(runs, parent, minarea, number, islands, ends, order, totals)
    total = int(totals[0])
    return Islands(order, ends[:total], islands[:total])


def _without_floods(
    found: Found, minarea: int, size: int, matched_filter: bool
) -> tuple[Found, Islands]:
    """Find the islands; raise the threshold of those too large to be objects until they come apart."""
    most = max(_FLOOD_PIXELS, _FLOOD_SHARE * size)
    while True:
        islands = _grouped(found.runs, minarea)
        floods = np.flatnonzero(islands.islands[:, 0] > most)
        if not floods.size:
            return found, islands
        log.info("%d islands are too large to be objects: their threshold is doubled", floods.size)
        found = _raised(found, islands, floods, _SMOOTHED if matched_filter else 1.0)


def _raised(found: Found, islands: Islands, floods: NDArray[np.intp], noise: float) -> Found:
    """Return the runs with the threshold of some islands doubled; it is so in `found.pixels` too."""
    begins = np.append(0, islands.ends)
    flooded = np.concatenate([islands.order[begins[k] : islands.ends[k]] for k in floods])
    lengths = found.runs[flooded, 2].astype(np.int64)
    # For each pixel: which of the flooded runs it is of, and its place in the run and among all.
    run = np.repeat(np.arange(len(flooded)), lengths)
    place = np.arange(len(run)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    at = found.starts[flooded][run] + place
    found.pixels[2, at] *= 2
    above = found.pixels[1, at] > np.float32(noise) * found.pixels[2, at]
    is_last = place == lengths[run] - 1
    first = np.flatnonzero(above & ((place == 0) | ~np.append(False, above[:-1])))
    last = np.flatnonzero(above & (is_last | ~np.append(above[1:], False)))
    rows, columns, _ = found.runs[flooded[run[first]]].T
    left = np.column_stack([rows, columns + place[first], last - first + 1]).astype(np.int32)
    runs = np.concatenate([np.delete(found.runs, flooded, axis=0), left])
    starts = np.concatenate([np.delete(found.starts, flooded), at[first]])
    order = np.lexsort((runs[:, 1], runs[:, 0]))
    return Found(runs[order], starts[order], found.pixels)


def _measure(
    found: Found,
    islands: Islands,
    shape: tuple[int, ...],
    minarea: int,
    contrast: float,
    threads: Threads,
) -> NDArray[np.float64]:
    from ..kernels.dispatch import measure_islands

    height, width = shape
    sizes = islands.islands[:, 0]
    boxes = (islands.islands[:, 2] - islands.islands[:, 1] + 3) * (
        islands.islands[:, 4] - islands.islands[:, 3] + 3
    )
    # Chunks that end with the island that fills them.
    total = np.cumsum(sizes)
    firsts = np.searchsorted(total, np.arange(0, total[-1] if len(total) else 0, _CHUNK), "right")
    bounds = np.unique(np.append(firsts, len(sizes)))

    def measure_chunk(k: int) -> NDArray[np.float64]:
        first, last = int(bounds[k]), int(bounds[k + 1])
        room = int(sizes[first:last].max()) + 33
        rows = np.empty((int(sizes[first:last].sum()), c.N_COLUMNS))
        totals = np.zeros(1, np.int64)
        measure_islands(
            first, last, islands.order, islands.ends, islands.islands, found.runs, found.starts,
            found.pixels, minarea, contrast, width, height, np.empty((c.N_NUMBERS, room), np.int32),
            np.empty((3, room), np.float32), np.empty(room),
            np.full(int(boxes[first:last].max()), -1, np.int32), np.empty(7, np.int64), np.empty(33),
            np.empty(minarea), np.empty((room, c.N_COLUMNS)), rows, totals,
        )  # fmt: skip
        return rows[: totals[0]].copy()

    parts = threads.map(measure_chunk, len(bounds) - 1)
    return np.concatenate([np.zeros((0, c.N_COLUMNS)), *parts])


def _without_wings(rows: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Leave out bumps in the wings of brighter detections."""
    from ..kernels.dispatch import drop_wings, find_wings

    n = len(rows)
    lines, columns = (pixels // _CELL + 1 for pixels in shape)
    cell = np.clip(rows[:, c.FIRST_Y] / _CELL, 0, lines - 1).astype(np.int64) * columns
    cell += np.clip(rows[:, c.FIRST_X] / _CELL, 0, columns - 1).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    ends = np.cumsum(np.bincount(cell, minlength=lines * columns))
    totals = np.array([n], np.int64)
    pairs = np.empty((0, 2), np.int64)
    while len(pairs) < totals[0]:
        pairs = np.empty((int(totals[0]), 2), np.int64)
        find_wings(rows, order, ends, columns, lines * columns, _CELL, pairs, totals)
    pairs = pairs[: totals[0]]
    pairs = pairs[np.argsort(pairs.min(axis=1) * n + pairs.max(axis=1))]
    is_kept = np.ones(n, np.bool_)
    drop_wings(pairs, is_kept)
    return rows[is_kept]
