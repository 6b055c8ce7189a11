"""Isolated local maxima of an image: where its stars are, among much else, whatever a catalogue says."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..kernels.constants import BLOCK_SIDE
from .layers import Layer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Pixels = NDArray[np.float32]

#: Radius of the stamps in pixels.
RADIUS = 5
#: Noise of a pixel over the distance of the 16th percentile from the median of normal deviates.
_LOWER_SIGMA = 1.0056
_BLOCKS = 1 << 16  # that are looked at together
_CELL = 64  # side of the cells that sky and noise are measured in
_SAMPLES = 4  # every so many pixels of a cell are looked at, along both axes
_POOL, _LEAST_POOL = 1500, 400  # maxima looked at closely, at most, and how far that is lowered
_THRESHOLD = 8.0  # height of a maximum over the noise
_NEARLY = 7.9  # what lies below this is not above that, however numbers are rounded
_CLIPPED = 4  # maxima of one height, within this of what they have above the sky, are clipped
_CLIPPED_WITHIN = 0.003
_GRID = 8  # places are spread over this many times this many parts of the image


@dataclass(frozen=True)
class Sky:
    """Sky and noise of an image in cells of equal size.

    Attributes
    ----------
    level, noise : ndarray of float64, shape (rows, columns)
        NaN where a cell tells nothing: too few good pixels, or all of one value.
    height, width : int
        Of a cell, pixels; the last of a row or column reaches to the edge of the image.
    """

    level: Floats
    noise: Floats
    height: int
    width: int

    def at(self, y: Ints, x: Ints) -> tuple[Floats, Floats]:
        """Return level and noise at pixels."""
        j, i = self.cells(y, x)
        return self.level[j, i], self.noise[j, i]

    def cells(self, y: Ints, x: Ints) -> tuple[Ints, Ints]:
        """Return rows and columns of the cells of pixels."""
        rows, columns = self.level.shape
        return np.minimum(y // self.height, rows - 1), np.minimum(x // self.width, columns - 1)


@dataclass(frozen=True)
class Maxima:
    """Local maxima and the pixels around them.

    Attributes
    ----------
    y, x : ndarray of int64, shape (n,)
        0-based pixels of the image that they were found in.
    stamps : ndarray of float32, shape (n, 2 * RADIUS + 1, 2 * RADIUS + 1)
        Pixels less the sky, over the noise; NaN where they are bad.
    sky, noise : ndarray of float64, shape (n,)
        In the units of the image.
    size : ndarray of float64, shape (n,)
        Rough standard deviation of the profile in pixels, from the light near the middle.
    least_size : ndarray of float64, shape (n,)
        The same from the darker one of each pixel and its opposite: without the light of neighbours, and
        smaller the further the centre is from the middle of its pixel.
    factor : ndarray of int64, shape (n,)
        Binning of the image.
    """

    y: Ints
    x: Ints
    stamps: Pixels
    sky: Floats
    noise: Floats
    size: Floats
    least_size: Floats
    factor: Ints

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: Ints | Bools) -> Self:
        return type(self)(*(getattr(self, each.name)[rows] for each in fields(self)))

    @property
    def height(self) -> Pixels:
        """Middle pixels of the stamps."""
        return self.stamps[:, RADIUS, RADIUS]


def measure_sky(layer: Layer) -> Sky:
    """Measure sky and noise in cells of about 64 pixels.

    The noise is the distance of the 16th percentile from the median: light only adds to pixels, so
    that the lower side of their distribution is that of the noise.

    Parameters
    ----------
    layer : Layer
    """
    ny, nx = layer.shape
    rows, columns = max(1, round(ny / _CELL)), max(1, round(nx / _CELL))
    height, width = ny // rows, nx // columns
    parts = [
        _measured(layer.rows(first, last)[:, : columns * width], height, width, layer.is_good)
        for first, last in layer.bands(height, rows)
    ]
    level, noise = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Sky(level, noise, height, width)


def _measured(band: Pixels, height: int, width: int, is_good: bool) -> tuple[Floats, Floats]:
    """Return level and noise of the cells of some rows of an image, all of whose pixels may be good."""
    rows, columns = band.shape[0] // height, band.shape[1] // width
    cells = band.reshape(rows, height, columns, width)
    step = _SAMPLES if min(height, width) >= _CELL // 2 else 1
    # Every second line is shifted, so that both halves of an alternating pattern are seen.
    lines = [cells[:, k::step, :, k % step :: step] for k in (0, step // 2 + 1)][: 1 + (step > 1)]
    samples = _by_cell([line.transpose(0, 2, 1, 3) for line in lines])
    samples.sort(axis=1)  # NaN last
    good = np.full(len(samples), samples.shape[1])
    if not is_good:
        good = np.count_nonzero(np.isfinite(samples), axis=1)

    def percentile(q: float) -> Floats:
        at = np.minimum((q * good).astype(np.int64), samples.shape[1] - 1)
        return np.take_along_axis(samples, at[:, None], axis=1)[:, 0].astype(np.float64)

    level = percentile(0.5)
    noise = (level - percentile(0.16)) / _LOWER_SIGMA
    # A sky that is cut off from below has only its upper side.
    noise = np.where(noise > 0, noise, (percentile(0.84) - level) / _LOWER_SIGMA)
    flat = ~(noise > 0)
    if flat.any():
        noise[flat] = _noise_in_steps(samples[flat], level[flat], good[flat])
    known = (noise > 0) & (good >= 0.3 * samples.shape[1])
    shape = rows, columns
    return np.where(known, level, np.nan).reshape(shape), np.where(known, noise, np.nan).reshape(shape)


def _by_cell(parts: list[Pixels]) -> Pixels:
    """Put the samples of each cell (rows, columns, height, width) in one line, copying them once."""
    rows, columns = parts[0].shape[:2]
    samples = np.empty((rows, columns, sum(part[0, 0].size for part in parts)), np.float32)
    first = 0
    for part in parts:
        last = first + part[0, 0].size
        samples[:, :, first:last].reshape(part.shape)[...] = part
        first = last
    return samples.reshape(rows * columns, -1)


def _noise_in_steps(samples: Pixels, level: Floats, good: Ints) -> Floats:
    """Estimate the noise of whole numbers that hardly vary: few pixels are a step from the others."""
    apart = np.abs(np.where(np.isfinite(samples), samples - level[:, None].astype(np.float32), 0.0))
    step = np.where(apart > 0, apart, np.inf).min(axis=1).astype(np.float64)
    part = np.count_nonzero(apart > 0, axis=1) / np.maximum(good, 1)
    return np.where(part > 0, np.where(part > 0, step, 0.0) * np.sqrt(part), 0.0)


def find_maxima(layer: Layer, sky: Sky, saturation: float | None, factor: int = 1) -> Maxima:
    """Find local maxima well above the noise, the brightest of each block of 8 x 8 pixels at most.

    Parameters
    ----------
    layer : Layer
    sky : Sky
    saturation : float or None
        Maxima at or above it are left out. Without it, a level that several maxima share is taken for
        saturation.
    factor : int
        How often the image was binned, along both axes; the more, the fewer maxima are looked at.

    Returns
    -------
    Maxima
        Of at most 1500: of more, the brightest half, and of the others evenly many of any brightness.
        They have raised neighbours: those of single pixels are left out.
    """
    ny, nx = layer.shape
    side = 2 * RADIUS + 1
    if min(ny, nx) < max(side, BLOCK_SIDE):
        return _none()
    y, x = _block_maxima(layer, sky, saturation, max(_POOL // factor, _LEAST_POOL))
    inside = (y >= RADIUS) & (y < ny - RADIUS) & (x >= RADIUS) & (x < nx - RADIUS)
    y, x = y[inside], x[inside]
    level, noise = sky.at(y, x)
    around = np.arange(-RADIUS, RADIUS + 1)
    stamps = layer.at((y[:, None] + around)[:, :, None], (x[:, None] + around)[:, None])
    stamps -= level[:, None, None].astype(np.float32)
    stamps /= noise[:, None, None].astype(np.float32)
    height = stamps[:, RADIUS, RADIUS]
    core = stamps[:, RADIUS - 1 : RADIUS + 2, RADIUS - 1 : RADIUS + 2]
    beside = core[:, [0, 1, 1, 2], [1, 0, 2, 1]].max(axis=1, initial=-np.inf)
    # NaN compares false: a bad pixel beside the maximum drops it.
    keep = np.all(core <= height[:, None, None], axis=(1, 2))
    keep &= beside > np.maximum(2.5, 0.03 * height)
    y, x, level, noise = y[keep], x[keep], level[keep], noise[keep]
    stamps, height = stamps[keep], height[keep]
    size = _rough_size(stamps)
    least = _rough_size(np.fmin(stamps, stamps[:, ::-1, ::-1]))
    return Maxima(y, x, stamps, level, noise, size, least, np.full(len(y), factor))


def _rough_size(stamps: Pixels) -> Floats:
    light = np.nansum(stamps[:, _distance() < 2.3], axis=1, dtype=np.float64)
    square = light / (2.0 * np.pi * stamps[:, RADIUS, RADIUS]) - 1.0 / 12.0
    size: Floats = np.sqrt(np.clip(square, 0.06, 9.0))
    return size


def _none() -> Maxima:
    nothing = np.zeros(0, np.int64)
    side = 2 * RADIUS + 1
    none = np.zeros(0)
    return Maxima(
        nothing, nothing, np.zeros((0, side, side), np.float32), none, none, none, none, nothing
    )


def joined(parts: list[Maxima]) -> Maxima:
    """Put maxima of several images together."""
    return Maxima(
        *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Maxima))
    )


def _distance() -> Floats:
    offsets = np.arange(-RADIUS, RADIUS + 1)
    return np.hypot(offsets[:, None], offsets[None, :])


def _block_maxima(layer: Layer, sky: Sky, saturation: float | None, most: int) -> tuple[Ints, Ints]:
    """Return places of the brightest pixels of blocks, of the pool at most."""
    rows, columns = layer.tops.shape
    step = max(_BLOCKS // columns, 1)
    parts = [_bright_blocks(layer.tops[k : k + step], k, sky) for k in range(0, rows, step)]
    place, top, level, excess = (np.concatenate(each) for each in zip(*parts, strict=True))
    if saturation is None:
        saturation = _shared_level(top, level)
    chosen = np.flatnonzero(top < saturation)
    order = chosen[np.argsort(-excess[chosen], kind="stable")]
    order = place[order[thinned(len(order), most)]]
    y, x = order // columns * BLOCK_SIDE, order % columns * BLOCK_SIDE
    inner = np.arange(BLOCK_SIDE)
    blocks = layer.at((y[:, None] + inner)[:, :, None], (x[:, None] + inner)[:, None])
    blocks = blocks.reshape(len(order), BLOCK_SIDE**2)
    brightest = np.where(np.isnan(blocks), -np.inf, blocks).argmax(axis=1)
    return y + brightest // BLOCK_SIDE, x + brightest % BLOCK_SIDE


def _bright_blocks(tops: Pixels, first: int, sky: Sky) -> tuple[Ints, Pixels, Floats, Floats]:
    """Return those of some rows of blocks, from `first`, that are well above the noise.

    That is their number in the image, the brightest pixel, the level of the sky, and what that pixel has
    above it in units of the noise.
    """
    rows, columns = tops.shape
    y, x = (
        np.arange(start, start + n) * BLOCK_SIDE + BLOCK_SIDE // 2
        for start, n in ((first, rows), (0, columns))
    )
    # Only those are looked at that would be bright if the sky were darkest all along their column.
    j, i = sky.cells(y, x)
    dark = (sky.level + _NEARLY * sky.noise)[j[0] : j[-1] + 1]
    at = np.flatnonzero(tops > np.fmin.reduce(dark, axis=0)[i])
    row, column = at // columns, at % columns
    top, level, noise = tops[row, column], sky.level[j[row], i[column]], sky.noise[j[row], i[column]]
    excess = (top - level) / noise
    is_bright = excess > _THRESHOLD
    return first * columns + at[is_bright], top[is_bright], level[is_bright], excess[is_bright]


def _shared_level(top: Pixels, sky: Floats) -> float:
    """Return a level that the brightest maxima are clipped at, else infinity."""
    if len(top) < _CLIPPED:
        return np.inf
    brightest = float(top.max())
    level = brightest - _CLIPPED_WITHIN * (brightest - float(np.median(sky)))
    return level if np.count_nonzero(top >= level) >= _CLIPPED else np.inf


def thinned(n: int, most: int) -> Ints:
    """Return places in a list of n, best first: the first half of `most`, then evenly many."""
    if n <= most:
        return np.arange(n)
    first = most // 2
    return np.concatenate([np.arange(first), np.linspace(first, n - 1, most - first).astype(np.int64)])


def spread(maxima: Maxima, shape: tuple[int, int], most: int) -> Ints:
    """Choose maxima all over an image, half of them the brightest of their parts of it.

    Parameters
    ----------
    maxima : Maxima
    shape : (int, int)
        Of the image.
    most : int
        How many, at most.

    Returns
    -------
    ndarray of int64, shape (at most `most`,)
        Rows of `maxima`.
    """
    n = len(maxima)
    if n <= most:
        return np.arange(n)
    part = maxima.y * _GRID // shape[0] * _GRID + maxima.x * _GRID // shape[1]
    order = np.lexsort((-maxima.height, part))
    first = np.searchsorted(part[order], part[order])
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n) - first
    best = np.lexsort((-maxima.height, rank))
    half = most // 2
    rest = best[half:]
    rest = rest[np.argsort(-maxima.height[rest], kind="stable")]
    return np.concatenate([best[:half], rest[np.linspace(0, len(rest) - 1, most - half).astype(int)]])
