"""How the scores would be distributed if the night were like what the model was tested on."""

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._util.hashing import digest
from ..errors import RbinferError
from ..pipeline.summary import BINS
from .results import Night

log = logging.getLogger(__name__)


class Reference(NamedTuple):
    """Expected detections in each bin of the score, or None and the reason."""

    counts: NDArray[np.float64] | None
    missing: str


def reference_scores(night: Night) -> Reference:
    """Return the distribution of scores that the model was shipped with, scaled to the night.

    Parameters
    ----------
    night : Night

    Returns
    -------
    Reference
        That of the real times the number of real detections plus that of the bogus times theirs.
    """
    from ..model.registry import resolve
    from ..model.session import read_spec

    used = {(image.model, image.hash, image.real_classes) for image in night.images}
    if len(used) != 1:
        return Reference(None, "the results are of several models")
    name, sha256, real = next(iter(used))
    if not name or not sha256:
        return Reference(None, "the results do not note their model")
    try:
        path = resolve(name)
        if digest(path) != sha256:
            return Reference(None, f"the installed model {name!r} is not the one that was used")
        spec = read_spec(path)
    except (RbinferError, OSError) as error:
        log.info("no reference: %s", error)
        return Reference(None, f"the model {name!r} is not installed here")
    reading = spec.reading(real)
    if reading is None:
        return Reference(None, "the model was not measured with the classes that were counted as real")
    scores = reading.scores
    if not scores:
        return Reference(None, "the model has none")
    try:
        shares = np.array([scores["real"], scores["bogus"]], np.float64)
    except (KeyError, TypeError, ValueError):
        shares = np.zeros(0)
    if shares.shape != (2, BINS) or not np.all(shares >= 0):
        return Reference(None, "that of the model is damaged")
    n_real, n_bogus = (sum(getattr(image, kind) for image in night.images) for kind in ("real", "bogus"))
    return Reference(n_real * shares[0] + n_bogus * shares[1], "")
