"""Points of many frames that lie at one place: linear in their number, on a grid of cells.

NumPy's sorted search is enough for that. A KD-tree would need SciPy, which the base install does
without; and the pairs of a star that a thousand frames show are half a million, which are not needed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Ints = NDArray[np.intp]

#: More cells than a plane has in a row.
_SPAN = 2**31
#: Largest coordinate in cells that still leaves room for neighbours.
_FARTHEST = 2**30
_ROUNDS = 3  # of moving a centre to the median of what is around it


class Cells:
    """Points sorted into square cells.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
    side : float
        Of a cell, in the unit of the points.

    Attributes
    ----------
    placed : ndarray of bool, shape (n,)
        False for points that are not finite or too far away to have a cell.
    """

    def __init__(self, x: F64, y: F64, side: float) -> None:
        self.x, self.y, self.side = x, y, side
        with np.errstate(invalid="ignore"):
            self.placed = (np.abs(x) < _FARTHEST * side) & (np.abs(y) < _FARTHEST * side)
        rows = np.flatnonzero(self.placed)
        cell = self._cell(x[rows], y[rows])
        order = np.argsort(cell, kind="stable")
        self._rows, self._cells = rows[order], cell[order]

    def _cell(self, x: F64, y: F64) -> NDArray[np.int64]:
        column, row = (np.rint(v / self.side).astype(np.int64) for v in (x, y))
        return row * _SPAN + column

    def near(self, x: float, y: float) -> Ints:
        """Return the points within a side of a position, in the order of their cells."""
        middle = self._cell(np.array([x]), np.array([y]))[0]
        found = []
        for step in (-_SPAN, 0, _SPAN):
            start, stop = np.searchsorted(self._cells, [middle + step - 1, middle + step + 2])
            found.append(self._rows[start:stop])
        rows = np.concatenate(found)
        return rows[np.hypot(self.x[rows] - x, self.y[rows] - y) <= self.side]

    def nearest(self, x: F64, y: F64) -> tuple[Ints, F64]:
        """Return the nearest point to each of many positions, and its distance.

        Parameters
        ----------
        x, y : ndarray of float64, shape (m,)

        Returns
        -------
        index : ndarray of int, shape (m,)
            -1 where none is within a side.
        distance : ndarray of float64, shape (m,)
            Infinite there.
        """
        index = np.full(len(x), -1, np.intp)
        distance = np.full(len(x), np.inf)
        good = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        middle = self._cell(x[good], y[good])
        for step in (-_SPAN, 0, _SPAN):
            start = np.searchsorted(self._cells, middle + step - 1)
            stop = np.searchsorted(self._cells, middle + step + 2)
            for k in range(int((stop - start).max(initial=0))):
                has = np.flatnonzero(start + k < stop)
                rows, which = self._rows[start[has] + k], good[has]
                away = np.hypot(self.x[rows] - x[which], self.y[rows] - y[which])
                closer = (away <= self.side) & (away < distance[which])
                index[which[closer]], distance[which[closer]] = rows[closer], away[closer]
        return index, distance

    def seeds(self) -> Iterator[tuple[Ints, bool]]:
        """Yield the points of each cell, the fullest first, and whether its neighbours are empty."""
        is_first = np.ones(len(self._cells), np.bool_)  # of its cell: they are sorted
        is_first[1:] = self._cells[1:] != self._cells[:-1]
        first = np.flatnonzero(is_first)
        size = np.diff(first, append=len(self._cells))
        cells = self._cells[first]
        around = np.zeros(len(cells), np.intp)
        for step in (-_SPAN, 0, _SPAN):
            start = np.searchsorted(cells, cells + step - 1)
            around += np.searchsorted(cells, cells + step + 2) - start
        for k in np.lexsort((self._rows[first], -size)):
            yield self._rows[first[k] : first[k] + size[k]], bool(around[k] == 1)


class Gathered(NamedTuple):
    """Clusters of points.

    Clusters are numbered in the order of turn, size (the largest first) and first, which tells how those
    of the parts of a plane are numbered as a whole.

    Attributes
    ----------
    label : ndarray of int, shape (n,)
        Number of the cluster of each point, from 0; each point that is not finite is one of its own.
    first : ndarray of int, shape (m,)
        First point of the cell that each cluster began with.
    turn : ndarray of int, shape (m,)
        After how many searches through all that was left.
    size : ndarray of int, shape (m,)
        How many points of that cell were left; 0 for a point that is not finite.
    """

    label: Ints
    first: Ints
    turn: Ints
    size: Ints


def clusters(x: F64, y: F64, radius: float, frame: NDArray[np.int32] | None = None) -> Ints:
    """Return the number of the cluster of each point, as of `gather`."""
    return gather(x, y, radius, frame).label


def gather(x: F64, y: F64, radius: float, frame: NDArray[np.int32] | None = None) -> Gathered:
    """Gather points that lie within a distance of a common centre, the densest places first.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
    radius : float
        Largest distance from the median of a cluster.
    frame : ndarray of int32, shape (n,), optional
        A cluster has one point at most of each frame, the nearest to its centre; without it as many as
        there are.

    Returns
    -------
    Gathered
    """
    label = np.full(len(x), -1, np.intp)
    began: list[tuple[int, int, int]] = []
    left, turn = np.arange(len(x)), 0
    while left.size:
        cells = Cells(x[left], y[left], radius)
        own = label[left]
        for seed, is_alone in cells.seeds():
            if is_alone and (len(seed) == 1 or frame is None):
                members = seed
            elif (start := seed[own[seed] < 0]).size:
                members = _around(cells, start, own, None if frame is None else frame[left])
            else:
                continue
            own[members] = len(began)
            began.append((int(left[seed[0]]), turn, len(seed)))
        for k in np.flatnonzero(~cells.placed):
            own[k] = len(began)
            began.append((int(left[k]), turn, 0))
        label[left] = own
        left, turn = left[own < 0], turn + 1
    first, turns, size = np.array(began, np.intp).reshape(-1, 3).T
    return Gathered(label, first, turns, size)


def _around(cells: Cells, start: Ints, own: Ints, frame: NDArray[np.int32] | None) -> Ints:
    """Return the free points around the median of some, moved to the median of what is found."""
    members = start
    for _ in range(_ROUNDS):
        x, y = _median(cells.x[members]), _median(cells.y[members])
        near = cells.near(x, y)
        near = near[own[near] < 0]
        if near.size == 0:
            return start[:1]
        if frame is not None:
            away = np.hypot(cells.x[near] - x, cells.y[near] - y)
            near = near[np.lexsort((near, away, frame[near]))]
            near = near[np.unique(frame[near], return_index=True)[1]]
        if np.array_equal(near, members):
            break
        members = near
    return members


def _median(values: F64) -> float:
    """Return what NumPy's median does, which takes ten times as long for a few values."""
    ordered, n = np.sort(values), len(values)
    return 0.5 * float(ordered[(n - 1) // 2] + ordered[n // 2])
