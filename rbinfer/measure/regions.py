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
#: Ninths with stars of their own that it takes where the whole frame is in doubt.
_MOST = 5
#: The whole frame is in doubt below the first confidence; and below the second, if less than such a
#: part of what is similarly wide agrees.
_DOUBTFUL, _SURE, _MOSTLY = 2.0, 5.0, 0.75
#: Where it is, the widths of its ninths may also differ by this only, if what does not agree in them is
#: less than such a part of what does not on the frame. It is 0.45 to 0.55 in seven variants of a
#: fish-eye lens's frame, and 0.7 in a deep field of galaxies. It is seen after so many with stars.
_DIFFERS, _BETTER, _SEEN = 0.2, 0.6, 3
_AGREE = 3  # maxima, of which one or two say nothing about ninths
_FEWEST_FITTED = 10  # maxima of the whole frame; each is in four ninths at most


def width_of(exposure: Exposure, found: FramePsf) -> Width | None:
    """Return the width that a frame is scored with, with those of its ninths where they differ much.

    Where few maxima agree on the whole frame, because its stars differ so much, but those of five ninths
    or more do in each of them, the width of the frame is that of the ninth with the middle one. If
    the ninths are alike, they would agree on the whole frame too, if they were stars. So they have to
    differ much; or less, if far more of the maxima agree in them.

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
    may_be_stars = found.fwhm is not None or (found.likely_fwhm is not None and found.n_stars >= _AGREE)
    is_doubtful = found.confidence < _SURE and found.n_fitted >= _FEWEST_FITTED and may_be_stars
    is_doubtful &= found.confidence < _DOUBTFUL or found.agreement < _MOSTLY
    if not varies and not is_doubtful:
        return whole
    parts = _parts(exposure, None if varies else found)
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
    return spread > _DIFFERS and _agree_better(parts, found)


def _agree_better(parts: list[FramePsf], found: FramePsf) -> bool:
    """Whether far more of the maxima agree in ninths with stars than on the whole frame."""
    odd = [1.0 - min(part.agreement, 1.0) for part in parts if _has_stars(part)]
    return bool(np.median(odd) < _BETTER * (1.0 - min(found.agreement, 1.0)))


def _parts(exposure: Exposure, found: FramePsf | None) -> list[FramePsf]:
    """Measure the ninths; if the whole frame is in doubt, as long as they may count."""
    parts: list[FramePsf] = []
    for ninth in range(_NINTHS):
        parts.append(measure_psf(_part(exposure, ninth)))
        release(exposure.pixels)
        if found is not None and _are_hopeless(parts, found):
            break
    return parts


def _are_hopeless(parts: list[FramePsf], found: FramePsf) -> bool:
    with_stars = sum(_has_stars(part) for part in parts)
    if with_stars + _NINTHS - len(parts) < _MOST:
        return True
    return found.confidence >= _DOUBTFUL and with_stars >= _SEEN and not _agree_better(parts, found)


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
