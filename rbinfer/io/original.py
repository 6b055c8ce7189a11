"""Where a table is from: what it takes to write it back in kind."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .content import Content


@dataclass(frozen=True, eq=False)
class Original:
    """The file that a table was read from.

    Attributes
    ----------
    content : Content
        The file.
    format : str
        Name of its format.
    number : int
        Which of its tables it is, from 0.
    rows : ndarray of int, shape (n,)
        The rows of that table which the table in hand has, in their order.
    state : (int, int)
        Size and time of the file.
    """

    content: Content
    format: str
    number: int
    rows: NDArray[np.intp]
    state: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", self._state())

    def check(self) -> None:
        """Refuse a file that is not as it was; raises `InputError`."""
        if self._state() != self.state:
            raise InputError(f"{self.content.path} has changed since it was read; start again")

    def _state(self) -> tuple[int, int]:
        try:
            found = self.content.path.stat()
        except OSError as error:
            raise InputError(f"{self.content.path} cannot be read again: {error.strerror}") from error
        return found.st_size, found.st_mtime_ns

    @classmethod
    def joined(cls, parts: "Sequence[Original | None]") -> "Original | None":
        """Return the same for rows of several tables one below the other, if they are of one table."""
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts) or len({part.number for part in known}) > 1:
            return None
        return replace(known[0], rows=np.concatenate([part.rows for part in known]))

    def taken(self, which: ArrayLike) -> Self:
        """Return the same for some of the rows: a mask, or indices in their new order."""
        return replace(self, rows=self.rows[np.asarray(which)])
