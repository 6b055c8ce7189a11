"""Stars of a frame's own PSF, planted in a copy of it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..cutouts.star import star_at
from ..errors import InputError
from ..io.exposure import Exposure
from ..measure.mean_star import FWHM as STAMP_FWHM
from ..measure.mean_star import SIZE

Floats = NDArray[np.float64]

_APART = 6.0  # FWHM between planted stars, at least
_ROOM = 25.0  # FWHM: side of the square that each has on average,
_FEWEST = 10  # and how many there are anyway
_TRIES = 20  # places drawn for each star that is wanted
_MARGIN = 2.0  # FWHM between a place and the edge of the image


@dataclass(frozen=True, eq=False)
class Planted:
    """Stars that were planted.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Centres, 0-based pixels.
    flux : ndarray of float64, shape (n,)
        Units of the image, before Poisson noise.
    snr : ndarray of float64, shape (n,)
        See `flux_of`.
    """

    x: Floats
    y: Floats
    flux: Floats
    snr: Floats


@dataclass(frozen=True, eq=False)
class Galaxies:
    """Where galaxies of an image lie, and how their light is spread.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Centroids, 0-based pixels.
    a, b : ndarray of float64, shape (n,)
        rms along the axes, pixels.
    theta : ndarray of float64, shape (n,)
        Angle of the long axis from that of x, radians.
    """

    x: Floats
    y: Floats
    a: Floats
    b: Floats
    theta: Floats


def noise_pixels(exposure: Exposure) -> float:
    """Return how many pixels of noise the flux of the frame's star has, if it is measured optimally.

    ``1 / sum(P**2)`` for a star P of unit flux (King 1983, PASP 95, 163).

    Raises
    ------
    InputError
        The star of the frame is not known.
    """
    star = _unit_star(exposure, 0.0, 0.0)
    return float(1.0 / np.sum(star**2))


def flux_of(snr: Floats, noise: Floats, pixels: float, gain: float | None) -> Floats:
    """Return the flux of stars whose optimally measured flux has a signal-to-noise ratio.

    Parameters
    ----------
    snr : ndarray of float64, shape (n,)
    noise : ndarray of float64, shape (n,)
        1 sigma of the sky in a pixel where each lies.
    pixels : float
        From `noise_pixels`.
    gain : float or None
        Electrons per unit; None leaves the star's own noise out.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    sky = pixels * noise**2
    own = 0.0 if gain is None else 1.0 / gain
    # snr**2 = flux**2 / (sky + flux / gain), solved for the flux.
    half = 0.5 * snr**2 * own
    return np.asarray(half + np.sqrt(half**2 + snr**2 * sky), np.float64)


def plant(exposure: Exposure, stars: Planted, gain: float | None, rng: np.random.Generator) -> Exposure:
    """Add stars to a copy of an image.

    Parameters
    ----------
    exposure : Exposure
        Its width has the star of the frame.
    stars : Planted
    gain : float or None
        Electrons per unit, for Poisson noise; None adds none.
    rng : Generator

    Returns
    -------
    Exposure
        With pixels of its own, and not above the saturation level where they were below it.
    """
    pixels = exposure.pixels.astype(np.float64)
    half = _half(exposure)
    ny, nx = pixels.shape
    for x, y, flux in zip(stars.x, stars.y, stars.flux, strict=True):
        column, row = round(x), round(y)
        light = flux * _unit_star(exposure, x - column, y - row)
        if gain is not None:
            # The wings of a measured star have noise of their own, also below the sky.
            light = np.where(light > 0, rng.poisson(np.maximum(light * gain, 0.0)) / gain, light)
        top, left = max(row - half, 0), max(column - half, 0)
        bottom, right = min(row + half + 1, ny), min(column + half + 1, nx)
        inside = light[
            top - row + half : bottom - row + half, left - column + half : right - column + half
        ]
        pixels[top:bottom, left:right] += inside
    if exposure.saturation is not None:
        highest = np.maximum(exposure.pixels, exposure.saturation)
        np.minimum(pixels, highest, out=pixels, where=np.isfinite(highest))
    return replace(exposure, pixels=pixels.astype(np.float32))


def places(
    exposure: Exposure, most: int, rng: np.random.Generator, on: Galaxies | None = None
) -> tuple[Floats, Floats]:
    """Draw places over an image, anywhere that has data, and not close to one another.

    Parameters
    ----------
    exposure : Exposure
    most : int
        Fewer are drawn where there is no room: one for a square of 25 FWHM, so that they change neither
        the background nor its noise, and 10 anyway.
    rng : Generator
    on : Galaxies, optional
        Only on these, each as likely as the others, spread as a Gaussian that has their axes.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        0-based pixels.
    """
    assert exposure.fwhm is not None
    ny, nx = exposure.shape
    most = min(most, max(int(nx * ny / (_ROOM * exposure.fwhm) ** 2), _FEWEST))
    margin = min(_MARGIN * exposure.fwhm, 0.25 * min(nx, ny))
    low, high = (margin, margin), (nx - 1 - margin, ny - 1 - margin)
    if on is None:
        drawn = rng.uniform(low, high, (most * _TRIES, 2))
    else:
        drawn = _drawn_on(on, most * _TRIES, rng)
        drawn = drawn[np.all((drawn >= low) & (drawn <= high), axis=1)]
    columns, rows = np.rint(drawn).astype(np.int64).T
    has_data = np.isfinite(exposure.pixels[rows, columns])
    if exposure.mask is not None:
        has_data &= ~exposure.mask[rows, columns]
    nearest = (_APART * exposure.fwhm) ** 2
    taken = np.empty((0, 2))
    for place in drawn[has_data]:
        if len(taken) == most:
            break
        if ((taken - place) ** 2).sum(axis=1).min(initial=np.inf) >= nearest:
            taken = np.vstack([taken, place])
    return taken[:, 0], taken[:, 1]


def _drawn_on(galaxies: Galaxies, n: int, rng: np.random.Generator) -> Floats:
    """Draw places as the light of galaxies lies, shape (n, 2)."""
    k = rng.integers(0, len(galaxies.x), n)
    along, across = rng.normal(0, 1, (2, n)) * (galaxies.a[k], galaxies.b[k])
    cos, sin = np.cos(galaxies.theta[k]), np.sin(galaxies.theta[k])
    x = galaxies.x[k] + along * cos - across * sin
    return np.column_stack([x, galaxies.y[k] + along * sin + across * cos])


def _half(exposure: Exposure) -> int:
    assert exposure.fwhm is not None
    return int(np.ceil(SIZE // 2 * exposure.fwhm / STAMP_FWHM))


def _unit_star(exposure: Exposure, dx: float, dy: float) -> Floats:
    """Return the star of the frame with a flux of 1, so far from the middle of its window."""
    width = exposure.width
    if width is None or width.stamp is None:
        raise InputError(
            "the star of this frame is not known: it shows too few stars; give one by `psf`"
        )
    half = _half(exposure)
    side = 2 * half + 1
    star = star_at(width.stamp, width.stamp_fwhm / STAMP_FWHM, (side, side), half + dx, half + dy)
    return np.asarray(star / star.sum(), np.float64)
