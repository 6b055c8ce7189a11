"""What drift is judged by: a few numbers a frame, as the journal notes them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..._util.plain_number import number_of
from ...io.camera import without_filter
from ...io.exposure import MEASURED

KINDS = ("real", "bogus")
#: Sources of a FWHM that say that the frame showed no stars to measure it on.
_WITHOUT_STARS = ("borrowed", "header", "catalogue", "assumed")
#: Times of exposure that differ by less are of one kind: shutters that measure theirs give 30.00 to
#: 30.01 s for 30 s. The times that people ask for lie at least 0.4 % off the edges between two kinds.
_SAME_EXPOSURE = 0.05
#: A number that is larger is damaged.
_MOST = 1e15


class Scorer(NamedTuple):
    """By what a frame was scored; None for what is not known.

    Attributes
    ----------
    model, version : str or None
    threshold : float or None
    real : tuple of str or None
        The classes that count as real.
    """

    model: str | None = None
    version: str | None = None
    threshold: float | None = None
    real: tuple[str, ...] | None = None

    def is_like(self, other: "Scorer") -> bool:
        """Whether both may be the same, as far as it is known."""
        return all(a is None or b is None or a == b for a, b in zip(self, other, strict=True))


_NOT_KNOWN = Scorer()


@dataclass(frozen=True, eq=False)
class FrameFigures:
    """The figures of a frame; None for what is not known of it.

    Attributes
    ----------
    image : str
    camera : str
        Camera and filter.
    real, bogus : int or None
    classes : dict of str to int or None
        Scored detections by most probable class.
    scores : ndarray of float64, shape (2, n), or None
        Real and bogus detections in bins of the score.
    fwhm, ellipticity : float or None
        Of the frame's own stars, in pixels and 1 - b / a.
    has_stars : bool or None
        Whether it showed stars to measure a width on; None where that was not tried.
    background, noise : float or None
        In the units of the image.
    background_range : float or None
        By how much the background of parts of the frame differs, in the same units.
    exposure : float or None
        Seconds.
    target : str
        As the header names it; empty where it does not.
    airmass : float or None
    time : datetime or None
        When the exposure began.
    scorer : Scorer
    """

    image: str
    camera: str = ""
    real: int | None = None
    bogus: int | None = None
    classes: Mapping[str, int] | None = None
    scores: NDArray[np.float64] | None = None
    fwhm: float | None = None
    ellipticity: float | None = None
    has_stars: bool | None = None
    background: float | None = None
    noise: float | None = None
    background_range: float | None = None
    exposure: float | None = None
    target: str = ""
    airmass: float | None = None
    time: datetime | None = None
    scorer: Scorer = _NOT_KNOWN

    @classmethod
    def of(cls, image: str, camera: str, summary: Mapping[str, Any]) -> Self:
        """Take the figures from the summary of a frame, also of one that an earlier version wrote.

        What is damaged is taken as not known.

        Parameters
        ----------
        image : str
        camera : str
            As `rbinfer.io.camera.camera_of` names it.
        summary : mapping
            As of `rbinfer.pipeline.score_file.score_file`, or from the JSON of a journal.
        """
        source = summary.get("fwhm_source")
        is_measured = source == MEASURED
        return cls(
            image,
            camera,
            _count(summary, "real"),
            _count(summary, "bogus"),
            _classes(summary.get("classes")),
            _scores(summary.get("scores")),
            _number(summary, "fwhm", 0) if is_measured else None,
            _number(summary, "ellipticity", 0) if is_measured else None,
            True if is_measured else False if source in _WITHOUT_STARS else None,
            _number(summary, "background"),
            _number(summary, "noise", 0),
            _number(summary, "background_range", 0),
            _number(summary, "exposure", 0) or None,
            _text(summary, "target"),
            _number(summary, "airmass", 1),
            _time(summary.get("time")),
            _scorer(summary),
        )

    @property
    def kind(self) -> str:
        """Camera, filter and, where it is known, about the time of exposure."""
        if self.exposure is None:
            return self.camera
        about = math.exp(_SAME_EXPOSURE * round(math.log(self.exposure) / _SAME_EXPOSURE))
        return f"{self.camera}; about {float(f'{about:.2g}'):g} s"

    @property
    def telescope(self) -> str:
        """Telescope and camera, whatever the filter and the time of exposure."""
        return without_filter(self.camera)

    @property
    def scored(self) -> int | None:
        """How many detections have a score."""
        return None if self.real is None or self.bogus is None else self.real + self.bogus


def _number(found: Mapping[str, Any], key: str, least: float = -_MOST) -> float | None:
    number = number_of(found, key, least)
    return None if number is None or number > _MOST else number


def _count(found: Mapping[str, Any], key: str) -> int | None:
    number = _number(found, key, 0)
    return None if number is None else int(number)


def _text(found: Mapping[str, Any], key: str) -> str:
    text = found.get(key)
    return text if isinstance(text, str) else ""


def _time(found: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(found)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _classes(found: Any) -> dict[str, int] | None:
    if not isinstance(found, dict):
        return None
    counts = {str(name): _count(found, name) for name in found}
    known = {name: n for name, n in counts.items() if n is not None}
    return known if len(known) == len(counts) else None


def _scores(found: Any) -> NDArray[np.float64] | None:
    if not isinstance(found, dict):
        return None
    try:
        scores = np.array([found[kind] for kind in KINDS], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    is_sound = scores.ndim == 2 and np.all((scores >= 0) & (scores < _MOST))
    return scores if is_sound else None


def _scorer(summary: Mapping[str, Any]) -> Scorer:
    version, real = summary.get("version"), summary.get("real_classes")
    return Scorer(
        _text(summary, "model") or None,
        None if version is None else str(version),
        number_of(summary, "threshold"),
        tuple(sorted(map(str, real))) if isinstance(real, list) else None,
    )
