"""The labelled detections that look most like one that is explained."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._util.hashing import digest
from ..errors import RbinferError
from ..io.labels import FIRST_HDU, Label, current
from ..io.tables import read_catalog
from ..model.spec import PreprocessSpec
from ..pipeline.as_scored import as_scored
from ..pipeline.one import open_frame
from ..pipeline.options import ScoreOptions
from ..scoring.prepare import cut, prepare

log = logging.getLogger(__name__)

F32 = NDArray[np.float32]

#: How many are shown.
NEAREST = 4


@dataclass(frozen=True, eq=False)
class Example:
    """A labelled detection.

    Attributes
    ----------
    label : Label
    seen : ndarray of float32, shape (size, size, channels)
        What the network sees of it, turned as it is most alike.
    distance : float
        Root mean square of the difference between what the network sees of both.
    """

    label: Label
    seen: F32
    distance: float


def nearest_labelled(seen: F32, labels: Sequence[Label], spec: PreprocessSpec) -> list[Example]:
    """Find the labelled detections of which the network sees nearly the same.

    Each image is read with what its own scored catalogue notes of the pixels and the width.

    Parameters
    ----------
    seen : ndarray of float32, shape (size, size, channels)
        What the network sees of the detection that is explained.
    labels : sequence of Label
        As from `rbinfer.io.labels.read_labels`; those that count and say real or bogus are looked at.
    spec : PreprocessSpec
        Of the model.

    Returns
    -------
    list of Example
        `NEAREST` at most, the nearest first. A detection may be turned or mirrored.
    """
    by_image: dict[tuple[str, str, int, str, str], list[Label]] = {}
    for label in current(labels):
        if label.label in ("real", "bogus"):
            place = (label.image, label.hash, label.hdu, label.plane, label.catalog)
            by_image.setdefault(place, []).append(label)
    found: list[Example] = []
    n_lost = 0
    for own in by_image.values():
        try:
            found += _of_image(seen, own, spec)
        except (RbinferError, OSError) as error:
            log.info("%s: its labels are left out: %s", own[0].image, error)
            n_lost += len(own)
        found = sorted(found, key=lambda each: each.distance)[:NEAREST]
    if n_lost:
        log.warning("%d labels are left out: their images are gone, changed, or can't be read", n_lost)
    return found


def _of_image(seen: F32, labels: Sequence[Label], spec: PreprocessSpec) -> list[Example]:
    """Cut the labelled detections of one image and catalogue out, and compare them."""
    first = labels[0]
    if first.hash and digest(Path(first.image)) != first.hash:
        raise RbinferError("it is another file than the one that was labelled")
    exposure = open_frame(first.image, _as_scored(first))
    x, y = np.array([(label.x, label.y) for label in labels], np.float64).T
    pixels = cut(prepare(exposure, spec, x, y)).pixels
    return [Example(label, *_alike(seen, own)) for label, own in zip(labels, pixels, strict=True)]


def _as_scored(label: Label) -> ScoreOptions:
    """Return how the image of a label was scored, as far as label and catalogue tell."""
    hdu = None if label.hdu == FIRST_HDU else str(label.hdu)
    known = ScoreOptions(hdu=hdu, plane=label.plane or None)
    if not label.catalog:
        return known
    try:
        return as_scored(known, read_catalog(label.catalog).meta)
    except (RbinferError, OSError) as error:
        log.info("%s tells nothing of its labels: %s", label.catalog, error)
        return known


def _alike(seen: F32, other: F32) -> tuple[F32, float]:
    """Return another cutout turned or mirrored to be most alike, and how far it is."""
    turned = [np.rot90(each, k) for each in (other, other[:, ::-1]) for k in range(4)]
    away = [float(np.sqrt(np.mean((each - seen) ** 2, dtype=np.float64))) for each in turned]
    nearest = int(np.argmin(away))
    return turned[nearest], away[nearest]
