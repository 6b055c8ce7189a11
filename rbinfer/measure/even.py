"""A frame whose sky is level and whose noise is whole: what a pipeline or the Moon did is undone.

Moonlight, twilight and vignetting let the sky rise across a frame; in a cutout that looks like noise.
Programs that keep no negative numbers cut the sky off at 0, and with it half of its noise.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..io.arrays import noise_between
from ..io.exposure import Exposure
from ..io.scratch import bands, copy_of
from .cells import side_of, some_rows
from .floor import Floor
from .sky import cells_of, smoothed, without_gaps
from .threads import Threads

log = logging.getLogger(__name__)

Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]

_FEWEST_CELLS = 3  # along a side; fewer do not tell a slope from a star
#: Slope of the sky in units of the noise a pixel, from which it is taken off, where a quarter of the
#: frame has it. A field of stars alone stays below 0.04.
_STEEP, _STEEP_PART = 0.05, 75.0
#: Powers of y and x.
_QUADRATIC = [0, 0, 1, 0, 1, 2], [0, 1, 0, 2, 1, 0]
_PLATEAU = 4  # pixels at the highest value, from which it is that of saturation


def evened(exposure: Exposure) -> Exposure:
    """Take a steep slope off the sky, and give pixels that were cut off at a floor the noise below it.

    Parameters
    ----------
    exposure : Exposure
        Areas without data are in its mask; see `rbinfer.measure.nodata.with_no_data`. With a background
        its sky is left as it is. One that was looked at already comes back as it is.

    Returns
    -------
    Exposure
        With ``is_even`` set. Its pixels are a copy where they had to be changed; the median of the sky,
        and pixels that are saturated, are not.
    """
    if exposure.is_even:
        return exposure
    sample = some_rows(exposure.pixels, exposure.mask)
    floor = Floor.of(sample)
    pixels = exposure.pixels
    if floor is not None:
        log.warning(
            "%.0f %% of the pixels are exactly %g and few are lower: the sky was cut off there; noise "
            "is put in its place",
            100 * floor.share,
            floor.value,
        )
        pixels = copy_of(pixels, floor.fill)
    if exposure.background is None and _slope_of(sample, exposure.shape) > _STEEP:
        slope = _Slope.of(pixels, exposure.mask, exposure.saturation)
        if slope is not None:
            log.info("the sky is steep and is made level")
            pixels = copy_of(pixels, slope.take_off)
    return replace(exposure, pixels=pixels, is_even=True)


def _slope_of(sample: Pixels, shape: tuple[int, int]) -> float:
    """Return the slope that a quarter of the frame has, in units of the noise a pixel; 0 if unknown."""
    side = side_of(shape)
    n_rows, n_columns = len(sample), shape[1] // side
    if min(n_rows, n_columns) < _FEWEST_CELLS:
        return 0.0
    noise = noise_between(sample[:, :, :-1].ravel(), sample[:, :, 1:].ravel())
    cells = sample[:, :, : n_columns * side].reshape(n_rows, -1, n_columns, side).transpose(0, 2, 1, 3)
    levels = _median(cells.reshape(n_rows * n_columns, -1)).reshape(n_rows, n_columns)
    slopes = np.hypot(*np.gradient(levels)) / side
    slopes = slopes[np.isfinite(slopes)]
    return float(np.percentile(slopes, _STEEP_PART)) / noise if slopes.size and noise > 0 else 0.0


def _median(rows: Pixels) -> Floats:
    """Return the median of each row without its NaN; NaN where these are half of it or more."""
    n = np.isfinite(rows).sum(axis=1)
    ordered = np.sort(rows, axis=1)  # NaN comes last
    middle = ordered[np.arange(len(rows)), np.minimum(n // 2, rows.shape[1] - 1)]
    return np.where(2 * n > rows.shape[1], middle, np.nan).astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Slope:
    """The sky of a frame, less its median: ``rows @ level @ columns.T``."""

    level: Floats
    columns: Floats
    rows: Floats
    saturation: float

    @classmethod
    def of(cls, pixels: Pixels, mask: NDArray[np.bool_] | None, saturation: float | None) -> Self | None:
        """Measure cells, fit a quadratic, and interpolate between the middles what is left of each."""
        ny, nx = pixels.shape
        side = side_of((ny, nx))
        cells, _, _ = cells_of(pixels, mask, side, Threads(1))
        known = np.isfinite(cells)
        if not known.any():
            return None
        # At edges and gaps, medians and neighbours would be those of a level sky.
        powers = [_powers(_middles(n, side), n) for n in (ny, nx)]
        terms = np.einsum("ya,xb->yxab", *powers)[:, :, *_QUADRATIC]
        fitted = np.zeros((3, 3))
        fitted[_QUADRATIC] = np.linalg.lstsq(terms[known], cells[known])[0]
        rest = smoothed(without_gaps(cells - powers[0] @ fitted @ powers[1].T))
        level = np.zeros([n + 3 for n in cells.shape])
        level[3:, 3:] = rest - np.median(rest)
        level[:3, :3] = fitted
        level[0, 0] -= np.median(powers[0] @ fitted @ powers[1].T)
        rows, columns = (np.hstack([_powers(np.arange(n), n), _weights(n, side)]) for n in (ny, nx))
        return cls(level, columns, rows, _top(pixels) if saturation is None else saturation)

    def take_off(self, part: Pixels, rows: slice) -> None:
        """Subtract it from rows of the frame; saturated pixels stay so, and no other becomes one."""
        sky = (self.rows[rows] @ self.level @ self.columns.T).astype(np.float32)
        is_below = part < self.saturation
        np.subtract(part, sky, out=part, where=is_below)
        highest = np.nextafter(np.float32(self.saturation), np.float32(-np.inf))
        np.minimum(part, highest, out=part, where=is_below)


def _top(pixels: Pixels) -> float:
    """Return the highest value, if it is that of saturated pixels: several have it; else infinity."""
    top, n = -np.inf, 0
    for rows in bands(pixels):
        part = pixels[rows]
        highest = float(np.nanmax(part, initial=-np.inf))
        if highest > top:
            top, n = highest, 0
        n += int(np.count_nonzero(part == np.float32(top)))
    return top if n >= _PLATEAU else np.inf


def _middles(n: int, side: int) -> Floats:
    """Return the middles of the cells along an axis of `n` pixels; the last cell may be a part."""
    first = np.arange(-(-n // side)) * side
    middles: Floats = (first + np.minimum(first + side, n) - 1) / 2
    return middles


def _powers(at: NDArray[Any], n: int) -> Floats:
    """Return the powers 0, 1 and 2 of places along an axis of `n` pixels, which is from -1 to 1."""
    return np.vander(2.0 * at / (n - 1) - 1.0, 3, increasing=True)


def _weights(n: int, side: int) -> Floats:
    """Return the part of each cell in each of `n` pixels along an axis, that of the outermost beyond."""
    middles, at = _middles(n, side), np.arange(n)
    cell = np.clip(np.searchsorted(middles, at) - 1, 0, len(middles) - 2)
    share = np.clip((at - middles[cell]) / (middles[cell + 1] - middles[cell]), 0.0, 1.0)
    weights = np.zeros((n, len(middles)))
    weights[at, cell], weights[at, cell + 1] = 1.0 - share, share
    return weights
