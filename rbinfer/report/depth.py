"""A picture of a frame's completeness, drawn by matplotlib."""

from typing import TYPE_CHECKING

import numpy as np

from .._util.intervals import wilson_interval
from ..diagnostics.completeness import Completeness
from .gallery import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_TICKS = (2, 3, 5, 10, 20, 30, 50)  # of S/N


def draw_completeness(found: Completeness) -> "Figure":
    """Draw the fractions that are detected and accepted, and the scores, against S/N.

    Parameters
    ----------
    found : Completeness

    Returns
    -------
    Figure
    """
    figure = new_figure(7.0, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True)
    table = found.by_snr()
    n = np.asarray(table["n"], np.float64)
    known = n > 0
    middles = np.sqrt(np.asarray(table["snr_low"]) * np.asarray(table["snr_high"]))
    for name, text, colour in (("detected", "detected", "0.5"), ("accepted", "and called real", "C0")):
        part = np.asarray(table[name], np.float64)
        errors = np.abs(np.array(wilson_interval(part[known], n[known])) - part[known])
        upper.errorbar(middles[known], part[known], errors, color=colour, marker="o", label=text)
    for level in (0.5, 0.9):
        upper.axhline(level, color="0.85", linewidth=0.8, zorder=0)
    upper.set(ylabel="fraction of planted stars", ylim=(-0.03, 1.05), xscale="log")
    figure.legend(loc="outside upper center", ncols=2)  # within the axes it would cover some bar
    lower.plot(found.stars.snr, found.score, ".", color="0.4", markersize=2)
    lower.set_xticks(_TICKS, [f"{snr:g}" for snr in _TICKS])
    lower.minorticks_off()
    lower.axhline(found.trial.threshold, color="C1", linewidth=1.0)
    lower.set(xlabel="S/N of the planted star", ylabel="score where detected", ylim=(-0.03, 1.03))
    return figure
