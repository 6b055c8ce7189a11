"""Cosmic rays and other ionising particles. None of them is convolved with the PSF."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from .._arrays import F64, I64
from . import _render
from .artefacts_config import ArtefactConfig
from .canvas import Artefact, Canvas
from .draws import Range, chance, log_uniform, log_uniforms, uniform
from .profiles import FWHM_PER_SIGMA

#: Most probable energy loss of a muon, electron-hole pairs per micron (Groom 2002).
MUON_PAIRS_PER_MICRON = 80.0
#: Energy of one electron-hole pair in silicon, keV.
PAIR_ENERGY = 3.65e-3
#: Least rms width of a track, pixels.
_SHARPEST = 0.12
#: Largest spread of charge as a share of the rms width of a star, which optics and seeing widen, too.
_NARROWER = 0.9
_CODE = int(Artefact.COSMIC_RAY)


@dataclass(frozen=True)
class Silicon:
    """The silicon of a detector.

    Attributes
    ----------
    pixel, thickness : float
        Microns.
    diffusion : float
        Largest rms spread of charge, pixels.
    """

    pixel: float
    thickness: float
    diffusion: float


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks of particles; arrays are (n,).

    Attributes
    ----------
    x, y : array
        Where each starts, 0-based pixels.
    angle, length : array
        Direction at the start, radians, and way, pixels.
    charge : array
        Electrons.
    start, end : array
        Rms spread of the charge at both ends, pixels.
    wiggle : array
        Rms change of direction, radians per square root of pixel.
    spent : array
        Share of its range that a particle leaves behind.
    """

    x: F64
    y: F64
    angle: F64
    length: F64
    charge: F64
    start: F64
    end: F64
    wiggle: F64
    spent: F64

    def paint(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Add their charge to a canvas, which notes them; `rng` draws how it fluctuates on the way."""
        mx, my = _render.add_particles(*canvas.layers, *self._arrays, rng, _CODE)
        canvas.record("cosmic_ray", mx, my, self.charge)

    def taken(self, which: Sequence[int] | I64) -> Self:
        """Return some of the tracks, by their indices."""
        return type(self)(*(array[which] for array in self._arrays))

    def joined(self, other: Self) -> Self:
        """Return these tracks and others."""
        pairs = zip(self._arrays, other._arrays, strict=True)
        return type(self)(*(np.concatenate(pair) for pair in pairs))

    @property
    def _arrays(self) -> tuple[F64, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


def draw_muons(rng: np.random.Generator, n: int, shape: tuple[int, int], silicon: Silicon) -> Tracks:
    """Draw `n` relativistic muons on a frame of `shape` (height, width): straight tracks.

    Zenith angles follow cos^2 (PDG, Cosmic Rays); the detector may point anywhere, so the angle
    to its normal is that of a random tilt added. The path is ``thickness / cos``, the charge
    80 electrons a micron with the fluctuations of `add_particles`. Charge from the far side of
    the silicon diffuses the longest way, so one end of a track is sharper.
    """
    height, width = shape
    # A flux ~ cos^2 through a tilted plane: draw directions, keep them by the projected area.
    cos_zenith = rng.random(4 * n + 8) ** (1 / 3)
    azimuth = rng.uniform(0, 2 * np.pi, cos_zenith.size)
    tilt = rng.uniform(0, np.pi / 2)
    sin_zenith = np.sqrt(1 - cos_zenith**2)
    cos_normal = np.abs(cos_zenith * math.cos(tilt) + sin_zenith * np.cos(azimuth) * math.sin(tilt))
    kept = np.flatnonzero(rng.random(cos_zenith.size) < np.maximum(cos_normal, 0.02))
    cos_normal = np.resize(cos_normal[kept] if kept.size else cos_normal, n)
    cos_normal = np.maximum(cos_normal, 0.01)
    length = silicon.thickness / silicon.pixel * np.sqrt(1 / cos_normal**2 - 1)
    charge = MUON_PAIRS_PER_MICRON * silicon.thickness / cos_normal
    angle = rng.uniform(0, 2 * np.pi, n)
    x = rng.uniform(-0.5, width - 0.5, n)
    y = rng.uniform(-0.5, height - 0.5, n)
    near = np.maximum(silicon.diffusion * rng.uniform(0.1, 0.5, n), _SHARPEST)
    far = np.full(n, max(silicon.diffusion, _SHARPEST))
    still = np.zeros(n)
    return Tracks(x, y, angle, length, charge, near, far, still, still)


def draw_electrons(
    rng: np.random.Generator, n: int, shape: tuple[int, int], silicon: Silicon, energy: Range
) -> Tracks:
    """Draw `n` electrons of low energy (a range in keV, drawn log-uniformly): spots and worms.

    The range in silicon is ``0.0171 E**1.75`` microns for E in keV (Everhart & Hoff 1971, J.
    Appl. Phys. 42, 5837) but most leave the thin sensitive layer sooner; the rms deflection
    grows with the square root of the way, fast enough to curl the tracks into worms, which are
    brightest and most curled where the electron stops.
    """
    height, width = shape
    kev = log_uniforms(rng, energy, n)
    span = 0.0171 * kev**1.75
    way = np.minimum(span, silicon.thickness * (1 + rng.exponential(3.0, n)))
    charge = kev / PAIR_ENERGY * np.minimum(1.0, way / span + 0.02)
    length = np.minimum(way / silicon.pixel, 60.0) * rng.uniform(0.4, 1.0, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    x = rng.uniform(-0.5, width - 0.5, n)
    y = rng.uniform(-0.5, height - 0.5, n)
    start = np.maximum(silicon.diffusion * rng.uniform(0.3, 1.0, n), _SHARPEST)
    end = np.maximum(silicon.diffusion * rng.uniform(0.3, 1.0, n), _SHARPEST)
    wiggle = rng.uniform(0.15, 0.7, n) * (30 / np.maximum(kev, 10.0)) ** 0.3
    return Tracks(x, y, angle, length, charge, start, end, wiggle, np.minimum(way / span, 1.0))


def add_muons(canvas: Canvas, rng: np.random.Generator, n: int, silicon: Silicon) -> None:
    """Add `n` muons, as `draw_muons` draws them, to a canvas."""
    draw_muons(rng, n, canvas.shape, silicon).paint(canvas, rng)


def add_electrons(
    canvas: Canvas, rng: np.random.Generator, n: int, silicon: Silicon, energy: Range
) -> None:
    """Add `n` electrons, as `draw_electrons` draws them, to a canvas."""
    draw_electrons(rng, n, canvas.shape, silicon, energy).paint(canvas, rng)


def draw_silicon(config: ArtefactConfig, rng: np.random.Generator, fwhm: float) -> Silicon:
    """Draw the silicon of a detector with stars of `fwhm` pixels.

    Their light spreads as charge in the same silicon, so that no charge of a particle spreads more than
    they are wide.
    """
    deep = chance(rng, config.depleted)
    thickness = log_uniform(rng, config.depleted_thickness if deep else config.thickness)
    pixel = log_uniform(rng, config.pixel_size)
    # No maker gives a detector pixels that its charge would blur.
    spread = min(uniform(rng, config.diffusion), 0.4 * thickness, 0.5 * pixel) / pixel
    return Silicon(pixel, thickness, min(spread, _NARROWER * fwhm / FWHM_PER_SIGMA))


def draw_particles(
    canvas: Canvas, config: ArtefactConfig, rng: np.random.Generator, fwhm: float
) -> None:
    """Draw the cosmic rays of a frame.

    Parameters
    ----------
    canvas : Canvas
        Changed in place.
    config : ArtefactConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    fwhm : float
        Of the stars, pixels; see `draw_silicon`.
    """
    if chance(rng, config.no_cosmic_rays):
        return
    area = canvas.signal.size / 512**2
    n = int(rng.poisson(log_uniform(rng, config.cosmic_rays) * area))
    muons = int(rng.binomial(n, uniform(rng, config.muon_fraction)))
    silicon = draw_silicon(config, rng, fwhm)
    add_muons(canvas, rng, muons, silicon)
    add_electrons(canvas, rng, n - muons, silicon, config.electron_energy)
