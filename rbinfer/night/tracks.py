"""What moves among the stars: detections on a line in time, linked over the frames of a group."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chance import poisson_tail
from .clusters import Cells
from .coverage import Cover

F64 = NDArray[np.float64]
Ints = NDArray[np.intp]

#: A pair that begins a track is at most so many frames apart, and so many pixels a frame.
_GAP, _STEP = 3, 20.0
#: More pairs than this are not tried: those of the shortest steps are.
_MOST_PAIRS = 30_000
#: A track has so many positions at least, and this share of the frames that cover it meanwhile.
_LEAST, _SHARE = 3, 0.5
#: It is longer than this, in pixels: what is shorter may be a star that scatters.
_LENGTH = 3.0
#: Its positions scatter about the line by less than this, in pixels (rms).
_RMS = 0.7
#: Its brightness is within this factor of its median, whatever clouds do.
_FACTOR = 4.0
#: Tracks that chance alone would make in a group; a track of fewer positions is not believed.
_FALSE = 0.02
#: Frames without a match after which a pair is given up; a track ends where so many more are without one
#: than with one.
_PATIENCE = 4
#: Each so many positions, what would not move half as far as it must in the whole night is given up.
_MANY = 48


@dataclass(frozen=True, eq=False)
class Track:
    """What moves.

    Attributes
    ----------
    members : ndarray of int
        Indices of its rows, one a frame, in the order of time.
    u, v : (float, float)
        Position at `hours` on the plane, and motion a hour, pixels.
    hours : float
    """

    members: Ints
    u: tuple[float, float]
    v: tuple[float, float]
    hours: float

    def at(self, hours: F64 | float) -> tuple[F64, F64]:
        """Return where it is at a time."""
        away = np.asarray(hours, np.float64) - self.hours
        return self.u[0] + self.u[1] * away, self.v[0] + self.v[1] * away

    @classmethod
    def fitted(cls, rows: NDArray[Any], hours: F64, members: Ints) -> "Track":
        """Fit a line in time to rows, whose mid-exposures are `hours` by frame."""
        times = hours[rows["frame"][members]]
        middle = float(times.mean())
        design = np.column_stack([np.ones(len(times)), times - middle])
        u, v = (np.linalg.lstsq(design, rows[name][members], rcond=None)[0] for name in ("u", "v"))
        return cls(members, (float(u[0]), float(u[1])), (float(v[0]), float(v[1])), middle)


def find_tracks(
    rows: NDArray[Any], pool: Ints, hours: F64, covers: Sequence[Cover], radius: float
) -> list[Track]:
    """Link detections that move at one speed on one line.

    Parameters
    ----------
    rows : structured ndarray of `rbinfer.night.rows.ROW`
        Of one field and group.
    pool : ndarray of int
        Those that may be of something that moves: no stars, nothing that stands on the detector.
    hours : ndarray of float64
        Middle of the exposure by the number of a frame.
    covers : sequence of Cover
        Its frames.
    radius : float
        How far a position may be from the line, in pixels.

    Returns
    -------
    list of Track
        The longest first; no row is in two of them.
    """
    dated = sorted((c for c in covers if np.isfinite(c.hours)), key=lambda c: (c.hours, c.frame))
    by_frame = {c.frame: pool[rows["frame"][pool] == c.frame] for c in dated}
    cells = {frame: Cells(rows["u"][own], rows["v"][own], radius) for frame, own in by_frame.items()}
    linker = _Linker(rows, hours, dated, by_frame, cells, radius)
    found = []
    # A crowded field has millions of pairs: only those that are tried are held.
    pairs = heapq.nsmallest(_MOST_PAIRS, linker.pairs(), key=lambda pair: (pair[2], pair[0], pair[1]))
    linked: set[tuple[int, int]] = set()
    hopeful = linker.followed([(first, second) for first, second, _ in pairs])
    for first, second, _ in pairs:
        if (first, second) in linked or (first, second) not in hopeful:
            continue
        track = linker.grown(first, second)
        if track is None:
            continue
        is_good = linker.is_good(track, len(pairs))
        if is_good:
            found.append(track)
        if is_good or linker.length(track) < _LENGTH:
            own = [int(k) for k in track.members]
            linked.update((a, b) for i, a in enumerate(own) for b in own[i + 1 : i + 1 + _GAP])
    return _apart(found)


def _apart(found: list[Track]) -> list[Track]:
    """Keep the longest of the tracks that share rows."""
    kept: list[Track] = []
    taken: set[int] = set()
    for track in sorted(found, key=lambda t: (-len(t.members), int(t.members[0]))):
        own = {int(k) for k in track.members}
        if not own & taken:
            kept.append(track)
            taken |= own
    return kept


@dataclass(frozen=True, eq=False)
class _Linker:
    rows: NDArray[Any]
    hours: F64
    covers: list[Cover]
    by_frame: dict[int, Ints]
    cells: dict[int, Cells]
    radius: float

    def pairs(self) -> Iterator[tuple[int, int, float]]:
        """Yield pairs of rows of frames near each other in time, and their distance a frame."""
        for k, first in enumerate(self.covers):
            own = self.by_frame[first.frame]
            for gap, second in enumerate(self.covers[k + 1 : k + 1 + _GAP], 1):
                other = self.by_frame[second.frame]
                if second.hours <= first.hours or not own.size or not other.size:
                    continue
                reach = _STEP * gap
                grid = Cells(self.rows["u"][other], self.rows["v"][other], reach)
                for a in own:
                    u, v = float(self.rows["u"][a]), float(self.rows["v"][a])
                    for b in other[grid.near(u, v)] if np.isfinite(u + v) else ():
                        away = np.hypot(self.rows["u"][b] - u, self.rows["v"][b] - v)
                        yield int(a), int(b), float(away) / gap

    def followed(self, pairs: list[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return the pairs that something follows before they are given up.

        `grown` begins with the same question, a pair at a time; nearly all pairs end there. Here it is
        asked of all pairs of two frames at once.
        """
        at = self.rows["frame"][np.array(pairs, np.intp).reshape(-1, 2)]
        by_frames: dict[tuple[int, int], list[int]] = {}
        for k, (one, other) in enumerate(at.tolist()):
            by_frames.setdefault((one, other), []).append(k)
        found: set[tuple[int, int]] = set()
        for (one, other), which in by_frames.items():
            ends = self.rows[np.array(pairs)[which]]
            begin, end = self.hours[one], self.hours[other]
            missed = np.zeros(len(which), np.intp)
            for cover in self._around(one, other):
                left = np.flatnonzero(missed < _PATIENCE)
                if not left.size:
                    break
                part = (cover.hours - begin) / (end - begin)
                u, v = ((1 - part) * ends[name][left, 0] + part * ends[name][left, 1] for name in "uv")
                covered = cover.pixels(u, v)[2]
                follows = self.cells[cover.frame].nearest(u, v)[0] >= 0
                found.update(pairs[which[k]] for k in left[covered & follows])
                missed[left[covered & ~follows]] += 1
                missed[left[covered & follows]] = _PATIENCE
        return found

    def _around(self, first: int, second: int) -> list[Cover]:
        """Return the other frames, those nearest in time to two of them first."""
        middle = float(self.hours[[first, second]].mean())
        others = [c for c in self.covers if c.frame not in (first, second)]
        return sorted(others, key=lambda c: (abs(c.hours - middle), c.hours))

    def grown(self, first: int, second: int) -> Track | None:
        """Return the track that begins with a pair; None where nothing follows."""
        members = [first, second]
        track = Track.fitted(self.rows, self.hours, np.array(members))
        span = self.covers[-1].hours - self.covers[0].hours
        missed = 0
        for cover in self._around(*(int(self.rows["frame"][k]) for k in members)):
            u, v = track.at(cover.hours)
            if not cover.pixels(np.array([u]), np.array([v]))[2][0]:
                continue
            index, _ = self.cells[cover.frame].nearest(np.array([u]), np.array([v]))
            if index[0] < 0:
                missed += 1
                if missed >= _PATIENCE and len(members) < _LEAST:
                    return None
                if missed >= len(members) + _PATIENCE:
                    break
                continue
            members.append(int(self.by_frame[cover.frame][index[0]]))
            times = self.hours[self.rows["frame"][members]]
            order = np.argsort(times, kind="stable")
            track = Track.fitted(self.rows, self.hours, np.array(members)[order])
            if len(members) % _MANY == 0 and np.hypot(track.u[1], track.v[1]) * span < _LENGTH / 2:
                break
        return track if len(members) >= _LEAST else None

    def length(self, track: Track) -> float:
        """Return how far a track moves from its first position to its last, in pixels."""
        times = self.hours[self.rows["frame"][track.members]]
        return float(np.hypot(track.u[1], track.v[1]) * np.ptp(times))

    def is_good(self, track: Track, n_pairs: int) -> bool:
        """Whether a track is one thing that moves, and not a chance."""
        own = self.rows[track.members]
        times = self.hours[own["frame"]]
        u, v = track.at(times)
        rms = float(np.sqrt(np.mean((own["u"] - u) ** 2 + (own["v"] - v) ** 2)))
        if rms > _RMS or self.length(track) < _LENGTH or not np.median(own["score"]) > 0.5:
            return False
        flux = own["flux"][own["flux"] > 0]
        if len(flux) and not np.all(np.abs(np.log(flux / np.median(flux))) < np.log(_FACTOR)):
            return False
        return self._is_seen(track, times) and self._is_no_chance(len(own), n_pairs)

    def _is_seen(self, track: Track, times: F64) -> bool:
        meanwhile = [c for c in self.covers if times.min() <= c.hours <= times.max()]
        n = 0
        for cover in meanwhile:
            u, v = track.at(cover.hours)
            n += bool(cover.pixels(np.array([u]), np.array([v]))[2][0])
        return len(track.members) >= _SHARE * n

    def _is_no_chance(self, n: int, n_pairs: int) -> bool:
        """Whether so many positions on a line are more than what lies about would make by chance."""
        expected = 0.0
        for cover in self.covers:
            area = cover.shape[0] * cover.shape[1]
            expected += len(self.by_frame[cover.frame]) * np.pi * self.radius**2 / area
        return n_pairs * poisson_tail(n - 2, expected) < _FALSE
