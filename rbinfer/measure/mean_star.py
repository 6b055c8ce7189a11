"""The mean image of stars, on the grid that the networks' cutouts have."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .candidates import FACTORS, Candidates, Pyramid
from .layers import Layer
from .profiles import FWHM_PER_SIGMA, covariances, fit_ellipses, pixel_integrals

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Side of the grid, and FWHM of a star on it, in its pixels.
SIZE = 31
FWHM = 3.0
_MIDDLE = SIZE // 2
_SAMPLES = 25_000  # pixels of stars that are averaged, about
_FEWEST, _MOST = 8, 60  # stars
_DOUBT = 1.0  # weight of the Gaussian, in samples
_CLIP = 4.0  # in standard deviations of a star's residual
_CORE = 7  # pixels of the grid from the middle that ellipses are fitted to
_EMPTY = 13.0  # pixels of the grid from the middle beyond which there is but sky


@dataclass(frozen=True)
class MeanStar:
    """The mean of stars that were moved, over parts of a pixel, onto one another.

    Attributes
    ----------
    stamp : ndarray of float32, shape (31, 31)
        The star is on the middle pixel and 3 pixels wide (FWHM, less the extent of the image's pixels,
        which it is blurred by as stars in the image are); its maximum is 1.
    scatter : ndarray of float32, shape (31, 31)
        Root mean square of how the stars differ from it, noise included, in the same units.
    ellipticity : float
        ``1 - b / a`` for the axes a and b of the elliptical Gaussian that fits best, before integration
        over the pixel.
    theta : float
        Angle of its long axis from the x axis towards the y axis, radians, from -pi / 2 to pi / 2.
    """

    stamp: NDArray[np.float32]
    scatter: NDArray[np.float32]
    ellipticity: float
    theta: float


@dataclass(frozen=True)
class _Samples:
    """Pixels of stars.

    Attributes
    ----------
    corners : ndarray of int64, shape (4, n * m)
        The pixels around each on a grid that is larger by one pixel at each side, as a line.
    parts : ndarray of float64, shape (4, n * m)
        How much of it belongs to each of them.
    residual, profile : ndarray of float64, shape (n, m)
        Values over the flux less a round Gaussian, and that Gaussian.
    good : ndarray of bool, shape (n, m)
    """

    corners: NDArray[np.int64]
    parts: Floats
    residual: Floats
    profile: Floats
    good: Bools


def average_stars(pyramid: Pyramid, stars: Candidates, fwhm: float) -> MeanStar:
    """Average stars on a grid on which they are 3 pixels wide.

    What is averaged is how each star differs from a Gaussian integrated over the pixels; each pixel of
    each star counts where it fell between the pixels of the grid, so that the sub-pixel phases of
    undersampled stars resolve them. Pixels that do not fit the others are left out.

    Parameters
    ----------
    pyramid : Pyramid
    stars : Candidates
        Of one profile.
    fwhm : float
        Pixels.

    Returns
    -------
    MeanStar
    """
    spacing = fwhm / FWHM
    level = _level(spacing, len(pyramid.layers))
    factor = FACTORS[level]
    radius = int(np.ceil(_MIDDLE * spacing / factor)) + 1
    n = int(np.clip(_SAMPLES // (2 * radius + 1) ** 2, _FEWEST, _MOST))
    stars = stars[np.argsort(-stars.snr, kind="stable")[:n]]
    samples = _sampled(pyramid.layers[level], factor, radius, stars, fwhm)
    samples = _clipped(samples, _splat(samples, samples.residual))
    residual = _splat(samples, samples.residual)
    # To share pixels out smooths; what that took away is added once more.
    residual += _splat(samples, samples.residual - _interpolated(residual, samples))
    grid: Floats = (np.arange(SIZE) - _MIDDLE) * np.float64(spacing / factor)
    gaussian = _gaussian(grid[None], fwhm / factor)[0]
    stamp, top = _of_height_1(gaussian[:, None] * gaussian[None, :] / factor**2 + residual)
    squares = _splat(samples, (samples.residual - _interpolated(residual, samples)) ** 2)
    scatter = (np.sqrt(squares) / top).astype(np.float32)
    return MeanStar(stamp, scatter, *_ellipse(stamp, factor / spacing))


def place_star(
    image: Floats, x: float, y: float, fwhm: float, spacing: float
) -> tuple[NDArray[np.float32], float, float]:
    """Put one star without noise on the grid.

    As in `average_stars`, a round Gaussian is integrated exactly and what differs from it is moved, here
    by linear interpolation.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        The star, of a flux of 1; 0 where it has no light.
    x, y : float
        Its centre, 0-based pixels.
    fwhm : float
        FWHM of the Gaussian, pixels.
    spacing : float
        Pixels of the image from one of the grid to the next: a third of the FWHM that cutouts are
        scaled by.

    Returns
    -------
    stamp : ndarray of float32, shape (31, 31)
    ellipticity, theta : float
        As of `MeanStar`.
    """
    factor = FACTORS[_level(spacing, len(FACTORS))]
    ny, nx = (n // factor * factor for n in image.shape)
    image = image[:ny, :nx].reshape(ny // factor, factor, nx // factor, factor).mean(axis=(1, 3))
    step, width = np.float64(spacing / factor), fwhm / factor
    offsets = (np.arange(SIZE) - _MIDDLE) * step
    by_y, by_x = (
        np.arange(n) - (at - 0.5 * (factor - 1)) / factor
        for n, at in zip(image.shape, (y, x), strict=True)
    )
    own_y, own_x = _gaussian(by_y[None], width)[0], _gaussian(by_x[None], width)[0]
    residual = image - own_y[:, None] * own_x / factor**2
    to_y, to_x = (np.maximum(1.0 - np.abs(offsets[:, None] - by), 0.0) for by in (by_y, by_x))
    gaussian = _gaussian(offsets[None], width)[0]
    on_grid = gaussian[:, None] * gaussian / factor**2 + to_y @ residual @ to_x.T
    stamp, _ = _of_height_1(on_grid)
    return stamp, *_ellipse(stamp, 1.0 / step)


def _level(spacing: float, n: int) -> int:
    """Return which of n binnings the grid is made of: the coarsest that is not coarser than the grid."""
    return max(k for k in range(n) if FACTORS[k] <= max(spacing, 1.0))


def _of_height_1(stamp: Floats) -> tuple[NDArray[np.float32], float]:
    """Take the sky off, and divide by the maximum; return that too."""
    offsets = np.arange(SIZE) - _MIDDLE
    stamp = stamp - np.median(stamp[np.hypot(offsets[:, None], offsets) > _EMPTY])
    top = float(stamp.max())
    return (stamp / top).astype(np.float32), top


def _gaussian(offsets: Floats, fwhm: float) -> Floats:
    """Integrate a Gaussian of unit area over pixels, shape (n, m)."""
    sigma = np.full(len(offsets), fwhm / FWHM_PER_SIGMA)
    return pixel_integrals(np.zeros(len(offsets)), sigma, offsets)[0]


def _sampled(layer: Layer, factor: int, radius: int, stars: Candidates, fwhm: float) -> _Samples:
    """Take pixels around stars."""
    middle = 0.5 * (factor - 1)
    x, y = (stars.x - middle) / factor, (stars.y - middle) / factor
    offsets = np.arange(-radius, radius + 1)
    columns = np.rint(x).astype(np.int64)[:, None] + offsets
    rows = np.rint(y).astype(np.int64)[:, None] + offsets
    height, width = layer.shape
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    values = layer.at(
        np.clip(rows, 0, height - 1)[:, :, None], np.clip(columns, 0, width - 1)[:, None, :]
    ).astype(np.float64)
    by_x, by_y = columns - x[:, None], rows - y[:, None]
    scale = FWHM * factor / fwhm
    # A binned image has means, and the flux is of a pixel of the image.
    profile = (
        _gaussian(by_y, fwhm / factor)[:, :, None] * _gaussian(by_x, fwhm / factor)[:, None, :]
    ) / factor**2
    residual = (values - stars.sky[:, None, None]) / stars.flux[:, None, None] - profile
    n = len(x)
    across, along = (
        np.broadcast_to(each, values.shape).reshape(n, -1)
        for each in ((by_x * scale + _MIDDLE)[:, None, :], (by_y * scale + _MIDDLE)[:, :, None])
    )
    good = (inside & np.isfinite(residual)).reshape(n, -1)
    good &= (across > -1.0) & (across < SIZE) & (along > -1.0) & (along < SIZE)
    residual = np.where(good, residual.reshape(n, -1), 0.0)
    return _Samples(*_corners(across, along), residual, profile.reshape(n, -1), good)


def _corners(across: Floats, along: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the four pixels around places, on the larger grid, and the part of each."""
    x, y = np.clip(across.ravel(), -1.0, SIZE) + 1.0, np.clip(along.ravel(), -1.0, SIZE) + 1.0
    left, low = np.minimum(x.astype(np.int64), SIZE), np.minimum(y.astype(np.int64), SIZE)
    part_x, part_y = x - left, y - low
    side = SIZE + 2
    first = low * side + left
    parts = (1 - part_x) * (1 - part_y), part_x * (1 - part_y), (1 - part_x) * part_y, part_x * part_y
    return np.stack([first, first + 1, first + side, first + side + 1]), np.stack(parts)


def _splat(samples: _Samples, values: Floats) -> Floats:
    """Average samples on the grid, each shared among the four pixels around it."""
    side = SIZE + 2
    good = samples.good.ravel().astype(np.float64)
    counted = np.where(samples.good, values, 0.0).ravel()
    total, count = np.zeros(side * side), np.zeros(side * side)
    for corner, part in zip(samples.corners, samples.parts, strict=True):
        total += np.bincount(corner, part * counted, side * side)
        count += np.bincount(corner, part * good, side * side)
    return (total / (count + _DOUBT)).reshape(side, side)[1:-1, 1:-1]


def _interpolated(grid: Floats, samples: _Samples) -> Floats:
    """Interpolate the grid, linearly, at the samples."""
    larger = np.pad(grid, 1).ravel()
    values = np.einsum("ck,ck->k", samples.parts, larger[samples.corners])
    return np.asarray(values.reshape(samples.residual.shape), np.float64)


def _clipped(samples: _Samples, mean: Floats) -> _Samples:
    """Leave out neighbours, hits and the like."""
    away = np.abs(samples.residual - _interpolated(mean, samples))
    noise = 1.4826 * np.median(away, axis=1, keepdims=True)
    return replace(samples, good=samples.good & (away <= _CLIP * noise + 0.1 * samples.profile))


def _ellipse(stamp: NDArray[np.float32], pixel: float) -> tuple[float, float]:
    """Return ellipticity and angle of a stamp blurred by a pixel of the given side."""
    core = stamp[_MIDDLE - _CORE : _MIDDLE + _CORE + 1, _MIDDLE - _CORE : _MIDDLE + _CORE + 1]
    start = np.array([FWHM / FWHM_PER_SIGMA])
    fit = fit_ellipses(
        core[None], np.ones((1, *core.shape), np.float32), start, np.zeros((1, 2)),
        largest=6.0,
    )  # fmt: skip
    xx, yy, xy = covariances(np.log(fit.sigma), fit.shape)[0]
    own = pixel**2 / 12.0
    xx, yy = xx - own, yy - own
    half = np.hypot(0.5 * (xx - yy), xy)
    long, short = 0.5 * (xx + yy) + half, 0.5 * (xx + yy) - half
    ratio = np.sqrt(max(short, 0.0) / long) if long > 0 else 1.0
    return float(1.0 - ratio), float(0.5 * np.arctan2(2.0 * xy, xx - yy))
