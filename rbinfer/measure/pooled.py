"""The stars of stamps, pooled: one stamp shows too few, those of one image together show enough."""

import logging
import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..io.exposure import Exposure, Width
from ..io.header_width import header_fwhm
from .estimate import assumed_width
from .psf import FramePsf, measure_psf, measured_width

log = logging.getLogger(__name__)

_GAP = 2  # pixels without data between stamps
_MOST = 2_000  # stamps of one image that are measured together


def pooled_widths(
    stamps: Sequence[Exposure], images: Sequence[Hashable], given: Sequence[float] | None = None
) -> list[Width]:
    """Find the FWHM of each stamp's image, and what its stars are like.

    The stamps of one image, 2,000 of them at most, are put side by side and measured as a frame is.
    Where they show too few stars, the median width of the other images is borrowed; failing that, what
    the stamp's header notes; failing that, what is likely, or 3 pixels. A FWHM that is given stays; the
    star is measured all the same where an image has several stamps.

    Parameters
    ----------
    stamps : sequence of Exposure, length n
    images : sequence of hashable, length n
        Equal for stamps of one image.
    given : sequence of float, length n, optional
        FWHM in pixels, NaN where it is not given.

    Returns
    -------
    list of Width
        In the order of the stamps; ``source`` is ``given``, ``measured``, ``borrowed``, ``header`` or
        ``assumed``.
    """
    known = [float("nan")] * len(stamps) if given is None else [float(fwhm) for fwhm in given]
    members: dict[Hashable, list[int]] = {}
    for k, image in enumerate(images):
        members.setdefault(image, []).append(k)
    unknown = {image for image, fwhm in zip(images, known, strict=True) if math.isnan(fwhm)}
    found: dict[Hashable, FramePsf] = {}
    for image, rows in members.items():
        if image in unknown or len(rows) > 1:
            found[image] = measure_psf(_side_by_side([stamps[k] for k in _some(rows)]))
    measured = {image: measured_width(psf) for image, psf in found.items() if psf.fwhm is not None}
    lent = None
    if measured:
        median = float(np.median([width.fwhm for width in measured.values()]))
        lent = Width(median, "borrowed", n_frames=len(measured))
    missing = unknown - measured.keys()
    if missing:
        log.warning(
            "the stamps of %d of %d images show too few stars to measure a FWHM",
            len(missing),
            len(unknown),
        )
    return [
        (measured.get(image) or _not_measured(stamps[k], found[image], lent))
        if math.isnan(known[k])
        else _given(known[k], found.get(image))
        for k, image in enumerate(images)
    ]


def _some(rows: list[int]) -> list[int]:
    """Return rows here and there: of thousands, some show the star as well as all do."""
    return rows[:: -(-len(rows) // _MOST)]


def _given(fwhm: float, found: FramePsf | None) -> Width:
    if found is None:
        return Width(fwhm, "given")
    return Width(fwhm, "given", stamp=found.stamp, population=found.population, measured_fwhm=found.fwhm)


def _not_measured(stamp: Exposure, found: FramePsf, lent: Width | None) -> Width:
    if lent is not None:
        return replace(lent, population=found.population)
    noted = None if stamp.header is None else header_fwhm(stamp.header)
    if noted is None:
        return replace(assumed_width(found), note="")
    return Width(noted[0], "header", population=found.population)


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
