"""Areas without data: one rule for detection, background, FWHM, cutouts and status.

Programs that warp, drizzle or stitch images fill what they have no data for with one exact value: 0, a
sentinel such as -32768, or what BLANK should have told. Noise never repeats itself, so a large area of
one exact value holds no data, unless the sky around it takes that value too: a sky that is clipped at 0
or rounded to few integers, or a plateau of saturated pixels.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..io.exposure import Exposure
from ..io.scratch import release, taken
from ..kernels.constants import LARGEST
from .cells import some_rows
from .floor import Floor

log = logging.getLogger(__name__)

Mask = NDArray[np.bool_]

_BLOCK = 5  # pixels on a side: that many of one value are what an area is made of
_LOOKED_AT = 1 << 20  # pixels, together
_IN_CACHE = 1 << 17  # pixels that are compared at once
_IN_MEMORY = 1 << 21  # pixels that are looked at together: there are several arrays of as many
_FEW = 0.02  # share of pixels that are cheaper to look at one by one than all are together
_POSITIONS = 1 << 16  # looked up together
_STEP = 4  # an area is looked for in every so-manieth row
_LEAST_SHARE = 1e-3  # of the image that an area takes at least,
_LEAST_PIXELS = 400  # and pixels
_BAND = 3  # pixels around an area that show what the sky is like beside it
_COMMON = 0.25  # share of the band at the value of the area, if that is its lowest: a clipped sky
_PLATEAU = 0.05  # share of the image below which an area at the highest level is one of saturated pixels
_ISLAND = 25  # pixels on a side: larger is what a real image has beside an area
_MOST_VALUES = 3  # different fillings of one image
_SAMPLE = 100_000  # pixels whose quantile is that of all
_EXTREME = (0.001, 0.999)  # quantiles: one pixel of 1e10 must not decide what the others are like


def with_no_data(exposure: Exposure) -> Exposure:
    """Find the areas without data of an image, and count them among its bad pixels.

    Parameters
    ----------
    exposure : Exposure
        One that was looked at already comes back as it is.

    Returns
    -------
    Exposure
        With ``no_data`` set, and its pixels in the mask.
    """
    if exposure.no_data is not None:
        return exposure
    areas = no_data_areas(exposure.pixels, exposure.mask)
    if not areas:
        return replace(exposure, no_data=np.zeros((0, 0), np.bool_))
    for value, area in areas.items():
        log.warning(
            "%.3g %% of the pixels are exactly %g and hold no data; they are left out",
            100 * area.mean(),
            value,
        )
    found, *others = areas.values()
    for area in others:
        found |= area
    mask = found if exposure.mask is None else exposure.mask | found
    return replace(exposure, mask=mask, no_data=found)


def lies_in_no_data(
    exposure: Exposure, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell which positions lie where there is no data: in such an area, or where all is NaN around them.

    Parameters
    ----------
    exposure : Exposure
        From `with_no_data`.
    x, y : ndarray of float64, shape (n,)
        0-based positions in pixels.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    empty = np.empty(len(x), np.bool_)
    for first in range(0, len(x), _POSITIONS):
        part = slice(first, first + _POSITIONS)
        empty[part] = _are_empty(exposure, x[part], y[part])
    return empty


def _are_empty(exposure: Exposure, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    height, width = exposure.shape
    with np.errstate(invalid="ignore"):
        inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    left = np.flatnonzero(inside)
    column, row = (np.floor(values[left] + 0.5).astype(np.int64) for values in (x, y))
    areas = exposure.no_data
    # Its own pixel first: after that, few positions or none are left.
    for dy in (0, -1, 1):
        for dx in (0, -1, 1):
            at = np.clip(row + dy, 0, height - 1), np.clip(column + dx, 0, width - 1)
            here = np.isnan(taken(exposure.pixels, *at))
            if areas is not None and areas.size:
                here |= areas[at]
            left, column, row = left[here], column[here], row[here]
    empty = np.zeros(len(x), np.bool_)
    empty[left] = True
    return empty


def no_data_areas(pixels: NDArray[np.float32], mask: Mask | None = None) -> dict[float, Mask]:
    """Find large areas of one exact value that is none of the sky's.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of bool, shape (ny, nx), optional
        True for bad pixels, which have no say.

    Returns
    -------
    dict of float to ndarray of bool, shape (ny, nx)
        The pixels of each filling; empty in nearly all images.
    """
    found: dict[float, Mask] = {}
    for value in _candidates(pixels, mask):
        area = _area_of(pixels, np.float32(value))
        if np.count_nonzero(area) < max(_LEAST_PIXELS, _LEAST_SHARE * pixels.size):
            continue
        around = _Around(pixels, mask, area)
        if not _is_of_the_sky(around, np.float32(value)) and not _is_floor(pixels, mask, value):
            found[value] = area
    return found


def _parts(pixels: NDArray[np.float32], margin: int = 0) -> Iterator[tuple[slice, slice, slice]]:
    """Yield rows of an image, those with a margin on both sides, and where the former are in these."""
    height, step = len(pixels), max(_IN_MEMORY // pixels.shape[1], 1)
    for first in range(0, height, step):
        last = min(first + step, height)
        start = max(first - margin, 0)
        yield (
            slice(first, last),
            slice(start, min(last + margin, height)),
            slice(first - start, last - start),
        )
        release(pixels[start : last + margin])


def _area_of(pixels: NDArray[np.float32], value: np.float32) -> Mask:
    """Return the pixels of all blocks of a value, and beside these of smaller blocks."""
    area = np.empty(pixels.shape, np.bool_)
    for rows, wide, within in _parts(pixels, 2 * _BLOCK - 1):
        same = pixels[wide] == value
        # Smaller blocks reach into the steps of an edge that runs aslant.
        area[rows] = (_blocks_of(same, 3) & _grown(_blocks_of(same), _BLOCK))[within]
    return area


def _candidates(pixels: NDArray[np.float32], mask: Mask | None) -> list[float]:
    """Return values that runs of pixels have, the most frequent first; a quick look at some rows."""
    if pixels.size == 0:
        return []
    least = max(_LEAST_PIXELS, _LEAST_SHARE * pixels.size) / _STEP / _BLOCK
    parts = []
    step = max(_LOOKED_AT // pixels.shape[1], 1) * _STEP
    for first in range(0, len(pixels), step):
        band = slice(first, first + step, _STEP)
        parts.append(_repeated(pixels[band], None if mask is None else mask[band]))
        release(pixels[first : first + step])
    values, part = np.unique(np.concatenate([values for values, _ in parts]), return_inverse=True)
    counts = np.bincount(part, np.concatenate([counts for _, counts in parts]), len(values))
    order = np.argsort(-counts, kind="stable")[:_MOST_VALUES]
    return [float(values[k]) for k in order if counts[k] >= least]


def _repeated(
    rows: NDArray[np.float32], mask: Mask | None
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return values of pixels that as many to the right as a block has have too, and how often."""
    step = max(_IN_CACHE // rows.shape[1], 1)
    parts = [slice(first, first + step) for first in range(0, len(rows), step)]
    found = [_values_of_runs(rows[part], None if mask is None else mask[part]) for part in parts]
    values = np.concatenate(found)
    return np.unique(values[np.abs(values) < LARGEST], return_counts=True)


def _values_of_runs(rows: NDArray[np.float32], mask: Mask | None) -> NDArray[np.float32]:
    """Return the values of pixels that as many to the right as a block has have too."""
    reach = _BLOCK - 1
    n = max(rows.shape[1] - reach, 0)
    same = rows[:, :n] == rows[:, reach:]
    if np.count_nonzero(same) == 0:
        return np.zeros(0, np.float32)
    # The next pixel leaves few, of rounded skies too.
    same &= rows[:, 1 : n + 1] == rows[:, :n]
    if np.count_nonzero(same) <= _FEW * same.size:
        # On two axes NumPy takes ten times as long to find them.
        y, x = np.divmod(np.flatnonzero(same), max(n, 1))
        values: NDArray[np.float32] = rows[y, x]
        for k in range(2, reach):
            alike = rows[y, x + k] == values
            y, x, values = y[alike], x[alike], values[alike]
        return values if mask is None else values[~mask[y, x]]
    for k in range(2, reach):
        same &= rows[:, k : n + k] == rows[:, :n]
    if mask is not None:
        same &= ~mask[:, :n]
    values = rows[:, :n][same]
    return values


def _blocks_of(same: Mask, side: int = _BLOCK) -> Mask:
    """Return the pixels of all blocks in which every pixel is True."""
    height, width = same.shape
    whole = same
    for _ in ("rows", "columns"):
        n = max(len(whole) - side + 1, 0)
        every = whole[:n].copy("K")
        for k in range(1, side):  # one after the other: together they take `side` times the memory
            every &= whole[k : k + n]
        whole = every.T
    out = np.zeros((height, width), np.bool_)
    rows, columns = whole.shape
    for dy in range(side):
        out[dy : dy + rows, :columns] |= whole
    found = out.copy()
    for dx in range(1, min(side, width)):
        found[:, dx:] |= out[:, : width - dx]
    return found


def _grown(area: Mask, by: int) -> Mask:
    out = area.copy()
    for _ in range(by):
        wider = out.copy()
        wider[1:] |= out[:-1]
        wider[:-1] |= out[1:]
        wider[:, 1:] |= out[:, :-1]
        wider[:, :-1] |= out[:, 1:]
        out = wider
    return out


@dataclass(frozen=True, eq=False)
class _Around:
    """What lies around an area: some rows at a time, as an image may be larger than the memory.

    Attributes
    ----------
    pixels : ndarray of float32, shape (ny, nx)
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels, which have no say.
    area : ndarray of bool, shape (ny, nx)
    """

    pixels: NDArray[np.float32]
    mask: Mask | None
    area: Mask

    def rest(self, rows: slice) -> Mask:
        """Return which pixels of some rows have a value and are none of the area's."""
        rest = np.abs(self.pixels[rows]) < LARGEST
        rest &= ~self.area[rows]
        if self.mask is not None:
            rest &= ~self.mask[rows]
        return rest

    def values(self) -> Iterator[NDArray[np.float32]]:
        """Yield the values of these, in the order of the rows."""
        for rows, _, _ in _parts(self.pixels):
            yield self.pixels[rows][self.rest(rows)]

    def beside(self) -> NDArray[np.float32]:
        """Return the values of those that are next to the area."""
        parts = [np.zeros(0, np.float32)]
        for rows, wide, within in _parts(self.pixels, _BAND):
            near = _grown(self.area[wide], _BAND)[within]
            parts.append(self.pixels[rows][self.rest(rows) & near])
        return np.concatenate(parts)

    def sample(self, n: int) -> NDArray[np.float32]:
        """Return about `_SAMPLE` of `n` values, evenly many from everywhere."""
        step, seen, parts = max(n // _SAMPLE, 1), 0, []
        for part in self.values():
            parts.append(part[-seen % step :: step].copy())
            seen += part.size
        return np.concatenate(parts)

    def deviation(self, n: int) -> float:
        """Return the standard deviation of `n` values, of which a few extreme ones have no say."""
        values = self.sample(n).astype(np.float64)
        return float(np.std(np.clip(values, *np.quantile(values, _EXTREME))))

    def neighbours(self, value: np.float32) -> tuple[int, int]:
        """Count the pixels of a value away from the area, and those whose neighbour has it too."""
        n, pairs = 0, 0
        for rows, _, _ in _parts(self.pixels):
            same, rest = self.pixels[rows] == value, self.rest(rows)
            left = rest[:, :-1] & same[:, :-1] & rest[:, 1:]
            n += int(np.count_nonzero(left))
            pairs += int(np.count_nonzero(left & same[:, 1:]))
        return n, pairs

    def is_in_one_piece(self) -> bool:
        """Whether more than a tenth of what is around the area is large pieces, as of a real image."""
        large, outside = 0, 0
        for rows, wide, within in _parts(self.pixels, _ISLAND - 1):
            large += int(np.count_nonzero(_blocks_of(~self.area[wide], _ISLAND)[within]))
            outside += int(np.count_nonzero(~self.area[rows]))
        return large >= 0.1 * outside


def _is_floor(pixels: NDArray[np.float32], mask: Mask | None, value: float) -> bool:
    """Whether the sky is cut off at a value: where it is smooth, large areas have that value."""
    floor = Floor.of(some_rows(pixels, mask))
    return floor is not None and floor.value == value


def _is_of_the_sky(around: _Around, value: np.float32) -> bool:
    """Whether the value of an area is one that the sky beside it takes, or that saturation makes."""
    ends = [(part.size, part.min(), part.max()) for part in around.values() if part.size]
    if not ends:
        return True  # a constant image: there is nothing that it stands apart from
    n, lowest, highest = (
        sum(size for size, _, _ in ends),
        min(low for _, low, _ in ends),
        max(high for _, _, high in ends),
    )
    beside = around.beside()
    if beside.size == 0:
        beside = around.sample(n)  # a rim of bad pixels lies between; of all there may be too many
    away = beside[beside != value]
    if away.size == 0:
        return True
    share = 1.0 - away.size / beside.size
    # Noise that is cut off takes the value at which it is cut again and again, and none beyond it.
    if share > _COMMON and (value <= away.min() or value >= away.max()):
        return True
    if value >= highest:
        low = float(np.quantile(around.sample(n), 0.01))
        if around.area.mean() < _PLATEAU or np.median(away) - low > 0.1 * (value - low):
            return True  # saturated: the light rises towards it
    if lowest == highest:
        return True  # a mask
    if not around.is_in_one_piece():
        return True  # a model: its sky is one exact value, and its stars are islands in it
    apart = float(np.median(np.abs(away - value)))
    if apart < 1e-4 * around.deviation(n):
        return True  # a model whose light fades into it
    if apart <= 1.5 * float(np.diff(np.unique(np.append(away, value))).min()):
        return True  # a slope of whole numbers, in terraces
    # A sky of few integers: then such blocks come by chance, also where there is data.
    alike, again = around.neighbours(value)
    return bool(alike > 0.1 * n and again > 0.5 * alike)
