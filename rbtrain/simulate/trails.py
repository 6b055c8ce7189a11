"""Trails of what moves: satellites, aeroplanes, asteroids. They are light, with the PSF across them."""

import math

import numpy as np

from . import _render
from .canvas import Artefact, Canvas
from .config import ArtefactConfig, FieldConfig
from .draws import chance, log_uniform, uniform
from .psf import PSF


def add_trail(
    canvas: Canvas,
    rng: np.random.Generator,
    psf: PSF,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    peak: float,
    width: float = 0.0,
    period: float = 0.0,
    duty: float = 0.5,
) -> None:
    """Add a satellite trail from `start` to `end` (x, y), the PSF's profile across it.

    Parameters
    ----------
    canvas, rng, psf
        Where, from what, with which PSF.
    start, end : (x, y)
        Pixels.
    peak : float
        Brightness on the axis, electrons.
    width : float
        Own width before the PSF, pixels (near satellites are out of focus).
    period, duty : float
        Length of a dash and its gap in pixels and the lit part; 0 for a steady trail.
    """
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    profile, sampling = psf.line_spread(angle, width)
    amplitude = peak / float(profile[0])
    across = (profile, sampling, amplitude)
    along = (max(0.5 * psf.fwhm, 0.5), period, duty, rng.random())
    _render.add_line(*canvas.layers, *start, *end, *across, *along, int(Artefact.TRAIL))


def draw_trails(
    canvas: Canvas, config: ArtefactConfig, rng: np.random.Generator, psf: PSF, noise: float
) -> None:
    """Draw satellites (steady, tumbling, ending in the frame) and aeroplanes with lamps.

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
    noise : float
        Rms of a pixel of sky, electrons.
    """
    height, width = canvas.shape
    for _ in range(rng.poisson(config.trails)):
        angle = uniform(rng, (0, 2 * math.pi))
        x, y = uniform(rng, (0, width)), uniform(rng, (0, height))
        peak = noise * log_uniform(rng, config.trail_peak)
        far = 1.5 * math.hypot(width, height)
        back = uniform(rng, (5, 0.3 * far)) if chance(rng, 0.15) else far
        ahead = uniform(rng, (5, 0.3 * far)) if chance(rng, 0.15) else far
        c, s = math.cos(angle), math.sin(angle)
        dashed = chance(rng, 0.25)
        period = psf.fwhm * log_uniform(rng, (3.0, 60.0)) if dashed else 0.0
        duty = uniform(rng, (0.15, 0.8))
        blur = psf.fwhm * uniform(rng, (0, 3)) if chance(rng, 0.3) else 0.0
        aeroplane = chance(rng, 0.12)
        lines = 2 if aeroplane else 1
        gap = psf.fwhm * uniform(rng, (2, 10))
        for k in range(lines):
            ox, oy = -s * gap * k, c * gap * k
            start = (x - back * c + ox, y - back * s + oy)
            end = (x + ahead * c + ox, y + ahead * s + oy)
            add_trail(canvas, rng, psf, start, end, peak=peak, width=blur, period=period, duty=duty)
        if aeroplane:
            _draw_lamps(canvas, rng, psf, (x, y), (c, s), noise, peak)
        canvas.record_one("satellite", x, y, peak * min(far, back + ahead))


def _draw_lamps(
    canvas: Canvas,
    rng: np.random.Generator,
    psf: PSF,
    at: tuple[float, float],
    along: tuple[float, float],
    noise: float,
    peak: float,
) -> None:
    """Draw blinking lamps along an aeroplane's trail."""
    spacing = psf.fwhm * log_uniform(rng, (6, 40))
    t = np.arange(-600, 600, spacing)
    layer = np.zeros(canvas.shape, np.float32)
    flux = np.full(t.size, (peak + 3 * noise) * uniform(rng, (1, 10)) / psf.peaks.mean())
    psf.add_points(layer, at[0] + t * along[0], at[1] + t * along[1], flux, 0.1 * noise)
    _render.merge(*canvas.layers, layer, int(Artefact.TRAIL))


def draw_asteroids(
    canvas: Canvas, config: FieldConfig, rng: np.random.Generator, psf: PSF, noise: float
) -> None:
    """Draw asteroids: short trails with the PSF's width.

    Parameters
    ----------
    canvas : Canvas
        Changed in place.
    config : FieldConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    psf : PSF
        Of the frame.
    noise : float
        Rms of a pixel of sky, electrons.
    """
    height, width = canvas.shape
    for _ in range(rng.poisson(config.asteroids)):
        length = psf.fwhm * log_uniform(rng, (0.8, 10.0))
        angle = uniform(rng, (0, 2 * math.pi))
        x, y = uniform(rng, (0, width)), uniform(rng, (0, height))
        n = max(3, math.ceil(2 * length))
        t = np.linspace(-0.5, 0.5, n) * length
        peak = noise * log_uniform(rng, (3.0, 200.0))
        flux = peak / float(psf.peaks.mean()) * max(1.0, length / psf.fwhm)
        layer = np.zeros(canvas.shape, np.float32)
        xs, ys = x + t * math.cos(angle), y + t * math.sin(angle)
        psf.add_points(layer, xs, ys, np.full(n, flux / n), 0.1 * noise / n)
        _render.merge(*canvas.layers, layer, int(Artefact.ASTEROID))
        canvas.record_one("asteroid", x, y, flux)
