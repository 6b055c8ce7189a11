"""The truth table: what was planted where."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from astropy.table import Table

from .._arrays import F32, F64, Bools
from .._pixels import nearest


@dataclass(frozen=True)
class Rows:
    """Rows of a truth table.

    Attributes
    ----------
    kind : str or list of str
        One type for all of them or one each.
    x, y : array, shape (n,)
        Positions, 0-based pixels.
    flux, peak : array, shape (n,)
        Total and brightest pixel, electrons or ADU.
    """

    kind: str | list[str]
    x: F64
    y: F64
    flux: F64
    peak: F64

    def in_adu(self, gain: float) -> Self:
        """Return rows in electrons in ADU, for a gain in electrons per ADU."""
        return replace(self, flux=self.flux / gain, peak=self.peak / gain)

    def joined(self, other: Self) -> Self:
        """Return these rows and others, of the same one type."""
        return replace(
            self,
            x=np.append(self.x, other.x),
            y=np.append(self.y, other.y),
            flux=np.append(self.flux, other.flux),
            peak=np.append(self.peak, other.peak),
        )


def inside(x: F64, y: F64, shape: tuple[int, int]) -> Bools:
    """Say which positions lie on a frame of `shape` (height, width).

    Parameters
    ----------
    x, y : array, shape (n,)
        0-based pixels.
    shape : (height, width)

    Returns
    -------
    bool array, shape (n,)
    """
    return (x > -0.5) & (x < shape[1] - 0.5) & (y > -0.5) & (y < shape[0] - 0.5)


def extreme(signal: F32, x: F64, y: F64) -> F64:
    """Return the value furthest from zero among the 3 x 3 pixels around each position.

    Parameters
    ----------
    signal : array, shape (h, w)
    x, y : array, shape (n,)
        0-based pixels; those off the image are moved to its edge.

    Returns
    -------
    array, shape (n,)
    """
    best = np.zeros(x.size)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            value = signal[nearest(x + dx, y + dy, signal.shape)]
            best = np.where(np.abs(value) > np.abs(best), value, best)
    return best


def truth_table(rows: list[Rows], fwhm: float, shape: tuple[int, int]) -> Table:
    """Return the rows that lie on the frame: x, y, flux, peak, type, fwhm.

    Parameters
    ----------
    rows : list of Rows
        In ADU.
    fwhm : float
        Of the frame, pixels; the same in each row.
    shape : (height, width)

    Returns
    -------
    Table
    """
    kinds = [k for r in rows for k in ([r.kind] * r.x.size if isinstance(r.kind, str) else r.kind)]
    x, y = np.concatenate([r.x for r in rows]), np.concatenate([r.y for r in rows])
    kept = inside(x, y, shape)
    return Table(
        {
            "x": x[kept],
            "y": y[kept],
            "flux": np.concatenate([r.flux for r in rows])[kept],
            "peak": np.concatenate([r.peak for r in rows])[kept],
            "type": np.array(kinds, dtype="U12")[kept],
            "fwhm": np.full(int(kept.sum()), fwhm),
        }
    )
