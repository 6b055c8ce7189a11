"""Simulated frames of which each object, and the law that it was drawn from, is known apart.

They are drawn by the parts of the simulator. What would make the noise of pixels depend on each other,
or one object on another, is left out, and what goes on beyond the window: trails, spikes and halos,
columns, traps and cold pixels, nebulosity, pairs of stars, persistence, pattern noise, resampling,
rounding after the converter, and PSFs that vary over the frame.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..._arrays import F32, F64, I64
from ...simulate import Frame, SimulateConfig, defects, detector, particles, sources
from ...simulate.canvas import Artefact, Canvas
from ...simulate.drawing import draw_conditions
from ...simulate.draws import Range, chance, log_uniform, power_law, uniform
from ...simulate.frame import Layers, finish
from ...simulate.light import Conditions, draw_star_layer
from ...simulate.truth import Rows

#: Wings of sources below this fraction of the sky noise are left out, as in other simulated frames.
LEVEL = 0.1
#: More stars above 5 sigma than this per square FWHM are blends, which no single star explains.
_CROWDED = 0.03
#: Objects on a frame that has none of a kind: what they would look like is known all the same.
_NONE = 1e-6


class Counts(NamedTuple):
    """A law of fluxes: so many objects a pixel between two fluxes, N(>F) ~ F**-slope.

    Attributes
    ----------
    density : float
        Objects per square pixel.
    low, high : float
        Electrons.
    slope : float
        0 for a law that is uniform in log F.
    """

    density: float
    low: float
    high: float
    slope: float

    def above(self, flux: float) -> float:
        """Return the objects per square pixel brighter than `flux` (electrons)."""
        at = min(max(flux, self.low), self.high)
        if self.slope == 0:
            return self.density * math.log(self.high / at) / math.log(self.high / self.low)
        tail = math.pow(self.high / self.low, -self.slope)
        return self.density * (math.pow(at / self.low, -self.slope) - tail) / (1 - tail)


class Laws(NamedTuple):
    """What the objects of a frame were drawn from.

    Attributes
    ----------
    stars, hot_pixels : tuple of Counts
        Laws that add up.
    galaxies, muons, electrons : float
        Objects per square pixel.
    shared : float
        Share of the hot pixels that spill into neighbours.
    silicon : Silicon
    """

    stars: tuple[Counts, ...]
    hot_pixels: tuple[Counts, ...]
    galaxies: float
    muons: float
    electrons: float
    shared: float
    silicon: particles.Silicon


class HotPixels(NamedTuple):
    """Pixels with the charge of defects; arrays are (n,).

    Attributes
    ----------
    owner : array
        Which defect.
    x, y : array
        0-based pixels; may lie off the frame.
    charge : array
        Electrons.
    """

    owner: I64
    x: I64
    y: I64
    charge: F64

    def image(self, shape: tuple[int, int], owner: int | None = None) -> F32:
        """Return the charge of all of them, or of one defect, on a frame of `shape`."""
        held = np.zeros(shape, np.float32)
        seen = (self.x >= 0) & (self.y >= 0) & (self.x < shape[1]) & (self.y < shape[0])
        if owner is not None:
            seen &= self.owner == owner
        np.add.at(held, (self.y[seen], self.x[seen]), self.charge[seen])
        return held


@dataclass(frozen=True, eq=False)
class KnownFrame:
    """A frame, its objects, and what they were drawn from; light is in electrons.

    Attributes
    ----------
    frame : Frame
        As other simulated frames, in ADU.
    config : SimulateConfig
        Ranges of this kind of frame.
    conditions : Conditions
    laws : Laws
    expected : array, shape (h, w)
        Light of the sky and of all objects in each pixel.
    star_rows : Rows
    galaxies : list of Galaxy
    tracks : Tracks
    hot_pixels : HotPixels
    seed : int
        Of what each galaxy and each track draws for itself.
    """

    frame: Frame
    config: SimulateConfig
    conditions: Conditions
    laws: Laws
    expected: F32
    star_rows: Rows
    galaxies: list[sources.Galaxy]
    tracks: particles.Tracks
    hot_pixels: HotPixels
    seed: int

    @property
    def counts(self) -> F32:
        """What was read out, electrons: the frame without bias."""
        camera = self.conditions.camera
        return (self.frame.image - np.float32(camera.bias)) * np.float32(camera.gain)

    def star(self, k: int) -> F32:
        """Return the light of a star on the frame."""
        rows, layer = self.star_rows, np.zeros(self.expected.shape, np.float32)
        here = slice(k, k + 1)
        level = LEVEL * self.conditions.noise
        self.conditions.psf.add_points(layer, rows.x[here], rows.y[here], rows.flux[here], level)
        return layer

    def galaxy(self, k: int) -> F32:
        """Return the light of a galaxy on the frame."""
        layer = np.zeros(self.expected.shape, np.float32)
        _add_galaxy(layer, self.galaxies[k], self.conditions, (self.seed, 0, k))
        return layer

    def track(self, k: int) -> F32:
        """Return the charge of a particle on the frame."""
        canvas = Canvas.blank((self.expected.shape[0], self.expected.shape[1]))
        _paint(canvas, self.tracks, k, self.seed)
        return canvas.signal

    def hot_pixel(self, k: int) -> F32:
        """Return the charge of a defect on the frame."""
        return self.hot_pixels.image((self.expected.shape[0], self.expected.shape[1]), k)


def draw_known_frame(
    config: SimulateConfig, rng: np.random.Generator, widths: Range
) -> KnownFrame | None:
    """Draw a frame; None where its stars are not as wide as asked for.

    Parameters
    ----------
    config : SimulateConfig
        Ranges of one kind of frame, as `rbtrain.simulate.scenes.draw_scene` returns them.
    rng : numpy.random.Generator
        Source of all randomness.
    widths : (float, float)
        FWHM in pixels, from and below.

    Returns
    -------
    KnownFrame or None
    """
    config = _without_pairs(config, rng)
    conditions = _draw_conditions(config, rng)
    if not widths[0] <= conditions.psf.fwhm < widths[1]:
        return None
    shape, noise = conditions.shape, conditions.noise
    seed = int(rng.integers(2**31))
    stars, star_rows = draw_star_layer(config.field, rng, conditions)
    canvas = Canvas.blank(shape)
    tracks, muons, silicon = _draw_tracks(config, rng, conditions)
    for k in range(tracks.x.size):
        _paint(canvas, tracks, k, seed)
    hot_pixels, hot_laws, shared = _draw_hot_pixels(config, rng, conditions)
    held = hot_pixels.image(shape)
    canvas.codes[held > canvas.signal] = int(Artefact.HOT_PIXEL)
    canvas.signal[:] += held
    galaxies = sources.draw_galaxies(config.field, rng, shape, conditions.psf.fwhm, noise)
    layer = np.zeros(shape, np.float32)
    peaks = [_add_galaxy(layer, g, conditions, (seed, 0, k)) for k, g in enumerate(galaxies)]
    sky = detector.draw_sky(config.sky, rng, shape, conditions.level)
    expected = sky + stars + layer + canvas.signal
    area = shape[0] * shape[1]
    laws = Laws(
        _star_laws(config, conditions, star_rows.x.size),
        hot_laws,
        len(galaxies) / area,
        max(muons, _NONE) / area,
        max(tracks.x.size - muons, _NONE) / area,
        shared,
        silicon,
    )
    light = (stars, layer, canvas, sky)
    frame = _read_out(expected, light, star_rows, sources.galaxy_rows(galaxies, peaks), conditions, rng)
    return KnownFrame(
        frame, config, conditions, laws, expected, star_rows, galaxies, tracks, hot_pixels, seed
    )


def _without_pairs(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Draw the law of the stars beforehand, and take out what makes objects depend on each other."""
    field = config.field
    slope = uniform(rng, field.star_slope)
    crowding = min(log_uniform(rng, field.crowding), _CROWDED)
    bright = uniform(rng, field.bright_stars)
    field = replace(
        field,
        star_slope=(slope, slope),
        crowding=(crowding, crowding),
        bright_stars=(bright, bright),
        pair_fraction=(0.0, 0.0),
        followed=0.0,
    )
    return replace(config, field=field, psf=replace(config.psf, varying=0.0))


def _draw_conditions(config: SimulateConfig, rng: np.random.Generator) -> Conditions:
    """Draw camera, sky and PSF; the camera is linear and its pixels do not bleed."""
    conditions = draw_conditions(config, rng)
    return replace(conditions, camera=replace(conditions.camera, nonlinearity=0.0, blooming=False))


def _star_laws(config: SimulateConfig, conditions: Conditions, n: int) -> tuple[Counts, ...]:
    """Return the laws that the `n` stars of a frame were drawn from."""
    if n == 0:
        return ()
    field, psf = config.field, conditions.psf
    margin = 2 * min(3 * psf.fwhm + 2, 30.0)
    area = (conditions.shape[0] + margin) * (conditions.shape[1] + margin)
    unit = conditions.noise / float(psf.peaks.mean())
    high = max(conditions.brightest, 20.0)
    bright = min(field.bright_stars[0], n - 1)
    return (
        Counts((n - bright) / area, field.faintest * unit, high * unit, field.star_slope[0]),
        Counts(bright / area, min(50.0, high) * unit, 2 * high * unit, 0.0),
    )


def _draw_tracks(
    config: SimulateConfig, rng: np.random.Generator, conditions: Conditions
) -> tuple[particles.Tracks, int, particles.Silicon]:
    """Draw particles: their tracks, how many of them are muons (the first ones), and the silicon."""
    artefacts, shape = config.artefacts, conditions.shape
    silicon = particles.draw_silicon(artefacts, rng, conditions.psf.fwhm)
    n = int(rng.poisson(log_uniform(rng, artefacts.cosmic_rays) * shape[0] * shape[1] / 512**2))
    if chance(rng, artefacts.no_cosmic_rays):
        n = 0
    muons = int(rng.binomial(n, uniform(rng, artefacts.muon_fraction)))
    tracks = particles.draw_muons(rng, muons, shape, silicon).joined(
        particles.draw_electrons(rng, n - muons, shape, silicon, artefacts.electron_energy)
    )
    return tracks, muons, silicon


def _draw_hot_pixels(
    config: SimulateConfig, rng: np.random.Generator, conditions: Conditions
) -> tuple[HotPixels, tuple[Counts, ...], float]:
    """Draw hot pixels, with their laws and the share that spills over."""
    artefacts, (height, width) = config.artefacts, conditions.shape
    n = int(rng.poisson(log_uniform(rng, artefacts.hot_pixels) * height * width / 512**2))
    if chance(rng, artefacts.no_hot_pixels):
        n = 0
    slope, (low, high) = uniform(rng, (0.6, 1.5)), artefacts.hot_size
    charge = conditions.noise * power_law(rng, low, high, slope, n)
    shared = artefacts.hot_shared * uniform(rng, (0, 2))
    x, y = rng.integers(0, width, n), rng.integers(0, height, n)
    parts = [
        (which, x[which] + dx, y[which] + dy, part)
        for which, dx, dy, part in defects.shares(rng, charge, shared)
    ]
    pixels = HotPixels(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    unit = conditions.noise
    law = Counts(max(n, _NONE) / (height * width), low * unit, high * unit, slope)
    return pixels, (law,), shared


def _paint(canvas: Canvas, tracks: particles.Tracks, k: int, seed: int) -> None:
    tracks.taken([k]).paint(canvas, np.random.default_rng((seed, 1, k)))


def _add_galaxy(
    layer: F32, galaxy: sources.Galaxy, conditions: Conditions, seed: tuple[int, ...]
) -> float:
    """Add a galaxy to a layer; returns its brightest pixel."""
    level = LEVEL * conditions.noise
    return sources.add_galaxy(layer, galaxy, conditions.psf, level, np.random.default_rng(seed))


def _read_out(
    expected: F32,
    light: tuple[F32, F32, Canvas, F32],
    star_rows: Rows,
    galaxy_rows: Rows,
    conditions: Conditions,
    rng: np.random.Generator,
) -> Frame:
    """Add the noise and count in ADU; nothing else is done to the frame."""
    stars, galaxies, canvas, sky = light
    camera = conditions.camera
    held = np.minimum(expected, np.float32(camera.full_well))
    scale = np.float32(1 / camera.gain)
    image = detector.photon_noise(held, rng, camera.flat_noise, camera.read_noise) * scale
    image = np.rint(image + np.float32(camera.bias))
    np.clip(image, 0.0 if camera.bias > 0 else -np.inf, camera.ceiling, out=image)
    layers = Layers(
        image=image,
        stars=stars * scale,
        galaxies=galaxies * scale,
        artefacts=canvas.signal * scale,
        codes=canvas.codes,
        sky=sky * scale + np.float32(camera.bias),
        star_rows=star_rows.in_adu(camera.gain),
        galaxy_rows=galaxy_rows.in_adu(camera.gain),
        artefact_rows=canvas.rows().in_adu(camera.gain),
        saturation=camera.saturation,
    )
    variance = sky + camera.read_noise**2 + camera.gain**2 / 12 + (camera.flat_noise * sky) ** 2
    noise = np.sqrt(variance).astype(np.float32) * scale
    typical, empty = float(np.median(noise)), np.zeros(image.shape, bool)
    return finish(
        layers,
        noise=noise,
        typical=typical,
        fwhm=conditions.psf.fwhm,
        mask=None,
        empty=empty,
        unknown=None,
    )
