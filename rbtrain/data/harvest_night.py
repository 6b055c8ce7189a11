"""Labels from a night: what repeats on the sky, what stands on the detector, what was seen once."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rbinfer.errors import InputError
from rbinfer.night.chance import poisson_tail

from .._arrays import F64, I64, Bools
from .harvested import BOGUS, REAL, harvested

#: Detections of one source lie within so many pixels of each other.
_RADIUS = 1.5
#: A star is seen in so many frames at least, in this share of those that cover it, and at positions of
#: the detector that are so many pixels apart: what stands still on both may be either.
_LEAST_SEEN, _LEAST_SHARE, _LEAST_MOVED = 3, 0.5, 3.0
#: What is seen once tells nothing where fewer frames than this cover it.
_LEAST_COVER = 5
#: A detection seen once is so bright that of the sources as bright this share of the frames shows them,
#: with a margin: of faint ones, the frame that shows them has the noise in their favour.
_COMPLETE, _MARGIN = 0.95, 1.5
#: Sources that this share is measured on.
_LEAST_SOURCES = 10
#: Within so many FWHM of a source, a detection seen once may be part of it; within so many of one that
#: is so many times as bright, what repeats may be its spike or ghost.
_BLENDED, _IN_GLARE, _BRIGHTER = 3.0, 6.0, 20.0
#: Something that moves leaves detections this near to each other, pixels a frame, in neighbouring
#: frames.
_STEP, _FRAMES = 3.0, 3
#: A frame with so many times the median of detections seen once is trailed, or its sky is no sky.
_ODD, _FEW = 3.0, 10


@dataclass(frozen=True, eq=False)
class NightTables:
    """The tables that ``rbinfer night`` writes.

    Attributes
    ----------
    detections, sources, frames : Table
        ``detections.parquet``, ``sources.ecsv`` and ``frames.ecsv``. Each detection has the number of
        its source in `source_of`, and that of its frame in `frame_of`, in the order of ``frames``.
    source_of, frame_of : ndarray of int, shape (n,)
    """

    detections: Table
    sources: Table
    frames: Table
    source_of: NDArray[np.intp]
    frame_of: NDArray[np.intp]

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Self:
        """Read the tables of a night.

        Raises
        ------
        InputError
            A table is missing, or they are of different nights; names the file.
        """
        from pyarrow import parquet

        where = Path(folder)
        for name in ("detections.parquet", "sources.ecsv", "frames.ecsv"):
            if not (where / name).is_file():
                raise InputError(
                    f"{where} has no {name}; make the tables with 'rbinfer night FOLDER -o {where}'"
                )
        columns = parquet.read_table(where / "detections.parquet")
        detections = Table({n: columns[n].to_numpy(zero_copy_only=False) for n in columns.column_names})
        sources, frames = Table.read(where / "sources.ecsv"), Table.read(where / "frames.ecsv")
        order = np.argsort(sources["id"])
        place = np.searchsorted(sources["id"], detections["source"], sorter=order)
        source_of = order[np.minimum(place, len(sources) - 1)]
        number = {str(name): k for k, name in enumerate(frames["image"])}
        frame_of = np.array([number.get(str(name), -1) for name in detections["image"]], np.intp)
        same = np.array_equal(sources["id"][source_of], detections["source"])
        if not same or np.any(frame_of < 0):
            raise InputError(f"the tables in {where} are of different nights; run 'rbinfer night' again")
        return cls(detections, sources, frames, source_of, frame_of)


def from_night(night: NightTables) -> Table:
    """Label the detections of a night whose sky moved over the detector.

    - ``repeats``: real, what is seen at one position of the sky, at several of the detector. Left out is
      what lies in the glare of a source twenty times as bright: spikes and ghosts repeat, too.
    - ``detector``: bogus, what stands on the detector while the sky moves: hot pixels and columns.
    - ``once``: bogus, what one frame alone shows though it is bright enough for all. Left out is what
      may be part of a source, and what may move: has a like in a neighbouring frame nearby. What flares
      up for one frame, or crosses more than three pixels a frame, would be taken for an artefact.

    Sources that are known to move get no label. Purities are estimated from what chance would do:
    detections that meet at one position or lie on a star, stars that pass over a hot pixel, and sources
    that would be seen once if they are seen as often as they are.

    Parameters
    ----------
    night : NightTables

    Returns
    -------
    Table
        As `rbtrain.data.harvested.harvested` makes it.
    """
    facts = _Facts.of(night)
    label = np.full(len(night.sources), -1, np.int8)
    evidence = np.full(len(night.sources), "", "U8")
    purity = np.zeros(len(night.sources))
    for name, value, rows, pure in (
        ("repeats", REAL, *_repeating(facts)),
        ("detector", BOGUS, *_standing(facts)),
        ("once", BOGUS, *_seen_once(facts)),
    ):
        label[rows], evidence[rows], purity[rows] = value, name, pure
    taken = np.flatnonzero(label[night.source_of] >= 0)
    of = night.source_of[taken]
    # What stands on the detector may be a hot pixel, a column, or dust: the tables don't tell which.
    return harvested(night.detections[taken], label[of], "", evidence[of], purity[of])


@dataclass(frozen=True, eq=False)
class _Facts:
    """What the rules ask of each source; arrays are (sources,)."""

    night: NightTables
    kind: NDArray[np.str_]
    u: F64
    v: F64
    snr: F64
    seen: I64
    cover: I64
    moved: F64
    block: NDArray[np.intp]
    field: NDArray[np.intp]
    frame: NDArray[np.intp]
    fwhm: float
    area: float

    @classmethod
    def of(cls, night: NightTables) -> Self:
        sources, n = night.sources, len(night.sources)
        x, y = (np.asarray(night.detections[k], float) for k in ("x", "y"))
        low, high = np.full((2, n), np.inf), np.full((2, n), -np.inf)
        for axis, values in enumerate((x, y)):
            np.minimum.at(low[axis], night.source_of, values)
            np.maximum.at(high[axis], night.source_of, values)
        frame = np.zeros(n, np.intp)
        frame[night.source_of] = night.frame_of
        field = np.asarray(night.frames["field"], np.intp)[frame]
        groups = [
            f"{t}\n{f}\n{k}" for t, f, k in zip(sources["target"], sources["filter"], field, strict=True)
        ]
        widths = np.asarray(night.frames["fwhm"], float)
        widths = widths[np.isfinite(widths)]
        return cls(
            night,
            np.asarray(sources["kind"]).astype(str),
            _plain(sources["x"]),
            _plain(sources["y"]),
            np.nan_to_num(_plain(sources["snr"])),
            np.asarray(sources["n_seen"], np.int64),
            np.asarray(sources["n_cover"], np.int64),
            np.max(high - low, axis=0, initial=0.0),
            np.unique(groups, return_inverse=True)[1].reshape(-1),
            field,
            frame,
            float(np.median(widths)) if len(widths) else 3.0,
            float(np.ptp(x) * np.ptp(y)) if len(x) else 1.0,
        )

    @property
    def is_star(self) -> Bools:
        """Whether a source repeats on the sky and not on the detector."""
        often = (self.seen >= _LEAST_SEEN) & (self.seen >= _LEAST_SHARE * self.cover)
        placed = np.isfinite(self.u) & np.isfinite(self.v)
        return np.asarray((self.kind == "sky") & often & placed & (self.moved >= _LEAST_MOVED))

    def rows_a_frame(self, sources: Bools) -> float:
        """Count the detections of some sources in a frame, on average."""
        return float(np.count_nonzero(sources[self.night.source_of])) / max(len(self.night.frames), 1)

    def by_chance(self, sources: Bools, radius: float) -> float:
        """How many detections of some sources lie within a radius of a position, in a frame."""
        return self.rows_a_frame(sources) * np.pi * radius**2 / max(self.area, 1.0)


def _plain(column: Any) -> F64:
    return np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)


def _repeating(facts: _Facts) -> tuple[NDArray[np.intp], F64]:
    stars = facts.is_star & ~_in_glare(facts)
    expected = facts.by_chance(np.ones(len(facts.kind), bool), _RADIUS)
    # Of everything that is no star, so many would repeat as often by chance; and a detection of a star
    # may be of something that lies on it in this frame.
    others = float(np.count_nonzero(~facts.is_star))
    beside = facts.by_chance(~facts.is_star, _RADIUS)
    rows = np.flatnonzero(stars)
    purity = np.ones(len(rows))
    for seen in np.unique(facts.seen[rows]):
        now = facts.seen[rows] == seen
        cover = float(np.median(facts.cover[rows][now]))
        chance = others * poisson_tail(int(seen) - 1, expected * max(cover - 1.0, 1.0))
        purity[now] = 1.0 - min(beside + chance / np.count_nonzero(facts.seen[rows] >= seen), 0.5)
    return rows, purity


def _in_glare(facts: _Facts) -> Bools:
    found = np.zeros(len(facts.kind), bool)
    reach = _IN_GLARE * facts.fwhm
    for block in np.unique(facts.block):
        own = np.flatnonzero((facts.block == block) & facts.is_star)
        tree = cKDTree(np.column_stack([facts.u[own], facts.v[own]]))
        for a, b in tree.query_pairs(reach):
            faint, bright = sorted((own[a], own[b]), key=lambda k: facts.snr[k])
            found[faint] |= facts.snr[bright] > _BRIGHTER * facts.snr[faint]
    return found


def _standing(facts: _Facts) -> tuple[NDArray[np.intp], float]:
    rows = np.flatnonzero((facts.kind == "detector") & (facts.seen >= _LEAST_SEEN))
    return rows, 1.0 - min(facts.by_chance(facts.is_star, 1.0), 0.5)


def _seen_once(facts: _Facts) -> tuple[NDArray[np.intp], F64]:
    once = (facts.kind == "sky") & (facts.seen == 1) & (facts.cover >= _LEAST_COVER)
    once &= np.isfinite(facts.u) & np.isfinite(facts.v)
    per_frame = np.bincount(facts.frame[once], minlength=len(facts.night.frames))
    odd = per_frame > _ODD * np.median(per_frame) + _FEW
    once &= ~odd[facts.frame]
    stars = facts.is_star
    rows: list[NDArray[np.intp]] = []
    purity: list[F64] = []
    for block in np.unique(facts.block):
        own = facts.block == block
        known = np.flatnonzero(own & stars)
        if len(known) < _LEAST_SOURCES:
            continue
        bright = np.flatnonzero(own & once & (facts.snr > _complete_above(facts, own)))
        bright = bright[~_near_source(facts, bright) & ~_may_move(facts, bright)]
        if len(bright):
            rows.append(bright)
            share = facts.seen[known] / facts.cover[known]
            # Of each source: how likely it is to be seen once, at the rate at which it is seen.
            expected = np.sum(facts.cover[known] * share * (1.0 - share) ** (facts.cover[known] - 1.0))
            purity.append(np.full(len(bright), 1.0 - min(float(expected) / len(bright), 0.5)))
    if not rows:
        return np.zeros(0, np.intp), np.zeros(0)
    return np.concatenate(rows), np.concatenate(purity)


def _complete_above(facts: _Facts, block: Bools) -> float:
    """Return the S/N above which nearly every frame shows a source, with a margin for noise."""
    known = np.flatnonzero(block & (facts.kind == "sky") & (facts.seen > 1))
    order = known[np.argsort(-facts.snr[known])]
    share = facts.seen[order] / facts.cover[order]
    window = np.convolve(share, np.full(_LEAST_SOURCES, 1.0 / _LEAST_SOURCES), "valid")
    n = len(window) if np.all(window >= _COMPLETE) else int(np.argmax(window < _COMPLETE))
    return _MARGIN * float(facts.snr[order[n + _LEAST_SOURCES - 2]]) if n else np.inf


def _near_source(facts: _Facts, rows: NDArray[np.intp]) -> Bools:
    """Whether something that repeats on this field, in any filter, is near enough to be of it."""
    near = np.zeros(len(rows), bool)
    often = (facts.seen > 1) & (facts.kind != "detector") & np.isfinite(facts.u) & np.isfinite(facts.v)
    for number in np.unique(facts.field[rows]):
        others = np.flatnonzero(often & (facts.field == number))
        if len(others):
            tree = cKDTree(np.column_stack([facts.u[others], facts.v[others]]))
            own = np.flatnonzero(facts.field[rows] == number)
            away, _ = tree.query(np.column_stack([facts.u[rows[own]], facts.v[rows[own]]]))
            near[own] = away < _BLENDED * facts.fwhm
    return near


def _may_move(facts: _Facts, rows: NDArray[np.intp]) -> Bools:
    """Whether a neighbouring frame of the field has a like nearby, as of something that moves."""
    found = np.zeros(len(rows), bool)
    few = (facts.kind != "detector") & (facts.seen <= 2) & np.isfinite(facts.u) & np.isfinite(facts.v)
    for number in np.unique(facts.field[rows]):
        others = np.flatnonzero(few & (facts.field == number))
        tree = cKDTree(np.column_stack([facts.u[others], facts.v[others]]))
        turn = np.cumsum(np.asarray(facts.night.frames["field"]) == number)
        for k in np.flatnonzero(facts.field[rows] == number):
            row = rows[k]
            near = others[tree.query_ball_point([facts.u[row], facts.v[row]], _STEP * _FRAMES + 1.0)]
            gap = np.abs(turn[facts.frame[near]] - turn[facts.frame[row]])
            away = np.hypot(facts.u[near] - facts.u[row], facts.v[near] - facts.v[row])
            found[k] = bool(np.any((gap > 0) & (gap <= _FRAMES) & (away <= _STEP * gap + 1.0)))
    return found
