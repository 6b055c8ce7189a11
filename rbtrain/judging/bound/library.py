"""What an object of each class may look like around the brightest pixel of a detection on one frame.

Stars stand on a grid of sub-pixel positions, as the simulator puts them there; galaxies, particles and
hot pixels are drawn by the simulator's generators. A drawn template stands for each of its bright pixels
as the one that was found. Particles and galaxies are also drawn a little to the side and a little wider,
which gives the derivatives.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from ..._arrays import F32, F64, I64
from ...simulate import defects, particles, sources
from ...simulate.canvas import Canvas
from ...simulate.draws import uniform
from .evidence import Around, Library, PowerLaws
from .known import KnownFrame

#: Shares of the light in the brightest pixel from which on the labels take a source, or an artefact, for
#: its cause (`rbtrain.data.label`).
SOURCE, ARTEFACT = 0.4, 0.5
#: A pixel with this share of the brightest of a template may be the one that was found.
_BRIGHT = 0.35
#: So many such pixels of a template are taken, drawn at random.
_PLACES = 6
#: Prior rms of a shift, pixels (of a galaxy: FWHM), of the logarithm of a width and of that of a charge.
_SHIFT, _WIDER, _CHARGE = 0.1, 0.1, 0.15
#: Steps of the derivatives by these.
_STEP, _FACTOR = 0.05, 1.05
#: Tracks are drawn so far from the middle of their window, pixels.
_AROUND = 14
#: Detectors that particles of a kind of frame are drawn in.
_SILICONS = 50
_ONE = 1e4


@dataclass(frozen=True)
class Size:
    """How many templates are drawn of each class."""

    tracks: int = 1500
    hot_pixels: int = 200
    galaxies: int = 120

    def times(self, factor: float) -> "Size":
        """Return another number of each."""
        return Size(*(round(factor * n) for n in (self.tracks, self.hot_pixels, self.galaxies)))


def reach(fwhm: float) -> int:
    """Return how far the pixels of a detection are looked at, for stars of `fwhm` pixels."""
    return int(np.clip(math.ceil(1.6 * fwhm) + 4, 6, 16))


def far_of(fwhm: float) -> float:
    """Return how far from its centre a source may be found, pixels, as the labels have it."""
    return max(0.55 * fwhm, 1.2)


def star_library(known: KnownFrame) -> Library:
    """Return the star of the frame, at each position where the label would take it."""
    psf, radius = known.conditions.psf, reach(known.frame.fwhm)
    s, fwhm = psf.oversampling, known.frame.fwhm
    far = far_of(fwhm)
    most = math.ceil(far + 0.5)
    pad = max(radius + most - psf.radius, 0)
    stamps = np.pad(psf.stamps[0], ((0, 0), (pad, pad), (pad, pad)))
    middle = psf.radius + pad
    images, shown = [], []
    for dy in range(-most, most + 1):
        for dx in range(-most, most + 1):
            for phase in range(s * s):
                away = math.hypot(dx + (phase % s - s // 2) / s, dy + (phase // s - s // 2) / s)
                if away > far:
                    continue
                rows = slice(middle - dy - radius, middle - dy + radius + 1)
                columns = slice(middle - dx - radius, middle - dx + radius + 1)
                images.append(stamps[phase, rows, columns].ravel())
                shown.append(psf.peaks[0, phase] * math.exp(-2 * (away / max(fwhm, 1.5)) ** 2))
    n = len(images)
    return Library(
        images=np.asarray(images, np.float32)[:, None],
        spread=np.zeros(0),
        log_weight=np.full(n, -math.log(s * s)),
        law=PowerLaws(known.laws.stars),
        shown=np.asarray(shown, float),
        cause=SOURCE,
    )


def hot_library(known: KnownFrame, rng: np.random.Generator, n: int) -> Library:
    """Return hot pixels: single ones, and `n` that spill over."""
    radius, shared = reach(known.frame.fwhm), known.laws.shared
    side = 2 * radius + 5
    stamps = np.zeros((1 + n, side, side), np.float32)
    stamps[0, side // 2, side // 2] = 1
    for which, dx, dy, part in defects.shares(rng, np.ones(n), 1.0):
        np.add.at(stamps, (1 + which, side // 2 + dy, side // 2 + dx), part)
    weight = np.full(1 + n, shared / n)
    weight[0] = 1 - shared
    template, images, places = _placed(stamps[:, None], radius, rng)
    return Library(
        images=images,
        spread=np.zeros(0),
        log_weight=np.log(np.maximum(weight[template], 1e-12) * places),
        law=PowerLaws(known.laws.hot_pixels),
        shown=images[:, 0, images.shape[2] // 2].astype(float),
        cause=ARTEFACT,
    )


def track_library(known: KnownFrame, rng: np.random.Generator, n: int, own: bool = True) -> Library:
    """Return `n` particles, muons and electrons.

    Parameters
    ----------
    known : KnownFrame
    rng : numpy.random.Generator
    n : int
    own : bool
        In the silicon and the proportion of the frame; else in those of many frames of its kind.
    """
    radius, density = reach(known.frame.fwhm), known.laws.muons + known.laws.electrons
    tracks = _own_tracks(known, rng, n) if own else _tracks_of_kind(known, rng, n)
    n = tracks.x.size
    side = 2 * (radius + _AROUND) + 1
    tracks = replace(tracks, x=tracks.x + side // 2, y=tracks.y + side // 2)
    # What nobody could detect is no alternative.
    least = 1.5 * known.conditions.noise
    tracks = tracks.taken(np.flatnonzero(tracks.charge > least))
    stamps = _differentiated(lambda *change: _track_stamps(tracks, side, *change), _STEP, _FACTOR)
    peak = stamps[:, 0].max(axis=(1, 2))
    seen = np.flatnonzero(tracks.charge * peak > least)
    template, images, places = _placed(stamps[seen], radius, rng)
    charge = tracks.charge[seen][template]
    return Library(
        images=images,
        spread=np.array([_SHIFT, _SHIFT, _WIDER]),
        log_weight=np.log(density / n * places),
        law=Around(charge, _CHARGE),
        shown=images[:, 0, images.shape[2] // 2].astype(float),
        cause=ARTEFACT,
    )


def galaxy_library(known: KnownFrame, rng: np.random.Generator, n: int) -> Library:
    """Return `n` galaxies with the PSF of the frame."""
    field, radius, noise = known.config.field, reach(known.frame.fwhm), known.conditions.noise
    psf = known.conditions.psf
    side = 2 * (radius + math.ceil(2 * psf.fwhm)) + 1
    drawn = list(_galaxies(known, rng, n))
    # All with one flux: the law of the flux is that of the surface brightness.
    area = np.array([g.flux for g in drawn])
    drawn = [replace(g, x=side // 2 + g.x, y=side // 2 + g.y, flux=_ONE) for g in drawn]
    seeds = rng.integers(2**31, size=n)
    step = max(1, round(0.1 * psf.fwhm * psf.oversampling)) / psf.oversampling

    def stamps_of(dx: float, dy: float, wider: float) -> F32:
        stamps = np.zeros((n, side, side), np.float32)
        for stamp, g, seed in zip(stamps, drawn, seeds, strict=True):
            moved = replace(g, x=g.x + dx, y=g.y + dy, half_light=g.half_light * wider)
            sources.add_galaxy(stamp, moved, psf, 1e-4 * _ONE, np.random.default_rng(seed))
        return stamps / np.float32(_ONE)

    stamps = _differentiated(stamps_of, step, _FACTOR)
    template, images, places = _placed(stamps, radius, rng)
    low, high = (noise * area[template] * end for end in field.galaxy_peak)
    return Library(
        images=images,
        spread=np.array([_SHIFT * psf.fwhm, _SHIFT * psf.fwhm, _WIDER]),
        log_weight=np.log(known.laws.galaxies / n * places),
        law=PowerLaws(((1.0, low, high, field.galaxy_slope),)),
        shown=images[:, 0, images.shape[2] // 2].astype(float),
        cause=SOURCE,
    )


def _own_tracks(known: KnownFrame, rng: np.random.Generator, n: int) -> particles.Tracks:
    laws = known.laws
    return _tracks(known, rng, n, laws.muons / (laws.muons + laws.electrons), laws.silicon)


def _tracks_of_kind(known: KnownFrame, rng: np.random.Generator, n: int) -> particles.Tracks:
    artefacts, tracks = known.config.artefacts, []
    for _ in range(_SILICONS):
        silicon = particles.draw_silicon(artefacts, rng, known.frame.fwhm)
        share = uniform(rng, artefacts.muon_fraction)
        tracks.append(_tracks(known, rng, math.ceil(n / _SILICONS), share, silicon))
    return reduce(particles.Tracks.joined, tracks)


def _tracks(
    known: KnownFrame, rng: np.random.Generator, n: int, share: float, silicon: particles.Silicon
) -> particles.Tracks:
    """Draw particles that start within a pixel, a share of them muons."""
    muons = round(n * share)
    energy = known.config.artefacts.electron_energy
    return particles.draw_muons(rng, muons, (1, 1), silicon).joined(
        particles.draw_electrons(rng, n - muons, (1, 1), silicon, energy)
    )


def _galaxies(known: KnownFrame, rng: np.random.Generator, n: int) -> Iterator[sources.Galaxy]:
    """Draw galaxies within a pixel, with the flux that a surface brightness of 1 gives them."""
    field = replace(
        known.config.field, no_galaxies=0.0, galaxies=(1e5, 1e5), galaxy_peak=(1.0, 1.0 + 1e-9)
    )
    found: list[sources.Galaxy] = []
    while len(found) < n:
        found += sources.draw_galaxies(field, rng, (16, 16), known.frame.fwhm, 1.0)
    for galaxy in found[:n]:
        yield replace(galaxy, x=galaxy.x - round(galaxy.x), y=galaxy.y - round(galaxy.y))


def _track_stamps(tracks: particles.Tracks, side: int, dx: float, dy: float, wider: float) -> F32:
    """Return the tracks with unit charge, shifted and widened; their fluctuations stay the same."""
    n = tracks.x.size
    changed = replace(
        tracks,
        x=tracks.x + dx,
        y=tracks.y + dy,
        start=tracks.start * wider,
        end=tracks.end * wider,
        charge=np.ones(n),
    )
    stamps = np.empty((n, side, side), np.float32)
    for k in range(n):
        canvas = Canvas.blank((side, side))
        changed.taken([k]).paint(canvas, np.random.default_rng(k))
        stamps[k] = canvas.signal
    return stamps


def _differentiated(stamps_of: Callable[[float, float, float], F32], step: float, factor: float) -> F32:
    """Return stamps and their derivatives by x, y and the logarithm of the width, (n, 4, side, side)."""
    plain = stamps_of(0.0, 0.0, 1.0)
    changed = stamps_of(step, 0.0, 1.0), stamps_of(0.0, step, 1.0), stamps_of(0.0, 0.0, factor)
    steps = step, step, math.log(factor)
    slopes = ((c - plain) / np.float32(by) for c, by in zip(changed, steps, strict=True))
    return np.stack([plain, *slopes], axis=1)


def _placed(stamps: F32, radius: int, rng: np.random.Generator) -> tuple[I64, F32, F64]:
    """Cut stamps so that one bright pixel of each after the other is in the middle.

    Returns
    -------
    template : int array, shape (k,)
    images : array, shape (k, terms, (2 radius + 1)**2)
    places : array, shape (k,)
        How many bright pixels of the template each stands for.
    """
    light = stamps[:, 0]
    inner = np.zeros(light.shape[1:], bool)
    inner[radius : light.shape[1] - radius, radius : light.shape[2] - radius] = True
    template, images, places = [], [], []
    for k, picture in enumerate(light):
        y, x = np.nonzero((picture >= _BRIGHT * picture.max()) & (picture > 0) & inner)
        order = np.argsort(picture[y, x])[::-1] if y.size <= _PLACES else rng.permutation(y.size)
        for i in order[:_PLACES]:
            rows = slice(y[i] - radius, y[i] + radius + 1)
            columns = slice(x[i] - radius, x[i] + radius + 1)
            images.append(stamps[k, :, rows, columns].reshape(stamps.shape[1], -1))
            template.append(k)
            places.append(max(y.size / _PLACES, 1.0))
    return np.array(template, np.int64), np.array(images, np.float32), np.array(places)
