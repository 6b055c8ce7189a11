"""Where a detection's cutout is centred when the catalogue names its brightest pixel.

A detection that is several objects in one has its centroid between them. What it was found by is its
brightest pixel: if that is a cosmic ray in the wing of a star, a window about the centroid may not even
show it in the middle.
"""

import numpy as np
from numpy.typing import NDArray

from ..io.arrays import median, noise_between, spread_over, values_at
from ..io.exposure import Exposure
from ..model.spec import DEFAULT_FWHM

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The brightest pixel must stand above the pixels at the centroid by this share of its height.
_CLEARLY = 0.1
#: What stands above its surroundings by so many sigma at the centroid is an object of its own.
_OBJECT = 5.0
#: Above this share of the brightest pixel's height it is what the detection is about.
_SHARE = 0.6
_RING = 12
_SAMPLE = 50_000
_ROWS = 1 << 16  # that are looked at together: each takes a kilobyte


def centres(
    exposure: Exposure, x: Floats, y: Floats, xpeak: Floats, ypeak: Floats, reach: float
) -> tuple[Floats, Floats]:
    """Move positions to the brightest pixel of their detection, where that is another place.

    A position stays where it is when its brightest pixel is unknown, bad, off the image or further than
    `reach` away along an axis; when it is saturated (on a plateau any pixel may be the brightest); when
    the 3 x 3 pixels at the position are about as bright; and when there is an object at the position
    itself that is not much lower: it would have been detected without the brighter pixel at its rim.

    Parameters
    ----------
    exposure : Exposure
        With the width of its stars.
    x, y : ndarray of float64, shape (n,)
        0-based positions in pixels.
    xpeak, ypeak : ndarray of float64, shape (n,)
        0-based brightest pixels; NaN where unknown.
    reach : float
        Pixels.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
    """
    height, width = exposure.shape
    with np.errstate(invalid="ignore"):  # NaN compares false
        near = (np.abs(xpeak - x) <= reach) & (np.abs(ypeak - y) <= reach)
    near &= (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    near &= (xpeak >= 0) & (xpeak <= width - 1) & (ypeak >= 0) & (ypeak <= height - 1)
    rows = np.flatnonzero(near)
    # The pixels that the kernels take: np.rint would round halves to even.
    px, py, cx, cy = (np.floor(place[rows] + 0.5).astype(np.int64) for place in (xpeak, ypeak, x, y))
    # Of most the brightest pixel is among the 3 x 3 at the position: these are as bright.
    apart = np.flatnonzero(np.maximum(np.abs(px - cx), np.abs(py - cy)) > 1)
    rows, px, py, cx, cy = (each[apart] for each in (rows, px, py, cx, cy))
    if len(rows) == 0:
        return x, y
    level, noise = _level_and_noise(exposure.pixels, exposure.mask)
    if level is None:
        return x, y
    moved = np.zeros(len(rows), np.bool_)
    for first in range(0, len(rows), _ROWS):
        part = slice(first, first + _ROWS)
        moved[part] = _is_elsewhere(exposure, level, noise, px[part], py[part], cx[part], cy[part])
    x, y = x.copy(), y.copy()
    x[rows[moved]], y[rows[moved]] = px[moved], py[moved]
    return x, y


def _is_elsewhere(
    exposure: Exposure,
    level: np.float32,
    noise: np.float32,
    px: Ints,
    py: Ints,
    cx: Ints,
    cy: Ints,
) -> NDArray[np.bool_]:
    """Tell of brightest pixels whether they are other objects than those at the centroids."""
    image, mask, saturation = exposure.pixels, exposure.mask, exposure.saturation
    fwhm = DEFAULT_FWHM if exposure.fwhm is None else exposure.fwhm
    peak = values_at(image, mask, py, px)
    dy, dx = (d.reshape(9, 1) for d in np.mgrid[-1:2, -1:2])
    here = np.fmax.reduce(values_at(image, mask, cy + dy, cx + dx), axis=0)
    angle = 2 * np.pi * np.arange(_RING)[:, np.newaxis] / _RING
    radius = max(0.75 * fwhm, 2.0)
    ring = values_at(
        image,
        mask,
        cy + np.rint(radius * np.sin(angle)).astype(np.int64),
        cx + np.rint(radius * np.cos(angle)).astype(np.int64),
    )
    ring.sort(axis=0)  # NaN last
    # All but a quarter lie lower: a hit at the rim covers less of the ring, a slope more.
    around = ring[3 * _RING // 4]
    with np.errstate(invalid="ignore", over="ignore"):
        moved: NDArray[np.bool_] = (peak > level) & ~(peak - here <= _CLEARLY * (peak - level))
        moved &= ~(here - around > np.maximum(_OBJECT * noise, _SHARE * (peak - level)))
        if saturation is not None:
            moved &= peak < saturation
    return moved


def brightest_near(exposure: Exposure, x: float, y: float, reach: int) -> tuple[int, int]:
    """Return the pixel that the kernels centre a cutout on.

    Parameters
    ----------
    exposure : Exposure
    x, y : float
        0-based position in pixels, on the image.
    reach : int
        Of `rbinfer.model.spec.PreprocessSpec.recentre`.

    Returns
    -------
    x, y : int
        The brightest good pixel up to so many columns and rows from that of the position, of equally
        bright ones the nearest; that of the position without one.
    """
    column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    dy, dx = (d.ravel() for d in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    values = values_at(exposure.pixels, exposure.mask, row + dy, column + dx)
    if not np.isfinite(values).any():
        return column, row
    k = np.lexsort((dy**2 + dx**2, -np.nan_to_num(values, nan=-np.inf)))[0]
    return column + int(dx[k]), row + int(dy[k])


def _level_and_noise(
    image: NDArray[np.float32], mask: NDArray[np.bool_] | None
) -> tuple[np.float32 | None, np.float32]:
    """Level of the whole image and noise of its pixels from those side by side; None without any."""
    y, x = spread_over(image.shape, _SAMPLE)
    here, right = values_at(image, mask, y, np.stack([x, x + 1]))
    values = here[np.isfinite(here)]
    if len(values) == 0:
        return None, np.float32(0)
    return np.float32(median(values)), np.float32(noise_between(here, right))
