"""The frame's own star on the grid of the cutouts."""

import numpy as np
from numpy.typing import NDArray

from ..model.spec import PreprocessSpec


def star_on_grid(
    stamp: NDArray[np.float32], pixel: float, spec: PreprocessSpec, fwhm: float
) -> NDArray[np.float32]:
    """Bring a star to the scale at which cutouts are made.

    Where the frame's stars are narrower or wider than the width that it is cut with, so is this one.

    Parameters
    ----------
    stamp : ndarray of float32, shape (m, m)
        As `rbinfer.measure.psf.FramePsf.stamp`, with the star on the middle pixel.
    pixel : float
        Side of its pixels in pixels of the frame.
    spec : PreprocessSpec
    fwhm : float
        FWHM that the frame is cut with, pixels.

    Returns
    -------
    ndarray of float32, shape (size, size)
        Its maximum is 1; zeros beyond the stamp.
    """
    offsets = (np.arange(spec.size, dtype=np.float64) - spec.size // 2) * (fwhm / spec.target_fwhm)
    weights = _cubic(offsets / pixel + len(stamp) // 2, len(stamp))
    star = weights @ stamp @ weights.T
    top = float(star.max())
    return np.asarray(star / top if top > 0 else star, np.float32)


def star_at(
    stamp: NDArray[np.float32], pixel: float, shape: tuple[int, ...], x: float, y: float
) -> NDArray[np.float64]:
    """Draw a star at a place of a frame, by cubic interpolation of its stamp.

    Parameters
    ----------
    stamp, pixel
        As for `star_on_grid`.
    shape : (int, int)
        Rows and columns of what is drawn on.
    x, y : float
        Centre of the star, 0-based pixels.

    Returns
    -------
    ndarray of float64, shape `shape`
        1 at the centre of the star; zeros beyond the stamp.
    """
    middle = len(stamp) // 2
    by_y, by_x = (
        _cubic((np.arange(n) - at) / pixel + middle, len(stamp))
        for n, at in zip(shape, (y, x), strict=True)
    )
    star: NDArray[np.float64] = by_y @ stamp.astype(np.float64) @ by_x.T
    return star


def _cubic(places: NDArray[np.floating], n: int) -> NDArray[np.float64]:
    """Weights (m, n) of n samples at places: cubic convolution with a = -1/2 (Keys 1981)."""
    away = np.abs(places[:, None] - np.arange(n))
    near = (1.5 * away - 2.5) * away**2 + 1.0
    far = ((2.5 - 0.5 * away) * away - 4.0) * away + 2.0
    return np.where(away <= 1.0, near, np.where(away < 2.0, far, 0.0))
