"""Pixels here and there that hold one value far below the sky: dead, or filled because they were bad."""

import numpy as np
from numpy.typing import NDArray

#: So many of a sample have it; it is below the sky by more than so many times the noise. The sky is
#: what a tenth of the pixels is below: behind one of four filters, or in a corner, it may be dark.
_FEWEST, _BELOW, _SKY = 3, 30.0, 10
#: So many times the noise above it, fewer pixels lie than have it: the sky of a dark side goes on there.
_APART = 15.0


def dead_value(sample: NDArray[np.float32], noise: float) -> float | None:
    """Return the lowest value of a frame if it is none of the sky's.

    Dead pixels of a raw frame hold 0, and programs fill what they took for bad with 0, -999 or the like.
    Noise never repeats itself so far from the sky, and hardly any source is negative.

    Parameters
    ----------
    sample : ndarray of float32
        Pixels from all over the frame; those that are not finite have no say.
    noise : float
        Of a pixel.

    Returns
    -------
    float or None
        None if the lowest value is less than 30 times the noise below the sky, is not shared, has
        more pixels just above it, or is that of a tenth of the pixels; and without noise.
    """
    known = sample[np.isfinite(sample)]
    if not (len(known) and noise > 0):
        return None
    value = known.min()
    n = np.count_nonzero(known == value)
    if n < _FEWEST or value >= np.percentile(known, _SKY) - _BELOW * noise:
        return None
    n_above = np.count_nonzero(known <= value + _APART * noise) - n
    return float(value) if n_above < n else None
