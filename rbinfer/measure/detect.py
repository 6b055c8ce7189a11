"""Source detection, for images that come without a catalogue."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..kernels import constants as c
from .detectors import DETECTOR, DETECTORS

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["detect", "detected_columns"]

_COLUMNS = {
    "x": np.float64,
    "y": np.float64,
    "xpeak": np.int32,
    "ypeak": np.int32,
    "flux": np.float64,
    "peak": np.float64,
    "a": np.float64,
    "b": np.float64,
    "theta": np.float64,
    "npix": np.int32,
    "flags": np.int32,
    "fwhm": np.float64,
}


def detect(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    threshold: float = 5.0,
    minarea: int = 3,
    matched_filter: bool = True,
    deblend_cont: float = 0.005,
    detector: str = DETECTOR,
    threads: int = 1,
) -> "Table":
    """Detect sources.

    The background is subtracted and, by default, the image smoothed with the 3 x 3 kernel that is
    the default of SEP and SExtractor.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Native byte order, C-contiguous, as from `rbinfer.io.arrays.as_image`. Pixels that are not
        finite count as masked.
    mask : ndarray of bool, shape (ny, nx), optional
        True for bad pixels.
    threshold : float
        Level above the background in units of the noise, both of the smoothed image if it is.
    minarea : int
        Least number of connected pixels above the threshold.
    matched_filter : bool
        Smooth before the threshold is applied; without it single-pixel hits are found too.
    deblend_cont : float
        Least share of the light that a peak must have to become a source of its own; 1 for no
        deblending.
    detector : {"rbinfer", "sep"}
        The kernels of rbinfer, or SEP.
    threads : int
        Threads of the kernels; what they find does not depend on it. SEP has one.

    Returns
    -------
    Table
        One row a source, with ``x``, ``y`` (0-based centroid, pixels), ``xpeak``, ``ypeak``
        (brightest pixel), ``flux`` (isophotal) and ``peak`` above the background, ``a``, ``b``
        (rms along the axes, pixels), ``theta`` (radians), ``npix``, ``flags`` (of SEP) and
        ``fwhm`` (that of a Gaussian with those axes, pixels). Without rows when the image is
        constant, or no cell of 64 x 64 pixels is half good or has 64 good pixels, of which a warning
        is logged; SEP needs one good pixel.

    Raises
    ------
    InputError
        `threshold`, `minarea` or `threads` is not above 0, `deblend_cont` no share, `detector` none
        of those, the mask's shape not the image's, or SEP cannot handle the image.
    """
    from astropy.table import Table

    how = (threshold, minarea, matched_filter, deblend_cont)
    return Table(detected_columns(image, mask, *how, detector, threads))


def detected_columns(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    threshold: float = 5.0,
    minarea: int = 3,
    matched_filter: bool = True,
    deblend_cont: float = 0.005,
    detector: str = DETECTOR,
    threads: int = 1,
) -> dict[str, NDArray[Any]]:
    """Detect sources as `detect` does, without Astropy; returns the columns of its table by name."""
    if not (np.isfinite(threshold) and threshold > 0):
        raise InputError(f"the threshold must be finite and above 0, not {threshold}")
    if not 0 <= deblend_cont <= 1:
        raise InputError(f"deblend_cont must lie between 0 and 1, not {deblend_cont}")
    if minarea < 1:
        raise InputError(f"minarea must be at least 1, not {minarea}")
    if threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}")
    if mask is not None and mask.shape != image.shape:
        raise InputError(
            f"the mask's shape {mask.shape} is not the image's, {image.shape}; give one value a pixel"
        )
    if detector not in DETECTORS:
        raise InputError(f"the detector must be one of {', '.join(DETECTORS)}, not {detector!r}")
    how = (float(threshold), int(minarea), bool(matched_filter), float(deblend_cont))
    if detector == "sep":
        from .sep_detector import extract

        found = extract(image, mask, *how)
        return _typed(lambda name: np.zeros(0) if found is None else _of_sep(found, name))
    from .islands import find_detections

    rows = find_detections(image, mask, *how, threads)
    return _typed(_columns_of(rows).__getitem__)


def _of_sep(found: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a column, by the name that it has in this version of SEP."""
    if name == "flags" and "flag" in (found.dtype.names or ()):
        name = "flag"
    values: NDArray[Any] = found[name]
    return values


def _columns_of(rows: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the columns of what the kernels found."""
    middle, difference = (rows[:, c.XX] + rows[:, c.YY]) / 2, rows[:, c.XX] - rows[:, c.YY]
    root = np.hypot(difference / 2, rows[:, c.XY])
    return {
        "x": rows[:, c.FIRST_X],
        "y": rows[:, c.FIRST_Y],
        "xpeak": rows[:, c.PEAK_X],
        "ypeak": rows[:, c.PEAK_Y],
        "flux": rows[:, c.FLUX],
        "peak": rows[:, c.PEAK],
        "a": np.sqrt(middle + root),
        "b": np.sqrt(np.maximum(middle - root, 0.0)),
        "theta": np.arctan2(2 * rows[:, c.XY], difference) / 2,
        "npix": rows[:, c.N_PIXELS],
        "flags": rows[:, c.FLAGS],
    }


def _typed(column: Callable[[str], NDArray[Any]]) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {}
    for name, kind in _COLUMNS.items():
        if name == "fwhm":
            values = 2.0 * np.sqrt(np.log(2.0) * (columns["a"] ** 2 + columns["b"] ** 2))
        else:
            values = column(name)
        columns[name] = values.astype(kind)
    return columns
