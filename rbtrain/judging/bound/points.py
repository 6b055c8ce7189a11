"""What no drawn template looks like: an object as points of light, or of charge.

However many galaxies and tracks are drawn, none has the arms of a bright spiral, or the bends of a long
worm. Such an object is put together, point by point, as the simulator draws both: a galaxy of images of
the star, a track of spots of charge. Each point has its cost in the evidence, the same for both classes.
"""

import math

import numpy as np
from scipy.special import ndtr

from ..._arrays import F32, F64
from .evidence import Sight
from .known import KnownFrame

#: What a point costs in the evidence, natural logarithm: about the logarithm of the volume of its place
#: and flux before, over that after it was fitted.
COST = 10.0
_MOST = 60
#: Steps of the grid of points of charge, pixels, and of light, FWHM.
_STEP, _LIGHT_STEP = 0.5, 0.25


def points_of_light(known: KnownFrame, radius: int) -> F32:
    """Return the star at places all over the window, (n, p), unit flux."""
    psf = known.conditions.psf
    count = max(1, round(1 / (_LIGHT_STEP * psf.fwhm)))
    step = max(1, round(_LIGHT_STEP * psf.fwhm))
    pixels = np.arange(-radius, radius + 1, step)
    s, middle = psf.oversampling, psf.radius
    phases = np.unique(np.round((np.arange(count) + 0.5) / count * s - 0.5).astype(int))
    pad = max(2 * radius - middle, 0)
    stamps = np.pad(psf.stamps[0], ((0, 0), (pad, pad), (pad, pad)))
    middle += pad
    images = []
    for dy in pixels:
        for dx in pixels:
            rows = slice(middle - dy - radius, middle - dy + radius + 1)
            columns = slice(middle - dx - radius, middle - dx + radius + 1)
            images += [stamps[py * s + px, rows, columns].ravel() for py in phases for px in phases]
    return np.array(images, np.float32)


def points_of_charge(known: KnownFrame, radius: int) -> F32:
    """Return spots of charge all over the window, (n, p), as wide as half-way down the silicon."""
    sigma = max(0.65 * known.laws.silicon.diffusion, 0.12)
    edges = np.arange(-radius - 0.5, radius + 1)
    places = np.arange(-radius, radius + _STEP / 2, _STEP)
    lines = np.diff(ndtr((edges - places[:, None]) / sigma), axis=1)
    images = lines[:, None, :, None] * lines[None, :, None, :]
    return np.asarray(images.reshape(places.size**2, -1), np.float32)


def is_unexplained(sight: Sight, best: float) -> bool:
    """Tell whether the likelihood `best`, relative to that of no object, leaves light unexplained."""
    ideal = log_likelihood(sight, np.maximum(sight.residual, 0.0), 0.5 * sight.residual.size)
    return ideal - best > 3 * math.sqrt(0.5 * sight.residual.size) + 2 * COST


def log_likelihood(sight: Sight, light: F64, misfit: float | None = None) -> float:
    """Return the log likelihood of an object's light (p,), relative to that of no object.

    Half of chi square may be given instead, as `misfit`.
    """
    null, variance = sight.variance(), sight.variance(light)
    if misfit is None:
        misfit = float(0.5 * ((sight.residual - light) ** 2 / variance).sum())
    return float(0.5 * (sight.residual**2 / null - np.log(variance / null)).sum()) - misfit


def log_evidence_of_points(sight: Sight, points: F32) -> float:
    """Return the log evidence of an object put together of points, without the rate of its class.

    The point that explains most is added and all fluxes are fitted anew, until one more is not worth its
    cost.

    Parameters
    ----------
    sight : Sight
    points : array, shape (n, p)
        Of unit flux.
    """
    residual, chosen = sight.residual, list[int]()
    variance = sight.variance(np.maximum(residual, 0))
    light = np.zeros(residual.size)
    weight = (1 / variance).astype(np.float32)
    squares = np.maximum((points * points) @ weight, 1e-30)
    for _ in range(_MOST):
        sums = points @ ((residual - light).astype(np.float32) * weight)
        gain = 0.5 * np.maximum(sums, 0) ** 2 / squares
        gain[chosen] = 0
        if gain.max() < COST:
            break
        chosen.append(int(np.argmax(gain)))
        taken = points[chosen].astype(float)
        normal = (taken / variance) @ taken.T
        normal[np.diag_indices(len(chosen))] *= 1 + 1e-6
        flux = np.linalg.solve(normal, (taken / variance) @ residual)
        light = flux @ taken
    return log_likelihood(sight, np.maximum(light, 0)) - COST * len(chosen)
