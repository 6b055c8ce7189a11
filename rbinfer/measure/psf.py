"""What a star looks like in a frame, from the pixels alone: no catalogue is asked."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.exposure import MEASURED, Exposure, Width, as_exposure
from .agreement import LONG, ODD, ROUND, Group, Rules, largest_group
from .candidates import Candidates, Pyramid, measure_ellipses, measure_round
from .clean import cleaned
from .even import evened
from .grain import Grain, grain_of
from .likely import likely_width
from .lines import MOST_ON_LINE, is_close, line_through_most, needed_on_line
from .maxima import RADIUS
from .mean_star import average_stars
from .ninths import SIDE, ninth_of
from .population import population_of
from .streaks import fit_streaks

Floats = NDArray[np.float64]

#: FWHM in pixels below which stars and single hot pixels are hard to tell apart.
_AMBIGUOUS = 0.9
_FEWEST_IN_REGION = 5
_FEWEST_BY_BRIGHTNESS = 10
_FEWEST_STREAKS = 5
_STREAK = 2.0  # ratio of the axes
_ALONG = 0.8  # part of their shape that is that of other fits of the same streaks, at least
_MOST_TRAILS = 3  # over a frame
_LEAST_TRAIL, _TRAIL = 1.5, 0.12  # how far pieces are from the middle of one: pixels, and FWHM
_BESIDE = 4.0  # so many times as far nothing is asked
_APART = 3.0  # standard errors
#: On a grid much finer than the detector's, groups of hits are so many times as wide as a single pixel.
#: Those of two or three pixels are the widest. A narrower group shows that hits are not so wide. On a
#: grid that is hardly finer, undersampled stars are 1.2 times as wide and more, so only narrower groups
#: show hits there; but where they do, what is as wide as hits of two pixels is left out too.
_HITS, _HITS_HARDLY_FINER = (0.85, 1.4), (0.84, 1.15)
_WELL_ABOVE = 1.15  # so many times wider than hits are stars, and not what is left of them
_NONE, _TOO_FEW = "no stars found", "of {} local maxima fitted fewer than three agree"
_WIDEST_HITS = 5.0  # FWHM in pixels of the image that are looked at


@dataclass(frozen=True)
class _Hits:
    """Single pixels of the detector, as an interpolated image has them.

    Attributes
    ----------
    widest : float
        FWHM in pixels of the widest; 0 where the image is not interpolated.
    agree : bool
        A group is as wide as they are.
    are_left_out : bool
        Only what is wider is looked at.
    """

    widest: float = 0.0
    agree: bool = False
    are_left_out: bool = False


@dataclass(frozen=True, eq=False)
class FramePsf:
    """What `measure_psf` found.

    Attributes
    ----------
    fwhm : float or None
        FWHM in pixels of the round Gaussian that, integrated over the pixels, fits the stars best; for
        streaks that of equal area. None where too little agrees to be stars.
    reason : str
        Why there is no measurement, in a sentence, or what to beware of; else empty.
    n_stars : int
        Maxima that agree.
    n_fitted : int
        Maxima that were fitted.
    agreement : float
        Share of those that agree among all of similar width.
    confidence : float
        Evidence for stars over what it takes: 1 and more where there is a measurement.
    scatter : float
        Relative scatter of the widths beyond the noise of the fits and a smooth change over the frame;
        NaN without a measurement.
    fwhm_bright, fwhm_faint : float or None
        The same of the brighter and the fainter half of the stars, pixels; None where the halves do not
        differ.
    ellipticity : float
        ``1 - b / a`` of the mean star; NaN without a measurement.
    theta : float
        Angle of its long axis from the x axis towards the y axis, radians; NaN without a measurement.
    stamp : ndarray of float32, shape (31, 31), or None
        The mean star on the grid of the networks' cutouts, 3 pixels wide; its maximum is 1.
    stamp_scatter : ndarray of float32, shape (31, 31), or None
        Root mean square of how the stars differ from it, noise included.
    regions : ndarray of float32, shape (3, 3), or None
        FWHM in pixels in ninths of the frame, rows from y = 0 upwards; NaN where fewer than 5 stars are.
    variation : float
        Largest less smallest of these over `fwhm`; 0 where fewer than two are known.
    population : ndarray of float32, shape (70,), or None
        What the maxima of the frame are like, see `rbinfer.measure.population`. None where the frame is
        too small to be looked at.
    likely_fwhm : float or None
        Without a measurement, the FWHM in pixels that stars may have: of the maxima that agree best, or
        of single ones that are like no hits; see `rbinfer.measure.likely`. None where there may be none.
    """

    fwhm: float | None
    reason: str
    n_stars: int
    n_fitted: int
    agreement: float
    confidence: float
    scatter: float = np.nan
    fwhm_bright: float | None = None
    fwhm_faint: float | None = None
    ellipticity: float = np.nan
    theta: float = np.nan
    stamp: NDArray[np.float32] | None = None
    stamp_scatter: NDArray[np.float32] | None = None
    regions: NDArray[np.float32] | None = None
    variation: float = 0.0
    population: NDArray[np.float32] | None = None
    likely_fwhm: float | None = None

    @property
    def is_ambiguous(self) -> bool:
        """Whether stars and single hot pixels can hardly be told apart: FWHM below 0.9 pixels."""
        return self.fwhm is not None and self.fwhm < _AMBIGUOUS


def measure_psf(
    image: ArrayLike | Exposure,
    mask: ArrayLike | None = None,
    saturation: float | None = None,
) -> FramePsf:
    """Measure the stars of a frame.

    Profiles are fitted to at most 300 local maxima, chosen over the whole frame. Those that one profile
    explains, wherever in a pixel they fall, are stars; see `rbinfer.measure.agreement`.

    Parameters
    ----------
    image : array_like or Exposure, shape (ny, nx)
        The frame, with its background; also ``CCDData`` with its mask. Pixels that are not finite count
        as bad, and so do areas of one exact value.
    mask : array_like of bool, shape (ny, nx), optional
        True for bad pixels.
    saturation : float, optional
        Level at or above which pixels are saturated. Without it, a level that several maxima share is
        taken for it.

    Returns
    -------
    FramePsf

    Raises
    ------
    InputError
        The image is not 2-D or not of numbers, or the mask has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from rbinfer import measure_psf
    >>> y, x = np.mgrid[:200, :200]
    >>> noise = np.random.default_rng(1).normal(100.0, 5.0, (200, 200))
    >>> stars = sum(
    ...     1e3 * np.exp(-((x - k) ** 2 + (y - 15.0 - 7.3 * k % 170.0) ** 2) / 4.5)
    ...     for k in np.arange(15.0, 180.0, 16.3)
    ... )
    >>> round(measure_psf(noise + stars).fwhm, 1)
    3.5
    """
    exposure = as_exposure(image, mask=mask, saturation=saturation)
    if min(exposure.shape) <= 2 * RADIUS:
        return FramePsf(None, f"{_NONE}: {_TOO_FEW.format(0)}", 0, 0, 0.0, 0.0)
    exposure = evened(exposure)
    layer = cleaned(exposure.pixels, exposure.mask)
    pyramid = Pyramid.of(layer, exposure.saturation)
    found = measure_round(pyramid)
    n_fitted = len(found)
    stars, group = _alike(found, ROUND)
    noise = grain_of(layer.image)
    grain = _unless_wide(noise, group)
    hits = _hits_of(group, grain)
    least = hits.widest if hits.are_left_out else 0.0
    if hits.are_left_out:
        stars, group = _above(*_alike(_wider(found, least), ROUND), least)
    are_streaks = _are_streaks(stars, group)
    if are_streaks or _more_is_left(found, group):
        long_ones = _wider(measure_ellipses(pyramid), least)
        ellipses, streaks = _alike(long_ones, LONG)
        if _is_better(streaks, group) or (are_streaks and _are_along(ellipses, streaks, stars, group)):
            stars, group, n_fitted = ellipses, streaks, len(long_ones)
        elif not _is_better(group, None):
            others, odd = _alike(_wider(found, least), ODD)
            if _is_better(odd, None):
                stars, group = others, odd
    population = population_of(found, group, noise)
    if group is None or not group.is_convincing:
        is_of_hits = group is not None and (group.is_like_hits or (hits.agree and not hits.are_left_out))
        shows_faint_stars = grain is not None and grain.shows_faint_stars
        likely = None
        if not is_of_hits:
            wider_than = _WELL_ABOVE * hits.widest
            likely = likely_width(stars, group, exposure.shape, shows_faint_stars, wider_than)
        unmeasured = _unmeasured(n_fitted, n_fitted - len(stars), group, hits)
        return replace(unmeasured, population=population, likely_fwhm=likely)
    if _are_streaks(stars, group):
        whole = fit_streaks(pyramid, stars[group.members])
        group = replace(group, fwhm=float(np.exp(np.median(whole.log_fwhm))))
        return _measured(pyramid, whole, group, n_fitted, population)
    return _measured(pyramid, stars[group.members], group, n_fitted, population)


def measured_width(found: FramePsf) -> Width:
    """Return what was measured, with a FWHM, as the width that a frame is scored with."""
    if found.fwhm is None:
        raise ValueError("nothing was measured")
    return Width(
        float(found.fwhm),
        MEASURED,
        found.n_stars,
        found.n_fitted,
        float(found.ellipticity),
        float(found.theta),
        found.reason,
        found.stamp,
        population=found.population,
    )


def _alike(found: Candidates, rules: Rules) -> tuple[Candidates, Group | None]:
    """Return the largest group that is not on a line, as those along trails are, and what it is of."""
    group = largest_group(found, rules)
    for _ in range(_MOST_TRAILS):
        if group is None or not group.is_convincing:
            break
        stars = found[group.members]
        brightest = np.argsort(-stars.snr, kind="stable")
        tolerance = max(_LEAST_TRAIL, _TRAIL * group.fwhm)
        line, n_close = line_through_most(stars.x[brightest], stars.y[brightest], tolerance)
        if n_close < needed_on_line(min(len(stars), MOST_ON_LINE)):
            break
        found = found[~is_close(line, found.x, found.y, _BESIDE * tolerance)]
        group = largest_group(found, rules)
    return found, group


def _unless_wide(grain: Grain | None, group: Group | None) -> Grain | None:
    """Return the noise where hits may be taken for stars."""
    return None if group is not None and group.fwhm > _WIDEST_HITS else grain


def _hits_of(group: Group | None, grain: Grain | None) -> _Hits:
    """Tell how wide hits are, and whether a group is as wide."""
    if grain is None or not grain.shows_single_pixels:
        return _Hits()
    low, high = _HITS if grain.is_much_finer else _HITS_HARDLY_FINER
    agree = group is not None and low < group.fwhm / grain.single < high
    # A group that is refused anyway says more than what is left without it.
    are_left_out = agree and (grain.is_much_finer or _is_better(group, None))
    return _Hits(_HITS[1] * grain.single, agree, are_left_out)


def _above(stars: Candidates, group: Group | None, least: float) -> tuple[Candidates, Group | None]:
    """Return a group that is not just what is left of a cluster of narrower ones."""
    return stars, group if group is not None and group.fwhm > _WELL_ABOVE * least else None


def _wider(found: Candidates, least: float) -> Candidates:
    """Return those that are wider than so many pixels."""
    return found[np.exp(found.log_fwhm) > least] if least > 0 else found


def _more_is_left(found: Candidates, group: Group | None) -> bool:
    """Whether what is bright and wide and no round profile explains outnumbers the stars."""
    n_stars = len(group.members) if group is not None and group.is_convincing else _FEWEST_STREAKS - 1
    odd = (found.snr > 15.0) & (found.excess > 0.06) & (found.log_fwhm > np.log(1.8))
    return bool(np.count_nonzero(odd) > n_stars)


def _are_streaks(stars: Candidates, group: Group | None) -> bool:
    """Whether what agrees is so long that fits of round profiles miss its width, by up to a quarter."""
    if group is None or not group.is_convincing:
        return False
    shape = np.median(stars.shape[group.members], axis=0)
    return bool(2.0 * np.hypot(*shape) > np.log(_STREAK))


def _are_along(
    ellipses: Candidates, streaks: Group | None, stars: Candidates, group: Group | None
) -> bool:
    """Whether ellipses are as long, in the same direction: the same stars, seen better."""
    if group is None or streaks is None or not streaks.is_convincing:
        return False
    one = np.median(ellipses.shape[streaks.members], axis=0)
    other = np.median(stars.shape[group.members], axis=0)
    return bool(one @ other > _ALONG * np.hypot(*other) ** 2)


def _is_better(group: Group | None, other: Group | None) -> bool:
    if group is None or not group.is_convincing:
        return False
    return other is None or not other.is_convincing or group.evidence > other.evidence


def _unmeasured(n: int, n_on_lines: int, group: Group | None, hits: _Hits) -> FramePsf:
    n_stars = 0 if group is None else len(group.members)
    if hits.are_left_out and n_stars < 3:
        why = (
            f"the image is interpolated, and of {n} local maxima fitted no three that are wider than "
            f"{hits.widest:.2f} pixels agree; those of hits are as narrow as that"
        )
    elif group is None or n_stars < 3:
        trail = f" beside {n_on_lines} on a line, as along a trail" if n_on_lines else ""
        why = _TOO_FEW.format(n) + trail
    elif group.in_one_phase:
        why = f"the {n_stars} local maxima that agree lie at one place in a pixel, as hot pixels do"
    elif group.in_many_shapes:
        why = (
            f"the {n_stars} local maxima that agree on {group.fwhm:.2f} pixels differ in shape, as "
            "those of single pixels do once an image is resampled"
        )
    elif hits.agree and not hits.are_left_out:
        why = (
            f"the image is interpolated, and the {n_stars} local maxima that agree are as wide as "
            f"single pixels of its detector are in it, {group.fwhm:.2f} pixels"
        )
    else:
        why = (
            f"{n_stars} of {n} local maxima agree on {group.fwhm:.2f} pixels, as closely as hits on a "
            "detector may"
        )
    reason = f"{_NONE}: {why}"
    if group is None:
        return FramePsf(None, reason, 0, n, 0.0, 0.0)
    confidence = min(max(group.evidence / group.needed, 0.0), 0.99)
    return FramePsf(None, reason, n_stars, n, group.share, confidence)


def _measured(
    pyramid: Pyramid, stars: Candidates, group: Group, n_fitted: int, population: NDArray[np.float32]
) -> FramePsf:
    mean = average_stars(pyramid, stars, group.fwhm)
    bright, faint = _by_brightness(stars)
    regions = _by_region(stars, pyramid.layers[0].shape)
    known = regions[np.isfinite(regions)]
    reason = ""
    if group.fwhm < _AMBIGUOUS:
        reason = f"stars {group.fwhm:.2f} pixels wide can hardly be told from hot pixels and other hits"
    return FramePsf(
        fwhm=group.fwhm,
        reason=reason,
        n_stars=len(group.members),
        n_fitted=n_fitted,
        agreement=group.share,
        confidence=group.evidence / group.needed,
        scatter=group.scatter,
        fwhm_bright=bright,
        fwhm_faint=faint,
        ellipticity=mean.ellipticity,
        theta=mean.theta,
        stamp=mean.stamp,
        stamp_scatter=mean.scatter,
        regions=regions,
        variation=float(np.ptp(known)) / group.fwhm if len(known) > 1 else 0.0,
        population=population,
    )


def _by_brightness(stars: Candidates) -> tuple[float | None, float | None]:
    """Return the FWHM of the brighter and the fainter half, where they differ."""
    n = len(stars) // 2
    if n < _FEWEST_BY_BRIGHTNESS:
        return None, None
    order = np.argsort(-stars.snr, kind="stable")
    halves = stars.log_fwhm[order[:n]], stars.log_fwhm[order[-n:]]
    bright, faint = (float(np.median(half)) for half in halves)
    # The median of normal deviates scatters 1.25 times as much as their mean.
    error = 1.25 * np.sqrt(sum(half.var() for half in halves) / n)
    if abs(bright - faint) < _APART * error:
        return None, None
    return float(np.exp(bright)), float(np.exp(faint))


def _by_region(stars: Candidates, shape: tuple[int, ...]) -> NDArray[np.float32]:
    ninth = ninth_of(stars.x, stars.y, shape)
    regions = np.full(SIDE * SIDE, np.nan, np.float32)
    for k in range(len(regions)):
        here = stars.log_fwhm[ninth == k]
        if len(here) >= _FEWEST_IN_REGION:
            regions[k] = np.exp(np.median(here))
    return regions.reshape(SIDE, SIDE)
