"""Why a detection has its score: what the network saw, what a star would be like, what counts."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cutouts.centring import brightest_near
from ..cutouts.cutter import Cutouts
from ..errors import InputError
from ..io.exposure import Exposure, Width
from ..measure.single import OwnShape, StarFit, fit_star, own_shape
from ..scoring.classifier import Classifier
from ..scoring.prepare import Prepared, by_region, prepare
from ..status import UNSCORED

Floats = NDArray[np.float64]

_PATCHES = 13  # along each side of the window, in the map of what counts
_MARGIN = 3  # pixels around what is cut, which centring may need


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is known of a detection and its score.

    Attributes
    ----------
    x, y : float
        The position that is scored, 0-based pixels of the image. What is measured starts at the pixel
        that its cutout is centred on.
    hdu : int
        Number of the HDU that the image is from.
    asked : (float, float)
        The position that was asked for. Another one is scored where the brightest pixel of the
        detection lies beside it and is clearly brighter.
    score, threshold : float
        The score is NaN where there is none.
    status : int
        Bits of `rbinfer.Status`.
    snr : float
        Of the central 3 x 3 (rescaled) pixels.
    classes : dict of str to float
        Probability of each class; empty for a model without classes.
    width : Width
        FWHM of the frame's stars.
    window : ndarray of float64, shape (ny, nx)
        Native pixels around it; NaN where bad.
    corner : (int, int)
        Column and row of the window's first pixel.
    seen : ndarray of float32, shape (size, size, 2)
        What the network sees of it.
    star : ndarray of float32, shape (size, size), or None
        The frame's star as the network may see it; None where it is not known.
    fit : StarFit
        The frame's star fitted to it, and what that leaves.
    shape : OwnShape or None
        Its own Gaussian, which does not depend on the frame's stars.
    neighbour, star_neighbour : float
        Its brightest neighbouring pixel over the brightest one, above the sky, and the same of the
        fitted star.
    influence : ndarray of float64, shape (13, 13)
        How much the score falls where a patch of the window is replaced by sky.
    """

    x: float
    y: float
    hdu: int
    asked: tuple[float, float]
    score: float
    threshold: float
    status: int
    snr: float
    classes: dict[str, float]
    width: Width
    window: Floats
    corner: tuple[int, int]
    seen: NDArray[np.float32]
    star: NDArray[np.float32] | None
    fit: StarFit
    shape: OwnShape | None
    neighbour: float
    star_neighbour: float
    influence: Floats

    @property
    def is_real(self) -> bool:
        """Whether the score lies above the threshold."""
        return bool(self.score > np.float32(self.threshold))

    @property
    def most_telling(self) -> tuple[int, int]:
        """Row and column of the patch of `influence` that moves the score most."""
        row, column = np.unravel_index(int(np.abs(self.influence).argmax()), self.influence.shape)
        return int(row), int(column)


def explain(
    classifier: Classifier,
    exposure: Exposure,
    x: float,
    y: float,
    *,
    peak: tuple[float, float] | None = None,
    threshold: float | None = None,
    **known: Any,
) -> Explanation:
    """Explain the score of one position.

    Parameters
    ----------
    classifier : Classifier
    exposure : Exposure
    x, y : float
        0-based position in pixels.
    peak : (float, float), optional
        Column and row of the detection's brightest pixel.
    threshold : float, optional
        Scores above it are real; the model's own by default.
    **known
        ``fwhm`` and ``psf`` as for `rbinfer.Classifier.score`.

    Returns
    -------
    Explanation

    Raises
    ------
    InputError
        The position lies off the image or in an area without data, or has no finite pixel around it.
    """
    ny, nx = exposure.shape
    if not (np.isfinite(x) and np.isfinite(y) and -0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5):
        raise InputError(f"the position {x:g},{y:g} lies off the image of {nx} x {ny} pixels")
    peaks = None if peak is None else ([peak[0]], [peak[1]])
    spec = classifier.spec.preprocess
    ((_, prepared),) = by_region(prepare(exposure, spec, [x], [y], peaks=peaks, **known))
    exposure = prepared.exposure  # as it is cut
    if prepared.no_data[0]:
        raise InputError(f"the position {x:g},{y:g} lies in an area without data")
    # All that is measured starts at the pixel that is scored, wherever near it the position is.
    centre = brightest_near(exposure, float(prepared.x[0]), float(prepared.y[0]), spec.recentre)
    part, (left, top) = _around(exposure, prepared, centre, _reach(prepared))
    at = centre[0] - left, centre[1] - top
    window = part.pixels.astype(np.float64)
    if part.mask is not None:
        window[part.mask] = np.nan
    if not np.isfinite(window).any():
        raise InputError(f"there is no finite pixel around {x:g},{y:g}")
    # The score rests on the wide view, too.
    part, corner = _around(exposure, prepared, centre, _reach(prepared, is_view=True))
    covered = _covered(part, (centre[0] - corner[0], centre[1] - corner[1]), prepared)
    start = float(prepared.x[0]), float(prepared.y[0])
    if brightest_near(exposure, *centre, spec.recentre) == centre:
        start = float(centre[0]), float(centre[1])
    scored = classifier.score_stamps([part, *covered], x=start[0] - corner[0], y=start[1] - corner[1])
    cutouts: Cutouts = prepared.cutter.cut(prepared.x, prepared.y)
    # Of a patch without which nothing can be scored nothing is known.
    fall = np.nan_to_num(scored.score[0] - scored.score[1:].astype(np.float64), nan=0.0)
    fit = fit_star(window, *at, prepared.width)
    classes = {} if scored.classes is None else dict(
        zip(classifier.spec.classes, map(float, scored.classes[0]), strict=True)
    )  # fmt: skip
    return Explanation(
        x=float(prepared.x[0]),
        y=float(prepared.y[0]),
        hdu=exposure.hdu,
        asked=(x, y),
        score=float(scored.score[0]),
        threshold=classifier.threshold if threshold is None else threshold,
        status=int(scored.status[0]),
        snr=float(scored.snr[0]),
        classes={} if scored.status[0] & UNSCORED else classes,
        width=prepared.width,
        window=window,
        corner=(left, top),
        seen=cutouts.pixels[0],
        star=prepared.psf,
        fit=fit,
        shape=own_shape(window, *at),
        neighbour=_neighbour(window - fit.sky, *at),
        star_neighbour=_neighbour(fit.model - fit.sky, fit.x, fit.y),
        influence=fall.reshape(_PATCHES, _PATCHES),
    )


def _reach(prepared: Prepared, is_view: bool = False) -> int:
    """Return how far a cutout, or the wide view, reaches from a position, in pixels of the image."""
    cutter = prepared.cutter
    reach = int(np.ceil(cutter.spec.size // 2 * max(cutter.scale, 1.0) + cutter.scale))
    if is_view:
        reach = max(reach, cutter.view_reach)
    return reach + int(np.ceil(cutter.spec.recentre)) + _MARGIN


def _around(
    exposure: Exposure, prepared: Prepared, centre: tuple[int, int], reach: int
) -> tuple[Exposure, tuple[int, int]]:
    """Return the part of an image so far around a pixel, and column and row of its corner."""
    column, row = centre
    left, top = max(column - reach, 0), max(row - reach, 0)
    inside = np.s_[top : row + reach + 1, left : column + reach + 1]

    def cut(value: Any) -> Any:
        return np.ascontiguousarray(value[inside]) if isinstance(value, np.ndarray) else value

    part = replace(
        exposure,
        pixels=cut(exposure.pixels),
        mask=cut(exposure.mask),
        no_data=np.zeros((0, 0), np.bool_),
        background=cut(exposure.background),
        noise=cut(exposure.noise),
        width=prepared.width,
    )
    return part, (left, top)


def _covered(part: Exposure, at: tuple[int, int], prepared: Prepared) -> list[Exposure]:
    """Return copies in each of which one patch of the window is replaced by sky."""
    cutter = prepared.cutter
    half = (cutter.spec.size // 2) * cutter.scale
    step = 2.0 * half / _PATCHES
    centres = (np.arange(_PATCHES) - _PATCHES // 2) * step
    sky = np.float32(np.median(part.pixels[np.isfinite(part.pixels)]))
    rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
    reach = max(0.75 * step, 0.5)  # patches overlap, so that none falls between two
    copies = []
    for dy in centres:
        for dx in centres:
            pixels = part.pixels.copy()
            hidden = (np.abs(rows - at[1] - dy) <= reach) & (np.abs(columns - at[0] - dx) <= reach)
            pixels[hidden] = sky
            copies.append(replace(part, pixels=pixels))
    return copies


def _neighbour(above: Floats, x: float, y: float) -> float:
    """Return the brightest of the eight neighbours of the brightest pixel near a place, over it."""
    ny, nx = above.shape
    row, column = min(max(round(y), 0), ny - 1), min(max(round(x), 0), nx - 1)
    top, left = max(row - 1, 0), max(column - 1, 0)
    near = np.nan_to_num(above[top : row + 2, left : column + 2], nan=-np.inf)
    j, i = np.unravel_index(int(near.argmax()), near.shape)
    row, column = top + int(j), left + int(i)
    peak = float(above[row, column])
    around = above[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].copy()
    around[row - max(row - 1, 0), column - max(column - 1, 0)] = np.nan
    known = around[np.isfinite(around)]
    if not (np.isfinite(peak) and peak > 0 and known.size):
        return float("nan")
    return max(float(known.max()), 0.0) / peak
