"""In which order detections are shown: what teaches most, with a random part always in."""

import itertools
import os
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .frames import plane_of
from .pool import Pool

#: Why a detection is shown, in turns: nearest to the threshold, the model and the repeats of the night
#: disagree, a class that is rare, and drawn at random from all.
PARTS = ("threshold", "repeats", "class", "random")
#: Detections that are put in order at most; nobody labels more.
MOST = 20_000


class Order(NamedTuple):
    """Detections in the order in which they are shown.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        Rows of the pool, each once; at most `MOST`.
    part : ndarray of int8, shape (m,)
        Index of `PARTS`. Those that are ``random`` are a random draw from all detections, in random
        order, whatever the other parts hold: what is counted among the first of them is an honest rate.
        Whether a detection is of them doesn't depend on which others there are.
    """

    rows: NDArray[np.int64]
    part: NDArray[np.int8]


def draws(pool: Pool) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each detection, as if drawn at random.

    It is a hash of the name of the image, HDU, plane and pixel: the same however the pool grows, shrinks
    or moves.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    names = [f"{os.path.basename(str(i.path))}/{plane_of(i).lower()}" for i in pool.images]
    hashes = [blake2b(os.fsencode(name), digest_size=8).digest() for name in names]
    keys = np.zeros(len(pool.rows), [("image", "<u8"), ("hdu", "<i8"), ("x", "<f8"), ("y", "<f8")])
    keys["image"] = np.frombuffer(b"".join(hashes), "<u8")[pool.rows["image"]]
    keys["hdu"] = pool.rows["hdu"]
    for name in ("x", "y"):
        keys[name] = np.round(pool.rows[name], 3) + 0.0  # no negative zero
    data, size = keys.tobytes(), keys.itemsize
    hashed = (blake2b(data[k : k + size], digest_size=8).digest() for k in range(0, len(data), size))
    return np.frombuffer(b"".join(hashed), "<u8") / 2.0**64


def in_order(pool: Pool, draw: NDArray[np.float64], most: int = MOST) -> Order:
    """Put detections in order; the parts take turns, and one that has no more is left out.

    Parameters
    ----------
    pool : Pool
    draw : ndarray of float64, shape (n,)
        As from `draws`. Those below the share of a part are the random part, in this order.
    most : int
        Largest number of detections.

    Returns
    -------
    Order
    """
    n = len(pool.rows)
    size = min(n, most)
    shuffled = np.argsort(draw, kind="stable")
    n_drawn = int(np.count_nonzero(draw < 1 / len(PARTS)))
    rest = np.sort(shuffled[n_drawn:])
    parts = (
        _by_threshold(pool, rest)[:size],
        _by_disagreement(pool, rest)[:size],
        _by_class(pool, shuffled[n_drawn:])[:size],
        shuffled[:n_drawn][:size],
    )
    rows, part = np.zeros(size, np.int64), np.zeros(size, np.int8)
    for k, (row, number) in enumerate(itertools.islice(_in_turns(parts), size)):
        rows[k], part[k] = row, number
    return Order(rows, part)


def _in_turns(parts: tuple[NDArray[np.int64], ...]) -> Iterator[tuple[int, int]]:
    """Yield rows with the number of their part, each row once."""
    taken: set[int] = set()
    left = {number: iter(rows.tolist()) for number, rows in enumerate(parts)}
    while left:
        for number in list(left):
            row = next((row for row in left[number] if row not in taken), None)
            if row is None:
                del left[number]
                continue
            taken.add(row)
            yield row, number


def _by_threshold(pool: Pool, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    away = np.abs(pool.rows["score"][rows].astype(np.float64) - pool.thresholds[rows])
    return rows[np.argsort(away, kind="stable")]


def _by_disagreement(pool: Pool, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those that repeats judge otherwise than the score, the surest of the night first."""
    probability = pool.rows["probability"][rows]
    differ = np.isfinite(probability) & ((probability > 0.5) != pool.rows["real"][rows])
    sure = np.abs(probability[differ] - 0.5)
    found: NDArray[np.int64] = rows[differ][np.argsort(-sure, kind="stable")]
    return found


def _by_class(pool: Pool, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all classes as often as each other, while they last, the rarest first."""
    mixed = rows[pool.rows["kind"][rows] >= 0]
    kind = pool.rows["kind"][mixed]
    times = np.bincount(kind, minlength=len(pool.classes))
    turn = np.zeros(len(mixed), np.int64)
    for number in np.flatnonzero(times):
        turn[kind == number] = np.arange(times[number])
    return mixed[np.lexsort((times[kind], turn))]
