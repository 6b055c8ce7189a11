"""Networks as Keras keeps them, written and read without a trace of what was interrupted."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from .._files import replaced
from ..config import TrainConfig


def load_network(config: TrainConfig, path: str | os.PathLike[str]) -> keras.Model:
    """Load a network that was fitted, in the precision of the fit.

    Parameters
    ----------
    config : TrainConfig
        Of the fit.
    path : path
        A ``.keras`` file; code in it is not run.

    Returns
    -------
    keras.Model
    """
    # Keras reads no optimizer of mixed_float16 back, and warns.
    plain = config.fit.precision == "float32"
    with _temporaries_removed():
        return keras.models.load_model(path, compile=plain, safe_mode=True)


def save_atomically(model: keras.Model, path: Path) -> None:
    """Save a Keras model beside its path, then rename."""
    with replaced(path) as part, _temporaries_removed():
        model.save(part)


@contextmanager
def _temporaries_removed() -> Iterator[None]:
    """Remove the temporary folder that Keras leaves where it is interrupted while it saves or loads."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
