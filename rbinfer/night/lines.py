"""What else lies on the lines of what moves, however low its score or near a star."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bands import RowFile
from .coverage import Cover
from .parts import parts_of
from .tracks import Track

F64 = NDArray[np.float64]


def near_lines(
    tracks: Sequence[Track], pool: NDArray[Any], loose: RowFile, hours: F64, radius: float
) -> tuple[NDArray[Any], list[Track]]:
    """Choose the rows that may be of tracks.

    Parameters
    ----------
    tracks : sequence of Track
        Their members are rows of `pool`.
    pool : structured ndarray of `rbinfer.night.stored.ITEM`
    loose : RowFile of `rbinfer.night.stored.ITEM`
        All rows of no star, those of `pool` among them.
    hours : ndarray of float64
        Middle of the exposure by the number of a frame.
    radius : float
        How far a row may be from a line, in pixels.

    Returns
    -------
    rows : structured ndarray of `rbinfer.night.stored.ITEM`
        Those that are members or lie on a line, in the order of ``index``.
    tracks : list of Track
        The same, with members among these rows.
    """
    kept = [pool[track.members] for track in tracks]
    for part in parts_of(len(loose)) if tracks else ():
        rows = loose.read(part)
        is_near = np.zeros(len(rows), np.bool_)
        for track in tracks:
            u, v = track.at(hours[rows["frame"]])
            is_near |= np.hypot(rows["u"] - u, rows["v"] - v) <= radius
        kept.append(rows[is_near])
    rows = np.concatenate([pool[:0], *kept])
    rows = rows[np.unique(rows["index"], return_index=True)[1]]
    return rows, [
        replace(track, members=np.searchsorted(rows["index"], pool["index"][track.members]))
        for track in tracks
    ]


def complete(
    tracks: Sequence[Track], rows: NDArray[Any], covers: Sequence[Cover], hours: F64, radius: float
) -> tuple[NDArray[Any], list[Track]]:
    """Add to tracks what lies on their lines in other frames; no row is in two of them.

    Parameters
    ----------
    tracks : sequence of Track
        Their members are rows of `rows`.
    rows : structured ndarray of `rbinfer.night.rows.ROW` or more
    covers : sequence of Cover
        The frames.
    hours, radius
        As for `near_lines`.

    Returns
    -------
    rows : structured ndarray
        The members of all tracks.
    tracks : list of Track
        With members among these.
    """
    taken = np.zeros(len(rows), np.bool_)
    # All of them first: none is completed with what another was found by.
    for track in tracks:
        taken[track.members] = True
    whole = []
    for track in tracks:
        members = _completed(track, rows, taken, covers, hours, radius)
        taken[members] = True
        whole.append(Track.fitted(rows, hours, members))
    new = np.cumsum(taken) - 1
    return rows[taken], [replace(track, members=new[track.members]) for track in whole]


def _completed(
    track: Track,
    rows: NDArray[Any],
    taken: NDArray[np.bool_],
    covers: Sequence[Cover],
    hours: F64,
    radius: float,
) -> NDArray[np.intp]:
    """Return the members of a track and what lies on its line, in the order of time."""
    have = {int(frame) for frame in rows["frame"][track.members]}
    members = list(track.members)
    for cover in covers:
        if cover.frame in have or not np.isfinite(cover.hours):
            continue
        own = np.flatnonzero(~taken & (rows["frame"] == cover.frame))
        u, v = track.at(cover.hours)
        away = np.hypot(rows["u"][own] - u, rows["v"][own] - v)
        if own.size and away.min() <= radius:
            members.append(own[np.argmin(away)])
    order = np.argsort(hours[rows["frame"][members]], kind="stable")
    return np.array(members, np.intp)[order]
