"""Draw the PSF of a frame: what the atmosphere, the tracking and the optics make of a star."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from .._arrays import F32, F64
from .config import PSFConfig
from .draws import chance, log_uniform, uniform
from .profiles import (
    Aberrations,
    aberrated_profile,
    gaussian_profile,
    moffat_alpha,
    moffat_profile,
    oversampling_for,
    trail_profile,
)
from .psf import PSF

#: Largest radius of a profile without a trail, pixels.
_LARGEST = 160
#: Peak in sigma of the brightest object that a telescope follows among trailed stars.
BRIGHTEST_FOLLOWED = 300.0
#: Blur by defocus at which the field of a telescope ends, in FWHM of the seeing, added in quadrature.
_MOST_BLUR = 0.9
#: How far off the middle of a frame that goes from -1 to 1 the pole of a turning sky may be.
_FARTHEST_POLE = 1.6


def _grid(n: int) -> tuple[F64, ...]:
    """Places of n x n zones, row by row; the frame goes from -1 to 1."""
    ends = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    return tuple(np.array([x, y]) for y in ends for x in ends)


@dataclass(frozen=True, eq=False)
class StarImages:
    """What point sources look like on one frame.

    Attributes
    ----------
    stars : PSF
        With one zone, or with as many as are asked for where it varies over the frame.
    followed : PSF or None
        Of an object that the telescope follows, where stars are trailed.
    """

    stars: PSF
    followed: PSF | None = None


def draw_star_images(
    config: PSFConfig, rng: np.random.Generator, brightest: float, width: float | None = None
) -> StarImages:
    """Draw the PSF of a frame.

    Parameters
    ----------
    config : PSFConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    brightest : float
        Peak of the brightest star in units of the noise: how far out the wings matter.
    width : float, optional
        FWHM in pixels, as `PSF.fwhm`, that it must have instead of a drawn one; then stars are neither
        trailed nor aberrated, nor do they turn.

    Returns
    -------
    StarImages
    """
    fwhm = log_uniform(rng, config.fwhm if chance(rng, config.wide_fraction) else config.common_fwhm)
    varying = chance(rng, config.varying)
    field = _draw_field(config, rng) if varying and chance(rng, config.curved) else None
    places = _grid(config.zones if field is not None else 2 if varying else 1)
    kind = rng.random() if width is None else 1.0
    trailed = kind < config.trailed
    aberrated = not trailed and kind < config.trailed + config.aberrated
    turning = width is None and not (trailed or aberrated) and config.turning > 0
    turning = turning and chance(rng, config.turning)
    gaussian = rng.random() < config.gaussian / max(1 - config.aberrated, 1e-9)
    beta = uniform(rng, config.beta)
    scale, ceiling = config.ellipticity
    shear = _Shear(rng.normal(0, scale, 2), rng.normal(0, scale, (2, 2)), ceiling)
    if aberrated:
        profiles = _aberrated_profiles(config, rng, fwhm, places, field)
        return StarImages(PSF.from_profiles(profiles, oversampling_for(fwhm)))
    trail: _Trail | _Turn | None = None
    if trailed:
        trail = _draw_trail(config, rng, fwhm)
    elif turning:
        trail, places = _draw_turn(config, rng), _grid(config.zones)
    form = _Form(width or fwhm, None if gaussian else beta, trail, brightest)
    psf = form.psf(shear, places, field)
    if width is not None:
        # The Gaussian that fits best is wider than the profile at half maximum, by a factor.
        psf = replace(form, fwhm=width * width / psf.fwhm).psf(shear, places, field)
    if not trailed:
        return StarImages(psf)
    steady = replace(form, trail=None, brightest=min(brightest, BRIGHTEST_FOLLOWED))
    return StarImages(psf, steady.psf(shear, _grid(1), None))


@dataclass(frozen=True, eq=False)
class _Field:
    """Aberrations that grow with the distance from the optical axis, by Seidel's third-order theory.

    Defocus goes with the distance (a tilted detector) and its square (curvature of field), astigmatism
    with the square, coma with the distance. The half diagonal of the frame is about 1.

    Attributes
    ----------
    axis, tilt : array, shape (2,)
        Where the optical axis meets the detector, and the slope of the defocus.
    curvature, astigmatism, coma : float
        At distance 1.
    """

    axis: F64
    tilt: F64
    curvature: float
    astigmatism: float
    coma: float

    def defocus(self, place: F64) -> float:
        """Return the defocus, as a blur in FWHM of the seeing; its sign is that of the focus."""
        out = place - self.axis
        blur = float(self.tilt @ place + self.curvature * ((out**2).sum() - 0.5))
        return min(max(blur, -_MOST_BLUR), _MOST_BLUR)

    def polar(self, place: F64) -> tuple[float, float]:
        """Return the distance from the axis and the direction away from it, radians."""
        out = place - self.axis
        return float(np.hypot(*out)), math.atan2(out[1], out[0])


def _draw_field(config: PSFConfig, rng: np.random.Generator) -> _Field:
    """Draw the aberrations of a field; the frame may be any part of it."""
    turn, slope = uniform(rng, (0, 2 * math.pi)), uniform(rng, config.field_tilt)
    return _Field(
        axis=rng.uniform(-1.2, 1.2, 2),
        tilt=slope * np.array([math.cos(turn), math.sin(turn)]),
        curvature=uniform(rng, config.field_curvature) * rng.choice((-1, 1)),
        astigmatism=uniform(rng, config.field_astigmatism),
        coma=uniform(rng, config.field_coma),
    )


@dataclass(frozen=True, eq=False)
class _Shear:
    """Ellipticity over a frame: that of its middle, its change towards the corners, and a ceiling."""

    middle: F64
    drift: F64
    ceiling: float

    def at(self, place: F64, field: _Field | None) -> tuple[float, float]:
        """Return the axis ratio and the direction of the long axis (radians) at a place."""
        e = self.middle + self.drift @ place
        if field is not None:
            # Out of focus the image is long in the radial direction on one side of the focus and
            # across it on the other.
            distance, turn = field.polar(place)
            size = field.astigmatism * distance**2 * math.copysign(1, field.defocus(place))
            e = e + size * np.array([math.cos(2 * turn), math.sin(2 * turn)])
        return 1 - float(min(np.hypot(*e), self.ceiling)), 0.5 * math.atan2(e[1], e[0])


@dataclass(frozen=True)
class _Trail:
    """A trail left by bad tracking: length in pixels, direction in radians, bend as a fraction."""

    length: float
    angle: float
    bend: float

    @property
    def longest(self) -> float:
        """Length in pixels where it is longest."""
        return self.length

    def at(self, _: F64) -> Self:
        """Return the trail at a place: the same all over the frame."""
        return self


@dataclass(frozen=True, eq=False)
class _Turn:
    """A sky that turns about a pole: trails run around it, and are longer farther out.

    Attributes
    ----------
    pole : array, shape (2,)
        Where it is; the frame goes from -1 to 1.
    length : float
        Of a trail at distance 1, pixels.
    """

    pole: F64
    length: float

    @property
    def longest(self) -> float:
        """Length in pixels at the corner that is farthest from the pole."""
        return self.length * float(np.hypot(*(np.abs(self.pole) + 1)))

    def at(self, place: F64) -> _Trail:
        """Return the trail at a place."""
        out = place - self.pole
        return _Trail(self.length * float(np.hypot(*out)), math.atan2(out[0], -out[1]), 0.0)


@dataclass(frozen=True)
class _Form:
    """A Gaussian (without `beta`) or Moffat profile, trailed or not, with wings for a brightest star."""

    fwhm: float
    beta: float | None
    trail: _Trail | _Turn | None
    brightest: float

    @cached_property
    def radius(self) -> int:
        """How far the profile is rendered, pixels."""
        if self.beta is None:
            radius = math.ceil(3 * self.fwhm + 2)
        else:
            # A Moffat profile falls to 0.2 / brightest of its peak at this radius.
            fall = (5 * self.brightest) ** (1 / self.beta) - 1
            wings = moffat_alpha(self.fwhm, self.beta) * math.sqrt(max(fall, 1))
            most = min(_LARGEST, 60 + 12 * self.fwhm)
            radius = math.ceil(np.clip(1.15 * wings, 3 * self.fwhm + 2, most))
        if self.trail is not None:
            radius = math.ceil(radius + self.trail.longest / 2)
        return min(radius, _LARGEST + 10)

    def psf(self, shear: _Shear, places: Sequence[F64], field: _Field | None) -> PSF:
        """Render the PSF, with a zone for each place."""
        profiles = []
        for place in places:
            blur = 0.0 if field is None else field.defocus(place)
            profile = self._profile(math.hypot(1, blur) * self.fwhm, *shear.at(place, field))
            if self.trail is not None:
                trail = self.trail.at(place)
                s = oversampling_for(self.fwhm)
                profile = trail_profile(profile, s, trail.length, trail.angle, trail.bend)
            profiles.append(profile)
        return PSF.from_profiles(profiles, oversampling_for(self.fwhm))

    def _profile(self, fwhm: float, axis_ratio: float, angle: float) -> F32:
        s = oversampling_for(self.fwhm)
        if self.beta is None:
            return gaussian_profile(fwhm, self.radius, s, axis_ratio, angle)
        return moffat_profile(fwhm, self.beta, self.radius, s, axis_ratio, angle)


def _draw_trail(config: PSFConfig, rng: np.random.Generator, fwhm: float) -> _Trail:
    length = fwhm * log_uniform(rng, config.trail_length)
    return _Trail(length, uniform(rng, (0, math.pi)), rng.normal(0, config.trail_bend))


def _draw_turn(config: PSFConfig, rng: np.random.Generator) -> _Turn:
    pole = rng.uniform(-_FARTHEST_POLE, _FARTHEST_POLE, 2)
    return _Turn(pole, log_uniform(rng, config.turn_length))


def _aberrated_profiles(
    config: PSFConfig,
    rng: np.random.Generator,
    fwhm: float,
    places: Sequence[F64],
    field: _Field | None,
) -> list[F32]:
    """Draw aberrations, which change over the frame, and render the profile at each place."""
    drawn = Aberrations(
        defocus=uniform(rng, config.defocus) * rng.choice((-1, 1)),
        astigmatism=uniform(rng, config.astigmatism),
        coma=uniform(rng, config.coma),
        trefoil=uniform(rng, config.trefoil),
        angle=uniform(rng, (0, 2 * math.pi)),
        coma_angle=uniform(rng, (0, 2 * math.pi)),
        diffraction=log_uniform(rng, config.diffraction),
        obscuration=uniform(rng, config.obscuration),
    )
    radius = math.ceil(min(6 * fwhm + drawn.reach(fwhm), _LARGEST))
    profiles = []
    for place in places:
        here = _drifted(drawn, place) if field is None else _in_field(drawn, place, field)
        profiles.append(aberrated_profile(fwhm, radius, oversampling_for(fwhm), here))
    return profiles


def _drifted(drawn: Aberrations, place: F64) -> Aberrations:
    """Change aberrations a little over the frame."""
    x, y = place
    return replace(
        drawn,
        defocus=drawn.defocus * (1 + 0.4 * x),
        coma=drawn.coma * (1 + 0.5 * y),
        coma_angle=drawn.coma_angle + 0.5 * x,
    )


def _in_field(drawn: Aberrations, place: F64, field: _Field) -> Aberrations:
    """Add the defocus and the astigmatism of a field, and take its coma, which points off the axis.

    A defocus of w waves rms blurs by some 4 sqrt(3) w lambda / D.
    """
    distance, turn = field.polar(place)
    return replace(
        drawn,
        defocus=drawn.defocus + field.defocus(place) / (4 * math.sqrt(3) * drawn.diffraction),
        astigmatism=drawn.astigmatism + field.astigmatism * distance**2,
        angle=turn,
        coma=field.coma * distance,
        coma_angle=turn,
    )
