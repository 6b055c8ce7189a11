"""The 3 x 3 filter of the detection beside one made of the frame's own stars.

    python benchmarks/filters.py [--frames N] [--json FILE]

On simulated frames SEP detects with either kernel: the 3 x 3 one at its threshold of 5 sigma, and a
Gaussian as wide as the frame's stars at several. What counts is how many stars are recovered where
as many bogus detections come with them.
"""

import argparse
import logging
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import sep
from _common import add_json, write_json

from rbinfer.measure.sep_detector import leveled, with_room
from rbtrain.config import CLASSES, TrainConfig
from rbtrain.data.cutting import frame_rng
from rbtrain.data.label import label_detections
from rbtrain.simulate import draw_frame

ROOT = Path(__file__).parents[1]
SEED = 20261128
THRESHOLD = 5.0
#: Thresholds of the kernel of the stars.
TRIED = (4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0)
#: Limits of the groups of frames by the FWHM of their stars, pixels.
GROUPS = (0.0, 2.0, 3.0, 4.5, 20.0)
_SMALL = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32)
_WIDEST = 15


def kernel_of(fwhm):
    """Return a Gaussian of that FWHM out to where it is that wide."""
    side = min(2 * max(math.ceil(fwhm), 1) + 1, _WIDEST)
    square = (np.arange(side) - side // 2) ** 2
    return np.exp(-np.add.outer(square, square) * 4 * math.log(2) / fwhm**2).astype(np.float32)


def count(frame, level, kernel, threshold):
    """Return how many stars and how many bogus detections there are."""
    found = with_room(
        lambda: sep.extract(
            level.signal, threshold, err=level.noise, mask=level.bad, minarea=3, filter_kernel=kernel
        ),
        frame.image.size,
    )
    if not len(found):
        return np.zeros(2, int)
    peaks = found["xpeak"].astype(int), found["ypeak"].astype(int)
    labels = label_detections(frame, found["x"], found["y"], *peaks, lifted=True)
    star, galaxy = (CLASSES.index(name) for name in ("star", "galaxy"))
    is_bogus = (labels >= 0) & (labels != star) & (labels != galaxy)
    return np.array([(labels == star).sum(), is_bogus.sum()])


def at_as_many_bogus(bogus, stars, wanted):
    """Return the stars that come with so many bogus, between thresholds; NaN beyond them."""
    order = np.argsort(bogus)
    return float(np.interp(wanted, bogus[order], stars[order], left=np.nan, right=np.nan))


def main():
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60)
    add_json(parser)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    simulate = TrainConfig.read(ROOT / "models" / "default" / "config.toml").simulate
    small = np.zeros((len(GROUPS) - 1, 2), int)
    own = np.zeros((len(GROUPS) - 1, len(TRIED), 2), int)
    frames = np.zeros(len(GROUPS) - 1, int)
    for index in range(options.frames):
        frame = draw_frame(simulate, frame_rng(SEED, index))
        level = leveled(frame.image, frame.mask)
        if level is None:
            continue
        group = int(np.searchsorted(GROUPS, frame.fwhm)) - 1
        frames[group] += 1
        small[group] += count(frame, level, _SMALL, THRESHOLD)
        for k, threshold in enumerate(TRIED):
            own[group, k] += count(frame, level, kernel_of(frame.fwhm), threshold)
    report = []
    for g, (low, high) in enumerate(pairwise(GROUPS)):
        stars = at_as_many_bogus(own[g, :, 1], own[g, :, 0], small[g, 1])
        same = own[g, TRIED.index(THRESHOLD)]
        print(
            f"FWHM {low:g} to {high:g} px, {frames[g]} frames: 3 x 3 {small[g, 0]} stars, {small[g, 1]} "
            f"bogus; own stars {same[0]}, {same[1]}; {stars:.0f} at as many bogus"
        )
        report.append(
            {"fwhm": [low, high], "frames": int(frames[g]), "small": small[g].tolist(),
             "own": dict(zip(map(str, TRIED), own[g].tolist(), strict=True)), "equal_bogus": stars}
        )  # fmt: skip
    write_json(options.json, {"threshold": THRESHOLD, "groups": report})


if __name__ == "__main__":
    main()
