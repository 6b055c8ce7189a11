"""Fits of Gaussians to many stamps at once.

Flux and sky are solved for at each step, so that only place, width and shape are searched for, by the
steps of Levenberg and Marquardt, which all stamps take together, with pixels in single precision and
the equations in double. The round Gaussian is integrated over
the pixels exactly: there it is the product of one integral a row and one a column.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: FWHM of a Gaussian over its standard deviation.
FWHM_PER_SIGMA = float(2.0 * np.sqrt(2.0 * np.log(2.0)))
#: Variance of a pixel's own extent.
_PIXEL_VARIANCE = 1.0 / 12.0

_LEAST_SIGMA = 0.1  # pixels
_FURTHEST = 1.6  # pixels from the middle of the stamp to the centre of what is fitted
_ROUND_STEPS, _ELLIPSE_STEPS = 6, 14  # at most
_SETTLED = 1e-5  # step of all parameters below which no more are made
_LONGEST = 2.5  # largest half difference of the logarithms of two axes
_LEAST_SEEN = 1e-8  # mean square of a profile of flux 1 over the stamp, by its weights

#: A model takes its parameters, shape (n, m), and returns profiles of unit flux, shape (n, pixels), and
#: their derivatives, shape (n, m, pixels).
_Model = Callable[[Floats], tuple[Singles, Singles]]


@dataclass(frozen=True)
class Fits:
    """Gaussians fitted to n stamps.

    Attributes
    ----------
    flux, sky : ndarray of float64, shape (n,)
        In the units of the stamps, `sky` a pixel.
    x, y : ndarray of float64, shape (n,)
        Centre, pixels from the middle of the middle pixel.
    sigma : ndarray of float64, shape (n,)
        Standard deviation before integration over the pixel, in pixels of the stamp; of an ellipse the
        geometric mean of both axes.
    error : ndarray of float64, shape (n,)
        Standard error of the logarithm of `sigma` for noise of 1 in each pixel.
    shape : ndarray of float64, shape (n, 2)
        ``log(a / b) / 2`` for the axes a and b of the ellipse, times the cosine and the sine of twice
        the angle from the x axis to the long one.
    shape_error : ndarray of float64, shape (n,)
        Standard error of either, for noise of 1 in each pixel.
    residual : ndarray of float64, shape (n,)
        Sum of the squares of what the fit leaves.
    freedom : ndarray of float64, shape (n,)
        Pixels fitted less the parameters, 1 at least.
    """

    flux: Floats
    sky: Floats
    x: Floats
    y: Floats
    sigma: Floats
    error: Floats
    shape: Floats
    shape_error: Floats
    residual: Floats
    freedom: Floats

    def __getitem__(self, rows: NDArray[np.int64] | Bools) -> Self:
        return type(self)(*(getattr(self, each.name)[rows] for each in fields(self)))


def fit_round(stamps: Singles, weights: Singles, sigma: Floats, largest: float = 5.0) -> Fits:
    """Fit a round Gaussian, integrated over the pixels, and a constant sky to each stamp.

    The shape is that of one more step with two more parameters from the best round fit: right to first
    order. The residual is what that step would leave.

    Parameters
    ----------
    stamps : ndarray of float32, shape (n, side, side)
        Finite everywhere; `side` is odd.
    weights : ndarray of float32, shape (n, side, side)
        0 where a pixel is not to be used, else 1.
    sigma : ndarray of float64, shape (n,)
        Where to start.
    largest : float
        Largest sigma, pixels.

    Returns
    -------
    Fits
    """
    data = _Data.of(stamps, weights)
    start = np.stack([np.zeros_like(sigma), np.zeros_like(sigma), np.log(sigma)], axis=1)
    low = np.array([-_FURTHEST, -_FURTHEST, np.log(_LEAST_SIGMA)])
    high = np.array([_FURTHEST, _FURTHEST, np.log(largest)])
    state = _minimised(data, partial(_round, data.offsets), start, low, high, _ROUND_STEPS)
    return _finished(data, state, _shape_derivatives(data.offsets, state.parameters))


def fit_ellipses(
    stamps: Singles, weights: Singles, sigma: Floats, shape: Floats, largest: float = 5.0
) -> Fits:
    """Fit an elliptical Gaussian and a constant sky to each stamp.

    The pixel adds 1/12 to the variance along each axis, which is good to 1 % where the FWHM across is
    above 1.2 pixels.

    Parameters
    ----------
    stamps, weights, sigma, largest
        As for `fit_round`.
    shape : ndarray of float64, shape (n, 2)
        Where to start.

    Returns
    -------
    Fits
    """
    data = _Data.of(stamps, weights)
    start = np.concatenate([np.zeros_like(shape), np.log(sigma)[:, None], shape], axis=1)
    low = np.array([-_FURTHEST, -_FURTHEST, np.log(_LEAST_SIGMA), -_LONGEST, -_LONGEST])
    high = np.array([_FURTHEST, _FURTHEST, np.log(largest), _LONGEST, _LONGEST])
    state = _minimised(data, partial(_ellipse, data.offsets), start, low, high, _ELLIPSE_STEPS)
    return _finished(data, state, state.by[:, :0])


# ------------------------------------------------------------------------------------- the models


def erf(x: Floats) -> Floats:
    """Return the error function, to 1.5e-7.

    Abramowitz & Stegun 1964, Handbook of Mathematical Functions, eq. 7.1.26; NumPy has none.
    """
    a = np.abs(x)
    t = 1.0 / (1.0 + 0.3275911 * a)
    series = 1.421413741 + t * (-1.453152027 + t * 1.061405429)
    series = t * (0.254829592 + t * (-0.284496736 + t * series))
    value: Floats = np.copysign(1.0 - series * np.exp(-a * a), x)
    return value


def pixel_integrals(centre: Floats, sigma: Floats, offsets: Floats) -> tuple[Floats, Floats, Floats]:
    """Integrate a Gaussian of unit area over pixels along one axis.

    Parameters
    ----------
    centre, sigma : ndarray of float64, shape (n,)
        Pixels.
    offsets : ndarray of float64, shape (m,) or (n, m)
        Middles of the pixels.

    Returns
    -------
    integral, by_centre, by_log_sigma : ndarray of float64, shape (n, m)
        The integral and its derivatives.
    """
    scale = 1.0 / sigma[:, None]
    middle = (offsets - centre[:, None]) * scale
    low, high = middle - 0.5 * scale, middle + 0.5 * scale
    integral = 0.5 * (erf(high * np.sqrt(0.5)) - erf(low * np.sqrt(0.5)))
    norm = 1.0 / np.sqrt(2.0 * np.pi)
    at_low, at_high = norm * np.exp(-0.5 * low * low), norm * np.exp(-0.5 * high * high)
    return integral, (at_low - at_high) * scale, at_low * low - at_high * high


def _outer(rows: Floats, columns: Floats) -> Singles:
    product: Singles = rows.astype(np.float32)[:, :, None] * columns.astype(np.float32)[:, None, :]
    return product.reshape(len(rows), rows.shape[1] * columns.shape[1])


def _round(offsets: Floats, parameters: Floats) -> tuple[Singles, Singles]:
    """Evaluate round Gaussians of x, y and the logarithm of sigma."""
    sigma = np.exp(parameters[:, 2])
    gx, dx, lx = pixel_integrals(parameters[:, 0], sigma, offsets)
    gy, dy, ly = pixel_integrals(parameters[:, 1], sigma, offsets)
    by = np.stack([_outer(gy, dx), _outer(dy, gx), _outer(gy, lx) + _outer(ly, gx)], axis=1)
    return _outer(gy, gx), by


def _shape_derivatives(offsets: Floats, parameters: Floats) -> Singles:
    """Return the derivatives of round Gaussians by the two numbers of their shape.

    The derivative of a Gaussian by its covariance of x and y is that by x and y in turn, also after
    integration over the pixel.
    """
    sigma = np.exp(parameters[:, 2])
    gx, dx, lx = pixel_integrals(parameters[:, 0], sigma, offsets)
    gy, dy, ly = pixel_integrals(parameters[:, 1], sigma, offsets)
    shear = _outer(2.0 * (sigma * sigma)[:, None] * dy, dx)
    return np.stack([_outer(gy, lx) - _outer(ly, gx), shear], axis=1)


def covariances(log_sigma: Floats, shape: Floats) -> Floats:
    """Return the variances along x and y and the covariance of ellipses, pixel included.

    Parameters
    ----------
    log_sigma : ndarray of float64, shape (n,)
    shape : ndarray of float64, shape (n, 2)
        See `Fits`.

    Returns
    -------
    ndarray of float64, shape (n, 3)
    """
    size = np.hypot(shape[:, 0], shape[:, 1])
    # sinh(2 e) / e, which tends to 2.
    ratio = np.sinh(2.0 * size) / np.where(size > 1e-9, size, 1.0)
    ratio = np.where(size > 1e-9, ratio, 2.0)
    square, even = np.exp(2.0 * log_sigma), np.cosh(2.0 * size)
    return np.stack(
        [
            square * (even + ratio * shape[:, 0]) + _PIXEL_VARIANCE,
            square * (even - ratio * shape[:, 0]) + _PIXEL_VARIANCE,
            square * ratio * shape[:, 1],
        ],
        axis=1,
    )


def _ellipse(offsets: Floats, parameters: Floats) -> tuple[Singles, Singles]:
    """Evaluate elliptical Gaussians of x, y, the logarithm of sigma, and shape."""
    step = 1e-5
    log_sigma, shape = parameters[:, 2], parameters[:, 3:]
    variance = covariances(log_sigma, shape)
    by_width = 2.0 * (variance - np.array([_PIXEL_VARIANCE, _PIXEL_VARIANCE, 0.0]))
    by_shape = [(covariances(log_sigma, shape + step * axis) - variance) / step for axis in np.eye(2)]
    det = variance[:, :1] * variance[:, 1:2] - variance[:, 2:] ** 2
    xx, yy, xy = (each.astype(np.float32) for each in variance.T[:, :, None])
    side = len(offsets)
    x = (np.tile(offsets, side) - parameters[:, :1]).astype(np.float32)
    y = (np.repeat(offsets, side) - parameters[:, 1:2]).astype(np.float32)
    det = det.astype(np.float32)
    u, v = (yy * x - xy * y) / det, (xx * y - xy * x) / det
    unit = np.exp(np.float32(-0.5) * (u * x + v * y)) / (np.float32(2.0 * np.pi) * np.sqrt(det))
    by_variance = np.stack(
        [
            np.float32(0.5) * unit * (u * u - yy / det),
            np.float32(0.5) * unit * (v * v - xx / det),
            unit * (u * v + xy / det),
        ],
        axis=1,
    )
    chain = np.stack([by_width, *by_shape], axis=1).astype(np.float32)
    by = np.concatenate([(unit * u)[:, None], (unit * v)[:, None], chain @ by_variance], axis=1)
    return unit, by


# ------------------------------------------------------------------------------------ the search


@dataclass(frozen=True)
class _Data:
    """Stamps as lines, with their weights, and sums that do not change from step to step."""

    offsets: Floats
    values: Singles
    weights: Singles
    weight_sum: Floats
    value_sum: Floats

    @classmethod
    def of(cls, stamps: Singles, weights: Singles) -> Self:
        n, side, _ = stamps.shape
        values, lines = stamps.reshape(n, side * side), weights.reshape(n, side * side)
        offsets = np.arange(side, dtype=np.float64) - side // 2
        sums = lines.sum(axis=1).astype(np.float64), _dots(lines, values)
        return cls(offsets, values, lines, *sums)


def _dots(a: Singles, b: Singles) -> Floats:
    """Multiply line by line, and add up."""
    products: Floats = (a[:, None, :] @ b[:, :, None])[:, 0, 0].astype(np.float64)
    return products


@dataclass(frozen=True)
class _State:
    """Where the fits stand."""

    parameters: Floats
    unit: Singles
    by: Singles
    flux: Floats
    sky: Floats
    left: Singles  # of the data, times the weights
    cost: Floats


def _at(data: _Data, model: _Model, parameters: Floats) -> _State:
    """Evaluate a model with the flux and the sky that fit best."""
    unit, by = model(parameters)
    weighted = data.weights * unit
    uu, uv = _dots(weighted, unit), _dots(weighted, data.values)
    u = weighted.sum(axis=1).astype(np.float64)
    w, v = data.weight_sum, data.value_sum
    det = uu * w - u * u
    # A profile that has left the stamp would need a flux beyond what single precision holds.
    is_seen = uu > _LEAST_SEEN * w
    det = np.where(is_seen & (det > 1e-6 * uu * w), det, np.inf)
    flux, sky = (uv * w - u * v) / det, (uu * v - u * uv) / det
    left = data.values - flux.astype(np.float32)[:, None] * unit - sky.astype(np.float32)[:, None]
    weighted_left = data.weights * left
    cost = _dots(weighted_left, left)
    return _State(parameters, unit, by, flux, sky, weighted_left, cost)


def _minimised(
    data: _Data, model: _Model, start: Floats, low: Floats, high: Floats, steps: int
) -> _State:
    state = _at(data, model, np.clip(start, low, high))
    damping = np.full(len(start), 0.01)
    for _ in range(steps):
        normal, right = _normal_equations(data, state, state.by[:, :0])
        diagonal = np.einsum("nii->ni", normal)
        ridge = (
            diagonal * damping[:, None] + 1e-9 * diagonal.max(axis=1, keepdims=True, initial=0.0) + 1e-30
        )
        damped = normal + ridge[:, :, None] * np.eye(normal.shape[1])
        step = np.linalg.solve(damped, right[:, :, None])[:, 2:, 0]
        if np.abs(step).max(initial=0.0) < _SETTLED:
            break
        trial = _at(data, model, np.clip(state.parameters + np.clip(step, -0.6, 0.6), low, high))
        better = trial.cost <= state.cost
        damping = np.where(better, damping * 0.2, damping * 10.0)
        state = _State(
            *(
                np.where(better.reshape(-1, *[1] * (getattr(trial, each.name).ndim - 1)),
                         getattr(trial, each.name), getattr(state, each.name))
                for each in fields(_State)
            )
        )  # fmt: skip
    return state


def _normal_equations(data: _Data, state: _State, more: Singles) -> tuple[Floats, Floats]:
    """Return the normal matrix and the right side, by flux, sky, the parameters and what is `more`."""
    flux = state.flux.astype(np.float32)[:, None, None]
    ones = np.ones_like(state.unit)
    jacobian = np.concatenate([state.unit[:, None], ones[:, None], flux * state.by, flux * more], axis=1)
    normal = (jacobian * data.weights[:, None, :]) @ jacobian.transpose(0, 2, 1)
    right = (jacobian @ state.left[:, :, None])[:, :, 0]
    return normal.astype(np.float64), right.astype(np.float64)


def _finished(data: _Data, state: _State, more: Singles) -> Fits:
    """Add errors, and take one more linear step of the parameters with those of `more`."""
    normal, right = _normal_equations(data, state, more)
    diagonal = np.einsum("nii->ni", normal)
    size = normal.shape[1]
    covariance = np.linalg.inv(normal + (1e-7 * diagonal + 1e-30)[:, :, None] * np.eye(size))
    step = (covariance @ right[:, :, None])[:, :, 0]
    # What that step takes off the cost; never more than there is.
    gain = np.clip(np.einsum("ni,ni->n", step, right), 0.0, state.cost)
    errors = np.sqrt(np.maximum(np.einsum("nii->ni", covariance), 0.0))
    shape = state.parameters[:, 3:5] if more.shape[1] == 0 else step[:, 5:7]
    return Fits(
        state.flux, state.sky, state.parameters[:, 0], state.parameters[:, 1],
        np.exp(state.parameters[:, 2]), errors[:, 4], shape, errors[:, 5:7].mean(axis=1),
        state.cost - gain, np.maximum(data.weight_sum - size, 1.0),
    )  # fmt: skip
