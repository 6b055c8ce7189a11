"""Batches of a dataset for a fit: targets, class weights, augmentation."""

import math
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rbinfer.model.spec import CONTEXT_SIDE, CORE, CORE_SIDE

from .._arrays import F32, I8
from ..config import CLASSES, SOURCES, TrainConfig
from ..data.label import is_of
from ..data.seen import Shown

#: Of so many cutouts the network is not told the star, of so many what lies around, of so many the wide
#: view alone, and of so many the population: it must do without as well.
_STAR_UNTOLD, _CORE_UNTOLD, _CONTEXT_UNTOLD, _POPULATION_UNTOLD = 0.15, 0.1, 0.15, 0.15
#: Of so many the wide view ends after so many cells from the middle, as it does in a stamp.
_CONTEXT_SHORT, _SHORT = 0.25, (0, 5)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras brings no types
    """Batches of a dataset, shuffled, turned and flipped as a function of seed and epoch alone.

    Parameters
    ----------
    data : Shown
        Such as a dataset: only the pixels of one batch are in memory at a time.
    rows : ndarray of int
        The rows to draw from.
    targets : ndarray, shape (len(data), ...)
        Target of each row of the data.
    weights : ndarray of float32, shape (len(data),)
        Of each row, in the first epochs.
    batch_size : int
    seed : int or None
        None for the rows in their order, without augmentation.
    psf : bool
        With the star of each cutout's frame, and whether it is known.
    population : bool
        With what the maxima of the frame are like.
    core : bool
        With the native pixels of each.
    context : bool
        With the wide view of each.
    late : (int, ndarray of float32), optional
        The epoch from which other weights are taken, counted from 0, and those.
    """

    def __init__(
        self,
        data: Shown,
        rows: NDArray[np.intp],
        targets: F32,
        weights: F32,
        batch_size: int,
        seed: int | None = None,
        psf: bool = False,
        population: bool = False,
        core: bool = False,
        context: bool = False,
        late: tuple[int, F32] | None = None,
    ) -> None:
        super().__init__(workers=1)
        self._psf, self._population, self._core, self._context = psf, population, core, context
        self._data, self._rows, self._targets = data, rows, targets
        self._early, self._late = weights, late
        self._batch_size, self._seed = batch_size, seed
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Shuffle for an epoch, counted from 0."""
        self._epoch = epoch
        self._order, self._weights = self._rows, self._early
        if self._late is not None and epoch >= self._late[0]:
            self._weights = self._late[1]
        if self._seed is not None:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._rows)

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[F32 | tuple[F32, ...], F32, F32]:
        # Sorted, so that a memory map is read forwards.
        rows = np.sort(self._order[index * self._batch_size : (index + 1) * self._batch_size])
        pixels, stamps, around = self._data.inputs(rows)
        cores, views = around[:, :CORE].copy(), around[:, CORE:].copy()
        inputs, images = [pixels], [pixels]
        if self._psf:
            psf, known, population = stamps.one_each()
            inputs += psf, known
            images.append(psf)
            if self._population:
                inputs.append(population)
        if self._core:
            inputs.append(cores)
            images.append(square(cores, CORE_SIDE))
        if self._context:
            inputs.append(views)
            images.append(square(views, CONTEXT_SIDE))
        if self._seed is not None:
            # A cutout has no up or down: one of the eight symmetries of the square for each quarter.
            rng = np.random.default_rng([self._seed, self._epoch, index])
            turns = rng.integers(0, 8, 4)
            if self._psf:
                known[rng.random(len(known)) < _STAR_UNTOLD] = 0.0
            if self._population:
                population[rng.random(len(population)) < _POPULATION_UNTOLD] = 0.0
            if self._core:
                untold = rng.random(len(cores)) < _CORE_UNTOLD
                cores[untold] = 0.0
            if self._context:
                _shorten(images[-1], rng)
                views[untold | (rng.random(len(views)) < _CONTEXT_UNTOLD)] = 0.0
            for image in images:
                for part, turn in zip(np.array_split(image, 4), turns, strict=True):
                    part[...] = augment(part, int(turn))
        return tuple(inputs) if len(inputs) > 1 else pixels, self._targets[rows], self._weights[rows]


def square(numbers: F32, side: int) -> F32:
    """Return a view (n, side, side, 1) of the first numbers of each row (n, m)."""
    return numbers[:, : side**2].reshape(len(numbers), side, side, 1)


def _shorten(views: F32, rng: np.random.Generator) -> None:
    """Let some wide views (n, side, side, 1) end early."""
    side = views.shape[1]
    from_middle = np.abs(np.arange(side) - side // 2)
    distance = np.maximum(from_middle[:, np.newaxis], from_middle)
    reach = np.where(rng.random(len(views)) < _CONTEXT_SHORT, rng.integers(*_SHORT, len(views)), side)
    views[distance[np.newaxis] > reach[:, np.newaxis, np.newaxis]] = 0.0


def augment(cutouts: F32, turn: int) -> F32:
    """Apply one of the eight symmetries of the square to images (n, size, size, channels).

    Parameters
    ----------
    cutouts : ndarray of float32, shape (n, size, size, channels)
    turn : int
        From 0 to 7: that many quarter turns, from 4 on mirrored as well.

    Returns
    -------
    ndarray of float32, shape (n, size, size, channels)
        A view where that is possible.
    """
    turned = np.rot90(cutouts, turn % 4, axes=(1, 2))
    return turned[:, :, ::-1] if turn >= 4 else turned


def targets_of(config: TrainConfig, labels: I8) -> F32:
    """Return the targets of the network: (n, 1) for one score, one-hot (n, k) for classes.

    Parameters
    ----------
    config : TrainConfig
        Names the architecture, and the classes that are real.
    labels : ndarray of int8, shape (n,)
        Indices into `rbtrain.config.CLASSES`.

    Returns
    -------
    ndarray of float32, shape (n, 1) or (n, k)
    """
    if config.network.architecture == "reference":
        return is_of(labels, config.real).astype(np.float32)[:, np.newaxis]
    return np.eye(len(CLASSES), dtype=np.float32)[labels]


def balance_groups(targets: F32, labels: I8) -> NDArray[Any]:
    """Return the groups that are balanced against each other.

    For one score they are real and bogus; for classes, all sources as one and each bogus class.

    Parameters
    ----------
    targets : ndarray of float32, shape (n, 1) or (n, k)
        From `targets_of`.
    labels : ndarray of int8, shape (n,)
        Indices into `rbtrain.config.CLASSES`.

    Returns
    -------
    ndarray, shape (n,)
        A number for each group.
    """
    return targets[:, 0] if targets.shape[1] == 1 else np.where(np.isin(labels, SOURCES), 0, labels)


def class_weights(labels: NDArray[Any], balance: float) -> F32:
    """Weight of each row: (n / (k n_class)) ** balance, with mean 1.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        Class or group of each row.
    balance : float
        From 0, no weights, to 1, the same sum for each class.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = (len(labels) / (len(values) * counts)) ** balance
    per_row = weights[inverse]
    scaled: F32 = (per_row / per_row.mean()).astype(np.float32)
    return scaled
