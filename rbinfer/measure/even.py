"""A frame whose sky is level and whose noise is whole: what a pipeline or the Moon did is undone.

Colour filters, and amplifiers that read columns in turn, give neighbours other levels. Moonlight,
twilight and vignetting let the sky rise across a frame; in a cutout that looks like noise. Programs that
keep no negative numbers cut the sky off at 0, and with it half of its noise.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..io.arrays import noise_between
from ..io.exposure import Exposure
from ..io.planes import Kinds
from ..io.scratch import bands, copy_of
from ..kernels.constants import LARGEST
from ..model.spec import PreprocessSpec
from .cells import side_of, some_rows
from .colours import Pattern
from .dead import dead_value
from .floor import Floor
from .nodata import with_no_data
from .offsets import Offsets, without_offsets
from .sky import cells_of, smoothed, without_gaps
from .threads import Threads

log = logging.getLogger(__name__)

Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]

_SMALLEST = 64  # pixels along a side; a smaller frame shows too little sky
#: Cells along a side of which fewer do not tell a slope from a star, and of which fewer show the bends
#: of the sky; they would follow a galaxy.
_FEWEST_CELLS, _FEWEST_BENDS = 4, 5
#: Slope of the sky in units of the noise a pixel, from which it is taken off, where a quarter of the
#: cells have it. A field of stars alone stays below 0.04. So much of it is left at most.
_STEEP, _STEEP_PART, _LEFT = 0.05, 75.0, 0.8
#: Powers of y and x; rounds of the fit, and sigma from which cells have no say in it.
_QUADRATIC = [0, 0, 1, 0, 1, 2], [0, 1, 0, 2, 1, 0]
_ROUNDS, _CLIP = 4, 3.0
#: Pairs of neighbours at one value, so many sigma above the sky, that tell where pixels saturate.
_PLATEAU, _ABOVE = 4, 20.0
_MOST_VALUES = 3  # that dead pixels have, and those that a program filled


def evened(exposure: Exposure) -> Exposure:
    """Bring the sky to one level, and give pixels that were cut off at a floor the noise below it.

    Pixels that share a value far below the sky count as bad.

    What every second row or column has of its own is taken off, and so is a steep slope. Behind colour
    filters, the light of stars is brought to one scale, too.

    Parameters
    ----------
    exposure : Exposure
        With a background its slope is left as it is. One that was looked at already comes back as it is.

    Returns
    -------
    Exposure
        With ``is_even`` set, and its areas without data in its mask. Its pixels are a copy where they
        had to be changed; the median of the sky, and pixels that are saturated, are not. Frames of less
        than 64 pixels along a side stay as they are, and slopes on those of less than 4 cells.
    """
    exposure = with_no_data(exposure)
    if exposure.is_even:
        return exposure
    exposure = of_one_level(exposure)
    pixels = exposure.pixels
    if min(pixels.shape) >= _SMALLEST:
        sample = some_rows(pixels, exposure.mask)
        floor = Floor.of(sample)
        if floor is not None:
            log.warning(
                "%.0f %% of the pixels are exactly %g and few are lower: the sky was cut off there; "
                "noise is put in its place",
                100 * floor.share,
                floor.value,
            )
            pixels = copy_of(pixels, floor.fill)
        noise = _noise_of(sample)
        if exposure.background is None and _slope_between(sample, pixels.shape) > _STEEP * noise > 0:
            slope = _Slope.of(replace(exposure, pixels=pixels), noise)
            if slope is not None:
                log.info("the sky is steep and is made level")
                pixels = copy_of(pixels, slope.take_off)
    return replace(exposure, pixels=pixels, is_even=True)


def _noise_of(sample: Pixels, apart: int = 1) -> float:
    """Return the noise of rows of pixels, from those that are so many columns apart."""
    return noise_between(sample[:, :, :-apart].ravel(), sample[:, :, apart:].ravel())


def _without_dead(exposure: Exposure) -> Exposure:
    """Count pixels that share a value far below the sky among the bad ones."""
    for _ in range(_MOST_VALUES):
        sample = some_rows(exposure.pixels, exposure.mask)
        # Behind filters the next but one is of the same kind; in crowded fields the next is more alike.
        dead = dead_value(sample, min(_noise_of(sample), _noise_of(sample, 2)))
        if dead is None:
            break
        found = exposure.pixels == np.float32(dead)
        log.warning(
            "%.2g %% of the pixels are exactly %g, far below the sky: they are taken for bad ones",
            100 * np.count_nonzero(found) / found.size,
            dead,
        )
        exposure = replace(exposure, mask=found if exposure.mask is None else exposure.mask | found)
    return exposure


def of_one_level(exposure: Exposure) -> Exposure:
    """Take off what every second row or column has of its own.

    Before that, pixels that share a value far below the sky are counted among the bad ones: afterwards
    those of each kind would have another.

    Parameters
    ----------
    exposure : Exposure
        One that was looked at already comes back as it is.

    Returns
    -------
    Exposure
        With ``is_level`` set. Where the sky has other levels in every second row or column, its pixels
        and a map of its background have one, and behind colour filters one scale, as its noise has. A
        background that is one number is gone then: it is that of none of them.
    """
    if exposure.is_level or min(exposure.shape) < _SMALLEST:
        return exposure
    exposure = replace(_without_dead(exposure), is_level=True)
    pattern = Pattern.of(exposure)
    if pattern is not None:
        exposure = _without_pattern(exposure, pattern)
    offsets = Offsets.of(exposure)
    if offsets is None:
        return exposure
    log.info("rows or columns have levels of their own, as of noise of the readout: they are taken off")
    saturation = exposure.saturation
    if saturation is None:
        sample = some_rows(exposure.pixels, exposure.mask)
        highest = np.ptp(offsets.rows) + np.ptp(offsets.columns) + _ABOVE * _noise_of(sample)
        saturation = _plateau(exposure, float(np.nanmedian(sample)) + highest)
    return without_offsets(exposure, offsets, saturation)


def _without_pattern(exposure: Exposure, pattern: Pattern) -> Exposure:
    """Bring the four kinds of pixel to one level, and behind colour filters to one scale."""
    if pattern.is_of_colours and not exposure.no_filters:
        log.warning(
            "the sky has other levels in every second row and column, as behind the colour filters of a "
            "sensor: these are brought to one level and scale; if there are no filters, say so "
            "with `bayer=False`"
        )
        kinds = Kinds.of(exposure.pixels, exposure.mask)
    else:
        log.info(
            "every second row or column has another level, as of amplifiers in turn: it is taken off"
        )
        kinds = Kinds(tuple(pattern.levels.tolist()))
    saturation = exposure.saturation
    if saturation is None:
        level = np.nanmedian(some_rows(exposure.pixels, exposure.mask))
        saturation = _plateau(exposure, level + np.ptp(pattern.levels) + _ABOVE * pattern.noise)
    return exposure.of_one_level(kinds, saturation)


def as_cut(exposure: Exposure, spec: PreprocessSpec) -> Exposure:
    """Return an exposure as it is cut: even, but for the reference, which takes it as it is."""
    return exposure if spec.preset == "reference" else evened(exposure)


def level_as_cut(exposure: Exposure, spec: PreprocessSpec) -> Exposure:
    """Return an exposure with the levels of `as_cut`, its sky still as steep as it is."""
    return exposure if spec.preset == "reference" else of_one_level(exposure)


def _slope_between(sample: Pixels, shape: tuple[int, int]) -> float:
    """Return the slope from cell to cell that a quarter of the frame has, a pixel; 0 if unknown."""
    side = side_of(shape)
    n_rows, n_columns = len(sample), shape[1] // side
    if min(n_rows, n_columns) < _FEWEST_CELLS:
        return 0.0
    cells = sample[:, :, : n_columns * side].reshape(n_rows, -1, n_columns, side).transpose(0, 2, 1, 3)
    levels = _median(cells.reshape(n_rows * n_columns, -1)).reshape(n_rows, n_columns)
    return _typical(*np.gradient(levels)) / side


def _slope_within(halves: Floats) -> float:
    """Return the slope within cells that a quarter of them has; of steps between two it knows nothing.

    Parameters
    ----------
    halves : ndarray of float64, shape (ny, nx)
        Levels of cells of half the size.

    Returns
    -------
    float
        From a half to the next.
    """
    rows, columns = (n // 2 for n in halves.shape)
    pairs = halves[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    down, right = pairs[:, 1] - pairs[:, 0], pairs[..., 1] - pairs[..., 0]
    return _typical(down.mean(axis=2), right.mean(axis=1))


def _typical(down: Floats, right: Floats) -> float:
    slopes = np.hypot(down, right)
    slopes = slopes[np.isfinite(slopes)]
    return float(np.percentile(slopes, _STEEP_PART, method="lower")) if slopes.size else 0.0


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
    def of(cls, exposure: Exposure, noise: float) -> Self | None:
        """Fit a quadratic, and interpolate between the middles of cells what is left of each.

        None where the sky is not steep within cells, or what was found does not make it level.
        """
        pixels, shape = exposure.pixels, exposure.shape
        half = side_of(shape) // 2
        halves, _, _ = cells_of(pixels, exposure.mask, half, Threads(1))
        # The last of a row may be a pixel wide, and one bad column would be all of them.
        narrow = [n % half for n in shape]
        if 0 < narrow[0] < half / 2:
            halves[-1] = np.nan
        if 0 < narrow[1] < half / 2:
            halves[:, -1] = np.nan
        before = _slope_within(halves)
        if not before > _STEEP * noise * half:
            return None
        powers = [_powers(_middles(n, half), n) for n in shape]
        fitted = _fit(halves, *powers)
        if fitted is None:
            return None
        smooth = powers[0] @ fitted @ powers[1].T
        # At edges and gaps, medians and neighbours would be those of a level sky.
        rest = smoothed(_whole_cells(without_gaps(halves - smooth)))
        if min(rest.shape) < _FEWEST_BENDS:
            rest[:] = 0.0
        fitted[0, 0] -= np.median(smooth)
        level = np.zeros([n + 3 for n in rest.shape])
        level[:3, :3], level[3:, 3:] = fitted, rest - np.median(rest)
        rows, columns = (np.hstack([_powers(np.arange(n), n), _weights(n, 2 * half)]) for n in shape)
        at = [np.minimum(np.rint(_middles(n, half)).astype(int), n - 1) for n in shape]
        if _slope_within(halves - rows[at[0]] @ level @ columns[at[1]].T) > _LEFT * before:
            return None
        saturation = exposure.saturation
        if saturation is None:
            saturation = _plateau(exposure, float(np.nanmax(halves)) + _ABOVE * noise)
        return cls(level, columns, rows, saturation)

    def take_off(self, part: Pixels, rows: slice) -> None:
        """Subtract it from rows of the frame; saturated pixels stay so, and no other becomes one."""
        sky = (self.rows[rows] @ self.level @ self.columns.T).astype(np.float32)
        is_below = part < self.saturation
        np.subtract(part, sky, out=part, where=is_below)
        highest = np.nextafter(np.float32(self.saturation), np.float32(-np.inf))
        np.minimum(part, highest, out=part, where=is_below)


def _fit(levels: Floats, down: Floats, right: Floats) -> Floats | None:
    """Fit a quadratic to most cells; returns its coefficients by powers of y and x, (3, 3)."""
    known = np.isfinite(levels)
    terms = np.einsum("ya,xb->yxab", down, right)[:, :, *_QUADRATIC]
    fitted = np.zeros((3, 3))
    for _ in range(_ROUNDS):
        if np.count_nonzero(known) < len(_QUADRATIC[0]):
            return None
        fitted[_QUADRATIC] = np.linalg.lstsq(terms[known], levels[known])[0]
        off = np.abs(levels - down @ fitted @ right.T)
        known = off <= _CLIP * 1.4826 * np.nanmedian(off)  # NaN compares false
    return fitted


def _whole_cells(halves: Floats) -> Floats:
    """Return the means of squares of 2 x 2; at an odd end, of what is there."""
    even = np.pad(halves, [(0, n % 2) for n in halves.shape], mode="edge")
    rows, columns = (n // 2 for n in even.shape)
    means: Floats = even.reshape(rows, 2, columns, 2).mean(axis=(1, 3))
    return means


def _plateau(exposure: Exposure, above: float) -> float:
    """Return the highest value above one that several pairs of neighbours share; else infinity.

    That is where pixels saturate. A single one may be brighter, as a masked or a damaged one.
    """
    shared: list[Pixels] = []
    for rows in bands(exposure.pixels):
        part = exposure.pixels[rows]
        is_pair = (part[:, 1:] == part[:, :-1]) & (part[:, 1:] > above) & (part[:, 1:] < LARGEST)
        if exposure.mask is not None:
            is_pair &= ~exposure.mask[rows][:, 1:]
        shared.append(part[:, 1:][is_pair])
    values, counts = np.unique(np.concatenate(shared), return_counts=True)
    found = values[counts >= _PLATEAU]
    return float(found[-1]) if found.size else np.inf


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
