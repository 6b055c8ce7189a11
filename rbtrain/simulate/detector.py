"""Sky, optics, detector and pipeline: from expected light to the numbers in the file."""

import math
from dataclasses import dataclass

import numpy as np

from .._arrays import F32, F64, U8, Bools
from . import _render
from .config import DetectorConfig, SkyConfig
from .draws import Range, chance, log_uniform, smooth_field, uniform
from .profiles import FWHM_PER_SIGMA

#: Phases of a pixel that resampling kernels are tabulated at.
_PHASES = 64
#: FWHM in pixels that no finer grid widens stars beyond: what models are trained for.
_WIDEST_REGRIDDED = 12.0
#: What interpolation adds to the FWHM of a star in quadrature, pixels of the detector: of fits to stars
#: of 0.8 to 2.5 pixels on grids of 0.5 to 0.75.
_BLUR = {"bilinear": 1.1, "cubic": 0.9, "lanczos3": 0.8}


def photon_noise(
    expected: F32, rng: np.random.Generator, flat_noise: float = 0.0, floor: float = 0.0
) -> F32:
    """Return a Poisson draw of `expected` (electrons) with other noise on top.

    Above 12 electrons a normal deviate with the right variance and skewness is used, below it
    the Poisson distribution itself. Negative expectations (cold pixels) stay as they are but for
    the `floor`.

    Parameters
    ----------
    expected : array, shape (h, w)
        float32.
    rng : numpy.random.Generator
        Source of all randomness.
    flat_noise : float
        Rms error of the flat field as a fraction of the signal.
    floor : float
        Rms of all other noise, electrons.

    Returns
    -------
    array, shape (h, w)
        float32, electrons.
    """
    out = rng.standard_normal(expected.shape, dtype=np.float32)
    few = (expected < 12) & (expected > 0)
    if not few.any():
        _render.add_noise(expected, out, np.float32(flat_noise), np.float32(floor))
        return out
    other = np.float32(floor) * out[few] + rng.poisson(expected[few]).astype(np.float32)
    _render.add_noise(expected, out, np.float32(flat_noise), np.float32(floor))
    out[few] = other
    return out


def draw_sky(config: SkyConfig, rng: np.random.Generator, shape: tuple[int, int], level: float) -> F32:
    """Draw the sky in electrons: `level`, a gradient, patches and fringes.

    Parameters
    ----------
    config : SkyConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (height, width)
        Pixels.
    level : float
        Electrons a pixel.

    Returns
    -------
    array, shape (h, w)
        Expected level, float32, electrons.
    """
    height, width = shape
    v = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    u = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    angle, slope = uniform(rng, (0, 2 * math.pi)), uniform(rng, config.gradient)
    bend = uniform(rng, (-0.3, 0.3)) * slope
    sky = 1 + np.float32(slope * math.cos(angle)) * u + np.float32(slope * math.sin(angle)) * v
    sky = sky + np.float32(bend) * (u * u + v * v)
    if chance(rng, config.patches):
        size = log_uniform(rng, config.patch_amplitude)
        sky += np.float32(size) * smooth_field(rng, shape, log_uniform(rng, (25.0, 150.0)))
    if chance(rng, config.fringes):
        # Interference orders follow the thickness of the silicon, which is smooth.
        phase = smooth_field(rng, shape, 150.0) * np.float32(uniform(rng, (4, 20)))
        sky += np.float32(uniform(rng, config.fringe_amplitude)) * np.sin(phase)
    return np.float32(level) * sky


def draw_vignetting(config: SkyConfig, rng: np.random.Generator, shape: tuple[int, int]) -> F32:
    """Draw the throughput: 1 on the optical axis, less by the fourth power of the distance.

    The frame may be any part of the field, so the axis need not lie on it.

    Parameters
    ----------
    config : SkyConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (height, width)
        Pixels.

    Returns
    -------
    array, shape (h, w)
        Share of the light, float32.
    """
    height, width = shape
    loss = uniform(rng, config.vignetting)
    cx, cy = uniform(rng, (-0.3, 1.3)), uniform(rng, (-0.3, 1.3))
    v = np.linspace(0, 1, height, dtype=np.float32)[:, None] - np.float32(cy)
    u = np.linspace(0, 1, width, dtype=np.float32)[None, :] - np.float32(cx)
    r2 = u * u + v * v
    return 1 - np.float32(loss) * np.minimum(r2 * (0.5 + 0.5 * r2), 1) / 1.5


@dataclass(frozen=True)
class Camera:
    """One camera and how its frames are treated.

    Attributes
    ----------
    gain : float
        Electrons per ADU.
    read_noise, full_well : float
        Electrons.
    bias : float
        ADU in the frame as delivered.
    ceiling : float
        Largest number of the converter, ADU, less the bias if that was subtracted.
    flat_noise, nonlinearity : float
        As fractions of the signal.
    blooming : bool
        Whether saturated pixels bleed.
    """

    gain: float
    read_noise: float
    full_well: float
    bias: float
    ceiling: float
    flat_noise: float
    nonlinearity: float
    blooming: bool

    @property
    def saturation(self) -> float:
        """Level in ADU at which pixels saturate, by the well or the converter."""
        return min(self.full_well * (1 - self.nonlinearity) / self.gain + self.bias, self.ceiling)


def draw_camera(config: DetectorConfig, rng: np.random.Generator) -> Camera:
    """Draw a camera."""
    gain = log_uniform(rng, config.gain)
    full_well = log_uniform(rng, config.full_well)
    top = float(2 ** int(rng.choice(config.bits)) - 1)
    bias = log_uniform(rng, config.bias)
    # Nobody builds a converter that only sees a corner of the well, nor one that wastes bits.
    while full_well / gain < 0.05 * top:
        gain *= 0.5
    while full_well / gain > 4 * top:
        gain *= 2
    bias = min(bias, 0.1 * top)
    subtracted = chance(rng, config.bias_subtracted)
    return Camera(
        gain=gain,
        read_noise=log_uniform(rng, config.read_noise),
        full_well=full_well,
        bias=0.0 if subtracted else bias,
        ceiling=top - bias if subtracted else top,
        flat_noise=log_uniform(rng, config.flat_noise),
        nonlinearity=uniform(rng, config.nonlinearity),
        blooming=chance(rng, config.blooming),
    )


def develop(
    image: F32, sky: F32, noise: float, config: DetectorConfig, rng: np.random.Generator
) -> tuple[F32, float]:
    """Return an image as a photographic emulsion takes it, and the rms of its grain.

    The emulsion answers to light as 1 - exp(-light), the share of grains that at least one of many
    photons has hit: the centres of bright stars are alike, and their wings make them wide. Its grain
    does not go with the light.

    Parameters
    ----------
    image, sky : array, shape (h, w)
        float32.
    noise : float
        Typical rms of the sky, in the same units.
    config : DetectorConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    image : array, shape (h, w)
        float32.
    grain : float
    """
    densest = np.float32(noise * log_uniform(rng, config.densest))
    grain = noise * log_uniform(rng, config.grain)
    light = image - sky
    answer = np.where(light > 0, -densest * np.expm1(-np.maximum(light, 0) / densest), light)
    answer += np.float32(grain) * rng.standard_normal(image.shape, dtype=np.float32)
    return sky + answer, grain


def kernel_table(kind: str, sigma: float = 0.0) -> F32:
    """Return the weights of an interpolation kernel, shape (phases + 1, taps), rows summing to 1.

    `kind` is ``"bilinear"``, ``"cubic"`` (Keys 1981, a = -0.5) or ``"lanczos3"``; or ``"gaussian"``, of
    `sigma` pixels, which smooths.
    """
    taps = {"bilinear": 2, "cubic": 4, "lanczos3": 6, "gaussian": 8}[kind]
    phase = np.arange(_PHASES + 1)[:, None] / _PHASES
    t = np.abs(phase - (np.arange(taps) - (taps // 2 - 1))[None, :])
    if kind == "bilinear":
        weights = np.clip(1 - t, 0, None)
    elif kind == "gaussian":
        weights = np.exp(-0.5 * (t / sigma) ** 2)
    elif kind == "cubic":
        near = 1.5 * t**3 - 2.5 * t**2 + 1
        far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
        weights = np.where(t < 1, near, np.where(t < 2, far, 0))
    else:
        weights = np.where(t < 3, np.sinc(t) * np.sinc(t / 3), 0)
    table: F32 = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return table


@dataclass(frozen=True)
class Warp:
    """An affine map from output to input pixels, and the kernel to interpolate with.

    Attributes
    ----------
    matrix : array, shape (2, 2)
    shift : array, shape (2,)
    kernel : str
        See `kernel_table`.
    is_another_grid : bool
        Whether it moves so much that smooth planes change with it.
    sigma : float
        Of a Gaussian kernel, pixels.
    """

    matrix: F64
    shift: F64
    kernel: str
    is_another_grid: bool = False
    sigma: float = 0.0

    @property
    def scale(self) -> float:
        """Side of a pixel afterwards in pixels before; of an aligned frame 1, but for thousandths."""
        return math.sqrt(float(np.linalg.det(self.matrix))) if self.is_another_grid else 1.0

    def widened(self, fwhm: float) -> float:
        """Return the FWHM of stars on another grid or smoothed; of an aligned frame that before."""
        if self.kernel == "gaussian":
            return math.hypot(fwhm, FWHM_PER_SIGMA * self.sigma)
        return math.hypot(fwhm, _BLUR[self.kernel]) / self.scale if self.is_another_grid else fwhm

    def apply(self, image: F32, stars: F32, galaxies: F32, artefacts: F32, codes: U8) -> tuple[F32, U8]:
        """Return the four layers and the sum of squared weights (5, h, w), and the class map.

        Parameters
        ----------
        image, stars, galaxies, artefacts : array, shape (h, w)
            float32.
        codes : uint8 array, shape (h, w)
            Class of each pixel's artefact.
        """
        out = np.empty((5, *image.shape), np.float32)
        out_codes = np.empty_like(codes)
        table = kernel_table(self.kernel, self.sigma)
        _render.resample(
            image, stars, galaxies, artefacts, codes, self.matrix, self.shift, table, out, out_codes
        )
        return out, out_codes

    def positions(self, x: F64, y: F64) -> tuple[F64, F64]:
        """Return where input positions end up in the output.

        Parameters
        ----------
        x, y : array, shape (n,)
            0-based pixels.

        Returns
        -------
        x, y : array, shape (n,)
            0-based pixels of the output; may lie off it.
        """
        back = np.linalg.inv(self.matrix) @ (np.stack([x, y]) - self.shift[:, None])
        return back[0], back[1]


def draw_smoothing(rng: np.random.Generator, smoothing: Range) -> Warp:
    """Draw the smoothing of a frame: it stays where it is."""
    return Warp(np.eye(2), np.zeros(2), "gaussian", sigma=log_uniform(rng, smoothing))


def draw_warp(
    config: DetectorConfig, rng: np.random.Generator, shape: tuple[int, int], fwhm: float
) -> Warp:
    """Draw the resampling of a frame.

    Aligned ones are shifted, half of them with a small rotation. Those on another grid, as of a survey
    or of a colour camera whose colours are interpolated, have pixels of down to half the size, a quarter
    of them of the least, and half of them are turned, if the frame before covers them then.

    Parameters
    ----------
    config : DetectorConfig
        `regridded` and `bilinear` count.
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (height, width)
    fwhm : float
        Of the stars before, pixels; what is wide already gets no finer grid.
    """
    angle, scale, is_another_grid = 0.0, 1.0, config.regridded > 0 and chance(rng, config.regridded)
    if is_another_grid:
        least = min(max(0.5, fwhm / _WIDEST_REGRIDDED), 1.0)
        scale = least if chance(rng, 0.25) else log_uniform(rng, (least, 1.0))
        turn = uniform(rng, (-math.pi, math.pi)) if chance(rng, 0.5) else 0.0
        covered = _covered(turn, shape)
        if covered >= least:
            angle, scale = turn, min(scale, covered)
    elif chance(rng, 0.5):
        angle, scale = rng.normal(0, 0.004), 1 + rng.normal(0, 0.002)
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    matrix = np.array([[c, -s], [s, c]])
    centre = 0.5 * np.array([shape[1], shape[0]])
    shift = centre - matrix @ centre + rng.uniform(-1, 1, 2)
    if config.bilinear > 0 and chance(rng, config.bilinear):
        return Warp(matrix, shift, "bilinear", is_another_grid)
    return Warp(matrix, shift, str(rng.choice(("bilinear", "cubic", "lanczos3"))), is_another_grid)


def _covered(angle: float, shape: tuple[int, int]) -> float:
    """Return the largest pixels with which a frame that is turned lies within the one before."""
    height, width = shape
    c, s = abs(math.cos(angle)), abs(math.sin(angle))
    return min(width / (width * c + height * s), height / (width * s + height * c))


def draw_mask(
    config: DetectorConfig, rng: np.random.Generator, image: F32, level: float
) -> tuple[Bools | None, Bools]:
    """Draw an empty edge and masked regions; the image is changed in place.

    Empty edges hold one value (zero, or the `level`); masked regions and single pixels may hold NaN.

    Returns
    -------
    mask : bool array or None
        The pixels that are said to be bad.
    empty : bool array
        The pixels that hold nothing of the sky any more, said to be bad or not. Single ones are not
        among them: a star is seen by those around.
    """
    height, width = image.shape
    mask, empty = np.zeros(image.shape, bool), np.zeros(image.shape, bool)
    if chance(rng, config.dead_edge):
        strip = int(rng.integers(2, max(3, min(height, width) // 12)))
        where = (
            (slice(0, strip), slice(None)),
            (slice(height - strip, height), slice(None)),
            (slice(None), slice(0, strip)),
            (slice(None), slice(width - strip, width)),
        )[int(rng.integers(0, 4))]
        image[where] = 0.0 if chance(rng, 0.5) else level
        empty[where] = True
        if chance(rng, 0.5):
            mask[where] = True
    if chance(rng, config.masked):
        block = np.zeros(image.shape, bool)
        for _ in range(int(rng.integers(1, 6))):
            y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
            h, w = (int(v) for v in np.exp(rng.uniform(0, 4, 2)))
            block[y : y + h, x : x + w] = True
        mask |= block
        if chance(rng, 0.5):
            image[block] = np.nan
            empty |= block
    if config.scattered > 0 and chance(rng, config.scattered):
        single = rng.random(image.shape, np.float32) < log_uniform(rng, config.scattered_share)
        mask |= single
        if chance(rng, 0.5):
            image[single] = np.nan
    return (mask if mask.any() else None), empty
