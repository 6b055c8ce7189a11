"""Glare: what the telescope makes of bright stars. It is light, with the width of the PSF or more."""

import math

import numpy as np

from . import _render
from .artefacts_config import ArtefactConfig
from .canvas import Artefact, Canvas
from .draws import Range, chance, log_uniform, uniform
from .psf import PSF
from .truth import Rows

#: Stars that are looked at, the brightest first.
_MOST = 40
_CODE = int(Artefact.SPIKE)

#: x and y (pixels) and flux (electrons).
_Star = tuple[float, float, float]


def draw_glare(
    canvas: Canvas,
    config: ArtefactConfig,
    rng: np.random.Generator,
    psf: PSF,
    stars: Rows,
    noise: float,
) -> None:
    """Draw what the telescope makes of bright stars: spikes, halos, ghosts.

    The directions of spikes and the size and offset of ghosts are common to all stars.

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
        In electrons; at most the 40 brightest of those above 30 sigma are looked at.
    noise : float
        Rms of a pixel of sky, electrons.
    """
    bright = np.argsort(stars.peak)[::-1][:_MOST]
    bright = bright[stars.peak[bright] > 30 * noise]
    glaring = list(zip(stars.x[bright], stars.y[bright], stars.flux[bright], strict=True))
    if chance(rng, config.spikes):
        _draw_spikes(canvas, config.spike_strength, rng, psf, glaring, noise)
    if chance(rng, config.halos):
        _draw_halos(canvas, rng, psf, glaring, noise)
    if chance(rng, config.ghosts):
        _draw_ghosts(canvas, rng, psf, glaring, noise)


def _draw_spikes(
    canvas: Canvas,
    strength_range: Range,
    rng: np.random.Generator,
    psf: PSF,
    stars: list[_Star],
    noise: float,
) -> None:
    """Draw spikes that fall with the square of the distance, as a straight vane diffracts."""
    arms = int(rng.choice((4, 4, 4, 6, 8)))
    first = uniform(rng, (0, 2 * math.pi)) if chance(rng, 0.4) else rng.normal(0, 0.05)
    strength = log_uniform(rng, strength_range) / arms
    sigma = psf.fwhm / 2.355 * uniform(rng, (0.7, 1.2))
    scale = psf.fwhm * uniform(rng, (1.0, 4.0))
    for x, y, flux in stars:
        amplitude = flux * strength / (scale * sigma * 4)
        if amplitude < 0.3 * noise:
            continue
        # To where the arm sinks to a tenth of the noise.
        length = min(scale * math.sqrt(10 * amplitude / noise), 1.5 * canvas.shape[1])
        r = min(2.5 * psf.fwhm, 0.5 * length)
        for arm in range(arms):
            angle = first + 2 * math.pi * arm / arms
            _render.add_spike(*canvas.layers, x, y, angle, amplitude, scale, length, sigma, _CODE)
            middle = x + r * math.cos(angle), y + r * math.sin(angle)
            canvas.record_one("spike", *middle, amplitude * scale * sigma * 4)


def _draw_halos(
    canvas: Canvas, rng: np.random.Generator, psf: PSF, stars: list[_Star], noise: float
) -> None:
    """Draw even discs around stars; they are not listed, for nobody detects them as objects."""
    radius = psf.fwhm * log_uniform(rng, (5, 30))
    share = log_uniform(rng, (0.002, 0.03))
    for x, y, flux in stars:
        value = flux * share / (math.pi * radius**2)
        if value > 0.1 * noise:
            _render.add_disc(*canvas.layers, x, y, radius, 0.0, 0.08 * radius, value, _CODE)


def _draw_ghosts(
    canvas: Canvas, rng: np.random.Generator, psf: PSF, stars: list[_Star], noise: float
) -> None:
    """Draw images of the pupil by reflected light, on the line through the star and the optical axis."""
    height, width = canvas.shape
    radius = psf.fwhm * log_uniform(rng, (2, 15))
    hole = radius * uniform(rng, (0, 0.5))
    share = log_uniform(rng, (0.001, 0.02))
    turn = uniform(rng, (-1.3, 0.9))  # -1 mirrors the star through the optical axis
    axis = rng.uniform(0, 1, 2) * (width, height)
    for star_x, star_y, flux in stars:
        value = flux * share / (math.pi * (radius**2 - hole**2))
        if value > 0.1 * noise:
            x, y = axis[0] + turn * (star_x - axis[0]), axis[1] + turn * (star_y - axis[1])
            _render.add_disc(*canvas.layers, x, y, radius, hole, 0.04 * radius + 0.5, value, _CODE)
            canvas.record_one("ghost", x, y, flux * share)
