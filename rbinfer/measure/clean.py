"""A frame made ready to be measured: bad pixels marked, colours levelled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io.scratch import bands, copy_of
from ..kernels.constants import LARGEST
from .layers import Layer

Pixels = NDArray[np.float32]

_VALUES = 4  # that missing pixels may have
_MISSING = 0.5  # share of the pixels of other areas that have no data, at most
_ROWS = 24  # rows that are looked at for a colour filter array, each with the next
_DIFFERENT = 0.5  # in units of the noise: levels of colours
_SAME = 0.35  # of the largest difference of levels: those of the green pixels


@dataclass(frozen=True)
class CleanFrame:
    """A frame ready to be measured.

    Attributes
    ----------
    layer : Layer
        NaN where bad.
    is_mosaic : bool
        Its pixels have filters of several colours, in squares of 2 x 2 with two green ones on one
        diagonal; the sky has been made equal in all.
    """

    layer: Layer
    is_mosaic: bool

    @property
    def image(self) -> Pixels:
        """The pixels of the layer."""
        return self.layer.image


def cleaned(pixels: Pixels, mask: NDArray[np.bool_] | None) -> CleanFrame:
    """Mark bad pixels and level the colours of a filter array.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels, and in areas without data.

    Returns
    -------
    CleanFrame
        Its image is `pixels` itself where nothing had to be changed.
    """
    layer = Layer(pixels)
    image = _marked(layer, mask)
    levels, noise = _levels(image)
    if not np.ptp(levels) > _DIFFERENT * noise:
        return CleanFrame(layer if image is pixels else Layer(image), False)
    if image is pixels:
        image = copy_of(pixels)
    for rows in bands(image):
        for j, i in np.ndindex(2, 2):
            part = image[rows][(j - rows.start) % 2 :: 2, i::2]
            part -= np.float32(levels[j, i] - levels.mean())
    apart = np.abs(levels[[0, 0], [0, 1]] - levels[[1, 1], [1, 0]])
    return CleanFrame(Layer(image), bool(apart.min() < _SAME * np.ptp(levels) and apart.max() > 0))


def _marked(layer: Layer, mask: NDArray[np.bool_] | None) -> Pixels:
    if mask is not None and not mask.any():
        mask = None
    if mask is None and layer.is_good:
        return layer.image

    def mark(part: Pixels, rows: slice) -> None:
        # NaN compares false.
        np.copyto(part, np.float32(np.nan), where=~(np.abs(part) < LARGEST))
        if mask is not None:
            np.copyto(part, np.float32(np.nan), where=mask[rows])

    return copy_of(layer.image, mark)


def _levels(image: Pixels) -> tuple[NDArray[np.float64], float]:
    """Return the sky of the pixels of each square of 2 x 2, from the first, and the noise."""
    ny, nx = (n // 2 * 2 for n in image.shape)
    step = max(2, ny // _ROWS // 2 * 2)
    upper, lower = image[0:ny:step, :nx], image[1:ny:step, :nx]
    n = min(len(upper), len(lower))
    first = upper[:n, 0::2]
    levels = np.zeros((2, 2))
    noise = np.inf
    for j, i, values in ((0, 1, upper[:n, 1::2]), (1, 0, lower[:n, 0::2]), (1, 1, lower[:n, 1::2])):
        apart = (values - first).ravel()
        apart = apart[np.isfinite(apart)]
        if len(apart) < 16:
            return np.zeros((2, 2)), 1.0
        low, middle, high = np.percentile(apart, (16, 50, 84))
        levels[j, i] = middle
        noise = min(noise, float(high - low) / 2.0 / np.sqrt(2.0))
    return levels, noise
