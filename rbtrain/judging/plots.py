"""Pictures of what was measured: ROC curves, score histograms, reliability, the worst mistakes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from rbinfer._util.intervals import wilson_interval

from .._arrays import F32, F64, Bools, Floats
from ..config import CLASSES
from ..data.dataset import Dataset
from .labelled import Scored, joined

_PANELS = 24
_PER_ROW = 4
#: Mistakes of each class on simulated frames.
_SHOWN = 10


def draw_groups(groups: dict[str, list[Scored]], threshold: float, path: Path) -> None:
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
        real, score = joined(cases)
        scored = np.isfinite(score)
        if min(int(real[scored].sum()), int((~real[scored]).sum())) >= 20:
            shown[name] = real[scored], score[scored]
    if not shown:
        return
    rows, columns = _grid(1 + len(shown))
    figure = Figure(figsize=(4.2 * columns, 3.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for name, (real, score) in shown.items():
        false_rate, true_rate = roc_curve(real, score)
        axes[0].plot(np.maximum(false_rate, 1e-4), true_rate, drawstyle="steps-post", label=name)
    axes[0].set(xscale="log", xlim=(1e-4, 1), ylim=(0.5, 1.01), title="ROC (left edge: none let in)")
    axes[0].set(xlabel="false-positive rate", ylabel="true-positive rate")
    axes[0].legend(fontsize="small", loc="lower right")
    bins = np.linspace(0, 1, 41)
    for panel, (name, (real, score)) in zip(axes[1:], shown.items(), strict=False):
        panel.hist(score[~real], bins, color="C1", alpha=0.6, label="bogus")
        panel.hist(score[real], bins, color="C0", histtype="step", linewidth=1.3, label="real")
        panel.axvline(threshold, color="k", linewidth=0.8, linestyle=":", label="threshold")
        panel.set(yscale="log", ylim=(0.7, None), xlabel="score", ylabel="detections in bin")
        panel.set_title(f"{name}: {real.sum()} real, {(~real).sum()} bogus", fontsize="medium")
    axes[1].legend(fontsize="small", loc="center left", bbox_to_anchor=(0.08, 0.6))
    for panel in axes[1 + len(shown) :]:
        panel.set_axis_off()
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
    rows, columns = _grid(len(shown))
    figure = Figure(figsize=(3.6 * columns, 4.6 * rows), layout="constrained")
    axes: Any = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(2, 1) * rows)
    for k, (name, found) in enumerate(shown.items()):
        row, column = divmod(k, columns)
        top, bottom = axes[2 * row, column], axes[2 * row + 1, column]
        mean, real = np.array([r["score"] for r in found]), np.array([r["real"] for r in found])
        n = np.array([r["n"] for r in found])
        low, high = wilson_interval(real, n)
        top.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle=":")
        # Bins of a few say little: they are hollow.
        for few, face in ((n >= 10, "C0"), (n < 10, "none")):
            errors = [(real - low)[few], (high - real)[few]]
            top.errorbar(
                mean[few],
                real[few],
                errors,
                fmt="o",
                color="C0",
                mfc=face,
                markersize=4,
                linewidth=1 if face == "C0" else 0.4,
            )
        top.set(
            xlim=(-0.02, 1.02), ylim=(-0.04, 1.04), ylabel="fraction real", title=f"{name}: {n.sum()}"
        )
        edges = np.array([r["low"] for r in found])
        widths = np.array([r["high"] for r in found]) - edges
        bottom.bar(edges, n, widths, align="edge", edgecolor="w", linewidth=0.5)
        bottom.set(
            xlim=(-0.02, 1.02), yscale="log", ylim=(0.7, None), xlabel="score", ylabel="detections"
        )
    for panel in axes[2 * rows - 2 :, len(shown) - columns * (rows - 1) :].flat:
        panel.set_axis_off()
    figure.savefig(path, dpi=90)


def draw_mistakes(groups: dict[str, list[Scored]], path: Path) -> None:
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
    real, score = joined(cases)
    cutouts = np.concatenate([c.cutouts for c in cases if c.cutouts is not None])
    wrong = np.where(real, 1 - score, score)
    wrong[~np.isfinite(wrong)] = -1
    figure = Figure(figsize=(13, 11.5), layout="constrained")
    halves: Any = figure.subfigures(2, 1)
    for half, kind, title in (
        (halves[0], real, "real, scored lowest"),
        (halves[1], ~real, "bogus, scored highest"),
    ):
        half.suptitle(title)
        worst = np.flatnonzero(kind)[np.argsort(-wrong[kind], kind="stable")][:_PANELS]
        for panel, k in zip(half.subplots(3, _PANELS // 3).flat, worst, strict=False):
            _show(panel, cutouts[k, :, :, 1])
            panel.set_title(f"{score[k]:.2f}  {names[k]}", fontsize=7, pad=2)
        for panel in half.axes:
            panel.set_axis_off()
    figure.savefig(path, dpi=80)


def draw_simulated_mistakes(
    data: Dataset, score: Floats, real: Sequence[str], threshold: float, path: Path
) -> None:
    """Draw mistakes on simulated cutouts (asinh channel) class by class, drawn at random from all.

    Parameters
    ----------
    data : Dataset
    score : ndarray of float, shape (len(data),)
    real : sequence of str
        Classes that count as real.
    threshold : float
        Above it a detection is called real.
    path : pathlib.Path
        PNG or PDF.
    """
    rng, labels = np.random.default_rng(0), data.rows["label"]
    figure = Figure(figsize=(11, 1.12 * len(CLASSES)), layout="constrained")
    axes = figure.subplots(len(CLASSES), _SHOWN, squeeze=False)
    for line, (i, name) in zip(axes, enumerate(CLASSES), strict=True):
        of_class = labels == i
        wrong = np.flatnonzero(of_class & ((score > threshold) != (name in real)))
        said = "lost" if name in real else "let in"
        share = f"{len(wrong) / max(int(of_class.sum()), 1):.1%} {said}"
        for panel in line:
            panel.set(xticks=[], yticks=[])
            panel.set_frame_on(False)
        line[0].set_ylabel(
            f"{name.replace('_', ' ')}\n{share}", rotation=0, ha="right", va="center", fontsize=8
        )
        for panel, k in zip(line, rng.permutation(wrong)[:_SHOWN], strict=False):
            _show(panel, data.pixels[k, :, :, 1].astype(np.float32))
            row = data.rows[k]
            panel.set_title(f"{score[k]:.2f}  FWHM {row['fwhm']:.1f}", fontsize=6, pad=2)
    figure.savefig(path, dpi=80)


def _show(panel: Any, pixels: F32) -> None:
    """Show a cutout, stretched to the object in the middle: its neighbours may be far brighter."""
    middle = pixels.shape[0] // 2
    core = float(pixels[middle - 2 : middle + 3, middle - 2 : middle + 3].max())
    top = max(1.3 * core, 0.1)
    panel.imshow(pixels, origin="lower", cmap="gray", vmin=-0.3 * top, vmax=top)
    panel.add_patch(Circle((middle, middle), 5, fill=False, edgecolor="C1", linewidth=0.7))


def _grid(panels: int) -> tuple[int, int]:
    """Rows and columns for a number of panels, without a row of gaps."""
    rows = math.ceil(panels / _PER_ROW)
    return rows, math.ceil(panels / rows)


def roc_curve(real: Bools, score: Floats) -> tuple[F64, F64]:
    """False- and true-positive rate at every threshold, from the highest score down.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)
        Finite.

    Returns
    -------
    false_rate, true_rate : ndarray of float64, shape (k,)
        From 0 to 1, both rising.
    """
    order = np.argsort(-score, kind="stable")
    ranked, values = real[order], score[order]
    # Ties are one step, not a staircase in the order of the input.
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    true_rate = np.cumsum(ranked)[last] / max(int(real.sum()), 1)
    false_rate = np.cumsum(~ranked)[last] / max(int((~real).sum()), 1)
    return np.append(0.0, false_rate), np.append(0.0, true_rate)
