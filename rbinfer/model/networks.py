"""What the classifier needs of a network, and the face that a Keras-like model gets."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._util.arguments import kind_of, shown
from ..errors import InputError, ModelError
from .session import Output, Session
from .spec import ModelSpec, PreprocessSpec
from .stamps import Stamps

_NO_SCORES = "cOUSMm"  # kinds of NumPy


class Network(Protocol):
    """What the classifier needs of a network: its spec, its batch, and a way to run it."""

    spec: ModelSpec
    batch: int

    def run(self, cutouts: NDArray[np.float32]) -> Output:
        """Score cutouts (n, size, size, 2)."""
        ...


def run_network(
    network: Network,
    cutouts: NDArray[np.float32],
    stamps: Stamps | None = None,
    cores: NDArray[np.float32] | None = None,
) -> Output:
    """Score cutouts by any network; one of a model file is told what else it may read.

    Parameters
    ----------
    network : Network
    cutouts : ndarray of float32, shape (n, size, size, 2)
    stamps : Stamps, optional
        Stars of their frames.
    cores : ndarray of float32, shape (n, 27) or (n, 196), optional
        Their native pixels, and a wide view behind them.

    Returns
    -------
    Output
    """
    if isinstance(network, Session):
        return network.run(cutouts, stamps, cores)
    return network.run(cutouts)


class KerasNetwork:
    """A model with Keras's ``predict`` and ``input_shape``, taken as the reference API takes it.

    Its cutouts are made by the reference preset, with the size of its input (31 where that is open).

    Parameters
    ----------
    model : object
        Has ``predict(cutouts, batch_size=..., verbose=...)`` and ``input_shape``.
    batch_size : int
        Given to ``predict``.
    """

    #: Rows of each call of ``predict``, which costs milliseconds whatever it is given.
    batch = 4096

    def __init__(self, model: Any, batch_size: int = 128) -> None:
        has_both = hasattr(model, "predict") and hasattr(model, "input_shape")
        if isinstance(model, type) or not has_both:
            raise InputError(
                "model must have 'predict' and 'input_shape', as Keras models do; this is "
                f"{shown(model)}"
            )
        shape = model.input_shape
        if isinstance(shape, list) and len(shape) == 1:
            shape = shape[0]  # of a model with a list of one input
        shape = tuple(shape) if isinstance(shape, Iterable) else ()
        sides = [side for side in shape[1:] if side is not None]
        is_of_sides = len(shape) == 4 and all(isinstance(side, int | np.integer) for side in sides)
        if not is_of_sides or shape[3] != 2 or shape[1] != shape[2]:
            raise InputError(
                f"the model takes {shown(model.input_shape)}; it must take (None, size, size, 2)"
            )
        size = 31 if shape[1] is None else int(shape[1])
        if size % 2 == 0:
            raise InputError(f"the model takes cutouts of {size} pixels; an odd size is needed")
        self.model = model
        self.batch_size = batch_size
        name = str(getattr(model, "name", "keras"))
        self.spec = ModelSpec(name=name, version="", preprocess=PreprocessSpec.reference(size))

    def run(self, cutouts: NDArray[np.float32]) -> Output:
        """Score cutouts with ``predict``."""
        scores = np.asarray(self.model.predict(cutouts, batch_size=self.batch_size, verbose=0))
        if scores.dtype.kind in _NO_SCORES:
            raise ModelError(f"predict returned {kind_of(scores.dtype)}; one score each is needed")
        found = np.asarray(scores, np.float32)
        if found.size != len(cutouts):
            raise ModelError(
                f"predict returned shape {found.shape} for {len(cutouts)} cutouts; one score each is "
                "needed"
            )
        return Output(found.reshape(-1), None)
