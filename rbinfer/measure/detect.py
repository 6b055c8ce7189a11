"""Source detection with SEP, for images that come without a catalogue."""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import sep
from numpy.typing import NDArray

from ..errors import InputError
from ..kernels.constants import LARGEST

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["detect"]

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Spans of pixels that SEP takes as they are.
_SPANS = (1e-9, 1e12)
_MESH = 64  # pixels; side of the background mesh
_MAX_SUB_OBJECTS = 65536
_sep_sizes = threading.Lock()
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

    Returns
    -------
    Table
        One row a source, with ``x``, ``y`` (0-based centroid, pixels), ``xpeak``, ``ypeak``
        (brightest pixel), ``flux`` (isophotal) and ``peak`` above the background, ``a``, ``b``
        (rms along the axes, pixels), ``theta`` (radians), ``npix``, ``flags`` (of SEP) and
        ``fwhm`` (that of a Gaussian with those axes, pixels). Without rows when the image is
        constant or has no good pixel.

    Raises
    ------
    InputError
        `threshold` or `minarea` is not above 0, `deblend_cont` no share, or SEP cannot handle the image.
    """
    if not (np.isfinite(threshold) and threshold > 0):
        raise InputError(f"the threshold must be finite and above 0, not {threshold}")
    if not 0 <= deblend_cont <= 1:
        raise InputError(f"deblend_cont must lie between 0 and 1, not {deblend_cont}")
    if minarea < 1:
        raise InputError(f"minarea must be at least 1, not {minarea}")
    level = leveled(image, mask)
    if level is None:
        return _as_table(np.zeros(0, dtype=[(n, t) for n, t in _COLUMNS.items() if n != "fwhm"]))
    # SEP's own default kernel, or none.
    options: dict[str, Any] = {"deblend_cont": float(deblend_cont)}
    if not matched_filter:
        options["filter_kernel"] = None

    def extract() -> NDArray[Any]:
        found: NDArray[Any] = sep.extract(
            level.signal,
            float(threshold),
            err=level.noise,
            mask=level.bad,
            minarea=int(minarea),
            **options,
        )
        return found

    found = _as_table(with_room(extract, image.size))
    for name in ("flux", "peak"):
        found[name] /= level.unit
    return found


@dataclass(frozen=True, eq=False)
class Level:
    """An image above its background, as SEP takes it.

    Attributes
    ----------
    signal, noise : ndarray of float32, shape (ny, nx)
        Above the background, and the rms of a pixel; times `unit`.
    bad : ndarray of bool, shape (ny, nx), or None
        Pixels that do not count.
    unit : float
        A power of two.
    """

    signal: NDArray[np.float32]
    noise: NDArray[np.float32]
    bad: NDArray[np.bool_] | None
    unit: float


def leveled(image: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> Level | None:
    """Subtract the background of an image and measure its noise.

    Parameters
    ----------
    image, mask
        As for `detect`.

    Returns
    -------
    Level or None
        None where the image is constant or has no good pixel.
    """
    bad = _bad_pixels(image, mask)
    good = image if bad is None else image[~bad]
    if good.size == 0 or good.min() == good.max():
        return None
    # SEP squares in float32, which a flux in SI units would leave; powers of two change no digit.
    span = float(good.max()) - float(good.min())
    unit = np.float32(1.0 if _SPANS[0] < span < _SPANS[1] else 2.0 ** -max(round(math.log2(span)), -120))
    # SEP adds up masked pixels before it drops them, and works in place on what it gets.
    data = image * unit if bad is None else np.where(bad, np.float32(np.median(good)), image) * unit
    background = sep.Background(data, mask=bad, bw=_MESH, bh=_MESH)
    floor = 0.1 * float(background.globalrms)
    if not floor > 0:
        # A noise-free or coarsely quantised image: anything that stands out at all.
        floor = 1e-4 * float(good.max() - np.median(good)) * float(unit)
    # A map, not one number: with that SEP takes the threshold for one of the unsmoothed image.
    noise = background.rms(dtype=np.float32)
    np.maximum(noise, np.float32(floor), out=noise)
    data -= background.back(dtype=np.float32)
    return Level(data, noise, bad, float(unit))


def _bad_pixels(image: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Return True for masked pixels and those that are not finite; None if there are none."""
    if mask is None and image.size and image.min() > -LARGEST and image.max() < LARGEST:
        return None
    bad = ~(np.abs(image) < LARGEST)
    if mask is not None:
        bad |= mask
    return bad if bad.any() else None


def with_room(extract: Callable[[], T], n_pixels: int) -> T:
    """Run SEP again with larger buffers for as long as it says that one overflowed.

    The sizes are global in SEP, so one thread at a time, and they are put back.
    """
    with _sep_sizes:
        return _retried(extract, n_pixels)


def _retried(extract: Callable[[], T], n_pixels: int) -> T:
    stack, sub_objects = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    try:
        while True:
            try:
                return extract()
            except Exception as error:
                # SEP raises a bare Exception with a text for all of its failures.
                if type(error) is not Exception:
                    raise
                text = str(error)
                if "pixel buffer full" in text and sep.get_extract_pixstack() < n_pixels:
                    size = min(n_pixels, 4 * sep.get_extract_pixstack())
                    log.debug("pixel stack of SEP raised to %d", size)
                    sep.set_extract_pixstack(size)
                elif "deblending overflow" in text and (sep.get_sub_object_limit() < _MAX_SUB_OBJECTS):
                    limit = 4 * sep.get_sub_object_limit()
                    log.debug("sub-object limit of SEP raised to %d", limit)
                    sep.set_sub_object_limit(limit)
                else:
                    raise InputError(
                        f"the detection failed ({text}); mask the bad parts of the image or raise "
                        "the threshold"
                    ) from error
    finally:
        sep.set_extract_pixstack(stack)
        sep.set_sub_object_limit(sub_objects)


def _as_table(found: NDArray[Any]) -> "Table":
    from astropy.table import Table

    table = Table()
    for name, kind in _COLUMNS.items():
        if name == "fwhm":
            values = 2.0 * np.sqrt(np.log(2.0) * (found["a"] ** 2 + found["b"] ** 2))
        elif name == "flags" and "flag" in (found.dtype.names or ()):
            values = found["flag"]
        else:
            values = found[name]
        table[name] = values.astype(kind)
    return table
