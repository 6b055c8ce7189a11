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
from .tracks import Track

F64 = NDArray[np.float64]

#: Detections within this share of the FWHM of their median are one source; in pixels no less than
#: _LEAST: faint positions scatter by 0.15 FWHM, and frames are aligned to 0.2 pixels.
_RADIUS, _LEAST = 0.5, 1.2
#: What a source is: seen at a position of the sky, moving over it, or standing on the detector.
KINDS = ("sky", "moving", "detector")
#: A source; ``first`` and ``last`` are numbers of frames, and ``best_*`` are of the detection with the
#: largest S/N.
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
        ("best_frame", np.int32),
        ("best_row", np.int32),
        ("best_x", np.float64),
        ("best_y", np.float64),
        ("best_score", np.float32),
        ("rate_u", np.float64),
        ("rate_v", np.float64),
    ]
)


@dataclass(frozen=True, eq=False)
class Block:
    """What is merged at a time: the detections of a group and a camera on one field.

    Attributes
    ----------
    group : (str, str)
        Target and filter, as they are shown.
    camera : str
    field : Field
    covers : sequence of Cover
        Frames with a known place.
    hours : ndarray of float64
        Middle of the exposure by the number of a frame, of all frames of the night.
    n_frames, n_rows : int
        All frames of the block, and their detections.
    fwhm : float
        Typical width of a star, pixels.
    threshold : float
        Scores above it are real.
    by_chance : float
        How many detections lie within a pixel of any position, over the frames of the camera.
    """

    group: tuple[str, str]
    camera: str
    field: Field
    covers: Sequence[Cover]
    hours: F64
    n_frames: int
    n_rows: int
    fwhm: float
    threshold: float
    by_chance: float

    @property
    def radius(self) -> float:
        """How far detections of one source may be from their median, in pixels."""
        return max(_LEAST, _RADIUS * self.fwhm) if np.isfinite(self.fwhm) else _LEAST

    @property
    def density(self) -> float:
        """Detections in a pixel of a frame."""
        area = sum(cover.shape[0] * cover.shape[1] for cover in self.covers)
        return self.n_rows / area if area else 0.0


def sources(
    block: Block,
    rows: NDArray[Any],
    label: NDArray[np.intp],
    kind: str = "sky",
    tracks: Sequence[Track] = (),
) -> tuple[NDArray[Any], Evidence]:
    """Sum up sources of a block.

    Parameters
    ----------
    block : Block
    rows : structured ndarray, shape (n,)
        All detections of these sources, with the fields of `rbinfer.night.rows.ROW` and ``repeats``, as
        of `rbinfer.night.detector.Standing`.
    label : ndarray of int, shape (n,)
        To which of them each row belongs; from 0, none without a row.
    kind : str
        One of `KINDS`.
    tracks : sequence of Track
        Those of sources that move.

    Returns
    -------
    sources : structured ndarray of `SOURCE`
        In the order of their labels.
    known : Evidence
        What the probabilities rest on.
    """
    n = int(label.max(initial=-1)) + 1
    found = np.zeros(n, SOURCE)
    if not n:
        return found, evidence(*np.zeros((8, 0)))
    found["kind"] = KINDS.index(kind)
    groups = Grouped(label, rows["frame"])
    _sum_up(found, groups, rows)
    found["n_detector"] = groups.median(rows["repeats"].astype(np.float64))
    first = groups.first
    away = np.hypot(rows["x"] - rows["x"][first][label], rows["y"] - rows["y"][first][label]) > APART
    seen = groups.total(away.astype(np.float64)).astype(np.int32)
    still = groups.size.astype(np.int32) - 1 - seen
    mean = groups.mean(logit(rows["score"]))
    found["n_cover"], could = counted(
        block.covers, found["u"], found["v"], rows["x"][first], rows["y"][first], APART
    )
    by_chance = block.density * np.pi * block.radius**2 * could
    _set_tracks(found, tracks, rows, block, seen, could)
    if kind == "detector":
        found["n_detector"], found["n_cover"] = found["n_seen"], block.n_frames
        seen[:] = could[:] = still[:] = 0
    # A frame that shows it covers it, however close to an edge it lies.
    found["n_cover"] = np.maximum(found["n_cover"], found["n_seen"])
    standing = np.zeros(n, np.int32) if kind == "moving" else found["n_detector"]
    chance = np.full(n, block.by_chance)
    alone = np.where(found["n_seen"] == 1, found["n_cover"] - 1, 0)
    known = evidence(mean, found["snr"], seen, alone, by_chance, standing, chance, still)
    found["probability"] = probability(known)
    if kind == "detector":
        # However much it looks like a star: that it stands there while the sky moves has been decided.
        found["probability"] = np.minimum(found["probability"], 1.0 - found["probability"])
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
    best = rows[groups.best(rows["snr"].astype(np.float64))]
    found["snr"] = best["snr"]
    for name in ("frame", "row", "x", "y", "score"):
        found[f"best_{name}"] = best[name]
    numbers = rows["frame"].astype(np.float64)  # frames are numbered in the order of time
    found["first"], found["last"] = groups.least(numbers), groups.most(numbers)


def _set_tracks(
    found: NDArray[Any],
    tracks: Sequence[Track],
    rows: NDArray[Any],
    block: Block,
    seen: NDArray[np.int32],
    could: NDArray[np.int32],
) -> None:
    """Set what differs where sources move; two positions make a line, and only the others repeat."""
    for k, track in enumerate(tracks):
        found["rate_u"][k], found["rate_v"][k] = track.u[1], track.v[1]
        cover = 0
        for each in block.covers:
            u, v = track.at(each.hours)
            cover += bool(each.pixels(np.array([u]), np.array([v]))[2][0])
        own = rows[track.members]
        u, v = track.at(block.hours[own["frame"]])
        found["scatter"][k] = np.sqrt(np.mean((own["u"] - u) ** 2 + (own["v"] - v) ** 2))
        # Where it was first seen.
        found["u"][k], found["v"][k] = own["u"][0], own["v"][0]
        found["x"][k], found["y"][k] = own["x"][0], own["y"][0]
        found["n_cover"][k] = cover
        seen[k] = len(own) - 2
        could[k] = max(cover - 2, len(own) - 2)
