"""Where a table is from: what it takes to write it back in kind."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    """

    content: Content
    format: str
    number: int
    rows: NDArray[np.intp]

    def taken(self, which: ArrayLike) -> Self:
        """Return the same for some of the rows: a mask, or indices in their new order."""
        return replace(self, rows=self.rows[np.asarray(which)])
