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
#: Ninths with stars of their own that it takes where the whole frame has none. In 60 simulated frames
#: of hits only, and in five real ones, there is not one such ninth.
_MOST = 5
#: Confidence from which the stars of the whole frame are those that its ninths would show.
_SURE = 2.0


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
    return tuple(_width(part, whole) for part in _parts(exposure))


def width_of_ninths(exposure: Exposure, found: FramePsf) -> Width | None:
    """Measure a frame on the whole of which few stars agree, because they differ so much.

    Parameters
    ----------
    exposure : Exposure
    found : FramePsf
        What `rbinfer.measure.psf.measure_psf` found in it.

    Returns
    -------
    Width or None
        That of the ninth with the middle FWHM, with those of all nine as `regions`. None where the whole
        frame leaves no doubt, where fewer than five ninths have stars of their own, and where those are
        alike: then they would agree on the whole frame too, if they were stars.
    """
    if found.confidence >= _SURE or (found.fwhm is None and found.likely_fwhm is None):
        return None
    parts = _parts(exposure)
    own = sorted((part for part in parts if _has_stars(part)), key=lambda part: part.fwhm or 0.0)
    if len(own) < _MOST:
        return None
    least, middle, largest = (measured_width(own[k]) for k in (0, len(own) // 2, -1))
    if not largest.fwhm - least.fwhm > _VARIES * middle.fwhm:
        return None
    return replace(middle, regions=tuple(_width(part, middle) for part in parts))


def _parts(exposure: Exposure) -> list[FramePsf]:
    return [measure_psf(_part(exposure, ninth)) for ninth in range(SIDE * SIDE)]


def _has_stars(part: FramePsf) -> bool:
    return part.fwhm is not None and part.n_stars >= _FEWEST


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


def _width(part: FramePsf, whole: Width) -> Width:
    """Return the width of a ninth, or that of the frame where it has too few stars, or odd ones."""
    if part.fwhm is None or not _has_stars(part):
        return whole
    is_like = 1.0 / _FURTHEST < part.fwhm / whole.fwhm < _FURTHEST
    return measured_width(part) if is_like else whole
