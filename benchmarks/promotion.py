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
from scipy.stats import binom

from rbtrain.config import CLASSES
from rbtrain.judging.promotion import Comparison, compare, not_inferior, objects_to_decide

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
#: Shares of the labelled objects that are won and lost, where it is asked how many labels show it; the
#: last are those of irac in `adapt.json`.
GAINS = ((0.01, 0.0), (0.02, 0.0), (0.02, 0.005), (0.03, 0.01), (0.05, 0.02), (7 / 384, 1 / 384))


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


def needed(lost: int) -> int:
    """Return how many objects of a kind rule out that a tenth is lost, where so many are."""
    return next(n for n in range(1, 1000) if not_inferior(0, lost, n, 0.1) < 0.05)


def without_margin(cases: int = 5000) -> dict:
    """Return how often a rule that forgives no loss on balance promotes, and the present one.

    25 % of 140 bogus are won, none of 60 real lost, 3 % of the labels wrong.
    """
    rng = np.random.default_rng(20_265)
    found = [judged((60, 140), WORLDS["25 % of the bogus won"], 0.03, rng) for _ in range(cases)]
    strict = [
        each.kept.lost <= each.kept.won
        and each.let_in.lost <= each.let_in.won
        and binom.sf(each.let_in.won + each.kept.won - 1, _changed(each), 0.5) < 0.05
        for each in found
    ]
    return {
        "no_loss": round(float(np.mean(strict)), 3),
        "present": round(float(np.mean([each.verdict == "better" for each in found])), 3),
    }


def _changed(found: Comparison) -> int:
    return sum(rate.won + rate.lost for rate in (found.kept, found.let_in))


def said_to_decide(won: float, lost: float, n: int = 200, cases: int = 20_000) -> dict:
    """Compare the number of objects that is said to show a gain with that which does.

    Of labels of `n` objects that don't show it: how often a number is said, its quantiles over the
    number that shows it in four of five cases, and how often labels of as many objects as said do.
    """
    rng = np.random.default_rng(20_266)
    drawn = rng.multinomial(n, [won, lost, 1 - won - lost], cases)
    not_shown = drawn[~shown(drawn)]
    said = np.array([objects_to_decide(int(w), int(m), n) or 0 for w, m, _ in not_shown])
    sizes = np.arange(20, 5000, 20)
    enough = next(
        size
        for size in sizes
        if shown(rng.multinomial(size, [won, lost, 1 - won - lost], 4000)).mean() >= 0.8
    )
    given = said[said > 0]
    promoted = [
        shown(rng.multinomial(size, [won, lost, 1 - won - lost], 20)).mean() for size in given[:2000]
    ]
    quantiles = np.quantile(given / enough, (0.1, 0.5, 0.9))
    return {
        "needed": int(enough),
        "not shown": round(len(not_shown) / cases, 3),
        "a number is said": round(len(given) / len(not_shown), 3),
        "said over needed: 10, 50, 90 %": [round(float(q), 2) for q in quantiles],
        "shown by as many": round(float(np.mean(promoted)), 3),
    }


def shown(drawn: np.ndarray) -> np.ndarray:
    """Tell whether a gain of so many won and lost, shape (n, 3), is more than chance makes."""
    won, lost = drawn[:, 0], drawn[:, 1]
    return binom.sf(won - 1, won + lost, 0.5) < 0.025


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
    report = {
        "labels": LABELS,
        "cases": options.cases,
        "called better": figures,
        "objects_needed": [needed(lost) for lost in range(3)],
        "without_margin": without_margin(),
        "said_to_decide": {
            f"{won:.1%} won, {lost:.1%} lost": said_to_decide(won, lost) for won, lost in GAINS
        },
    }
    for name in list(report)[3:]:
        print(name, report[name])
    write_json(options.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
