"""Similar triangles among the stars of two frames, found by astroalign in the same way each time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

F64 = NDArray[np.float64]

_SEED = 0
#: Triangles are not tried whose sizes differ by more than this factor: less than a sixth are left where
#: none fits, and small ones of noisy positions are among them.
_SCALE = 1.1


def similar_triangles(stars: F64, anchors: F64) -> F64 | None:
    """Return the map from stars to anchors by which the most triangles are similar, and of one scale.

    Parameters
    ----------
    stars, anchors : ndarray of float64, shape (n, 2) and (m, 2)
        Pixels of about one scale. The time grows with the fourth power of their number.

    Returns
    -------
    ndarray of float64, shape (2, 3), or None
        Shift, rotation and scale; None where no triangles are similar.

    Raises
    ------
    InputError
        astroalign is not installed.
    """
    from .._util.extras import needed

    astroalign: Any = needed("astroalign", "frames without a WCS are aligned by", "night")
    try:
        with _same_each_time(astroalign), _of_one_scale(astroalign):
            found, _ = astroalign.find_transform(
                stars, anchors, max_control_points=len(stars) + len(anchors)
            )
    except (astroalign.MaxIterError, ValueError, TypeError, IndexError) as error:
        log.debug("no similar triangles: %s", error)
        return None
    return np.asarray(found.params, np.float64)[:2]


class _Random:
    """The generator of NumPy, with one seed for all who ask for none."""

    @staticmethod
    def default_rng(*given: Any, **named: Any) -> np.random.Generator:
        return np.random.default_rng(*given, **named) if given or named else np.random.default_rng(_SEED)


class _NumPy:
    """NumPy, but for its generator."""

    random = _Random

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@contextmanager
def _same_each_time(astroalign: Any) -> Iterator[None]:
    """Let astroalign try the triangles in the same order each time.

    It shuffles them by a generator that takes no seed, and the tables of a night are to be the same to
    the byte. What it calls ``_np`` is NumPy; where a version has no such name it is left as it is.
    """
    own = getattr(astroalign, "_np", None)
    if own is None:
        log.info("this astroalign tries triangles in an order of its own: a night may differ a little")
        yield
        return
    astroalign._np = _NumPy()
    try:
        yield
    finally:
        astroalign._np = own


@contextmanager
def _of_one_scale(astroalign: Any) -> Iterator[None]:
    """Let astroalign try no triangles of different size, which it would take at any scale.

    It tries each pair of similar triangles against all others, which takes long where none fits. What it
    calls ``_ransac`` does so; where a version has no such name it is left as it is.
    """
    own = getattr(astroalign, "_ransac", None)
    if own is None:
        yield
        return

    def of_one_scale(data: NDArray[np.int64], model: Any, *how: Any) -> tuple[Any, NDArray[np.intp]]:
        ratio = _perimeters(model.source[data[..., 0]]) / _perimeters(model.target[data[..., 1]])
        kept = np.flatnonzero((ratio > 1.0 / _SCALE) & (ratio < _SCALE))
        found, inliers = own(data[kept], model, *how)
        return found, kept[inliers]

    astroalign._ransac = of_one_scale
    try:
        yield
    finally:
        astroalign._ransac = own


def _perimeters(corners: F64) -> F64:
    """Return the perimeters of triangles, shape (n, 3, 2)."""
    sides = corners - np.roll(corners, 1, axis=1)
    return np.asarray(np.hypot(sides[..., 0], sides[..., 1]).sum(axis=1), np.float64)
