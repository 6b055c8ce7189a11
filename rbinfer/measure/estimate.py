"""The FWHM that an image is scored with, and where it is from."""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.exposure import Exposure, Width
from ..model.spec import DEFAULT_FWHM
from .detect import detect
from .fwhm import estimate_fwhm

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Least FWHM, in pixels, that is believed on less than a full measurement.
_WIDE = 1.9
#: Stars that must agree where there are too few for a measurement.
_FEW = 2


def measure_width(
    exposure: Exposure,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    table: "Table | None" = None,
) -> Width:
    """Find the FWHM of an image's stars.

    From the star-like among the given positions; failing that, from detections of our own; failing
    that, from those in the image binned 2 x 2, where wide faint stars stand out. Where too few stars
    agree for that to be a measurement, from two that do; failing that, from the catalogue's columns
    ``fwhm`` or ``a``; failing that, 3 pixels.

    Parameters
    ----------
    exposure : Exposure
    x, y : ndarray of float64, shape (n,)
        0-based positions in pixels.
    table : Table, optional
        Catalogue of the positions.

    Returns
    -------
    Width
    """
    image, mask, saturation = exposure.pixels, exposure.mask, exposure.saturation
    if len(x) == 0:
        return Width(DEFAULT_FWHM, "assumed")
    estimate = estimate_fwhm(image, x, y, mask=mask, saturation=saturation)
    if estimate.fwhm is not None:
        return Width(float(estimate.fwhm), "measured")
    why = estimate.reason
    own = _own_detections(image, mask)
    estimate = estimate_fwhm(image, *own, mask=mask, saturation=saturation)
    if estimate.fwhm is not None:
        return Width(float(estimate.fwhm), "measured")
    small, small_mask = _binned(image, mask)
    own_small = _own_detections(small, small_mask)
    estimate = estimate_fwhm(small, *own_small, mask=small_mask, saturation=saturation)
    # Sharper ones would have been seen at full resolution: these are cosmic rays.
    if estimate.fwhm is not None and estimate.fwhm > _WIDE:
        return Width(2.0 * float(estimate.fwhm), "measured")
    for factor, data, bad, places in ((1, image, mask, own), (2, small, small_mask, own_small)):
        estimate = estimate_fwhm(data, *places, mask=bad, saturation=saturation, min_stars=_FEW)
        if estimate.fwhm is not None and estimate.fwhm > _WIDE:
            few = factor * float(estimate.fwhm)
            log.warning("FWHM from %d stars only: %.2f px", estimate.n_stars, few)
            return Width(few, "few stars")
    value = None if table is None else catalogue_fwhm(table)
    if value is not None:
        log.warning("FWHM not measured (%s); the catalogue's %.2f px is used", why, value)
        return Width(value, "catalogue")
    log.warning("FWHM not measured (%s); %.1f px is assumed", why, DEFAULT_FWHM)
    return Width(DEFAULT_FWHM, "assumed")


def _own_detections(
    image: NDArray[np.float32], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        found = detect(image, mask=mask)
    except InputError as error:
        log.warning("no detections to measure the FWHM on: %s", error)
        return np.zeros(0), np.zeros(0)
    return np.asarray(found["x"], np.float64), np.asarray(found["y"], np.float64)


def _binned(
    image: NDArray[np.float32], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return the means of 2 x 2 blocks; a block with a masked pixel is masked."""
    height, width = (n // 2 * 2 for n in image.shape)

    def blocks(a: NDArray[Any]) -> NDArray[Any]:
        return a[:height, :width].reshape(height // 2, 2, width // 2, 2)

    with np.errstate(invalid="ignore", over="ignore"):
        small: NDArray[np.float32] = blocks(image).mean(axis=(1, 3), dtype=np.float32)
    if mask is None:
        return small, None
    bad: NDArray[np.bool_] = np.asarray(blocks(mask).any(axis=(1, 3)))
    return small, bad


def catalogue_fwhm(table: "Table") -> float | None:
    """FWHM from a catalogue's columns, as the reference takes it.

    The median of column ``fwhm``, else 2.35 times that of ``a`` (a Gaussian's FWHM per sigma), else
    None. A column that is not of numbers of pixels is passed over with a warning.
    """
    from ..io.columns import in_pixels

    for name, factor in (("fwhm", 1.0), ("a", 2.35)):
        if name in table.colnames and len(table):
            try:
                values = in_pixels(table[name], name)
            except InputError as error:
                log.warning("not used for the FWHM: %s", error)
                continue
            values = values[np.isfinite(values)]
            if values.size and np.median(values) > 0:
                return factor * float(np.median(values))
    return None
