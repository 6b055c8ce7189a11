"""How far the noise of an image reaches: where it was interpolated, a hit looks as its noise does.

Interpolation spreads each pixel of a detector over several of the image: its noise, and what a
particle or a hot pixel leaves. The noise of neighbours shows how far. Where stars crowd, neighbours are
alike too; but then pixels are further above the median than below it, or, where another exposure was
subtracted, many are far below it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io.scratch import release
from .profiles import FWHM_PER_SIGMA

Floats = NDArray[np.float64]

#: Side of the blocks that are looked at, pixels; how many along each axis, and how many at least in all.
_SIDE, _ALONG, _FEWEST = 32, 6, 4
_SOME = 8  # blocks are enough for pixels two apart
_GOOD = 0.75  # share of the pixels of a block
_FAR = 4  # pixels: noise at so great a distance is not alike
_CLIP = 3.5 * 1.4826  # median deviations from the median: 3.5 scatters
#: Noise in the finest waves over that in those twice as long: 0.97 to 1.05 without interpolation, 0.45
#: to 0.6 if shifted by half a pixel, 0.38 to 0.49 with pixels of 0.7, 0.12 to 0.33 of 0.5 to 0.6. Up to
#: the first the grid is much finer, up to the second the image was interpolated.
_FINEST, _INTERPOLATED = 0.36, 0.8
#: Distance of the median from the upper over that from the lower of the two sextiles: 1.3 and more where
#: stars crowd so that they make neighbours alike. On a grid that is hardly finer they need not crowd as
#: much: 1.1 and more where faint stars fill the sky. Labelled frames without stars have 1.0 to 1.12.
_SKEW, _EVEN = 1.25, 1.1
#: Share of the pixels far below the median from which negative stars crowd, as where another exposure of
#: a crowded field was subtracted: 0.044 to 0.069 there, 0.018 at most in other images.
_NEGATIVE = 0.03
#: Steps are too large if they are more than such a part of what lies between the sextiles, which is
#: twice the noise; every how many pixels is looked at to find them.
_COARSE, _EACH = 0.25, 8
#: Numbers spread evenly over -0.5 to 0.5, whatever part of them is taken: multiples of the golden ratio.
#: NumPy's random numbers would do as well, but take 10 ms to load.
_SPREAD = np.arange(_SIDE * _SIDE) * ((math.sqrt(5) - 1) / 2) % 1 - 0.5
_WAVES = (1.0, -4.0, 6.0, -4.0, 1.0), (-1.0, 0.0, 2.0, 0.0, -1.0)


@dataclass(frozen=True)
class Grain:
    """How the noise of an image is.

    Attributes
    ----------
    skew : float
        Distance of the median from the upper over that from the lower of the two sextiles. NaN where the
        image is rounded so coarsely that they say nothing.
    step : float
        Least difference of two values, over what lies between the sextiles.
    alike, further : float
        How alike the noise of neighbours is, and that of pixels two apart: 0 where it is independent, 1
        where they are the same.
    finest : float
        Noise in the finest waves over that in those twice as long.
    above, below : float
        Shares of the pixels that are further than 3.5 scatters above and below the median.
    """

    skew: float
    step: float
    alike: float
    further: float
    finest: float
    above: float
    below: float

    @property
    def single(self) -> float:
        """FWHM in pixels of the image of what a single pixel of the detector became.

        The noise of neighbours is as alike as a Gaussian is to itself, of which a fit to such a pixel
        has the width, within a tenth (linear, cubic and Lanczos-3 interpolation to pixels of 0.5 to
        0.7). 0 where the noise of neighbours is not alike, or where stars crowd, negative ones too.
        """
        if self.skew > _SKEW or self.below > _NEGATIVE or not 0.0 < self.alike < 1.0:
            return 0.0
        return FWHM_PER_SIGMA / (2.0 * math.sqrt(-math.log(self.alike)))

    @property
    def is_much_finer(self) -> bool:
        """Whether the grid is much finer than that of the detector."""
        return self.single > 0 and self.finest <= _FINEST

    @property
    def shows_single_pixels(self) -> bool:
        """Whether the image was interpolated, and what a single pixel became is known."""
        interpolated = self.single > 0 and self.finest <= _INTERPOLATED
        return self.is_much_finer or (interpolated and self.skew <= _EVEN)

    @property
    def shows_faint_stars(self) -> bool:
        """Whether something fills the sky as faint stars do."""
        return self.skew > _EVEN


def grain_of(pixels: NDArray[np.float32]) -> Grain | None:
    """Look at the noise of an image.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        NaN where bad.

    Returns
    -------
    Grain or None
        None where too little of the noise is seen.
    """
    blocks = _blocks(pixels)
    far = _difference(blocks, _FAR)
    is_seen = far > 0
    if np.count_nonzero(is_seen) < _FEWEST:
        return None
    blocks, far = blocks[is_seen], far[is_seen]
    each = max(len(blocks) // _SOME, 1)
    some = blocks[::each]
    alike = _alike(blocks, 1, far)
    return Grain(*_skew(blocks), alike, _alike(some, 2, far[::each]), _finest(blocks), *_tails(blocks))


def _blocks(pixels: NDArray[np.float32]) -> Floats:
    """Return blocks (n, side, side) spread over the image, of which most pixels are good."""
    corners = [
        _SIDE * np.unique(np.linspace(0, n // _SIDE - 1, min(n // _SIDE, _ALONG)).astype(int))
        for n in pixels.shape
    ]
    blocks = [pixels[y : y + _SIDE, x : x + _SIDE] for y in corners[0] for x in corners[1]]
    good = [block for block in blocks if np.isfinite(block).mean() >= _GOOD]
    found = np.array(good, np.float64).reshape(-1, _SIDE, _SIDE)
    release(pixels)
    return found


def _alike(blocks: Floats, step: int, far: Floats) -> float:
    """Return how alike pixels are that lie so many apart, in blocks (n, side, side)
    of which those far apart differ by `far` (n,).
    """
    return float(np.median(1.0 - _difference(blocks, step) / far))


def _difference(blocks: Floats, step: int) -> Floats:
    """Return half the mean square by which pixels differ from those so many further on."""
    columns, rows = blocks[:, :, step:] - blocks[:, :, :-step], blocks[:, step:] - blocks[:, :-step]
    return 0.25 * (_scatter(columns) ** 2 + _scatter(rows) ** 2)


def _scatter(blocks: Floats) -> Floats:
    """Return the scatter of each block, without what is far from its median."""
    values = blocks.reshape(len(blocks), blocks.shape[1] * blocks.shape[2])
    away = values - _medians(values)
    limit = _CLIP * _medians(np.abs(away))
    near = np.abs(away) <= limit
    return np.asarray(np.sqrt((np.where(near, away, 0.0) ** 2).sum(axis=1) / near.sum(axis=1)))


def _medians(values: Floats) -> Floats:
    """Return the median of each row (n, 1) without NaN."""
    # What looks for NaN takes the rows one by one.
    median = np.nanmedian if np.isnan(values).any() else np.median
    return np.asarray(median(values, axis=1, keepdims=True))


def _tails(blocks: Floats) -> tuple[float, float]:
    """Return the shares of the pixels far above and far below the median of their block."""
    values = blocks.reshape(len(blocks), _SIDE * _SIDE)
    away = values - _medians(values)
    limit = _CLIP * _medians(np.abs(away))
    n = np.count_nonzero(np.isfinite(away))
    return float(np.count_nonzero(away > limit) / n), float(np.count_nonzero(away < -limit) / n)


def _skew(blocks: Floats) -> tuple[float, float]:
    """Return the skew of the middle two thirds, NaN where steps are too large, and these."""
    values = blocks.reshape(len(blocks), _SIDE * _SIDE)
    levels = np.unique(values[:, ::_EACH])
    steps = np.diff(levels[np.isfinite(levels)])
    step = float(steps.min()) if len(steps) else 0.0
    # Rounded values are equal by the dozen, and sextiles jump from step to step without this.
    values = values + step * _SPREAD
    percentile = np.nanpercentile if np.isnan(values).any() else np.percentile
    low, middle, high = percentile(values, (100 / 6, 50, 500 / 6), axis=1)
    between = float(np.median(high - low))
    coarse = step / between if between > 0 else math.inf
    skew = math.nan if coarse > _COARSE else float(np.median((high - middle) / (middle - low)))
    return skew, coarse


def _finest(blocks: Floats) -> float:
    """Return the scatter in the finest waves over that in those twice as long, along both axes."""
    both = np.concatenate([blocks, blocks.swapaxes(1, 2)])
    finest, longer = (_scatter(_filtered(both, wave)) / math.hypot(*wave) for wave in _WAVES)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.median(finest / longer))


def _filtered(blocks: Floats, wave: tuple[float, ...]) -> Floats:
    n = blocks.shape[2] - len(wave) + 1
    return np.asarray(sum(w * blocks[:, :, k : k + n] for k, w in enumerate(wave)))
