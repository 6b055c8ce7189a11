"""Does an image show the mosaic of a colour sensor's filters?"""

import numpy as np

from ..io.arrays import spread_over, values_at
from ..io.exposure import Exposure

_CELLS = 5_000  # of 2 x 2 pixels, spread over the image
#: Good cells; of fewer, noise alone looks like a mosaic.
_LEAST_CELLS = 256
_CLIP = 3.0  # sigma; beyond are stars and hits
#: The levels of the sky differ by more than this share of the noise. 77 images of a dozen cameras
#: without such filters reach 0.08, those of a DSLR under a bright sky 7.
_DIFFER = 0.5
#: Two filters on one diagonal, the green ones, differ by less than this share of the largest difference.
#: Columns that are read by two amplifiers in turn differ on both diagonals.
_GREEN = 0.15


def shows_mosaic(exposure: Exposure) -> bool:
    """Whether the sky has other levels in the four kinds of pixel, as behind RGGB filters.

    Where the sky is too dark to tell the filters apart, the answer is no.

    Parameters
    ----------
    exposure : Exposure

    Returns
    -------
    bool
    """
    ny, nx = exposure.shape
    y, x = spread_over((ny // 2, nx // 2), _CELLS)
    down, right = np.array([[0], [0], [1], [1]]), np.array([[0], [1], [0], [1]])
    cells = values_at(exposure.pixels, exposure.mask, 2 * y + down, 2 * x + right).astype(np.float64)
    cells = cells[:, np.isfinite(cells).all(axis=0)]
    if cells.shape[1] < _LEAST_CELLS:
        return False
    # Within a cell, a gradient of the sky or a star changes little.
    cells -= cells.mean(axis=0)
    off = np.abs(cells - np.median(cells, axis=1, keepdims=True))
    noise = 1.4826 * float(np.median(off))
    if noise == 0.0:
        return False
    is_sky = off < _CLIP * noise
    if not is_sky.any(axis=1).all():
        return False
    levels = np.average(cells, axis=1, weights=is_sky)
    largest = float(np.ptp(levels))
    diagonals = abs(levels[0] - levels[3]), abs(levels[1] - levels[2])
    return bool(largest > _DIFFER * noise and min(diagonals) < _GREEN * largest)
