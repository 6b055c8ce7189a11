"""How the scores would be distributed if the night were like what the model was tested on."""

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._util.hashing import digest
from ..diagnostics.drift.expected import Record
from ..errors import RbinferError
from .drift import record_of
from .results import Night

log = logging.getLogger(__name__)


class Reference(NamedTuple):
    """Expected detections in each bin of the score, or None and the reason."""

    counts: NDArray[np.float64] | None
    missing: str


def record_of_night(night: Night) -> Record | str:
    """Return the record of the model that made all the scores, or the reason why there is none.

    Parameters
    ----------
    night : Night
    """
    from ..model.registry import resolve
    from ..model.session import read_spec

    used = {(image.model, image.hash, image.real_classes) for image in night.images}
    if len(used) != 1:
        return "the results are of several models"
    name, sha256, real = next(iter(used))
    if not name or not sha256:
        return "the results do not note their model"
    try:
        path = resolve(name)
        if digest(path) != sha256:
            return f"the installed model {name!r} is not the one that was used"
        spec = read_spec(path)
    except (RbinferError, OSError) as error:
        log.info("no reference: %s", error)
        return f"the model {name!r} is not installed here"
    return record_of(spec, real)


def reference_scores(night: Night, record: Record | str) -> Reference:
    """Return the distribution of scores that the model was shipped with, scaled to the night.

    Parameters
    ----------
    night : Night
    record : Record or str
        From `record_of_night`.

    Returns
    -------
    Reference
        That of the real times the number of real detections plus that of the bogus times theirs.
    """
    if isinstance(record, str):
        return Reference(None, record)
    n_real, n_bogus = (sum(getattr(image, kind) for image in night.images) for kind in ("real", "bogus"))
    return Reference(n_real * record.shares[0] + n_bogus * record.shares[1], "")
