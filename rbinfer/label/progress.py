"""What the labels of the random part say of the model, and how well that is known."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._util.intervals import wilson_interval


class Tally:
    """Counts answers as they come, change and go.

    Parameters
    ----------
    goal : int
        Labels that a person means to give.
    """

    def __init__(self, goal: int) -> None:
        self.goal = goal
        self._answers: Counter[str] = Counter()
        self._random: Counter[tuple[str, bool]] = Counter()

    def add(self, label: str, called_real: bool, drawn: bool, times: int = 1) -> None:
        """Count an answer.

        Parameters
        ----------
        label : str
            ``real``, ``bogus`` or ``skip``.
        called_real : bool
            By the model.
        drawn : bool
            Whether it is of the random part.
        times : int
            -1 takes one back.
        """
        self._answers[label] += times
        if drawn:
            self._random[label, called_real] += times

    def as_dict(self) -> dict[str, Any]:
        """Return what the page shows.

        Returns
        -------
        dict
            ``labelled``, ``real``, ``bogus``, ``skipped``, ``goal``, ``random`` (labels of that part),
            and ``missed`` and ``let_in``: real called bogus, and bogus called real, in the random part.
        """
        n = self._answers["real"] + self._answers["bogus"]
        ahead = max(self.goal / n, 1.0) if n else 1.0
        return {
            "labelled": n,
            "real": self._answers["real"],
            "bogus": self._answers["bogus"],
            "skipped": self._answers["skip"],
            "goal": self.goal,
            "random": sum(self._random[label, v] for label in ("real", "bogus") for v in (False, True)),
            "missed": _rate(self._random["real", False], self._random["real", True], ahead),
            "let_in": _rate(self._random["bogus", True], self._random["bogus", False], ahead),
        }


def _rate(wrong: int, right: int, ahead: float) -> Mapping[str, Any] | None:
    """Return a rate with its 95 % interval; None where nothing was counted.

    ``at_goal`` is half of the width of the interval when `ahead` times as many are counted.
    """
    n = wrong + right
    if n == 0:
        return None
    rate = np.array([wrong / n])
    low, high = wilson_interval(rate, np.array([n]))
    later = wilson_interval(rate, np.array([n * ahead]))
    return {
        "n": n,
        "wrong": wrong,
        "rate": wrong / n,
        "low": max(float(low[0]), 0.0),
        "high": min(float(high[0]), 1.0),
        "at_goal": float(later[1][0] - later[0][0]) / 2,
    }
