"""What may be the width of a frame where too little agrees to be sure.

A network that is shown cutouts for a width that is likely weighs what it sees in them; with another
width, stars look like hits to it. So it takes less evidence than a measurement, most of all where there
is little to see: on a small frame a few maxima are all.
"""

import numpy as np

from .agreement import ROUND, Group, usable
from .candidates import Candidates

#: A group may be of stars at this part of the evidence that it takes to be sure; if it is narrower than
#: so many pixels it needs more. Of 1000 simulated frames 47 without a measurement reach that: in 37 the
#: width is right within 40 %, and five are of hits alone. Of 13 real frames without stars one does.
_MAYBE, _NARROW, _MAYBE_NARROW = 0.15, 1.8, 0.6
#: Less where faint stars fill the image. On 200 simulated frames without stars about as many hits are
#: let in with 0.15 to 0.35; with 0.15 there are more of them on frames with stars.
_MAYBE_FAINT = 0.25
#: Less where so few maxima were fitted. Of pieces of 50 to 128 pixels, cut from real and simulated
#: frames, 32 of 1586 without stars reach it, and 204 of 3421 with stars, of which 165 show the right
#: width; and so do 8 of 400 whole frames without stars.
_FEW, _MAYBE_AMONG_FEW = 40, 0.1
#: Members that it takes. Two hits are alike by chance; but where two are alike and wider than that, in
#: two of these pieces without stars and in 347 with stars, they are stars.
_FEWEST, _FEWEST_WIDE = 3, 2
#: What is so wide in pixels, so bright and fits so well is no hit, even by itself: three of 747 pieces
#: without stars have one where no two maxima agree, and 248 of 958 with stars. Nine in ten of those of
#: real frames have the width of the stars.
_ALONE_WIDE, _ALONE_SNR, _ALONE_EXCESS = 2.2, 20.0, 0.04
_ABOVE_HITS = 1.15  # and so many times wider than the widest hits of an interpolated image


def likely_width(
    found: Candidates, group: Group | None, shows_faint_stars: bool, widest_hits: float = 0.0
) -> float | None:
    """Return the FWHM that stars of a frame may have.

    Parameters
    ----------
    found : Candidates
        Round profiles, fitted to the maxima of the frame.
    group : Group or None
        What agrees best among them, if it may be of stars.
    shows_faint_stars : bool
        Whether the sky is as faint stars make it.
    widest_hits : float
        FWHM in pixels of the widest hits of an interpolated image.

    Returns
    -------
    float or None
        Pixels; None where nothing says that there are stars.
    """
    if group is not None and _may_be_stars(group, len(found), shows_faint_stars):
        return group.fwhm
    least = max(_ALONE_WIDE, _ABOVE_HITS * widest_hits)
    alone = usable(found, ROUND) & (found.log_fwhm > np.log(least))
    alone &= (found.snr > _ALONE_SNR) & (found.excess < _ALONE_EXCESS)
    return float(np.exp(np.median(found.log_fwhm[alone]))) if alone.any() else None


def _may_be_stars(group: Group, n_fitted: int, shows_faint_stars: bool) -> bool:
    part = group.evidence / group.needed
    if group.fwhm >= _NARROW:
        return len(group.members) >= _FEWEST_WIDE and part >= _MAYBE
    if len(group.members) < _FEWEST:
        return False
    needed = _MAYBE_FAINT if shows_faint_stars else _MAYBE_NARROW
    return part >= (min(needed, _MAYBE_AMONG_FEW) if n_fitted < _FEW else needed)
