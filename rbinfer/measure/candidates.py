"""Maxima of an image with Gaussians fitted to them, each at the binning that suits its width."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .layers import Layer, Pixels
from .maxima import RADIUS, Maxima, find_maxima, joined, measure_sky, spread
from .profiles import FWHM_PER_SIGMA, Fits, fit_ellipses, fit_round

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Factors that an image is binned by.
FACTORS = (1, 2, 4, 8)
_MOST_ROUND, _MOST_ELLIPSES = 250, 50  # maxima fitted, at most
#: Rough sigma, in pixels, of what is fitted at one binning: what is larger is fitted at a coarser one,
#: what is smaller in a binned image at a finer one.
_LARGEST, _SMALLEST_BINNED = 1.3, 0.55
_LEAST_WIDTH = 1.5  # FWHM, in pixels, of what is fitted in a binned image
_REACH = 2.2  # radius that is fitted, in FWHM,
_LEAST_REACH = 2.3  # and pixels
_LONGEST = 5.5  # FWHM along an ellipse, in pixels of its stamp
_SAME = 1.2  # distance, in FWHM, within which maxima of two binnings are of one object


@dataclass(frozen=True)
class Candidates:
    """What was fitted to n maxima, in pixels of the image.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Centres, 0-based.
    phase : ndarray of float64, shape (n, 2)
        Of the centre, x and y, from the middle of the brightest pixel, in pixels of `factor`.
    factor : ndarray of int64, shape (n,)
        Binning that they were fitted at.
    log_fwhm : ndarray of float64, shape (n,)
        Logarithm of the FWHM.
    error : ndarray of float64, shape (n,)
        Standard error of `log_fwhm` from the noise.
    shape : ndarray of float64, shape (n, 2)
        See `rbinfer.measure.profiles.Fits`.
    shape_error : ndarray of float64, shape (n,)
        Standard error of either from the noise.
    snr : ndarray of float64, shape (n,)
        Height of the brightest pixel over the noise, at that binning.
    excess : ndarray of float64, shape (n,)
        Root mean square of what the fit leaves beyond the noise, over the height.
    flux : ndarray of float64, shape (n,)
        Units of the image.
    sky : ndarray of float64, shape (n,)
        Level that the fit stands on, units of the image.
    """

    x: Floats
    y: Floats
    phase: Floats
    factor: Ints
    log_fwhm: Floats
    error: Floats
    shape: Floats
    shape_error: Floats
    snr: Floats
    excess: Floats
    flux: Floats
    sky: Floats

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Ints | Bools) -> Self:
        return type(self)(*(getattr(self, each.name)[rows] for each in fields(self)))


@dataclass(frozen=True)
class Pyramid:
    """An image at several binnings, with the maxima of each.

    Attributes
    ----------
    layers : list of Layer
        By the factors 1, 2, 4, 8, as far as the image is large enough.
    maxima : list of Maxima
    """

    layers: list[Layer]
    maxima: list[Maxima]

    @classmethod
    def of(cls, image: Layer, saturation: float | None) -> Self:
        """Bin an image and find the maxima.

        Parameters
        ----------
        image : Layer
            As it is; NaN where bad.
        saturation : float or None
            Maxima at or above it are left out. Without it, a level that several maxima share is taken
            for saturation.
        """
        layers, found = [image], []
        for factor in FACTORS:
            if factor > 1:
                layers.append(layers[-1].halved())
            found.append(find_maxima(layers[-1], measure_sky(layers[-1]), saturation, factor))
            if min(layers[-1].shape) < 4 * (2 * RADIUS + 1):
                break
        return cls(layers, found)


def measure_round(pyramid: Pyramid) -> Candidates:
    """Fit round Gaussians to at most 250 maxima.

    Parameters
    ----------
    pyramid : Pyramid

    Returns
    -------
    Candidates
        Each object once.
    """
    sized = [
        each[(each.size < _LARGEST) & ((each.least_size >= _SMALLEST_BINNED) | (each.factor == 1))]
        for each in pyramid.maxima
    ]
    maxima = _chosen(pyramid, sized, _MOST_ROUND)
    weights = _weights(maxima, _REACH * FWHM_PER_SIGMA * maxima.size)
    fits = fit_round(np.nan_to_num(maxima.stamps, nan=0.0), weights, maxima.size)
    found = _candidates(maxima, fits)
    # Of what is wider the stamp does not reach half of the maximum: the fit ends at its largest width.
    found = found[found.log_fwhm < np.log(2.0 * RADIUS * found.factor)]
    # What turns out to be narrow seemed wide for a neighbour; alone it is fitted at a finer binning.
    is_wide = found.log_fwhm > np.log(_LEAST_WIDTH * found.factor)
    return _each_once(found[is_wide | (found.factor == 1)])


def measure_ellipses(pyramid: Pyramid) -> Candidates:
    """Fit elliptical Gaussians to at most 50 maxima, small ones and large ones.

    Parameters
    ----------
    pyramid : Pyramid

    Returns
    -------
    Candidates
        Each object once.
    """
    maxima = _chosen(pyramid, pyramid.maxima, _MOST_ELLIPSES)
    weights = _weights(maxima, np.full(len(maxima), np.inf))
    stamps = np.nan_to_num(maxima.stamps, nan=0.0)
    found = _candidates(maxima, fit_ellipses(stamps, weights, maxima.size, rough_shapes(maxima.stamps)))
    # What is longer than its stamp is fitted at a coarser binning.
    long = found.log_fwhm + np.hypot(*found.shape.T)
    return _each_once(found[long < np.log(_LONGEST * found.factor)])


def rough_shapes(stamps: Pixels) -> Floats:
    """Measure shapes by the second moments of what is above 0.4 of the middle pixel.

    Parameters
    ----------
    stamps : ndarray of float32, shape (n, side, side)
        Less the sky; `side` is odd.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        See `rbinfer.measure.profiles.Fits`.
    """
    middle = stamps.shape[1] // 2
    offsets = np.arange(-middle, middle + 1)
    bright = (stamps > 0.4 * stamps[:, middle, middle, None, None]).astype(np.float64)
    n = bright.sum(axis=(1, 2))
    x = np.einsum("nyx,x->n", bright, offsets) / n
    y = np.einsum("nyx,y->n", bright, offsets) / n
    xx = np.einsum("nyx,x->n", bright, offsets**2) / n - x * x + 0.3
    yy = np.einsum("nyx,y->n", bright, offsets**2) / n - y * y + 0.3
    xy = np.einsum("nyx,y,x->n", bright, offsets, offsets) / n - x * y
    return 0.5 * np.stack([(xx - yy) / (xx + yy), 2.0 * xy / (xx + yy)], axis=1)


def _chosen(pyramid: Pyramid, maxima: list[Maxima], most: int) -> Maxima:
    """Share `most` out among the binnings, as evenly as they have maxima, and choose."""
    counts = np.array([len(each) for each in maxima])
    ceilings = np.arange(most + 1)
    affordable = np.minimum(counts[:, None], ceilings).sum(axis=0) <= most
    ceiling = int(ceilings[affordable][-1])
    return joined(
        [
            each[spread(each, layer.shape, ceiling)]
            for each, layer in zip(maxima, pyramid.layers, strict=True)
        ]
    )


def _weights(maxima: Maxima, reach: Floats) -> Pixels:
    offsets = np.arange(-RADIUS, RADIUS + 1)
    distance = np.hypot(offsets[:, None], offsets[None, :])
    limit = np.clip(reach, _LEAST_REACH, RADIUS + 0.3)[:, None, None]
    return (np.isfinite(maxima.stamps) & (distance <= limit)).astype(np.float32)


def _candidates(maxima: Maxima, fits: Fits) -> Candidates:
    height = maxima.height.astype(np.float64)
    beyond = np.maximum(fits.residual / fits.freedom - 1.0, 0.0)
    factor = maxima.factor
    middle = 0.5 * (factor - 1)
    return Candidates(
        (maxima.x + fits.x) * factor + middle, (maxima.y + fits.y) * factor + middle,
        np.stack([fits.x, fits.y], axis=1), factor,
        np.log(FWHM_PER_SIGMA * fits.sigma * factor), fits.error, fits.shape, fits.shape_error,
        height, np.sqrt(beyond) / height, fits.flux * maxima.noise * factor**2,
        maxima.sky + fits.sky * maxima.noise,
    )  # fmt: skip


def _each_once(found: Candidates) -> Candidates:
    """Leave out what was fitted at a finer binning too."""
    apart = np.hypot(found.x[:, None] - found.x, found.y[:, None] - found.y)
    near = apart < _SAME * np.exp(np.minimum(found.log_fwhm[:, None], found.log_fwhm))
    repeated = np.any(near & (found.factor[:, None] > found.factor), axis=1)
    return found[~repeated]
