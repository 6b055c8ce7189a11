"""The FWHM that an image is scored with, and where it is from."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.exposure import NO_STARS, Exposure, Width
from ..io.header_width import header_fwhm
from ..io.positions import has_positions, positions
from ..model.spec import DEFAULT_FWHM
from .even import evened
from .lines import MOST_ON_LINE, is_close, line_through_most, needed_on_line
from .psf import FramePsf, measure_psf
from .regions import width_of

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: A catalogue's median width is believed above so many pixels, as of defocused stars,
_DEFOCUSED = 3.0
#: and with no more relative scatter than this: hits, galaxies and blends differ by more.
_NARROW = 0.15
#: Positions within so many pixels of a line are on it, and of so many trails at most in an image.
_TRAIL, _MOST_TRAILS = 5.0, 3


def measure_width(
    exposure: Exposure,
    table: "Table | None" = None,
    borrow: Callable[[Exposure], Width | None] | None = None,
    name: str = "",
    is_sky: bool = True,
) -> Width:
    """Find the FWHM of an image's stars.

    That of the frame's own stars, whatever the catalogue says, or of those of its ninths; failing that,
    that of other frames; failing that, what the header notes; failing that, the catalogue's median width
    if it is that of defocused stars; failing that, 3 pixels, beside which stands what is likely.

    Parameters
    ----------
    exposure : Exposure
    table : Table, optional
        Catalogue of the image.
    borrow : callable, optional
        Asked for the width of other frames of the same camera and filter; returns None where there are
        none.
    name : str
        What messages call the image where it is one of several; by default they do not name it.
    is_sky : bool
        False of a dark or another frame that is known to show none: then a width that is not that of
        stars is no news, and not warned of.

    Returns
    -------
    Width
    """
    exposure = evened(exposure)
    of = f"{name}: " if name else ""
    level = logging.WARNING if is_sky else logging.INFO
    found = measure_psf(exposure)
    width = width_of(exposure, found)
    if width is not None:
        if width.note:
            log.warning("%s%s", of, width.note)
        return width
    log.info("%sFWHM not measured: %s", of, found.reason)
    lent = None if borrow is None else borrow(exposure)
    if lent is not None:
        text = "%s%s FWHM %.2f px is that of %d other frames"
        log.log(level, text, of, NO_STARS, lent.fwhm, lent.n_frames)
        return replace(
            lent,
            n_stars=found.n_stars,
            n_fitted=found.n_fitted,
            note=NO_STARS,
            population=found.population,
        )
    noted = header_fwhm(exposure.header)
    if noted is not None:
        fwhm, source, where = noted[0], "header", f"that of the header ({noted[1]})"
    elif table is not None and (own := _defocused_fwhm(table)) is not None:
        fwhm, source, where = own, "catalogue", "the catalogue's"
    else:
        assumed = assumed_width(found)
        log.log(level, "%s%s %s", of, NO_STARS, _assumed(assumed))
        return assumed
    log.log(level, "%s%s FWHM %.2f px is %s", of, NO_STARS, fwhm, where)
    return Width(fwhm, source, found.n_stars, found.n_fitted, note=NO_STARS, population=found.population)


def star_of(exposure: Exposure) -> NDArray[np.float32] | None:
    """Return the star that an image is scored with, if it shows any.

    Parameters
    ----------
    exposure : Exposure

    Returns
    -------
    ndarray of float32, shape (31, 31), or None
        See `rbinfer.io.exposure.Width`.
    """
    exposure = evened(exposure)
    width = width_of(exposure, measure_psf(exposure))
    return None if width is None else width.stamp


def assumed_width(found: FramePsf) -> Width:
    """Return the width of a frame without stars, of which nothing is known from elsewhere."""
    return Width(
        DEFAULT_FWHM,
        "assumed",
        found.n_stars,
        found.n_fitted,
        note=NO_STARS,
        population=found.population,
        likely_fwhm=found.likely_fwhm,
    )


def _assumed(width: Width) -> str:
    if width.likely_fwhm is None:
        return f"FWHM {width.fwhm:.2f} px is assumed"
    return (
        f"what is most like stars is {width.likely_fwhm:.2f} px wide, but that is too little to be "
        f"sure; models that weigh this take it for the FWHM, others {width.fwhm:.2f} px"
    )


def _defocused_fwhm(table: "Table") -> float | None:
    """Return the median width of a catalogue if it can only be that of defocused stars."""
    widths = _widths(table)
    if widths is None:
        return None
    if has_positions(table):
        widths = widths[_off_trails(*positions(table))]
    widths = widths[np.isfinite(widths)]
    if not len(widths):
        return None
    median = float(np.median(widths))
    scatter = 1.4826 * float(np.median(np.abs(widths - median)))
    return median if median > _DEFOCUSED and scatter < _NARROW * median else None


def _off_trails(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which positions are not on a line with many others: pieces of a trail are alike, too."""
    off = np.isfinite(x) & np.isfinite(y)
    for _ in range(_MOST_TRAILS):
        if np.count_nonzero(off) < 3:
            break
        line, n_close = line_through_most(x[off], y[off], _TRAIL)
        if n_close < needed_on_line(min(int(np.count_nonzero(off)), MOST_ON_LINE)):
            break
        off &= ~is_close(line, x, y, 2 * _TRAIL)
    return off


def catalogue_fwhm(table: "Table") -> float | None:
    """FWHM from a catalogue's columns, as the reference takes it.

    The median of column ``fwhm``, else 2.35 times that of ``a`` (a Gaussian's FWHM per sigma), else
    None. A column that is not of numbers of pixels is passed over with a warning.
    """
    widths = _widths(table)
    return None if widths is None else float(np.nanmedian(widths))


def _widths(table: "Table") -> "NDArray[np.float64] | None":
    """Return the width of each row, NaN where it is not known; None without any."""
    from ..io.columns import in_pixels

    for name, factor in (("fwhm", 1.0), ("a", 2.35)):
        if name in table.colnames and len(table):
            try:
                values = in_pixels(table[name], name)
            except InputError as error:
                log.warning("not used for the FWHM: %s", error)
                continue
            values = np.where(np.isfinite(values), values, np.nan)
            if np.isfinite(values).any() and np.nanmedian(values) > 0:
                return factor * values
    return None
