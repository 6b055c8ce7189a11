"""Pieces of the user's own frames, taken apart: what is background, noise, defect or particle.

A `DarkPatch` takes the place of a camera's own noise and defects; on a `SkyPatch` sources and artefacts
are planted.
"""

from dataclasses import dataclass, replace

import numpy as np
import sep
from numpy.typing import NDArray
from scipy import ndimage

from .._arrays import F32, U8, Bools
from . import _render
from .canvas import Artefact, Canvas
from .detector import Warp

#: What stands out of a dark by so many sigma is a defect or a particle.
_DEFECT = 5.0
#: A column or row whose median over `_RUN` pixels is off by so many sigma is bad; 5 sigma of that.
_BAD_LINE = 1.0
_RUN = 32
#: Side of the meshes that backgrounds are measured in, pixels.
_MESH = 64


@dataclass(frozen=True, eq=False)
class DarkPatch:
    """A piece of a dark or bias frame; arrays are (h, w) float32 in ADU unless said.

    Attributes
    ----------
    pixels : array
        The dark less its median level; bad pixels hold `pattern`.
    pattern : array
        The smooth part of `pixels`: amplifiers, glow.
    rms : array
        Noise.
    signal : array
        What stands out of the noise, 0 elsewhere.
    codes : uint8 array
        Its `Artefact` code.
    unknown : array or None
        What stands out and may be a particle as well as a noisy pixel.
    bad : bool array
        True where the dark has no value.
    """

    pixels: F32
    pattern: F32
    rms: F32
    signal: F32
    codes: U8
    unknown: F32 | None
    bad: Bools

    def add_to(self, canvas: Canvas, gain: float) -> None:
        """Note what stands out, in electrons, as artefacts.

        Parameters
        ----------
        canvas : Canvas
            Changed in place.
        gain : float
            Electrons per ADU.
        """
        electrons = self.signal * np.float32(gain)
        kinds = {
            Artefact.HOT_PIXEL: "hot_pixel",
            Artefact.COLD: "cold_pixel",
            Artefact.COSMIC_RAY: "cosmic_ray",
        }
        for code, kind in kinds.items():
            layer = np.where(self.codes == code, electrons, np.float32(0))
            _render.merge(*canvas.layers, layer, int(code))
            groups, n = ndimage.label(layer, np.ones((3, 3)))
            if n:
                numbers = np.arange(1, n + 1)
                places = np.array(ndimage.maximum_position(np.abs(layer), groups, numbers), float)
                flux = np.asarray(ndimage.sum_labels(layer, groups, numbers), float)
                canvas.record(kind, places[:, 1], places[:, 0], flux)

    def flattened(self, flat: F32) -> "DarkPatch":
        """Return the parts that a flat field changes after the pixels were added."""
        unknown = None if self.unknown is None else self.unknown * flat
        return replace(self, pattern=self.pattern * flat, unknown=unknown)

    def resampled(self, warp: Warp) -> "DarkPatch":
        """Return the parts that resampling moves after the pixels were added."""
        zero = np.zeros_like(self.pixels)
        unknown = zero if self.unknown is None else self.unknown
        layers, _ = warp.apply(zero, self.bad.astype(np.float32), unknown, zero, self.codes)
        moved = None if self.unknown is None else layers[2]
        return replace(self, bad=np.abs(layers[1]) > 1e-3, unknown=moved)


@dataclass(frozen=True, eq=False)
class SkyPatch:
    """A piece of a sky image; arrays are (h, w) float32 in ADU unless said.

    Attributes
    ----------
    pixels : array
        As they are in the file, with NaN.
    sky, rms : array
        Smooth background and noise.
    bad : bool array
        True where masked, not finite, or in an empty border.
    empty : bool array
        True where there is no sky: not finite, or in an empty border.
    fwhm : float or None
        Of the stars, pixels; None when too few stars show it.
    gain : float or None
        Electrons per ADU by the header.
    saturation : float or None
        By the header.
    low, high : float
        Lowest and highest pixel of the file.
    whole : bool
        Whether the pixels are whole numbers.
    """

    pixels: F32
    sky: F32
    rms: F32
    bad: Bools
    empty: Bools
    fwhm: float | None
    gain: float | None
    saturation: float | None
    low: float
    high: float
    whole: bool


Backdrop = DarkPatch | SkyPatch


def background(pixels: F32, bad: Bools) -> tuple[F32, F32, F32]:
    """Measure the smooth level and the noise of pixels.

    Parameters
    ----------
    pixels : array, shape (h, w)
        float32; what the bad ones hold does not count.
    bad : bool array, shape (h, w)

    Returns
    -------
    filled : array
        The pixels, with the level in the bad ones.
    level, rms : array
        The rms is above 0 everywhere.
    """
    good = pixels[~bad]
    filled = np.where(bad, np.float32(np.median(good) if good.size else 0), pixels)
    level = sep.Background(filled, mask=bad, bw=_MESH, bh=_MESH).back(dtype=np.float32)
    filled = np.where(bad, level, filled)
    # Measured on what is left, or a slope within a mesh would count as noise.
    rest = sep.Background(filled - level, mask=bad, bw=_MESH, bh=_MESH)
    # Whole numbers are known to 1 / sqrt(12) at best.
    whole = bool((np.rint(good) == good).all())
    floor = max(0.1 * float(rest.globalrms), 0.29 if whole else 1e-6 * float(np.ptp(filled)), 1e-20)
    rms = np.maximum(rest.rms(dtype=np.float32), np.float32(floor))
    return filled, level, rms


def significance(pixels: F32) -> F32:
    """Return how far pixels are from the smooth level, in sigma; 0 where they are not finite.

    Parameters
    ----------
    pixels : array, shape (h, w)
        float32, with NaN.

    Returns
    -------
    array, shape (h, w)
        float32.
    """
    filled, level, rms = background(pixels, ~np.isfinite(pixels))
    return (filled - level) / rms


def dark_patch(pixels: F32, often: NDArray[np.uint16] | None) -> DarkPatch:
    """Take a piece of a dark apart: pattern, noise, defects, particles.

    Parameters
    ----------
    pixels : array, shape (h, w)
        float32 in ADU, NaN where bad.
    often : uint16 array, shape (h, w), or None
        In how many darks of the camera each pixel stands out; None where too few tell.

    Returns
    -------
    DarkPatch
    """
    bad = ~np.isfinite(pixels)
    filled, level, rms = background(pixels, bad)
    residual = filled - level
    z = residual / rms
    lines = _bad_lines(z)
    out = (np.abs(z) > _DEFECT) | (lines != 0)
    codes = np.where(z > 0, np.uint8(Artefact.HOT_PIXEL), np.uint8(Artefact.COLD))
    # A bad line is its level, not the noise of its pixels.
    codes = np.where(lines > 0, np.uint8(Artefact.HOT_PIXEL), codes)
    codes = np.where(lines < 0, np.uint8(Artefact.COLD), codes)
    signal = np.where(np.abs(z) > _DEFECT, residual, lines * rms)
    unknown = None
    if often is not None:
        once = (z > _DEFECT) & (often <= 1) & (lines == 0)
        # A particle spills into neighbours; a pixel alone may be one with telegraph noise.
        groups, n = ndimage.label((z > 3) & (often <= 1), np.ones((3, 3)))
        spilt = np.bincount(groups.ravel(), minlength=n + 1)[groups] > 1
        codes[once & spilt] = Artefact.COSMIC_RAY
        lone = once & ~spilt
        if lone.any():
            unknown = np.where(lone, residual, np.float32(0))
            out &= ~lone
    middle = np.float32(np.median(level))
    return DarkPatch(
        pixels=filled - middle,
        pattern=level - middle,
        rms=rms,
        signal=np.where(out, signal, np.float32(0)).astype(np.float32),
        codes=np.where(out, codes, np.uint8(0)),
        unknown=unknown,
        bad=bad,
    )


def _bad_lines(z: F32) -> F32:
    """Level of bad columns and rows in sigma, 0 elsewhere: a piece of a line is off as a whole."""
    lines = np.zeros_like(z)
    for picture, target in ((z, lines), (z.T, lines.T)):
        for start in range(0, max(picture.shape[0] - _RUN + 1, 1), _RUN):
            end = start + _RUN if start + 2 * _RUN <= picture.shape[0] else picture.shape[0]
            level = np.median(picture[start:end], axis=0)
            level[np.abs(level) < _BAD_LINE] = 0
            block = target[start:end]
            block[...] = np.where(np.abs(level) > np.abs(block), level, block)
    return lines
