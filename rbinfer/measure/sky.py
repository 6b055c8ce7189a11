"""The background of a frame and its noise: a mesh of robust estimates, and a spline through them."""

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..io.scratch import release
from ..kernels.constants import LEVELS_A_BLOCK, MOST_LEVELS
from .threads import Threads

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

#: Share of the pixels of a cell that must be good; where no cell has it, so many good pixels will do.
_LEAST_SHARE, _LEAST_GOOD = 0.5, 64
_ROWS = 4  # of cells that are measured by one call


@dataclass(frozen=True)
class Sky:
    """Background and noise of a frame, in the units of its pixels.

    Attributes
    ----------
    level, noise : ndarray of float64, shape (rows, columns)
        Of the cells of the mesh, smoothed with a median of 3 x 3 cells.
    side : int
        Of the cells, pixels.
    typical : float
        A typical noise.
    floor : float
        Least noise that pixels are given.
    """

    level: Floats
    noise: Floats
    side: int
    typical: float
    floor: float

    @cached_property
    def splines(self) -> Floats:
        """Return what `rbinfer.kernels.runs.find_runs` interpolates, shape (2, 4, rows, columns)."""
        parts = []
        for mesh in (self.level, self.noise):
            along_y, along_x = _curvature(mesh), _curvature(mesh.T).T
            parts.append([mesh, along_y, along_x, _curvature(along_x)])
        return np.ascontiguousarray(parts)


def measure_sky(
    image: NDArray[np.float32], mask: NDArray[np.bool_] | None, side: int, threads: Threads
) -> Sky | None:
    """Measure background and noise of a frame.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels.
    side : int
        Of the cells of the mesh, pixels.
    threads : Threads

    Returns
    -------
    Sky or None
        None where no cell has enough good pixels, which is logged as a warning, or no pixel stands out
        of its cell. Half of a cell's pixels are enough; where no cell has these, 64 are.
    """
    level, noise, highest = cells_of(image, mask, side, threads)
    if np.isnan(level).all():
        log.warning(
            "nothing is detected: more than half of the pixels of every %d x %d cell are bad, and no "
            "cell has %d good ones",
            side, side, _LEAST_GOOD,
        )  # fmt: skip
        return None
    standing_out = float(np.nanmax(highest - level))
    level, noise = smoothed(without_gaps(level)), smoothed(without_gaps(noise))
    above_zero = noise[noise > 0]
    # A noise-free or coarsely quantised image: anything that stands out at all.
    typical = float(np.median(above_zero)) if above_zero.size else 1e-3 * standing_out
    return Sky(level, noise, side, typical, 0.1 * typical) if typical > 0 else None


def cells_of(
    image: NDArray[np.float32], mask: NDArray[np.bool_] | None, side: int, threads: Threads
) -> tuple[Floats, Floats, Floats]:
    """Measure the cells of a mesh, each by itself.

    Parameters
    ----------
    image, mask, side, threads
        As for `measure_sky`.

    Returns
    -------
    level, noise, highest : ndarray of float64, shape (rows, columns)
        Background, noise, and a value that no sky has; NaN where a cell has too few good pixels.
    """
    found = _measured(image, mask, side, _LEAST_SHARE, 1, threads)
    if np.isnan(found[0]).all():
        found = _measured(image, mask, side, 0.0, _LEAST_GOOD, threads)
    return found


def _measured(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    side: int,
    least_share: float,
    least_good: int,
    threads: Threads,
) -> tuple[Floats, Floats, Floats]:
    """Return what `rbinfer.kernels.mesh.measure_mesh` has of each cell: level, noise, highest value."""
    from ..kernels.dispatch import measure_mesh

    shape = tuple(-(-n // side) for n in image.shape)
    level, noise, highest = (np.empty(shape) for _ in range(3))
    masked = np.zeros((1, 1), np.bool_) if mask is None else mask

    def measure_rows(k: int) -> None:
        first, last = k * _ROWS, min((k + 1) * _ROWS, shape[0])
        columns, below = np.empty((2, side)), np.empty((3, MOST_LEVELS // LEVELS_A_BLOCK), np.int64)
        counts, places = np.empty(MOST_LEVELS + 1, np.int32), np.empty(side, np.int32)
        measure_mesh(
            image, masked, mask is not None, side, first, last, least_share, least_good, level, noise,
            highest, np.empty(side * side, np.float32), columns, counts, places, below,
        )  # fmt: skip
        release(image[first * side : last * side])

    threads.map(measure_rows, -(-shape[0] // _ROWS))
    return level, noise, highest


def without_gaps(mesh: Floats) -> Floats:
    """Return a mesh whose cells without data have the mean of the nearest cells that have some."""
    gaps = np.isnan(mesh)
    if not gaps.any():
        return mesh
    # The nearest cell with data lies beside one without.
    beside = np.zeros_like(gaps)
    beside[1:] |= gaps[:-1]
    beside[:-1] |= gaps[1:]
    beside[:, 1:] |= gaps[:, :-1]
    beside[:, :-1] |= gaps[:, 1:]
    j, i = np.nonzero(beside & ~gaps)
    values, filled = mesh[j, i], mesh.copy()
    for y, x in zip(*np.nonzero(gaps), strict=True):
        distance = (j - y) ** 2 + (i - x) ** 2
        filled[y, x] = values[distance == distance.min()].mean()
    return filled


def smoothed(mesh: Floats) -> Floats:
    """Return medians of 3 x 3 cells; at the borders, of as many as lie on either side."""
    out = mesh.copy()
    rows, columns = mesh.shape

    def medians(inner: tuple[slice, slice], dy: int, dx: int) -> None:
        near = [
            mesh[inner[0].start + j : inner[0].stop + j, inner[1].start + i : inner[1].stop + i]
            for j in range(-dy, dy + 1)
            for i in range(-dx, dx + 1)
        ]
        out[inner] = np.median(near, axis=0)

    inner_rows, inner_columns = slice(1, max(rows - 1, 1)), slice(1, max(columns - 1, 1))
    medians((inner_rows, inner_columns), 1, 1)
    for y in {0, rows - 1}:
        medians((slice(y, y + 1), inner_columns), 0, 1)
    for x in {0, columns - 1}:
        medians((inner_rows, slice(x, x + 1)), 1, 0)
    return out


def _curvature(values: Floats) -> Floats:
    """Return a sixth of second derivatives along the first axis, as SExtractor has them for its spline.

    They are those of a natural cubic spline but for one thing: each step back through the tridiagonal
    system is divided by six where only its result should be, so the next node has less weight. The
    background is none the worse for it, and thresholds agree with SEP's to the pixel.
    """
    out = np.zeros_like(values)
    n = len(values)
    if n < 3:
        return out
    bends = 6.0 * (values[2:] - 2.0 * values[1:-1] + values[:-2])
    factors, parts = np.zeros(n), np.zeros_like(values)
    for k in range(1, n - 1):
        factors[k] = -1.0 / (factors[k - 1] + 4.0)
        parts[k] = factors[k] * (parts[k - 1] - bends[k - 1])
    for k in range(n - 2, 0, -1):
        out[k] = (factors[k] * out[k + 1] + parts[k]) / 6.0
    return out
