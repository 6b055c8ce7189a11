"""Stars that differ over the frame, as through a fish-eye lens: each ninth is measured by itself."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..io.exposure import Exposure, Width
from ..io.scratch import release
from .ninths import SIDE, area_of
from .psf import FramePsf, measure_psf, measured_width

_NINTHS = SIDE * SIDE
#: Difference of the widths of ninths, over the frame's, from which one star does not stand for all. It
#: stays below 0.27 on all frames of the validation set but that of a fish-eye lens, which has 0.67.
_VARIES = 0.3
_FEWEST = 8  # stars of a ninth
_FURTHEST = 2.0  # ratio of its FWHM and the frame's, or its inverse
#: Ninths with stars of their own that it takes where the whole frame has none. In 60 simulated frames
#: of hits only, and in five real ones, there is not one such ninth.
_MOST = 5
#: Confidence from which the stars of the whole frame are those that its ninths would show; and a lower
#: one, for frames on which so much of what is similarly wide agrees.
_SURE, _DOUBTFUL, _MOSTLY = 5.0, 2.0, 0.75
#: Below it, what they must differ by, and how much of what does not agree on the whole frame still does
#: not in the ninths: 0.45 to 0.55 of it in seven variants of a fish-eye lens's frame, 0.7 in others.
_DIFFERS, _BETTER = 0.2, 0.6
_FEWEST_FITTED = 10  # maxima of the whole frame; each is in four ninths at most


def width_of(exposure: Exposure, found: FramePsf) -> Width | None:
    """Return the width that a frame is scored with, with those of its ninths where they differ much.

    Where few maxima agree on the whole frame, because its stars differ so much, but those of five ninths
    or more do in each of them, the width of the frame is that of the ninth with the middle one. If
    the ninths are alike, they would agree on the whole frame too, if they were stars.

    Parameters
    ----------
    exposure : Exposure
    found : FramePsf
        What `rbinfer.measure.psf.measure_psf` found in it.

    Returns
    -------
    Width or None
        None where there are no stars. `regions` has nine widths, in the order of
        `rbinfer.measure.ninths.ninth_of`, each with what the maxima are like there: on the whole of
        such a frame few agree, and the stars would be taken for hits. A ninth with too few stars, or odd
        ones, has the width of the frame. None at all where one star stands for the frame.
    """
    whole = None if found.fwhm is None else measured_width(found)
    varies = found.variation > _VARIES
    is_doubtful = found.confidence < _SURE and found.n_fitted >= _FEWEST_FITTED
    is_doubtful &= found.confidence < _DOUBTFUL or found.agreement < _MOSTLY
    if not varies and not is_doubtful:
        return whole
    parts = _parts(exposure, 0 if varies else _MOST)
    of_ninths = _width_of_ninths(parts, found) if is_doubtful else None
    if of_ninths is not None:
        return of_ninths
    if whole is None or not varies:
        return whole
    return replace(whole, regions=tuple(_width(part, whole) for part in parts))


def _width_of_ninths(parts: list[FramePsf], found: FramePsf) -> Width | None:
    own = sorted(part.fwhm for part in parts if part.fwhm is not None and _has_stars(part))
    if len(own) < _MOST:
        return None
    middle = own[len(own) // 2]
    like = [fwhm for fwhm in own if _is_like(fwhm, middle)]
    if len(like) < _MOST or not _differ(like[-1] / middle - like[0] / middle, parts, found):
        return None
    width = next(measured_width(part) for part in parts if part.fwhm == middle and _has_stars(part))
    return replace(width, regions=tuple(_width(part, width) for part in parts))


def _differ(spread: float, parts: list[FramePsf], found: FramePsf) -> bool:
    """Whether ninths whose widths are spread so far have stars of their own."""
    if spread > _VARIES and found.confidence < _DOUBTFUL:
        return True
    of_ninths = float(np.median([part.agreement for part in parts if _has_stars(part)]))
    return spread > _DIFFERS and 1.0 - of_ninths < _BETTER * (1.0 - found.agreement)


def _parts(exposure: Exposure, needed: int) -> list[FramePsf]:
    """Measure the ninths, as long as so many of them may have stars."""
    parts: list[FramePsf] = []
    for ninth in range(_NINTHS):
        parts.append(measure_psf(_part(exposure, ninth)))
        release(exposure.pixels)
        if sum(_has_stars(part) for part in parts) + _NINTHS - len(parts) < needed:
            break
    return parts


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


def _has_stars(part: FramePsf) -> bool:
    return part.fwhm is not None and part.n_stars >= _FEWEST


def _is_like(fwhm: float, other: float) -> bool:
    return 1.0 / _FURTHEST < fwhm / other < _FURTHEST


def _width(part: FramePsf, whole: Width) -> Width:
    """Return the width of a ninth, or that of the frame where it has too few stars, or odd ones."""
    if part.fwhm is None or not _has_stars(part) or not _is_like(part.fwhm, whole.fwhm):
        return whole
    return measured_width(part)
