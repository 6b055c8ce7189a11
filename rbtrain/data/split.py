"""Labels in folds: no object, and as far as can be no image, is in two of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from rbinfer.io.labels import Label

from .._arrays import F64
from .shifts import pairs_by_shift

#: What is so near to each other is one object: on the sky in arcsec; in pixels, in one image or at one
#: place of the detector of images of one shape.
_ARCSEC, _PIXELS = 3.0, 3.0
#: Images are kept whole if the largest part that this leaves together has no more than this share.
_LARGEST = 0.4


class Folds(NamedTuple):
    """Fold of each label, from 0; and whether images are whole in them."""

    fold: NDArray[np.intp]
    whole_images: bool


def folds_of(labels: Sequence[Label], n_folds: int, rng: np.random.Generator) -> Folds:
    """Share labels out among folds.

    Labels of one object stay together: those at one position of the sky; those at one pixel, which may
    be one hot pixel in many images; and, of images whose labels have no position on the sky, real ones
    that one shift brings together. Where images are turned, or too few of their labels are of the same
    stars to tell the shift, it is not found. Images stay whole where they show different objects; where
    many show the same sky, that would leave nothing apart, and positions alone are kept apart.

    Parameters
    ----------
    labels : sequence of Label
    n_folds : int
    rng : numpy.random.Generator
        For which fold gets what.

    Returns
    -------
    Folds
    """
    n = len(labels)
    images = np.unique([label.hash for label in labels], return_inverse=True)[1].reshape(-1)
    pairs = _of_one_object(labels)
    objects = _joined(pairs, n)
    first = np.unique(images, return_index=True)[1]
    whole = _joined(np.concatenate([pairs, np.column_stack([np.arange(n), first[images]])]), n)
    is_whole = len(np.unique(whole)) >= 2 * n_folds and np.bincount(whole).max() <= _LARGEST * n
    return Folds(_dealt(whole if is_whole else objects, n_folds, rng), is_whole)


def objects_of(labels: Sequence[Label]) -> NDArray[np.intp]:
    """Return a number for each label, alike for those of one object; see `folds_of`."""
    return _joined(_of_one_object(labels), len(labels))


def _of_one_object(labels: Sequence[Label]) -> NDArray[np.intp]:
    """Return pairs (m, 2) of labels that are near to each other."""
    pixels = np.array([[label.x, label.y] for label in labels])
    pairs = [_near(pixels, _PIXELS)]
    ra, dec = (np.radians([getattr(label, name) for label in labels]) for name in ("ra", "dec"))
    placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if len(placed) > 1:
        on_sphere = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        pairs.append(placed[_near(on_sphere[placed], np.radians(_ARCSEC / 3600.0))])
    real = np.array([label.label == "real" for label in labels])
    moving = np.setdiff1d(np.flatnonzero(real), placed)
    names = np.array([f"{label.hash} {label.hdu} {label.plane}" for label in labels])
    images = np.unique(names[moving], return_inverse=True)[1].reshape(-1)
    by_shift = pairs_by_shift(pixels[moving], images, _PIXELS, np.random.default_rng(0))
    pairs.append(moving[by_shift])
    return np.concatenate(pairs)


def _near(points: F64, reach: float) -> NDArray[np.intp]:
    pairs: NDArray[np.intp] = cKDTree(points).query_pairs(reach, output_type="ndarray")
    return pairs


def _joined(pairs: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels: NDArray[np.intp] = connected_components(graph, directed=False)[1].astype(np.intp)
    return labels


def _dealt(groups: NDArray[np.intp], n_folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Deal groups out, the largest first, each to the fold with the fewest labels."""
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of, filled = np.zeros(len(sizes), np.intp), np.zeros(n_folds, np.intp)
    for group in order:
        fold_of[group] = np.argmin(filled)
        filled[fold_of[group]] += sizes[group]
    return fold_of[groups]
