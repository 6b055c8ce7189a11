"""Old place of `rbinfer.io.maps`, for one release."""

import warnings

from .io.maps import place_of, read_map
from .io.mask_planes import bad_pixels

__all__ = ["bad_pixels", "place_of", "read_map"]

warnings.warn(
    "rbinfer.maps has moved to rbinfer.io.maps; the old name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)
