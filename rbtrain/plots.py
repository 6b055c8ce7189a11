"""Pictures of what was measured: ROC curves, score histograms, the worst mistakes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .evaluate import Scored

_PANELS = 48


def draw_groups(groups: dict[str, list["Scored"]], threshold: float, path: Path) -> None:
    """Draw the ROC curve and the score histogram of each group of labelled images.

    Parameters
    ----------
    groups : dict of lists of Scored
        Groups without 20 of each class have no curve.
    threshold : float
        Marked in the histograms.
    path : pathlib.Path
        PNG or PDF.
    """
    shown = {}
    for name, cases in groups.items():
        real = np.concatenate([c.real for c in cases])
        score = np.concatenate([c.score for c in cases])
        scored = np.isfinite(score)
        if min(int(real[scored].sum()), int((~real[scored]).sum())) >= 20:
            shown[name] = real[scored], score[scored]
    if not shown:
        return
    figure = Figure(figsize=(4.2 * (1 + len(shown)), 4.0), layout="constrained")
    axes = figure.subplots(1, 1 + len(shown), squeeze=False)[0]
    for name, (real, score) in shown.items():
        false_rate, true_rate = roc_curve(real, score)
        axes[0].plot(np.maximum(false_rate, 1e-4), true_rate, drawstyle="steps-post", label=name)
    axes[0].set(xscale="log", xlim=(1e-4, 1), ylim=(0.5, 1.005), title="ROC")
    axes[0].set(xlabel="false-positive rate", ylabel="true-positive rate")
    axes[0].legend(fontsize="small", loc="lower right")
    bins = np.linspace(0, 1, 41)
    for panel, (name, (real, score)) in zip(axes[1:], shown.items(), strict=True):
        panel.hist(score[real], bins, density=True, histtype="step", label=f"real: {real.sum()}")
        panel.hist(score[~real], bins, density=True, histtype="step", label=f"bogus: {(~real).sum()}")
        panel.axvline(threshold, color="k", linewidth=0.8, linestyle=":")
        panel.set(yscale="log", xlabel="score", ylabel="density", title=name)
        panel.legend(fontsize="small", loc="upper center")
    figure.savefig(path, dpi=90)


def draw_reliability(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw the fraction that is real against the score, and how many there are in each bin.

    Parameters
    ----------
    curves : dict of lists of dict
        By name, from `rbtrain.metrics.reliability`; those of fewer than 20 detections are left out.
    path : pathlib.Path
        PNG or PDF.
    """
    shown = {name: rows for name, rows in curves.items() if sum(r["n"] for r in rows) >= 20}
    if not shown:
        return
    figure = Figure(figsize=(3.4 * len(shown), 5.0), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False, sharex=True, height_ratios=(2, 1))
    for (top, bottom), (name, rows) in zip(axes.T, shown.items(), strict=True):
        mean, real = np.array([r["score"] for r in rows]), np.array([r["real"] for r in rows])
        n = np.array([r["n"] for r in rows])
        # Wilson 1927, J. Am. Stat. Assoc. 22, 209: 95 % of a binomial fraction.
        z = 1.96
        middle = (real + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(real * (1 - real) / n + z**2 / (4 * n**2))
        low, high = np.minimum(middle - half, real), np.maximum(middle + half, real)
        top.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle=":")
        top.errorbar(mean, real, [real - low, high - real], fmt="o", markersize=3, linewidth=1)
        top.set(xlim=(0, 1), ylim=(-0.03, 1.03), title=f"{name}\nn = {n.sum()}")
        edges = np.array([r["low"] for r in rows])
        widths = np.array([r["high"] for r in rows]) - edges
        bottom.bar(edges, n, widths, align="edge", edgecolor="w", linewidth=0.5)
        bottom.set(yscale="log", ylim=(0.7, None), xlabel="score")
    axes[0, 0].set_ylabel("fraction real")
    axes[1, 0].set_ylabel("detections")
    figure.savefig(path, dpi=90)


def draw_mistakes(groups: dict[str, list["Scored"]], path: Path) -> None:
    """Draw the cutouts (asinh channel) that were most wrong: bogus scored high, real scored low.

    Parameters
    ----------
    groups : dict of lists of Scored
        With cutouts.
    path : pathlib.Path
        PNG or PDF.
    """
    cases = [c for cases in groups.values() for c in cases if c.cutouts is not None]
    if not cases:
        return
    names = np.concatenate([np.full(len(c.real), c.name) for c in cases])
    real = np.concatenate([c.real for c in cases])
    score = np.concatenate([c.score for c in cases])
    cutouts = np.concatenate([c.cutouts for c in cases if c.cutouts is not None])
    wrong = np.where(real, 1 - score, score)
    wrong[~np.isfinite(wrong)] = -1
    figure = Figure(figsize=(13, 10.5), layout="constrained")
    halves = figure.subfigures(2, 1)
    for half, kind, title in (
        (halves[0], real, "real, scored lowest"),
        (halves[1], ~real, "bogus, scored highest"),
    ):
        half.suptitle(title)
        worst = np.flatnonzero(kind)[np.argsort(-wrong[kind], kind="stable")][:_PANELS]
        for panel, k in zip(half.subplots(4, _PANELS // 4).flat, worst, strict=False):
            panel.imshow(cutouts[k, :, :, 1], origin="lower", cmap="gray", vmin=-0.3, vmax=1)
            panel.set_title(f"{score[k]:.2f}\n{names[k]}", fontsize=5, pad=1)
        for panel in half.axes:
            panel.set_axis_off()
    figure.savefig(path, dpi=80)


def roc_curve(
    real: NDArray[np.bool_], score: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False- and true-positive rate at every threshold, from the highest score down."""
    order = np.argsort(-score, kind="stable")
    ranked, values = real[order], score[order]
    # Ties are one step, not a staircase in the order of the input.
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    true_rate = np.cumsum(ranked)[last] / max(int(real.sum()), 1)
    false_rate = np.cumsum(~ranked)[last] / max(int((~real).sum()), 1)
    return np.append(0.0, false_rate), np.append(0.0, true_rate)
