"""From what an HDU stores to one linear plane: cubes, stretched pixels, mosaics of colour filters."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .scratch import copy_of

#: Planes of a colour image by their names.
COLOURS = {"R": 0, "G": 1, "B": 2}
_MOST_COLOURS = 4  # with transparency
#: Name for the mean of all planes.
MEAN = "mean"
#: Cards in which capture programs note the mosaic of colour filters of the sensor.
_MOSAIC_CARDS = ("BAYERPAT", "COLORTYP", "CFAPAT", "CFATYPE", "BAYER", "CFA-PAT")
_MOSAIC = re.compile("(?<![A-Z])[RGBCMYWE]{4}(?![A-Z])")
_NO_MOSAIC = ("GREY",)  # of a sensor without filters
#: Cards that name a filter, or the four of a colour sensor.
_FILTER_CARDS = ("FILTER", "FILTERS", "FILTER1", "FILTNAME", "FILTERID", "INSFLNAM")
_BAYER = re.compile("RGGB|BGGR|GRBG|GBRG")
#: Units of pixels that are no longer linear, what undoes them, and how they are called.
_STRETCHES: tuple[tuple[re.Pattern[str], Any, str], ...] = (
    (re.compile(r"\W*(log10|log|dex)(?![a-z]).*"), lambda v: 10.0**v, "logarithms"),
    (re.compile(r"\W*ln(?![a-z]).*"), np.exp, "natural logarithms"),
    (re.compile(r"\W*sqrt(?![a-z]).*|.*(\^|\*\*)(0?\.5|\(1/2\))"), np.square, "square roots"),
)
_MAGNITUDES = re.compile(r"(ab|st|vega)?\s*mag(nitudes?)?(?![a-z]).*")
#: Cards in which programs note a stretch that they made, without what would undo it.
_STRETCH_CARDS = ("STRETCH", "SCALING", "DATASCAL")
_STRETCHED = re.compile(
    r"((arc|a)sinh|log(10|arithmic)?|ln|sqrt|square ?root|gamma|hist.*|midtone.*|mtf)\b.*"
)
#: Blocks of so many times so many pixels of each colour tell what the filters let through,
_BLOCK = 8
#: if they stand out by so many sigma,
_BRIGHT = 10.0
#: and there are so many of them;
_ENOUGH = 10
#: a transmission beyond this times the mean is none.
_MOST = 4.0
_SAMPLE = 100_000


def plane_of(data: NDArray[Any], plane: str | None, what: str) -> NDArray[Any]:
    """Choose a plane of a cube.

    Parameters
    ----------
    data : ndarray, 2-D or more
        Axes of length 1 before the last two are dropped.
    plane : str, optional
        Number of the plane, counted from 0; ``R``, ``G`` or ``B`` of three; or ``mean``.
    what : str
        What `data` is, for messages.

    Returns
    -------
    ndarray, shape (ny, nx)

    Raises
    ------
    InputError
        A plane must be chosen and is not, or it does not exist.
    """
    if data.ndim < 2:
        raise InputError(f"{what} has one axis ({data.size} pixels), as spectra have; it is no image")
    if 1 in data.shape[:-2]:
        data = data.reshape(*(n for n in data.shape[:-2] if n > 1), *data.shape[-2:])
    if data.ndim == 3 and data.shape[2] <= _MOST_COLOURS and data.shape[0] > data.shape[2]:
        data = np.moveaxis(data, 2, 0)  # some programs store the colours of a pixel side by side
        data = data[0] if len(data) == 1 else data
    if data.ndim == 2:
        if plane not in (None, "0", MEAN):
            raise InputError(f"{what} has one plane; leave out `plane={plane!r}`")
        return data
    if data.ndim > 3:
        raise InputError(
            f"{what} has {data.ndim} axes ({_times(data.shape)} pixels), not an image or a cube; write "
            "the plane that you want to a file of its own"
        )
    n = len(data)
    names = f"0 to {n - 1}{', R, G, B' if n == 3 else ''} or mean"
    if plane is None:
        raise InputError(
            f"{what} is a cube of {n} planes of {data.shape[2]} x {data.shape[1]} pixels; choose one: "
            f"`plane` {names}"
        )
    if plane.lower() == MEAN:
        if data.dtype.kind != "f":
            mean: NDArray[Any] = data.mean(axis=0)
            return mean
        with np.errstate(invalid="ignore"):
            known = np.isfinite(data)
            total = np.where(known, data, 0).sum(axis=0)
            return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
    number = COLOURS.get(plane.upper()) if n == 3 else None
    if number is None and plane.isdecimal():
        number = int(plane)
    if number is None or number >= n:
        raise InputError(f"{what} has no plane {plane!r}; it has {names}")
    chosen: NDArray[Any] = data[number]
    return chosen


def undone(data: NDArray[Any], header: Mapping[str, Any]) -> tuple[NDArray[Any], str]:
    """Undo a stretch of the pixels that the header tells of.

    Parameters
    ----------
    data : ndarray, shape (..., ny, nx)
    header : mapping
        With ``BSOFTEN`` and ``BOFFSET`` where the pixels are asinh-compressed, as the stacks of
        Pan-STARRS are [1]_ (without the offset, which is that of the sky, they are brought to 0), or a
        ``BUNIT`` such as ``log(adu)`` or ``sqrt(electron)``.

    Returns
    -------
    data : ndarray, shape (..., ny, nx)
        Linear pixels.
    what : str
        What was undone; empty where nothing was.

    Raises
    ------
    InputError
        The pixels are magnitudes, or stretched in a way that the header does not tell.

    References
    ----------
    .. [1] Waters et al. 2020, ApJS 251, 4: flux = BOFFSET + BSOFTEN (exp(v / a) - exp(-v / a)), with
       a = 2.5 log10(e).
    """
    softening, offset = _number(header, "BSOFTEN"), _number(header, "BOFFSET") or 0.0
    if softening is not None and softening > 0:
        with np.errstate(over="ignore"):
            flux = 2.0 * softening * np.sinh(np.asarray(data, np.float64) / (2.5 * math.log10(math.e)))
        return flux + offset, f"an asinh stretch (BSOFTEN {softening:g}, BOFFSET {offset:g})"
    unit = str(header.get("BUNIT", "")).strip()
    if _MAGNITUDES.fullmatch(unit.lower()):
        raise InputError(f"the pixels are magnitudes (BUNIT {unit!r}); give an image of linear pixels")
    for pattern, inverse, name in _STRETCHES:
        if pattern.fullmatch(unit.lower()):
            with np.errstate(over="ignore"):
                linear: NDArray[Any] = inverse(np.asarray(data, np.float64))
            return linear, f"{name} (BUNIT {unit!r})"
    for card in _STRETCH_CARDS:
        if _STRETCHED.fullmatch(str(header.get(card, "")).strip().lower()):
            raise InputError(
                f"the pixels are stretched ({card} {header[card]!r}), and the header does not tell what "
                "would undo that; give an image of linear pixels"
            )
    return data, ""


def mosaic_of(header: Mapping[str, Any]) -> str:
    """Return the mosaic of colour filters that a header names, such as ``RGGB``; empty without one."""
    for card in _MOSAIC_CARDS:
        # Also behind an underscore, as in BAYER_RGGB, or in quotes.
        found = _MOSAIC.search(str(header.get(card, "")).upper().replace("_", " "))
        if found and len(set(found[0])) > 1 and found[0] not in _NO_MOSAIC:
            return found[0]
    for card in _FILTER_CARDS:
        if found := _BAYER.fullmatch(str(header.get(card, "")).strip().upper()):
            return found[0]
    return ""


@dataclass(frozen=True)
class Kinds:
    """The four kinds of pixel of a mosaic, by row and column of each cell of 2 x 2.

    Attributes
    ----------
    levels : tuple of float
        Of the sky.
    scales : tuple of float
        What each gets of the light of stars, over the mean.
    """

    levels: tuple[float, ...]
    scales: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)

    @classmethod
    def of(cls, pixels: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> Self:
        """Measure them.

        The sky level of each is its median. What its filter lets through of the light of stars is its
        share of what stands out in blocks of 16 x 16 pixels; the median over the blocks is taken, so
        that neither hot pixels nor a few coloured stars matter. Where too little stands out, the scales
        are 1.

        Parameters
        ----------
        pixels : ndarray of float32, shape (ny, nx)
        mask : ndarray of bool, shape (ny, nx), or None
            True for bad pixels.
        """
        levels, noises = [], []
        for i, j in np.ndindex(2, 2):
            part = pixels[i::2, j::2]
            good = np.isfinite(part) if mask is None else np.isfinite(part) & ~mask[i::2, j::2]
            values = part[good]
            values = values[:: max(len(values) // _SAMPLE, 1)].astype(np.float64)
            level = float(np.median(values)) if len(values) else 0.0
            levels.append(level)
            noises.append(1.4826 * float(np.median(np.abs(values - level))) if len(values) else 0.0)
        scales = _transmissions(pixels, mask, levels, noises)
        return cls(tuple(levels), tuple(scales.tolist()))

    def level(
        self, values: NDArray[np.float32], rows: slice, saturation: float | None = None
    ) -> NDArray[np.float32]:
        """Bring some rows of the image, or of its background, to one level and scale.

        Parameters
        ----------
        values : ndarray of float32, shape (n, nx)
        rows : slice
            Which rows these are.
        saturation : float, optional
            What is at or above it stays as it is, and nothing else reaches it.

        Returns
        -------
        ndarray of float32, shape (n, nx)
        """
        full = np.float32(np.inf if saturation is None else saturation)
        out, common = np.empty_like(values), np.float32(np.mean(self.levels))
        for (i, j), level, scale in zip(np.ndindex(2, 2), self.levels, self.scales, strict=True):
            own = (slice((i - rows.start) % 2, None, 2), slice(j, None, 2))
            out[own] = (values[own] - np.float32(level)) / np.float32(scale) + common
        np.minimum(out, np.nextafter(full, np.float32(-np.inf)), out=out)
        return np.where(values >= full, values, out)

    def scaled(self, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the noise of the pixels (ny, nx) that were brought to one scale."""
        out = np.empty_like(noise)
        for (i, j), scale in zip(np.ndindex(2, 2), self.scales, strict=True):
            out[i::2, j::2] = noise[i::2, j::2] / np.float32(scale)
        return out


def levelled(
    pixels: NDArray[np.float32], mask: NDArray[np.bool_] | None, saturation: float | None = None
) -> NDArray[np.float32]:
    """Undo the mosaic of a colour sensor: bring its four kinds of pixel to one sky level and scale.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels.
    saturation : float, optional
        Pixels at or above it stay as they are, and no other reaches it.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
    """
    return with_one_level(pixels, Kinds.of(pixels, mask), saturation)


def with_one_level(
    values: NDArray[np.float32], kinds: Kinds, saturation: float | None = None
) -> NDArray[np.float32]:
    """Return an image or its background (ny, nx) with one level and scale; see `Kinds.level`."""

    def change(part: NDArray[np.float32], rows: slice) -> None:
        part[:] = kinds.level(part, rows, saturation)

    return copy_of(values, change)


def _transmissions(
    pixels: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    levels: list[float],
    noises: list[float],
) -> NDArray[np.float64]:
    """Return what each of the four filters lets through of the light of stars, over their mean."""
    side = 2 * _BLOCK
    height, width = (n // side * side for n in pixels.shape)
    light = []
    for (i, j), level in zip(((0, 0), (0, 1), (1, 0), (1, 1)), levels, strict=True):
        part = pixels[i:height:2, j:width:2].astype(np.float64) - level
        bad = ~np.isfinite(part) if mask is None else ~np.isfinite(part) | mask[i:height:2, j:width:2]
        part[bad] = 0.0
        blocks = part.reshape(height // side, _BLOCK, width // side, _BLOCK)
        light.append(blocks.sum(axis=(1, 3)).ravel())
    total = np.sum(light, axis=0)
    bright = total > _BRIGHT * _BLOCK * max(math.hypot(*noises), 1e-30)
    shares = np.stack([each[bright] for each in light]) / total[bright]
    # Light of stars reaches all four kinds of pixel; hits are in one or two.
    spread = (shares > 0.02).all(axis=0)
    if np.count_nonzero(spread) < max(_ENOUGH, 0.3 * shares.shape[1]):
        return np.ones(4)
    found = np.median(shares[:, spread], axis=1)
    found = found / found.mean()
    return np.ones(4) if found.max() > _MOST or found.min() < 1 / _MOST else found


def _number(header: Mapping[str, Any], card: str) -> float | None:
    """Return the finite number of a card, if it has one."""
    value = header.get(card)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in reversed(shape))
