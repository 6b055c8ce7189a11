"""The training functions of the reference API."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rbinfer import InputError, ModelError, ModelNotFoundError
from rbinfer._util.arguments import as_number, as_numbers, as_whole, shown
from rbinfer._util.verbosity import Verbose, reporting
from rbinfer.errors import one_line
from rbinfer.model.registry import user_directory

from ._arrays import F32
from .data.training_data import generate_realbogus_training_data
from .simulate.draws import generator

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

_DEFAULT_NAME = "realbogus_default.keras"
_SUFFIXES = (".keras", ".h5", ".hdf5")
_KERAS_SEEDS = 2**32  # it takes no larger ones


def load_realbogus_model(model_file: str | None = None, verbose: Verbose = False) -> "keras.Model":
    """Load a Keras model, for training on or for exporting.

    Parameters
    ----------
    model_file : str or path, optional
        A ``.keras`` or ``.h5`` file; by default ``realbogus_default.keras`` in the user's model
        directory.
    verbose : bool or callable
        Tell what was loaded.

    Returns
    -------
    keras.Model

    Raises
    ------
    ModelNotFoundError
        There is no such file.
    ModelError
        It is no Keras model, or a damaged one.
    """
    import keras

    path = _model_path(model_file)
    if not path.is_file():
        raise ModelNotFoundError(f"there is no Keras model {path}; train one, or give its path")
    if path.suffix == ".onnx":
        raise ModelError(f"{path} is an ONNX file, which rbinfer.load_realbogus_model reads")
    try:
        model = keras.models.load_model(path, safe_mode=True)  # never runs code from the file
    except Exception as error:  # of many kinds, from Keras, HDF5 and zip files
        raise ModelError(f"{path} cannot be read as a Keras model: {one_line(error)}") from error
    with reporting(verbose, "rbtrain"):
        log.info("loaded %s", path)
    return model


def save_realbogus_model(
    model: "keras.Model", model_file: str | None = None, verbose: Verbose = False
) -> None:
    """Save a trained Keras model.

    Parameters
    ----------
    model : keras.Model
    model_file : str or path, optional
        A ``.keras`` or ``.h5`` file; by default ``realbogus_default.keras`` in the user's model
        directory. Folders are made as needed.
    verbose : bool or callable
        Tell where it was saved.

    Raises
    ------
    InputError
        Not a Keras model, or a file that cannot be written.
    """
    from .fitting.saved import save_atomically

    _check_model(model, "save")
    path = _place_for(model_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(model, path)
    with reporting(verbose, "rbtrain"):
        log.info("saved %s", path)


def train_realbogus_classifier(
    training_data: Any = None,
    n_simulated: int = 1000,
    image_size: tuple[int, int] = (2048, 2048),
    fwhm_range: tuple[float, float] = (1.5, 8.0),
    real_source_types: Sequence[str] = ("star",),
    validation_split: float = 0.15,
    model: "keras.Model | None" = None,
    model_file: str | None = None,
    epochs: int = 50,
    batch_size: int = 64,
    class_weight: str | dict[int, float] | None = "balanced",
    callbacks: list[Any] | None = None,
    verbose: bool = True,
    *,
    seed: int | None = None,
) -> tuple["keras.Model", "keras.callbacks.History"]:
    """Train the real/bogus classifier on simulated or given data.

    Parameters
    ----------
    training_data : dict or tuple, optional
        A dict with ``X`` (n, size, size, 2) and ``y`` (n,), or a tuple ``(X, y)`` or
        ``(X, y, fwhm)``. Simulated unless given.
    n_simulated : int
        Images to simulate.
    image_size : tuple of int
        (width, height) of these in pixels.
    fwhm_range : tuple of float
        FWHM of these in pixels.
    real_source_types : sequence of str
        Source types that count as real in these, of ``"star"`` and ``"galaxy"``.
    validation_split : float
        Fraction for validation, in (0, 1); drawn at random. Of data with ``metadata["image"]``, as
        `generate_realbogus_training_data` gives, whole images are drawn, so that no turned copy of a
        cutout is on both sides.
    model : keras.Model, optional
        Model to train; a new one of the reference architecture unless given.
    model_file : str or path, optional
        Where to save the trained model; not saved unless given.
    epochs, batch_size : int
    class_weight : "balanced" or dict, optional
        Weight of bogus (0) and real (1); ``"balanced"`` is n / (2 n_class), and none if there is but one
        class.
    callbacks : list, optional
        Keras callbacks, instead of early stopping on ``val_loss`` (patience 10, best weights
        restored) and halving of the learning rate after 5 epochs without gain (floor 1e-6).
    verbose : bool
        Show progress.
    seed : int, optional
        Seed of simulation, split, initial weights and shuffling.

    Returns
    -------
    model : keras.Model
    history : keras.callbacks.History

    Raises
    ------
    InputError
        Training data of another form or for another model, or parameters out of range; before anything
        is simulated or trained.
    """
    import keras

    from .fitting.model import create_realbogus_model

    share = as_number(validation_split, "validation_split")
    if not 0 < share < 1:
        raise InputError(f"validation_split must lie between 0 and 1, not {validation_split}")
    epochs, batch_size = as_whole(epochs, "epochs", 1), as_whole(batch_size, "batch_size", 1)
    if model is not None:
        _check_model(model, "fit")
    if model_file is not None:
        _place_for(model_file)
    _check_class_weight(class_weight)
    rng = generator(seed)
    keras_seed = _seed_for_keras(seed, rng)
    if training_data is None:
        training_data = generate_realbogus_training_data(
            n_images=as_whole(n_simulated, "n_simulated", 1),
            image_size=image_size,
            fwhm_range=fwhm_range,
            real_source_types=real_source_types,
            seed=seed,
            verbose=verbose,
        )
    x, y, images = _pairs(training_data)
    if keras_seed is not None:
        keras.utils.set_random_seed(keras_seed)
    if model is None:
        model = create_realbogus_model(x.shape[1:])
    else:
        _check_input(model, x)
    training, held_out = _split(images, share, rng)
    if callbacks is None:
        callbacks = [
            keras.callbacks.EarlyStopping("val_loss", patience=10, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=5, min_lr=1e-6),
        ]
    history = model.fit(
        x[training],
        y[training],
        validation_data=(x[held_out], y[held_out]),
        epochs=epochs,
        batch_size=batch_size,
        class_weight=_class_weight(class_weight, y[training]),
        callbacks=callbacks,
        verbose=1 if verbose else 0,
    )
    if model_file is not None:
        save_realbogus_model(model, model_file, verbose=verbose)
    return model, history


def _model_path(model_file: str | os.PathLike[str] | None) -> Path:
    if model_file is None:
        return user_directory() / _DEFAULT_NAME
    if not isinstance(model_file, str | os.PathLike):
        raise InputError(f"model_file must be the path of a file, not {shown(model_file)}")
    return Path(model_file).expanduser()


def _place_for(model_file: str | os.PathLike[str] | None) -> Path:
    """Return where a model is to be saved, if it can be."""
    path = _model_path(model_file)
    if path.suffix not in _SUFFIXES:
        raise InputError(f"model_file must end in .keras, .h5 or .hdf5, not {path.name!r}")
    if path.is_dir():
        raise InputError(f"model_file {path} is a folder; give the name of a file in it")
    folder = next(each for each in path.absolute().parents if each.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"model_file {path} cannot be saved: {folder} is no folder that can be written")
    return path


def _check_model(model: Any, method: str) -> None:
    if isinstance(model, type) or not callable(getattr(model, method, None)):
        raise InputError(f"model must be a Keras model, which has {method}(), not {shown(model)}")


def _check_input(model: Any, x: F32) -> None:
    """Refuse cutouts of another shape than the model takes, where it tells."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != x.ndim:
        return
    if any(side not in (None, given) for side, given in zip(shape[1:], x.shape[1:], strict=True)):
        raise InputError(f"X has cutouts of {x.shape[1:]}, but the model takes {shape[1:]}")


def _split(
    images: NDArray[Any], fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw whole images for validation until they hold `fraction` of the rows."""
    names, index, counts = np.unique(images, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    enough = np.cumsum(counts[order]) >= fraction * len(images)
    n_held_out = min(int(np.argmax(enough)) + 1, len(names) - 1)
    held_out = np.isin(index, order[:n_held_out])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _pairs(data: Any) -> tuple[F32, F32, NDArray[Any]]:
    """Cutouts, labels, and the image that each is from (each its own where that is not known)."""
    images = None
    if isinstance(data, dict):
        missing = [key for key in ("X", "y") if key not in data]
        if missing:
            raise InputError(f"training_data lacks {missing}; it has {sorted(data)}")
        x, y = data["X"], data["y"]
        metadata = data.get("metadata")
        images = metadata.get("image") if isinstance(metadata, dict) else None
    elif isinstance(data, (tuple, list)) and len(data) in (2, 3):
        x, y = data[0], data[1]
    else:
        raise InputError(
            "training_data must be a dict with 'X' and 'y', or a tuple (X, y) or (X, y, fwhm), not "
            f"{type(data).__name__}"
        )
    x, y = _floats(x, "X"), _floats(y, "y")
    if y.shape == (len(x), 1):
        y = y[:, 0]
    if x.ndim != 4 or y.shape != (len(x),):
        raise InputError(f"X must be (n, size, size, channels) and y (n,), not {x.shape} and {y.shape}")
    if len(x) < 2:
        raise InputError(f"{len(x)} cutouts are too few to train and validate on; simulate more")
    bad = int(np.count_nonzero(~np.isfinite(x).all(axis=(1, 2, 3))))
    if bad:
        raise InputError(
            f"{bad} of {len(x)} cutouts in X have pixels that are not finite; leave them out"
        )
    if not np.isin(y, (0, 1)).all():
        raise InputError("y must be 1 for real and 0 for bogus")
    if images is None or len(images) != len(x) or len(np.unique(images)) < 2:
        images = np.arange(len(x))
    return x, y, np.asarray(images)


def _floats(values: Any, name: str) -> F32:
    if getattr(values, "dtype", None) == np.bool_:
        return np.asarray(values, np.float32)
    numbers, mask = as_numbers(values, name)
    if mask is not None and np.any(mask):
        raise InputError(f"{name} has masked values; leave the cutouts with these out")
    try:
        return numbers.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be numbers, not {shown(values)}") from error


def _seed_for_keras(seed: Any, rng: np.random.Generator) -> int | None:
    """Return the seed that Keras takes, a Python number of 32 bits; None without a seed."""
    if seed is None:
        return None
    if isinstance(seed, int | np.integer) and seed < _KERAS_SEEDS:
        return int(seed)
    return int(rng.integers(_KERAS_SEEDS))


def _check_class_weight(wanted: Any) -> None:
    """Refuse what is no weight of each class; Keras would pass over other names."""
    if wanted is None or (isinstance(wanted, str) and wanted == "balanced"):
        return
    if not isinstance(wanted, dict) or not wanted or not set(wanted) <= {0, 1}:
        raise InputError(
            "class_weight must be 'balanced', None, or a dict with weights of 0 (bogus) and 1 (real), "
            f"not {shown(wanted)}"
        )
    for weight in wanted.values():
        if not 0 <= as_number(weight, "class_weight") < np.inf:
            raise InputError(f"class_weight must have finite weights of 0 or more, not {shown(wanted)}")


def _class_weight(wanted: str | dict[int, float] | None, y: F32) -> dict[int, float] | None:
    if not isinstance(wanted, str):
        return wanted
    counts = [int((y == 0).sum()), int((y == 1).sum())]
    if 0 in counts:
        return None
    return {i: len(y) / (2 * n) for i, n in enumerate(counts)}
