"""Point-spread functions: rendered oversampled, integrated over pixels, normalised to unit flux.

A `PSF` holds one stamp for each sub-pixel position on a grid of odd `oversampling`, so that adding
a star is adding a stamp. Positions are snapped to that grid (a third of a pixel for wide PSFs, an
eleventh for undersampled ones) and what was drawn is what the truth table says.

FWHM means that of the optical profile, without the pixel: ``sqrt(4 A / pi)`` for the area A
above half of the maximum, which for an ellipse is the geometric mean of the axes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .._arrays import F32, F64, I64
from . import _render
from .config import PSFConfig
from .draws import chance, log_uniform, uniform
from .profiles import (
    Aberrations,
    aberrated_profile,
    gaussian_profile,
    half_size,
    measure_fwhm,
    moffat_alpha,
    moffat_profile,
    oversampling_for,
    trail_profile,
)

#: Largest radius of a profile without a trail, pixels.
_LARGEST = 160
#: Where the zones of a frame lie: one in the middle, or four in the corners, row by row.
_MIDDLE = (np.zeros(2),)
_CORNERS = tuple(np.array([x, y]) for y in (-1, 1) for x in (-1, 1))


@dataclass(frozen=True, eq=False)
class PSF:
    """Pixel-integrated stamps of unit flux, for each zone of a frame and sub-pixel position.

    Attributes
    ----------
    stamps : array, shape (zones, oversampling**2, n, n)
        float32; the middle pixel of each is the one that the star is in. Zones are the cells of
        a square grid over the frame, row by row; the sub-pixel positions go row by row too.
    oversampling : int
        Odd number of positions along one axis of a pixel.
    fwhm : float
        Pixels; mean over the zones.
    profile : array
        Oversampled profile of the middle zone, for what is not a point source.
    """

    stamps: F32
    oversampling: int
    fwhm: float
    profile: F32

    @classmethod
    def from_profiles(cls, profiles: list[F32], oversampling: int) -> Self:
        """Make a PSF from oversampled profiles, as `rbtrain.simulate.profiles` renders them, one a zone.

        Parameters
        ----------
        profiles : list of array, shape (k, k)
            float32; one, or as many as a square grid has cells.
        oversampling : int
            Samples a pixel, odd.

        Returns
        -------
        PSF
        """
        tapered = [_taper(p, oversampling) for p in profiles]
        stamps = np.stack([_integrate(p, oversampling) for p in tapered])
        fwhm = float(np.mean([measure_fwhm(p, oversampling) for p in profiles]))
        return cls(stamps, oversampling, fwhm, tapered[len(tapered) // 2])

    @classmethod
    def gaussian(cls, fwhm: float, *, axis_ratio: float = 1.0, angle: float = 0.0) -> Self:
        """Return a Gaussian PSF of the given FWHM in pixels."""
        s, r = oversampling_for(fwhm), max(4, math.ceil(2.6 * fwhm / axis_ratio**0.5))
        return cls.from_profiles([gaussian_profile(fwhm, r, s, axis_ratio, angle)], s)

    @classmethod
    def moffat(
        cls, fwhm: float, beta: float = 3.0, *, axis_ratio: float = 1.0, angle: float = 0.0
    ) -> Self:
        """Return a Moffat PSF of the given FWHM in pixels, cut at 10 FWHM."""
        s, r = oversampling_for(fwhm), max(8, math.ceil(10 * fwhm))
        return cls.from_profiles([moffat_profile(fwhm, beta, r, s, axis_ratio, angle)], s)

    @classmethod
    def aberrated(cls, fwhm: float, **aberrations: float) -> Self:
        """Return an aberrated PSF; `fwhm` is that of the seeing, the others as of `Aberrations`."""
        s, aberrated = oversampling_for(fwhm), Aberrations(**aberrations)
        r = math.ceil(6 * fwhm + aberrated.reach(fwhm))
        return cls.from_profiles([aberrated_profile(fwhm, r, s, aberrated)], s)

    @classmethod
    def from_image(cls, image: ArrayLike) -> Self:
        """Make a PSF from its picture, sampled once a pixel and centred on the middle pixel.

        Raises
        ------
        ValueError
            When the picture is not square with an odd side, or has no positive sum.
        """
        picture = np.ascontiguousarray(image, dtype=np.float32)
        if picture.ndim != 2 or picture.shape[0] != picture.shape[1] or not picture.shape[0] % 2:
            raise ValueError(
                f"a PSF image must be square with an odd side, not of shape {picture.shape}; "
                "pad it so that the star is on the middle pixel"
            )
        if not (np.isfinite(picture).all() and picture.sum() > 0):
            raise ValueError("a PSF image must be finite with a positive sum; subtract its sky")
        s, radius = 5, picture.shape[0] // 2
        half = half_size(radius, s)
        # Linear interpolation between pixel centres: it keeps the flux and adds no ringing.
        u = np.arange(-half, half + 1) / s
        t = np.abs(u[:, None] - np.arange(-radius, radius + 1)[None, :])
        weights = np.clip(1 - t, 0, None).astype(np.float32)
        return cls.from_profiles([weights @ picture @ weights.T], s)

    @cached_property
    def radius(self) -> int:
        """Radius of the stamps in pixels."""
        return int(self.stamps.shape[2]) // 2

    @cached_property
    def peaks(self) -> F32:
        """Brightest pixel of each stamp, shape (zones, oversampling**2)."""
        peaks: F32 = self.stamps.max(axis=(2, 3))
        return peaks

    @cached_property
    def reach(self) -> F64:
        """Brightest pixel at a distance of r pixels or more, for r = 0, 1, ..., radius."""
        centre = self.oversampling**2 // 2
        top = self.stamps[:, centre].max(axis=0)
        y, x = np.indices(top.shape) - self.radius
        ring = np.rint(np.hypot(x, y)).astype(int).ravel()
        reach = np.zeros(ring.max() + 1)
        np.maximum.at(reach, ring, top.ravel())
        return np.maximum.accumulate(reach[::-1])[::-1][: self.radius + 1]

    def radius_for(self, flux: F64, level: float) -> I64:
        """Return the radius in pixels beyond which a source of `flux` stays below `level`.

        Parameters
        ----------
        flux : array, shape (n,)
            Total.
        level : float
            Of a pixel, in the same unit.

        Returns
        -------
        int array, shape (n,)
            At least 2 and at most `radius`.
        """
        need = level / np.maximum(flux, 1e-30)
        beyond = np.searchsorted(-self.reach, -need, side="right")
        return np.clip(beyond + 1, 2, self.radius)

    def snap(self, x: ArrayLike, y: ArrayLike, shape: tuple[int, int]) -> tuple[I64, I64, I64, I64]:
        """Return pixel (ix, iy), zone and sub-pixel index of the nearest possible positions.

        Parameters
        ----------
        x, y : array_like, shape (n,)
            0-based pixels.
        shape : (height, width)
            Of the frame, which the zones divide.

        Returns
        -------
        ix, iy, zone, phase : int array, shape (n,)
        """
        s, h = self.oversampling, self.oversampling // 2
        tx = np.floor(np.asarray(x, np.float64) * s + 0.5).astype(np.int64)
        ty = np.floor(np.asarray(y, np.float64) * s + 0.5).astype(np.int64)
        ix, iy = (tx + h) // s, (ty + h) // s
        phase = (ty - iy * s + h) * s + tx - ix * s + h
        n = math.isqrt(self.stamps.shape[0])
        zx = np.clip(ix * n // shape[1], 0, n - 1)
        zy = np.clip(iy * n // shape[0], 0, n - 1)
        return ix, iy, zy * n + zx, phase

    def snapped(self, x: ArrayLike, y: ArrayLike) -> tuple[F64, F64]:
        """Return the positions that sources asked for at (x, y) are drawn at.

        Parameters
        ----------
        x, y : array_like, shape (n,)
            0-based pixels.

        Returns
        -------
        x, y : array, shape (n,)
        """
        s = self.oversampling
        return (
            np.floor(np.asarray(x, np.float64) * s + 0.5) / s,
            np.floor(np.asarray(y, np.float64) * s + 0.5) / s,
        )

    def add_points(
        self,
        image: F32,
        x: ArrayLike,
        y: ArrayLike,
        flux: ArrayLike,
        level: float,
        radius: I64 | None = None,
    ) -> F64:
        """Add point sources to an image and return the brightest pixel of each.

        Parameters
        ----------
        image : array, shape (h, w)
            C-contiguous float32, changed in place.
        x, y, flux : array, shape (n,)
            0-based positions and total fluxes.
        level : float
            Wings below this may be left out.
        radius : array, shape (n,), optional
            Where to cut each instead, pixels.

        Returns
        -------
        array, shape (n,)
            In the unit of `flux`; of the stamp, whether or not it lies on the image.
        """
        flux = np.asarray(flux, np.float64)
        ix, iy, zone, phase = self.snap(x, y, (image.shape[0], image.shape[1]))
        if radius is None:
            radius = self.radius_for(flux, level)
        amount = flux.astype(np.float32)
        _render.add_stamps(image, ix, iy, zone, phase, amount, radius, self.stamps)
        return flux * self.peaks[zone, phase]

    def line_spread(self, angle: float, width: float) -> tuple[F32, float]:
        """Return the brightness across a line of unit brightness a pixel of length.

        Parameters
        ----------
        angle : float
            Direction of the line, radians.
        width : float
            Full width of the line before the PSF, pixels.

        Returns
        -------
        profile : array
            Brightness from the axis outwards; it ends in zeros.
        sampling : float
            Distance between the samples, pixels.
        """
        s = self.oversampling
        u = np.arange(self.profile.shape[0]) - self.profile.shape[0] // 2
        across = u[None, :] * math.sin(angle) - u[:, None] * math.cos(angle)
        half = math.ceil(1.42 * u[-1] + 0.5 * width * s) + 2
        # Each sample is shared between the two nearest bins, or its grid would beat with them.
        low = np.floor(across).astype(np.int64)
        share = (across - low).ravel()
        index, light = low.ravel() + half, self.profile.ravel()
        lsf = np.bincount(index, light * (1 - share), minlength=2 * half + 1)
        lsf[1:] += np.bincount(index, light * share, minlength=2 * half + 1)[:-1]
        box = max(1, 2 * round((width * s - 1) / 2) + 1)
        smooth = np.convolve(lsf, np.full(box, s / box), mode="same")
        folded = 0.5 * (smooth[half:] + smooth[half::-1])
        last = int(np.flatnonzero(folded > 1e-4 * folded.max())[-1])
        return np.append(folded[: last + 1], [0.0, 0.0]).astype(np.float32), 1 / s


def _taper(profile: F32, oversampling: int) -> F32:
    """Fade the outer eighth to nothing, or bright stars end in a visible rim; then normalise."""
    half = profile.shape[0] // 2
    u = np.abs(np.arange(-half, half + 1)) / (half - oversampling + 1)
    edge = (0.5 + 0.5 * np.cos(np.pi * np.clip((u - 0.875) / 0.125, 0, 1))).astype(np.float32)
    faded = profile * edge[:, None] * edge[None, :]
    normalised: F32 = faded / np.float32(faded.sum(dtype=np.float64))
    return normalised


def _integrate(profile: F32, oversampling: int) -> F32:
    """Sum a profile over the pixels, for every sub-pixel position of its centre."""
    s = oversampling
    half = profile.shape[0] // 2
    n = 2 * ((half - s + 1) // s) + 1
    # First sample of pixel d for position p: the centre, less the shift, less half a pixel.
    centres = half + s * np.arange(-(n // 2), n // 2 + 1)
    shifts = np.arange(-(s // 2), s // 2 + 1)
    first = centres[None, :] - shifts[:, None] - s // 2
    rows = np.zeros((profile.shape[0] + 1, profile.shape[1]))
    np.cumsum(profile, axis=0, out=rows[1:])
    tall = rows[first + s] - rows[first]  # (phase, n, columns)
    columns = np.zeros((*tall.shape[:2], tall.shape[2] + 1))
    np.cumsum(tall, axis=2, out=columns[..., 1:])
    wide = columns[..., first + s] - columns[..., first]  # (phase y, n, phase x, n)
    stamps = np.ascontiguousarray(wide.transpose(0, 2, 1, 3), dtype=np.float32)
    return stamps.reshape(s * s, n, n)


def draw_psf(config: PSFConfig, rng: np.random.Generator, brightest: float) -> PSF:
    """Draw the PSF of a frame.

    Parameters
    ----------
    config : PSFConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    brightest : float
        Peak of the brightest star in units of the noise: how far out the wings matter.

    Returns
    -------
    PSF
        With one zone, or with 2 x 2 where it varies over the frame.
    """
    fwhm = log_uniform(rng, config.fwhm if chance(rng, config.wide_fraction) else config.common_fwhm)
    places = _CORNERS if chance(rng, config.varying) else _MIDDLE
    kind = rng.random()
    trailed = kind < config.trailed
    aberrated = not trailed and kind < config.trailed + config.aberrated
    gaussian = rng.random() < config.gaussian / max(1 - config.aberrated, 1e-9)
    beta = uniform(rng, config.beta)
    scale, ceiling = config.ellipticity
    shear = _Shear(rng.normal(0, scale, 2), rng.normal(0, scale, (2, 2)), ceiling)
    if aberrated:
        profiles = _aberrated_profiles(config, rng, fwhm, places)
    else:
        trail = _draw_trail(config, rng, fwhm) if trailed else None
        form = _Form(fwhm, None if gaussian else beta, trail, brightest)
        profiles = [form.profile(*shear.at(place)) for place in places]
    return PSF.from_profiles(profiles, oversampling_for(fwhm))


@dataclass(frozen=True, eq=False)
class _Shear:
    """Ellipticity over a frame: that of its middle, its change towards the corners, and a ceiling."""

    middle: F64
    drift: F64
    ceiling: float

    def at(self, place: F64) -> tuple[float, float]:
        """Return the axis ratio and the direction of the long axis (radians) at a place."""
        e = self.middle + self.drift @ place
        return 1 - float(min(np.hypot(*e), self.ceiling)), 0.5 * math.atan2(e[1], e[0])


@dataclass(frozen=True)
class _Trail:
    """A trail left by bad tracking: length in pixels, direction in radians, bend as a fraction."""

    length: float
    angle: float
    bend: float


@dataclass(frozen=True)
class _Form:
    """A Gaussian (without `beta`) or Moffat profile, trailed or not, with wings for a brightest star."""

    fwhm: float
    beta: float | None
    trail: _Trail | None
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
            radius = math.ceil(radius + self.trail.length / 2)
        return min(radius, _LARGEST + 10)

    def profile(self, axis_ratio: float, angle: float) -> F32:
        """Render the profile."""
        s = oversampling_for(self.fwhm)
        if self.beta is None:
            profile = gaussian_profile(self.fwhm, self.radius, s, axis_ratio, angle)
        else:
            profile = moffat_profile(self.fwhm, self.beta, self.radius, s, axis_ratio, angle)
        if self.trail is None:
            return profile
        return trail_profile(profile, s, self.trail.length, self.trail.angle, self.trail.bend)


def _draw_trail(config: PSFConfig, rng: np.random.Generator, fwhm: float) -> _Trail:
    length = fwhm * log_uniform(rng, config.trail_length)
    return _Trail(length, uniform(rng, (0, math.pi)), rng.normal(0, 0.12))


def _aberrated_profiles(
    config: PSFConfig, rng: np.random.Generator, fwhm: float, places: Sequence[F64]
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
    for x, y in places:
        here = replace(
            drawn,
            defocus=drawn.defocus * (1 + 0.4 * x),
            coma=drawn.coma * (1 + 0.5 * y),
            coma_angle=drawn.coma_angle + 0.5 * x,
        )
        profiles.append(aberrated_profile(fwhm, radius, oversampling_for(fwhm), here))
    return profiles
