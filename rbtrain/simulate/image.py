"""`simulate_image`: an image with given numbers of everything, as the reference API has it."""

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike

from . import artefacts, detector, particles, sources
from ._draw import chance, log_uniform, log_uniforms, uniform
from .canvas import Canvas
from .psf import PSF
from .truth import Rows, extreme, truth_table

logger = logging.getLogger(__name__)

#: Silicon of the camera of `simulate_image`: a thinned CCD of 15 micron pixels.
_SILICON = {"pixel": 15.0, "thickness": 20.0, "diffusion": 0.35}
#: Energies of its electrons, keV.
_ENERGY = (3.0, 200.0)


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
    verbose: bool | Callable[[str], object] = False,
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
        Whether to report what was drawn to the log, or where to report it.
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
    ValueError
        When a parameter makes no sense.
    """
    star_flux_range, galaxy_flux_range = _pair(star_flux_range), _pair(galaxy_flux_range)
    companion_separation_fwhm = _pair(companion_separation_fwhm)
    companion_flux_ratio = _pair(companion_flux_ratio)
    counts = {
        "n_stars": n_stars, "n_galaxies": n_galaxies, "n_cosmic_rays": n_cosmic_rays,
        "n_hot_pixels": n_hot_pixels, "n_satellites": n_satellites, "n_bad_columns": n_bad_columns,
    }  # fmt: skip
    for name, value in counts.items():
        _check(name, value, value >= 0, "0 or more; leave the kind out with 0")
    for name, value in {"width": width, "height": height}.items():
        _check(name, value, value >= 1 and int(value) == value, "a whole number of pixels above 0")
    _check("star_fwhm", star_fwhm, 0.5 <= star_fwhm <= 50, "from 0.5 to 50 pixels")
    _check("gain", gain, 0 < gain < math.inf, "above 0 electrons per ADU")
    _check("readnoise", readnoise, 0 <= readnoise < math.inf, "0 electrons or more")
    _check("background", background, 0 <= background < math.inf, "0 ADU or more")
    _check("companion_fraction", companion_fraction, 0 <= companion_fraction <= 1, "from 0 to 1")
    _check_range("star_flux_range", star_flux_range, positive=True)
    _check_range("galaxy_flux_range", galaxy_flux_range, positive=True)
    _check_range("companion_separation_fwhm", companion_separation_fwhm)
    _check_range("companion_flux_ratio", companion_flux_ratio)
    if rng is not None and seed is not None:
        raise ValueError("give either rng or seed, not both")
    rng = np.random.default_rng(seed) if rng is None else rng
    report = verbose if callable(verbose) else logger.info if verbose else logger.debug

    psf = _psf(star_psf, star_fwhm)
    shape = (int(height), int(width))
    noise = math.sqrt(background * gain + readnoise**2)
    rows: list[Rows] = []

    light = np.full(shape, background * gain, np.float32)
    x, y = rng.uniform(-0.5, width - 0.5, n_stars), rng.uniform(-0.5, height - 0.5, n_stars)
    flux = gain * log_uniforms(rng, star_flux_range, n_stars)
    if add_companions:
        primary = np.flatnonzero(rng.random(n_stars) < companion_fraction)
        distance = psf.fwhm * rng.uniform(*companion_separation_fwhm, primary.size)
        angle = rng.uniform(0, 2 * np.pi, primary.size)
        x = np.append(x, x[primary] + distance * np.cos(angle))
        y = np.append(y, y[primary] + distance * np.sin(angle))
        flux = np.append(flux, flux[primary] * rng.uniform(*companion_flux_ratio, primary.size))
    x, y = psf.snapped(x, y)
    level = 0.02 * max(noise, 1.0)
    peaks = psf.add_points(light, x, y, flux, level)
    rows.append(Rows("star", x, y, flux / gain, peaks / gain))
    for galaxy_flux in gain * log_uniforms(rng, galaxy_flux_range, n_galaxies):
        galaxy = sources.Galaxy(
            x=uniform(rng, (-0.5, width - 0.5)),
            y=uniform(rng, (-0.5, height - 0.5)),
            flux=float(galaxy_flux),
            half_light=psf.fwhm * log_uniform(rng, (0.5, 4.0)),
            axis_ratio=uniform(rng, (0.3, 1.0)),
            angle=uniform(rng, (0, math.pi)),
            sersic=log_uniform(rng, (0.5, 4.0)),
            bulge=uniform(rng, (0, 0.6)) if chance(rng, 0.3) else 0.0,
        )
        top = sources.add_galaxy(light, galaxy, psf, level, rng) - background * gain
        one = (np.array([v]) for v in (galaxy.x, galaxy.y, galaxy.flux / gain, top / gain))
        rows.append(Rows("galaxy", *one))

    canvas = Canvas.blank(shape)
    for _ in range(n_satellites):
        direction = uniform(rng, (0, 2 * math.pi))
        mx, my = uniform(rng, (0, width)), uniform(rng, (0, height))
        far = 1.5 * math.hypot(width, height)
        dx, dy = far * math.cos(direction), far * math.sin(direction)
        bright = noise * log_uniform(rng, (3.0, 100.0))
        artefacts.add_trail(canvas, rng, psf, (mx - dx, my - dy), (mx + dx, my + dy), peak=bright)
        canvas.record("satellite", *(np.array([v]) for v in (mx, my, bright * width)))
    artefacts.add_hot_pixels(
        canvas, rng, noise * log_uniforms(rng, (10.0, 1000.0), n_hot_pixels), shared=0.15
    )
    muons = int(rng.binomial(n_cosmic_rays, 0.5))
    particles.add_muons(canvas, rng, muons, **_SILICON)
    particles.add_electrons(canvas, rng, n_cosmic_rays - muons, energy=_ENERGY, **_SILICON)
    for _ in range(n_bad_columns):
        artefacts.draw_column(canvas, rng, noise, background * gain)
    image = detector.photon_noise(light + canvas.signal, rng, floor=readnoise) / np.float32(gain)

    catalog: Table | None = None
    if return_catalog:
        made = np.array([t[1:] for t in canvas.truth], float).reshape(-1, 3).T
        peaks = extreme(canvas.signal, made[0], made[1])
        kinds = [t[0] for t in canvas.truth]
        rows.append(Rows(kinds, made[0], made[1], made[2] / gain, peaks / gain))
        catalog = truth_table(rows, psf.fwhm, shape)
    report(
        f"simulated {width} x {height} pixels, FWHM {psf.fwhm:.2f}: "
        + ", ".join(f"{name[2:]} {value}" for name, value in counts.items())
    )
    return {
        "image": image,
        "catalog": catalog,
        "background": float(background),
        "noise": noise / gain,
        "fwhm": psf.fwhm,
    }


def _pair(span: Any) -> tuple[float, float]:
    """Return both ends of a range; one number stands for the two."""
    ends: tuple[float, float] = (span, span) if np.ndim(span) == 0 else span
    return ends


def _check(name: str, value: object, good: bool, wanted: str) -> None:
    if not good:
        raise ValueError(f"{name} is {value!r} but must be {wanted}")


def _check_range(name: str, span: tuple[float, float], positive: bool = False) -> None:
    least = span[0] > 0 if positive else span[0] >= 0
    _check(
        name, span, len(span) == 2 and least and span[0] <= span[1] < math.inf,
        f"a (low, high) pair with {'0 < ' if positive else '0 <= '}low <= high",
    )  # fmt: skip


def _psf(star_psf: str | PSF | ArrayLike, fwhm: float) -> PSF:
    if isinstance(star_psf, PSF):
        return star_psf
    if isinstance(star_psf, str):
        if star_psf == "gaussian":
            return PSF.gaussian(fwhm)
        if star_psf == "moffat":
            return PSF.moffat(fwhm)
        raise ValueError(f"star_psf is {star_psf!r} but must be 'gaussian', 'moffat', a PSF or an array")
    return PSF.from_image(star_psf)
