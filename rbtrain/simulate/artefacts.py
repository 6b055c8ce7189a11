"""Artefacts: what a detector, the optics and the traffic overhead add to the sky.

Hot pixels, columns and traps are made in the silicon, as cosmic rays are (`particles`), so they
are never convolved with the PSF. Trails, spikes, halos and ghosts are light and have its width or
more.
"""

import math

import numpy as np

from .._arrays import F64
from . import _render
from ._draw import chance, log_uniform, power_law, uniform
from .canvas import Artefact, Canvas
from .config import ArtefactConfig, FieldConfig
from .psf import PSF
from .sources import Points


def _one(value: float) -> F64:
    return np.array([value])


def add_hot_pixels(canvas: Canvas, rng: np.random.Generator, charge: F64, shared: float) -> None:
    """Add hot pixels of the given charges (electrons); a fraction `shared` spill over.

    Half of those that spill share with one neighbour (two adjacent defects, or charge trailing
    in the transfer), half with all four (capacitive coupling of a few percent).
    """
    height, width = canvas.shape
    n = charge.size
    x, y = rng.integers(0, width, n), rng.integers(0, height, n)
    code = int(Artefact.HOT_PIXEL)
    _render.add_pixels(*canvas.layers, x, y, charge, code)
    kind = rng.random(n)
    pair = np.flatnonzero(kind < 0.5 * shared)
    vertical = rng.random(pair.size) < 0.6
    _render.add_pixels(
        *canvas.layers, x[pair] + ~vertical, y[pair] + vertical,
        charge[pair] * rng.uniform(0.05, 1.0, pair.size), code,
    )  # fmt: skip
    cross = np.flatnonzero((kind >= 0.5 * shared) & (kind < shared))
    leak = rng.uniform(0.01, 0.12, cross.size)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        part = charge[cross] * leak * rng.uniform(0.6, 1.4, cross.size)
        _render.add_pixels(*canvas.layers, x[cross] + dx, y[cross] + dy, part, code)
    canvas.record("hot_pixel", x.astype(float), y.astype(float), charge)


def draw_defects(
    canvas: Canvas, config: ArtefactConfig, rng: np.random.Generator, noise: float, sky: float
) -> None:
    """Draw hot and cold pixels, bad columns and rows, and traps.

    `noise` is the rms of a sky pixel and `sky` its level, electrons.
    """
    area = canvas.signal.size / 512**2
    if not chance(rng, config.no_hot_pixels):
        n = int(rng.poisson(log_uniform(rng, config.hot_pixels) * area))
        slope = uniform(rng, (0.6, 1.5))
        charge = noise * power_law(rng, *config.hot_size, slope, n)
        add_hot_pixels(canvas, rng, charge, config.hot_shared * uniform(rng, (0, 2)))
    if not chance(rng, config.no_cold_pixels):
        n = int(rng.poisson(log_uniform(rng, config.cold_pixels) * area))
        # Bad darks can dig deeper than the sky, dead pixels cannot.
        depth = noise * power_law(rng, 3.0, 300.0, 0.8, n)
        if chance(rng, 0.6):
            depth = np.minimum(depth, sky + 3 * noise)
        height, width = canvas.shape
        x, y = rng.integers(0, width, n), rng.integers(0, height, n)
        _render.add_pixels(*canvas.layers, x, y, -depth, int(Artefact.COLD))
        canvas.record("cold_pixel", x.astype(float), y.astype(float), -depth)
    for _ in range(rng.poisson(config.columns)):
        draw_column(canvas, rng, noise, sky, as_row=chance(rng, 0.25))
    for _ in range(rng.poisson(config.traps)):
        draw_trap(canvas, rng, noise)


def draw_column(
    canvas: Canvas,
    rng: np.random.Generator,
    noise: float,
    sky: float,
    as_row: bool = False,
) -> None:
    """Draw a bad column or row: whole or from a defect to the end, 1 to 3 wide, bright or dark."""
    layers = canvas.layers
    if as_row:
        layers = tuple(a.T for a in layers)  # type: ignore[assignment]
    signal, best, cls = layers
    length, count = signal.shape
    bright = chance(rng, 0.65)
    at = int(rng.integers(0, count))
    wide = int(rng.choice((1, 1, 1, 2, 3)))
    part = slice(0, length)
    if chance(rng, 0.5):
        start = int(rng.integers(0, length))
        part = slice(start, length) if chance(rng, 0.5) else slice(0, start + 1)
    size = noise * (log_uniform(rng, (0.5, 200.0)))
    if not bright:
        size = -min(size, sky + noise)
    values = np.full(part.stop - part.start, size, np.float32)
    if chance(rng, 0.4):  # flickering defects: not the same in every row
        values *= rng.uniform(0.2, 1.8, values.size).astype(np.float32)
    code = Artefact.HOT_PIXEL if bright else Artefact.COLD
    block = (part, slice(at, at + wide))
    signal[block] += values[:, None]
    cls[block] = np.where(np.abs(values)[:, None] > best[block], int(code), cls[block])
    best[block] = np.maximum(best[block], np.abs(values)[:, None])
    middle = 0.5 * (part.start + part.stop - 1)
    x, y = (middle, float(at)) if as_row else (float(at), middle)
    kind = "bad_row" if as_row else "bad_column"
    canvas.record(kind, _one(x), _one(y), _one(float(values.sum())))


def draw_trap(canvas: Canvas, rng: np.random.Generator, noise: float) -> None:
    """Draw a charge trap: a bright pixel with an exponential tail along its column."""
    height, width = canvas.shape
    x, y0 = int(rng.integers(0, width)), int(rng.integers(0, height))
    tail = log_uniform(rng, (1.0, 12.0))
    y = np.arange(y0, min(height, y0 + int(5 * tail) + 2))
    if chance(rng, 0.5):
        y = 2 * y0 - y
    value = noise * log_uniform(rng, (3.0, 100.0)) * np.exp(-np.arange(y.size) / tail)
    _render.add_pixels(*canvas.layers, np.full(y.size, x), y, value, int(Artefact.HOT_PIXEL))
    canvas.record("trap", _one(float(x)), _one(float(y0)), _one(float(value.sum())))


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
    soft = max(0.5 * psf.fwhm, 0.5)
    _render.add_line(
        *canvas.layers, *start, *end, profile, sampling, amplitude, soft, period, duty,
        rng.random(), int(Artefact.TRAIL),
    )  # fmt: skip


def draw_trails(
    canvas: Canvas, config: ArtefactConfig, rng: np.random.Generator, psf: PSF, noise: float
) -> None:
    """Draw satellites (steady, tumbling, ending in the frame) and aeroplanes with lamps."""
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
            add_trail(
                canvas, rng, psf, (x - back * c + ox, y - back * s + oy),
                (x + ahead * c + ox, y + ahead * s + oy),
                peak=peak, width=blur, period=period, duty=duty,
            )  # fmt: skip
        if aeroplane:
            _lamps(canvas, rng, psf, (x, y), (c, s), noise, peak)
        canvas.record("satellite", _one(x), _one(y), _one(peak * min(far, back + ahead)))


def _lamps(
    canvas: Canvas,
    rng: np.random.Generator,
    psf: PSF,
    at: tuple[float, float],
    along: tuple[float, float],
    noise: float,
    peak: float,
) -> None:
    """Blinking lamps along an aeroplane's trail."""
    spacing = psf.fwhm * log_uniform(rng, (6, 40))
    t = np.arange(-600, 600, spacing)
    layer = np.zeros(canvas.shape, np.float32)
    flux = np.full(t.size, (peak + 3 * noise) * uniform(rng, (1, 10)) / psf.peaks.mean())
    psf.add_points(layer, at[0] + t * along[0], at[1] + t * along[1], flux, 0.1 * noise)
    _render.merge(*canvas.layers, layer, int(Artefact.TRAIL))


def draw_glare(
    canvas: Canvas,
    config: ArtefactConfig,
    rng: np.random.Generator,
    psf: PSF,
    stars: Points,
    noise: float,
) -> None:
    """Draw what the telescope makes of bright stars: spikes, halos, ghosts.

    The directions of spikes and the size and offset of ghosts are common to all stars. Spikes
    fall with the square of the distance, as the diffraction of a straight vane does.
    """
    bright = np.argsort(stars.peak)[::-1][:40]
    bright = bright[stars.peak[bright] > 30 * noise]
    height, width = canvas.shape
    code = int(Artefact.SPIKE)
    if chance(rng, config.spikes):
        arms = int(rng.choice((4, 4, 4, 6, 8)))
        angle0 = uniform(rng, (0, 2 * math.pi)) if chance(rng, 0.4) else rng.normal(0, 0.05)
        strength = log_uniform(rng, config.spike_strength) / arms
        sigma = psf.fwhm / 2.355 * uniform(rng, (0.7, 1.2))
        scale = psf.fwhm * uniform(rng, (1.0, 4.0))
        for k in bright:
            amplitude = stars.flux[k] * strength / (scale * sigma * 4)
            if amplitude < 0.3 * noise:
                continue
            # To where the arm sinks to a tenth of the noise.
            length = min(scale * math.sqrt(10 * amplitude / noise), 1.5 * width)
            for arm in range(arms):
                angle = angle0 + 2 * math.pi * arm / arms
                x, y = stars.x[k], stars.y[k]
                _render.add_spike(*canvas.layers, x, y, angle, amplitude, scale, length, sigma, code)
                r = min(2.5 * psf.fwhm, 0.5 * length)
                canvas.record(
                    "spike", _one(x + r * math.cos(angle)), _one(y + r * math.sin(angle)),
                    _one(amplitude * scale * sigma * 4),
                )  # fmt: skip
    if chance(rng, config.halos):
        radius = psf.fwhm * log_uniform(rng, (5, 30))
        share = log_uniform(rng, (0.002, 0.03))
        for k in bright:
            value = stars.flux[k] * share / (math.pi * radius**2)
            if value > 0.1 * noise:
                _render.add_disc(
                    *canvas.layers, stars.x[k], stars.y[k], radius, 0.0, 0.08 * radius, value, code
                )
    if chance(rng, config.ghosts):
        radius = psf.fwhm * log_uniform(rng, (2, 15))
        hole = radius * uniform(rng, (0, 0.5))
        share = log_uniform(rng, (0.001, 0.02))
        turn = uniform(rng, (-1.3, 0.9))  # -1 mirrors the star through the optical axis
        axis = rng.uniform(0, 1, 2) * (width, height)
        for k in bright:
            value = stars.flux[k] * share / (math.pi * (radius**2 - hole**2))
            if value > 0.1 * noise:
                x = axis[0] + turn * (stars.x[k] - axis[0])
                y = axis[1] + turn * (stars.y[k] - axis[1])
                _render.add_disc(*canvas.layers, x, y, radius, hole, 0.04 * radius + 0.5, value, code)
                canvas.record("ghost", _one(x), _one(y), _one(stars.flux[k] * share))


def draw_asteroids(
    canvas: Canvas, config: FieldConfig, rng: np.random.Generator, psf: PSF, noise: float
) -> None:
    """Draw asteroids: short trails with the PSF's width."""
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
        psf.add_points(
            layer, x + t * math.cos(angle), y + t * math.sin(angle), np.full(n, flux / n),
            0.1 * noise / n,
        )  # fmt: skip
        _render.merge(*canvas.layers, layer, int(Artefact.ASTEROID))
        canvas.record("asteroid", _one(x), _one(y), _one(flux))
