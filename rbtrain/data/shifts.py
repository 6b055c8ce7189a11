"""Shifts between images without a place on the sky, found by what is labelled in both."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import poisson

from .._arrays import F64

#: Side in pixels of the cells in which differences of positions are counted.
_CELL = 6.0
#: Fewer pairs in a cell, or as many as chance puts into any cell more often than this, are no shift.
_LEAST_PAIRS, _BY_CHANCE = 5, 1e-4
#: Of an image with more positions so many vote, the same ones for each other image.
_MOST_VOTES = 600


def pairs_by_shift(
    points: F64, images: NDArray[np.intp], reach: float, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Pair positions that one shift between two images brings together.

    Each pair of images is looked at by itself: the differences of all its positions are counted in
    cells, and the fullest cell is the shift if chance does not make it so full. Rotations are not found.
    Two clusters of stars may be taken for one, which keeps more together than need be.

    Parameters
    ----------
    points : ndarray of float64, shape (n, 2)
        Pixels.
    images : ndarray of int, shape (n,)
        A number for the image of each.
    reach : float
        How near two of them are brought, in pixels.
    rng : numpy.random.Generator
        For which vote, of many.

    Returns
    -------
    ndarray of int, shape (m, 2)
        Indices of `points`.
    """
    rows = [np.flatnonzero(images == number) for number in np.unique(images)]
    rows = [own for own in rows if len(own) >= _LEAST_PAIRS]
    voters = [points[rng.permutation(own)[:_MOST_VOTES]] for own in rows]
    trees = [cKDTree(points[own]) for own in rows]
    found = [np.zeros((0, 2), np.intp)]
    for a, b in combinations(range(len(rows)), 2):
        shift = _shift(voters[a], voters[b])
        if shift is not None:
            near = cKDTree(points[rows[a]] + shift).query_ball_tree(trees[b], reach)
            found += [
                _between(int(k), own, rows[b]) for k, own in zip(rows[a], near, strict=True) if own
            ]
    return np.concatenate(found)


def _between(row: int, near: Sequence[int], rows: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.column_stack([np.full(len(near), row, np.intp), rows[list(near)]])


def _shift(points: F64, others: F64) -> F64 | None:
    """Return what is to be added to points to lie on others; None where they have too few in common."""
    away = (others[None, :, :] - points[:, None, :]).reshape(-1, 2)
    both = np.concatenate([points, others])
    area = float(np.prod(np.maximum(np.ptp(both, axis=0), _CELL)))
    most, shift = 0, np.zeros(2)
    for offset in np.stack(np.meshgrid([0.0, 0.5], [0.0, 0.5]), -1).reshape(-1, 2):
        # Cells that overlap by half: a shift is near the middle of one of them.
        columns, rows = np.floor(away.T / _CELL + offset[:, None]).astype(np.int64)
        cells = columns * (1 << 32) + rows
        filled, counts = np.unique(cells, return_counts=True)
        if counts.max() > most:
            most = int(counts.max())
            shift = np.median(away[cells == filled[counts.argmax()]], axis=0)
    if most < _LEAST_PAIRS:
        return None
    # No cell expects more than that of no shift, for positions all over an area that both show.
    expected = len(away) * _CELL**2 / area
    cells_of_all = 4.0 * 4.0 * area / _CELL**2
    return shift if poisson.sf(most - 1, expected) * cells_of_all < _BY_CHANCE else None
