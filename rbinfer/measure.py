"""The FWHM that an image is scored with, and where it is from."""

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .detect import detect
from .errors import InputError
from .fwhm import estimate_fwhm
from .spec import DEFAULT_FWHM

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """A FWHM in pixels and where it is from: given, measured, catalogue or assumed."""

    fwhm: float
    source: str

    @property
    def is_trusted(self) -> bool:
        """Whether somebody gave it or stars showed it."""
        return self.source in ("given", "measured")


def measure_fwhm(
    image: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    mask: NDArray[np.bool_] | None = None,
    saturation: float | None = None,
    table: "Table | None" = None,
) -> Measured:
    """Find the FWHM of an image's stars.

    From the star-like among the given positions; failing that, from detections of our own; failing
    that, from the catalogue's columns ``fwhm`` or ``a``; failing that, 3 pixels.

    Parameters
    ----------
    image : ndarray of float32, shape (height, width)
    x, y : ndarray of float64, shape (n,)
        0-based positions in pixels.
    mask : ndarray of bool, shape (height, width), optional
    saturation : float, optional
    table : Table, optional
        Catalogue of the positions.

    Returns
    -------
    Measured
    """
    if len(x) == 0:
        return Measured(DEFAULT_FWHM, "assumed")
    estimate = estimate_fwhm(image, x, y, mask=mask, saturation=saturation)
    if estimate.fwhm is None:
        try:
            found = detect(image, mask=mask)
        except InputError as error:
            log.warning("no detections to measure the FWHM on: %s", error)
        else:
            estimate = estimate_fwhm(
                image, np.asarray(found["x"]), np.asarray(found["y"]), mask=mask, saturation=saturation
            )
    if estimate.fwhm is not None:
        return Measured(float(estimate.fwhm), "measured")
    value = None if table is None else catalogue_fwhm(table)
    if value is not None:
        log.warning("FWHM not measured (%s); the catalogue's %.2f px is used", estimate.reason, value)
        return Measured(value, "catalogue")
    log.warning("FWHM not measured (%s); %.1f px is assumed", estimate.reason, DEFAULT_FWHM)
    return Measured(DEFAULT_FWHM, "assumed")


def catalogue_fwhm(table: "Table") -> float | None:
    """FWHM from a catalogue's columns, as the reference takes it.

    The median of column ``fwhm``, else 2.35 times that of ``a`` (a Gaussian's FWHM per sigma), else
    None.
    """
    for name, factor in (("fwhm", 1.0), ("a", 2.35)):
        if name in table.colnames and len(table):
            values: NDArray[np.float64] = np.ma.filled(np.ma.asarray(table[name], float), np.nan)
            values = values[np.isfinite(values)]
            if values.size and np.median(values) > 0:
                return factor * float(np.median(values))
    return None
