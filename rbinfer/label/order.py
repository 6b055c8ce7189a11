"""In which order detections are shown: what teaches most, with a random part always in."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    """

    rows: NDArray[np.int64]
    part: NDArray[np.int8]


def in_order(pool: Pool, rng: np.random.Generator, most: int = MOST) -> Order:
    """Put detections in order; the parts take turns, and one that has no more is left out.

    Parameters
    ----------
    pool : Pool
    rng : Generator
        One with the same seed gives the same order.
    most : int
        Largest number of detections.

    Returns
    -------
    Order
    """
    n = len(pool.rows)
    size = min(n, most)
    shuffled = rng.permutation(n)
    drawn = shuffled[: -(-size // len(PARTS))]
    rest = np.setdiff1d(np.arange(n), drawn)
    parts = (
        _by_threshold(pool, rest)[:size],
        _by_disagreement(pool, rest)[:size],
        _by_class(pool, rest, rng)[:size],
        drawn,
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


def _by_class(pool: Pool, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return all classes as often as each other, while they last, the rarest first."""
    mixed = rng.permutation(rows[pool.rows["kind"][rows] >= 0])
    kind = pool.rows["kind"][mixed]
    times = np.bincount(kind, minlength=len(pool.classes))
    turn = np.zeros(len(mixed), np.int64)
    for number in np.flatnonzero(times):
        turn[kind == number] = np.arange(times[number])
    return mixed[np.lexsort((times[kind], turn))]
