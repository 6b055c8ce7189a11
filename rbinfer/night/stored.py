"""The detections of a block on disk, sorted as merging reads them."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .bands import Bands, RowFile
from .rows import ROW
from .sources import Block

#: A detection of a block: its number there, what it is a repeat of on the detector (-1 for nothing), and
#: how many frames repeat it, as of `rbinfer.night.detector.Standing`.
ITEM = np.dtype([*ROW.descr, ("index", np.int64), ("standing", np.int32), ("repeats", np.int32)])
#: Sources are gathered together with all that lies within so many radii of them, and so many FWHM. To
#: which source a row belongs depends on those around it, and hardly on what is three sources away; a
#: source reaches no further than four radii from the row it began with, and no track begins near a star.
_RADII, _WIDTHS = 8.0, 1.5


class Stored:
    """The rows of a block; a context manager.

    Parameters
    ----------
    folder : Path
        On whose disk they lie.
    block : Block
    n_standing : int
        How many places stand on its detector.

    Attributes
    ----------
    folder : Path
    sky : Bands of `ITEM`
        Across the plane of the field: rows of nothing that stands on the detector, and those that look
        real where something does.
    detector : Bands of `ITEM`
        Rows of what stands on the detector, by its number.
    """

    def __init__(self, folder: Path, block: Block, n_standing: int) -> None:
        self.folder, self._open = folder, ExitStack()
        self._all = self._open.enter_context(RowFile(folder, ROW))
        width = block.fwhm if np.isfinite(block.fwhm) else 0.0
        margin = _RADII * block.radius + _WIDTHS * width
        sky = Bands(folder, ITEM, "v", _span(block), block.n_rows, margin)
        self.sky = self._open.enter_context(sky)
        detector = Bands(folder, ITEM, "standing", (0, n_standing), block.n_rows)
        self.detector = self._open.enter_context(detector)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.close()

    def add(self, rows: NDArray[Any], standing: NDArray[np.int32], repeats: NDArray[np.int32]) -> None:
        """Add the rows of a frame."""
        items = np.zeros(len(rows), ITEM)
        for name in ROW.names or ():
            items[name] = rows[name]
        items["index"] = np.arange(len(self._all), len(self._all) + len(rows))
        items["standing"], items["repeats"] = standing, repeats
        self._all.add(rows)
        self.sky.add(items[(standing < 0) | rows["real"]])
        self.detector.add(items[standing >= 0])

    def read(self, part: slice) -> NDArray[Any]:
        """Return rows of `ROW` in the order in which they came."""
        return self._all.read(part)


def _span(block: Block) -> tuple[float, float]:
    """Return where frames lie on the plane, across it."""
    edges = [
        cover.affine(np.array([0.0, nx, 0.0, nx]), np.array([0.0, 0.0, ny, ny]))[1]
        for cover in block.covers
        for ny, nx in [cover.shape]
    ]
    return (float(np.min(edges)), float(np.max(edges))) if edges else (0.0, 1.0)
