"""Streaks, fitted on stamps as long as they are."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .candidates import FACTORS, Candidates, Pyramid
from .layers import Layer
from .profiles import FWHM_PER_SIGMA, fit_ellipses

Floats = NDArray[np.float64]

_MOST = 16  # streaks that are fitted, the brightest
_PASSES = 3  # each begins at what the one before found: centre, length and width
_LEAST_ACROSS = 1.3  # FWHM across, in pixels of the binning that is fitted
_LONGEST = 24  # radius of a stamp in its pixels, beyond which a coarser binning is fitted
_REACH_ALONG, _REACH_ACROSS = 1.1, 2.2  # what is fitted, in FWHM along and across,
_MORE = 2.0  # and pixels beyond
_LARGEST = 60.0  # sigma in pixels of the stamp


def fit_streaks(pyramid: Pyramid, stars: Candidates) -> Candidates:
    """Fit streaks that are all alike again, as a whole.

    The stamps of other fits are 11 pixels a side: at full resolution they end within a long streak, and
    in a binned image its width across is lost.

    Parameters
    ----------
    pyramid : Pyramid
    stars : Candidates

    Returns
    -------
    Candidates
        The brightest of them, 16 at most, with their places, widths, shapes, fluxes and skies.
    """
    stars = stars[np.argsort(-stars.snr, kind="stable")[:_MOST]]
    for _ in range(_PASSES):
        fwhm = float(np.exp(np.median(stars.log_fwhm)))
        shape = np.median(stars.shape, axis=0)
        stars = _fitted(pyramid, stars, fwhm, shape)
    return stars


def _fitted(pyramid: Pyramid, stars: Candidates, fwhm: float, shape: Floats) -> Candidates:
    ratio = float(np.exp(np.hypot(*shape)))
    along, across = fwhm * ratio, fwhm / ratio
    level = _level(along, across, len(pyramid.layers))
    factor = FACTORS[level]
    along, across = along / factor, across / factor
    radius = int(np.ceil(_REACH_ALONG * along + _MORE))
    middle = 0.5 * (factor - 1)
    x, y = (np.rint((each - middle) / factor).astype(np.int64) for each in (stars.x, stars.y))
    stamps = _stamps(pyramid.layers[level], x, y, radius) - stars.sky[:, None, None]
    weights = np.isfinite(stamps) & _inside(radius, along, across, shape)
    height = np.where(weights, stamps, 0.0).max(axis=(1, 2))
    # Next to bad pixels a coarse layer may have nothing of a star above its sky.
    is_seen = height > 0
    if not is_seen.any():
        return stars
    stars, stamps, height = stars[is_seen], stamps[is_seen], height[is_seen]
    x, y, weights = x[is_seen], y[is_seen], weights[is_seen]
    fits = fit_ellipses(
        np.nan_to_num(stamps / height[:, None, None], nan=0.0).astype(np.float32),
        weights.astype(np.float32),
        np.full(len(stars), fwhm / factor / FWHM_PER_SIGMA),
        np.tile(shape, (len(stars), 1)),
        _LARGEST,
    )
    return replace(
        stars,
        x=(x + fits.x) * factor + middle,
        y=(y + fits.y) * factor + middle,
        log_fwhm=np.log(FWHM_PER_SIGMA * fits.sigma * factor),
        shape=fits.shape,
        flux=fits.flux * height * factor**2,
        sky=stars.sky + fits.sky * height,
    )


def _level(along: float, across: float, n: int) -> int:
    """Return the coarsest binning that resolves streaks, or the finest that has room for them."""
    fine = max(k for k in range(n) if across / FACTORS[k] >= _LEAST_ACROSS or k == 0)
    for level in range(fine, n):
        if _REACH_ALONG * along / FACTORS[level] + _MORE <= _LONGEST:
            return level
    return n - 1


def _stamps(layer: Layer, x: NDArray[np.int64], y: NDArray[np.int64], radius: int) -> Floats:
    """Cut square stamps; NaN off the image."""
    offsets = np.arange(-radius, radius + 1)
    rows, columns = y[:, None] + offsets, x[:, None] + offsets
    height, width = layer.shape
    values = layer.at(
        np.clip(rows, 0, height - 1)[:, :, None], np.clip(columns, 0, width - 1)[:, None, :]
    ).astype(np.float64)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    return np.where(inside, values, np.nan)


def _inside(radius: int, along: float, across: float, shape: Floats) -> NDArray[np.bool_]:
    """Mark the pixels around a streak: its sky, but not that of its neighbours."""
    theta = 0.5 * np.arctan2(shape[1], shape[0])
    offsets = np.arange(-radius, radius + 1)
    x, y = offsets[None, :], offsets[:, None]
    u = (x * np.cos(theta) + y * np.sin(theta)) / (_REACH_ALONG * along + _MORE)
    v = (y * np.cos(theta) - x * np.sin(theta)) / (_REACH_ACROSS * across + _MORE)
    marked: NDArray[np.bool_] = u**2 + v**2 <= 1.0
    return marked
