"""How far a figure is from what is expected of it, and by how much frames that are alike differ."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

#: The limit in units of the scatter, where a deviation names no other.
LIMIT = 4.0
#: Stands for a figure that is out of all bounds, in units of the scatter.
BEYOND = 20.0
#: The scatter of few frames is uncertain: it is widened by 1 + this / n.
_FEW = 3.0
#: From the median to the upper or lower tenth of a normal distribution, and the MAD, in its widths.
_TENTH, _MAD = 1.2816, 0.6745


class Deviation(NamedTuple):
    """How a figure of a frame differs from what is expected.

    Attributes
    ----------
    figure, label : str
    z : float
        In units of the reference's scatter; positive where there is more, 0 in a direction that is no
        drift.
    value, expected : float
        As people know them.
    told : str
        Both, in words.
    limit : float
        It is off beyond that, in the same units.
    """

    figure: str
    label: str
    z: float
    value: float
    expected: float
    told: str
    limit: float = LIMIT

    @property
    def is_beyond(self) -> bool:
        """Whether it is off."""
        return abs(self.z) > self.limit


@dataclass(frozen=True)
class Spread:
    """The frames of a reference in one figure: their median, and the scatter below and above it."""

    middle: float
    below: float
    above: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Measure it such that a few odd frames do not widen it, and a tail of many does."""
        low, middle, high = (float(q) for q in np.quantile(values, (0.1, 0.5, 0.9)))
        mad = float(np.median(np.abs(np.asarray(values) - middle))) / _MAD
        more = 1.0 + _FEW / len(values)
        return cls(
            middle, more * max(mad, (middle - low) / _TENTH), more * max(mad, (high - middle) / _TENTH)
        )

    def raised(self, value: float, most: float) -> "Spread":
        """Return it with a middle that is nearer to a larger value, by `most` at most."""
        return replace(self, middle=self.middle + min(max(value - self.middle, 0.0), most))
