"""The likelihood ratio for the detections of a frame of which all is known."""

import math
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from scipy.special import logsumexp

from ..._arrays import F32, F64, I64, Bools
from ...config import CLASSES, DataConfig
from ...data.cutting import aperture_snr, find_detections
from .evidence import Sight, log_evidence
from .known import KnownFrame
from .library import (
    ARTEFACT,
    SOURCE,
    Size,
    far_of,
    galaxy_library,
    hot_library,
    reach,
    star_library,
    track_library,
)
from .points import is_unexplained, log_evidence_of_points, points_of_charge, points_of_light

#: The classes that are told apart; the last has no object.
JUDGED = ("star", "galaxy", "cosmic_ray", "hot_pixel", "noise")
REAL = ("star", "galaxy")
#: From this share of the range on a pixel counts as saturated.
_FULL = 0.95
#: Cosmic rays in the silicon of any frame of the kind.
_OF_KIND = "cosmic_ray of the kind"
_IMAGES = {"star": "star", "galaxy": "galaxy", "cosmic_ray": "track", "hot_pixel": "hot_pixel"}


class Judged(NamedTuple):
    """Detections and what the likelihood says of them; arrays are (n,) unless said.

    Attributes
    ----------
    x, y : array
        Centroids, pixels.
    xpeak, ypeak : int array
        Brightest pixels.
    label : int array
        Index into `JUDGED`.
    snr : array
        Light of the 3 x 3 pixels around the peak over its noise.
    log_evidence : array, shape (n, 5)
        Natural logarithm of the rate of each class times its marginal likelihood, but for a common
        factor: in the mix in which the detections were taken.
    log_evidence_of_kind : array, shape (n, 5)
        The same where the silicon that particles stop in is not known, only the kind of frame.
    log_rate : array, shape (n, 5)
        Of both the rate: objects of the class a pixel (of stars those above 5 sigma; 1 for noise), in
        the mix in which they were taken.
    """

    x: F64
    y: F64
    xpeak: I64
    ypeak: I64
    label: I64
    snr: F64
    log_evidence: F64
    log_evidence_of_kind: F64
    log_rate: F64


def log_odds(log_evidence: F64) -> F64:
    """Return the logarithm of the odds of a real source, for log evidences (n, 5) of `JUDGED`."""
    real = np.isin(JUDGED, REAL)
    return np.asarray(
        logsumexp(log_evidence[:, real], axis=1) - logsumexp(log_evidence[:, ~real], axis=1)
    )


def judge_frame(
    known: KnownFrame,
    data: DataConfig,
    rng: np.random.Generator,
    most: int = 15,
    size: Size | None = None,
    likelihood: bool = True,
) -> Judged:
    """Detect the objects of a frame, label them, and judge them by their likelihood.

    Left out are detections at the edge or with saturated pixels, and those that the light of one object
    of the labelled class does not explain, such as blends.

    Parameters
    ----------
    known : KnownFrame
    data : DataConfig
        How objects are detected.
    rng : numpy.random.Generator
    most : int
        So many of each class are taken, drawn at random.
    size : Size, optional
        Of the libraries.
    likelihood : bool
        False to choose the same detections only; all evidences and rates are 1 then.
    """
    found = find_detections(known.frame, data, rng)
    rows, label, own, shares = _choose(known, found, most, rng)
    x, y = np.asarray(found["xpeak"], np.int64)[rows], np.asarray(found["ypeak"], np.int64)[rows]
    evidences, rates = np.zeros((2, rows.size, len(JUDGED))), np.zeros((rows.size, len(JUDGED)))
    if likelihood:
        oracle = _Oracle(known, rng, size or Size())
        with np.errstate(divide="ignore"):
            log_shares = np.log(shares)
        for k in range(rows.size):
            evidences[:, k] = oracle.log_evidence(x[k], y[k], own[k]) + log_shares
        rates[:] = oracle.log_rates + log_shares
    snr = aperture_snr(known.frame, x, y)
    centre_x, centre_y = (np.asarray(found[name], float)[rows] for name in ("x", "y"))
    return Judged(centre_x, centre_y, x, y, label, snr, evidences[0], evidences[1], rates)


def _choose(
    known: KnownFrame, found: Table, most: int, rng: np.random.Generator
) -> tuple[I64, I64, list[F32 | None], F64]:
    """Choose detections of each class.

    Returns
    -------
    rows : int array, shape (n,)
        Of `found`.
    label : int array, shape (n,)
        Index into `JUDGED`.
    own : list of array or None
        Light of the object that each is.
    shares : array, shape (5,)
        How many were taken of those that could be.
    """
    objects = _Objects(known)
    names = [CLASSES[code] if code >= 0 else "" for code in found["label"]]
    x, y = np.asarray(found["xpeak"], np.int64), np.asarray(found["ypeak"], np.int64)
    usable = _is_whole(known, x, y)
    rows, label, own, shares = [], [], [], np.ones(len(JUDGED))
    for code, name in enumerate(JUDGED):
        owners = {k: objects.owner(name, x[k], y[k]) for k in np.flatnonzero(usable) if names[k] == name}
        fit = [k for k, owner in owners.items() if owner is not None]
        taken = rng.permutation(fit)[:most].astype(int)
        shares[code] = len(taken) / len(fit) if fit else 1.0
        for k in taken:
            rows.append(k)
            label.append(code)
            own.append(objects.image(name, owners[k]))
    return np.array(rows, np.int64), np.array(label, np.int64), own, shares


def _is_whole(known: KnownFrame, x: I64, y: I64) -> Bools:
    """Tell around which pixels the window lies on the frame and holds no saturated one."""
    frame, radius = known.frame, reach(known.frame.fwhm)
    height, width = frame.image.shape
    whole = (x >= radius) & (y >= radius) & (x < width - radius) & (y < height - radius)
    camera = known.conditions.camera
    full = camera.bias + _FULL * (camera.saturation - camera.bias)
    for k in np.flatnonzero(whole):
        window = np.s_[y[k] - radius : y[k] + radius + 1, x[k] - radius : x[k] + radius + 1]
        whole[k] = frame.image[window].max() < full
    return np.asarray(whole)


class _Objects:
    """Which object of a frame is the cause of a detection."""

    def __init__(self, known: KnownFrame) -> None:
        self._known = known
        shape = known.expected.shape
        camera = known.conditions.camera
        sky = (known.frame.sky - np.float32(camera.bias)) * np.float32(camera.gain)
        self._noise = known.frame.noise * np.float32(camera.gain)
        self._excess = np.maximum(known.counts - sky, self._noise)
        self._owner = {name: np.full(shape, -1) for name in ("cosmic_ray", "hot_pixel")}
        largest = np.zeros(shape, np.float32)
        for k in range(known.tracks.x.size):
            self._note("cosmic_ray", k, known.track(k), largest)
        largest = np.zeros(shape, np.float32)
        for k in np.unique(known.hot_pixels.owner):
            self._note("hot_pixel", int(k), known.hot_pixel(int(k)), largest)
        self._rows = {
            "star": (known.star_rows.x, known.star_rows.y, known.star_rows.peak),
            "galaxy": (
                np.array([g.x for g in known.galaxies]),
                np.array([g.y for g in known.galaxies]),
                np.array([known.galaxy(k).max() for k in range(len(known.galaxies))]),
            ),
        }

    def _note(self, name: str, k: int, light: F32, largest: F32) -> None:
        above = light > largest
        self._owner[name][above] = k
        largest[above] = light[above]

    def owner(self, name: str, x: int, y: int) -> int | None:
        """Return the object of a class that caused a detection, -1 for noise, None where none did."""
        if name == "noise":
            return -1
        noise, excess = self._noise[y, x], self._excess[y, x]
        if name in self._owner:
            k = int(self._owner[name][y, x])
            if k < 0:
                return None
            light = getattr(self._known, _IMAGES[name])(k)[y, x]
            return k if light > max(2 * noise, ARTEFACT * excess) else None
        xs, ys, peak = self._rows[name]
        fwhm = self._known.frame.fwhm
        away = np.hypot(xs - x, ys - y)
        core = peak * np.exp(-2 * (away / max(fwhm, 1.5)) ** 2) * (away <= far_of(fwhm))
        k = int(np.argmax(core)) if core.size else -1
        return k if k >= 0 and core[k] > max(2 * noise, SOURCE * excess) else None

    def image(self, name: str, k: int | None) -> F32 | None:
        """Return the light of an object on the frame; None for noise."""
        if name == "noise" or k is None:
            return None
        image: F32 = getattr(self._known, _IMAGES[name])(k)
        return image


class _Oracle:
    """What knows all of a frame but what a detection is."""

    def __init__(self, known: KnownFrame, rng: np.random.Generator, size: Size) -> None:
        self._known = known
        self._counts = known.counts
        self._libraries = {
            "star": star_library(known),
            "cosmic_ray": track_library(known, rng, size.tracks),
            _OF_KIND: track_library(known, rng, size.tracks, own=False),
            "hot_pixel": hot_library(known, rng, size.hot_pixels),
        }
        laws, radius = known.laws, reach(known.frame.fwhm)
        self._points = {"cosmic_ray": points_of_charge(known, radius)}
        self._log_density = {"cosmic_ray": math.log(laws.muons + laws.electrons)}
        if known.galaxies:
            self._libraries["galaxy"] = galaxy_library(known, rng, size.galaxies)
            self._points["galaxy"] = points_of_light(known, radius)
            self._log_density["galaxy"] = math.log(laws.galaxies)
        # Where there are no galaxies, or nearly no hits, the rate is next to nothing, not 0.
        least = 5 * known.conditions.noise / float(known.conditions.psf.peaks.mean())
        rates = (
            sum(law.above(least) for law in laws.stars),
            max(laws.galaxies, 1e-300),
            laws.muons + laws.electrons,
            sum(law.density for law in laws.hot_pixels),
            1.0,
        )
        self.log_rates = np.log(rates)

    def log_evidence(self, x: int, y: int, own: F32 | None) -> F64:
        """Return the log evidence of each of `JUDGED` for the object `own` at a brightest pixel, (2, 5).

        The second row is without the silicon of the frame.
        """
        sight = self._sight(x, y, own)
        found = log_evidence(sight, self._libraries) | {"noise": 0.0}
        if is_unexplained(sight, max(found.values())):
            for name, points in self._points.items():
                free = log_evidence_of_points(sight, points) + self._log_density[name]
                for each in (name, _OF_KIND) if name == "cosmic_ray" else (name,):
                    found[each] = float(np.logaddexp(found[each], free))
        known = [found.get(name, -np.inf) for name in JUDGED]
        of_kind = found | {"cosmic_ray": found[_OF_KIND]}
        return np.array([known, [of_kind.get(name, -np.inf) for name in JUDGED]])

    def _sight(self, x: int, y: int, own: F32 | None) -> Sight:
        known, radius = self._known, reach(self._known.frame.fwhm)
        window = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
        base = known.expected[window].astype(float).ravel()
        if own is not None:
            base -= own[window].ravel()
        counts = self._counts[window].astype(float).ravel()
        camera, frame = known.conditions.camera, known.frame
        noise = float(frame.noise[y, x]) * camera.gain
        sky = (float(frame.sky[y, x]) - camera.bias) * camera.gain
        return Sight(
            residual=counts - base,
            base=base,
            floor=camera.read_noise**2 + camera.gain**2 / 12,
            flat_noise=camera.flat_noise,
            excess=max(float(self._counts[y, x]) - sky, noise),
            noise=noise,
        )
