"""Detections of a group on one field: which are one source, which move, which stand on the detector.

One band of the plane is in memory at a time. Of each row its number is kept meanwhile, of each source
what is known of it, and whole only rows of no star that look real: they may be of something that moves.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bands import Band, RowFile
from .clusters import Cells, gather
from .combine import by_their_share, is_hit
from .coverage import counted
from .lines import complete, near_lines
from .sources import KINDS, SOURCE, Block, sources
from .stored import ITEM, Stored
from .tracks import Track, find_tracks

F64 = NDArray[np.float64]
Ints = NDArray[np.intp]
Numbers = NDArray[np.int32]

#: What this share of the frames that cover it have, and so many, is no piece of a track...
_SHARE, _TIMES = 0.5, 3
#: ...unless it drifts by more than so many times the error, and so many pixels in all.
_SIGMAS, _DRIFT = 6.0, 1.0
#: No track begins closer to a star than this, in FWHM or else in pixels: wings and blends scatter.
_NEAR, _NEAR_PIXELS = 1.5, 1.8
#: Detections below this share of the threshold are no pieces of tracks.
_SCORE = 0.5


@dataclass(frozen=True, eq=False)
class Merged:
    """The sources of a block.

    Attributes
    ----------
    found : structured ndarray of `rbinfer.night.sources.SOURCE`, shape (m,)
        Stars where they are densest first, then what moves, then what stands on the detector.
    label : ndarray of int32, shape (n,)
        Which of them each row belongs to.
    """

    found: NDArray[Any]
    label: Numbers


class _Clusters(NamedTuple):
    """Clusters of the rows of a band and of those near it.

    Attributes
    ----------
    label : ndarray of int, shape (n,)
        Of each row; -1 for what is left to the detector.
    first : ndarray of int, shape (m,)
        A row of each, which tells to which band it belongs.
    keys : ndarray of int, shape (m, 3)
        Of the order of clusters of all bands.
    still : ndarray of bool, shape (m,)
        Which are stars.
    """

    label: Ints
    first: Ints
    keys: Ints
    still: NDArray[np.bool_]


def merge(block: Block, stored: Stored) -> Merged:
    """Find the sources of a block.

    Parameters
    ----------
    block : Block
    stored : Stored
        All its rows, with positions on the plane of its field.

    Returns
    -------
    Merged
    """
    label = np.full(block.n_rows, -1, np.int32)
    with RowFile(stored.folder, ITEM) as loose:
        keys, bounds, pool = _gathered(block, stored, label, loose)
        moving, tracks = _tracks(block, pool, loose)
    n_sky, n_moving = len(keys), len(tracks)
    for k, track in enumerate(tracks, n_sky):
        label[moving["index"][track.members]] = k
    for band in stored.detector:
        left = band.rows[label[band.rows["index"]] < 0]
        label[left["index"]] = n_sky + n_moving + left["standing"]
    before = _numbered(label, keys)
    found = np.zeros(len(before), SOURCE)

    def sum_up(rows: NDArray[Any], start: float, stop: float, kind: str, tracks: Any = ()) -> None:
        number = label[rows["index"]]
        own = (before[number] >= start) & (before[number] < stop)
        which, index = np.unique(number[own], return_inverse=True)
        found[which] = sources(block, rows[own], index, kind, tracks)[0]

    for start, stop, band in zip(bounds, bounds[1:], stored.sky, strict=False):
        sum_up(band.rows, start, stop, "sky")
    sum_up(moving, n_sky, n_sky + n_moving, "moving", tracks)
    for band in stored.detector:
        sum_up(band.rows, n_sky + n_moving, np.inf, "detector")
    hits = is_hit(found["snr"], found["n_seen"], found["n_cover"])
    hits &= found["kind"] == KINDS.index("sky")
    found["probability"][hits] = by_their_share(found["probability"][hits])
    return Merged(found, label)


def _gathered(
    block: Block, stored: Stored, label: Numbers, loose: RowFile
) -> tuple[Ints, list[int], NDArray[Any]]:
    """Gather what is of the sky; sets the labels, and keeps what is of no star in `loose`.

    Returns
    -------
    keys : ndarray of int, shape (m, 3)
        Of each cluster.
    bounds : list of int
        Numbers at which the clusters of each band begin, and end.
    pool : structured ndarray of `ITEM`
        What may be of something that moves.
    """
    keys, bounds, pool = [np.zeros((0, 3), np.intp)], [0], [np.zeros(0, ITEM)]
    for band in stored.sky:
        clusters = _clusters(block, band)
        own, number, is_star, keys_of = _claimed(band, clusters, label)
        label[band.rows["index"][own]] = bounds[-1] + number
        rows = band.rows[own[~is_star]]
        loose.add(rows)
        pool.append(rows[_may_move(block, band, clusters, rows)])
        keys.append(keys_of)
        bounds.append(bounds[-1] + len(keys_of))
    return np.concatenate(keys), bounds, np.concatenate(pool)


def _clusters(block: Block, band: Band) -> _Clusters:
    """Gather the rows of a band."""
    rows = band.rows
    free = np.flatnonzero(rows["standing"] < 0)
    found = gather(rows["u"][free], rows["v"][free], block.radius, rows["frame"][free])
    label = np.full(len(rows), -1, np.intp)
    label[free] = found.label
    first = free[found.first]
    _give_back(rows, label, block.radius)
    keys = np.column_stack([found.turn, -found.size, rows["index"][first]])
    return _Clusters(label, first, keys, _stays(block, rows, label))


def _claimed(
    band: Band, clusters: _Clusters, label: Numbers
) -> tuple[Ints, Ints, NDArray[np.bool_], Ints]:
    """Tell which clusters are of a band, and not of one near it.

    Bands nearly always agree on a cluster that lies across their edge. Where they do not, the one before
    has the row, and a row that each leaves to the other is alone.

    Returns
    -------
    own : ndarray of int, shape (k,)
        The rows of its clusters.
    number : ndarray of int, shape (k,)
        Of the cluster of each.
    is_star : ndarray of bool, shape (k,)
    keys : ndarray of int, shape (m, 3)
        Of each cluster.
    """
    index = band.rows["index"]
    owner = np.append(band.where[clusters.first], 2)[clusters.label]
    is_new = label[index] < 0
    lost = is_new & (owner < 0) & (band.where <= 0) & (band.rows["standing"] < 0)
    own = np.flatnonzero((is_new & (owner == 0)) | lost)
    alone = np.flatnonzero(lost)
    number = clusters.label.copy()
    number[alone] = len(clusters.first) + np.arange(len(alone))
    of_alone = np.column_stack([np.zeros_like(alone), np.full_like(alone, -1), index[alone]])
    keys = np.vstack([clusters.keys, of_alone])
    which, compact = np.unique(number[own], return_inverse=True)
    still = np.append(clusters.still, np.zeros(len(alone), np.bool_))
    return own, compact, still[number[own]], keys[which]


def _numbered(label: Numbers, keys: Ints) -> Ints:
    """Number the sources in an order that does not depend on bands; changes the labels.

    Returns
    -------
    ndarray of int, shape (m,)
        The label that each source had.
    """
    total = max(int(label.max(initial=-1)) + 1, len(keys))
    has_rows = np.zeros(total, np.bool_)
    has_rows[label] = True
    order = np.concatenate([np.lexsort(keys.T[::-1]), np.arange(len(keys), total)])
    before: Ints = order[has_rows[order]]
    new = np.full(total, -1, np.int32)
    new[before] = np.arange(len(before))
    np.take(new, label, out=label)
    return before


def _centres(rows: NDArray[Any], label: Ints) -> tuple[F64, F64, Ints]:
    """Return the mean position of each cluster, and how many rows it has."""
    has = label >= 0
    times = np.bincount(label[has])
    with np.errstate(invalid="ignore"):
        u, v = (np.bincount(label[has], rows[k][has]) / times for k in ("u", "v"))
    return u, v, times


def _give_back(rows: NDArray[Any], label: Ints, radius: float) -> None:
    """Give a star the detections that look real where it crosses a hot pixel; changes the labels."""
    u, v, times = _centres(rows, label)
    often = np.flatnonzero(times > 1)
    crossing = np.flatnonzero((rows["standing"] >= 0) & rows["real"])
    index, _ = Cells(u[often], v[often], radius).nearest(rows["u"][crossing], rows["v"][crossing])
    have = set(zip(label.tolist(), rows["frame"].tolist(), strict=True))
    for row, which in zip(crossing[index >= 0], often[index[index >= 0]], strict=True):
        one = (int(which), int(rows["frame"][row]))
        if one not in have:
            label[row] = which
            have.add(one)


def _stays(block: Block, rows: NDArray[Any], label: Ints) -> NDArray[np.bool_]:
    """Tell of each cluster whether it is a star: often seen where it was, without a drift."""
    u, v, times = _centres(rows, label)
    n = len(times)
    covered, _ = counted(block.covers, u, v, u, v, 0.0)
    stays = (times >= _TIMES) & (times >= _SHARE * covered)
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(n + 1))
    for k in np.flatnonzero(stays):
        stays[k] = not _drifts(rows[order[bounds[k] : bounds[k + 1]]], block.hours)
    return stays


def _drifts(own: NDArray[Any], hours: F64) -> bool:
    """Whether positions are further along at each time, by more than their scatter explains."""
    times = hours[own["frame"]]
    if not np.all(np.isfinite(times)) or len(own) < 4 or not np.ptp(times):
        return False
    times = times - times.mean()
    power = float(times @ times)
    for name in ("u", "v"):
        values = own[name] - own[name].mean()
        slope = float(times @ values) / power
        error = np.sqrt(np.sum((values - slope * times) ** 2) / (len(own) - 2) / power)
        if abs(slope) > _SIGMAS * error and abs(slope) * np.ptp(times) > _DRIFT:
            return True
    return False


def _may_move(block: Block, band: Band, clusters: _Clusters, rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which rows of no star may be of something that moves."""
    reach = _NEAR * block.fwhm if np.isfinite(block.fwhm) else _NEAR_PIXELS
    u, v, _ = _centres(band.rows, clusters.label)
    stars = Cells(u[clusters.still], v[clusters.still], reach)
    away = stars.nearest(rows["u"], rows["v"])[1]
    return np.asarray((away > reach) & (rows["score"] > _SCORE * block.threshold), np.bool_)


def _tracks(block: Block, pool: NDArray[Any], loose: RowFile) -> tuple[NDArray[Any], list[Track]]:
    """Find what moves: its rows, in the order of the block, and its tracks among them."""
    pool = pool[np.argsort(pool["index"], kind="stable")]
    found = find_tracks(pool, np.arange(len(pool)), block.hours, block.covers, block.radius)
    rows, found = near_lines(found, pool, loose, block.hours, block.radius)
    return complete(found, rows, block.covers, block.hours, block.radius)
