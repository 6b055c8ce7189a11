"""Figures of all contestants as Markdown tables."""

from collections.abc import Sequence

import numpy as np
from _rival_figures import Figures

OURS = "ours"


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rate(value: float) -> str:
    """Format a rate or an AUC."""
    return "-" if np.isnan(value) else f"{value:.3f}"


def compare(groups: dict[str, dict[str, Figures]]) -> dict[str, list[str]]:
    """Return by group which rivals have a margin higher than ours by more than one object."""
    return {
        group: [
            name
            for name, figures in groups.items()
            if name != OURS and group in figures and own.is_beaten_by(figures[group])
        ]
        for group, own in groups[OURS].items()
    }


def print_groups(groups: dict[str, dict[str, Figures]], higher: dict[str, list[str]]) -> None:
    """Print the margins, and what they are made of."""
    margins, details = [], []
    for group, own in groups[OURS].items():
        counts = [group, f"{own.n_real} / {own.n_bogus}"]
        found = [figures.get(group) for figures in groups.values()]
        margins.append(
            [
                *counts,
                *("not run" if f is None else f"{f.margin:.3f}" for f in found),
                ", ".join(higher[group]) or "none",
            ]
        )
        details.append(
            [
                *counts,
                *(
                    "not run" if f is None else f"{rate(f.auc)} / {rate(f.kept)} / {rate(f.let_in)}"
                    for f in found
                ),
            ]
        )
    print("\nkept minus let in\n")
    print(table_of(["group", "real / bogus", *groups, "higher by more than one object"], margins))
    print("\nAUC / kept / let in\n")
    print(table_of(["group", "real / bogus", *groups], details))


def print_summary(summaries: dict[str, dict[str, float]]) -> None:
    """Print the means over groups, and the time."""
    rows = [
        [
            name,
            f"{rate(s['auc'])} / {rate(s['lowest_auc'])}",
            f"{rate(s['kept'])} / {rate(s['let_in'])}",
            f"{s['seconds_per_megapixel']:.3g}",
        ]
        for name, s in summaries.items()
    ]
    print("\nlabelled groups with both classes\n")
    print(table_of(["", "mean AUC / lowest", "mean kept / let in", "s per megapixel"], rows))


def print_kinds(kinds: dict[str, dict[str, float]], counts: dict[str, int]) -> None:
    """Print the shares called real of the simulated classes."""
    rows = [
        [name, str(n), *(rate(kinds[c].get(name, np.nan)) for c in kinds)] for name, n in counts.items()
    ]
    print("\nsimulated: share called real\n")
    print(table_of(["class", "number", *kinds], rows))
