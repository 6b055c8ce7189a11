"""Detection by SEP: what `rbinfer.measure.islands` is measured against, and what stands in for it."""

import logging
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray

from ..errors import InputError
from ..kernels.constants import LARGEST

__all__ = ["extract"]

log = logging.getLogger(__name__)

#: Spans of pixels that SEP takes as they are.
_SPANS = (1e-9, 1e12)
_MESH = 64  # pixels; side of the background mesh
_MAX_SUB_OBJECTS = 65536
_ROOM = 16  # SEP has room at first for one of so many pixels above the threshold at a time
_sep_sizes = threading.Lock()


def extract(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    threshold: float,
    minarea: int,
    matched_filter: bool,
    deblend_cont: float,
) -> NDArray[Any] | None:
    """Detect sources; see `rbinfer.measure.detect.detect` for the parameters.

    Returns
    -------
    ndarray or None
        As from ``sep.extract``, in units of the image; None if that is constant or has no good pixel.

    Raises
    ------
    InputError
        SEP cannot handle the image.
    """
    bad = _bad_pixels(image, mask)
    good = image if bad is None else image[~bad]
    if good.size == 0:
        return None
    lowest, highest = float(good.min()), float(good.max())
    if lowest == highest:
        return None
    # SEP squares in float32, which a flux in SI units would leave; powers of two change no digit.
    span = highest - lowest
    unit = np.float32(1.0 if _SPANS[0] < span < _SPANS[1] else 2.0 ** -max(round(math.log2(span)), -120))
    # SEP adds up masked pixels before it drops them, and works in place on what it gets.
    data = image * unit
    if bad is not None:
        data[bad] = np.float32(np.median(good)) * unit
    background = sep.Background(data, mask=bad, bw=_MESH, bh=_MESH)
    floor = 0.1 * float(background.globalrms)
    if not floor > 0:
        # A noise-free or coarsely quantised image: anything that stands out at all.
        floor = 1e-4 * float(highest - np.median(good)) * float(unit)
    # A map, not one number: with that SEP takes the threshold for one of the unsmoothed image.
    noise = background.rms(dtype=np.float32)
    np.maximum(noise, np.float32(floor), out=noise)
    background.subfrom(data)

    # SEP's own default kernel, or none.
    options: dict[str, Any] = {"deblend_cont": float(deblend_cont)}
    if not matched_filter:
        options["filter_kernel"] = None

    def run() -> NDArray[Any]:
        found: NDArray[Any] = sep.extract(
            data, float(threshold), err=noise, mask=bad, minarea=int(minarea), **options
        )
        return found

    found = _with_room(run, image.size)
    for name in ("flux", "peak"):
        found[name] /= unit
    return found


def _bad_pixels(image: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Return True for masked pixels and those that are not finite; None if there are none."""
    if mask is None and image.size and image.min() > -LARGEST and image.max() < LARGEST:
        return None
    bad = ~(np.abs(image) < LARGEST)
    if mask is not None:
        bad |= mask
    return bad if bad.any() else None


def _with_room(extract: Callable[[], NDArray[Any]], n_pixels: int) -> NDArray[Any]:
    """Run SEP again with larger buffers for as long as it says that one overflowed.

    The sizes are global in SEP, so one thread at a time, and they are put back.
    """
    with _sep_sizes:
        return _retried(extract, n_pixels)


def _retried(extract: Callable[[], NDArray[Any]], n_pixels: int) -> NDArray[Any]:
    stack, sub_objects = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    try:
        # Each overflow costs a run, so there is room for a crowded field from the start.
        sep.set_extract_pixstack(max(stack, n_pixels // _ROOM))
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
