"""Oversampled profiles of stars: analytic, trailed, and diffracted by an aberrated pupil.

A profile is a square float32 array with an odd side and the star on its middle sample, of
`oversampling` samples a pixel, large enough for stamps of `radius` pixels at all sub-pixel
positions. Its scale is arbitrary.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft

from .._arrays import F32, Floats

#: Samples per FWHM that the profiles are rendered with.
_SAMPLES = 10.0
#: FWHM of a Gaussian over its sigma.
FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


def oversampling_for(fwhm: float) -> int:
    """Return the odd number of samples a pixel for a FWHM in pixels: 3 to 11."""
    return int(np.clip(2 * round((_SAMPLES / fwhm - 1) / 2) + 1, 3, 11))


def half_size(radius: int, oversampling: int) -> int:
    """Return the samples from the middle of a profile to its edge: `radius` and one pixel."""
    return radius * oversampling + oversampling - 1


def _grid(radius: int, oversampling: int) -> tuple[F32, F32]:
    half = half_size(radius, oversampling)
    u = (np.arange(-half, half + 1) / oversampling).astype(np.float32)
    return u[None, :], u[:, None]


def _ellipse(radius: int, oversampling: int, axis_ratio: float, angle: float) -> F32:
    """Square of the elliptical radius, which has the same area as the circle of that radius."""
    x, y = _grid(radius, oversampling)
    c, s, q = math.cos(angle), math.sin(angle), axis_ratio
    xx = np.float32(c * c * q + s * s / q)
    yy = np.float32(s * s * q + c * c / q)
    xy = np.float32(2 * c * s * (q - 1 / q))
    square: F32 = xx * x**2 + yy * y**2 + xy * (x * y)
    return square


def gaussian_profile(
    fwhm: float, radius: int, oversampling: int, axis_ratio: float = 1.0, angle: float = 0.0
) -> F32:
    """Return a Gaussian on the oversampled grid; `angle` (radians) is that of the long axis.

    Parameters
    ----------
    fwhm : float
        Pixels.
    radius, oversampling : int
        Of the grid: pixels, and samples a pixel.
    axis_ratio, angle : float
        b/a, and the direction of the long axis.

    Returns
    -------
    array, shape (k, k)
        float32, 1 in the middle.
    """
    r2 = _ellipse(radius, oversampling, axis_ratio, angle)
    profile: F32 = np.exp(np.float32(-0.5 * (FWHM_PER_SIGMA / fwhm) ** 2) * r2)
    return profile


def moffat_alpha(fwhm: float, beta: float) -> float:
    """Return the scale of a Moffat profile of the given FWHM, in the same unit."""
    return fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))


def moffat_profile(
    fwhm: float,
    beta: float,
    radius: int,
    oversampling: int,
    axis_ratio: float = 1.0,
    angle: float = 0.0,
) -> F32:
    """Return ``(1 + (r / alpha)**2)**-beta`` (Moffat 1969, A&A 3, 455), alpha from the FWHM.

    Parameters
    ----------
    fwhm : float
        Pixels; of the circle of the same area.
    beta : float
        Above 1; the smaller, the wider the wings.
    radius, oversampling : int
        Of the grid: pixels, and samples a pixel.
    axis_ratio, angle : float
        b/a, and the direction of the long axis, radians.

    Returns
    -------
    array, shape (k, k)
        float32, 1 in the middle.
    """
    alpha = moffat_alpha(fwhm, beta)
    r2 = _ellipse(radius, oversampling, axis_ratio, angle)
    profile: F32 = np.exp(np.float32(-beta) * np.log1p(r2 * np.float32(alpha**-2)))
    return profile


@dataclass(frozen=True)
class Aberrations:
    """What an annular pupil with an imperfect wavefront does to a star.

    Attributes
    ----------
    defocus, astigmatism, coma, trefoil : float
        Coefficients in waves rms, in Noll's normalisation (Noll 1976, JOSA 66, 207).
    angle, coma_angle : float
        Directions of astigmatism (and trefoil) and of coma, radians.
    diffraction : float
        lambda / D in units of the FWHM of the seeing.
    obscuration : float
        Diameter of the central hole over that of the pupil.
    """

    defocus: float = 0.0
    astigmatism: float = 0.0
    coma: float = 0.0
    trefoil: float = 0.0
    angle: float = 0.0
    coma_angle: float = 0.0
    diffraction: float = 0.2
    obscuration: float = 0.3

    def waves(self, x: F32, y: F32) -> Floats:
        """Return the error of the wavefront, in waves, at points of a pupil of radius 1."""
        r2 = x * x + y * y
        theta = np.arctan2(y, x)
        waves: Floats = self.defocus * math.sqrt(3) * (2 * r2 - 1)
        waves += self.astigmatism * math.sqrt(6) * r2 * np.cos(2 * (theta - self.angle))
        towards = np.cos(theta - self.coma_angle)
        waves += self.coma * math.sqrt(8) * (3 * r2 - 2) * np.sqrt(r2) * towards
        waves += self.trefoil * math.sqrt(8) * r2**1.5 * np.cos(3 * (theta - self.angle))
        return waves

    def reach(self, fwhm: float) -> float:
        """Return how far (pixels) light is thrown, by the slope of the wavefront; `fwhm` in pixels."""
        slope = 4 * math.sqrt(3) * abs(self.defocus) + 2 * math.sqrt(6) * abs(self.astigmatism)
        slope += math.sqrt(8) * (7 * abs(self.coma) + 3 * abs(self.trefoil))
        return 2 * slope * self.diffraction * fwhm


def aberrated_profile(fwhm: float, radius: int, oversampling: int, aberrations: Aberrations) -> F32:
    """Return the PSF of an annular pupil with aberrations, blurred by the seeing.

    The light in the pupil, with a phase of Zernike polynomials, is Fourier transformed; the
    modulus squared is the PSF, which is convolved with a Kolmogorov-like seeing profile.

    Parameters
    ----------
    fwhm : float
        FWHM of the seeing alone, pixels.
    radius, oversampling : int
        Of the grid.
    aberrations : Aberrations

    Returns
    -------
    array, shape (k, k)
        float32.
    """
    half = half_size(radius, oversampling)
    n = fft.next_fast_len(2 * half + 1)
    samples = aberrations.diffraction * fwhm * oversampling  # lambda / D in samples of the grid
    if samples < 1:
        samples = 1.0  # the pupil would not fit the grid; the seeing hides the difference
    u = fft.fftfreq(n, 1 / n).astype(np.float32)
    rho_x, rho_y = (2 * samples / n) * u[None, :], (2 * samples / n) * u[:, None]
    rho2 = rho_x**2 + rho_y**2
    pupil = (rho2 <= 1) & (rho2 >= aberrations.obscuration**2)
    py, px = np.nonzero(pupil)
    x, y = rho_x[0, px], rho_y[py, 0]
    field = np.zeros((n, n), np.complex64)
    field[py, px] = np.exp(np.complex64(2j * np.pi) * aberrations.waves(x, y))
    optical = np.abs(fft.fft2(field, overwrite_x=True)) ** 2
    # Seeing: exp(-k |f|^(5/3)) is the long-exposure transfer function (Fried 1966, JOSA 56,
    # 1372); 0.9759 / fwhm is r0 / lambda.
    fy, fx = fft.fftfreq(n).astype(np.float32), fft.rfftfreq(n).astype(np.float32)
    f = np.hypot(fx[None, :], fy[:, None]) * np.float32(fwhm * oversampling / 0.9759)
    transfer = fft.rfft2(optical) * np.exp(np.float32(-3.4419) * f ** np.float32(5 / 3))
    blurred = fft.fftshift(fft.irfft2(transfer, s=(n, n)))
    middle = n // 2
    cut = blurred[middle - half : middle + half + 1, middle - half : middle + half + 1]
    return _recentre(np.maximum(cut, 0).astype(np.float32))


def trail_profile(
    profile: F32, oversampling: int, length: float, angle: float, bend: float = 0.0
) -> F32:
    """Return a profile smeared along an arc: what a tracking error makes of it.

    Parameters
    ----------
    profile : array
        Oversampled profile.
    oversampling : int
        Its samples a pixel.
    length : float
        Of the trail, pixels.
    angle : float
        Direction, radians.
    bend : float
        Sideways excursion of the middle of the arc, as a fraction of `length`.

    Returns
    -------
    array, shape (k, k)
        float32, of the same grid.
    """
    copies = max(2, round(length * oversampling / 2) + 1)
    s = np.linspace(-0.5, 0.5, copies)
    along, across = s * length, bend * length * (1 - 4 * s**2)
    c, d = math.cos(angle), math.sin(angle)
    sx = np.round((along * c - across * d) * oversampling).astype(int)
    sy = np.round((along * d + across * c) * oversampling).astype(int)
    out = np.zeros_like(profile)
    n = profile.shape[0]
    for dx, dy in zip(sx, sy, strict=True):
        out[max(dy, 0) : n + min(dy, 0), max(dx, 0) : n + min(dx, 0)] += profile[
            max(-dy, 0) : n - max(dy, 0), max(-dx, 0) : n - max(dx, 0)
        ]
    return _recentre(out)


def _recentre(profile: F32) -> F32:
    """Shift by whole samples so that the centroid of the part above half maximum is central."""
    y, x = np.nonzero(profile > 0.5 * profile.max())
    weight = profile[y, x]
    half = profile.shape[0] // 2
    shift = (
        half - round(float(np.average(y, weights=weight))),
        half - round(float(np.average(x, weights=weight))),
    )
    return np.roll(profile, shift, axis=(0, 1))


def measure_fwhm(profile: F32, oversampling: int) -> float:
    """Return ``sqrt(4 A / pi)`` in pixels for the area A above half of the maximum.

    A sample near the half-maximum contour counts by where the contour cuts it, estimated from
    the local gradient, so that the area is good to about a percent also for few samples.

    Parameters
    ----------
    profile : array, shape (k, k)
        float32.
    oversampling : int
        Samples a pixel.

    Returns
    -------
    float
    """
    half = 0.5 * profile.max()
    rows, columns = np.nonzero(profile > 0.5 * half)
    core = profile[
        max(rows.min() - 2, 0) : rows.max() + 3, max(columns.min() - 2, 0) : columns.max() + 3
    ].astype(np.float64)
    gy, gx = np.gradient(core)
    slope = np.maximum(np.hypot(gx, gy), 1e-12 * half)
    area = np.clip((core - half) / slope + 0.5, 0, 1).sum()
    return math.sqrt(4 * area / math.pi) / oversampling
