"""What one wants to see first of a night: what moves, and what is real and was seen once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .clusters import Cells
from .sources import KINDS

#: A source is real above this probability.
REAL = 0.5
#: Between these probabilities a source can't be told well.
_UNSURE = (0.1, 0.9)
#: Seen once means something where so many frames cover the place.
_LEAST_COVER = 3
#: A brighter source within this distance, in FWHM, makes a blend of what was seen once.
_NEAR = 3.0


def neighbours(found: NDArray[Any], fwhm: float) -> NDArray[np.float64]:
    """Return the distance to the nearest brighter source that is often seen.

    Parameters
    ----------
    found : structured ndarray of `rbinfer.night.sources.SOURCE`, shape (n,)
        Of a block.
    fwhm : float
        Pixels.

    Returns
    -------
    ndarray of float64, shape (n,)
        Pixels; infinite where none is within three FWHM.
    """
    often = np.flatnonzero((found["kind"] == KINDS.index("sky")) & (found["n_seen"] > 1))
    away = np.full(len(found), np.inf)
    reach = _NEAR * (fwhm if np.isfinite(fwhm) else 3.0)
    cells = Cells(found["u"][often], found["v"][often], reach)
    for k in np.flatnonzero(cells.nearest(found["u"], found["v"])[0] >= 0):
        near = often[cells.near(float(found["u"][k]), float(found["v"][k]))]
        near = near[(near != k) & (found["snr"][near] > found["snr"][k])]
        if near.size:
            gaps = np.hypot(found["u"][near] - found["u"][k], found["v"][near] - found["v"][k])
            away[k] = gaps.min()
    return away


def candidates(found: NDArray[Any], away: NDArray[np.float64]) -> tuple[NDArray[np.intp], list[str]]:
    """Choose the candidates of a block, and put them in order.

    What moves comes first, the most often seen before. Then comes what was seen once: away from brighter
    sources first, the brightest before, since most of what is seen once is a faint star or a part of a
    blend.

    Parameters
    ----------
    found : structured ndarray of `rbinfer.night.sources.SOURCE`, shape (n,)
    away : ndarray of float64, shape (n,)
        From `neighbours`.

    Returns
    -------
    index : ndarray of int, shape (m,)
    why : list of str
        ``moving``, ``seen once``, or ``seen once, near a brighter source``.
    """
    real = found["probability"] > REAL
    moving = real & (found["kind"] == KINDS.index("moving"))
    once = real & (found["kind"] == KINDS.index("sky"))
    once &= (found["n_seen"] == 1) & (found["n_cover"] >= _LEAST_COVER)
    index = np.flatnonzero(moving | once)
    blended = once & np.isfinite(away)
    rank = np.where(moving, 0, np.where(blended, 2, 1))[index]
    times = np.where(moving, found["n_seen"], 0)[index]
    order = np.lexsort((index, -np.nan_to_num(found["snr"][index]), -times, rank))
    words = ("moving", "seen once", "seen once, near a brighter source")
    return index[order], [words[k] for k in rank[order]]


def count_doubtful(found: NDArray[Any]) -> int:
    """Count the sources that can't be told well: with a probability from 0.1 to 0.9.

    Parameters
    ----------
    found : structured ndarray of `rbinfer.night.sources.SOURCE`, shape (n,)

    Returns
    -------
    int
        Without what stands on the detector.
    """
    least, most = _UNSURE
    unsure = (found["probability"] >= least) & (found["probability"] <= most)
    return int(np.count_nonzero(unsure & (found["kind"] != KINDS.index("detector"))))


def doubtful(found: NDArray[Any], most: int) -> NDArray[np.intp]:
    """Return the sources whose probability is nearest to the threshold, nearest first.

    Parameters
    ----------
    found : structured ndarray of `rbinfer.night.sources.SOURCE`, shape (n,)
    most : int

    Returns
    -------
    ndarray of int, shape (m,)
        `most` or fewer; what stands on the detector is not doubtful.
    """
    index = np.flatnonzero(found["kind"] != KINDS.index("detector"))
    return index[np.argsort(np.abs(found["probability"][index] - REAL), kind="stable")[:most]]
