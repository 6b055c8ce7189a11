"""How well a fraction is known that was counted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def wilson_interval(fraction: F64, n: NDArray[Any]) -> tuple[F64, F64]:
    """95 % interval of a binomial fraction (Wilson 1927, J. Am. Stat. Assoc. 22, 209).

    Parameters
    ----------
    fraction : ndarray of float64, shape (k,)
    n : ndarray of int, shape (k,)
        Of how many.

    Returns
    -------
    low, high : ndarray of float64, shape (k,)
    """
    z = 1.959964
    middle = (fraction + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(fraction * (1 - fraction) / n + z**2 / (4 * n**2))
    # Rounding must not put the end of an interval on the wrong side of the fraction.
    return np.minimum(middle - half, fraction), np.maximum(middle + half, fraction)
