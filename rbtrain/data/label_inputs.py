"""Labels as a network is shown them: found in their images and cut as when they are scored."""

import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rbinfer import PreprocessSpec
from rbinfer._util.hashing import digest
from rbinfer.errors import RbinferError
from rbinfer.io.exposure import MEASURED, Exposure, Width
from rbinfer.io.images import load_image
from rbinfer.io.labels import FIRST_HDU, Label
from rbinfer.io.positions import peaks
from rbinfer.io.tables import read_catalog
from rbinfer.measure.estimate import measure_width
from rbinfer.measure.nodata import with_no_data
from rbinfer.model.stamps import Stamps
from rbinfer.pipeline.mosaic import HDU_COLUMN
from rbinfer.scoring.prepare import prepare
from rbinfer.status import is_scored

from .._arrays import F64, I64, Bools
from .._pixels import around
from .seen import Seen

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: The brightest pixel of a detection without a catalogue is looked for within so many pixels.
_REACH = 2
#: That of a catalogue lies within so many pixels of the label, or is of another row.
_NEAR = 5.0


class LabelInputs(NamedTuple):
    """Labels that were found, and what a network is shown of each.

    Attributes
    ----------
    labels : list of Label
    seen : Seen
    left_out : list of str
        Why others were left out, in a sentence for each image.
    """

    labels: list[Label]
    seen: Seen
    left_out: list[str]


def label_inputs(
    labels: Sequence[Label],
    preprocess: PreprocessSpec,
    progress: Callable[[int, int], None] | None = None,
) -> LabelInputs:
    """Cut labelled detections from their images.

    An image that is gone, or is not the file that was labelled, is left out with its labels, and so is a
    detection that can't be scored.

    Parameters
    ----------
    labels : sequence of Label
    preprocess : PreprocessSpec
        Of the network.
    progress : callable, optional
        Called as ``progress(images_done, images)``.

    Returns
    -------
    LabelInputs
        In the order of the images.
    """
    by_image: dict[tuple[str, str, int, str], list[Label]] = {}
    for label in labels:
        by_image.setdefault((label.image, label.hash, label.hdu, label.plane), []).append(label)
    kept: list[Label] = []
    parts = [Seen.none(preprocess.size)]
    left_out = []
    for done, ((image, _, hdu, plane), own) in enumerate(by_image.items(), 1):
        try:
            seen, good = _of_image(image, hdu, plane, own, preprocess)
        except (RbinferError, OSError) as error:
            left_out.append(f"{len(own)} labels of {image}: {error}")
        else:
            kept += [label for label, is_good in zip(own, good, strict=True) if is_good]
            parts.append(seen.taken(good))
            if not good.all():
                left_out.append(f"{np.count_nonzero(~good)} labels of {image}: no cutout can be made")
        if progress is not None:
            progress(done, len(by_image))
    for reason in left_out:
        log.warning("left out: %s", reason)
    return LabelInputs(kept, Seen.joined(parts), left_out)


def _of_image(
    image: str, hdu: int, plane: str, labels: Sequence[Label], preprocess: PreprocessSpec
) -> tuple[Seen, Bools]:
    """Return the inputs of the labels of an image, and which of them can be scored."""
    if not os.path.isfile(image):
        raise RbinferError("the image is not there any more")
    if digest(image) != labels[0].hash:
        raise RbinferError("the image has changed since it was labelled")
    exposure = with_no_data(load_image(image, None if hdu == FIRST_HDU else hdu, plane or None))
    x, y = (np.array([getattr(label, name) for label in labels]) for name in ("x", "y"))
    noted = _Noted.of(labels)
    near = np.hypot(noted.peak_x - x, noted.peak_y - y) <= _NEAR
    peak_x, peak_y = (np.where(near, values, np.nan) for values in (noted.peak_x, noted.peak_y))
    _fill_in(exposure, x, y, (peak_x, peak_y))
    good = np.zeros(len(labels), bool)
    rows, parts = [], []
    for number in np.unique(noted.width):
        own = np.flatnonzero(noted.width == number)
        exposed = replace(exposure, width=_width(exposure, noted.widths[number]))
        prepared = prepare(exposed, preprocess, x[own], y[own], peaks=(peak_x[own], peak_y[own]))
        cut = prepared.cutter.cut(prepared.x, prepared.y)
        good[own] = is_scored(cut.status) & ~prepared.no_data
        stamps = Stamps.of(prepared.psf, preprocess.size, len(own))
        rows.append(own)
        parts.append(Seen(cut.pixels, stamps, cut.core))
    return Seen.joined(parts).taken(np.argsort(np.concatenate(rows))), good


class _NotedWidth(NamedTuple):
    """The FWHM in pixels that a catalogue was scored with, and whether it was measured on the image."""

    fwhm: float
    was_measured: bool


def _width(exposure: Exposure, noted: _NotedWidth | None) -> Width:
    """Return the width that labels were scored with; measured where it is not noted."""
    if noted is None:
        return measure_width(exposure)
    if noted.was_measured:  # with the star, which no catalogue holds
        return replace(measure_width(exposure), fwhm=noted.fwhm)
    return Width(noted.fwhm, "given")


class _Noted(NamedTuple):
    """What the scored catalogues of labels tell of them.

    Attributes
    ----------
    widths : list of _NotedWidth or None
        Each once; None, the first, is not known.
    width : ndarray of int, shape (n,)
        Which of them is that of each label.
    peak_x, peak_y : ndarray of float64, shape (n,)
        NaN where they tell nothing.
    """

    widths: list[_NotedWidth | None]
    width: NDArray[np.intp]
    peak_x: F64
    peak_y: F64

    @classmethod
    def of(cls, labels: Sequence[Label]) -> Self:
        n = len(labels)
        found = cls([None], np.zeros(n, np.intp), *np.full((2, n), np.nan))
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
            width = _noted_width(table)
            if width not in found.widths:
                found.widths.append(width)
            found.width[own] = found.widths.index(width)
            if brightest is not None and rows[own].max() < len(table):
                found.peak_x[own], found.peak_y[own] = (values[rows[own]] for values in brightest)
        return found


def _noted_width(table: "Table") -> _NotedWidth | None:
    """Return the width that a catalogue of one image was scored with; None where it is not told."""
    meta = {str(key).lower(): value for key, value in table.meta.items()}  # FITS knows upper case alone
    noted = meta.get("rb_fwhm")
    if HDU_COLUMN in table.colnames or not isinstance(noted, int | float):
        return None
    if not (math.isfinite(noted) and noted > 0):
        return None
    return _NotedWidth(float(noted), meta.get("rb_fwhm_source") == MEASURED)


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
