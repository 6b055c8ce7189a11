"""What a mask says of detections, and how well: pure functions of arrays."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbtrain.metrics import auc, rates_at

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Figures:
    """How well one contestant tells real from bogus at its own default; NaN where a class is empty.

    Attributes
    ----------
    n_real, n_bogus : int
    auc : float
        Of those that have a score.
    kept, let_in : float
        Share of the real, and of the bogus, that it calls real.
    """

    n_real: int
    n_bogus: int
    auc: float
    kept: float
    let_in: float

    @property
    def margin(self) -> float:
        """Kept minus let in; a rate that does not exist counts as 0."""
        return sum(0.0 if math.isnan(v) else v for v in (self.kept, -self.let_in))

    def is_beaten_by(self, other: "Figures") -> bool:
        """Whether another's margin on the same objects is higher by more than one object.

        That object is one of a class in which the other is ahead.
        """
        ahead = [
            1 / n
            for n, gain in (
                (self.n_real, other.kept - self.kept),
                (self.n_bogus, self.let_in - other.let_in),
            )
            if gain > 0  # not where a class is empty: NaN
        ]
        return bool(ahead) and other.margin - self.margin > max(ahead) + 1e-9


def under_peaks(probability: F32, flagged: Bools, x: I64, y: I64) -> tuple[F32, Bools]:
    """Read a mask in the brightest pixel of each detection, and there alone.

    Parameters
    ----------
    probability : ndarray of float32, shape (ny, nx)
        That a pixel is bogus.
    flagged : ndarray of bool, shape (ny, nx)
        Whether it is masked.
    x, y : ndarray of int, shape (n,)
        Brightest pixels, 0-based.

    Returns
    -------
    score : ndarray of float32, shape (n,)
        Probability that the detection is real: 1 less that of the mask.
    called_real : ndarray of bool, shape (n,)
        Whether the pixel is not masked.
    """
    return 1 - probability[y, x], ~flagged[y, x]


def figures_of(real: Bools, score: F32, called_real: Bools) -> Figures:
    """Measure scores and verdicts.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float32, shape (n,)
        Higher for more real. NaN for what has none, which takes no part in the AUC.
    called_real : ndarray of bool, shape (n,)

    Returns
    -------
    Figures
    """
    scored = np.isfinite(score)
    kept, let_in = rates_at(real, called_real.astype(float), 0.5)
    return Figures(int(real.sum()), int((~real).sum()), auc(real[scored], score[scored]), kept, let_in)


def summary_of(groups: Mapping[str, Figures]) -> dict[str, float]:
    """Return means over the groups that have both classes, each group counting once.

    Parameters
    ----------
    groups : mapping of str to Figures

    Returns
    -------
    dict
        ``groups``, ``auc``, ``lowest_auc``, ``kept``, ``let_in``.
    """
    both = [f for f in groups.values() if f.n_real and f.n_bogus]
    values = np.array([(f.auc, f.kept, f.let_in) for f in both]).reshape(-1, 3)
    mean = values.mean(axis=0) if both else np.full(3, math.nan)
    return {
        "groups": len(both),
        "auc": float(mean[0]),
        "lowest_auc": float(values[:, 0].min()) if both else math.nan,
        "kept": float(mean[1]),
        "let_in": float(mean[2]),
    }


def mosaic_of(cutouts: NDArray[np.generic]) -> tuple[F32, I64, I64]:
    """Lay cutouts beside each other, for tools that take images only.

    Each has its own median replaced by the median of all, so that there are few steps between them; the
    first ones are taken again to fill the last row.

    Parameters
    ----------
    cutouts : ndarray, shape (n, h, w)

    Returns
    -------
    image : ndarray of float32, shape (ny, nx)
    x, y : ndarray of int, shape (n,)
        Where the middle of each cutout lies, 0-based.
    """
    n, height, width = cutouts.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    levels = np.median(cutouts, axis=(1, 2), keepdims=True)
    even = (cutouts - levels + np.median(levels)).astype(np.float32)
    tiles = even[np.arange(rows * columns) % n].reshape(rows, columns, height, width)
    image = np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)).reshape(rows * height, columns * width)
    row, column = np.divmod(np.arange(n), columns)
    return image, column * width + width // 2, row * height + height // 2
