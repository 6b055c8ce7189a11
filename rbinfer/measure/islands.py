"""Detections as islands of pixels above a threshold, by the kernels of rbinfer.

The method is that of SExtractor and SEP; the image is walked over twice, in strips that threads share:
for the background, and for what stands out of it. Islands are measured as soon as they end, so that no
more is in memory than what stands out of some rows, and the islands that go on.
"""

import numpy as np
from numpy.typing import NDArray

from ..io.scratch import release
from ..kernels import constants as c
from .gathered import Gathered
from .runs import Found, Islands, begins, joined, parted, without_floods
from .sky import Sky, measure_sky
from .threads import Threads

MESH = 64  # pixels; side of the background mesh
_STRIP = 256  # rows that are walked over at a time
_CHUNK = 50_000  # pixels of islands that are measured at a time
_ROWS = 1 << 16  # rows that are moved at a time
_CELL = 32  # pixels; side of the cells in which neighbours are looked for
#: Pixels for each thread that are walked over before the islands that end there are measured, about.
_BAND = 1 << 22


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
    sky = measure_sky(image, mask, MESH, pool)
    if sky is None:
        return np.zeros((0, c.N_COLUMNS))
    gathered = Gathered()
    height, width = image.shape
    last, left = 0, Found.none()
    while last < height:
        # Many pixels are left where an island goes on and on: then they are not moved for each band.
        first, size = last, max(_BAND * threads, left.pixels.shape[1])
        last = min(first + max(size // width, 1), height)
        walked = _walk(image, mask, sky, threshold, matched_filter, first, last, pool)
        found = joined(left, walked)
        if last < height:
            found, left = parted(found, last - 1)
        found, islands = without_floods(found, minarea, image.size, matched_filter)
        rows = _measure(found, islands, image.shape, minarea, deblend_cont, pool)
        gathered.add(rows, _last_runs(rows, found, islands, width))
    rows = gathered.in_order()
    return _without_wings(rows, image.shape) if len(rows) else rows


def _last_runs(
    rows: NDArray[np.float64], found: Found, islands: Islands, width: int
) -> NDArray[np.int64]:
    """Return where in the image the last run of the island of each row begins."""
    # Each pixel of an island is one of one of its rows.
    sizes, pixels = np.cumsum(islands.islands[:, 0]), np.cumsum(rows[:, c.N_PIXELS])
    island = np.searchsorted(sizes, pixels)
    runs = found.runs[islands.order[islands.ends[island] - 1]]
    place: NDArray[np.int64] = runs[:, 0].astype(np.int64) * width + runs[:, 1]
    return place


def _walk(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    sky: Sky,
    threshold: float,
    matched_filter: bool,
    first: int,
    end: int,
    threads: Threads,
) -> Found:
    """Find runs in rows from `first` until before `end`."""
    from ..kernels.dispatch import find_runs

    width = image.shape[1]
    masked = np.zeros((1, 1), np.bool_) if mask is None else mask

    def walk_strip(k: int) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        row, last = first + k * _STRIP, min(first + (k + 1) * _STRIP, end)
        lines = np.empty((c.N_LINES, width + 2), np.float32)
        progress = np.zeros(3, np.int64)
        room, parts = width + _STRIP * width // 16, []
        while row < last:
            runs, pixels = np.empty((room // 2 + 2, 3), np.int32), np.empty((3, room), np.float32)
            find_runs(
                image, masked, mask is not None, sky.splines, sky.side, sky.typical, sky.floor,
                threshold, matched_filter, row, last, lines, runs, pixels, progress,
            )  # fmt: skip
            row, n_runs, n_pixels = progress.tolist()
            parts.append((runs[:n_runs].copy(), pixels[:, :n_pixels].copy()))
            room *= 2
        release(image[first + k * _STRIP : last])
        return parts

    strips = threads.map(walk_strip, -(-(end - first) // _STRIP))
    parts = [part for strip in strips for part in strip]
    runs = np.concatenate([part[0] for part in parts])
    return Found(runs, begins(runs[:, 2]), np.concatenate([part[1] for part in parts], axis=1))


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
    return _kept(rows, is_kept)


def _kept(rows: NDArray[np.float64], is_kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return some of the rows, in their own place: there may be a million."""
    n = 0
    for first in range(0, len(rows), _ROWS):
        part = slice(first, first + _ROWS)
        kept = rows[part][is_kept[part]]
        rows[n : n + len(kept)] = kept
        n += len(kept)
    return rows[:n]
