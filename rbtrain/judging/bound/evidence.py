"""How likely the pixels around a detection are, if it is an object of a class.

The marginal likelihood of a class is a sum over templates. Under each, the flux is integrated with its
law, and small changes of the template (a shift, a width) with a Gaussian prior: the likelihood is taken
as a Gaussian about its best place (Laplace's method). Pixels have independent Gaussian noise with the
variance that the template itself gives them. All of it is relative to the likelihood of no object.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import logsumexp, ndtr

from ..._arrays import F32, F64, I64

#: Templates of a class that are fitted closely, at first and at last; the others count as they are.
_CLOSELY = (25, 150)
#: A template that is less likely than the best by this, natural logarithm, is left out.
_HOPELESS = 40.0
_ROUNDS = 3
#: Least flux that derivatives are scaled with, in units of its error.
_LEAST = 0.3
_TINY = 1e-30


class FluxLaw(Protocol):
    """Prior of the flux of each template of a class."""

    def log_integral(self, which: I64, flux: F64, error: F64, least: F64) -> F64:
        """Return the logarithm of the integral of prior times likelihood over the flux.

        The likelihood is a Gaussian with the maximum 1.

        Parameters
        ----------
        which : int array, shape (k,)
            Indices of the templates.
        flux, error : array, shape (k,)
            Where the likelihood has its maximum, and its rms, electrons.
        least : array, shape (k,)
            Below this flux no object is detected as one of the class.
        """
        ...


@dataclass(frozen=True)
class PowerLaws:
    """Fluxes with N(>F) ~ F**-slope between two ends, one such law or a sum; see `known.Counts`.

    Attributes
    ----------
    parts : tuple of (weight, low, high, slope)
        ``low`` and ``high`` are numbers or arrays (n,), one for each template.
    """

    parts: tuple[tuple[float, float | F64, float | F64, float], ...]

    def log_integral(self, which: I64, flux: F64, error: F64, least: F64) -> F64:
        """See `FluxLaw`; the law is taken as constant over the error."""
        total = np.zeros(which.size)
        for weight, low, high, slope in self.parts:
            bottom, top = (end[which] if isinstance(end, np.ndarray) else end for end in (low, high))
            start = np.maximum(bottom, least)
            share = np.maximum(ndtr((top - flux) / error) - ndtr((start - flux) / error), 0)
            at = np.clip(flux, start, np.maximum(top, start))
            if slope > 0:
                density = slope * bottom**slope * at ** (-slope - 1) / (1 - (top / bottom) ** -slope)
            else:
                density = 1 / (at * np.log(top / bottom))
            total += weight * density * share * np.sqrt(2 * np.pi) * error * (start < top)
        return np.log(np.maximum(total, _TINY))


@dataclass(frozen=True, eq=False)
class Around:
    """The flux that each template was drawn with, blurred by a Gaussian.

    Attributes
    ----------
    flux : array, shape (n,)
        Electrons.
    spread : float
        Rms of the Gaussian, as a share of the flux.
    """

    flux: F64
    spread: float

    def log_integral(self, which: I64, flux: F64, error: F64, least: F64) -> F64:
        """See `FluxLaw`."""
        mean = self.flux[which]
        own, variance = (self.spread * mean) ** 2, error**2
        both = own + variance
        height = -0.5 * (flux - mean) ** 2 / both + 0.5 * np.log(variance / both)
        middle, width = (own * flux + variance * mean) / both, np.sqrt(own * variance / both)
        return np.asarray(height + np.log(np.maximum(ndtr((middle - least) / width), _TINY)))


@dataclass(frozen=True, eq=False)
class Library:
    """What the objects of a class may look like around the brightest pixel of a detection.

    Attributes
    ----------
    images : array, shape (n, 1 + q, p)
        float32: light of unit flux in the pixels of the window, and its derivatives by q parameters.
    spread : array, shape (q,)
        Prior rms of these parameters.
    log_weight : array, shape (n,)
        Natural logarithm of the objects a pixel that a template stands for.
    law : FluxLaw
    shown : array, shape (n,)
        Light of unit flux that tells what a detection is: an object is its cause only where this is
        more than a share `cause` of the light in the brightest pixel.
    cause : float
    """

    images: F32
    spread: F64
    log_weight: F64
    law: FluxLaw
    shown: F64
    cause: float


@dataclass(frozen=True, eq=False)
class Sight:
    """The pixels around a detection, all known light taken off; arrays are (p,), electrons.

    Attributes
    ----------
    residual : array
        What was read out, less `base`.
    base : array
        Expected light without the object.
    floor : float
        Variance of a pixel without light.
    flat_noise : float
        Error of the flat field, as a share of the light.
    excess : float
        Light above the sky in the brightest pixel, at least the noise.
    noise : float
        Rms of a pixel of sky.
    """

    residual: F64
    base: F64
    floor: float
    flat_noise: float
    excess: float
    noise: float

    def variance(self, light: F64 | float = 0.0) -> F64:
        """Return the variance of the pixels with the expected `light` of an object, (..., p)."""
        total = self.base + light
        return np.asarray(self.floor + total + (self.flat_noise * total) ** 2)

    def least(self, library: Library) -> F64:
        """Return the flux from which on each template is the cause of the detection."""
        needed = max(2 * self.noise, library.cause * self.excess)
        return needed / np.maximum(library.shown, _TINY)


def log_evidence(sight: Sight, libraries: dict[str, Library]) -> dict[str, float]:
    """Return the evidence of each class, relative to that of no object.

    Parameters
    ----------
    sight : Sight
    libraries : dict of Library
        By class.

    Returns
    -------
    dict of float
        Natural logarithm of (objects a pixel) x (marginal likelihood) / (likelihood of no object).
    """
    best: tuple[float, F64] = (0.0, np.zeros(sight.residual.size))
    guess = sight.variance(np.maximum(sight.residual, 0.0))
    for closely in _CLOSELY:
        # The noise of the pixels is that of their expected light: first as read, then as explained best.
        close = {}
        for name, library in libraries.items():
            all_of_it = _as_they_are(sight, library, guess)
            first = np.argsort(all_of_it)[::-1][:closely]
            first = first[all_of_it[first] > all_of_it[first[:1]] - _HOPELESS]
            fitted, light = _fitted(sight, library, first, guess)
            close[name] = all_of_it, first, fitted
            if fitted.size and fitted.max() > best[0]:
                best = fitted.max(), light[np.argmax(fitted)]
        guess = sight.variance(best[1])
    return {name: _summed(*found) for name, found in close.items()}


def _summed(all_of_it: F64, first: I64, fitted: F64) -> float:
    """Add up the templates: those that were fitted closely, and the rest."""
    rest = np.delete(all_of_it, first)
    # How far off the templates as they are stand, next to the ones that were fitted.
    last = slice(-min(50, first.size), None)
    off = logsumexp(fitted[last]) - logsumexp(all_of_it[first[last]]) if rest.size else 0.0
    return float(logsumexp(np.concatenate([fitted, rest + off])))


def _as_they_are(sight: Sight, library: Library, variance: F64) -> F64:
    """Return the log evidence of each template without its derivatives, for one variance, (n,)."""
    light, weight = library.images[:, 0], (1 / variance).astype(np.float32)
    sums = light @ (sight.residual.astype(np.float32) * weight)
    squares = np.maximum((light * light) @ weight, _TINY).astype(float)
    flux, error = sums / squares, 1 / np.sqrt(squares)
    null = sight.variance()
    residual = sight.residual
    constant = 0.5 * (residual**2 * (1 / null - 1 / variance) - np.log(variance / null)).sum()
    gain = 0.5 * flux * sums
    which = np.arange(flux.size)
    prior = library.law.log_integral(which, flux, error, sight.least(library))
    return np.asarray(constant + gain + prior + library.log_weight)


def _fitted(sight: Sight, library: Library, which: I64, variance: F64) -> tuple[F64, F64]:
    """Return the log evidence of some templates, fitted with their derivatives, and their best light."""
    images = library.images[which].astype(float)
    n, terms, _ = images.shape
    weight = np.broadcast_to(1 / variance, (n, variance.size))
    inverse_prior = np.zeros((n, terms))
    for step in range(_ROUNDS):
        slope = np.einsum("kip,kp->ki", images, weight * sight.residual)
        hessian = np.einsum("kip,kp,kjp->kij", images, weight, images, optimize=True)
        if step == 0:
            flux = slope[:, 0] / hessian[:, 0, 0]
        # The derivatives are of unit flux, and their parameters mean nothing without any.
        scale = np.maximum(flux, _LEAST / np.sqrt(hessian[:, 0, 0]))
        inverse_prior[:, 1:] = 1 / (scale[:, None] * library.spread) ** 2
        hessian[:, range(terms), range(terms)] += inverse_prior
        best = np.linalg.solve(hessian, slope[..., None])[..., 0]
        flux = best[:, 0]
        light = np.einsum("ki,kip->kp", best, images)
        lit = np.maximum(light, 0)
        total = sight.variance(lit)
        if step < _ROUNDS - 1:
            weight = 1 / total
    covariance = np.linalg.inv(hessian)
    error = np.sqrt(covariance[:, 0, 0])
    null = sight.variance()
    left = sight.residual - light
    gain = 0.5 * (sight.residual**2 / null - left**2 / total - np.log(total / null)).sum(axis=1)
    gain -= 0.5 * (best[:, 1:] ** 2 * inverse_prior[:, 1:]).sum(axis=1)
    # Integral over the parameters, relative to that over the flux alone.
    gain += 0.5 * np.log(np.maximum(inverse_prior[:, 1:], _TINY)).sum(axis=1)
    gain -= 0.5 * np.linalg.slogdet(hessian)[1] + np.log(error)
    prior = library.law.log_integral(which, flux, error, sight.least(library)[which])
    return gain + prior + library.log_weight[which], lit
