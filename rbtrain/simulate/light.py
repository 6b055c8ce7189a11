"""The light of one frame before it reaches the detector, with every kind on a layer of its own."""

from dataclasses import dataclass

import numpy as np

from .._arrays import F32
from . import glare, persistence, sources, trails
from .canvas import Canvas
from .config import FieldConfig, SimulateConfig
from .detector import Camera
from .filters import WARMTHS, Filters, draw_warmths
from .optics import StarImages
from .psf import PSF
from .truth import Rows

#: Wings of sources below this fraction of the sky noise are left out.
_LEVEL = 0.1


@dataclass(frozen=True, eq=False)
class Conditions:
    """What holds for a frame as a whole.

    Attributes
    ----------
    shape : (int, int)
        Height and width, pixels.
    camera : Camera
    images : StarImages
        What point sources look like.
    level : float
        Sky, electrons a pixel.
    noise : float
        Rms of a pixel of sky, electrons.
    brightest : float
        Peak of the brightest possible star in units of `noise`.
    filters : Filters or None
        Of colours, in front of the pixels.
    """

    shape: tuple[int, int]
    camera: Camera
    images: StarImages
    level: float
    noise: float
    brightest: float
    filters: Filters | None = None

    @property
    def psf(self) -> PSF:
        """PSF of the stars."""
        return self.images.stars


@dataclass(frozen=True, eq=False)
class Light:
    """Sources and artefacts; arrays are (h, w) float32 in electrons.

    Attributes
    ----------
    stars, galaxies : array
        Expected signal.
    star_rows, galaxy_rows : Rows
        What was drawn, in electrons.
    canvas : Canvas
        Everything that is neither.
    """

    stars: F32
    galaxies: F32
    star_rows: Rows
    galaxy_rows: Rows
    canvas: Canvas


def draw_star_layer(
    config: FieldConfig, rng: np.random.Generator, conditions: Conditions
) -> tuple[F32, Rows]:
    """Draw the stars of a frame: their layer and their rows, both in electrons.

    Parameters
    ----------
    config : FieldConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    conditions : Conditions

    Returns
    -------
    layer : array, shape (h, w)
        float32.
    rows : Rows
    """
    psf, noise, shape = conditions.psf, conditions.noise, conditions.shape
    rows = sources.draw_stars(config, rng, shape, psf, noise, conditions.brightest)
    layer = np.zeros(shape, np.float32)
    _add_stars(layer, rng, conditions, psf, rows)
    followed = conditions.images.followed
    if followed is not None:
        objects = sources.draw_followed(config, rng, shape, followed, noise)
        _add_stars(layer, rng, conditions, followed, objects)
        rows = rows.joined(objects)
    return layer, rows


def _add_stars(
    layer: F32, rng: np.random.Generator, conditions: Conditions, psf: PSF, rows: Rows
) -> None:
    """Add point sources to a layer; behind filters each has a colour."""
    level = _LEVEL * conditions.noise
    if conditions.filters is None:
        psf.add_points(layer, rows.x, rows.y, rows.flux, level)
        return
    warmths = draw_warmths(rng, rows.x.size)
    for warmth in WARMTHS:
        own, light = warmths == warmth, np.zeros(conditions.shape, np.float32)
        psf.add_points(light, rows.x[own], rows.y[own], rows.flux[own], level)
        layer += light * conditions.filters.passed(conditions.shape, warmth)


def draw_galaxy_layer(
    config: FieldConfig, rng: np.random.Generator, conditions: Conditions
) -> tuple[F32, Rows]:
    """Draw the galaxies of a frame: their layer and their rows, both in electrons.

    Parameters
    ----------
    config : FieldConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    conditions : Conditions

    Returns
    -------
    layer : array, shape (h, w)
        float32.
    rows : Rows
    """
    psf, noise = conditions.psf, conditions.noise
    layer = np.zeros(conditions.shape, np.float32)
    drawn = sources.draw_galaxies(config, rng, conditions.shape, psf.fwhm, noise)
    peaks = [sources.add_galaxy(layer, galaxy, psf, _LEVEL * noise, rng) for galaxy in drawn]
    return layer, sources.galaxy_rows(drawn, peaks)


def paint_light(
    config: SimulateConfig, rng: np.random.Generator, conditions: Conditions, stars: Rows
) -> Canvas:
    """Paint what has the width of the PSF or more: asteroids, trails, glare and memory of `stars`.

    Parameters
    ----------
    config : SimulateConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    conditions : Conditions
    stars : Rows
        In electrons.

    Returns
    -------
    Canvas
    """
    psf, noise = conditions.psf, conditions.noise
    canvas = Canvas.blank(conditions.shape)
    trails.draw_asteroids(canvas, config.field, rng, psf, noise)
    trails.draw_trails(canvas, config.artefacts, rng, psf, noise)
    glare.draw_glare(canvas, config.artefacts, rng, psf, stars, noise)
    full_well = conditions.camera.full_well
    persistence.draw_persistence(canvas, config.artefacts, rng, psf, stars, noise, full_well)
    return canvas
