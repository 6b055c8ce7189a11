"""Affine maps between planes, fitted to pairs of points and found between lists of stars."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .clusters import Cells
from .triangles import similar_triangles

F64 = NDArray[np.float64]

#: Distances in pixels within which the stars of two frames are paired, in turn; the last is kept until
#: the pairs do not change any more.
_PAIRED = (4.0, 2.0, 1.5)
_MOST_ROUNDS = 12
#: Stars within this distance in pixels at no shift may be what stands on the detector.
_STANDING = 1.0
#: A map must pair so many stars, and this share of those that both frames have.
_LEAST_PAIRS = 5
_MOST_FREE = 0.9
_LEAST_SHARE = 0.3
#: That of no shift must pair more: if two frames show different stars, what stands on the detector is
#: a third of what they show and more, where many of its spots are soft.
_LEAST_STILL = 0.5
#: How many of the brightest stars the search for a map begins with; more where these are not enough. A
#: search in vain takes the fourth power of it: two seconds with 50.
_BRIGHTEST = (25, 50)


class Affine(NamedTuple):
    """A map ``u = a x + b y + c, v = d x + e y + f``.

    Attributes
    ----------
    matrix : ndarray of float64, shape (2, 3)
    """

    matrix: F64

    @classmethod
    def fitted(cls, points: F64, images: F64, least: int = 6) -> "Affine":
        """Fit a map by least squares; with fewer than `least` pairs a shift alone.

        Parameters
        ----------
        points, images : ndarray of float64, shape (n, 2)
        least : int, optional
            Three pairs determine a map, but not one of positions that scatter.
        """
        if len(points) < least:
            shift = np.mean(images - points, axis=0)
            return cls(np.column_stack([np.eye(2), shift]))
        middle = points.mean(axis=0)
        design = np.column_stack([points - middle, np.ones(len(points))])
        found: F64 = np.linalg.lstsq(design, images, rcond=None)[0].T
        found[:, 2] -= found[:, :2] @ middle
        return cls(found)

    def __call__(self, x: F64, y: F64) -> tuple[F64, F64]:
        """Map points."""
        a, b = self.matrix
        return a[0] * x + a[1] * y + a[2], b[0] * x + b[1] * y + b[2]

    def inverse(self) -> "Affine":
        """Return the map back."""
        back = np.linalg.inv(self.matrix[:, :2])
        return Affine(np.column_stack([back, -back @ self.matrix[:, 2]]))

    def after(self, first: "Affine") -> "Affine":
        """Return the map that goes through another one before."""
        turn, shift = self.matrix[:, :2], self.matrix[:, 2]
        return Affine(np.column_stack([turn @ first.matrix[:, :2], turn @ first.matrix[:, 2] + shift]))

    @property
    def scale(self) -> float:
        """Length of the image of a unit, the mean of both axes."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))


class _Trial(NamedTuple):
    """A map, refined, and the pairs that it makes."""

    affine: Affine
    stars: NDArray[np.intp]
    anchors: NDArray[np.intp]
    share: float


def align(stars: F64, anchors: F64) -> Affine | None:
    """Find the map from the stars of one frame to those of another.

    A detector's hot pixels stand still while the sky moves, and there may be ten times as many as stars:
    counting pairs would find no shift. So what both lists have at no shift is set aside first, and a map
    that pairs the rest is taken before that of no shift, however many pairs that has.

    Parameters
    ----------
    stars, anchors : ndarray of float64, shape (n, 2) and (m, 2)
        Positions of what was called real, the brightest first; pixels of about one scale.

    Returns
    -------
    Affine or None
        None where no map pairs enough of them.

    Raises
    ------
    InputError
        astroalign is not installed.
    """
    if min(len(stars), len(anchors)) < 3:
        return None
    standing = Cells(anchors[:, 0], anchors[:, 1], _STANDING).nearest(*stars.T)[0]
    free = stars[standing < 0]
    free_anchors = np.delete(anchors, standing[standing >= 0], axis=0)
    if moved := _found(free, free_anchors):
        # Not refined with all: after a short shift what stands would be paired too, and pull it back.
        return moved.affine
    still = _refined(Affine(np.eye(2, 3)), stars, anchors)
    if _is_enough(still, stars, anchors):
        return still.affine
    if len(free) > _MOST_FREE * len(stars):  # the same would be searched again
        return None
    moved = _found(stars, anchors)
    return None if moved is None else moved.affine


def _found(stars: F64, anchors: F64) -> _Trial | None:
    for most in _BRIGHTEST:
        first = _by_triangles(stars[:most], anchors[:most])
        if first is not None:
            trial = _refined(first, stars, anchors)
            if _is_enough(trial, stars, anchors):
                return trial
    return None


def _by_triangles(stars: F64, anchors: F64) -> Affine | None:
    if min(len(stars), len(anchors)) < _LEAST_PAIRS:
        return None
    matrix = similar_triangles(stars, anchors)
    return None if matrix is None else Affine(matrix)


def _refined(affine: Affine, stars: F64, anchors: F64) -> _Trial:
    """Fit a map to the pairs that it makes until they are the same: where it started is forgotten."""
    grids = {radius: Cells(anchors[:, 0], anchors[:, 1], radius) for radius in _PAIRED}
    last: NDArray[np.intp] | None = None
    for turn in range(_MOST_ROUNDS):
        radius = _PAIRED[min(turn, len(_PAIRED) - 1)]
        index, distance = grids[radius].nearest(*affine(*stars.T))
        # An anchor is the pair of one star alone, the nearest.
        order = np.lexsort((distance, index))
        paired = order[index[order] >= 0]
        paired = np.sort(paired[np.unique(index[paired], return_index=True)[1]])
        if len(paired) < 3 or (last is not None and np.array_equal(paired, last)):
            break
        last = paired if turn >= len(_PAIRED) - 1 else None
        affine = Affine.fitted(stars[paired], anchors[index[paired]])
    return _Trial(affine, paired, index[paired], len(paired) / max(_common(affine, stars, anchors), 1))


def _common(affine: Affine, stars: F64, anchors: F64) -> int:
    """Count the stars that both frames could have: the smaller number inside the other's bounds."""
    mapped = np.column_stack(affine(*stars.T))
    counts = []
    for points, others in ((mapped, anchors), (anchors, mapped)):
        low, high = others.min(axis=0), others.max(axis=0)
        counts.append(int(np.count_nonzero(np.all((points >= low) & (points <= high), axis=1))))
    return min(counts)


def _is_enough(trial: _Trial, stars: F64, anchors: F64) -> bool:
    """Whether a map pairs more stars than chance does, and a good share of those in common.

    If it shifts them by no more than what stands on the detector, it must be a larger share.
    """
    area = float(np.prod(np.ptp(anchors, axis=0))) or 1.0
    by_chance = len(stars) * len(anchors) * np.pi * _PAIRED[-1] ** 2 / area
    least = max(_LEAST_PAIRS, by_chance + 4.0 * np.sqrt(by_chance))
    flat = abs(trial.affine.scale - 1.0) < 0.05
    if not (flat and len(trial.stars) >= least):
        return False
    shifts = np.hypot(*(anchors[trial.anchors] - stars[trial.stars]).T)
    return bool(trial.share >= (_LEAST_SHARE if np.median(shifts) > _STANDING else _LEAST_STILL))
