"""The sources of a group as a table: where, how often, how sure, and what each is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .combine import APART, Evidence, evidence, logit, probability
from .coverage import Cover, counted
from .fields import Field
from .grouped import Grouped
from .merge import Merged, radius_of

F64 = NDArray[np.float64]

#: What a source is: seen at a position of the sky, moving over it, or standing on the detector.
KINDS = ("sky", "moving", "detector")
#: A source.
SOURCE = np.dtype(
    [
        ("kind", np.int8),
        ("u", np.float64),
        ("v", np.float64),
        ("scatter", np.float64),
        ("x", np.float64),
        ("y", np.float64),
        ("n_seen", np.int32),
        ("n_cover", np.int32),
        ("n_detector", np.int32),
        ("score_mean", np.float64),
        ("score_min", np.float64),
        ("score_max", np.float64),
        ("probability", np.float64),
        ("class", np.int16),
        ("snr", np.float64),
        ("first", np.int32),
        ("last", np.int32),
        ("best", np.int64),
        ("rate_u", np.float64),
        ("rate_v", np.float64),
    ]
)


@dataclass(frozen=True, eq=False)
class Block:
    """The detections of a group on one field, and what they are part of.

    Attributes
    ----------
    group : (str, str)
        Target and filter, as they are shown.
    camera : str
    rows : structured ndarray of `rbinfer.night.rows.ROW`, shape (n,)
    field : Field
    covers : sequence of Cover
        Frames with a known place.
    n_frames : int
        All of them.
    fwhm, threshold : float
    repeats : ndarray of int32, shape (n,)
        As of `rbinfer.night.detector.Standing`.
    by_chance : float
        How many detections lie within a pixel of any position, over the frames of the camera.
    """

    group: tuple[str, str]
    camera: str
    rows: NDArray[Any]
    field: Field
    covers: Sequence[Cover]
    n_frames: int
    fwhm: float
    threshold: float
    repeats: NDArray[np.int32]
    by_chance: float


def sources(block: Block, merged: Merged) -> tuple[NDArray[Any], Evidence]:
    """Sum up each source of a block.

    Parameters
    ----------
    block : Block
    merged : Merged

    Returns
    -------
    sources : structured ndarray of `SOURCE`
        In the order of their labels; ``first`` and ``last`` are numbers of frames, ``best`` is the row
        of the block with the largest S/N.
    known : Evidence
        What the probabilities rest on.
    """
    rows, label = block.rows, merged.label
    n = int(label.max(initial=-1)) + 1
    found = np.zeros(n, SOURCE)
    if not n:
        return found, evidence(*np.zeros((8, 0)))
    groups = Grouped(label, rows["frame"])
    _sum_up(found, groups, rows)
    found["n_detector"] = groups.median(block.repeats.astype(np.float64))
    first = groups.first
    away = np.hypot(rows["x"] - rows["x"][first][label], rows["y"] - rows["y"][first][label]) > APART
    seen = groups.total(away.astype(np.float64)).astype(np.int32)
    still = groups.size.astype(np.int32) - 1 - seen
    mean = groups.mean(logit(rows["score"]))
    found["n_cover"], could = counted(
        block.covers, found["u"], found["v"], rows["x"][first], rows["y"][first], APART
    )
    by_chance = _density(block) * np.pi * radius_of(block.fwhm) ** 2 * could
    _set_tracks(found, merged, block, seen, could)
    for k in merged.standing:
        found["kind"][k] = KINDS.index("detector")
        found["n_detector"][k] = found["n_seen"][k]
        found["n_cover"][k] = block.n_frames
        seen[k] = could[k] = still[k] = 0
    # A frame that shows it covers it, however close to an edge it lies.
    found["n_cover"] = np.maximum(found["n_cover"], found["n_seen"])
    standing = np.where(found["kind"] == KINDS.index("moving"), 0, found["n_detector"])
    chance = np.full(n, block.by_chance)
    alone = np.where(found["n_seen"] == 1, found["n_cover"] - 1, 0)
    known = evidence(mean, found["snr"], seen, alone, by_chance, standing, chance, still)
    found["probability"] = probability(known)
    return found, known


def _sum_up(found: NDArray[Any], groups: Grouped, rows: NDArray[Any]) -> None:
    """Fill in what follows from the detections of each source alone."""
    for name in ("u", "v", "x", "y"):
        found[name] = groups.median(rows[name])
    found["scatter"] = np.sqrt(groups.variance(rows["u"]) + groups.variance(rows["v"]))
    found["n_seen"] = groups.distinct(rows["frame"])
    scores = rows["score"].astype(np.float64)
    found["score_mean"], found["score_min"] = groups.mean(scores), groups.least(scores)
    found["score_max"] = groups.most(scores)
    found["class"] = groups.commonest(rows["kind"])
    found["best"] = groups.best(rows["snr"].astype(np.float64))
    found["snr"] = rows["snr"][found["best"]]
    numbers = rows["frame"].astype(np.float64)  # frames are numbered in the order of time
    found["first"], found["last"] = groups.least(numbers), groups.most(numbers)


def _set_tracks(
    found: NDArray[Any],
    merged: Merged,
    block: Block,
    seen: NDArray[np.int32],
    could: NDArray[np.int32],
) -> None:
    """Mark what moves; two of its positions make a line, and only the others repeat."""
    for k, track in merged.tracks.items():
        found["kind"][k] = KINDS.index("moving")
        found["rate_u"][k], found["rate_v"][k] = track.u[1], track.v[1]
        cover = 0
        for each in block.covers:
            u, v = track.at(each.hours)
            cover += bool(each.pixels(np.array([u]), np.array([v]))[2][0])
        own = block.rows[track.members]
        u, v = track.at(np.array([_hours_of(block, frame) for frame in own["frame"]]))
        found["scatter"][k] = np.sqrt(np.mean((own["u"] - u) ** 2 + (own["v"] - v) ** 2))
        # Where it was first seen.
        found["u"][k], found["v"][k] = own["u"][0], own["v"][0]
        found["x"][k], found["y"][k] = own["x"][0], own["y"][0]
        found["n_cover"][k] = cover
        seen[k] = len(own) - 2
        could[k] = max(cover - 2, len(own) - 2)


def _hours_of(block: Block, frame: int) -> float:
    return next(cover.hours for cover in block.covers if cover.frame == frame)


def _density(block: Block) -> float:
    """Return the detections in a pixel of a frame."""
    area = sum(cover.shape[0] * cover.shape[1] for cover in block.covers)
    return len(block.rows) / area if area else 0.0
