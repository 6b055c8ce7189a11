"""Point-spread functions: rendered oversampled, integrated over pixels, normalised to unit flux.

A `PSF` holds one stamp for each sub-pixel position on a grid of odd `oversampling`, so that adding
a star is adding a stamp. Positions are snapped to that grid (a third of a pixel for wide PSFs, an
eleventh for undersampled ones) and what was drawn is what the truth table says.

FWHM is that of the best-fitting Gaussian integrated over pixels, as `gaussian_fwhm` has it.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .._arrays import F32, F64, I64
from . import _render
from .profiles import (
    Aberrations,
    aberrated_profile,
    gaussian_profile,
    half_size,
    measure_fwhm,
    moffat_profile,
    oversampling_for,
)
from .width import gaussian_fwhm


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
        guess = float(np.mean([measure_fwhm(p, oversampling) for p in profiles]))
        return cls(stamps, oversampling, gaussian_fwhm(stamps, guess), tapered[len(tapered) // 2])

    @classmethod
    def gaussian(cls, fwhm: float, *, axis_ratio: float = 1.0, angle: float = 0.0) -> Self:
        """Return a Gaussian PSF of the given FWHM in pixels."""
        s, r = oversampling_for(fwhm), max(4, math.ceil(2.6 * fwhm / axis_ratio**0.5))
        return cls.from_profiles([gaussian_profile(fwhm, r, s, axis_ratio, angle)], s)

    @classmethod
    def moffat(
        cls, fwhm: float, beta: float = 3.0, *, axis_ratio: float = 1.0, angle: float = 0.0
    ) -> Self:
        """Return a Moffat PSF whose profile has the given FWHM at half maximum, cut at 10 FWHM.

        Its `fwhm` is that of the best-fitting Gaussian, a tenth more for beta = 3.
        """
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
