"""Runs of pixels above a threshold: joined to islands, parted, and cut at higher thresholds."""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

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

    @classmethod
    def none(cls) -> "Found":
        """Return no runs."""
        return cls(np.empty((0, 3), np.int32), np.empty(0, np.int64), np.empty((3, 0), np.float32))


@dataclass(frozen=True)
class Islands:
    """Runs by islands; as `rbinfer.kernels.runs.group_runs` has them."""

    order: NDArray[np.int64]
    ends: NDArray[np.int64]
    islands: NDArray[np.int64]


def joined(above: Found, below: Found) -> Found:
    """Put runs together with those of rows below."""
    if len(above.runs) == 0:
        return below
    return Found(
        np.concatenate([above.runs, below.runs]),
        np.concatenate([above.starts, below.starts + above.pixels.shape[1]]),
        np.concatenate([above.pixels, below.pixels], axis=1),
    )


def parted(found: Found, row: int) -> tuple[Found, Found]:
    """Part the runs of islands that end above a row from those of islands that reach it, with pixels."""
    from ..kernels.dispatch import label_runs

    last = np.empty(len(found.runs), np.int64)
    label_runs(found.runs, last)
    reaches = found.runs[last, 0] == row
    # By their numbers: with truth values NumPy takes longer for rows of several values.
    ended, left = np.flatnonzero(~reaches), np.flatnonzero(reaches)
    runs = np.take(found.runs, left, axis=0)
    _, _, at = _places(runs[:, 2], found.starts[left])
    open_ones = Found(runs, begins(runs[:, 2]), np.take(found.pixels, at, axis=1))
    return Found(np.take(found.runs, ended, axis=0), found.starts[ended], found.pixels), open_ones


def grouped(runs: NDArray[np.int32], minarea: int) -> Islands:
    """Bring the runs of each island with so many pixels at least together, in the order of last runs."""
    from ..kernels.dispatch import group_runs, label_runs

    n = len(runs)
    parent, number, ends, order = (np.empty(n, np.int64) for _ in range(4))
    islands, totals = np.empty((n, 5), np.int64), np.zeros(1, np.int64)
    label_runs(runs, parent)
    group_runs(runs, parent, minarea, number, islands, ends, order, totals)
    total = int(totals[0])
    return Islands(order, ends[:total], islands[:total])


def without_floods(found: Found, minarea: int, size: int, is_smoothed: bool) -> tuple[Found, Islands]:
    """Find the islands; raise the threshold of those too large to be objects until they come apart.

    Parameters
    ----------
    found : Found
        What is raised is raised in its pixels.
    minarea : int
        As for `grouped`.
    size : int
        Pixels of the image.
    is_smoothed : bool
        The threshold was applied to smoothed pixels.
    """
    most = max(_FLOOD_PIXELS, _FLOOD_SHARE * size)
    while True:
        islands = grouped(found.runs, minarea)
        floods = np.flatnonzero(islands.islands[:, 0] > most)
        if not floods.size:
            return found, islands
        log.info("%d islands are too large to be objects: their threshold is doubled", floods.size)
        found = _raised(found, islands, floods, _SMOOTHED if is_smoothed else 1.0)


def _raised(found: Found, islands: Islands, floods: NDArray[np.intp], noise: float) -> Found:
    """Return the runs with the threshold of some islands doubled; it is so in `found.pixels` too."""
    firsts = np.append(0, islands.ends)
    flooded = np.concatenate([islands.order[firsts[k] : islands.ends[k]] for k in floods])
    lengths = found.runs[flooded, 2]
    run, place, at = _places(lengths, found.starts[flooded])
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


def begins(lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return where the pixels of runs begin that follow each other."""
    return np.cumsum(lengths, dtype=np.int64) - lengths


def _places(
    lengths: NDArray[np.int32], starts: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """Return for each pixel of runs which of them it is of, its place in that, and among all pixels."""
    run = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(run)) - begins(lengths)[run]
    return run, place, starts[run] + place
