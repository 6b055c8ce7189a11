"""One object: its own Gaussian, and the frame's star fitted to it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cutouts.star import star_at
from ..io.exposure import Width
from .candidates import rough_shapes
from .mean_star import FWHM as STAMP_FWHM
from .profiles import FWHM_PER_SIGMA, Fits, covariances, fit_ellipses, fit_round, pixel_integrals

Floats = NDArray[np.float64]

#: FWHM in pixels below which an object has too few pixels for the axes of an ellipse.
NARROWEST = 1.5
_REACH = 2.2  # radius that is fitted, in FWHM
_LEAST_REACH = 2.3  # and in pixels
_STARTS = (1.0, 2.0, 4.0, 8.0, 16.0)  # FWHM in pixels; those that the window has room for
_MAD = 0.6745  # of a normal distribution, in its widths
_TIMES = 4  # that each is fitted, around what was found before
_WIDEST = 2.0  # sigma, in radii of what is fitted
_UNSURE = 0.15  # standard error of the shape above which the axes are not told: 30 % of their ratio
_UNSURE_WIDTH = 0.2  # and of the logarithm of the width, above which nothing is told
_PEAK = 6.0  # noise of a pixel; of what is narrow and lower, the noise makes the width
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
        Long axis over the short one, blurred by the pixels. NaN where the object is narrower than
        `NARROWEST`, or too faint to tell.
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
        one FWHM of the centre and without the share that the noise of the pixels has in them; 0 for a
        perfect star.
    """

    model: Floats
    x: float
    y: float
    sky: float
    peak: float
    unexplained: float


def own_shape(window: Floats, x: int, y: int) -> OwnShape | None:
    """Fit a Gaussian to the object at a pixel, whatever the stars of the frame are like.

    Parameters
    ----------
    window : ndarray of float64, shape (ny, nx)
        NaN where bad.
    x, y : int
        Its brightest pixel, 0-based. The centre is fitted, from there.

    Returns
    -------
    OwnShape or None
        None where nothing stands out that could be fitted, or too little to measure its width.
    """
    room = max(window.shape) / 2.0
    best, least = None, np.inf
    for start in _STARTS:
        if start > _STARTS[0] and _REACH * start > room:
            continue
        width = start
        for _ in range(_TIMES):
            found = _fit_round(window, x, y, width)
            if found is None:
                break
            width = float(FWHM_PER_SIGMA * found.fit.sigma[0])
        # What is left of the light, as a share: fits of different radii can be compared.
        if found is not None and found.fit.flux[0] > 0 and found.left < least:
            best, least = found, found.left
    if best is None:
        return None
    fwhm = float(FWHM_PER_SIGMA * best.fit.sigma[0])
    if fwhm < NARROWEST and not _peak(window, x, y) > _PEAK * _noise_of_pixels(window):
        return None
    # What has one pixel has no error that means anything: it is narrow, whatever the width.
    if fwhm >= NARROWEST and not _noise(best.fit) * float(best.fit.error[0]) < _UNSURE_WIDTH:
        return None
    return OwnShape(fwhm, _ratio(best))


def _peak(window: Floats, x: int, y: int) -> float:
    """Return the brightest pixel at a place or beside it, above the median of the window."""
    near = window[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
    return float(np.max(near[np.isfinite(near)], initial=-np.inf) - np.nanmedian(window))


def _noise_of_pixels(window: Floats) -> float:
    """Return the noise of a pixel, from the differences of neighbours; 0 where there are none."""
    steps = np.diff(window, axis=1)
    steps = steps[np.isfinite(steps)]
    return float(np.median(np.abs(steps))) / (_MAD * np.sqrt(2.0)) if steps.size else 0.0


class _Round(NamedTuple):
    """A round fit with what it was made of: stamp and weights, shape (1, side, side)."""

    fit: Fits
    stamp: NDArray[np.float32]
    weights: NDArray[np.float32]
    left: float


def _fit_round(window: Floats, x: int, y: int, width: float) -> _Round | None:
    """Fit the pixels around one as far as such an object reaches; None where too few are good."""
    reach = min(max(_REACH * width, _LEAST_REACH), max(window.shape) / 2.0)
    radius = int(np.ceil(reach))
    side = 2 * radius + 1
    padded = np.pad(window, radius, constant_values=np.nan)
    cut = padded[y : y + side, x : x + side]
    offsets = np.arange(-radius, radius + 1)
    near = np.isfinite(cut) & (np.hypot(offsets[:, None], offsets) <= reach)
    spread = float(near.sum() * cut[near].var()) if near.any() else 0.0
    if not spread > 0:
        return None
    stamp = np.nan_to_num(cut - np.median(cut[near])).astype(np.float32)[None]
    weights = near.astype(np.float32)[None]
    fit = fit_round(stamp, weights, np.array([width / FWHM_PER_SIGMA]), _WIDEST * reach)
    return _Round(fit, stamp, weights, float(fit.residual[0]) / spread)


def _ratio(found: _Round) -> float:
    """Return the ratio of the axes, both blurred by the pixels; NaN where it can't be told."""
    fit = found.fit
    if FWHM_PER_SIGMA * fit.sigma[0] < NARROWEST:
        return float("nan")
    radius = found.stamp.shape[1] / 2.0
    ellipse = fit_ellipses(
        found.stamp, found.weights, fit.sigma, rough_shapes(found.stamp), _WIDEST * radius
    )
    better = ellipse if ellipse.residual[0] < fit.residual[0] else fit
    if not _noise(better) * float(better.shape_error[0]) < _UNSURE:
        return float("nan")
    size = np.array([[float(np.hypot(*better.shape[0])), 0.0]])
    long, short, _ = covariances(np.log(better.sigma), size)[0]
    return float(np.sqrt(long / short))


def _noise(fit: Fits) -> float:
    """Return the noise of a pixel, from what a fit leaves."""
    return float(np.sqrt(fit.residual[0] / fit.freedom[0]))


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
    return StarFit(model, x, y, sky, max(flux, 0.0), _unexplained(window - sky, window - model, core))


def _unexplained(above: Floats, left: Floats, core: NDArray[np.bool_]) -> float:
    """Return the share of an object that a fit leaves, without that of the noise."""
    of_noise = float(core.sum()) * _noise_of_pixels(above) ** 2
    light, rest = (max(float((v[core] ** 2).sum()) - of_noise, 0.0) for v in (above, left))
    return float(np.sqrt(rest / light)) if light > 0 else 1.0


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
        return star_at(width.stamp, width.stamp_fwhm / STAMP_FWHM, shape, x, y)
    sigma = np.array([width.fwhm / FWHM_PER_SIGMA])
    by_x = pixel_integrals(np.array([x]), sigma, np.arange(shape[1], dtype=np.float64)[None])[0][0]
    by_y = pixel_integrals(np.array([y]), sigma, np.arange(shape[0], dtype=np.float64)[None])[0][0]
    star: Floats = by_y[:, None] * by_x
    return star / max(float(star.max()), 1e-30)
