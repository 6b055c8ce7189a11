"""The sources of a group as a table: where, how often, how sure, and what each is."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .combine import APART, Evidence, evidence, logit, probability
from .coverage import Cover, counted
from .fields import Field
from .frames import Frame
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
    repeats : ndarray of int, shape (n,)
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
    repeats: NDArray[np.intp]
    by_chance: float


def sources(block: Block, merged: Merged, frames: Sequence[Frame]) -> tuple[NDArray[Any], Evidence]:
    """Sum up each source of a block.

    Parameters
    ----------
    block : Block
    merged : Merged
    frames : sequence of Frame
        Of the night.

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
    order = np.lexsort((rows["frame"], label))
    bounds = np.searchsorted(label[order], np.arange(n + 1))
    mean, still, seen = np.full(n, np.nan), np.zeros(n, np.int32), np.zeros(n, np.int32)
    for k, (start, stop) in enumerate(itertools.pairwise(bounds)):
        members = order[start:stop]
        own = rows[members]
        _sum_up(found[k : k + 1], own, members, frames)
        mean[k] = _mean_logit(own)
        away = np.hypot(own["x"] - own["x"][0], own["y"] - own["y"][0]) > APART
        seen[k], still[k] = np.count_nonzero(away), np.count_nonzero(~away) - 1
        found["n_detector"][k] = int(np.median(block.repeats[members]))
    first = order[bounds[:-1]]
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


def _sum_up(
    one: NDArray[Any], own: NDArray[Any], members: NDArray[np.intp], frames: Sequence[Frame]
) -> None:
    """Fill in what follows from the detections of a source alone."""
    u, v = float(np.median(own["u"])), float(np.median(own["v"]))
    one["u"], one["v"] = u, v
    one["scatter"] = np.sqrt(np.var(own["u"]) + np.var(own["v"]))
    one["x"], one["y"] = np.median(own["x"]), np.median(own["y"])
    one["n_seen"] = len(np.unique(own["frame"]))
    scores = own["score"][np.isfinite(own["score"])].astype(np.float64)
    few = (scores.mean(), scores.min(), scores.max()) if len(scores) else (np.nan,) * 3
    one["score_mean"], one["score_min"], one["score_max"] = few
    kinds, times = np.unique(own["kind"], return_counts=True)
    one["class"] = kinds[np.argmax(times)]
    snr = np.nan_to_num(own["snr"], nan=-1.0)
    one["snr"] = own["snr"][np.argmax(snr)]
    one["best"] = members[np.argmax(snr)]
    numbers = own["frame"]  # frames are numbered in the order of time
    one["first"], one["last"] = numbers.min(), numbers.max()


def _mean_logit(own: NDArray[Any]) -> float:
    scored = own["score"][np.isfinite(own["score"])]
    return float(np.mean(logit(scored))) if len(scored) else float("nan")


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
