"""How far a window is rescaled, and from which native pixels each of its pixels and cells is made."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Scales beyond this, or below its inverse, are taken for it: one pixel is then all of any window.
_EXTREME = 1e9
#: Native pixels that a cell of a wide view is sampled by, at least.
_PER_CELL = 6


def rescaling(fwhm: float | None, target_fwhm: float, threshold: float) -> tuple[float, int, int]:
    """Return the scale and the integer factors of block averaging and replication.

    Parameters
    ----------
    fwhm : float or None
        FWHM of the image in pixels; None or not above 0 means no rescaling.
    target_fwhm : float
        FWHM aimed at, in pixels.
    threshold : float
        Nothing is done while the scale lies within [1 / threshold, threshold].

    Returns
    -------
    scale : float
        ``fwhm / target_fwhm``, or 1.0.
    down, up : int
        Side of the blocks that are averaged and times that a pixel is repeated; one of them is 1.
    """
    if fwhm is None or not fwhm > 0:
        return 1.0, 1, 1
    scale = fwhm / target_fwhm
    if scale > threshold:
        return scale, max(round(min(scale, _EXTREME)), 1), 1
    if scale < 1.0 / threshold:
        return scale, 1, max(round(1.0 / max(scale, 1.0 / _EXTREME)), 1)
    return scale, 1, 1


class Taps(NamedTuple):
    """How one axis of a window is resampled; both axes are resampled alike.

    Attributes
    ----------
    start, span : int
        First native pixel from the centre, and number of native pixels.
    first : ndarray of int64, shape (size,)
        First native pixel of each resampled one, counted from `start`.
    weights : ndarray of float64, shape (size, taps)
        Weights of the native pixels from there on; each row sums to 1.
    middle : ndarray of int64, shape (size,)
        Native pixel in the middle of each resampled one, counted from the centre.
    noise_factor : float
        Noise of the resampled pixels over that of the native ones, where these are independent.
    """

    start: int
    span: int
    first: NDArray[np.int64]
    weights: NDArray[np.float64]
    middle: NDArray[np.int64]
    noise_factor: float


class Samples(NamedTuple):
    """The native pixels that a wide view is made of.

    Attributes
    ----------
    places : ndarray of int32, shape (2, n, cells)
        Row and column of the samples of each cell, from the centre.
    offsets : ndarray of int64, shape (n, cells)
        The same as pixels along the lines of the image.
    shares : ndarray of float32, shape (n, cells)
        Share of each in the mean of its cell; 0 for places that only fill the array.
    reach : int
        Pixels from the centre to the furthest, along an axis.
    """

    places: NDArray[np.int32]
    offsets: NDArray[np.int64]
    shares: NDArray[np.float32]
    reach: int


def context_samples(cell: int, side: int, width: int) -> Samples:
    """Return the native pixels that a wide view is made of.

    It has `side` x `side` square cells around the centre. Small cells are sampled whole; of larger ones
    a square lattice is taken, turned against the axes so that it meets each row and each column equally
    often, about six to twelve pixels a cell.

    Parameters
    ----------
    cell : int
        Side of a cell in native pixels.
    side : int
        Cells along an axis; odd.
    width : int
        Columns of the image.
    """
    slope = math.isqrt(max(cell * cell // _PER_CELL - 1, 0))
    step, extent = slope * slope + 1, side * cell
    rows = np.arange(extent)[:, np.newaxis]
    columns = (-slope * rows) % step + step * np.arange(-(-extent // step))
    inside = columns < extent
    row, column = np.broadcast_to(rows, columns.shape)[inside], columns[inside]
    number = row // cell * side + column // cell
    counts = np.bincount(number, minlength=side * side)
    by_cell = np.argsort(number, kind="stable")
    cells, at = number[by_cell], np.arange(len(number)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.zeros((2, counts.max(), side * side), np.int32)
    shares = np.zeros(places.shape[1:], np.float32)
    places[:, at, cells] = np.stack([row, column])[:, by_cell] - extent // 2
    shares[at, cells] = 1.0 / counts[cells]
    offsets = places[0].astype(np.int64) * width + places[1]
    return Samples(places, offsets, shares, int(np.abs(places).max()))


def resampling(size: int, scale: float) -> Taps:
    """Return the weights that resample a window by `scale`, symmetric about the central pixel.

    Resampled pixel i stands at ``(i - size // 2) * scale`` native pixels from the centre. Its value
    is the mean over an interval of ``max(scale, 1)`` native pixels: the mean over its own area when
    the image shrinks, linear interpolation when it grows.

    Parameters
    ----------
    size : int
        Side of the resampled window; odd.
    scale : float
        Native pixels per resampled pixel.
    """
    width = max(scale, 1.0)
    centre = (np.arange(size) - size // 2) * scale
    low, high = centre - width / 2, centre + width / 2
    first = np.floor(low + 0.5 + 1e-9).astype(np.int64)
    last = np.ceil(high - 0.5 - 1e-9).astype(np.int64)
    taps = int((last - first).max()) + 1
    # No row reads past the end of the window.
    first = np.minimum(first, last[-1] + 1 - taps)
    pixel = first[:, np.newaxis] + np.arange(taps)
    overlap = np.minimum(pixel + 0.5, high[:, np.newaxis]) - np.maximum(pixel - 0.5, low[:, np.newaxis])
    weights = np.where(overlap > 1e-9, overlap, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    start = int(first[0])
    return Taps(
        start,
        int(last[-1]) + 1 - start,
        first - start,
        weights,
        np.rint(centre).astype(np.int64),
        float((weights**2).sum(axis=1).mean()),
    )
