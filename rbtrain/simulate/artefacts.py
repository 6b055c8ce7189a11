"""Artefacts: what a detector, the optics and the traffic overhead add to the sky.

Cosmic rays, hot pixels, columns and traps are made in the silicon, so they are never convolved
with the PSF. Trails, spikes, halos and ghosts are light and have its width or more.
"""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from . import _render
from ._draw import chance, log_uniform, log_uniforms, power_law, uniform
from .config import ArtefactConfig, FieldConfig
from .psf import PSF
from .sources import Points

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Most probable energy loss of a muon, electron-hole pairs per micron (Groom 2002).
MUON_PAIRS_PER_MICRON = 80.0
#: Energy of one electron-hole pair in silicon, keV.
PAIR_ENERGY = 3.65e-3


class Artefact(IntEnum):
    """Codes of `Frame.artefact_class`.

    `ASTEROID` is a short trail of a real object: not an artefact, not a star, not to be scored.
    """

    NONE = 0
    #: Cosmic rays and other particles: spots, worms and tracks.
    COSMIC_RAY = 1
    #: Hot and warm pixels, bright columns and rows, traps.
    HOT_PIXEL = 2
    #: Satellites and aeroplanes.
    TRAIL = 3
    #: Diffraction spikes, halos, ghosts, bleeding columns.
    SPIKE = 4
    #: Cold pixels, holes from bad darks, dark columns: the signal is negative.
    COLD = 5
    #: Moving objects.
    ASTEROID = 6


@dataclass
class Canvas:
    """Where artefacts are painted, and what was painted.

    Attributes
    ----------
    signal : array, shape (h, w)
        Electrons, float32; may be negative.
    best : array, shape (h, w)
        Size of the largest single contribution so far, electrons, float32.
    cls : array, shape (h, w)
        `Artefact` code of that contribution, uint8.
    truth : list of (type, x, y, flux)
        One entry for each artefact.
    """

    signal: F32
    best: F32
    cls: NDArray[np.uint8]
    truth: list[tuple[str, float, float, float]] = field(default_factory=list)

    @classmethod
    def blank(cls, shape: tuple[int, int]) -> Self:
        """Return an empty canvas."""
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.uint8))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.signal.shape[0], self.signal.shape[1]

    @property
    def layers(self) -> tuple[F32, F32, NDArray[np.uint8]]:
        """The three arrays, in the order that the kernels take them."""
        return self.signal, self.best, self.cls

    def record(self, kind: str, x: F64, y: F64, flux: F64) -> None:
        """Note artefacts of one type that have their middle on the frame."""
        height, width = self.shape
        inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        self.truth.extend(
            (kind, float(a), float(b), float(c))
            for a, b, c in zip(x[inside], y[inside], flux[inside], strict=True)
        )


def _one(value: float) -> F64:
    return np.array([value])


def add_muons(
    canvas: Canvas,
    rng: np.random.Generator,
    n: int,
    *,
    pixel: float,
    thickness: float,
    diffusion: float,
) -> None:
    """Add `n` relativistic muons: straight tracks.

    Zenith angles follow cos^2 (PDG, Cosmic Rays); the detector may point anywhere, so the angle
    to its normal is that of a random tilt added. The path is ``thickness / cos``, the charge
    80 electrons a micron with the fluctuations of `add_particles`. Charge from the far side of
    the silicon diffuses the longest way, so one end of a track is sharper.

    Parameters
    ----------
    canvas, rng, n
        Where, from what, how many.
    pixel, thickness : float
        Microns.
    diffusion : float
        Largest rms spread of charge, pixels.
    """
    height, width = canvas.shape
    # A flux ~ cos^2 through a tilted plane: draw directions, keep them by the projected area.
    cos_zenith = rng.random(4 * n + 8) ** (1 / 3)
    azimuth = rng.uniform(0, 2 * np.pi, cos_zenith.size)
    tilt = rng.uniform(0, np.pi / 2)
    sin_zenith = np.sqrt(1 - cos_zenith**2)
    cos_normal = np.abs(cos_zenith * math.cos(tilt) + sin_zenith * np.cos(azimuth) * math.sin(tilt))
    kept = np.flatnonzero(rng.random(cos_zenith.size) < np.maximum(cos_normal, 0.02))
    cos_normal = np.resize(cos_normal[kept] if kept.size else cos_normal, n)
    cos_normal = np.maximum(cos_normal, 0.01)
    length = thickness / pixel * np.sqrt(1 / cos_normal**2 - 1)
    charge = MUON_PAIRS_PER_MICRON * thickness / cos_normal
    angle = rng.uniform(0, 2 * np.pi, n)
    x = rng.uniform(-0.5, width - 0.5, n)
    y = rng.uniform(-0.5, height - 0.5, n)
    sharp = np.maximum(diffusion * rng.uniform(0.2, 1.0, n), 0.12)
    mx, my = _render.add_particles(
        *canvas.layers, x, y, angle, length, charge, sharp, np.full(n, max(diffusion, 0.12)),
        np.zeros(n), rng, int(Artefact.COSMIC_RAY),
    )  # fmt: skip
    canvas.record("cosmic_ray", mx, my, charge)


def add_electrons(
    canvas: Canvas,
    rng: np.random.Generator,
    n: int,
    *,
    pixel: float,
    thickness: float,
    diffusion: float,
    energy: tuple[float, float],
) -> None:
    """Add `n` electrons of low energy: spots and worms.

    The range in silicon is ``0.0171 E**1.75`` microns for E in keV (Everhart & Hoff 1971, J.
    Appl. Phys. 42, 5837) but most leave the thin sensitive layer sooner; the rms deflection
    grows with the square root of the way, fast enough to curl the tracks into worms.
    """
    height, width = canvas.shape
    kev = log_uniforms(rng, energy, n)
    way = np.minimum(0.0171 * kev**1.75, thickness * (1 + rng.exponential(3.0, n)))
    charge = kev / PAIR_ENERGY * np.minimum(1.0, way / (0.0171 * kev**1.75) + 0.02)
    length = np.minimum(way / pixel, 60.0) * rng.uniform(0.4, 1.0, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    x = rng.uniform(-0.5, width - 0.5, n)
    y = rng.uniform(-0.5, height - 0.5, n)
    start = np.maximum(diffusion * rng.uniform(0.3, 1.0, n), 0.12)
    end = np.maximum(diffusion * rng.uniform(0.3, 1.0, n), 0.12)
    wiggle = rng.uniform(0.15, 0.7, n) * (30 / np.maximum(kev, 10.0)) ** 0.3
    mx, my = _render.add_particles(
        *canvas.layers, x, y, angle, length, charge, start, end, wiggle, rng,
        int(Artefact.COSMIC_RAY),
    )  # fmt: skip
    canvas.record("cosmic_ray", mx, my, charge)


def draw_particles(canvas: Canvas, config: ArtefactConfig, rng: np.random.Generator) -> None:
    """Draw the cosmic rays of a frame."""
    if chance(rng, config.no_cosmic_rays):
        return
    area = canvas.signal.size / 512**2
    n = int(rng.poisson(log_uniform(rng, config.cosmic_rays) * area))
    muons = int(rng.binomial(n, uniform(rng, config.muon_fraction)))
    deep = chance(rng, config.depleted)
    thickness = log_uniform(rng, config.depleted_thickness if deep else config.thickness)
    silicon = {
        "pixel": log_uniform(rng, config.pixel_size),
        "thickness": thickness,
        "diffusion": uniform(rng, config.diffusion),
    }
    add_muons(canvas, rng, muons, **silicon)
    add_electrons(canvas, rng, n - muons, energy=config.electron_energy, **silicon)


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
