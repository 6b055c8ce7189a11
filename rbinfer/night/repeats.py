"""Positions on the detector where bogus detections come back in image after image."""

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bands import Band, Bands, RowFile
from .clusters import gather

#: Detections within this distance (pixels) of each other are at one position.
RADIUS = 1.0
#: What repeats is gathered together with all that lies within so many pixels: whether a point belongs to
#: one place or another depends on those around them, and hardly on what is three places away.
MARGIN = 8.0 * RADIUS
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


def find_repeats(bogus: RowFile, images_of_hdu: Mapping[int, int]) -> Repeats:
    """Find the positions that repeat, a band of the detector at a time.

    Parameters
    ----------
    bogus : RowFile of `rbinfer.report.one.SOURCE`
    images_of_hdu : mapping of int to int
        How many images have an HDU.

    Returns
    -------
    Repeats
    """
    taken = np.zeros(len(bogus), np.bool_)
    found: list[Repeat] = []
    for hdu, n_images in images_of_hdu.items():
        with _in_bands(bogus, hdu) as bands:
            for band in bands:
                found += _of_band(band, hdu, n_images, taken)
    found.sort(key=lambda repeat: (-repeat.images, repeat.hdu, repeat.y, repeat.x))
    return Repeats(found, taken)


@contextmanager
def _in_bands(bogus: RowFile, hdu: int) -> Iterator[Bands]:
    """Sort the rows of an HDU that have a position into bands across the detector."""
    dtype = np.dtype([*bogus.dtype.descr, ("index", np.int64)])

    def rows() -> Iterator[NDArray[Any]]:
        start = 0
        for part in bogus.parts():
            own = (part["hdu"] == hdu) & np.isfinite(part["x"]) & np.isfinite(part["y"])
            items = np.zeros(np.count_nonzero(own), dtype)
            for name in bogus.dtype.names or ():
                items[name] = part[name][own]
            items["index"] = start + np.flatnonzero(own)
            start += len(part)
            yield items

    n, top = 0, 0.0
    for part in rows():
        n, top = n + len(part), max(top, float(part["y"].max(initial=0.0)))
    with Bands(bogus.folder, dtype, "y", (0.0, top), n, MARGIN) as bands:
        for part in rows():
            bands.add(part)
        yield bands


def _of_band(band: Band, hdu: int, n_images: int, taken: NDArray[np.bool_]) -> list[Repeat]:
    """Find those of a band; `taken` is set for the rows that belong to one."""
    bogus, least = band.rows, least_images(n_images)
    gathered = gather(bogus["x"], bogus["y"], RADIUS)
    order = np.argsort(gathered.label, kind="stable")
    bounds = np.searchsorted(gathered.label[order], np.arange(len(gathered.first) + 1))
    found = []
    for which, (start, stop) in enumerate(itertools.pairwise(bounds)):
        if stop - start < least or band.where[gathered.first[which]] != 0:
            continue
        near = order[start:stop]
        images = len(np.unique(bogus["image"][near]))
        if images < least:
            continue
        taken[bogus["index"][near]] = True
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
                member=int(bogus["index"][near[np.argmax(bright)]]),
            )
        )
    return found
