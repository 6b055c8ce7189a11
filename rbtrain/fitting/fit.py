"""Fit a network to a dataset on disk: checkpoints, early stopping, resume."""

import dataclasses
import json
import logging
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rbinfer._util.machine import keep_freed_memory

from .._arrays import F32
from .._files import part_of, replaced
from ..config import CLASSES, FitConfig, TrainConfig
from ..data.dataset import Dataset
from .batches import Batches, balance_groups, class_weights, targets_of
from .inherit import inherit
from .lineage import lineage
from .model import create_compact_model, create_realbogus_model
from .rates import width_weights
from .saved import load_network, save_atomically
from .taught import TAUGHT, TEACHER, check_teacher, taught_targets

log = logging.getLogger(__name__)

#: Files of a run. A resumed fit needs `_LAST`, and `TAUGHT` where a network teaches.
_BEST, _LAST, _HISTORY, _CONFIG = "best.keras", "last.npz", "state.json", "config.toml"
#: Files of a run that begins with the network of a model: which it is, and the network.
PARENT, PARENT_NETWORK = "parent.txt", "parent.keras"
#: Bytes of freed memory that a fit keeps at most, and that it asks for ahead.
_KEPT, _AHEAD = 2**31 - 1, 2**28
#: Share of the epochs in which bogus are weighed by width, see `width_weights`.
_LATE = 0.25
#: Cutouts that statistics are measured on where a fit begins with the network of a model file.
_TO_MEASURE = 8192


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
        return create_compact_model(
            len(CLASSES),
            size,
            network.filters,
            network.dropout,
            network.psf,
            network.core,
            network.context,
            network.native,
            network.judged,
            network.population,
        )
    finally:
        keras.config.set_dtype_policy(before)


def in_single_precision(config: TrainConfig, model: keras.Model) -> keras.Model:
    """Return the network computing in float32: `model` itself, or its twin with the same weights.

    Parameters
    ----------
    config : TrainConfig
        Of the fit.
    model : keras.Model

    Returns
    -------
    keras.Model
    """
    if config.fit.precision == "float32":
        return model
    plain = dataclasses.replace(config, fit=dataclasses.replace(config.fit, precision="float32"))
    twin = build(plain)
    twin.set_weights(model.get_weights())
    return twin


class _Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the best network and the whole state of the fit; each file is replaced as a whole.

    ``last.npz`` alone is what a resumed fit goes on from. The network is written before it and
    ``state.json`` after it, and both are brought in line with it on resume, so that a fit killed between
    the two goes on as if undisturbed.
    """

    def __init__(self, run: Path, train: Batches, seed: int) -> None:
        super().__init__()
        self._run, self._train, self._seed = run, train, seed
        self._best: list[NDArray[Any]] = []
        self.history: dict[str, list[float]] = {}

    def resume(self, model: keras.Model) -> int:
        """Bring a model and the run's directory to where the run stopped; returns the epochs done."""
        path = self._run / _LAST
        if not path.exists():
            raise ValueError(f"{self._run} has no {_LAST} to go on from; remove it and fit again")
        try:
            with np.load(path) as saved:
                done = json.loads(str(saved["state"]))
                parts = {name: _listed(saved, name) for name in ("model", "optimizer", "best")}
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path} cannot be read ({error}); remove {self._run} and fit again"
            ) from error
        self._best, self.history = parts["best"], done["history"]
        try:
            # The best network is that of the state, even if the fit was killed before it wrote the file.
            model.set_weights(self._best)
            save_atomically(model, self._run / _BEST)
            _assign(model.variables, parts["model"])
            _assign(_optimizer_variables(model), parts["optimizer"])
        except ValueError as error:
            raise ValueError(
                f"{path} is of another network than this version builds ({error}); remove {self._run} "
                "and fit again"
            ) from error
        self._write_history(done["epoch"])
        return int(done["epoch"])

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Keras asks for the epoch's batches after this; a resumed run begins where it stopped. Some
        # backends draw from their own generator and not from the state that is kept of each layer.
        keras.utils.set_random_seed(
            int(np.random.SeedSequence([self._seed, epoch]).generate_state(1)[0])
        )
        self._train.start_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(float(value))
        losses = self.history["val_loss"]
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"the validation loss of epoch {epoch + 1} is {losses[-1]}; lower the learning rate"
            )
        if losses[-1] == min(losses):
            self._best = self.model.get_weights()
            save_atomically(self.model, self._run / _BEST)
        self._write_state(epoch + 1)
        self._write_history(epoch + 1)

    def _write_state(self, epoch: int) -> None:
        arrays: dict[str, Any] = {
            "state": np.array(json.dumps({"epoch": epoch, "history": self.history}))
        }
        parts = {
            "model": map(keras.ops.convert_to_numpy, self.model.variables),
            "optimizer": map(keras.ops.convert_to_numpy, _optimizer_variables(self.model)),
            "best": self._best,
        }
        for name, values in parts.items():
            arrays |= {f"{name}_{i}": value for i, value in enumerate(values)}
        with replaced(self._run / _LAST) as part, open(part, "wb") as stream:
            np.savez(stream, **arrays)
            stream.flush()
            os.fsync(stream.fileno())  # a renamed file may be empty after a power cut

    def _write_history(self, epoch: int) -> None:
        text = json.dumps({"epoch": epoch, "history": self.history}, indent=1)
        with replaced(self._run / _HISTORY) as part:
            part.write_text(text, encoding="utf-8")


def _listed(saved: Any, name: str) -> list[NDArray[Any]]:
    """Return the arrays NAME_0, NAME_1, ... of a file."""
    count = sum(key.startswith(f"{name}_") for key in saved.files)
    return [saved[f"{name}_{i}"] for i in range(count)]


def _optimizer_variables(model: keras.Model) -> list[Any]:
    if not model.optimizer.built:  # built twice, that of mixed_float16 has more variables
        model.optimizer.build(model.trainable_variables)
    return list(model.optimizer.variables)


def _assign(variables: list[Any], values: list[NDArray[Any]]) -> None:
    if [tuple(v.shape) for v in variables] != [v.shape for v in values]:
        raise ValueError(f"{len(values)} variables for {len(variables)}, or of other shapes")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class _EarlyStopping(keras.callbacks.Callback):  # type: ignore[misc]
    """Early stopping that remembers over a resume, because it reads the history."""

    def __init__(self, history: dict[str, list[float]], patience: int) -> None:
        super().__init__()
        self._history, self._patience = history, patience

    def is_due(self) -> bool:
        """Whether the best epoch is `patience` epochs ago."""
        losses = self._history.get("val_loss", [])
        return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= self._patience

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.is_due():
            log.info("no gain for %d epochs: stopping", self._patience)
            self.model.stop_training = True


class _Interruption(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a fit whose interruption was dropped on its way."""

    def __init__(self, is_stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._is_stopped = is_stopped

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._is_stopped():
            raise KeyboardInterrupt


def fit(
    config: TrainConfig,
    data: Dataset,
    run: str | os.PathLike[str],
    *,
    resume: bool = False,
    verbose: int = 1,
    parent: Path | None = None,
    teacher: Path | None = None,
    is_stopped: Callable[[], bool] | None = None,
) -> keras.Model:
    """Fit a network and return the best of its epochs.

    Ctrl-C stops after the batch and is passed on; the best network so far stays in the run directory.
    A fit that was stopped or killed at any moment and resumed on the same machine gives the network
    that it would have given undisturbed, bit for bit wherever Keras's backend repeats itself.

    Parameters
    ----------
    config : TrainConfig
    data : Dataset
    run : path
        Directory for ``best.keras``, ``last.npz`` (with ``taught.npy``, where a network teaches, all
        that is needed to go on), ``state.json`` (the history) and ``config.toml``.
    resume : bool
        Go on where the last fit stopped instead of refusing a directory that is in use.
    verbose : int
        As in Keras: 0 silent, 1 progress bar, 2 a line an epoch.
    parent : Path, optional
        Model file whose network the fit begins with, see `rbtrain.fitting.inherit.inherit`. Which it is
        stands in ``parent.txt``, the network in ``parent.keras``. A fit that is resumed goes on from
        its own state.
    teacher : Path, optional
        Model file whose network teaches, where ``fit.taught`` asks for it; by default that of `parent`.
        Which it is stands in ``teacher.txt``.
    is_stopped : callable, optional
        Asked before each batch; where it returns True, the fit ends as by Ctrl-C. A library may have
        dropped the interruption itself.

    Returns
    -------
    keras.Model
        Computes in float32, whatever the precision of the fit.

    Raises
    ------
    FileExistsError
        The directory holds a run, and `resume` is not set.
    ValueError
        The run to go on with was begun with another configuration or network, or cannot be read; or a
        network is to teach, or to be moved back to, and there is none, or one is named that would not
        teach.
    FloatingPointError
        The validation loss is not finite; names the epoch.
    """
    keep_freed_memory(_KEPT, _AHEAD)
    where = Path(run)
    begun = _begin(config, where, resume, parent, teacher)
    targets = targets_of(config, data.rows["label"])
    shown = taught_targets(config.fit.taught, data, targets, where, teacher or parent)
    batches, held_out = _batches(config, data, targets, shown)
    try:
        model = build(config)
        model.optimizer.learning_rate = config.fit.learning_rate
        checkpoint = _Checkpoint(where, batches, config.fit.seed)
        first = 0
        if begun:
            first = checkpoint.resume(model)
            log.info("going on after epoch %d", first)
        elif parent is not None:
            inherit(model, parent, to_measure(config, data))
            save_atomically(model, where / PARENT_NETWORK)
            with replaced(where / PARENT) as part:
                part.write_text(_noted(parent), encoding="utf-8")
        stop = _EarlyStopping(checkpoint.history, config.fit.patience)
        rate = keras.callbacks.LearningRateScheduler(lambda epoch, _: _rate(config.fit, epoch))
        callbacks = [rate, checkpoint, stop]
        if is_stopped is not None:
            callbacks.append(_Interruption(is_stopped))
        # A fit that was killed after its last epoch has nothing left to do.
        if not stop.is_due():
            try:
                model.fit(
                    batches,
                    validation_data=held_out,
                    initial_epoch=first,
                    epochs=config.fit.epochs,
                    callbacks=callbacks,
                    verbose=verbose,
                    shuffle=False,
                )
            except BaseException:
                # Not KeyboardInterrupt alone: a library may turn Ctrl-C into an error of its own.
                if (where / _BEST).exists():
                    log.warning("stopped early; the best network so far is %s", where / _BEST)
                raise
    finally:
        _remove_parts(where)
    losses = checkpoint.history["val_loss"]
    log.info("epoch %d of %d is kept, with the least validation loss", best_epoch(losses), len(losses))
    return in_single_precision(config, load_network(config, where / _BEST))


def best_epoch(losses: list[float]) -> int:
    """Return the number, from 1, of the epoch whose network is kept: the last with the least loss."""
    return len(losses) - losses[::-1].index(min(losses))


def to_measure(config: TrainConfig, data: Dataset) -> F32:
    """Return the cutouts (n, size, size, 2) that statistics of batch normalisations are measured on."""
    rows = np.random.default_rng(config.fit.seed).permutation(len(data))[:_TO_MEASURE]
    return data.inputs(np.sort(rows))[0]


def _begin(
    config: TrainConfig, where: Path, resume: bool, parent: Path | None, teacher: Path | None
) -> bool:
    """Prepare a run's directory; returns whether there is a fit to resume."""
    begun = (where / _LAST).exists() or (where / _HISTORY).exists()
    if begun and not resume:
        raise FileExistsError(f"{where} holds a run; add --resume, or name another directory")
    if begun:
        _check_same(config, where / _CONFIG)
    _check_parent(config, where, begun, parent)
    check_teacher(config.fit.taught, where, begun, teacher)
    where.mkdir(parents=True, exist_ok=True)
    _remove_parts(where)
    if not begun:
        # It is left from a fit that was killed within its first epoch, or whose state was removed.
        (where / _BEST).unlink(missing_ok=True)
        for name in (PARENT, PARENT_NETWORK, TAUGHT, TEACHER):
            (where / name).unlink(missing_ok=True)
    with replaced(where / _CONFIG) as part:
        part.write_text(config.to_toml(), encoding="utf-8")
    return begun


def _batches(config: TrainConfig, data: Dataset, targets: F32, taught: F32) -> tuple[Batches, Batches]:
    """Return the batches for training, and those for validation, which is by the labels alone."""
    weights = class_weights(balance_groups(targets, data.rows["label"]), config.fit.balance)
    training, validation = data.split(config.data.validation)
    network = config.network
    names = "psf", "population", "core", "context"
    reads: dict[str, Any] = {name: getattr(network, name) for name in names}
    size, seed = config.fit.batch_size, config.fit.seed
    # What is best is judged by the weights that the fit ends with.
    last = weights * width_weights(data.rows, config.fit.widths, config.fit.bogus_weights)
    late = round((1 - _LATE) * config.fit.epochs), last
    shuffled = Batches(data, training, taught, weights, size, seed, late=late, **reads)
    return shuffled, Batches(data, validation, targets, last, 1024, **reads)


def _rate(fit_config: FitConfig, epoch: int) -> float:
    """Return the learning rate of an epoch: along a cosine to a hundredth of the first."""
    cosine = 0.5 * (1 + math.cos(math.pi * epoch / fit_config.epochs))
    return fit_config.learning_rate * (0.01 + 0.99 * cosine)


def _check_same(config: TrainConfig, path: Path) -> None:
    """Refuse to resume what was begun with another configuration."""
    begun = TrainConfig.read(path)
    same = dataclasses.replace(
        begun.fit, epochs=config.fit.epochs, patience=config.fit.patience
    )  # these two may change
    if dataclasses.replace(begun, fit=same) != config:
        raise ValueError(
            f"{path.parent} was begun with another configuration ({path}); only epochs "
            "and patience may change on --resume"
        )


def _noted(parent: Path) -> str:
    """Return what a run notes of the model file that it begins with."""
    return f"{lineage(parent)}, fitted further\n"


def _check_parent(config: TrainConfig, where: Path, begun: bool, parent: Path | None) -> None:
    """Refuse a network to begin with that would not be used, and none where the export needs one."""
    noted = where / PARENT
    if begun and parent is not None:
        first = noted.read_text(encoding="utf-8") if noted.exists() else ""
        if first != _noted(parent):
            raise ValueError(
                f"{where} began with {first.strip() or 'no network of a model'}, not with {parent}: a "
                "fit that is resumed goes on from its own state; leave --from out, or begin anew in "
                "another directory"
            )
    share, taught = config.fit.parent_share, config.fit.taught
    if share > 0 and not ((where / PARENT_NETWORK).exists() if begun else parent):
        both = " and taught = 0.0" if taught > 0 else ""
        raise ValueError(
            f"fit.parent_share is {share:g}: the export moves the network back towards the one that the "
            f"fit began with, and this fit {'began' if begun else 'begins'} with none. Begin with one "
            f"by --from MODEL, or set parent_share = 0.0{both} under [fit]"
        )


def _remove_parts(run: Path) -> None:
    """Remove what a killed fit was about to write."""
    for name in (_BEST, _LAST, _HISTORY, _CONFIG, TAUGHT, TEACHER):
        part_of(run / name).unlink(missing_ok=True)
