"""How complete a frame is: stars of its own PSF are planted, detected and scored."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.exposure import Exposure
from ..measure.detect import detect
from ..measure.even import evened
from ..scoring.classifier import Classifier
from ..status import is_real
from .planting import Galaxies, Planted, flux_of, noise_pixels, places, plant

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: S/N of the planted stars, and bins of its logarithm.
SNR_RANGE = (2.0, 50.0)
_BINS = 12
_REACH, _LEAST_REACH = 0.7, 1.5  # how far a detection may lie from its star: FWHM, and pixels
_MESH = 64  # pixels; of the map of the noise
_MOST_ROUNDS = 500
_GALAXY = "galaxy"  # the class
_PAIRS = 2**22  # of stars and detections whose distances are in memory at a time
#: Fractions whose depth is told.
FRACTIONS = (0.5, 0.9)


@dataclass(frozen=True)
class Trial:
    """How stars are planted, and how many.

    Attributes
    ----------
    n : int
        Stars in all, over as many copies of the image as have room for them.
    gain : float or None
        Electrons per unit of the image; None leaves out the Poisson noise of the planted stars.
    threshold : float
        Scores above it are real.
    on : Galaxies or None
        Where they are planted; None for anywhere.
    """

    n: int
    gain: float | None
    threshold: float
    on: Galaxies | None = None


@dataclass(frozen=True, eq=False)
class Completeness:
    """What became of planted stars.

    Attributes
    ----------
    stars : Planted
    detected, accepted : ndarray of bool, shape (n,)
        Which were detected, and which of these scored above the threshold.
    score : ndarray of float64, shape (n,)
        NaN where not detected or not scored.
    trial : Trial
    noise : float
        Median noise of a pixel, units of the image.
    pixels : float
        Pixels of noise of a star; see `rbinfer.diagnostics.planting.noise_pixels`.
    """

    stars: Planted
    detected: Bools
    accepted: Bools
    score: Floats
    trial: Trial
    noise: float
    pixels: float

    def by_snr(self) -> "Table":
        """Return a row for each bin of S/N.

        Returns
        -------
        Table
            ``snr_low``, ``snr_high``, ``n`` (planted), ``detected`` and ``accepted`` (fractions),
            ``score`` (median of the detected) and ``flux`` (at the middle of the bin, units of the
            image, at the median noise).
        """
        from astropy.table import Table

        edges = np.geomspace(*SNR_RANGE, _BINS + 1)
        of = np.clip(np.searchsorted(edges, self.stars.snr, side="right") - 1, 0, _BINS - 1)
        n = np.bincount(of, minlength=_BINS)
        middles = np.sqrt(edges[:-1] * edges[1:])
        scores = [self.score[(of == k) & np.isfinite(self.score)] for k in range(_BINS)]
        with np.errstate(invalid="ignore"):
            detected = np.bincount(of, self.detected, _BINS) / n
            accepted = np.bincount(of, self.accepted, _BINS) / n
        return Table(
            {
                "snr_low": edges[:-1],
                "snr_high": edges[1:],
                "n": n,
                "detected": detected,
                "accepted": accepted,
                "score": [float(np.median(each)) if each.size else np.nan for each in scores],
                "flux": self.flux_at(middles),
            }
        )

    def flux_at(self, snr: Floats) -> Floats:
        """Return the flux of stars of a S/N where the noise is the median one."""
        return flux_of(snr, np.full(np.shape(snr), self.noise), self.pixels, self.trial.gain)

    def depth(self, fraction: float, column: str) -> float | None:
        """Return the S/N at which a fraction of the stars is still found.

        Parameters
        ----------
        fraction : float
        column : {"detected", "accepted"}

        Returns
        -------
        float or None
            From the bright end downwards, between the first two bins that enclose it, linear in the
            logarithm; None where the brightest bin has less, or the faintest more.
        """
        table = self.by_snr()
        known = np.flatnonzero(np.asarray(table["n"]) > 0)
        level = np.asarray(table[column], np.float64)[known]
        log_snr = 0.5 * np.log(np.asarray(table["snr_low"]) * np.asarray(table["snr_high"]))[known]
        if not len(level) or level[-1] < fraction:
            return None
        below = np.flatnonzero(level < fraction)
        if not below.size:
            return None
        k = int(below[-1])
        part = (fraction - level[k]) / (level[k + 1] - level[k])
        return math.exp(log_snr[k] + part * (log_snr[k + 1] - log_snr[k]))


def measure_completeness(
    classifier: Classifier,
    exposure: Exposure,
    trial: Trial,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> Completeness:
    """Plant stars in copies of an image, detect and score them.

    Their places are anywhere that has data, so that crowding, columns and the edge take their share; or
    on galaxies. The S/N is by the sky around either way: the light of a galaxy has more noise.
    A star on a detection of the image that is at least as bright is lost: what is found there is that.

    Parameters
    ----------
    classifier : Classifier
    exposure : Exposure
        With the width and the star of the frame; it is left as it is.
    trial : Trial
    rng : Generator
        S/N (uniform in the logarithm), places, and Poisson noise.
    progress : callable, optional
        Called as ``progress(done, total)`` after each copy.

    Returns
    -------
    Completeness

    Raises
    ------
    InputError
        The star of the frame is not known, or there is no room for any.
    """
    exposure = evened(exposure)
    pixels = noise_pixels(exposure)
    noise = _noise_map(exposure)
    before = detect(exposure.pixels, mask=exposure.mask)
    rounds: list[tuple[Planted, Bools, Floats]] = []
    done = 0
    while done < trial.n and len(rounds) < _MOST_ROUNDS:
        x, y = places(exposure, trial.n - done, rng, trial.on)
        if not len(x):
            raise InputError("the image has no room for a star: it is too small, or nearly all masked")
        snr = np.exp(rng.uniform(math.log(SNR_RANGE[0]), math.log(SNR_RANGE[1]), len(x)))
        here = noise[np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)].astype(np.float64)
        stars = Planted(x, y, flux_of(snr, here, pixels, trial.gain), snr)
        copy = plant(exposure, stars, trial.gain, rng)
        found = detect(copy.pixels, mask=copy.mask)
        match = _matched(stars, found, before, _reach(exposure))
        score = np.full(len(x), np.nan)
        rows = match[match >= 0]
        scores = classifier.score(
            copy, found["x"][rows], found["y"][rows], peaks=(found["xpeak"][rows], found["ypeak"][rows])
        )
        score[match >= 0] = scores.score
        rounds.append((stars, match >= 0, score))
        done += len(x)
        if progress is not None:
            progress(done, trial.n)
    if done < trial.n:
        log.warning("%d of %d stars were planted: there is little room", done, trial.n)
    score = np.concatenate([each[2] for each in rounds])
    return Completeness(
        Planted(*(np.concatenate([getattr(each[0], name) for each in rounds])
                  for name in ("x", "y", "flux", "snr"))),
        np.concatenate([each[1] for each in rounds]),
        is_real(score, trial.threshold),
        score,
        trial,
        float(np.median(noise)),
        pixels,
    )  # fmt: skip


def find_galaxies(classifier: Classifier, exposure: Exposure, threshold: float) -> Galaxies:
    """Find the galaxies of an image: what is detected, called real, and most probably a galaxy.

    Parameters
    ----------
    classifier : Classifier
    exposure : Exposure
        With the width of the frame's stars.
    threshold : float
        Scores above it are real.

    Returns
    -------
    Galaxies

    Raises
    ------
    InputError
        The model has no such class, or the image shows none.
    """
    classes = classifier.spec.classes
    if _GALAXY not in classes:
        raise InputError(f"this model does not tell galaxies from stars: it has no class {_GALAXY!r}")
    exposure = evened(exposure)
    found = detect(exposure.pixels, mask=exposure.mask)
    scores = classifier.score(exposure, found["x"], found["y"], peaks=(found["xpeak"], found["ypeak"]))
    assert scores.classes is not None
    is_one = scores.classes.argmax(axis=1) == classes.index(_GALAXY)
    chosen = found[is_one & is_real(scores.score, threshold)]
    if not len(chosen):
        raise InputError(f"none of {len(found)} detections is called real and a galaxy")
    return Galaxies(*(np.asarray(chosen[name], np.float64) for name in ("x", "y", "a", "b", "theta")))


def count_let_in(classifier: Classifier, exposure: Exposure, threshold: float) -> tuple[int, int]:
    """Count what is detected on an image without sources, and what of it scores above the threshold.

    Parameters
    ----------
    classifier : Classifier
    exposure : Exposure
        A dark, or `negative_of` an image of the sky; with the width of the frame's stars.
    threshold : float

    Returns
    -------
    detected, let_in : int
    """
    exposure = evened(exposure)
    found = detect(exposure.pixels, mask=exposure.mask)
    scores = classifier.score(exposure, found["x"], found["y"], peaks=(found["xpeak"], found["ypeak"]))
    return len(found), int(is_real(scores.score, threshold).sum())


def negative_of(exposure: Exposure) -> Exposure:
    """Return an image whose noise is as it was, and whose sources are holes."""
    exposure = evened(exposure)
    background = exposure.background
    return replace(
        exposure,
        pixels=-exposure.pixels,
        saturation=None,
        background=None if background is None else -background,
    )


def _noise_map(exposure: Exposure) -> NDArray[np.float32]:
    """Return the noise of each pixel: the one that is known, or else that of the sky around."""
    if exposure.noise is not None:
        noise = np.broadcast_to(np.asarray(exposure.noise, np.float32), exposure.shape)
        return np.where(np.isfinite(noise), noise, np.float32(np.nanmedian(noise)))
    import sep

    bad = ~np.isfinite(exposure.pixels)
    if exposure.mask is not None:
        bad |= exposure.mask
    if bad.all():
        raise InputError("the image has no pixel that is finite and not masked")
    data = np.where(bad, np.float32(np.median(exposure.pixels[~bad])), exposure.pixels)
    rms: NDArray[np.float32] = sep.Background(data, mask=bad, bw=_MESH, bh=_MESH).rms(dtype=np.float32)
    return rms


def _reach(exposure: Exposure) -> float:
    assert exposure.fwhm is not None
    return max(_REACH * exposure.fwhm, _LEAST_REACH)


def _matched(stars: Planted, found: "Table", before: "Table", reach: float) -> NDArray[np.int64]:
    """Return the detection of each star, -1 where there is none or it is of another source."""
    row, away = _nearest(stars, found)
    match = np.where(away <= reach, row, -1)
    other, apart = _nearest(stars, before)
    on_other = apart <= reach
    if len(before):
        brighter = np.asarray(before["flux"], np.float64)[np.maximum(other, 0)] >= stars.flux
        match[on_other & brighter] = -1
    return match


def _nearest(stars: Planted, table: "Table") -> tuple[NDArray[np.int64], Floats]:
    """Return the nearest row of each star, and how far it is."""
    if not len(table):
        return np.full(len(stars.x), -1), np.full(len(stars.x), np.inf)
    x, y = np.asarray(table["x"], np.float64), np.asarray(table["y"], np.float64)
    row, away = np.empty(len(stars.x), np.int64), np.empty(len(stars.x))
    at_once = max(_PAIRS // len(x), 1)
    for start in range(0, len(row), at_once):
        part = slice(start, start + at_once)
        apart = np.hypot(stars.x[part, None] - x, stars.y[part, None] - y)
        row[part], away[part] = apart.argmin(axis=1), apart.min(axis=1)
    return row, away
