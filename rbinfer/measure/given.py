"""The PSF that a caller gives: how wide it is, by the fit of a frame's stars, and its stamp."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._util.arguments import as_numbers
from ..errors import InputError
from ..io.exposure import Width
from .candidates import rough_shapes
from .mean_star import FWHM, place_star
from .profiles import FWHM_PER_SIGMA, Fits, fit_ellipses, fit_round

Floats = NDArray[np.float64]

_FEWEST, _LEAST_SIDE = 5, 2.0  # along each side of its image, in pixels and in FWHM
_REACH, _LEAST_REACH = 2.2, 2.3  # radius that is fitted, in FWHM and in pixels, as of a frame's stars
_TIMES = 3  # that it is fitted
_BRIGHT = 0.5  # of the maximum: what tells the place and the rough size
#: Axes further apart than this factor make a streak, whose ellipse can be fitted where the FWHM is at
#: least so many pixels.
_STREAK, _RESOLVED = 1.65, 1.5


def width_of_psf(psf: ArrayLike | os.PathLike[str], fwhm: float | None = None) -> Width:
    """Measure a PSF as the stars of a frame are measured.

    Parameters
    ----------
    psf : array_like, shape (ny, nx), or path
        A star without noise and sky, in pixels of the image and blurred by them, centred, in any units;
        or a FITS file with it.
    fwhm : float, optional
        FWHM in pixels, where the caller knows better; the stamp is scaled by it.

    Returns
    -------
    Width
        Of the source ``psf``, or ``given`` with `fwhm`: the FWHM of the round Gaussian that, integrated
        over the pixels, fits best; for a streak that of equal area. It has the stamp.

    Raises
    ------
    InputError
        Not a 2-D image of finite numbers, smaller than 5 x 5 pixels or than twice the FWHM, without a
        maximum or with one far from its middle; or a file that cannot be read.
    """
    image = _as_image(psf)
    x, y, rough = _place(image)
    shape = f"{image.shape[1]} x {image.shape[0]}"
    side = min(image.shape)
    away = float(np.hypot(x - 0.5 * (image.shape[1] - 1), y - 0.5 * (image.shape[0] - 1)))
    if away > max(side / 4.0, 2.0):
        raise InputError(
            f"the PSF is {away:.1f} pixels from the middle of its image ({shape} pixels); centre it, "
            "and give one star alone"
        )
    width, place, flux, sky = _fitted(image, x, y, rough)
    if _LEAST_SIDE * width > side:
        raise InputError(
            f"the PSF is {width:.1f} pixels wide (FWHM), but its image only {shape} pixels; give all of "
            f"it, at least {_LEAST_SIDE:g} times the FWHM along each side"
        )
    spacing = (width if fwhm is None else fwhm) / FWHM
    stamp, ellipticity, theta = place_star((image - sky) / flux, *place, width, spacing)
    found = Width(width, "psf", ellipticity=ellipticity, theta=theta, stamp=stamp)
    return found if fwhm is None else replace(found, fwhm=fwhm, source="given")


def _as_image(psf: Any) -> Floats:
    if isinstance(psf, str | os.PathLike):
        from ..io.images import read_plane

        psf = read_plane(Path(psf))
    values, mask = as_numbers(psf, "the PSF")
    try:
        image = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"the PSF must be a 2-D image of numbers, not {type(psf).__name__}") from error
    if image.ndim != 2:
        raise InputError(
            f"the PSF must be a 2-D image, not {image.ndim}-D; give one plane, such as psf[0]"
        )
    if mask is not None:
        image[np.broadcast_to(np.asarray(mask, np.bool_), image.shape)] = np.nan
    if min(image.shape) < _FEWEST:
        raise InputError(
            f"the PSF has the shape {image.shape}; give an image of {_FEWEST} x {_FEWEST} pixels or more"
        )
    bad = int(np.count_nonzero(~np.isfinite(image)))
    if bad:
        raise InputError(
            f"{bad} of {image.size} pixels of the PSF are not finite or masked; give it without gaps"
        )
    top = float(image.max())
    if top == image.min():
        raise InputError(f"the PSF has no maximum: all its pixels are {top:g}; give an image of a star")
    edge = np.concatenate([image[[0, -1]].ravel(), image[:, [0, -1]].ravel()])
    level = float(np.median(edge))
    if not (top > 0 and level < _BRIGHT * top):
        raise InputError(
            f"the PSF does not stand out: its maximum is {top:g}, and its median along the edge of its "
            f"image {level:g}; give all of a star, without sky"
        )
    return image / top


def _place(image: Floats) -> tuple[float, float, float]:
    """Return centre and rough FWHM, by the part above half of the maximum: a donut has a middle too."""
    rows, columns = np.nonzero(image > _BRIGHT)
    return float(columns.mean()), float(rows.mean()), 2.0 * float(np.sqrt(len(rows) / np.pi))


def _fitted(
    image: Floats, x: float, y: float, rough: float
) -> tuple[float, tuple[float, float], float, float]:
    """Fit a Gaussian; return its FWHM, centre (x, y), flux and sky."""
    # Again around what was found: the reach is in units of the FWHM, and the steps of a fit are few.
    for _ in range(_TIMES):
        round_fit, ellipse, corner = _fits(image, x, y, rough)
        best = round_fit if ellipse is None else ellipse
        rough = float(FWHM_PER_SIGMA * best.sigma[0])
        x, y = corner[0] + float(best.x[0]), corner[1] + float(best.y[0])
    return rough, (x, y), float(best.flux[0]), float(best.sky[0])


def _fits(image: Floats, x: float, y: float, fwhm: float) -> tuple[Fits, Fits | None, tuple[int, int]]:
    """Fit a round Gaussian, and an ellipse where that is better; return which pixel the middle was."""
    i, j = round(x), round(y)
    radius = min(max(int(np.ceil(_REACH * fwhm)), 3), max(image.shape))
    padded = np.pad(image, radius + 1, constant_values=np.nan)
    cut = padded[j + 1 : j + 2 * radius + 2, i + 1 : i + 2 * radius + 2]
    stamps = np.nan_to_num(cut, nan=0.0).astype(np.float32)[None]
    offsets = np.arange(-radius, radius + 1)
    near = np.hypot(offsets[:, None], offsets) <= max(_REACH * fwhm, _LEAST_REACH)
    weights = (np.isfinite(cut) & near).astype(np.float32)[None]
    sigma = np.array([fwhm / FWHM_PER_SIGMA])
    largest = 2.0 * max(image.shape)
    found = fit_round(stamps, weights, sigma, largest)
    elongation = 2.0 * float(np.hypot(*found.shape[0]))
    if elongation < np.log(_STREAK) or FWHM_PER_SIGMA * found.sigma[0] < _RESOLVED:
        return found, None, (i, j)
    ellipse = fit_ellipses(stamps, weights, sigma, rough_shapes(stamps), largest)
    return found, ellipse if ellipse.residual[0] < found.residual[0] else None, (i, j)
