"""The stars of stamps, pooled: one stamp shows too few, those of one image together show enough."""

import logging
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..io.exposure import MEASURED, Exposure, Width
from ..io.header_width import header_fwhm
from ..model.spec import DEFAULT_FWHM
from .psf import measure_psf

log = logging.getLogger(__name__)

_GAP = 2  # pixels without data between stamps


def pooled_widths(stamps: Sequence[Exposure], images: Sequence[Hashable]) -> list[Width]:
    """Find the FWHM of each stamp's image.

    The stamps of one image are put side by side and measured as a frame is. Where they show too few
    stars, the median width of the other images is borrowed; failing that, what the stamp's header
    notes; failing that, 3 pixels are assumed.

    Parameters
    ----------
    stamps : sequence of Exposure, length n
    images : sequence of hashable, length n
        Equal for stamps of one image.

    Returns
    -------
    list of Width
        In the order of the stamps; ``source`` is ``measured``, ``borrowed``, ``header`` or ``assumed``.
    """
    members: dict[Hashable, list[int]] = {}
    for k, image in enumerate(images):
        members.setdefault(image, []).append(k)
    measured: dict[Hashable, Width] = {}
    for image, rows in members.items():
        found = measure_psf(_side_by_side([stamps[k] for k in rows]))
        if found.fwhm is not None:
            measured[image] = Width(
                float(found.fwhm), MEASURED, found.n_stars, found.n_fitted, stamp=found.stamp
            )
    lent = None
    if measured:
        median = float(np.median([width.fwhm for width in measured.values()]))
        lent = Width(median, "borrowed", n_frames=len(measured))
    if len(measured) < len(members):
        log.warning(
            "the stamps of %d of %d images show too few stars to measure a FWHM",
            len(members) - len(measured),
            len(members),
        )
    return [measured.get(image) or lent or _told(stamps[k]) for k, image in enumerate(images)]


def _told(stamp: Exposure) -> Width:
    noted = None if stamp.header is None else header_fwhm(stamp.header)
    return Width(DEFAULT_FWHM, "assumed") if noted is None else Width(noted[0], "header")


def _side_by_side(stamps: Sequence[Exposure]) -> NDArray[np.float32]:
    """Put stamps into one image, each less the median along its edge, with gaps of NaN."""
    height = max(stamp.shape[0] for stamp in stamps) + _GAP
    width = max(stamp.shape[1] for stamp in stamps) + _GAP
    across = int(np.ceil(np.sqrt(len(stamps))))
    down = -(-len(stamps) // across)
    image = np.full((down * height, across * width), np.nan, np.float32)
    for k, stamp in enumerate(stamps):
        pixels = stamp.pixels
        if stamp.mask is not None:
            pixels = np.where(stamp.mask, np.float32(np.nan), pixels)
        edge = np.concatenate([pixels[[0, -1]].ravel(), pixels[:, [0, -1]].ravel()])
        known = edge[np.isfinite(edge)]
        level = np.float32(np.median(known)) if known.size else np.float32(0)
        row, column = k // across * height, k % across * width
        image[row : row + stamp.shape[0], column : column + stamp.shape[1]] = pixels - level
    return image
