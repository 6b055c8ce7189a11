"""Readings of a model's output: which classes count as real, at which threshold, at what cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ModelError


@dataclass(frozen=True)
class OperatingPoint:
    """A decision threshold and the rates measured for it on held-out simulation.

    Attributes
    ----------
    name : str
        What it was chosen for, such as ``"missed 1%"``.
    threshold : float
        Scores above it are real.
    missed, false : float
        Fraction of the real ones at or below it, and of the bogus above it.
    """

    name: str
    threshold: float
    missed: float
    false: float

    def __post_init__(self) -> None:
        for name in ("threshold", "missed", "false"):
            value = getattr(self, name)
            # What is no number would be found out by whoever asks for a rate, long after loading.
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ModelError(f"{name} of an operating point must lie in [0, 1], not {value!r}")


@dataclass(frozen=True)
class Reading:
    """What counts as real, and what was measured with that on held-out simulation.

    Attributes
    ----------
    real : tuple of str
        Classes that count as real; their order has no meaning.
    threshold : float
        The decision threshold unless the caller gives another.
    operating_points : tuple of OperatingPoint
        Other thresholds with the rates measured for them.
    scores : mapping of str to sequence of float
        How the scores of ``real`` and of ``bogus`` are spread: the fraction of each in equal bins over
        [0, 1]; empty where it was not measured.
    """

    real: tuple[str, ...]
    threshold: float = 0.5
    operating_points: tuple[OperatingPoint, ...] = ()
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ModelError(f"threshold must lie in [0, 1], not {self.threshold}")

    @property
    def name(self) -> str:
        """The classes as ``--real`` takes them."""
        return ",".join(self.real)

    def counts(self, real: Sequence[str]) -> bool:
        """Tell whether these classes, in any order, are the ones that count as real."""
        return set(real) == set(self.real)

    def point_for(
        self, max_missed: float | None = None, max_false: float | None = None
    ) -> OperatingPoint:
        """Return the operating point that keeps a rate within bounds and is best in the other one.

        Parameters
        ----------
        max_missed : float, optional
            Largest share of the real that may be missed.
        max_false : float, optional
            Largest share of the bogus that may be let in. One of the two must be given.

        Raises
        ------
        InputError
            Both or none given, or no operating point is so strict.
        """
        if (max_missed is None) == (max_false is None):
            raise InputError("give one of max_missed and max_false")
        bound, rate, other = (
            (max_missed, "missed", "false") if max_false is None else (max_false, "false", "missed")
        )
        limit = 0.0 if bound is None else bound
        fit = [p for p in self.operating_points if getattr(p, rate) <= limit]
        if not fit:
            points = sorted(self.operating_points, key=lambda p: p.missed)
            have = ", ".join(f"{p.missed:.2%} / {p.false:.2%}" for p in points) or "none"
            raise InputError(
                f"with {self.name} real the model has no operating point with at most "
                f"{100 * limit:.3g} % {rate}; it has (missed / false): {have}"
            )
        return min(fit, key=lambda p: getattr(p, other))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a reading from its JSON form."""
        return cls(
            real=tuple(str(c) for c in data["real"]),
            threshold=float(data["threshold"]),
            operating_points=tuple(OperatingPoint(**p) for p in data["operating_points"]),
            scores=dict(data["scores"]),
        )


def counted_score(classes: NDArray[np.float32], columns: Sequence[int]) -> NDArray[np.float32]:
    """Return the score that counts some classes as real: the sum of their probabilities.

    Parameters
    ----------
    classes : ndarray of float32, shape (n, k)
    columns : sequence of int
        Which of the k count.

    Returns
    -------
    ndarray of float32, shape (n,)
        At most 1, also where rounding makes a sum a little more.
    """
    total: NDArray[np.float32] = classes[:, columns].sum(axis=1, dtype=np.float32)
    return np.minimum(total, np.float32(1))
