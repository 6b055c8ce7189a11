"""Cosmic rays and other ionising particles. None of them is convolved with the PSF."""

import math

import numpy as np

from . import _render
from .canvas import Artefact, Canvas
from .config import ArtefactConfig
from .draws import chance, log_uniform, log_uniforms, uniform

#: Most probable energy loss of a muon, electron-hole pairs per micron (Groom 2002).
MUON_PAIRS_PER_MICRON = 80.0
#: Energy of one electron-hole pair in silicon, keV.
PAIR_ENERGY = 3.65e-3


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
    pixel = log_uniform(rng, config.pixel_size)
    # No maker gives a detector pixels that its charge would blur.
    spread = min(uniform(rng, config.diffusion), 0.4 * thickness, 0.5 * pixel)
    silicon = {"pixel": pixel, "thickness": thickness, "diffusion": spread / pixel}
    add_muons(canvas, rng, muons, **silicon)
    add_electrons(canvas, rng, n - muons, energy=config.electron_energy, **silicon)
