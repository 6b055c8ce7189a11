"""Simple methods that tell real from bogus, to compare the network with: pure functions.

Each gives a score for every detection of an image, higher for more real. `THRESHOLDS` holds the fixed
value above which a detection counts as real. The thresholds were not fitted; the form of each score
(local background, noise, ratios) was chosen on labelled frames and simulation, in its own favour.
"""

from typing import Any

import numpy as np
import sep
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from rbinfer.io.positions import positions

from .._arrays import F32, F64, I64, Bools
from .._pixels import BOX, around, nearest
from ..simulate.profiles import FWHM_PER_SIGMA

#: Scores above these are real. ``sharpness``: a hit of one pixel has 0, a straight track one pixel
#: wide has 0.5 (two of its four neighbours lie on it), and so has a Gaussian star of FWHM 2 pixels,
#: the least that samples it (Nyquist). ``la_cosmic`` is a verdict, 0 or 1. ``width_and_peak``: half as
#: wide, half as much light under its peak or a quarter as round as a star.
THRESHOLDS = {"sharpness": 0.5, "la_cosmic": 0.5, "width_and_peak": 0.5}

#: Parameters of ``astroscrappy.detect_cosmics``: its defaults, which are those of van Dokkum 2001.
LA_COSMIC = {"sigclip": 4.5, "sigfrac": 0.3, "objlim": 5.0, "niter": 4, "cleantype": "medmask"}

_BACKGROUND_QUANTILE = 0.1
#: Offsets (x, y) of the four neighbours of a pixel.
_CROSS = np.array([1, -1, 0, 0]), np.array([0, 0, 1, -1])
_SIGMA_PER_FWHM = 1 / FWHM_PER_SIGMA


def load_astroscrappy() -> Any:
    """Import astroscrappy, which nothing else needs.

    Raises
    ------
    ModuleNotFoundError
        It is not installed; says how to install it.
    """
    try:
        import astroscrappy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the baselines need astroscrappy (L.A.Cosmic), which is not installed: "
            'pip install "rbinfer[train,baselines]"',
            name="astroscrappy",
        ) from error
    return astroscrappy


def sharpness(image: F32, xpeak: ArrayLike, ypeak: ArrayLike, fwhm: float) -> F64:
    """Mean of the four neighbours of the brightest pixel over that pixel, above the local background.

    The background is the 10 % quantile of the pixels from 0.8 to 2 FWHM away. In a crowded field a mesh
    or a median lies on the wings of neighbours and makes stars look sharp; on labelled frames this
    choice separated best. A Gaussian star centred on a pixel has exp(-4 ln 2 / FWHM**2).

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Finite everywhere.
    xpeak, ypeak : array_like of int, shape (n,)
        Brightest pixel of each detection, 0-based.
    fwhm : float
        Of stars, pixels.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    x, y = np.asarray(xpeak, np.int64), np.asarray(ypeak, np.int64)
    if len(x) == 0:
        return np.zeros(0)
    inner = 0.8 * fwhm
    ring = around(image, x, y, _ring(inner, max(2.0 * fwhm, inner + 1.0)))
    background = np.quantile(ring, _BACKGROUND_QUANTILE, axis=0)
    neighbours = around(image, x, y, _CROSS).mean(axis=0)
    peak = image[y, x] - background
    # A peak that is not above its surroundings is no detection of anything.
    ratio: F64 = np.where(peak > 0, (neighbours - background) / np.where(peak > 0, peak, 1.0), 0.0)
    return ratio


def la_cosmic(
    image: F32,
    xpeak: ArrayLike,
    ypeak: ArrayLike,
    *,
    mask: Bools | None = None,
    gain: float | None = None,
    saturation: float | None = None,
) -> F64:
    """0 where L.A.Cosmic masks a pixel within one pixel of the peak, else 1.

    van Dokkum 2001, PASP 113, 1420, as implemented by ``astroscrappy.detect_cosmics`` with the
    parameters `LA_COSMIC`. The sky is subtracted first and the measured noise of a pixel (photons of
    the sky and read-out together) given as the read noise, so that bias and read noise need not be
    known. It is measured on differences of adjacent pixels: crowded stars widen the rms of the sky
    itself about twofold, and the mask then missed 30 % of the hits on labelled crowded frames.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Finite everywhere.
    xpeak, ypeak : array_like of int, shape (n,)
        Brightest pixel of each detection, 0-based.
    mask : ndarray of bool, shape (ny, nx), optional
        True for bad pixels; they are not searched.
    gain : float, optional
        Electrons per unit of the image; 1 unless given.
    saturation : float, optional
        Level at which pixels saturate; saturated stars are then not searched.

    Returns
    -------
    ndarray of float64, shape (n,)
        0 or 1.

    Raises
    ------
    ModuleNotFoundError
        astroscrappy is not installed.
    """
    scrappy = load_astroscrappy()
    x, y = np.asarray(xpeak, np.int64), np.asarray(ypeak, np.int64)
    electrons = 1.0 if gain is None else float(gain)
    background = sep.Background(np.ascontiguousarray(image), mask=mask)
    sky = background.back(dtype=np.float32)
    # In a coarsely quantised image more than half of the adjacent pixels may be equal.
    rms = pixel_noise(image, mask) or float(background.globalrms)
    full = np.inf if saturation is None else (saturation - float(np.median(sky))) * electrons
    masked, _ = scrappy.detect_cosmics(
        image - sky,
        inmask=mask,
        gain=electrons,
        readnoise=max(rms, 1e-6) * electrons,
        satlevel=full,
        **LA_COSMIC,
    )
    clear: F64 = np.where(around(masked, x, y, BOX).any(axis=0), 0.0, 1.0)
    return clear


def pixel_noise(image: F32, mask: Bools | None = None) -> float:
    """Noise of a pixel: 1.4826 times the MAD of differences of adjacent pixels, over sqrt(2).

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Finite everywhere.
    mask : ndarray of bool, shape (ny, nx), optional
        True for bad pixels; they do not count.

    Returns
    -------
    float
        In units of the image; 0 where there is nothing to measure.
    """
    steps = np.diff(image, axis=1)
    if mask is not None:
        steps = steps[~(mask[:, 1:] | mask[:, :-1])]
    if steps.size == 0:
        return 0.0
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))


def width_and_peak(a: ArrayLike, b: ArrayLike, flux: ArrayLike, peak: ArrayLike, fwhm: float) -> F64:
    """Compare what a catalogue says of a detection with a star of the given FWHM.

    The least of three ratios, each 1 or about 1 for a bright star and small for a hit, a column or a
    track: the width, sqrt(a b) / sigma; the light for the peak, flux / (2 pi sigma**2 peak); and twice
    the roundness, 2 b / a. sigma is FWHM / 2.355 and ``2 pi sigma**2 peak`` the flux of a Gaussian.
    Faint stars have small ratios too, because isophotes cut their wings: that is what such a cut costs.

    Parameters
    ----------
    a, b : array_like of float, shape (n,)
        Rms along the axes, pixels.
    flux, peak : array_like of float, shape (n,)
        Above the background; isophotal flux as SEP's or SExtractor's.
    fwhm : float
        Of stars, pixels.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    major, minor, light, top = (np.asarray(v, np.float64) for v in (a, b, flux, peak))
    sigma = fwhm * _SIGMA_PER_FWHM
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [
            np.sqrt(major * minor) / sigma,
            light / (2 * np.pi * sigma**2 * top),
            2 * minor / major,
        ]
    least: F64 = np.asarray(np.nan_to_num(ratios, nan=0.0)).min(axis=0)
    return least


def peak_pixels(image: F32, table: Table) -> tuple[I64, I64]:
    """Brightest pixel of each row: ``xpeak``, ``ypeak``, or the brightest within 1 pixel of x, y.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    table : Table
        Positions, 0-based pixels.

    Returns
    -------
    x, y : ndarray of int64, shape (n,)
        0-based, on the image.
    """
    height, width = image.shape
    if {"xpeak", "ypeak"} <= set(table.colnames):
        x, y = np.asarray(table["xpeak"], np.int64), np.asarray(table["ypeak"], np.int64)
        return np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    given_x, given_y = (np.nan_to_num(np.asarray(v, float)) for v in positions(table))
    y, x = nearest(given_x, given_y, image.shape)
    best = np.argmax(around(image, x, y, BOX), axis=0)
    return np.clip(x + BOX[0][best], 0, width - 1), np.clip(y + BOX[1][best], 0, height - 1)


def baseline_scores(
    image: NDArray[Any],
    table: Table,
    fwhm: float,
    *,
    mask: Bools | None = None,
    gain: float | None = None,
    saturation: float | None = None,
) -> dict[str, F64]:
    """Score the detections of an image by every baseline.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Pixels that are not finite count as masked.
    table : Table
        Positions; ``xpeak`` and ``ypeak`` where known; ``a``, ``b``, ``flux`` and ``peak`` for
        ``width_and_peak``, which is NaN without them.
    fwhm : float
        Of stars, pixels.
    mask, gain, saturation
        See `la_cosmic`.

    Returns
    -------
    dict of ndarray of float64, shape (n,)
        By the names of `THRESHOLDS`.
    """
    bad = ~np.isfinite(image)
    if mask is not None:
        bad |= mask
    middle = float(np.median(image[~bad])) if not bad.all() else 0.0
    pixels = np.where(bad, np.float32(middle), image).astype(np.float32)
    x, y = peak_pixels(pixels, table)
    columns = ("a", "b", "flux", "peak")
    if set(columns) <= set(table.colnames):
        a, b, flux, peak = (table[name] for name in columns)
        wide = width_and_peak(a, b, flux, peak, fwhm)
    else:
        wide = np.full(len(table), np.nan)
    return {
        "sharpness": sharpness(pixels, x, y, fwhm),
        "la_cosmic": la_cosmic(
            pixels, x, y, mask=bad if bad.any() else None, gain=gain, saturation=saturation
        ),
        "width_and_peak": wide,
    }


def _ring(inner: float, outer: float) -> tuple[I64, I64]:
    """Offsets of the pixels between two radii."""
    reach = int(np.ceil(outer))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(dx, dy)
    inside = (distance >= inner) & (distance <= outer)
    return dx[inside], dy[inside]
