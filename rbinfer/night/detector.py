"""What stands on the detector while the sky moves: hot pixels and other flaws, however they look."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bands import Bands
from .chance import least_beyond
from .clusters import clusters, gather
from .repeats import RADIUS, least_images

#: A detection of a camera: its number there, number of its frame, pixels, field (-1 where it is not
#: known which part of the sky the frame shows), position on its plane, and whether it was called real.
SPOT = np.dtype(
    [
        ("index", np.int64),
        ("frame", np.int32),
        ("x", np.float32),
        ("y", np.float32),
        ("field", np.int32),
        ("u", np.float32),
        ("v", np.float32),
        ("real", np.bool_),
    ]
)
#: Positions on the sky further from each other than this, in pixels, are different ones.
_APART = 3.0
#: What stands on the detector was seen at so many positions of the sky at least. Two would do for a pair
#: of stars in a series of two pointings.
_LEAST_PLACES = 3
#: What repeats oftener need not be compared one by one.
_COUNTED = 500
#: Where more than this share of the detections look real, stars may have met at a pixel by chance: so
#: many frames must have it that chance makes fewer than _FALSE of them on a detector. Clusters gather
#: around the densest places, which counts as if there were more of everything.
_MOST_REAL, _FALSE, _GREED = 0.5, 0.1, 2.0


@dataclass(frozen=True, eq=False)
class Standing:
    """What repeats on the detector of a camera.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Median position, 0-based pixels.
    frames : ndarray of int, shape (n,)
        How many frames have it.
    real : ndarray of float64, shape (n,)
        Share of its detections that were called real.
    number : ndarray of int32, shape (m,)
        Of each detection: which of them it belongs to; -1 for none.
    repeats : ndarray of int32, shape (m,)
        Of each detection: how many other frames have one at its pixel that is elsewhere on the sky.
    by_chance : float
        How many that would be by chance.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    frames: NDArray[np.intp]
    real: NDArray[np.float64]
    number: NDArray[np.int32]
    repeats: NDArray[np.int32]
    by_chance: float


def find_standing(bands: Bands, n_frames: int, area: float) -> Standing:
    """Find positions of the detector that have detections at different positions of the sky.

    Parameters
    ----------
    bands : Bands of `SPOT`
        Of all frames of a camera, across ``y`` with `MARGIN`.
    n_frames : int
        How many frames that are.
    area : float
        Pixels of a frame.

    Returns
    -------
    Standing
        Only of what it tells of each detection does memory grow with their number, by 8 bytes.
    """
    by_chance = len(bands) * np.pi * RADIUS**2 / max(area, 1.0)
    least = least_images(n_frames)
    least_real = max(least, least_beyond(_GREED * by_chance, area / np.pi, _FALSE))
    number = np.full(len(bands), -1, np.int32)
    repeats = np.zeros(len(bands), np.int32)
    found: list[tuple[float, ...]] = []
    for spots, where in bands:
        gathered = gather(spots["x"].astype(np.float64), spots["y"].astype(np.float64), RADIUS)
        order = np.argsort(gathered.label, kind="stable")
        bounds = np.searchsorted(gathered.label[order], np.arange(len(gathered.first) + 1))
        for k in np.flatnonzero((where[gathered.first] == 0) & (np.diff(bounds) > 1)):
            own = spots[order[bounds[k] : bounds[k + 1]]]
            frames = len(np.unique(own["frame"]))
            real = float(np.mean(own["real"]))
            may_stand = frames >= (least if real < _MOST_REAL else least_real)
            places = _places(own) if may_stand or len(own) > _COUNTED else 0
            elsewhere = _elsewhere(own) if len(own) <= _COUNTED else (frames - 1) * (places > 1)
            repeats[own["index"]] = elsewhere
            if may_stand and places >= _LEAST_PLACES:
                number[own["index"]] = len(found)
                x, y = float(np.median(own["x"])), float(np.median(own["y"]))
                rank = (int(gathered.turn[k]), -int(gathered.size[k]))
                found.append((x, y, frames, real, *rank, int(spots["index"][gathered.first[k]])))
    columns = np.array(found, np.float64).reshape(-1, 7).T
    # In one order whatever the bands.
    order = np.lexsort(columns[:3:-1])
    new = np.full(len(found) + 1, -1, np.int32)  # the last is for what belongs to none
    new[order] = np.arange(len(found))
    x, y, frames_of, real_of = columns[:4, order]
    return Standing(x, y, frames_of.astype(np.intp), real_of, new[number], repeats, float(by_chance))


def _elsewhere(own: NDArray[Any]) -> NDArray[np.intp]:
    """Count for each detection the frames of the others that are elsewhere on the sky."""
    apart = np.hypot(own["u"][:, None] - own["u"], own["v"][:, None] - own["v"]) > _APART
    apart |= own["field"][:, None] != own["field"]
    known = own["field"] >= 0
    apart &= known[:, None] & known
    apart &= own["frame"][:, None] != own["frame"]
    return np.asarray(apart.sum(axis=1), np.intp)


def _places(own: NDArray[Any]) -> int:
    """Count the positions on the sky that lie apart; `_LEAST_PLACES` stands for that and more."""
    n = 0
    for number in np.unique(own["field"][own["field"] >= 0]):
        of = own[own["field"] == number]
        good = np.isfinite(of["u"]) & np.isfinite(of["v"])
        u, v = (of[name][good].astype(np.float64) for name in ("u", "v"))
        # Most lie so far apart that they need not be gathered to tell.
        if n + max(_least_places(u), _least_places(v)) >= _LEAST_PLACES:
            return _LEAST_PLACES
        n += int(clusters(u, v, _APART).max(initial=-1)) + 1
    return min(n, _LEAST_PLACES)


def _least_places(values: NDArray[np.float64]) -> int:
    """Return how many clusters there are at least along an axis: one spans no more than twice _APART."""
    n, left = 0, np.sort(values)
    while left.size and n < _LEAST_PLACES:
        n, left = n + 1, left[left > left[0] + 2.0 * _APART]
    return n
