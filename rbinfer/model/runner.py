"""A network whose inputs and outputs have their place in memory, for one thread that calls it often.

Between two calls the network has driven all else out of the core's cache: to make arrays, to check them
and to name them anew costs a tenth of a call of the network itself.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .networks import Network, run_network
from .session import Output, Session
from .stamps import Stamps


class Runner(Protocol):
    """Scores what was cut into its own array.

    Attributes
    ----------
    cutouts : ndarray of float32, shape (m, size, size, 2)
        To be written before each call.
    """

    cutouts: NDArray[np.float32]

    def run(self, n: int, cores: NDArray[np.float32]) -> Output:
        """Score the first `n` of the cutouts, with what lies around them: (n, k), see `Cutouts.core`.

        What comes back may be overwritten by the next call.
        """
        ...


def runner_of(network: Network, stamps: Stamps, rows: int) -> Runner:
    """Return what runs a network on at most `rows` cutouts of one frame at a time.

    Parameters
    ----------
    network : Network
    stamps : Stamps
        The star of the frame and what else is on it, for `network.batch` cutouts.
    rows : int

    Returns
    -------
    Runner
    """
    if isinstance(network, Session) and network.can_be_bound:
        return _Bound(network, stamps)
    return _Plain(network, stamps, rows)


class _Plain:
    """Any network, given new arrays for each call."""

    def __init__(self, network: Network, stamps: Stamps, rows: int) -> None:
        self._network, self._stamps = network, stamps
        size = network.spec.preprocess.size
        self.cutouts = np.empty((rows, size, size, 2), np.float32)

    def run(self, n: int, cores: NDArray[np.float32]) -> Output:
        return run_network(self._network, self.cutouts[:n], self._stamps.taken(slice(n)), cores)


class _Bound:
    """A session of ONNX Runtime that reads and writes arrays which are bound to it once."""

    def __init__(self, session: Session, stamps: Stamps) -> None:
        size = session.spec.preprocess.size
        self.cutouts = np.zeros((session.batch, size, size, 2), np.float32)
        self._given = session.inputs_of(self.cutouts, stamps)
        self._around = session.around_of(self._given)
        self._bound = session.bound(self._given)

    def run(self, n: int, cores: NDArray[np.float32]) -> Output:
        for part, columns in self._around:
            part[:n] = cores[:, columns]
        score, classes = self._bound()
        return Output(score[:n], None if classes is None else classes[:n])
