"""Does this catalogue belong to this image? A test by the light at its positions.

A catalogue of an image has light at its positions, more than places beside them have. Where it has none,
and has it after one of the mix-ups that happen (columns swapped, rows counted from the top, another
binning, a part of the image, the first pixel called 1), that is the explanation. The test speaks only
when it is sure: with few rows, faint forced positions or too few stars in the image it is silent.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..io.arrays import noise_of_steps, spread_over, values_at
from ..io.exposure import Exposure
from ..io.placement import Placement
from ..kernels.constants import LARGEST

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FAR = 1e6  # pixels; no image is larger
_MOST_ROWS = 300  # that are looked at
_LEAST_ROWS = 8  # below, nothing is said
_LEAST_STARS = 20  # bright maxima of an image without which no catalogue is said to be of another field
_MOST_MAXIMA = 200
_MOST_VOTERS = 5_000  # rows whose shifts are looked at
_LEAST_INSIDE = 0.3  # share of the rows that must lie on the image
_BLOCK = 16  # pixels; one maximum a block
_REACHES = (1, 2, 4)  # pixels; half a side of the windows in which peaks are centred
_SHIFTS = 5  # that are tried, those with most votes
_BELONGS = 4.0  # sigma by which light at the positions exceeds that beside them
_NO_LIGHT = 1.5  # and sigma below which there is none,
_POWER = 6.0  # where sources of S/N 1 would exceed it by so many
_SURE = 5.0  # sigma of an explanation, and by how many it exceeds what is without it;
_LIKELY = 0.6  # the probability that a position has more light than one beside it
_BRIGHT = 8.0  # sigma of a local maximum
_ONE = 0.25  # pixels by which offsets of a first pixel called 1 may differ from 1
_SCATTER = 0.7  # pixels that such offsets scatter by at most
_SCALES = (2.0, 0.5, 3.0, 1 / 3, 4.0, 0.25)
_BIN = 2  # pixels; of offsets that are voted for


@dataclass(frozen=True)
class Doubt:
    """Why a catalogue may not belong to an image.

    Attributes
    ----------
    reason : str
        Such as "y counts from the top".
    placement : Placement or None
        What mends it; None where nothing does, or `origin` does.
    origin : int or None
        What the catalogue calls the first pixel, where that explains it.
    """

    reason: str
    placement: Placement | None = None
    origin: int | None = None

    @property
    def remedy(self) -> str:
        """The arguments that mend it, as Python has them; empty where none do."""
        if self.origin is not None:
            return f"origin={self.origin}"
        return "" if self.placement is None else self.placement.arguments()

    @property
    def in_words(self) -> str:
        """The reason, and what can be done where positions cannot be mended by arguments."""
        return f"{self.reason}; mend its positions, or trust them by `trust_positions=True`"


def doubt_about(exposure: Exposure, x: Floats, y: Floats, is_origin_known: bool = False) -> Doubt | None:
    """Hold positions against an image.

    Parameters
    ----------
    exposure : Exposure
    x, y : ndarray of float64, shape (n,)
        0-based positions in pixels.
    is_origin_known : bool
        Whether the first pixel cannot be what was mixed up, as for positions on the sky.

    Returns
    -------
    Doubt or None
        None where they belong together, or it cannot be told.
    """
    with np.errstate(invalid="ignore"):
        known = (np.abs(x) < _FAR) & (np.abs(y) < _FAR)
    x, y = x[known], y[known]
    if len(x) < _LEAST_ROWS:
        return None
    here = _excess(exposure, x, y)
    if here.sigma >= _BELONGS:
        return None if is_origin_known else _first_pixel(exposure, x, y)
    maxima = _bright_maxima(exposure)

    def has_light(placement: Placement) -> bool:
        there = _excess(exposure, *placement.applied(x, y, exposure.shape))
        is_likely = there.likely >= max(_LIKELY, here.likely + 0.1)
        return is_likely and there.sigma >= max(_SURE, here.sigma + _SURE)

    for reason, placement in _explanations(exposure.shape, x, y, maxima):
        if has_light(placement):
            # On both sides it is that of rings: defocused stars, with positions in their holes.
            is_ring = placement.is_shift and has_light(placement.opposite())
            return None if is_ring else Doubt(reason, placement)
    if here.sigma < _NO_LIGHT and here.power > _POWER and len(maxima[0]) >= _LEAST_STARS:
        return Doubt("there is no light at its positions; it may be of another field")
    return None


class _Excess(NamedTuple):
    """How much more light there is at positions than beside them.

    Attributes
    ----------
    sigma : float
        Significance, by the rank-sum test (Mann and Whitney 1947, Ann. Math. Statist. 18, 50).
    likely : float
        Probability that a position has more light than a place beside one.
    power : float
        Significance that sources of S/N 1 would have.
    """

    sigma: float
    likely: float
    power: float


def _excess(exposure: Exposure, x: Floats, y: Floats) -> _Excess:
    """Compare the light at positions with that beside them, in the way that shows more.

    The brightest of 5 x 5 pixels forgives errors of a position; in crowded fields, and for sources that
    are too faint to be seen, the mean of 3 x 3 pixels shows more.
    """
    height, width = exposure.shape
    inside = np.flatnonzero((x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5))
    if len(inside) < max(_LEAST_ROWS, _LEAST_INSIDE * len(x)):
        return _Excess(0.0, 0.5, 0.0)
    # Spread over the rows: catalogues are sorted by anything.
    rows = inside[np.linspace(0, len(inside) - 1, min(len(inside), _MOST_ROWS)).astype(np.int64)]
    x, y = x[rows], y[rows]
    step = float(np.clip(0.04 * min(height, width), 17, 60))
    turns = [(step, 0.4 * step), (-0.4 * step, step), (-step, -0.4 * step), (0.4 * step, -step)]
    beside = np.concatenate([x + dx for dx, _ in turns]), np.concatenate([y + dy for _, dy in turns])
    at, control = _standing_out(exposure, x, y), _standing_out(exposure, *beside)
    # In the mean of nine pixels a source of S/N 1 has a third of the noise of one.
    faint = _noise(exposure) / 3.0
    seen, mean = (_rank_sum(a, c, faint) for a, c in zip(at, control, strict=True))
    return max(seen, mean)._replace(power=mean.power)


def _rank_sum(at: Floats, beside: Floats, faint: float) -> _Excess:
    """Compare two samples by their ranks; `faint` is the difference that the power is told for."""
    at, beside = at[np.isfinite(at)], np.sort(beside[np.isfinite(beside)])
    n, m = len(at), len(beside)
    if m < n or n < _LEAST_ROWS:
        return _Excess(0.0, 0.5, 0.0)
    below = 0.5 * (np.searchsorted(beside, at, "left") + np.searchsorted(beside, at, "right"))
    likely = float(below.mean()) / m
    scale = math.sqrt(12.0 * n * m / (n + m + 1))
    low, high = np.quantile(beside, [0.16, 0.84])
    scatter = max(0.5 * (high - low), 1e-30)
    return _Excess((likely - 0.5) * scale, likely, 0.5 * math.erf(faint / scatter / 2.0) * scale)


def _standing_out(exposure: Exposure, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return how far positions stand above the sky around; NaN off the image.

    The brightest of 5 x 5 pixels, and the mean of 3 x 3.
    """
    cx, cy = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    near = _around(exposure, cx, cy, 2)
    level = _level(exposure, cx, cy)
    inner = near.reshape(-1, 5, 5)[:, 1:4, 1:4].mean(axis=(1, 2))
    return np.fmax.reduce(near, axis=1) - level, inner - level


def _around(exposure: Exposure, x: Ints, y: Ints, reach: int) -> Floats:
    """Return the pixels of squares, shape (n, (2 * reach + 1)**2)."""
    dy, dx = (d.ravel() for d in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    near = values_at(exposure.pixels, exposure.mask, y[:, None] + dy, x[:, None] + dx)
    return near.astype(np.float64)


def _level(exposure: Exposure, x: Ints, y: Ints) -> Floats:
    """Return the sky around pixels: a low quantile of a ring."""
    angle = np.arange(24) * (2 * np.pi / 24)
    dy, dx = (np.rint(9 * wave(angle)).astype(np.int64) for wave in (np.sin, np.cos))
    ring = values_at(exposure.pixels, exposure.mask, y[:, None] + dy, x[:, None] + dx)
    ring.sort(axis=1)  # NaN last
    return ring[:, 9].astype(np.float64)


def _noise(exposure: Exposure) -> float:
    return noise_of_steps(exposure.pixels, exposure.mask, *spread_over(exposure.shape, 5_000))


def _first_pixel(exposure: Exposure, x: Floats, y: Floats) -> Doubt | None:
    """Tell whether the first pixel is called 1: then peaks lie one pixel below and left of positions."""
    rows = np.linspace(0, len(x) - 1, min(len(x), _MOST_ROWS)).astype(np.int64)
    for reach in _REACHES:
        offsets = _offsets_of_peaks(exposure, x[rows], y[rows], reach)
        n = offsets.shape[1]
        if n < _LEAST_ROWS:
            continue
        found = np.median(offsets, axis=1)
        spread = float(np.median(np.abs(offsets - found[:, None]), axis=1).max())
        if spread > _SCATTER or spread / math.sqrt(n) > 0.3 * _ONE:
            continue
        if (np.abs(found + 1.0) < _ONE).all():
            return Doubt("the first pixel is called 1", origin=1)
        if (np.abs(found - 1.0) < _ONE).all():
            return Doubt("the first pixel is called 0, not 1", origin=0)
    return None


def _offsets_of_peaks(exposure: Exposure, x: Floats, y: Floats, reach: int) -> Floats:
    """Return the offsets of bright, broad peaks from positions, shape (2, n): columns and rows."""
    cx, cy = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    near = _around(exposure, cx, cy, 2)
    best = np.where(np.isnan(near), -np.inf, near).argmax(axis=1)
    px, py = cx + best % 5 - 2, cy + best // 5 - 2
    window = _around(exposure, px, py, reach) - _level(exposure, px, py)[:, None]
    height = window[:, (2 * reach + 1) ** 2 // 2]
    dy, dx = (d.ravel() for d in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    with np.errstate(invalid="ignore", divide="ignore"):
        upper = np.fmax(window - 0.3 * height[:, None], 0.0)
        total = np.nansum(upper, axis=1)
        offset_x = px + np.nansum(upper * dx, axis=1) / total - x
        offset_y = py + np.nansum(upper * dy, axis=1) / total - y
        bright = height > _BRIGHT * max(_noise(exposure), 1e-30)
        # The place of a single-pixel hit is known to a pixel only.
        broad = total > 1.5 * 0.7 * height
    use = bright & broad & np.isfinite(offset_x) & np.isfinite(offset_y)
    return np.stack([offset_x[use], offset_y[use]])


def _bright_maxima(exposure: Exposure) -> tuple[Ints, Ints]:
    """Return columns and rows of the brightest local maxima, one a block of pixels at most."""
    pixels, mask = exposure.pixels, exposure.mask
    height, width = (n // _BLOCK * _BLOCK for n in exposure.shape)
    if height == 0 or width == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    good = np.abs(pixels[:height, :width]) < LARGEST
    if mask is not None:
        good &= ~mask[:height, :width]
    blocks = np.where(good, pixels[:height, :width], np.float32(-np.inf))
    blocks = blocks.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).swapaxes(1, 2)
    best = blocks.reshape(*blocks.shape[:2], _BLOCK**2).argmax(axis=2)
    row, column = np.indices(best.shape)
    y, x = (row * _BLOCK + best // _BLOCK).ravel(), (column * _BLOCK + best % _BLOCK).ravel()
    box = _around(exposure, x, y, 1)
    stands = box[:, 4] - _level(exposure, x, y)
    with np.errstate(invalid="ignore"):
        use = np.flatnonzero((stands > _BRIGHT * _noise(exposure)) & (box[:, 4:5] >= box).all(axis=1))
    use = use[np.argsort(-stands[use], kind="stable")[:_MOST_MAXIMA]]
    return x[use], y[use]


def _explanations(
    shape: tuple[int, int], x: Floats, y: Floats, maxima: tuple[Ints, Ints]
) -> Iterator[tuple[str, Placement]]:
    """Yield what may have been mixed up, the likeliest first."""
    yield "x and y are swapped", Placement(swap_xy=True)
    yield "y counts from the top", Placement(flip_y=True)
    yield "x counts from the right", Placement(flip_x=True)
    yield "it is turned by 180 degrees", Placement(flip_x=True, flip_y=True)
    yield "it is turned by 90 degrees", Placement(swap_xy=True, flip_x=True)
    yield "it is turned by 270 degrees", Placement(swap_xy=True, flip_y=True)
    yield "it is swapped and turned by 180 degrees", Placement(swap_xy=True, flip_x=True, flip_y=True)
    for dx, dy in _voted_shifts(shape, x, y, maxima):
        yield f"it is shifted by {-dx:.1f}, {-dy:.1f} pixels", Placement(shift_x=dx, shift_y=dy)
    for scale in _SCALES:
        what = f"binned {scale:g} x {scale:g}" if scale > 1 else "not binned, and the image is"
        yield f"it is of the image {what}", Placement(scale=scale)


def _voted_shifts(
    shape: tuple[int, int], x: Floats, y: Floats, maxima: tuple[Ints, Ints]
) -> Iterator[tuple[float, float]]:
    """Yield the shifts that take most positions to bright maxima."""
    rows = np.linspace(0, len(x) - 1, min(len(x), _MOST_VOTERS)).astype(np.int64)
    dx = (maxima[0][:, None] - x[rows]).ravel()
    dy = (maxima[1][:, None] - y[rows]).ravel()
    near = (np.abs(dx) < shape[1]) & (np.abs(dy) < shape[0])
    dx, dy = dx[near], dy[near]
    if not len(dx) or min(shape) < 2 * _BIN:
        return
    bins = [int(2 * n / _BIN) for n in (shape[1], shape[0])]
    votes, edges_x, edges_y = np.histogram2d(
        dx, dy, bins, [[-shape[1], shape[1]], [-shape[0], shape[0]]]
    )
    # A peak on the border of bins counts whole.
    four = votes[:-1, :-1] + votes[1:, :-1] + votes[:-1, 1:] + votes[1:, 1:]
    for _ in range(_SHIFTS):
        i, j = np.unravel_index(int(four.argmax()), four.shape)
        at = np.hypot(dx - edges_x[i + 1], dy - edges_y[j + 1]) < 1.5 * _BIN
        if at.any():
            yield float(np.median(dx[at])), float(np.median(dy[at]))
        four[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2] = 0.0
