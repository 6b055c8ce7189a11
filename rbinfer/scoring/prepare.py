"""From an exposure and positions to what the engine scores, and what the frame says of every row."""

import dataclasses
import logging
import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._util.arguments import as_level, as_number, as_peaks, as_pixels, as_positions
from ..cutouts.centring import centres
from ..cutouts.cutter import Cutouts, Cutter
from ..cutouts.star import star_on_grid
from ..io.exposure import Exposure, Width
from ..measure.even import as_cut
from ..measure.nodata import lies_in_no_data, with_no_data
from ..model.spec import ModelSpec, PreprocessSpec
from ..status import Status
from .verdicts import Scores

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)


class Prepared(NamedTuple):
    """What is to be scored.

    Attributes
    ----------
    exposure : Exposure
    cutter : Cutter
    x, y : ndarray of float64, shape (n,)
        Positions as they are cut.
    width : Width
    no_data : ndarray of bool, shape (n,)
        Positions in areas without data.
    psf : ndarray of float32, shape (size, size), or None
        The star of the frame on the grid of the cutouts; None where it is not known.
    """

    exposure: Exposure
    cutter: Cutter
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    width: Width
    no_data: NDArray[np.bool_]
    psf: NDArray[np.float32] | None


def prepare(
    exposure: Exposure,
    spec: PreprocessSpec,
    x: ArrayLike,
    y: ArrayLike,
    *,
    fwhm: float | None = None,
    psf: ArrayLike | os.PathLike[str] | None = None,
    asinh_softening: float | None = None,
    peaks: tuple[ArrayLike, ArrayLike] | None = None,
    table: "Table | None" = None,
) -> Prepared:
    """Check positions, find no-data areas, measure the FWHM, and centre on brightest pixels.

    Parameters
    ----------
    exposure : Exposure
    spec : PreprocessSpec
        Of the model.
    x, y : array_like, shape (n,)
        0-based positions in pixels.
    fwhm, psf, asinh_softening, peaks
        As for `rbinfer.Classifier.score`.
    table : Table, optional
        Catalogue of the positions.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        Positions, a PSF or parameters that cannot be used.
    """
    columns, rows = as_positions(x, y)
    brightest = None if peaks is None else as_peaks(peaks, len(columns))
    if asinh_softening is not None:
        softening = as_number(asinh_softening, "asinh_softening")
        spec = dataclasses.replace(spec, asinh_softening=softening)
    exposure = with_no_data(exposure)
    exposure = as_cut(exposure, spec)
    width = _width(exposure, fwhm, psf, table)
    if spec.likely_width and width.likely_fwhm is not None:
        width = dataclasses.replace(width, fwhm=width.likely_fwhm, likely_fwhm=None)
    exposure = dataclasses.replace(exposure, width=width)
    no_data = lies_in_no_data(exposure, columns, rows)
    if brightest is not None and spec.recentre > 0:
        columns, rows = centres(exposure, columns, rows, *brightest, reach=spec.size // 2)
    return _prepared(exposure, width, spec, columns, rows, no_data)


def _prepared(
    exposure: Exposure,
    width: Width,
    spec: PreprocessSpec,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    no_data: NDArray[np.bool_],
) -> Prepared:
    psf = None
    if width.stamp is not None:
        from ..measure.mean_star import FWHM as STAMP_FWHM

        psf = star_on_grid(width.stamp, width.stamp_fwhm / STAMP_FWHM, spec, width.fwhm)
    return Prepared(exposure, Cutter.prepare(exposure, spec), x, y, width, no_data, psf)


def by_region(prepared: Prepared) -> list[tuple[NDArray[np.intp], Prepared]]:
    """Part what is to be scored by the stars that belong to it.

    Parameters
    ----------
    prepared : Prepared

    Returns
    -------
    list of (ndarray of intp, Prepared)
        Rows, and what they are scored with; all in one where one star stands for the frame.
    """
    n, widths = len(prepared.x), prepared.width.regions
    if not widths or not n:
        return [(np.arange(n), prepared)]
    from ..measure.ninths import ninth_of

    ninth = ninth_of(prepared.x, prepared.y, prepared.exposure.shape)
    parts = []
    for k in np.unique(ninth):
        rows = np.flatnonzero(ninth == k)
        part = _prepared(
            dataclasses.replace(prepared.exposure, width=widths[k]),
            widths[k],
            prepared.cutter.spec,
            prepared.x[rows],
            prepared.y[rows],
            prepared.no_data[rows],
        )
        parts.append((rows, part))
    return parts


def cut(prepared: Prepared) -> Cutouts:
    """Cut what the network sees of each row, in the order of the rows."""
    parts = by_region(prepared)
    if len(parts) == 1:
        only = parts[0][1]
        return only.cutter.cut(only.x, only.y)
    cutouts = Cutouts.empty(len(prepared.x), prepared.cutter.spec.size)
    for rows, part in parts:
        for whole, own in zip(cutouts, part.cutter.cut(part.x, part.y), strict=True):
            whole[rows] = own
    return cutouts


def _width(
    exposure: Exposure,
    fwhm: float | None,
    psf: ArrayLike | os.PathLike[str] | None,
    table: "Table | None",
) -> Width:
    """Return the width that the caller gives, or that was measured, or else measure it."""
    known = None if fwhm is None else as_level(as_pixels(fwhm, "fwhm"), "fwhm")
    # What measures is imported where it is wanted: a start with a given width does without.
    if psf is not None:
        from ..measure.given import width_of_psf

        return width_of_psf(psf, known)
    if known is not None:
        return Width(known, "given")
    if exposure.width is not None:
        return exposure.width
    from ..measure.estimate import measure_width

    return measure_width(exposure, table)


def note_frame(scores: Scores, prepared: Prepared, spec: ModelSpec) -> None:
    """Write into scores what the frame says of its rows: no-data areas, and a FWHM to be wary of.

    Parameters
    ----------
    scores : Scores
        Changed.
    prepared : Prepared
    spec : ModelSpec
        Of the model.
    """
    empty = prepared.no_data
    # That says it all: of course there are too few good pixels.
    scores.status[empty] &= ~int(Status.TOO_FEW_GOOD_PIXELS)
    scores.status[empty] |= int(Status.NO_DATA)
    scores.score[empty] = np.nan
    if scores.classes is not None:
        scores.classes[empty] = np.nan
    width = prepared.width
    if not spec.fwhm_range[0] <= width.fwhm <= spec.fwhm_range[1]:
        scores.status[:] |= int(Status.FWHM_OUT_OF_RANGE)
        log.warning(
            "FWHM %s px (%s) is outside the %.2f to %.2f px that the model was trained on",
            format(width.fwhm, ".2f" if 0.01 <= width.fwhm < 1e6 else ".2g"),
            width.source,
            *spec.fwhm_range,
        )
    if not width.is_trusted:
        scores.status[:] |= int(Status.FWHM_ASSUMED)
