"""Where a detection's cutout is centred when the catalogue names its brightest pixel.

A detection that is several objects in one has its centroid between them. What it was found by is its
brightest pixel: if that is a cosmic ray in the wing of a star, a window about the centroid may not even
show it in the middle.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The brightest pixel must stand above the pixels at the centroid by this share of its height.
_CLEARLY = 0.1
_SAMPLE = 50_000


def centres(
    image: NDArray[np.float32],
    x: Floats,
    y: Floats,
    xpeak: Floats,
    ypeak: Floats,
    reach: float,
    saturation: float | None = None,
) -> tuple[Floats, Floats]:
    """Move positions to the brightest pixel of their detection, where that is another place.

    A position stays where it is when its brightest pixel is unknown, off the image or further than
    `reach` away along an axis, when it is saturated (on a plateau any pixel may be the brightest), or
    when the 3 x 3 pixels at the position are about as bright.

    Parameters
    ----------
    image : ndarray of float32, shape (height, width)
    x, y : ndarray of float64, shape (n,)
        0-based positions in pixels.
    xpeak, ypeak : ndarray of float64, shape (n,)
        0-based brightest pixels; NaN where unknown.
    reach : float
        Pixels.
    saturation : float, optional
        Level at or above which a pixel is saturated.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
    """
    height, width = image.shape
    with np.errstate(invalid="ignore"):  # NaN compares false
        near = (np.abs(xpeak - x) <= reach) & (np.abs(ypeak - y) <= reach)
    near &= (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    near &= (xpeak >= 0) & (xpeak <= width - 1) & (ypeak >= 0) & (ypeak <= height - 1)
    rows = np.flatnonzero(near)
    if len(rows) == 0:
        return x, y
    px, py = np.rint(xpeak[rows]).astype(np.int64), np.rint(ypeak[rows]).astype(np.int64)
    cx, cy = np.rint(x[rows]).astype(np.int64), np.rint(y[rows]).astype(np.int64)
    peak = image[py, px]
    here = np.full(len(rows), -np.inf, np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            at = np.clip(cy + dy, 0, height - 1), np.clip(cx + dx, 0, width - 1)
            here = np.fmax(here, image[at])
    # The level of the whole image is good enough to say what a tenth of a peak is.
    sample = image.ravel()[:: max(1, image.size // _SAMPLE)]
    sample = sample[np.isfinite(sample)]
    if len(sample) == 0:
        return x, y
    level = np.float32(np.median(sample))
    with np.errstate(invalid="ignore", over="ignore"):
        moved = peak - here > _CLEARLY * (peak - level)
        moved &= peak > level
        if saturation is not None:
            moved &= peak < saturation
    x, y = x.copy(), y.copy()
    x[rows[moved]], y[rows[moved]] = px[moved], py[moved]
    return x, y
