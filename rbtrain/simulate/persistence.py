"""Persistence: what an infrared array remembers of saturated stars of earlier exposures."""

import math

import numpy as np

from .._arrays import F32, F64
from . import _render
from .artefacts_config import ArtefactConfig
from .canvas import Artefact, Canvas
from .draws import chance, log_uniform, power_law, uniform
from .psf import PSF
from .truth import Rows

#: Traps fill from some half of the full well on, and all are full soon above it: fluence at which half
#: are, and width of the step, in full wells (WFC3 Data Handbook, chapter 8: from 40,000 of 80,000
#: electrons on).
_HALF_FULL, _STEP = 0.8, 0.12
#: Slow growth with the fluence beyond that: the exponent, from none to that of WFC3.
_GROWTH = (0.0, 0.2)
#: Below this fluence nothing is remembered.
_LEAST = 0.35
#: Fluence of the remembered stars in their brightest pixel, full wells, and the slope of their counts.
_FLUENCES, _SLOPE = (0.8, 500.0), 0.6


def draw_persistence(
    canvas: Canvas,
    config: ArtefactConfig,
    rng: np.random.Generator,
    psf: PSF,
    stars: Rows,
    noise: float,
    full_well: float,
) -> None:
    """Draw the discs that saturated stars left in one to five earlier exposures.

    Those are dithered about the present pointing, or of another field. What is left falls with 1 / t. As
    the pixels of a bright star filled all their traps, its image has a flat top and a sharp edge: a disc
    where star images are round.

    Parameters
    ----------
    canvas : Canvas
        Changed in place.
    config : ArtefactConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    psf : PSF
        Of the frame.
    stars : Rows
        Of the frame, in electrons.
    noise, full_well : float
        Rms of a pixel of sky, and most charge of a pixel, electrons.
    """
    if not chance(rng, config.persistence):
        return
    x, y, fluence = _earlier_stars(canvas, config, rng, stars, full_well)
    size = noise * log_uniform(rng, config.persistence_peak)
    step, growth = psf.fwhm * log_uniform(rng, (1.5, 20.0)), uniform(rng, _GROWTH)
    remembered = np.zeros(canvas.shape, np.float32)
    for k in range(int(rng.integers(1, 6))):
        turn, way = uniform(rng, (0, 2 * math.pi)), step * (k + uniform(rng, (0.5, 1.5)))
        there = x + way * math.cos(turn), y + way * math.sin(turn)
        held = np.zeros(canvas.shape, np.float32)
        psf.add_points(held, *there, fluence / float(psf.peaks.mean()), 0.5 * _LEAST)
        left = size / (k + 1)
        remembered += np.float32(left) * _trapped(held, growth)
        canvas.record("persistence", *there, left * np.maximum(fluence, 1.0))
    _render.merge(*canvas.layers, remembered, int(Artefact.SPIKE))


def _earlier_stars(
    canvas: Canvas, config: ArtefactConfig, rng: np.random.Generator, stars: Rows, full_well: float
) -> tuple[F64, F64, F64]:
    """Draw stars of another field, or take the saturated ones of this: places, fluence in full wells."""
    own = stars.peak > _LEAST * full_well
    if own.any() and chance(rng, 0.5):
        return stars.x[own], stars.y[own], stars.peak[own] / full_well
    height, width = canvas.shape
    n = 1 + int(rng.poisson(log_uniform(rng, config.remembered) * canvas.signal.size / 512**2))
    x, y = rng.uniform(0, width, n), rng.uniform(0, height, n)
    return x, y, power_law(rng, *_FLUENCES, _SLOPE, n)


def _trapped(held: F32, growth: float) -> F32:
    """Return the charge that a fluence (full wells) leaves in traps: a step, and a slow growth."""
    trapped = np.zeros_like(held)
    where = held > _LEAST
    fluence = held[where]
    step = 1 / (1 + np.exp((_HALF_FULL - fluence) / np.float32(_STEP)))
    trapped[where] = step * fluence ** np.float32(growth)
    return trapped
