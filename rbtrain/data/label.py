"""Labels: which layer of a simulated frame a detection owes its existence to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .._arrays import F32, F64, I8, I64, Bools
from .._pixels import BOX, around, nearest
from ..config import CLASSES
from ..simulate import Artefact, Frame

#: Label of a detection that training leaves out.
AMBIGUOUS = -1
#: What was there before does not matter below this share of the planted light.
_OUTSHONE = 0.3
#: A trail shows where it is so many sigma above the sky: over its length the eye averages.
_SHOWS = 1.5
_STAR, _GALAXY = CLASSES.index("star"), CLASSES.index("galaxy")
_TRAIL, _SPIKE = CLASSES.index("trail"), CLASSES.index("spike")
_NOISE = CLASSES.index("noise")


def is_of(labels: I8, names: Iterable[str]) -> Bools:
    """Tell which labels (n,) are of the named classes.

    Parameters
    ----------
    labels : ndarray of int8, shape (n,)
        Indices into `rbtrain.config.CLASSES`.
    names : iterable of str
        Classes.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    return np.isin(labels, [CLASSES.index(name) for name in names])


def label_detections(
    frame: Frame,
    x: F64,
    y: F64,
    xpeak: I64,
    ypeak: I64,
    lifted: bool = False,
) -> I8:
    """Label detections by asking whether they would exist without each layer.

    At the brightest pixel of a detection the expected signal of sources and of artefacts is known.
    Where an artefact makes up most of the light and no source of comparable peak lies under it, the
    detection is that artefact's; where a source's own core does, it is the source's; where neither
    does and no source is near, it is noise. Everything between is ambiguous.

    Special cases: where the centroid lies on a star or galaxy and the brightest pixel on an artefact
    beside it, the detection would exist without the artefact and is the source's; the bleeding core of a
    saturated star is the star's, wherever on the plateau the brightest pixel lies, and the rest of that
    plateau is ambiguous; so is a flash along a trail that is as compact as a star, if nothing of the
    trail shows on both sides of it. Where something of unknown nature was there before
    (`Frame.unknown`), nothing is labelled noise, and only what clearly outshines it gets the class of
    what was planted.

    Parameters
    ----------
    frame : Frame
    x, y : ndarray of float, shape (n,)
        Centroid of each detection, 0-based pixels.
    xpeak, ypeak : ndarray of int, shape (n,)
        Brightest pixel of each detection, 0-based.
    lifted : bool
        Whether a peak of noise on a faint artefact, such as a column, is the artefact's; else it is
        ambiguous.

    Returns
    -------
    ndarray of int8, shape (n,)
        Index into `rbtrain.config.CLASSES`, or `AMBIGUOUS`.
    """
    found = _look(frame, x, y, xpeak, ypeak)
    labels = np.full(len(xpeak), AMBIGUOUS, np.int8)
    labels = _label_artefacts(found, labels)
    labels = _label_glare(found, labels)
    labels = _label_sources(found, labels)
    labels = np.where(_is_noise(found), _NOISE, labels)
    if lifted:
        labels = np.where(_is_lifted(found) & (labels == AMBIGUOUS), found.codes, labels)
    if frame.unknown is not None:
        labels[_is_doubtful(frame, frame.unknown, xpeak, ypeak)] = AMBIGUOUS
        yc, xc = nearest(x, y, frame.image.shape)
        labels[_is_doubtful(frame, frame.unknown, xc, yc)] = AMBIGUOUS
        labels[(labels == _NOISE) & around(frame.unknown, xpeak, ypeak, BOX).any(axis=0)] = AMBIGUOUS
    return labels.astype(np.int8)


@dataclass(frozen=True, eq=False)
class _Found:
    """Detections on a frame and what is known to lie under each; arrays are (n,), light in ADU.

    Attributes
    ----------
    frame : Frame
    x, y : array
        Centroids, pixels.
    xpeak, ypeak : int array
        Brightest pixels.
    noise, artefact, sources : array
        Noise, and expected light of artefacts and of sources, in the brightest pixel.
    excess : array
        Light above the sky there, at least the noise.
    core, kind : array
        Peak and class of the strongest source under the brightest pixel.
    own_core, own_kind : array
        The same under the centroid.
    codes : int8 array
        Class of the artefact in the brightest pixel.
    by_artefact : bool array
        Whether an artefact makes up most of the light there.
    """

    frame: Frame
    x: F64
    y: F64
    xpeak: I64
    ypeak: I64
    noise: F64
    artefact: F64
    sources: F64
    excess: F64
    core: F64
    kind: I8
    own_core: F64
    own_kind: I8
    codes: I8
    by_artefact: Bools


def _look(frame: Frame, x: F64, y: F64, xpeak: I64, ypeak: I64) -> _Found:
    at = (ypeak, xpeak)
    noise = frame.noise[at].astype(float)
    artefact = frame.artefacts[at].astype(float)
    excess = np.maximum(frame.image[at].astype(float) - frame.sky[at], noise)
    core, kind = _source_under(frame, xpeak, ypeak)
    own_core, own_kind = _source_under(frame, x, y)
    return _Found(
        frame=frame,
        x=x,
        y=y,
        xpeak=xpeak,
        ypeak=ypeak,
        noise=noise,
        artefact=artefact,
        sources=frame.stars[at].astype(float) + frame.galaxies[at],
        excess=excess,
        core=core,
        kind=kind,
        own_core=own_core,
        own_kind=own_kind,
        codes=_class_of_artefact()[frame.artefact_class[at]],
        by_artefact=(artefact > 0.5 * excess) & (artefact > 2 * noise),
    )


def _label_artefacts(found: _Found, labels: I8) -> I8:
    """Label what exists by an artefact, or by a source that an artefact lies beside."""
    frame, artefact, noise = found.frame, found.artefact, found.noise
    alone = (found.core < 0.3 * artefact) | (found.core < 2 * noise)
    labels = np.where(found.by_artefact & alone, found.codes, labels)
    labels[(labels == _TRAIL) & _is_compact(frame, found.xpeak, found.ypeak)] = AMBIGUOUS
    # A source at the centroid is detected with or without the artefact at the rim of its detection.
    beside = found.by_artefact & (np.hypot(found.x - found.xpeak, found.y - found.ypeak) > 1.5)
    yc, xc = nearest(found.x, found.y, frame.image.shape)
    labels = np.where(beside & (_light_near(frame, xc, yc) > 0.3 * artefact), AMBIGUOUS, labels)
    # The window will be moved to the brightest pixel next to the centroid: none may be the artefact's.
    touched = np.abs(around(frame.artefacts, xc, yc, BOX)).max(axis=0)
    undisturbed = beside & (touched < 0.3 * found.own_core)
    return np.where(undisturbed & (found.own_core > 5 * noise), found.own_kind, labels)


def _label_glare(found: _Found, labels: I8) -> I8:
    """Label what exists by the glare of a star: where the star itself is under it, it is a star."""
    glare = found.by_artefact & (found.codes == _SPIKE)
    saturated = _near_saturated(found.frame, found.xpeak, found.ypeak)
    labels = np.where(glare & saturated, AMBIGUOUS, labels)
    core = np.maximum(found.own_core, found.core)
    kind = np.where(found.own_core > found.core, found.own_kind, found.kind)
    labels = np.where(glare & (core > found.artefact), kind, labels)
    doubtful = glare & (core > 0.3 * found.artefact) & (core <= found.artefact)
    return np.where(doubtful, AMBIGUOUS, labels)


def _label_sources(found: _Found, labels: I8) -> I8:
    """Label what exists by a star or galaxy, or by several stars as one."""
    core, noise, excess = found.core, found.noise, found.excess
    strength = np.abs(found.artefact)
    # The rest of the light must be the source's own, not a brighter neighbour's wing.
    own = (core > 2 * noise) & (core > 0.35 * found.sources) & (core > 0.4 * excess)
    by_source = own & ((strength < 0.1 * excess) | (strength < 0.3 * core))
    labels = np.where(by_source & ~found.by_artefact, found.kind, labels)
    # In a crowded field many detections are faint stars on a neighbour's wing, or several as one:
    # they are stars where the starlight itself has a bump.
    bump = _bump(found.frame, found.xpeak, found.ypeak)
    clean = strength < np.minimum(0.1 * excess, 0.2 * bump)
    by_blend = (bump > 2 * noise) & clean & ~by_source & ~found.by_artefact
    return np.where(by_blend & (found.kind != _GALAXY), _STAR, labels)


def _is_noise(found: _Found) -> Bools:
    """Tell where neither an artefact nor a source is near enough to be seen."""
    no_artefact = np.abs(found.artefact) < 0.25 * found.noise
    noise: Bools = no_artefact & _is_without_source(found)
    return noise


def _is_without_source(found: _Found) -> Bools:
    faint = (found.sources < 0.3 * found.excess) & (found.sources < found.noise)
    without: Bools = faint & (found.core < found.noise)
    return without


def _is_lifted(found: _Found) -> Bools:
    """Tell where noise lifts an artefact over the threshold, and no source is near."""
    fainter = (found.artefact > found.noise) & ~found.by_artefact
    lifted: Bools = fainter & _is_without_source(found) & (found.own_core < found.noise)
    return lifted


def _is_doubtful(frame: Frame, unknown: F32, x: I64, y: I64) -> Bools:
    """Tell where light of unknown nature stands out, in a pixel or in the mean, and is not outshone."""
    planted = frame.stars + frame.galaxies + np.abs(frame.artefacts)
    before, noise = around(unknown, x, y, BOX), frame.noise[y, x]
    outshone = _OUTSHONE * around(planted, x, y, BOX).max(axis=0)
    top, mean = np.abs(before).max(axis=0), np.abs(before.mean(axis=0))
    # The mean of nine pixels has a third of the noise of one.
    doubtful: Bools = (top > np.maximum(3 * noise, outshone)) | (mean > np.maximum(noise, outshone))
    return doubtful


def _class_of_artefact() -> I8:
    """Table from `Artefact` codes to class indices."""
    names = {
        Artefact.COSMIC_RAY: "cosmic_ray",
        Artefact.HOT_PIXEL: "hot_pixel",
        Artefact.TRAIL: "trail",
        Artefact.SPIKE: "spike",
    }
    table = np.full(max(int(a) for a in Artefact) + 1, AMBIGUOUS, np.int8)
    for code, name in names.items():
        table[int(code)] = CLASSES.index(name)
    return table


def _on_circle(layer: F32, x: I64, y: I64, radius: float, points: int) -> F32:
    """Values of a layer on circles about positions, shape (points, n); the edge goes on outside."""
    angle = 2 * np.pi * np.arange(points)[:, np.newaxis] / points
    values: F32 = layer[nearest(x + radius * np.cos(angle), y + radius * np.sin(angle), layer.shape)]
    return values


def _is_compact(frame: Frame, xpeak: I64, ypeak: I64) -> Bools:
    """Tell where the artefact layer falls off in all directions, as a star does, and leads nowhere."""
    ring = _on_circle(frame.artefacts, xpeak, ypeak, max(1.5 * frame.fwhm, 2.0), 16)
    compact = ring.max(axis=0) < 0.5 * frame.artefacts[ypeak, xpeak]
    # Further out a star's own wings are faint: what shows on opposite sides is the rest of a trail.
    away = _on_circle(frame.artefacts, xpeak, ypeak, max(2.5 * frame.fwhm, 3.0), 24)
    rest = np.minimum(away[:12], away[12:]).max(axis=0)
    leads_on = rest > np.maximum(_SHOWS * frame.noise[ypeak, xpeak], 0.1 * frame.artefacts[ypeak, xpeak])
    return np.asarray(compact & ~leads_on)


def _light_near(frame: Frame, x: I64, y: I64) -> F32:
    """Highest expected light of stars and galaxies within a FWHM of each position."""
    light = frame.stars + frame.galaxies
    rings = [_on_circle(light, x, y, share * frame.fwhm, 12) for share in (0.0, 0.5, 1.0)]
    highest: F32 = np.concatenate(rings).max(axis=0)
    return highest


def _near_saturated(frame: Frame, xpeak: I64, ypeak: I64) -> Bools:
    """Tell which pixels belong to the saturated core of a star, or lie next to it."""
    full = float(np.nanmax(frame.image)) if frame.saturation is None else frame.saturation
    ring = _on_circle(frame.image, xpeak, ypeak, max(frame.fwhm, 1.5), 12)
    level = frame.sky[ypeak, xpeak] + 0.9 * (full - frame.sky[ypeak, xpeak])
    burnt: Bools = (ring >= level).sum(axis=0) >= 2
    return burnt


def _bump(frame: Frame, xpeak: I64, ypeak: I64) -> F64:
    """Height of the expected starlight above its median one FWHM away."""
    ring = _on_circle(frame.stars, xpeak, ypeak, max(frame.fwhm, 1.5), 12)
    bump: F64 = frame.stars[ypeak, xpeak] - np.median(ring, axis=0).astype(float)
    return bump


def _source_under(frame: Frame, xs: NDArray[Any], ys: NDArray[Any]) -> tuple[F64, I8]:
    """Peak that the strongest true source contributes to each position, and that source's class."""
    truth = frame.truth
    types = np.asarray(truth["type"])
    listed = np.flatnonzero(np.isin(types, ["star", "galaxy", "asteroid"]))
    core = np.zeros(len(xs))
    kind = np.full(len(xs), AMBIGUOUS, np.int8)
    if len(listed) == 0 or len(xs) == 0:
        return core, kind
    x, y = np.asarray(truth["x"], float)[listed], np.asarray(truth["y"], float)[listed]
    peak, width = np.asarray(truth["peak"], float)[listed], np.asarray(truth["fwhm"], float)[listed]
    codes = np.select([types[listed] == "star", types[listed] == "galaxy"], [_STAR, _GALAXY], AMBIGUOUS)
    k = min(8, len(listed))
    points = np.column_stack([xs, ys]).astype(float)
    distance, index = cKDTree(np.column_stack([x, y])).query(points, k=[*range(1, k + 1)])
    # A core reaches half its width, and at least to the next pixel.
    reach = np.maximum(0.55 * width[index], 1.2)
    contribution = peak[index] * np.exp(-2.0 * (distance / np.maximum(width[index], 1.5)) ** 2)
    contribution[distance > reach] = 0.0
    best = np.argmax(contribution, axis=1)
    rows = np.arange(len(points))
    return contribution[rows, best], codes[index[rows, best]].astype(np.int8)
