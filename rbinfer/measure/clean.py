"""A frame made ready to be measured: its bad pixels are marked."""

import numpy as np
from numpy.typing import NDArray

from ..io.scratch import copy_of
from ..kernels.constants import LARGEST
from .layers import Layer

Pixels = NDArray[np.float32]


def cleaned(pixels: Pixels, mask: NDArray[np.bool_] | None) -> Layer:
    """Mark bad pixels.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels, and in areas without data.

    Returns
    -------
    Layer
        NaN where bad; of `pixels` itself where nothing had to be changed.
    """
    layer = Layer(pixels)
    image = _marked(layer, mask)
    return layer if image is pixels else Layer(image)


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
