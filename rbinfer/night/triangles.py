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


def similar_triangles(stars: F64, anchors: F64) -> F64 | None:
    """Return the map from stars to anchors by which the most triangles are similar.

    Parameters
    ----------
    stars, anchors : ndarray of float64, shape (n, 2) and (m, 2)
        The time grows with the fourth power of their number.

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
        with _same_each_time(astroalign):
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
