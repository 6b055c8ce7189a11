"""How often an adapted model is called better: by chance, though it loses, and where it is better.

    python benchmarks/promotion.py [--cases N] [--json FILE]

Simulated labels, some of them wrong, and two networks that judge given shares of them differently.
The verdict is that of `rbtrain.judging.promotion`, for one network that is tried, with nothing lost on
simulation. Shares are of the labelled objects, half of which are near the threshold: on whole frames
less is lost.
"""

import argparse
import sys

import numpy as np
from _common import add_json, processor, write_json

from rbtrain.config import CLASSES
from rbtrain.judging.promotion import Comparison, compare

#: Labels, real and bogus.
LABELS = ((40, 160), (100, 100), (170, 30))
#: Shares of the real that are lost and won, and of the bogus.
WORLDS = {
    "as good: 3 % of both lost and won": (0.03, 0.03, 0.03, 0.03),
    "25 % of the bogus won": (0.0, 0.0, 0.0, 0.25),
    "the same, 2 % of the real lost": (0.02, 0.0, 0.0, 0.25),
    "the same, 5 % of the real lost": (0.05, 0.0, 0.0, 0.25),
    "the same, 10 % of the real lost": (0.1, 0.0, 0.0, 0.25),
    "10 % of the real won": (0.0, 0.1, 0.0, 0.0),
    "the same, 2 % of the bogus lost": (0.0, 0.1, 0.02, 0.0),
    "the same, 5 % of the bogus lost": (0.0, 0.1, 0.05, 0.0),
    "the same, 10 % of the bogus lost": (0.0, 0.1, 0.1, 0.0),
}
MISTAKES = (0.0, 0.03)


def judged(n_labels: tuple[int, int], world: tuple, mistakes: float, rng) -> Comparison:
    """Draw labels and what two networks call them, and compare."""
    real = np.repeat([True, False], n_labels)
    draw = rng.random(len(real))
    lost, won = (np.where(real, world[k], world[k + 2]) for k in (0, 1))
    is_lost, is_won = draw < lost, (draw >= lost) & (draw < lost + won)
    labels = real != (rng.random(len(real)) < mistakes)
    kinds = np.arange(len(CLASSES), dtype=np.int8)
    sources = np.isin(CLASSES, ("star", "galaxy"))
    everything = np.ones(len(real), bool), np.arange(len(real)), kinds, sources, sources, sources
    return compare(labels, real != is_won, real != is_lost, *everything)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="of each kind (2000)")
    add_json(parser)
    options = parser.parse_args()
    print(processor())
    rng = np.random.default_rng(20_264)
    figures = {}
    for mistakes in MISTAKES:
        print(f"called better where {mistakes:.0%} of the labels are wrong")
        print(" " * 36, *(f"{real:5d} + {bogus:3d}" for real, bogus in LABELS))
        for name, world in WORLDS.items():
            rates = [
                np.mean(
                    [
                        judged(labels, world, mistakes, rng).verdict == "better"
                        for _ in range(options.cases)
                    ]
                )
                for labels in LABELS
            ]
            print(f"{name:36s}", *(f"{rate:11.3f}" for rate in rates), flush=True)
            figures[f"{name}, {mistakes:.0%} wrong"] = [round(float(rate), 4) for rate in rates]
    write_json(options.json, {"labels": LABELS, "called better": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
