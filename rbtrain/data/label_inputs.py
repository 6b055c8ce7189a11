"""Labels as a network is shown them: found in their images and cut as when they are scored."""

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rbinfer import PreprocessSpec
from rbinfer._util.hashing import digest
from rbinfer.errors import InputError, RbinferError
from rbinfer.io.exposure import MEASURED, Exposure, Width
from rbinfer.io.labels import FIRST_HDU, Label
from rbinfer.io.noted import options_in
from rbinfer.io.positions import peaks
from rbinfer.io.tables import read_catalog
from rbinfer.measure.estimate import measure_width
from rbinfer.measure.even import evened
from rbinfer.measure.given import width_of_psf
from rbinfer.measure.psf import measure_psf
from rbinfer.model.stamps import Stamps
from rbinfer.pipeline.frames import Frames
from rbinfer.pipeline.mosaic import HDU_COLUMN
from rbinfer.pipeline.options import PixelOptions
from rbinfer.runs.search import type_of
from rbinfer.scoring.prepare import Prepared, by_region, prepare
from rbinfer.status import is_scored

from .._arrays import F64, I64, Bools
from .._pixels import around
from .harvested import DARK
from .seen import Seen

log = logging.getLogger(__name__)

#: The brightest pixel of a detection without a catalogue is looked for within so many pixels.
_REACH = 2
#: That of a catalogue lies within so many pixels of the label, or is of another row.
_NEAR = 5.0
#: Options about pixels that a catalogue notes, and their types.
_OPTIONS: dict[str, Any] = {
    "bayer": bool,
    "mask": str,
    "bad_bits": int,
    "err": str,
    "saturation": int | float,
    "psf": str,
}
#: Source of a width that was not measured.
_GIVEN = "given"
#: Where widths are from of frames that were measured and showed no stars.
_NO_STARS = "borrowed", "header", "catalogue", "assumed"


class LabelInputs(NamedTuple):
    """Labels that were found, and what a network is shown of each.

    Attributes
    ----------
    labels : list of Label
    seen : Seen
    left_out : list of str
        Why others were left out, in a sentence for each image and catalogue.
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
    detection that can't be scored. What the scored catalogue notes of the pixels holds again: colour
    filters, mask, noise map, saturation, PSF; labels whose catalogue names a file that is gone are left
    out.

    Parameters
    ----------
    labels : sequence of Label
    preprocess : PreprocessSpec
        Of the network.
    progress : callable, optional
        Called as ``progress(parts_done, parts)``; a part is an image with a catalogue.

    Returns
    -------
    LabelInputs
        In the order of the images.
    """
    groups: dict[tuple[str, str, int, str, str], list[Label]] = {}
    for label in labels:
        place = (label.image, label.hash, label.hdu, label.plane, label.catalog)
        groups.setdefault(place, []).append(label)
    kept: list[Label] = []
    parts = [Seen.none(preprocess.size)]
    left_out = []
    for done, own in enumerate(groups.values(), 1):
        image = own[0].image
        try:
            seen, good = _of_image(own, preprocess)
        except (RbinferError, OSError) as error:
            left_out.append(f"{len(own)} labels of {image}: {error}")
        else:
            kept += [label for label, is_good in zip(own, good, strict=True) if is_good]
            parts.append(seen.taken(good))
            if not good.all():
                left_out.append(f"{np.count_nonzero(~good)} labels of {image}: no cutout can be made")
        if progress is not None:
            progress(done, len(groups))
    for reason in left_out:
        log.warning("left out: %s", reason)
    return LabelInputs(kept, Seen.joined(parts), left_out)


def _of_image(labels: Sequence[Label], preprocess: PreprocessSpec) -> tuple[Seen, Bools]:
    """Return the inputs of labels of one image and catalogue, and which of them can be scored."""
    first = labels[0]
    if not os.path.isfile(first.image):
        raise RbinferError("the image is not there any more")
    if digest(first.image) != first.hash:
        raise RbinferError("the image has changed since it was labelled")
    noted = _Noted.of(labels)
    frames = Frames(first.image, None, noted.pixels)
    exposure = evened(frames.read(None if first.hdu == FIRST_HDU else first.hdu))
    x, y = (np.array([getattr(label, name) for label in labels]) for name in ("x", "y"))
    near = np.hypot(noted.peak_x - x, noted.peak_y - y) <= _NEAR
    peak_x, peak_y = (np.where(near, values, np.nan) for values in (noted.peak_x, noted.peak_y))
    _fill_in(exposure, x, y, (peak_x, peak_y))
    star = frames.star(exposure.hdu)
    width = _width(exposure, noted.width, star, first.image, _show_sky(labels))
    exposure = replace(exposure, width=width)
    return _cut(prepare(exposure, preprocess, x, y, peaks=(peak_x, peak_y)))


def _cut(prepared: Prepared) -> tuple[Seen, Bools]:
    """Return the inputs of rows, each region's with its own star, and which rows can be scored."""
    parts, can_be_scored, of_rows = [], [], []
    for rows, part in by_region(prepared):
        cut = part.cutter.cut(part.x, part.y)
        stamps = Stamps.of(part.psf, part.cutter.spec.size, len(rows), part.width.population)
        parts.append(Seen(cut.pixels, stamps, cut.core))
        can_be_scored.append(is_scored(cut.status) & ~part.no_data)
        of_rows.append(rows)
    in_order = np.argsort(np.concatenate(of_rows))
    return Seen.joined(parts).taken(in_order), np.concatenate(can_be_scored)[in_order]


def _show_sky(labels: Sequence[Label]) -> bool:
    """Whether an image may show the sky, unlike a dark by its labels, or a calibration by its header."""
    told = type_of(labels[0].image)
    is_dark = told is not None and told.is_calibration
    return not is_dark and all(DARK not in label.evidence.split("+") for label in labels)


class _NotedWidth(NamedTuple):
    """The FWHM in pixels that a catalogue was scored with, and where it was from."""

    fwhm: float
    source: str


def _width(
    exposure: Exposure,
    noted: _NotedWidth | None,
    star: NDArray[np.generic] | None,
    image: str,
    is_sky: bool,
) -> Width:
    """Return the width that labels were scored with; measured where it is not noted."""
    if star is not None:
        return width_of_psf(star, noted.fwhm if noted is not None and noted.source == _GIVEN else None)
    if noted is None:
        return measure_width(exposure, name=image, is_sky=is_sky)
    if noted.source == MEASURED:  # with the star, which no catalogue holds
        return replace(measure_width(exposure, name=image, is_sky=is_sky), fwhm=noted.fwhm)
    looked_at = noted.source in _NO_STARS
    population = measure_psf(exposure).population if looked_at else None
    return Width(noted.fwhm, _GIVEN, population=population)


class _Noted(NamedTuple):
    """What the scored catalogue of some labels tells of them.

    Attributes
    ----------
    pixels : PixelOptions
    width : _NotedWidth or None
    peak_x, peak_y : ndarray of float64, shape (n,)
        NaN where it tells nothing.
    """

    pixels: PixelOptions
    width: _NotedWidth | None
    peak_x: F64
    peak_y: F64

    @classmethod
    def of(cls, labels: Sequence[Label]) -> Self:
        """Read the catalogue that all of some labels name.

        Raises
        ------
        InputError
            It notes options that can't be used.
        """
        name, plane = labels[0].catalog, labels[0].plane or None
        rows = np.array([label.row for label in labels])
        unknown = cls(_pixels({}, plane), None, *np.full((2, len(labels)), np.nan))
        if not name:
            return unknown
        try:
            table = read_catalog(name)
            brightest = peaks(table)
        except (RbinferError, OSError) as error:
            log.warning("%s tells nothing of its labels: %s", name, error)
            return unknown
        meta = {str(key).lower(): value for key, value in table.meta.items()}  # FITS knows upper case
        peak_x, peak_y = unknown.peak_x, unknown.peak_y
        if brightest is not None and 0 <= rows.max() < len(table):
            peak_x, peak_y = (np.where(rows >= 0, values[rows], np.nan) for values in brightest)
        of_one = HDU_COLUMN not in table.colnames
        width = _noted_width(meta) if of_one else None
        return cls(_pixels(options_in(meta.get("rb_opts")), plane), width, peak_x, peak_y)


def _noted_width(meta: Mapping[str, Any]) -> _NotedWidth | None:
    """Return the width that a catalogue of one image was scored with; None where it is not told."""
    noted = meta.get("rb_fwhm")
    if not isinstance(noted, int | float) or not (math.isfinite(noted) and noted > 0):
        return None
    return _NotedWidth(float(noted), str(meta.get("rb_fwhm_source")))


def _pixels(options: Mapping[str, Any], plane: str | None) -> PixelOptions:
    """Return what was known of the pixels when a catalogue was scored, of the plane that is named."""
    known = dict.fromkeys(_OPTIONS)
    for name, kinds in _OPTIONS.items():
        known[name] = options.get(name)
        if not isinstance(known[name], kinds | None):
            raise InputError(
                f"its catalogue notes {name} = {known[name]!r}, which can't be; score it again"
            )
    return PixelOptions(plane=plane, **known)


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
