"""Detections of a group on one field: which are one source, which move, which stand on the detector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .clusters import Cells, clusters
from .coverage import Cover, counted
from .tracks import Track, find_tracks

F64 = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Detections within this share of the FWHM of their median are one source; in pixels no less than
#: _LEAST: faint positions scatter by 0.15 FWHM, and frames are aligned to 0.2 pixels.
_RADIUS, _LEAST = 0.5, 1.2
#: What this share of the frames that cover it have, and so many, is no piece of a track...
_SHARE, _TIMES = 0.5, 3
#: ...unless it drifts by more than so many times the error, and so many pixels in all.
_SIGMAS, _DRIFT = 6.0, 1.0
#: No track begins closer to a star than this, in FWHM: wings and blends scatter.
_NEAR = 1.5
#: Detections below this share of the threshold are no pieces of tracks.
_SCORE = 0.5


@dataclass(frozen=True, eq=False)
class Merged:
    """Which rows are one.

    Attributes
    ----------
    label : ndarray of int, shape (n,)
        Number of the source of each row, from 0.
    tracks : dict of int to Track
        Those that move, by their number.
    standing : dict of int to int
        Those that stand on the detector, and which of `rbinfer.night.detector.Standing` they are.
    """

    label: Ints
    tracks: dict[int, Track]
    standing: dict[int, int]


def radius_of(fwhm: float) -> float:
    """Return how far detections of one source may be from their median, in pixels."""
    return max(_LEAST, _RADIUS * fwhm) if np.isfinite(fwhm) else _LEAST


def merge(
    rows: NDArray[Any],
    standing: NDArray[np.int32],
    covers: Sequence[Cover],
    hours: F64,
    fwhm: float,
    threshold: float,
) -> Merged:
    """Find the sources of a group.

    Parameters
    ----------
    rows : structured ndarray of `rbinfer.night.rows.ROW`, shape (n,)
        With positions on the plane of one field.
    standing : ndarray of int32, shape (n,)
        What each row is a repeat of on the detector; -1 for nothing.
    covers : sequence of Cover
        The frames.
    hours : ndarray of float64
        Middle of the exposure by the number of a frame.
    fwhm : float
        Typical width of a star, pixels.
    threshold : float
        Scores above it are real.

    Returns
    -------
    Merged
    """
    radius = radius_of(fwhm)
    label = np.full(len(rows), -1, np.intp)
    free = np.flatnonzero(standing < 0)
    label[free] = clusters(rows["u"][free], rows["v"][free], radius, rows["frame"][free])
    _give_back(rows, label, standing, radius)
    still = _stays(rows, label, covers, hours)
    pool = _pool(rows, label, still, fwhm, _SCORE * threshold)
    found = find_tracks(rows, pool, hours, covers, radius)
    tracks = _named(found, rows, label, still, covers, hours, radius)
    number = int(label.max(initial=-1)) + 1
    fixed = {}
    for which in np.unique(standing[label < 0]):
        label[(standing == which) & (label < 0)] = number
        fixed[number] = int(which)
        number += 1
    numbers, label = np.unique(label, return_inverse=True)
    new = {int(old): k for k, old in enumerate(numbers)}
    return Merged(
        label,
        {new[k]: track for k, track in tracks.items()},
        {new[k]: which for k, which in fixed.items()},
    )


def _stays(rows: NDArray[Any], label: Ints, covers: Sequence[Cover], hours: F64) -> NDArray[np.bool_]:
    """Tell of each cluster whether it is a star: often seen where it was, without a drift."""
    u, v, times = _centres(rows, label)
    n = len(times)
    covered, _ = counted(covers, u, v, u, v, 0.0)
    stays = (times >= _TIMES) & (times >= _SHARE * covered)
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(n + 1))
    for k in np.flatnonzero(stays):
        stays[k] = not _drifts(rows[order[bounds[k] : bounds[k + 1]]], hours)
    return stays


def _centres(rows: NDArray[Any], label: Ints) -> tuple[F64, F64, Ints]:
    """Return the mean position of each cluster, and how many rows it has."""
    has = label >= 0
    times = np.bincount(label[has])
    with np.errstate(invalid="ignore"):
        u, v = (np.bincount(label[has], rows[k][has]) / times for k in ("u", "v"))
    return u, v, times


def _give_back(rows: NDArray[Any], label: Ints, standing: NDArray[np.int32], radius: float) -> None:
    """Give a star the detections that look real where it crosses a hot pixel; changes the labels."""
    u, v, times = _centres(rows, label)
    often = np.flatnonzero(times > 1)
    crossing = np.flatnonzero((standing >= 0) & rows["real"])
    index, _ = Cells(u[often], v[often], radius).nearest(rows["u"][crossing], rows["v"][crossing])
    have = set(zip(label.tolist(), rows["frame"].tolist(), strict=True))
    for row, which in zip(crossing[index >= 0], often[index[index >= 0]], strict=True):
        one = (int(which), int(rows["frame"][row]))
        if one not in have:
            label[row] = which
            have.add(one)


def _drifts(own: NDArray[Any], hours: F64) -> bool:
    """Whether positions are further along at each time, by more than their scatter explains."""
    times = hours[own["frame"]]
    if not np.all(np.isfinite(times)) or len(own) < 4 or not np.ptp(times):
        return False
    times = times - times.mean()
    power = float(times @ times)
    for name in ("u", "v"):
        values = own[name] - own[name].mean()
        slope = float(times @ values) / power
        error = np.sqrt(np.sum((values - slope * times) ** 2) / (len(own) - 2) / power)
        if abs(slope) > _SIGMAS * error and abs(slope) * np.ptp(times) > _DRIFT:
            return True
    return False


def _pool(rows: NDArray[Any], label: Ints, still: NDArray[np.bool_], fwhm: float, least: float) -> Ints:
    """Return the rows that may be of something that moves."""
    has = label >= 0
    is_star = has.copy()
    is_star[has] = still[label[has]]
    reach = _NEAR * fwhm if np.isfinite(fwhm) else _NEAR * _LEAST
    u, v, _ = _centres(rows, label)
    away = Cells(u[still], v[still], reach).nearest(rows["u"], rows["v"])[1]
    return np.flatnonzero(has & ~is_star & (away > reach) & (rows["score"] > least))


def _named(
    found: Sequence[Track],
    rows: NDArray[Any],
    label: Ints,
    still: NDArray[np.bool_],
    covers: Sequence[Cover],
    hours: F64,
    radius: float,
) -> dict[int, Track]:
    """Give tracks their numbers and what else lies on their lines; changes the labels."""
    tracks = dict(enumerate(found, int(label.max(initial=-1)) + 1))
    # All of them first: none is completed with what another was found by.
    for number, track in tracks.items():
        label[track.members] = number
    for number, track in tracks.items():
        tracks[number] = _completed(track, rows, label, still, covers, hours, radius)
        label[tracks[number].members] = number
    return tracks


def _completed(
    track: Track,
    rows: NDArray[Any],
    label: Ints,
    still: NDArray[np.bool_],
    covers: Sequence[Cover],
    hours: F64,
    radius: float,
) -> Track:
    """Add what else lies on the line in other frames, however low its score or near a star."""
    have = {int(frame) for frame in rows["frame"][track.members]}
    free = (label >= 0) & (label < len(still))
    free[free] = ~still[label[free]]
    members = list(track.members)
    for cover in covers:
        if cover.frame in have or not np.isfinite(cover.hours):
            continue
        own = np.flatnonzero(free & (rows["frame"] == cover.frame))
        u, v = track.at(cover.hours)
        away = np.hypot(rows["u"][own] - u, rows["v"][own] - v)
        if own.size and away.min() <= radius:
            members.append(own[np.argmin(away)])
    order = np.argsort(hours[rows["frame"][members]], kind="stable")
    return Track.fitted(rows, hours, np.array(members, np.intp)[order])
