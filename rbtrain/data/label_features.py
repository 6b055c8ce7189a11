"""Labels as a network's last layer sees them: found in their images and cut as when they are scored."""

import logging
import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rbinfer import Classifier
from rbinfer._util.hashing import digest
from rbinfer.errors import RbinferError
from rbinfer.io.exposure import Exposure
from rbinfer.io.images import load_image
from rbinfer.io.labels import FIRST_HDU, Label
from rbinfer.io.positions import peaks
from rbinfer.io.tables import read_catalog
from rbinfer.pipeline.mosaic import HDU_COLUMN

from .._arrays import F32, F64, I64
from .._pixels import around

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: The brightest pixel of a detection without a catalogue is looked for within so many pixels.
_REACH = 2
#: That of a catalogue lies within so many pixels of the label, or is of another row.
_NEAR = 5.0


class LabelFeatures(NamedTuple):
    """Labels that were found, and what is seen of each.

    Attributes
    ----------
    labels : list of Label
    features : ndarray of float32, shape (n, m)
    left_out : list of str
        Why others were left out, in a sentence for each image.
    """

    labels: list[Label]
    features: F32
    left_out: list[str]


def label_features(
    labels: Sequence[Label],
    classifier: Classifier,
    progress: Callable[[int, int], None] | None = None,
) -> LabelFeatures:
    """Cut labelled detections from their images and return their features.

    An image that is gone, or is not the file that was labelled, is left out with its labels, and so is a
    detection that can't be scored.

    Parameters
    ----------
    labels : sequence of Label
    classifier : Classifier
        Of `rbtrain.export.last_layer.write_features_model`: its classes are the features.
    progress : callable, optional
        Called as ``progress(images_done, images)``.

    Returns
    -------
    LabelFeatures
        In the order of the images.
    """
    by_image: dict[tuple[str, str, int, str], list[Label]] = {}
    for label in labels:
        by_image.setdefault((label.image, label.hash, label.hdu, label.plane), []).append(label)
    kept: list[Label] = []
    parts: list[F32] = [np.zeros((0, len(classifier.spec.classes)), np.float32)]
    left_out = []
    for done, ((image, _, hdu, plane), own) in enumerate(by_image.items(), 1):
        try:
            features, good = _of_image(image, hdu, plane, own, classifier)
        except (RbinferError, OSError) as error:
            left_out.append(f"{len(own)} labels of {image}: {error}")
        else:
            kept += [label for label, is_good in zip(own, good, strict=True) if is_good]
            parts.append(features[good])
            if not good.all():
                left_out.append(f"{np.count_nonzero(~good)} labels of {image}: no cutout can be made")
        if progress is not None:
            progress(done, len(by_image))
    for reason in left_out:
        log.warning("left out: %s", reason)
    return LabelFeatures(kept, np.concatenate(parts), left_out)


def _of_image(
    image: str, hdu: int, plane: str, labels: Sequence[Label], classifier: Classifier
) -> tuple[F32, NDArray[np.bool_]]:
    if not os.path.isfile(image):
        raise RbinferError("the image is not there any more")
    if digest(image) != labels[0].hash:
        raise RbinferError("the image has changed since it was labelled")
    exposure = load_image(image, None if hdu == FIRST_HDU else hdu, plane or None)
    x, y = (np.array([getattr(label, name) for label in labels]) for name in ("x", "y"))
    noted = _Noted.of(labels)
    near = np.hypot(noted.peak_x - x, noted.peak_y - y) <= _NEAR
    peak_x, peak_y = (np.where(near, values, np.nan) for values in (noted.peak_x, noted.peak_y))
    _fill_in(exposure, x, y, (peak_x, peak_y))
    features = np.full((len(labels), len(classifier.spec.classes)), np.nan, np.float32)
    for width in np.unique(noted.fwhm):  # NaN once: measured on the image
        own = np.flatnonzero((noted.fwhm == width) | (np.isnan(noted.fwhm) & np.isnan(width)))
        scores = classifier.score(
            exposure,
            x[own],
            y[own],
            fwhm=None if np.isnan(width) else float(width),
            peaks=(peak_x[own], peak_y[own]),
        )
        assert scores.classes is not None  # the features
        features[own] = scores.classes
    return features, np.asarray(np.isfinite(features).all(axis=1))


class _Noted(NamedTuple):
    """What the scored catalogues of labels tell of them; arrays (n,), NaN where they tell nothing."""

    fwhm: F64
    peak_x: F64
    peak_y: F64

    @classmethod
    def of(cls, labels: Sequence[Label]) -> Self:
        found = cls(*np.full((3, len(labels)), np.nan))
        catalogues = np.array([label.catalog for label in labels])
        rows = np.array([label.row for label in labels])
        for name in np.unique(catalogues):
            own = np.flatnonzero((catalogues == name) & (rows >= 0))
            if not (name and len(own)):
                continue
            try:
                table = read_catalog(str(name))
                brightest = peaks(table)
            except (RbinferError, OSError) as error:
                log.warning("%s tells nothing of its labels: %s", name, error)
                continue
            found.fwhm[own] = _noted_fwhm(table)
            if brightest is not None and rows[own].max() < len(table):
                found.peak_x[own], found.peak_y[own] = (values[rows[own]] for values in brightest)
        return found


def _noted_fwhm(table: "Table") -> float:
    """Return the FWHM that a catalogue was scored with; NaN where it does not tell that of one image."""
    meta = {str(key).lower(): value for key, value in table.meta.items()}  # FITS knows upper case alone
    noted = meta.get("rb_fwhm")
    if HDU_COLUMN in table.colnames or not isinstance(noted, int | float) or not noted > 0:
        return math.nan
    return float(noted)


def _fill_in(exposure: Exposure, x: F64, y: F64, peak: tuple[F64, F64]) -> None:
    """Set the brightest pixel of each that has none to the brightest nearby."""
    peak_x, peak_y = peak
    none = np.flatnonzero(~np.isfinite(peak_x) & np.isfinite(x) & np.isfinite(y))
    column, row = (np.rint(values[none]).astype(np.int64) for values in (x, y))
    side = np.arange(-_REACH, _REACH + 1)
    offsets: tuple[I64, I64] = np.tile(side, len(side)), np.repeat(side, len(side))
    pixels = np.nan_to_num(around(exposure.pixels, column, row, offsets), nan=-np.inf)
    brightest = pixels.argmax(axis=0)
    peak_x[none], peak_y[none] = column + offsets[0][brightest], row + offsets[1][brightest]
