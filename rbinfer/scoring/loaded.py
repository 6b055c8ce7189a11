"""A network and where it is from: opened once a process, and again after a fork."""

import os
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from .._util.hashing import digest
from ..errors import InputError
from ..model.networks import KerasNetwork, Network
from ..model.registry import resolve
from ..model.session import Session


class Loaded:
    """A model that is loaded; may be used from many threads.

    Parameters
    ----------
    model : str, path, Keras-like model, Network or None
        As for `rbinfer.Classifier`.
    device : str
        Where to run.
    """

    def __init__(self, model: Any, device: str) -> None:
        self.device = device
        self._given: Network | None = None
        if isinstance(model, type):
            raise InputError(f"model must be a model, not the class {model.__name__}")
        if hasattr(model, "spec") and hasattr(model, "run"):
            self._given = model
        elif hasattr(model, "predict") and hasattr(model, "input_shape"):
            self._given = KerasNetwork(model)
        self._path = None if self._given is not None else resolve(model).resolve()
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        self._network: Network = (
            Session(str(self._path), self.device) if self._given is None else self._given
        )
        self._pid = os.getpid()

    def network(self) -> Network:
        """Return the network of this process."""
        # ONNX Runtime sessions do not survive a fork.
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._open()
        return self._network

    @property
    def origin(self) -> Path | Network | None:
        """What it can be loaded from again in another process: a path, or the network itself."""
        return self._path if self._given is None else self._given

    @cached_property
    def sha256(self) -> str:
        """Hash of the model file; empty for a model that is no file."""
        return "" if self._path is None else digest(self._path)
