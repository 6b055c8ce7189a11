"""Widths that frames without stars borrow from others of the same camera and filter."""

from dataclasses import dataclass

import numpy as np

from .._util.hashing import digest_of
from ..io.exposure import MEASURED
from .journal import Line


@dataclass(frozen=True)
class Lent:
    """What a frame without stars borrows.

    Attributes
    ----------
    fwhm : float or None
        Median FWHM of the other frames, pixels; None where no frame of its camera and filter has stars.
    n_frames : int
        How many these are.
    image, content : str
        The one of them whose width is nearest to the median, whose star is borrowed too: its name, empty
        where it is not there any more, and the hash of what was read.
    """

    fwhm: float | None = None
    n_frames: int = 0
    image: str = ""
    content: str = ""

    @property
    def key(self) -> str:
        """Hash of all that a result may depend on."""
        return digest_of(f"{self.fwhm} {self.n_frames} {self.content}".encode())


@dataclass(frozen=True)
class _Lender:
    fwhm: float
    image: str
    content: str


class Lenders:
    """Frames with stars of their own, by camera and filter.

    Parameters
    ----------
    how : str
        How the frames must have been scored.
    most : int, optional
        Of each camera and filter the newest so many are kept.
    """

    def __init__(self, how: str, most: int | None = None) -> None:
        self._how, self._most = how, most
        self._frames: dict[str, dict[str, _Lender]] = {}
        self._lent: dict[str, Lent] = {}  # as long as no frame of the camera is noted

    def note(self, line: Line) -> None:
        """Take a frame if its stars were measured; the newest line of a result counts."""
        summary = line.summary or {}
        self._lent.pop(line.camera, None)
        frames = self._frames.setdefault(line.camera, {})
        frames.pop(line.output, None)
        if not line.ok or line.how != self._how or summary.get("fwhm_source") != MEASURED:
            return
        frames[line.output] = _Lender(float(summary["fwhm"]), line.image, str(line.content))
        if self._most is not None and len(frames) > self._most:
            del frames[next(iter(frames))]

    def lent_to(self, camera: str) -> Lent:
        """Return what a frame of a camera and filter borrows, whatever the order of the others."""
        if camera not in self._lent:
            self._lent[camera] = self._median(list(self._frames.get(camera, {}).values()))
        return self._lent[camera]

    @staticmethod
    def _median(frames: list[_Lender]) -> Lent:
        if not frames:
            return Lent()
        fwhm = float(np.median([frame.fwhm for frame in frames]))
        nearest = min(frames, key=lambda frame: (abs(frame.fwhm - fwhm), frame.content))
        return Lent(fwhm, len(frames), nearest.image, nearest.content)
