"""A mask of an image's artefacts: the pixels of what was called a hit, a defect or a trail."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.exposure import Exposure
from ..io.masks_out import BITS
from ..io.positions import scored_positions
from ..measure.detect import detect
from ..measure.even import evened
from ..scoring.classifier import Classifier
from ..status import UNSCORED, is_real

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: A search for hits asks for one pixel above so many times the noise, and does not smooth.
_THRESHOLD = 5.0


def artefact_mask(
    table: "Table", exposure: Exposure, columns: Mapping[str, Any], classifier: Classifier
) -> NDArray[np.uint8]:
    """Mark the pixels of detections that are bogus and most probably a hit, a defect or a trail.

    Beside the rows, hits that a detection of sources passes over, of one pixel or two, are looked for
    and scored; they are in the mask alone.

    Parameters
    ----------
    table : Table
        Scored detections.
    exposure : Exposure
        Their image, with the width that they were scored with.
    columns : mapping
        The options about the columns of positions, as `ScoreOptions.columns`.
    classifier : Classifier
        What scored them.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
        `rbinfer.io.masks_out.BITS`; see `rbinfer.measure.footprints.footprints` for which pixels are a
        detection's.

    Raises
    ------
    InputError
        The model has no such classes.
    """
    check_classes(classifier)
    exposure = evened(exposure)
    x = y = np.zeros(0)
    if len(table):
        x, y = scored_positions(table, columns, exposure.header)
    hits = _hits(exposure, x, y)
    bits = [_bits(table)]
    if len(hits):
        fwhm = None if exposure.width is not None else table.meta["rb_fwhm"]
        threshold = table.meta["rb_threshold"]
        scored = classifier.classify(hits, exposure, fwhm=fwhm, threshold=threshold)
        bits.append(_bits(scored))
        x, y = np.append(x, hits["x"]), np.append(y, hits["y"])
    log.debug("%d hits were looked at beside the rows", len(hits))
    # SEP is imported with it, which most commands and workers do without.
    from ..measure.footprints import footprints

    return footprints(exposure.pixels, exposure.mask, x, y, np.concatenate(bits))


def check_classes(classifier: Classifier) -> None:
    """Refuse a model that tells no classes; raises `InputError`."""
    spec = classifier.spec
    if not set(BITS) <= set(spec.classes):
        raise InputError(
            f"a mask needs the classes {', '.join(BITS)}, which the model {spec.name} does not tell; "
            "take one that does, such as `model='default'`"
        )


def _hits(exposure: Exposure, x: NDArray[np.float64], y: NDArray[np.float64]) -> "Table":
    """Detect what stands out in a pixel, away from positions that are known."""
    found = detect(exposure.pixels, exposure.mask, threshold=_THRESHOLD, minarea=1, matched_filter=False)
    ny, nx = exposure.shape
    known = np.zeros((ny + 2, nx + 2), np.bool_)
    on = np.isfinite(x) & np.isfinite(y)
    on[on] &= (np.abs(x[on] - (nx - 1) / 2) < nx / 2) & (np.abs(y[on] - (ny - 1) / 2) < ny / 2)
    rows, columns = np.rint(y[on]).astype(np.intp) + 1, np.rint(x[on]).astype(np.intp) + 1
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            known[rows + dy, columns + dx] = True
    return found[~known[np.asarray(found["ypeak"]) + 1, np.asarray(found["xpeak"]) + 1]]


def _bits(table: "Table") -> NDArray[np.uint8]:
    """Return the bit of each row that is bogus and of a class that is masked; 0 for others."""
    bits = np.zeros(len(table), np.uint8)
    if not len(table):
        return bits
    bogus = (np.asarray(table["rb_status"]) & UNSCORED) == 0
    bogus &= ~is_real(table["rb_score"], table.meta["rb_threshold"])
    classes = np.asarray(table["rb_class"]).astype(str)
    for name, bit in BITS.items():
        bits[bogus & (classes == name)] = bit
    return bits
