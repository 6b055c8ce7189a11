"""Stars that differ over the frame, as through a fish-eye lens: each ninth is measured by itself."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..io.exposure import Exposure, Width
from .ninths import SIDE, area_of
from .psf import FramePsf, measure_psf, measured_width

#: Difference of the widths of ninths, over the frame's, from which one star does not stand for all. It
#: stays below 0.27 on all frames of the validation set but that of a fish-eye lens, which has 0.67.
_VARIES = 0.3
_FEWEST = 8  # stars of a ninth
_FURTHEST = 2.0  # ratio of its FWHM and the frame's, or its inverse


def widths_by_ninth(exposure: Exposure, found: FramePsf) -> tuple[Width, ...]:
    """Measure the stars of each ninth of a frame, where they differ much.

    Parameters
    ----------
    exposure : Exposure
    found : FramePsf
        What `rbinfer.measure.psf.measure_psf` found in it, with a FWHM.

    Returns
    -------
    tuple of Width
        Nine, in the order of `rbinfer.measure.ninths.ninth_of`, each with what the maxima are like
        there: on the whole of such a frame few agree, and the stars would be taken for hits. That of the
        frame for a ninth with too few stars. None at all where one star stands for the frame.
    """
    if not found.variation > _VARIES:
        return ()
    whole = measured_width(found)
    return tuple(_width(_part(exposure, ninth), whole) for ninth in range(SIDE * SIDE))


def _part(exposure: Exposure, ninth: int) -> Exposure:
    area = area_of(ninth, exposure.shape)

    def taken(plane: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        return plane[area] if plane is not None and plane.size else plane

    return replace(
        exposure,
        pixels=np.ascontiguousarray(exposure.pixels[area]),
        mask=taken(exposure.mask),
        no_data=taken(exposure.no_data),
    )


def _width(part: Exposure, whole: Width) -> Width:
    found = measure_psf(part)
    if found.fwhm is None or found.n_stars < _FEWEST:
        return whole
    ratio = found.fwhm / whole.fwhm
    if not 1.0 / _FURTHEST < ratio < _FURTHEST:
        return whole
    return measured_width(found)
