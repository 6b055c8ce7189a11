"""Labelled detections that a network is fitted further to, and how one that was is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from .._arrays import F32, F64, Bools
from ..data.seen import Seen

#: Share of a person's labels that are taken to be mistaken.
MISTAKEN = 0.03
#: Probabilities below it are taken for it.
_LEAST = 1e-7


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled detections as a network's last layer sees them.

    Attributes
    ----------
    features : ndarray of float32, shape (n, m)
    real : ndarray of bool, shape (n,)
    kind : ndarray of int, shape (n,)
        Index of the class; -1 where none was named.
    right : ndarray of float64, shape (n,)
        How likely each label is to be right.
    seen : Seen or None
        What the network is shown of each, where other layers are fitted, too.
    """

    features: F32
    real: Bools
    kind: NDArray[np.intp]
    right: F64
    seen: Seen | None = None

    def __len__(self) -> int:
        return len(self.real)

    def taken(self, rows: NDArray[np.intp] | Bools | slice) -> Self:
        """Return some of them."""
        return replace(
            self,
            features=self.features[rows],
            real=self.real[rows],
            kind=self.kind[rows],
            right=self.right[rows],
            seen=None if self.seen is None else self.seen.taken(rows),
        )

    @classmethod
    def joined(cls, parts: "Sequence[Examples]") -> Self:
        """Put several together, in their order; there must be one at least."""
        seen = [part.seen for part in parts if part.seen is not None]
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.real for part in parts]),
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.right for part in parts]),
            Seen.joined(seen) if len(seen) == len(parts) else None,
        )


class Judge(Protocol):
    """A network with a threshold, however much of it was fitted."""

    @property
    def is_real(self) -> Bools:
        """Classes (k,) that count as real."""

    @property
    def threshold(self) -> float:
        """Scores above it are real."""

    def classes_of(self, examples: Examples) -> F32:
        """Return the probabilities (n, k) of examples."""


def called_real(judge: Judge, examples: Examples) -> Bools:
    """Tell which of examples (n,) a network calls real."""
    score = judge.classes_of(examples)[:, judge.is_real].sum(axis=1, dtype=np.float32)
    return np.asarray(score > judge.threshold)


def forgotten(judge: Judge, rehearsed: Examples) -> tuple[float, float]:
    """Return the share of rehearsed real ones that are missed, and of rehearsed bogus let in."""
    wrong = called_real(judge, rehearsed) != rehearsed.real
    shares = [
        wrong[rehearsed.real == kind].mean() if np.any(rehearsed.real == kind) else 0.0
        for kind in (True, False)
    ]
    return float(shares[0]), float(shares[1])


def weights_of_labels(real: Bools) -> F64:
    """Return how much each of some labels (n,) weighs in a fit, 1 on average.

    Where fewer are real than bogus, the real ones weigh as much together: the page shows what is near
    the threshold, and a camera that lets in much gives mostly bogus there. Counted alike, these would
    move the odds of all, and sources would be lost. Where more are real, each counts alike.
    """
    n_real = int(np.count_nonzero(real))
    weights = np.where(real, max((len(real) - n_real) / max(n_real, 1), 1.0), 1.0)
    return np.asarray(weights / weights.mean())


def targets_of_labels(known: F32, examples: Examples, is_real: Bools) -> F32:
    """Return the probabilities that labels ask for.

    A label without a class tells the probability of being real alone: within the real classes, and
    within the others, probabilities keep their ratios. One with a class asks for that, as far as it is
    right.

    Parameters
    ----------
    known : ndarray of float32, shape (n, k)
        Probabilities by the network before it is fitted further.
    examples : Examples
    is_real : ndarray of bool, shape (k,)
        Classes that count as real.

    Returns
    -------
    ndarray of float32, shape (n, k)
        Each row's sum is 1.
    """
    same = examples.real[:, np.newaxis] == is_real
    # Rounded to 0, a probability would say nothing of what the label asks for.
    some = np.maximum(known.astype(np.float64), _LEAST)
    within, without = (_normalised(np.where(side, some, 0.0)) for side in (same, ~same))
    named = np.flatnonzero(examples.kind >= 0)
    within[named] = np.eye(len(is_real))[examples.kind[named]]
    right = examples.right[:, np.newaxis]
    return np.asarray(right * within + (1.0 - right) * without, np.float32)


def _normalised(values: F64) -> F64:
    """Divide the rows (n, k) by their sums."""
    found: F64 = values / values.sum(axis=1, keepdims=True)
    return found
