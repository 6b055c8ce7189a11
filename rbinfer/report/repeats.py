"""Positions on the detector where bogus detections come back in image after image."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Detections within this distance (pixels) of each other are at one position.
RADIUS = 1.0
#: A position repeats when this share of the images has it, and at least so many.
LEAST_SHARE = 0.2
LEAST_IMAGES = 3

_SPAN = 2**24  # more pixels than a detector has in a row


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
    placed &= (np.abs(bogus["x"]) < _SPAN / 4) & (np.abs(bogus["y"]) < _SPAN / 4)
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
    # Rows in the order of their pixel: those of a pixel are a slice.
    pixel = _pixel(np.rint(bogus["x"][rows]), np.rint(bogus["y"][rows]))
    order = np.argsort(pixel, kind="stable")
    rows, pixel = rows[order], pixel[order]
    pixels, first, size = np.unique(pixel, return_index=True, return_counts=True)
    seeds = np.flatnonzero(_around(pixels, size) >= least)
    # Full pixels first: a neighbour with a stray detection must not claim theirs.
    seeds = seeds[np.argsort(-size[seeds], kind="stable")]
    found = []
    for seed in seeds:
        own = rows[first[seed] : first[seed] + size[seed]]
        own = own[~taken[own]]
        if own.size == 0:
            continue
        x, y = np.median(bogus["x"][own]), np.median(bogus["y"][own])
        start = np.searchsorted(pixel, pixels[seed] + _NEIGHBOURS, "left")
        stop = np.searchsorted(pixel, pixels[seed] + _NEIGHBOURS, "right")
        near = np.concatenate([rows[a:b] for a, b in zip(start, stop, strict=True)])
        near = near[~taken[near] & (np.hypot(bogus["x"][near] - x, bogus["y"][near] - y) <= RADIUS)]
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


def _pixel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    return y.astype(np.int64) * _SPAN + x.astype(np.int64)


_NEIGHBOURS = np.sort(
    np.array([dy * _SPAN + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)], np.int64)
)  # of a pixel, itself included


def _around(pixels: NDArray[np.int64], size: NDArray[np.intp]) -> NDArray[np.intp]:
    """Count the detections in each pixel and its eight neighbours."""
    total = np.zeros(len(pixels), np.intp)
    for step in _NEIGHBOURS:
        at = np.searchsorted(pixels, pixels + step)
        there = at < len(pixels)
        there[there] = pixels[at[there]] == (pixels + step)[there]
        total[there] += size[at[there]]
    return total
