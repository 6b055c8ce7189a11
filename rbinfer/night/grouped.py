"""Figures of groups of values, all groups at once."""

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Ints = NDArray[np.intp]


class Grouped:
    """Members of groups that are numbered from 0, none of them empty.

    Parameters
    ----------
    label : ndarray of int, shape (n,)
        Number of the group of each member.
    rank : ndarray, shape (n,)
        In which order the members of a group are taken.

    Attributes
    ----------
    size : ndarray of int, shape (m,)
        Members of each group.
    first : ndarray of int, shape (m,)
        The first member of each group.
    """

    def __init__(self, label: Ints, rank: NDArray[np.int32]) -> None:
        self._label, self._order = label, np.lexsort((rank, label))
        self.size = np.bincount(label)
        self._start = np.cumsum(self.size) - self.size
        self.first = self._order[self._start]

    def total(self, values: F64) -> F64:
        """Return the sum of each group."""
        return np.asarray(np.add.reduceat(values[self._order], self._start), np.float64)

    def mean(self, values: F64) -> F64:
        """Return the mean of each group; values that are NaN do not count, and NaN if all are."""
        known = np.isfinite(values)
        n = self.total(known.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total(np.where(known, values, 0.0)) / n

    def variance(self, values: F64) -> F64:
        """Return the variance of each group, with the number of its members as divisor."""
        mean = self.total(values) / self.size
        return self.total((values - mean[self._label]) ** 2) / self.size

    def median(self, values: F64) -> F64:
        """Return the median of each group; NaN where a value is NaN."""
        ordered = values[np.lexsort((values, self._label))]
        low, high = self._start + (self.size - 1) // 2, self._start + self.size // 2
        median = 0.5 * (ordered[low] + ordered[high])
        return np.where(self.total(np.isnan(values).astype(np.float64)) > 0, np.nan, median)

    def least(self, values: F64) -> F64:
        """Return the least of each group; NaN only where all are NaN."""
        return np.asarray(np.fmin.reduceat(values[self._order], self._start), np.float64)

    def most(self, values: F64) -> F64:
        """Return the largest of each group; NaN only where all are NaN."""
        return np.asarray(np.fmax.reduceat(values[self._order], self._start), np.float64)

    def best(self, values: F64) -> Ints:
        """Return the member with the largest value in each group, the first of equal ones."""
        # NaN is the least of all.
        known = np.where(np.isnan(values), -np.inf, values)[self._order]
        by_value = np.lexsort((np.arange(len(known)), -known, self._label[self._order]))
        return np.asarray(self._order[by_value[self._start]], np.intp)

    def distinct(self, values: NDArray[np.int32]) -> Ints:
        """Return how many different values each group has."""
        pairs = np.unique(np.column_stack([self._label, values]), axis=0)
        return np.bincount(pairs[:, 0], minlength=len(self.size))

    def commonest(self, values: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the most frequent value of each group, the least of equally frequent ones."""
        pairs, times = np.unique(np.column_stack([self._label, values]), axis=0, return_counts=True)
        order = np.lexsort((pairs[:, 1], -times, pairs[:, 0]))
        group, first = np.unique(pairs[order, 0], return_index=True)
        assert len(group) == len(self.size)
        return np.asarray(pairs[order[first], 1], np.int64)
