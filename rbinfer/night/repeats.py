"""Positions on the detector where bogus detections come back in image after image."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .clusters import clusters

#: Detections within this distance (pixels) of each other are at one position.
RADIUS = 1.0
#: A position repeats when this share of the images has it, and at least so many.
LEAST_SHARE = 0.2
LEAST_IMAGES = 3


class Repeat(NamedTuple):
    """A position that repeats.

    Attributes
    ----------
    hdu : int
    x, y : float
        Median position, 0-based pixels.
    images : int
        How many images have it.
    share : float
        Share of the images that have this HDU.
    kind : int
        Index of the class that most of the detections have.
    score : float
        Mean of their scores.
    member : int
        Row of the brightest of them, or of the first where brightness is not known.
    """

    hdu: int
    x: float
    y: float
    images: int
    share: float
    kind: int
    score: float
    member: int


class Repeats(NamedTuple):
    """All positions that repeat, most frequent first, and which rows belong to one of them."""

    found: list[Repeat]
    rows: NDArray[np.bool_]


def least_images(n_images: int) -> int:
    """Return in how many of so many images a position must be found to repeat."""
    return max(LEAST_IMAGES, math.ceil(LEAST_SHARE * n_images))


def find_repeats(bogus: NDArray[Any], images_of_hdu: Mapping[int, int]) -> Repeats:
    """Find the positions that repeat.

    Parameters
    ----------
    bogus : structured ndarray of `rbinfer.report.one.SOURCE`
    images_of_hdu : mapping of int to int
        How many images have an HDU.

    Returns
    -------
    Repeats
    """
    taken = np.zeros(len(bogus), np.bool_)
    placed = np.isfinite(bogus["x"]) & np.isfinite(bogus["y"])
    found = []
    for hdu, n_images in images_of_hdu.items():
        rows = np.flatnonzero(placed & (bogus["hdu"] == hdu))
        found += _of_hdu(bogus, rows, hdu, n_images, taken)
    found.sort(key=lambda repeat: (-repeat.images, repeat.hdu, repeat.y, repeat.x))
    return Repeats(found, taken)


def _of_hdu(
    bogus: NDArray[Any], rows: NDArray[np.intp], hdu: int, n_images: int, taken: NDArray[np.bool_]
) -> list[Repeat]:
    """Find those of an HDU; `taken` is set for the rows that belong to one."""
    least = least_images(n_images)
    label = clusters(bogus["x"][rows], bogus["y"][rows], RADIUS)
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(label.max(initial=-1) + 2))
    found = []
    for start, stop in itertools.pairwise(bounds):
        if stop - start < least:
            continue
        near = rows[order[start:stop]]
        images = len(np.unique(bogus["image"][near]))
        if images < least:
            continue
        taken[near] = True
        kinds, times = np.unique(bogus["kind"][near], return_counts=True)
        bright = np.nan_to_num(bogus["bright"][near], nan=-np.inf)
        found.append(
            Repeat(
                hdu=hdu,
                x=float(np.median(bogus["x"][near])),
                y=float(np.median(bogus["y"][near])),
                images=images,
                share=images / n_images,
                kind=int(kinds[np.argmax(times)]),
                score=float(np.mean(bogus["score"][near], dtype=np.float64)),
                member=int(near[np.argmax(bright)]),
            )
        )
    return found
