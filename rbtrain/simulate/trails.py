"""Trails of what moves: satellites, aeroplanes, asteroids. They are light, with the PSF across them."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .._arrays import F64
from . import _render
from .artefacts_config import ArtefactConfig
from .canvas import Artefact, Canvas
from .config import FieldConfig
from .draws import chance, log_uniform, uniform
from .profiles import FWHM_PER_SIGMA
from .psf import PSF

#: Rms width of a profile in FWHM: nothing along a trail is shorter.
_SIGMA = 1 / FWHM_PER_SIGMA


@dataclass(frozen=True, eq=False)
class Wavering:
    """How a trail wavers along its way.

    Attributes
    ----------
    brightness : array, shape (n,)
        Factor, at every `spacing` pixels from the start on.
    sideways : array, shape (n,)
        Excursion, pixels.
    spacing : float
        Pixels.
    """

    brightness: F64
    sideways: F64
    spacing: float


_STEADY = Wavering(np.ones(2), np.zeros(2), 1e9)


def draw_wavering(
    config: ArtefactConfig, rng: np.random.Generator, fwhm: float, length: float
) -> Wavering:
    """Draw how a trail wavers: scintillation, the dance of the image, and flashes of what tumbles.

    Brightness is lognormal, with a correlation length of some width of a star: the way in the time in
    which the wind carries the turbulence over the telescope.

    Parameters
    ----------
    config : ArtefactConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    fwhm : float
        Of the frame, pixels.
    length : float
        Of the trail, pixels.

    Returns
    -------
    Wavering
    """
    spacing = max(fwhm / 4, 0.25)
    n = math.ceil(length / spacing) + 2

    def smooth(scale: float) -> F64:
        drawn = gaussian_filter1d(rng.standard_normal(n), math.hypot(scale, _SIGMA * fwhm) / spacing)
        return np.asarray(drawn / drawn.std())

    size = log_uniform(rng, config.scintillation)
    brightness = np.exp(size * smooth(fwhm * log_uniform(rng, (0.3, 3.0))))
    if chance(rng, 0.3):
        period, sharpness = fwhm * log_uniform(rng, (4.0, 60.0)), log_uniform(rng, (0.3, 10.0))
        turn = 2 * np.pi * (spacing / period * np.arange(n) + rng.random())
        flashes = np.exp(sharpness * (np.cos(turn) - 1)) + uniform(rng, (0.05, 0.5))
        brightness = gaussian_filter1d(brightness * flashes, _SIGMA * fwhm / spacing)
    sway = fwhm * uniform(rng, config.trail_wander) * smooth(fwhm * log_uniform(rng, (0.5, 5.0)))
    return Wavering(brightness / brightness.mean(), sway, spacing)


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
    wavering: Wavering = _STEADY,
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
        Length of a dash and its gap in pixels and the lit part; 0 for one without gaps.
    wavering : Wavering
        Of brightness and place along the trail.
    """
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    profile, sampling = psf.line_spread(angle, width)
    amplitude = peak / float(profile[0])
    across = (profile, sampling, amplitude)
    along = (max(0.5 * psf.fwhm, 0.5), period, duty, rng.random())
    wavers = wavering.brightness, wavering.sideways, wavering.spacing
    _render.add_line(*canvas.layers, *start, *end, *across, *along, *wavers, int(Artefact.TRAIL))


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
        bumpy = chance(rng, config.bumpy)
        dashed = chance(rng, 0.25) and not bumpy
        period = psf.fwhm * log_uniform(rng, (3.0, 60.0)) if dashed else 0.0
        duty = uniform(rng, (0.15, 0.8))
        # What is out of focus is out of the atmosphere's grip, too: the blur averages it.
        blur = psf.fwhm * uniform(rng, (0, 3)) if chance(rng, 0.3) and not bumpy else 0.0
        aeroplane = chance(rng, 0.12)
        lines = 2 if aeroplane else 1
        gap = psf.fwhm * uniform(rng, (2, 10))
        for k in range(lines):
            ox, oy = -s * gap * k, c * gap * k
            start = (x - back * c + ox, y - back * s + oy)
            end = (x + ahead * c + ox, y + ahead * s + oy)
            wavering = draw_wavering(config, rng, psf.fwhm, back + ahead) if bumpy else _STEADY
            dashes = {"period": period, "duty": duty}
            add_trail(canvas, rng, psf, start, end, peak=peak, width=blur, wavering=wavering, **dashes)
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
