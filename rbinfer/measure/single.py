"""One object: its own Gaussian, and the frame's star fitted to it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cutouts.star import star_at
from ..io.exposure import Width
from .candidates import rough_shapes
from .mean_star import FWHM as STAMP_FWHM
from .profiles import FWHM_PER_SIGMA, fit_ellipses, fit_round, pixel_integrals

Floats = NDArray[np.float64]

_RADIUS = 5  # pixels of the stamp that a Gaussian is fitted to, where nothing is wider
_REACH = 2.2  # radius that is fitted, in FWHM
_LEAST_REACH = 2.3  # and in pixels
_STARTS = (0.4, 1.0, 2.0)  # in FWHM of the frame's stars
_TIMES = 3  # that each is fitted, around what was found before
_LONGEST = 2.5  # half difference of the logarithms of the axes beyond which none is told
_WIDEST = 4.0  # in FWHM of the frame's stars
_STEPS = (
    0.5,
    0.25,
    0.1,
    0.04,
    0.015,
)  # of the search for the centre, in FWHM of the star, of 5 x 5 places


class OwnShape(NamedTuple):
    """The Gaussian that fits an object best.

    Attributes
    ----------
    fwhm : float
        Pixels; of an ellipse that of equal area.
    ratio : float
        Long axis over the short one, blurred by the pixels.
    """

    fwhm: float
    ratio: float


class StarFit(NamedTuple):
    """The star of the frame, fitted to a window.

    Attributes
    ----------
    model : ndarray of float64, shape (ny, nx)
        Sky and star.
    x, y : float
        Centre, 0-based pixels.
    sky, peak : float
        Units of the pixels; the peak is that of the star above the sky.
    unexplained : float
        Root sum of squares of what the fit leaves, over that of the object above the sky, both within
        one FWHM of the centre; 0 for a perfect star.
    """

    model: Floats
    x: float
    y: float
    sky: float
    peak: float
    unexplained: float


def own_shape(window: Floats, x: float, y: float, fwhm: float) -> OwnShape | None:
    """Fit a Gaussian to the object at a place.

    Parameters
    ----------
    window : ndarray of float64, shape (ny, nx)
        NaN where bad.
    x, y : float
        Where it is, 0-based pixels.
    fwhm : float
        Of the frame's stars, pixels: where the fits start.

    Returns
    -------
    OwnShape or None
        None where nothing stands out that could be fitted.
    """
    radius = max(_RADIUS, int(np.ceil(_REACH * fwhm)))
    side = 2 * radius + 1
    padded = np.pad(window, radius, constant_values=np.nan)
    row, column = round(y), round(x)
    cut = padded[row : row + side, column : column + side]
    if cut.shape != (side, side) or not np.isfinite(cut).any():
        return None
    stamp = np.nan_to_num(cut - np.nanmedian(cut)).astype(np.float32)[None]
    offsets = np.arange(-radius, radius + 1)
    away = np.hypot(offsets[:, None], offsets)
    best, least = None, np.inf
    for start in _STARTS:
        width = start * fwhm
        for _ in range(_TIMES):
            near = np.isfinite(cut) & (away <= max(_REACH * width, _LEAST_REACH))
            weights = near.astype(np.float32)[None]
            sigma = np.array([width / FWHM_PER_SIGMA])
            fit = fit_round(stamp, weights, sigma, _WIDEST * fwhm)
            width = float(FWHM_PER_SIGMA * fit.sigma[0])
        left = float(fit.residual[0] / near.sum())
        if fit.flux[0] > 0 and left < least:
            best, least = (fit, weights), left
    if best is None:
        return None
    fit, weights = best
    ellipse = fit_ellipses(stamp, weights, fit.sigma, rough_shapes(stamp), _WIDEST * fwhm)
    shape = ellipse.shape if ellipse.residual[0] < fit.residual[0] else fit.shape
    ratio = float(np.exp(2.0 * min(float(np.hypot(*shape[0])), _LONGEST)))
    return OwnShape(float(FWHM_PER_SIGMA * fit.sigma[0]), ratio)


def fit_star(window: Floats, x: float, y: float, width: Width) -> StarFit:
    """Fit the star of the frame, and a constant sky, to the object at a place.

    Parameters
    ----------
    window : ndarray of float64, shape (ny, nx)
        NaN where bad; one finite pixel at least.
    x, y : float
        Where it is about, 0-based pixels.
    width : Width
        Its stamp is the star; a round Gaussian where it has none.

    Returns
    -------
    StarFit
    """
    rows, columns = np.mgrid[: window.shape[0], : window.shape[1]]
    reach = max(_REACH * width.fwhm, _LEAST_REACH)
    best: tuple[float, float, float] | None = None
    for step in (part * width.fwhm for part in _STEPS):
        places = [(x + i * step, y + j * step) for i in range(-2, 3) for j in range(-2, 3)]
        near = np.hypot(columns - x, rows - y) <= reach + 2 * step
        tried = [(_left(window, near, _star(window.shape, *at, width)), *at) for at in places]
        found = min(tried)
        if best is None or found[0] <= best[0]:
            best = found
        x, y = found[1:]
    star = _star(window.shape, x, y, width)
    near = np.isfinite(window) & (np.hypot(columns - x, rows - y) <= reach)
    flux, sky = _solved(window[near], star[near])
    model = sky + max(flux, 0.0) * star
    core = np.isfinite(window) & (np.hypot(columns - x, rows - y) <= max(width.fwhm, 1.5))
    light = float(np.sqrt(((window - sky)[core] ** 2).sum()))
    left = float(np.sqrt(((window - model)[core] ** 2).sum()))
    return StarFit(model, x, y, sky, max(flux, 0.0), left / light if light > 0 else 1.0)


def _solved(values: Floats, star: Floats) -> tuple[float, float]:
    """Return flux and sky of the best fit."""
    if len(values) < 3:
        return 0.0, float(np.median(values)) if len(values) else 0.0
    matrix = np.column_stack([star, np.ones_like(star)])
    flux, sky = np.linalg.lstsq(matrix, values, rcond=None)[0]
    return float(flux), float(sky)


def _left(window: Floats, near: NDArray[np.bool_], star: Floats) -> float:
    use = near & np.isfinite(window)
    if not use.any():
        return np.inf
    flux, sky = _solved(window[use], star[use])
    return float(((window[use] - sky - max(flux, 0.0) * star[use]) ** 2).sum())


def _star(shape: tuple[int, ...], x: float, y: float, width: Width) -> Floats:
    """Return the star of the frame at a place, with a peak of about 1."""
    if width.stamp is not None:
        return star_at(width.stamp, width.fwhm / STAMP_FWHM, shape, x, y)
    sigma = np.array([width.fwhm / FWHM_PER_SIGMA])
    by_x = pixel_integrals(np.array([x]), sigma, np.arange(shape[1], dtype=np.float64)[None])[0][0]
    by_y = pixel_integrals(np.array([y]), sigma, np.arange(shape[0], dtype=np.float64)[None])[0][0]
    star: Floats = by_y[:, None] * by_x
    return star / max(float(star.max()), 1e-30)
