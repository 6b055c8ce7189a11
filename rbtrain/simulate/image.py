"""`simulate_image`: an image with given numbers of everything, as the reference API has it."""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike

from rbinfer import InputError
from rbinfer._util.arguments import shown
from rbinfer._util.verbosity import Verbose, reporting
from rbinfer.errors import one_line

from .._arrays import F32, F64
from . import defects, detector, particles, sources, trails
from .canvas import Canvas
from .draws import Range, chance, generator, log_uniform, log_uniforms, uniform
from .psf import PSF
from .truth import Rows, extreme, truth_table

log = logging.getLogger(__name__)

#: Silicon of the camera of `simulate_image`: a thinned CCD of 15 micron pixels.
_SILICON = particles.Silicon(pixel=15.0, thickness=20.0, diffusion=0.35)
#: Energies of its electrons, keV.
_ENERGY = (3.0, 200.0)
#: Wings of sources below this fraction of the noise (or of one electron) are left out.
_LEVEL = 0.02

#: FWHM that stars may have, pixels.
FWHM_LIMITS = (0.5, 50.0)
_COUNTS = ("n_stars", "n_galaxies", "n_cosmic_rays", "n_hot_pixels", "n_satellites", "n_bad_columns")
_RANGES = ("star_flux_range", "galaxy_flux_range", "companion_separation_fwhm", "companion_flux_ratio")
#: What the other parameters must be: a test, and the same in words.
_LIMITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        _COUNTS,
        (
            lambda n: isinstance(n, int | np.integer) and bool(n >= 0),
            "a whole number, 0 or more; 0 leaves the kind out",
        ),
    ),
    "width": (lambda n: n >= 1 and int(n) == n, "a whole number of pixels above 0"),
    "height": (lambda n: n >= 1 and int(n) == n, "a whole number of pixels above 0"),
    "star_fwhm": (
        lambda v: FWHM_LIMITS[0] <= v <= FWHM_LIMITS[1],
        f"from {FWHM_LIMITS[0]} to {FWHM_LIMITS[1]} pixels",
    ),
    "gain": (lambda v: 0 < v < math.inf, "above 0 electrons per ADU"),
    "readnoise": (lambda v: 0 <= v < math.inf, "0 electrons or more"),
    "background": (lambda v: 0 <= v < math.inf, "0 ADU or more"),
    "companion_fraction": (lambda v: 0 <= v <= 1, "from 0 to 1"),
}


def simulate_image(
    width: int = 2048,
    height: int = 2048,
    n_stars: int = 100,
    star_flux_range: tuple[float, float] = (1e3, 1e5),
    star_fwhm: float = 3.0,
    star_psf: str | PSF | ArrayLike = "gaussian",
    n_galaxies: int = 20,
    galaxy_flux_range: tuple[float, float] = (1e3, 5e4),
    n_cosmic_rays: int = 10,
    n_hot_pixels: int = 10,
    n_satellites: int = 0,
    n_bad_columns: int = 0,
    add_companions: bool = False,
    companion_fraction: float = 0.2,
    companion_separation_fwhm: tuple[float, float] = (1.0, 3.0),
    companion_flux_ratio: tuple[float, float] = (0.1, 1.0),
    background: float = 1000.0,
    readnoise: float = 10.0,
    gain: float = 1.0,
    return_catalog: bool = True,
    verbose: Verbose = False,
    rng: np.random.Generator | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Simulate an astronomical image with stars, galaxies and artefacts.

    Parameters
    ----------
    width, height : int
        Of the image, pixels.
    n_stars, n_galaxies, n_cosmic_rays, n_hot_pixels, n_satellites, n_bad_columns : int
        How many of each.
    star_flux_range, galaxy_flux_range : (float, float)
        Total fluxes in ADU, drawn log-uniformly.
    star_fwhm : float
        FWHM in pixels; unused when `star_psf` is a PSF.
    star_psf : {"gaussian", "moffat"}, PSF or array
        The PSF: by name (Moffat with beta = 3), a `rbtrain.simulate.psf.PSF`, or a picture of it,
        one sample a pixel, square with an odd side.
    add_companions : bool
        Give `companion_fraction` of the stars a neighbour at a distance in
        `companion_separation_fwhm` (FWHM, uniform), with a part of their flux drawn from
        `companion_flux_ratio` (uniform).
    background : float
        Sky, ADU a pixel.
    readnoise : float
        Electrons rms.
    gain : float
        Electrons per ADU.
    return_catalog : bool
        Whether to make the truth table.
    verbose : bool or callable
        Tell what was drawn.
    rng : numpy.random.Generator, optional
        Source of all randomness.
    seed : int, optional
        Makes the generator when `rng` is not given.

    Returns
    -------
    dict
        ``image`` (height, width) float32 in ADU; ``catalog``, astropy Table with x, y (0-based
        pixels), flux, peak (ADU), type ("star", "galaxy", "cosmic_ray", "hot_pixel",
        "satellite", "bad_column") and fwhm, or None; ``background`` (ADU); ``noise``, the rms of
        a pixel of sky (ADU); ``fwhm`` of the PSF (pixels).

    Raises
    ------
    InputError
        When a parameter makes no sense.
    """
    given = dict(locals())
    for name, (fits, wanted) in _LIMITS.items():
        _check(name, given[name], _meets(given[name], fits), wanted)
    spans = {name: _range(name, given[name]) for name in _RANGES}
    if rng is not None and seed is not None:
        raise InputError("give either rng or seed, not both")
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise InputError(f"rng must be a numpy.random.Generator, not {rng!r}; give a number as seed")
    rng = generator(seed) if rng is None else rng

    psf = _psf(star_psf, star_fwhm)
    shape = (int(height), int(width))
    sky = background * gain
    noise = math.sqrt(sky + readnoise**2)
    level = _LEVEL * max(noise, 1.0)
    light = np.full(shape, sky, np.float32)
    x, y, flux = _draw_stars(rng, shape, n_stars, spans["star_flux_range"], gain)
    if add_companions:
        separation, ratio = spans["companion_separation_fwhm"], spans["companion_flux_ratio"]
        x, y, flux = _with_companions(rng, psf.fwhm, (x, y, flux), companion_fraction, separation, ratio)
    x, y = psf.snapped(x, y)
    stars = Rows("star", x, y, flux, psf.add_points(light, x, y, flux, level))
    fluxes = gain * log_uniforms(rng, spans["galaxy_flux_range"], n_galaxies)
    galaxies = _add_galaxies(light, rng, psf, fluxes, level, sky)
    canvas = _paint_artefacts(
        rng, psf, shape, noise, sky, n_satellites, n_hot_pixels, n_cosmic_rays, n_bad_columns
    )
    image = detector.photon_noise(light + canvas.signal, rng, floor=readnoise) / np.float32(gain)
    catalog: Table | None = None
    if return_catalog:
        made = canvas.rows()
        made = replace(made, peak=extreme(canvas.signal, made.x, made.y))
        catalog = truth_table([r.in_adu(gain) for r in (stars, galaxies, made)], psf.fwhm, shape)
    with reporting(verbose, "rbtrain"):
        log.info(
            "simulated %d x %d pixels, FWHM %.2f: %s",
            width,
            height,
            psf.fwhm,
            ", ".join(f"{name[2:]} {given[name]}" for name in _COUNTS),
        )
    return {
        "image": image,
        "catalog": catalog,
        "background": float(background),
        "noise": noise / gain,
        "fwhm": psf.fwhm,
    }


def _draw_stars(
    rng: np.random.Generator, shape: tuple[int, int], n: int, flux_range: Range, gain: float
) -> tuple[F64, F64, F64]:
    """Draw positions (pixels) and fluxes (electrons) of stars, evenly over the frame."""
    x, y = rng.uniform(-0.5, shape[1] - 0.5, n), rng.uniform(-0.5, shape[0] - 0.5, n)
    return x, y, gain * log_uniforms(rng, flux_range, n)


def _with_companions(
    rng: np.random.Generator,
    fwhm: float,
    stars: tuple[F64, F64, F64],
    fraction: float,
    separation: Range,
    ratio: Range,
) -> tuple[F64, F64, F64]:
    """Give a fraction of the stars a neighbour: its distance in FWHM, its flux as a ratio to theirs."""
    x, y, flux = stars
    primary = np.flatnonzero(rng.random(x.size) < fraction)
    distance = fwhm * rng.uniform(*separation, primary.size)
    angle = rng.uniform(0, 2 * np.pi, primary.size)
    return (
        np.append(x, x[primary] + distance * np.cos(angle)),
        np.append(y, y[primary] + distance * np.sin(angle)),
        np.append(flux, flux[primary] * rng.uniform(*ratio, primary.size)),
    )


def _add_galaxies(
    light: F32, rng: np.random.Generator, psf: PSF, fluxes: F64, level: float, sky: float
) -> Rows:
    """Add a galaxy of each flux (electrons) and return what was added, less the sky."""
    height, width = light.shape
    drawn, peaks = [], []
    for flux in fluxes:
        galaxy = sources.Galaxy(
            x=uniform(rng, (-0.5, width - 0.5)),
            y=uniform(rng, (-0.5, height - 0.5)),
            flux=float(flux),
            half_light=psf.fwhm * log_uniform(rng, (0.5, 4.0)),
            axis_ratio=uniform(rng, (0.3, 1.0)),
            angle=uniform(rng, (0, math.pi)),
            sersic=log_uniform(rng, (0.5, 4.0)),
            bulge=uniform(rng, (0, 0.6)) if chance(rng, 0.3) else 0.0,
        )
        drawn.append(galaxy)
        peaks.append(sources.add_galaxy(light, galaxy, psf, level, rng) - sky)
    return sources.galaxy_rows(drawn, peaks)


def _paint_artefacts(
    rng: np.random.Generator,
    psf: PSF,
    shape: tuple[int, int],
    noise: float,
    sky: float,
    n_satellites: int,
    n_hot_pixels: int,
    n_cosmic_rays: int,
    n_bad_columns: int,
) -> Canvas:
    """Paint so many of each kind on a sky of level `sky` and rms `noise` (electrons a pixel)."""
    height, width = shape
    canvas = Canvas.blank(shape)
    for _ in range(n_satellites):
        angle = uniform(rng, (0, 2 * math.pi))
        x, y = uniform(rng, (0, width)), uniform(rng, (0, height))
        far = 1.5 * math.hypot(width, height)
        dx, dy = far * math.cos(angle), far * math.sin(angle)
        peak = noise * log_uniform(rng, (3.0, 100.0))
        trails.add_trail(canvas, rng, psf, (x - dx, y - dy), (x + dx, y + dy), peak=peak)
        canvas.record_one("satellite", x, y, peak * width)
    charge = noise * log_uniforms(rng, (10.0, 1000.0), n_hot_pixels)
    defects.add_hot_pixels(canvas, rng, charge, shared=0.15)
    muons = int(rng.binomial(n_cosmic_rays, 0.5))
    particles.add_muons(canvas, rng, muons, _SILICON)
    particles.add_electrons(canvas, rng, n_cosmic_rays - muons, _SILICON, _ENERGY)
    for _ in range(n_bad_columns):
        defects.draw_column(canvas, rng, noise, sky)
    return canvas


def _check(name: str, value: object, good: bool, wanted: str) -> None:
    if not good:
        raise InputError(f"{name} is {shown(value)} but must be {wanted}")


def _meets(value: Any, fits: Callable[[Any], bool]) -> bool:
    """Whether a number passes a test; what is none does not."""
    try:
        return not isinstance(value, bool) and bool(fits(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _range(name: str, value: Any) -> Range:
    """Return both ends of a range, one number standing for the two; fluxes must be above 0."""
    span: Range = (value, value) if np.ndim(value) == 0 else value
    least = "0 < " if name in ("star_flux_range", "galaxy_flux_range") else "0 <= "
    good = _meets(
        span,
        lambda ends: (
            len(ends) == 2 and 0 <= ends[0] <= ends[1] < math.inf and (ends[0] > 0 or least == "0 <= ")
        ),
    )
    _check(name, span, good, f"a (low, high) pair with {least}low <= high")
    return span


def _psf(star_psf: str | PSF | ArrayLike, fwhm: float) -> PSF:
    if isinstance(star_psf, PSF):
        return star_psf
    if isinstance(star_psf, str):
        if star_psf == "gaussian":
            return PSF.gaussian(fwhm)
        if star_psf == "moffat":
            return PSF.moffat(fwhm)
        raise InputError(f"star_psf is {star_psf!r} but must be 'gaussian', 'moffat', a PSF or an array")
    try:
        return PSF.from_image(star_psf)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"star_psf must be 'gaussian', 'moffat', a PSF or a picture of one: {one_line(error)}"
        ) from error
