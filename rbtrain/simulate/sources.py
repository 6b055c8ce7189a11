"""Stars, galaxies and nebulosity: what is really in the sky.

Galaxies are clouds of point sources on rings: every point goes through the same stamps as a star,
so a galaxy is convolved with exactly the PSF of its place, and clumps and spiral arms cost
nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincinv

from .._arrays import F32, F64
from .config import FieldConfig
from .draws import chance, log_uniform, log_uniforms, power_law, smooth_field, uniform
from .optics import BRIGHTEST_FOLLOWED
from .psf import PSF
from .truth import Rows

#: Distance of the points of a galaxy in FWHM: the ripple left in a Gaussian PSF is below 0.1 %.
_SPACING = 0.6


@dataclass(frozen=True)
class Galaxy:
    """Shape of a galaxy.

    Attributes
    ----------
    x, y : float
        Centre, pixels.
    flux : float
        Total.
    half_light : float
        Radius of the ellipse that holds half of the light, along its long axis, pixels.
    axis_ratio, angle : float
        b/a and the direction of the long axis, radians.
    sersic : float
        Index n of the (disc) profile.
    bulge : float
        Fraction of the light in a de Vaucouleurs bulge a quarter of the size.
    arms : float
        Contrast of two logarithmic spiral arms, 0 to 1.
    clumps : int
        Number of star-forming clumps.
    clump_light : float
        Fraction of the light in these.
    """

    x: float
    y: float
    flux: float
    half_light: float
    axis_ratio: float = 1.0
    angle: float = 0.0
    sersic: float = 1.0
    bulge: float = 0.0
    arms: float = 0.0
    clumps: int = 0
    clump_light: float = 0.0


def sersic_points(
    half_light: float, sersic: float, spacing: float, arms: float = 0.0
) -> tuple[F64, F64, F64]:
    """Return points (u, v, weight) of a round Sersic profile; the weights sum to 1.

    The light within radius r is the incomplete gamma function of ``b (r / r_e)**(1 / n)``
    (Ciotti 1991, A&A 249, 99); a ring holds the difference between its edges, spread over points
    no further apart than `spacing` pixels. The profile ends at 5 r_e, at 97 % of the light for
    n = 1 and 88 % for n = 4, and what is beyond is scaled in.

    Parameters
    ----------
    half_light : float
        Radius r_e that holds half of the light, pixels.
    sersic : float
        Index n.
    spacing : float
        Pixels.
    arms : float
        Contrast of two spiral arms, 0 to 1.

    Returns
    -------
    u, v, weight : array, shape (k,)
        Pixels from the centre, and shares of the light.
    """
    end = 5 * half_light
    rings = max(4, math.ceil(end / spacing))
    edges = np.linspace(0, end, rings + 1)
    b = gammaincinv(2 * sersic, 0.5)
    light = np.diff(gammainc(2 * sersic, b * (edges / half_light) ** (1 / sersic)))
    # Light in a ring sits nearer its inner edge, by much in the cusp of the first.
    middle = 0.5 * (edges[1:] + edges[:-1])
    middle[0] *= 0.5
    # A sixth root of the number of points would do for smoothness; three are the least.
    counts = np.maximum(np.ceil(2 * np.pi * middle / spacing).astype(int), 3)
    ring = np.repeat(np.arange(rings), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    theta = 2 * np.pi * (np.arange(ring.size) - first) / counts[ring] + 2.4 * ring
    weight = light[ring] / counts[ring]
    r = middle[ring]
    if arms > 0:
        # Logarithmic spirals with a pitch of 17 degrees, as in Sb and Sc galaxies.
        weight = weight * (1 + arms * np.cos(2 * theta - 2 * np.log(r / half_light + 0.2) / 0.3))
    return r * np.cos(theta), r * np.sin(theta), weight / weight.sum()


def galaxy_points(galaxy: Galaxy, fwhm: float, rng: np.random.Generator) -> tuple[F64, F64, F64]:
    """Return the points (x, y, flux) that a galaxy is drawn with, for a PSF of `fwhm` pixels.

    Parameters
    ----------
    galaxy : Galaxy
    fwhm : float
        Of the PSF, pixels.
    rng : numpy.random.Generator
        For clumps.

    Returns
    -------
    x, y, flux : array, shape (k,)
        0-based pixels, and flux in the unit of the galaxy's.
    """
    spacing = _SPACING * fwhm
    disc = 1 - galaxy.bulge - galaxy.clump_light
    u, v, w = sersic_points(galaxy.half_light, galaxy.sersic, spacing, galaxy.arms)
    v = v * galaxy.axis_ratio
    parts = [(u, v, w * disc)]
    if galaxy.bulge > 0:
        bu, bv, bw = sersic_points(0.25 * galaxy.half_light, 4.0, spacing)
        parts.append((bu, bv * max(galaxy.axis_ratio, 0.7), bw * galaxy.bulge))
    if galaxy.clumps > 0:
        r = galaxy.half_light * np.sqrt(rng.exponential(1.0, galaxy.clumps))
        theta = rng.uniform(0, 2 * np.pi, galaxy.clumps)
        cw = rng.exponential(1.0, galaxy.clumps) + 0.05
        cv = r * np.sin(theta) * galaxy.axis_ratio
        parts.append((r * np.cos(theta), cv, cw / cw.sum() * galaxy.clump_light))
    u, v, w = (np.concatenate(p) for p in zip(*parts, strict=True))
    c, s = math.cos(galaxy.angle), math.sin(galaxy.angle)
    return galaxy.x + c * u - s * v, galaxy.y + s * u + c * v, galaxy.flux * w


def add_galaxy(image: F32, galaxy: Galaxy, psf: PSF, level: float, rng: np.random.Generator) -> float:
    """Add a galaxy to an image and return its brightest pixel.

    Wings of the PSF below `level` are left out, those of a point only below a twentieth of it, because
    the wings of many points add up.

    Parameters
    ----------
    image : array, shape (h, w)
        float32, changed in place.
    galaxy : Galaxy
    psf : PSF
    level : float
        In the unit of the image.
    rng : numpy.random.Generator
        For clumps.

    Returns
    -------
    float
        Of the 3 x 3 pixels around the centre, with what was in them before; for a centre off the image,
        the brightest point's.
    """
    x, y, flux = galaxy_points(galaxy, psf.fwhm, rng)
    # Beyond 4 FWHM even a Moffat PSF adds less than the galaxy's own wings.
    most = max(6, math.ceil(4 * psf.fwhm))
    radius = np.minimum(psf.radius_for(20 * flux, level), most)
    peaks = psf.add_points(image, x, y, flux, level, radius)
    ix, iy = round(galaxy.x), round(galaxy.y)
    if 0 <= iy < image.shape[0] and 0 <= ix < image.shape[1]:
        return float(image[max(iy - 1, 0) : iy + 2, max(ix - 1, 0) : ix + 2].max())
    return float(peaks.max())


def galaxy_rows(galaxies: Sequence[Galaxy], peaks: Sequence[float]) -> Rows:
    """Return galaxies as rows of a truth table, with the brightest pixel of each."""
    x, y, flux = np.array([(g.x, g.y, g.flux) for g in galaxies], float).reshape(-1, 3).T
    return Rows("galaxy", x, y, flux, np.array(peaks, float))


def draw_stars(
    config: FieldConfig,
    rng: np.random.Generator,
    shape: tuple[int, int],
    psf: PSF,
    noise: float,
    brightest: float,
) -> Rows:
    """Draw the stars of a frame: a power law in flux, positions at random, some in pairs.

    Parameters
    ----------
    config : FieldConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (height, width)
        Of the frame. Stars are drawn from a little beyond, for their wings.
    psf : PSF
        Of the frame; gives the flux that reaches a given peak.
    noise : float
        Rms of a sky pixel, electrons.
    brightest : float
        Peak of the brightest possible star in units of `noise`.

    Returns
    -------
    Rows
        In electrons.
    """
    if config.max_stars == 0:
        return Rows("star", *np.zeros((4, 0)))
    peak = float(psf.peaks.mean())
    margin = min(3 * psf.fwhm + 2, 30.0)
    height, width = shape[0] + 2 * margin, shape[1] + 2 * margin
    slope = uniform(rng, config.star_slope)
    density = log_uniform(rng, config.crowding) / psf.fwhm**2
    density = min(density, config.max_stars / 512**2)
    high = max(brightest, 20.0)
    expected = density * height * width
    tail = (high / config.faintest) ** -slope
    share = ((5 / config.faintest) ** -slope - tail) / (1 - tail)
    # The ceiling on faint ones bounds the time; below it they are the floor of confusion.
    n = int(min(rng.poisson(expected) / share, 8 * config.max_stars)) + 3
    snr = power_law(rng, config.faintest, high, slope, n)
    x = rng.uniform(-margin - 0.5, shape[1] - 0.5 + margin, n)
    y = rng.uniform(-margin - 0.5, shape[0] - 0.5 + margin, n)
    extra = int(rng.poisson(uniform(rng, config.bright_stars)))
    if extra:
        snr[:extra] = log_uniforms(rng, (min(50.0, high), 2 * high), min(extra, n))
    flux = snr * noise / peak
    pairs = np.flatnonzero(rng.random(n) < uniform(rng, config.pair_fraction))
    if pairs.size:
        distance = psf.fwhm * rng.uniform(*config.pair_separation, pairs.size)
        angle = rng.uniform(0, 2 * np.pi, pairs.size)
        contrast = log_uniforms(rng, config.pair_contrast, pairs.size)
        x = np.concatenate([x, x[pairs] + distance * np.cos(angle)])
        y = np.concatenate([y, y[pairs] + distance * np.sin(angle)])
        flux = np.concatenate([flux, flux[pairs] * contrast])
    x, y = psf.snapped(x, y)
    _, _, zone, phase = psf.snap(x, y, shape)
    return Rows("star", x, y, flux, flux * psf.peaks[zone, phase])


def draw_followed(
    config: FieldConfig, rng: np.random.Generator, shape: tuple[int, int], psf: PSF, noise: float
) -> Rows:
    """Draw the objects that the telescope follows: comets' nuclei, asteroids, satellites.

    Parameters
    ----------
    config : FieldConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (height, width)
        Of the frame.
    psf : PSF
        Of what is followed.
    noise : float
        Rms of a pixel of sky, electrons.

    Returns
    -------
    Rows
        Stars, in electrons.
    """
    n = int(rng.poisson(config.followed))
    peak = noise * log_uniforms(rng, (4.0, BRIGHTEST_FOLLOWED), n)
    x, y = psf.snapped(rng.uniform(0, shape[1], n), rng.uniform(0, shape[0], n))
    return Rows("star", x, y, peak / float(psf.peaks.mean()), peak)


def draw_galaxies(
    config: FieldConfig,
    rng: np.random.Generator,
    shape: tuple[int, int],
    fwhm: float,
    noise: float,
) -> list[Galaxy]:
    """Draw the galaxies of a frame; sizes in FWHM, surface brightness in units of the noise.

    Parameters
    ----------
    config : FieldConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (height, width)
        Of the frame.
    fwhm : float
        Of the PSF, pixels.
    noise : float
        Rms of a pixel of sky, electrons.

    Returns
    -------
    list of Galaxy
        Fluxes in electrons.
    """
    if chance(rng, config.no_galaxies):
        return []
    area = shape[0] * shape[1] / 512**2
    # Large PSFs leave no room for as many.
    n = rng.poisson(log_uniform(rng, config.galaxies) * area * min(1.0, (4 / fwhm) ** 1.5))
    galaxies = []
    for peak in power_law(rng, *config.galaxy_peak, config.galaxy_slope, n):
        half_light = fwhm * log_uniform(rng, config.galaxy_size)
        q = uniform(rng, (0.2, 1.0))
        sersic = log_uniform(rng, config.sersic)
        # The light that gives about this peak after the seeing.
        area_px = 2.3 * q * half_light**2 / max(sersic, 0.7) ** 0.5 + 1.1 * fwhm**2
        kind = rng.random()
        bulge = uniform(rng, (0.05, 0.7)) if kind < 0.35 else 0.0
        arms = uniform(rng, (0.2, 0.9)) if kind < 0.25 and half_light > 1.5 * fwhm else 0.0
        clumps = int(rng.integers(2, 12)) if 0.35 <= kind < 0.5 else 0
        galaxies.append(
            Galaxy(
                x=uniform(rng, (-0.5, shape[1] - 0.5)),
                y=uniform(rng, (-0.5, shape[0] - 0.5)),
                flux=peak * noise * area_px,
                half_light=half_light,
                axis_ratio=q,
                angle=uniform(rng, (0, math.pi)),
                sersic=1.0 if bulge or arms else sersic,
                bulge=bulge,
                arms=arms,
                clumps=clumps,
                clump_light=uniform(rng, (0.1, 0.6)) if clumps else 0.0,
            )
        )
    return galaxies


def draw_nebula(
    rng: np.random.Generator, shape: tuple[int, int], fwhm: float, noise: float
) -> tuple[F32, F32]:
    """Draw nebulosity: the smooth part, which a sky estimate takes out, and the filaments.

    A sum over octaves with a power spectrum k**-3, as interstellar clouds have (Gautier et al.
    1992, AJ 103, 1313), made positive and patchy by an exponential.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (height, width)
        Of the frame.
    fwhm : float
        Of the PSF, pixels; there is nothing finer than three of it.
    noise : float
        Rms of a pixel of sky, electrons.

    Returns
    -------
    broad, filaments : array, shape (h, w)
        float32, electrons; filaments may be negative.
    """
    strength = noise * log_uniform(rng, (0.3, 8.0))
    cell, total = 200.0, np.zeros(shape, np.float32)
    smooth = total
    while cell > 3 * fwhm:
        total = total + np.float32((cell / 200.0) ** 0.75) * smooth_field(rng, shape, cell)
        if cell > 60:
            smooth = total
        cell /= 2.2
    broad = np.float32(strength) * np.exp(np.minimum(smooth, 2.5))
    filaments = np.float32(strength) * np.exp(np.minimum(total, 2.5)) - broad
    return broad, filaments
