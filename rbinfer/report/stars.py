"""What stars looked like: in the sharpest image of the night, a middling one and the widest."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import RbinferError
from ..io.exposure import MEASURED, Exposure
from ..io.images import load_image
from ..measure.estimate import star_of
from .one import ImageResult
from .pictures import png
from .results import Night

log = logging.getLogger(__name__)

_FAINTEST = 0.005  # of the maximum, which is still drawn well


class Star(NamedTuple):
    """The mean star of an image as a data URL, and why that image was chosen."""

    title: str
    image: ImageResult
    url: str


def by_width(night: Night) -> list[tuple[str, ImageResult, Path]]:
    """Choose images by the FWHM of their own stars: the sharpest, a middling one and the widest.

    Parameters
    ----------
    night : Night

    Returns
    -------
    list of (str, ImageResult, Path)
        Why each was chosen, and where it is; fewer than three of a night with fewer.
    """
    measured = [
        (image.fwhm, k, image, image.path)
        for k, image in enumerate(night.images)
        if image.fwhm_source == MEASURED and image.fwhm is not None and image.path is not None
    ]
    if not measured:
        return []
    measured.sort()
    places = {0: "Sharpest", (len(measured) - 1) // 2: "Median", len(measured) - 1: "Widest"}
    return [(places[k], *measured[k][2:]) for k in sorted(places)]


def draw_stars(night: Night) -> list[Star]:
    """Measure the stars of the images that `by_width` chooses again, and draw them.

    Parameters
    ----------
    night : Night

    Returns
    -------
    list of Star
        At most three; fewer where images are gone, or are mosaics.
    """
    return [
        Star(title, image, url) for title, image, path in by_width(night) if (url := _drawn(image, path))
    ]


def _drawn(image: ImageResult, path: Path) -> str:
    """Return the mean star as a PNG, or an empty text where it cannot be measured again."""
    options = image.given
    hdu = int(image.hdu) if image.hdu.isdecimal() else None
    try:
        exposure = load_image(path, hdu, options.get("plane"), options.get("bayer"))
    except RbinferError as error:
        log.info("no star of %s: %s", image.name, error)
        return ""
    grey = mean_star(exposure)
    return "" if grey is None else png(grey)


def mean_star(exposure: Exposure) -> NDArray[np.uint8] | None:
    """Measure the mean star of an image and draw it.

    Parameters
    ----------
    exposure : Exposure

    Returns
    -------
    ndarray of uint8, shape (31, 31), or None
        On the grid where the FWHM is 3 pixels, by asinh; None where there are too few stars.
    """
    stamp = star_of(exposure)
    if stamp is None:
        return None
    grey = np.arcsinh(np.clip(stamp, 0.0, 1.0) / _FAINTEST) / np.arcsinh(1.0 / _FAINTEST)
    drawn: NDArray[np.uint8] = np.rint(255 * grey).astype(np.uint8)
    return drawn
