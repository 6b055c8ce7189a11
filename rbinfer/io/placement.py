"""How the positions of a catalogue lie on its image: swapped, flipped, scaled, shifted."""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """What turns the positions of a catalogue into pixels of an image, in the order of the attributes.

    Attributes
    ----------
    swap_xy : bool
        Columns are rows, and rows columns.
    scale : float
        Pixels of the image per unit of the catalogue, such as 2 for a catalogue of the image binned
        2 x 2. The outer edge of the first pixel stays where it is.
    shift_x, shift_y : float
        Pixels that are added.
    flip_x, flip_y : bool
        Columns count from the right, rows from the top.
    """

    swap_xy: bool = False
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    flip_x: bool = False
    flip_y: bool = False

    def __post_init__(self) -> None:
        for name in ("scale", "shift_x", "shift_y"):
            if not np.isfinite(getattr(self, name)):
                raise InputError(f"{name} must be finite, not {getattr(self, name)}")
        if not self.scale > 0:
            raise InputError(f"the scale of positions must be above 0, not {self.scale}")

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return self != type(self)()

    @property
    def is_shift(self) -> bool:
        """Whether it shifts, and does nothing else."""
        return bool(self) and self == type(self)(shift_x=self.shift_x, shift_y=self.shift_y)

    def opposite(self) -> Self:
        """Return the same with the shift the other way."""
        return replace(self, shift_x=-self.shift_x, shift_y=-self.shift_y)

    def applied(self, x: Floats, y: Floats, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        """Turn positions of the catalogue into pixels of the image.

        Parameters
        ----------
        x, y : ndarray of float64, shape (n,)
            0-based positions.
        shape : (int, int)
            Rows and columns of the image.

        Returns
        -------
        x, y : ndarray of float64, shape (n,)
            0-based pixels.
        """
        if self.swap_xy:
            x, y = y, x
        if self.scale != 1.0:
            x, y = (x + 0.5) * self.scale - 0.5, (y + 0.5) * self.scale - 0.5
        x, y = x + self.shift_x, y + self.shift_y
        return (
            shape[1] - 1 - x if self.flip_x else x,
            shape[0] - 1 - y if self.flip_y else y,
        )

    def given(self) -> dict[str, Any]:
        """Return what is not as by default, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    def arguments(self) -> str:
        """Return the arguments of `rbinfer.pipeline.options.ScoreOptions` that say the same."""
        words = [f"{name}=True" for name, value in self.given().items() if value is True]
        if self.scale != 1.0:
            words.append(f"scale_xy={self.scale:g}")
        if self.shift_x or self.shift_y:
            words.append(f"shift_xy=({self.shift_x:.1f}, {self.shift_y:.1f})")
        return ", ".join(words)
