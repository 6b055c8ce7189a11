"""What the detections of a real night are, by its truth table."""

from pathlib import Path

import numpy as np

KINDS = ("star", "mover", "hot_pixel", "cosmic_ray")
#: Largest distance from something of the truth, pixels.
REACH = 1.5


def kinds_by_truth(detections, truth):
    """Tell what detections are: what of the truth is nearest.

    Parameters
    ----------
    detections : Table
        With columns ``image``, ``x`` and ``y``.
    truth : Table
        Of the night. Stars are in pixels of its reference frame, to which ``to_reference`` in its
        metadata maps each frame; all else is in pixels of the frames.

    Returns
    -------
    ndarray of str, shape (n,)
        One of `KINDS`; empty where nothing of the truth lies within `REACH`.
    """
    kinds = np.array([*KINDS, ""])
    found = np.full(len(detections), "", kinds.dtype)
    for image in np.unique(detections["image"]):
        own = np.flatnonzero(detections["image"] == image)
        name = Path(str(image)).name.removesuffix(".gz")
        x, y = (np.asarray(detections[k], float)[own] for k in ("x", "y"))
        a, b, c, d, e, f = truth.meta["to_reference"][name]
        away = np.full((len(KINDS) + 1, len(own)), REACH)
        for k, kind in enumerate(KINDS):
            there = truth[truth["kind"] == kind]
            if kind in ("mover", "cosmic_ray"):
                there = there[there["frame"] == name]
            at = (a * x + b * y + c, d * x + e * y + f) if kind == "star" else (x, y)
            away[k] = _nearest(*at, there["x"], there["y"])
        found[own] = kinds[away.argmin(axis=0)]
    return found


def _nearest(x, y, there_x, there_y):
    if not len(there_x):
        return np.full(len(x), np.inf)
    return np.hypot(
        x[:, None] - np.asarray(there_x, float), y[:, None] - np.asarray(there_y, float)
    ).min(axis=1)
