"""Fit a network to a dataset on disk: in-batch augmentation, class weights, checkpoints, resume."""

import dataclasses
import json
import logging
import math
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from .config import CLASSES, SOURCES, TrainConfig
from .dataset import Dataset
from .model import create_compact_model, create_realbogus_model

log = logging.getLogger(__name__)


def build(config: TrainConfig) -> keras.Model:
    """Build the network that a configuration asks for, with weights from its seed."""
    keras.utils.set_random_seed(config.fit.seed)
    size, network = config.preprocess.size, config.network
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.fit.precision)
    try:
        if network.architecture == "reference":
            return create_realbogus_model(
                (size, size, 2), network.filters, network.dense_units, network.dropout
            )
        return create_compact_model(len(CLASSES), size, network.filters, network.dropout)
    finally:
        keras.config.set_dtype_policy(before)


def in_single_precision(config: TrainConfig, model: keras.Model) -> keras.Model:
    """Return the network computing in float32: `model` itself, or its twin with the same weights."""
    if config.fit.precision == "float32":
        return model
    plain = dataclasses.replace(config, fit=dataclasses.replace(config.fit, precision="float32"))
    twin = build(plain)
    twin.set_weights(model.get_weights())
    return twin


class Batches(keras.utils.PyDataset):
    """Batches of a dataset, shuffled, turned and flipped as a function of seed and epoch alone.

    Parameters
    ----------
    data : Dataset
        Only the pixels of one batch are in memory at a time.
    rows : ndarray of int
        The rows to draw from.
    targets : ndarray, shape (len(data), ...)
        What the network shall say for each row of the dataset.
    weights : ndarray of float32, shape (len(data),)
    batch_size : int
    seed : int or None
        None for the rows in their order, without augmentation.
    """

    def __init__(
        self, data: Dataset, rows: NDArray[np.intp], targets: NDArray[np.float32],
        weights: NDArray[np.float32], batch_size: int, seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(workers=1)
        self._data, self._rows, self._targets, self._weights = data, rows, targets, weights
        self._batch_size, self._seed = batch_size, seed
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Shuffle for an epoch, counted from 0."""
        self._epoch = epoch
        self._order = self._rows
        if self._seed is not None:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._rows)

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], ...]:
        # Sorted, so that a memory map is read forwards.
        rows = np.sort(self._order[index * self._batch_size : (index + 1) * self._batch_size])
        pixels = self._data.pixels[rows].astype(np.float32)
        if self._seed is not None:
            # A cutout has no up or down: one of the eight symmetries of the square for each quarter.
            turns = np.random.default_rng([self._seed, self._epoch, index]).integers(0, 8, 4)
            for part, turn in zip(np.array_split(pixels, 4), turns, strict=True):
                part[...] = augment(part, int(turn))
        return pixels, self._targets[rows], self._weights[rows]


def augment(cutouts: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Apply one of the eight symmetries of the square to cutouts (n, size, size, 2)."""
    turned = np.rot90(cutouts, turn % 4, axes=(1, 2))
    return turned[:, :, ::-1] if turn >= 4 else turned


def targets_of(config: TrainConfig, labels: NDArray[np.int8]) -> NDArray[np.float32]:
    """What the network shall say: (n, 1) for one score, one-hot (n, k) for classes."""
    if config.network.architecture == "reference":
        real = [CLASSES.index(name) for name in config.real]
        return np.isin(labels, real).astype(np.float32)[:, np.newaxis]
    return np.eye(len(CLASSES), dtype=np.float32)[labels]


def judged_as(targets: NDArray[np.float32], labels: NDArray[np.int8]) -> NDArray[Any]:
    """What is balanced against what: one score, real and bogus; classes, all sources and each bogus."""
    return targets[:, 0] if targets.shape[1] == 1 else np.where(np.isin(labels, SOURCES), 0, labels)


def class_weights(labels: NDArray[Any], balance: float) -> NDArray[np.float32]:
    """Weight of each row: (n / (k n_class)) ** balance, with mean 1."""
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = (len(labels) / (len(values) * counts)) ** balance
    per_row = weights[inverse]
    return (per_row / per_row.mean()).astype(np.float32)


class _Checkpoint(keras.callbacks.Callback):
    """Keeps the last state and the best network, each written beside and renamed."""

    def __init__(self, run: Path, train: Batches, history: dict[str, list[float]]) -> None:
        super().__init__()
        self._run, self._train, self._history = run, train, history

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Keras asks for the epoch's batches after this; a resumed run begins where it stopped.
        self._train.start_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        for key, value in (logs or {}).items():
            self._history.setdefault(key, []).append(float(value))
        losses = self._history["val_loss"]
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"the validation loss of epoch {epoch + 1} is {losses[-1]}; lower the learning rate"
            )
        if losses[-1] == min(losses):
            save_atomically(self.model, self._run / "best.keras")
        save_atomically(self.model, self._run / "last.keras")
        state = json.dumps({"epoch": epoch + 1, "history": self._history}, indent=1)
        part = self._run / "state.json.part"
        part.write_text(state)
        os.replace(part, self._run / "state.json")


class _Stop(keras.callbacks.Callback):
    """Early stopping that remembers over a resume, because it reads the history."""

    def __init__(self, history: dict[str, list[float]], patience: int) -> None:
        super().__init__()
        self._history, self._patience = history, patience

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        losses = self._history["val_loss"]
        if len(losses) - 1 - int(np.argmin(losses)) >= self._patience:
            log.info("no gain for %d epochs: stopping", self._patience)
            self.model.stop_training = True


def fit(
    config: TrainConfig,
    data: Dataset,
    run: str | os.PathLike[str],
    *,
    resume: bool = False,
    verbose: int = 1,
) -> keras.Model:
    """Fit a network and return the best of its epochs.

    Ctrl-C stops after the batch and is passed on; the best network so far stays in the run directory.

    Parameters
    ----------
    config : TrainConfig
    data : Dataset
    run : path
        Directory for ``best.keras``, ``last.keras``, ``state.json`` and ``config.toml``.
    resume : bool
        Go on from ``last.keras`` instead of refusing a directory that is in use.
    verbose : int
        As in Keras: 0 silent, 1 progress bar, 2 a line an epoch.

    Returns
    -------
    keras.Model
        Computes in float32, whatever the precision of the fit.
    """
    where = Path(run)
    where.mkdir(parents=True, exist_ok=True)
    state = where / "state.json"
    if state.exists() and not resume:
        raise FileExistsError(f"{where} holds a run; add --resume, or name another directory")
    first, history = 0, dict[str, list[float]]()
    if state.exists():
        begun = TrainConfig.read(where / "config.toml")
        same = dataclasses.replace(
            begun.fit, epochs=config.fit.epochs, patience=config.fit.patience
        )  # these two may change
        if dataclasses.replace(begun, fit=same) != config:
            raise ValueError(
                f"{where} was begun with another configuration ({where / 'config.toml'}); only epochs "
                "and patience may change on --resume"
            )
        saved = json.loads(state.read_text())
        first, history = saved["epoch"], saved["history"]
        model = keras.models.load_model(where / "last.keras")
        log.info("going on after epoch %d", first)
    else:
        model = build(config)
        model.optimizer.learning_rate = config.fit.learning_rate
    (where / "config.toml").write_text(config.to_toml(), encoding="utf-8")
    labels = data.rows["label"]
    targets = targets_of(config, labels)
    weights = class_weights(judged_as(targets, labels), config.fit.balance)
    training, validation = data.split(config.data.validation)
    batches = Batches(data, training, targets, weights, config.fit.batch_size, config.fit.seed)
    held_out = Batches(data, validation, targets, weights, 1024)

    def rate(epoch: int, _: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * epoch / config.fit.epochs))
        return config.fit.learning_rate * (0.01 + 0.99 * cosine)

    callbacks = [
        keras.callbacks.LearningRateScheduler(rate),
        _Checkpoint(where, batches, history),
        _Stop(history, config.fit.patience),
    ]
    try:
        model.fit(
            batches, validation_data=held_out, initial_epoch=first, epochs=config.fit.epochs,
            callbacks=callbacks, verbose=verbose, shuffle=False,
        )  # fmt: skip
    except KeyboardInterrupt:
        if (where / "best.keras").exists():
            log.warning("stopped by hand; the best network so far is %s", where / "best.keras")
        raise
    return in_single_precision(config, keras.models.load_model(where / "best.keras"))


def save_atomically(model: keras.Model, path: Path) -> None:
    """Save a Keras model beside its path, then rename."""
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        model.save(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
