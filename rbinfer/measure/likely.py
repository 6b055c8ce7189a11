"""What may be the width of a frame where too little agrees to be sure.

A network that is shown cutouts for a width that is likely weighs what it sees in them; with another
width, stars look like hits to it. So it takes less evidence than a measurement, most of all where there
is little to see: on a small frame a few maxima are all.
"""

import numpy as np
from numpy.typing import NDArray

from .agreement import ROUND, Group, usable
from .candidates import Candidates

Bools = NDArray[np.bool_]

#: A group may be of stars at this part of the evidence that it takes to be sure; if it is narrower than
#: so many pixels it needs more. Of 1000 simulated frames 47 without a measurement reach that: in 37 the
#: width is right within 40 %, and five are of hits alone. Of 13 real frames without stars one does.
_MAYBE, _NARROW, _MAYBE_NARROW = 0.15, 1.8, 0.6
#: Less where faint stars fill the image. On 200 simulated frames without stars about as many hits are
#: let in with 0.15 to 0.35; with 0.15 there are more of them on frames with stars.
_MAYBE_FAINT = 0.25
#: Less on images of so few pixels. Of pieces of 50 to 128 pixels along a side, cut from real and
#: simulated frames, 35 of 1586 without stars reach it, and 229 of 3421 with stars; 185 of these show
#: their width.
_SMALL, _MAYBE_SMALL = 200 * 200, 0.1
#: Members of a narrow group: two narrow hits are alike by chance. Two wider ones that are alike are in
#: two of these pieces without stars, and in 310 with stars.
_FEWEST_NARROW = 3
#: Where no three agree, one that is between these widths in pixels, so bright, and fits so well with so
#: round a shape is no hit: three of 1502 pieces without stars have one, and 244 of 1312 with stars. It
#: has their width in 215. What is wider may be of the sky; tracks of particles are longer.
_ALONE_FWHM, _ALONE_SNR, _ALONE_EXCESS, _ALONE_SHAPE = (2.2, 12.0), 20.0, 0.04, 0.3


def likely_width(
    found: Candidates,
    group: Group | None,
    shape: tuple[int, ...],
    shows_faint_stars: bool = False,
    wider_than: float = 0.0,
) -> float | None:
    """Return the FWHM that stars of a frame may have.

    Parameters
    ----------
    found : Candidates
        Round profiles, fitted to the maxima of the frame, without those along trails.
    group : Group or None
        What agrees best among them, if it is not known to be of hits.
    shape : tuple of int
        Of the frame, pixels.
    shows_faint_stars : bool
        Whether the sky is as faint stars make it.
    wider_than : float
        FWHM in pixels that a single maximum must have: on an interpolated image, more than hits.

    Returns
    -------
    float or None
        Pixels: of the group, if it may be of stars. Where no three agree, of the narrowest maximum that
        is like no hit: galaxies and blends are wider than stars. None where nothing says that there are
        any.
    """
    is_small = shape[0] * shape[1] <= _SMALL
    if group is not None and _may_be_stars(group, is_small, shows_faint_stars):
        return group.fwhm
    if group is not None and len(group.members) >= _FEWEST_NARROW:
        return None
    alone = found[_is_like_no_hit(found, wider_than)]
    return float(np.exp(alone.log_fwhm.min())) if len(alone) else None


def _may_be_stars(group: Group, is_small: bool, shows_faint_stars: bool) -> bool:
    part = group.evidence / group.needed
    if group.fwhm >= _NARROW:
        return part >= _MAYBE
    needed = _MAYBE_FAINT if shows_faint_stars else _MAYBE_NARROW
    return len(group.members) >= _FEWEST_NARROW and part >= (_MAYBE_SMALL if is_small else needed)


def _is_like_no_hit(found: Candidates, wider_than: float) -> Bools:
    narrowest, widest = _ALONE_FWHM
    fwhm = np.exp(found.log_fwhm)
    is_it = usable(found, ROUND) & (fwhm > max(narrowest, wider_than)) & (fwhm < widest)
    is_it &= (found.snr > _ALONE_SNR) & (found.excess < _ALONE_EXCESS)
    is_it &= np.hypot(*found.shape.T) < _ALONE_SHAPE
    return is_it
