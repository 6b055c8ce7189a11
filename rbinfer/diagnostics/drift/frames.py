"""What drift is judged by: a few numbers a frame, as the journal notes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...io.exposure import MEASURED

KINDS = ("real", "bogus")
#: Sources of a FWHM that say that the frame showed no stars to measure it on.
_WITHOUT_STARS = ("borrowed", "header", "catalogue", "assumed")


@dataclass(frozen=True, eq=False)
class FrameFigures:
    """The figures of a frame; None for what is not known of it.

    Attributes
    ----------
    image : str
    kind : str
        Camera, filter and time of exposure: frames are compared with those of the same kind.
    real, bogus : int
    classes : dict of str to int
        Scored detections by most probable class.
    scores : ndarray of float64, shape (2, n), or None
        Real and bogus detections in bins of the score.
    fwhm, ellipticity : float or None
        Of the frame's own stars, in pixels and 1 - b / a.
    has_stars : bool or None
        Whether it showed stars to measure a width on; None where that was not tried.
    background, noise : float or None
        In the units of the image.
    """

    image: str
    kind: str = ""
    real: int = 0
    bogus: int = 0
    classes: Mapping[str, int] | None = None
    scores: NDArray[np.float64] | None = None
    fwhm: float | None = None
    ellipticity: float | None = None
    has_stars: bool | None = None
    background: float | None = None
    noise: float | None = None

    @classmethod
    def of(cls, image: str, camera: str, summary: Mapping[str, Any]) -> Self:
        """Take the figures from the summary of a frame, also of one that an earlier version wrote.

        Parameters
        ----------
        image : str
        camera : str
            As `rbinfer.io.camera.camera_of` names it.
        summary : mapping
            As of `rbinfer.pipeline.score_file.score_file`, or from the JSON of a journal.
        """
        exposure = _number(summary, "exposure")
        source = summary.get("fwhm_source")
        is_measured = source == MEASURED
        classes = summary.get("classes")
        return cls(
            image,
            camera if exposure is None else f"{camera}; {exposure:g} s",
            int(_number(summary, "real") or 0),
            int(_number(summary, "bogus") or 0),
            {str(name): int(n) for name, n in classes.items()} if isinstance(classes, dict) else None,
            _scores(summary.get("scores")),
            _number(summary, "fwhm") if is_measured else None,
            _number(summary, "ellipticity") if is_measured else None,
            True if is_measured else False if source in _WITHOUT_STARS else None,
            _number(summary, "background"),
            _number(summary, "noise"),
        )

    @property
    def scored(self) -> int:
        """How many detections have a score."""
        return self.real + self.bogus


def _number(summary: Mapping[str, Any], key: str) -> float | None:
    value = summary.get(key)
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _scores(found: Any) -> NDArray[np.float64] | None:
    if not isinstance(found, dict):
        return None
    try:
        scores = np.array([found[kind] for kind in KINDS], np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    return scores if scores.ndim == 2 else None
