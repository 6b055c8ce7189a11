"""The images that cutouts are cut from: the last few kept open, and drawn as PNG."""

import logging
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._util.hashing import digest
from .._util.limits import memory_free
from ..cutouts.cutter import Cutter
from ..errors import RbinferError
from ..io.exposure import Exposure, Width
from ..io.images import load_image
from ..io.sky_out import SkyMap, sky_map
from ..measure.even import evened
from ..model.spec import DEFAULT_FWHM, PreprocessSpec
from ..report.gallery import half_width, stretched, window_at
from ..report.one import FIRST, ImageResult
from ..report.pictures import png_bytes
from ..report.stars import mean_star

log = logging.getLogger(__name__)

STRETCHES = ("asinh", "linear", "sky")
_LEAST_BYTES = 1 << 29  # of pixels that may be kept, however little memory is free
_MOST_SIDE = 801  # pixels of a picture


class ImageChangedError(RbinferError):
    """An image is not the file any more that was shown."""


class _State(NamedTuple):
    """What tells that a file is still the same, without reading it."""

    inode: int
    size: int
    time: int  # of its last change, ns


class _Content(NamedTuple):
    """Hash of a file, and its state when that was computed."""

    state: _State
    hash: str


@dataclass(eq=False)
class Frame:
    """An image that is open.

    Attributes
    ----------
    exposure : Exposure
    sky : SkyMap or None
    """

    exposure: Exposure
    sky: SkyMap | None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _star: list[bytes | None] = field(default_factory=list, repr=False)
    _cutters: dict[float, Cutter] = field(default_factory=dict, repr=False)

    def star(self) -> bytes | None:
        """Return the mean star as PNG, measured when it is first asked for; None without stars."""
        with self._lock:
            if not self._star:
                grey = mean_star(self.exposure)
                self._star.append(None if grey is None else png_bytes(grey))
            return self._star[0]

    def snr(self, x: float, y: float, fwhm: float | None) -> float:
        """Return S/N as `rbinfer.cutouts.cutter.Cutouts` has it; NaN where there is none.

        Parameters
        ----------
        x, y : float
            0-based pixels.
        fwhm : float or None
            Of the image's stars, in pixels.
        """
        width = fwhm or DEFAULT_FWHM
        with self._lock:
            if width not in self._cutters:
                exposure = replace(self.exposure, width=Width(width, "given"))
                self._cutters[width] = Cutter.prepare(exposure, PreprocessSpec.default())
            cutter = self._cutters[width]
        return float(cutter.cut(np.array([x]), np.array([y])).snr[0])


class Frames:
    """Opens images, and keeps as many of the last ones as a quarter of the free memory holds."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[Path, int, str], Frame] = OrderedDict()
        self._hashes: dict[Path, _Content] = {}
        self._shown: dict[Path, _Content] = {}  # of images when they were first opened
        self._lock, self._hash_lock = threading.Lock(), threading.Lock()
        self._opening = threading.Lock()  # one at a time: those that are open are not kept waiting
        self._most_bytes = max((memory_free() or 0) // 4, _LEAST_BYTES)

    def frame(self, image: ImageResult, hdu: int) -> Frame:
        """Return an image.

        Parameters
        ----------
        image : ImageResult
            One whose ``path`` is known.
        hdu : int
            Its number, or `rbinfer.report.one.FIRST`.

        Raises
        ------
        ImageChangedError
            It is another file than when it was first opened.
        RbinferError
            It cannot be read.
        """
        key = _path(image), hdu, plane_of(image)
        found = self._open(key)
        if found is not None:
            return found
        with self._opening:
            found = self._open(key)  # another thread may have opened it meanwhile
            if found is None:
                found = self._read(image, hdu)
                with self._lock:
                    self._frames[key] = found
                    while len(self._frames) > 1 and self._size() > self._most_bytes:
                        self._frames.popitem(last=False)
            return found

    def _open(self, key: tuple[Path, int, str]) -> Frame | None:
        """Return an image that is open, as the last that was used."""
        with self._lock:
            found = self._frames.pop(key, None)
            if found is not None:
                self._frames[key] = found
            return found

    def _read(self, image: ImageResult, hdu: int) -> Frame:
        path, number = _path(image), None if hdu == FIRST else hdu
        shown = self._shown.setdefault(path, self._content(path))
        exposure = load_image(path, number, plane_of(image) or None, image.given.get("bayer"))
        if self._content(path).hash != shown.hash:
            raise ImageChangedError(f"{path} has changed; score it again, and start anew")
        exposure = evened(exposure)
        return Frame(exposure, sky_map(exposure.wcs, exposure.shape, image.name))

    def hash(self, image: ImageResult) -> str:
        """Return the SHA-256 of an image's file as it is now; it is read again if it has changed.

        Raises
        ------
        RbinferError
            It cannot be read.
        """
        return self._content(_path(image)).hash

    def hash_as_shown(self, image: ImageResult) -> str:
        """Return the SHA-256 of the file that an open image was read from.

        Raises
        ------
        ImageChangedError
            It is another file by now, or cannot be read any more.
        """
        path = _path(image)
        try:
            found = self.hash(image)
        except RbinferError as error:
            raise ImageChangedError(f"{error}; its detections are passed over") from error
        if found != self._shown[path].hash:
            raise ImageChangedError(f"{path} has changed; score it again, and start anew")
        return found

    def _content(self, path: Path) -> _Content:
        try:
            with self._hash_lock:
                known, state = self._hashes.get(path), _state(path)
                if known is None or known.state != state:
                    self._hashes[path] = known = _Content(state, digest(path))
                return known
        except OSError as error:
            raise RbinferError(f"{path} cannot be read: {error.strerror or error}") from error

    def _size(self) -> int:
        return sum(frame.exposure.pixels.nbytes for frame in self._frames.values())


def draw_cutout(
    frame: Frame, x: float, y: float, fwhm: float | None, stretch: str, wider: float
) -> bytes:
    """Draw the surroundings of a detection as PNG, north-south as in the image: row 0 is lowest.

    Parameters
    ----------
    frame : Frame
    x, y : float
        0-based pixels.
    fwhm : float or None
        Of the image's stars, in pixels.
    stretch : str
        One of `STRETCHES`.
    wider : float
        1 for what the network sees; 2 for twice as wide.

    Returns
    -------
    bytes
    """
    half = max(round(half_width(fwhm or DEFAULT_FWHM) * wider), 3)
    window = window_at(frame.exposure.pixels, x, y, min(half, _MOST_SIDE // 2))
    return png_bytes(np.rint(255 * stretched(window, stretch)).astype(np.uint8))


def plane_of(image: ImageResult) -> str:
    """Return the plane of a cube that was scored, as it is noted; empty if none is."""
    plane = image.given.get("plane")
    return "" if plane is None else str(plane)


def _state(path: Path) -> _State:
    status = os.stat(path)
    return _State(status.st_ino, status.st_size, status.st_mtime_ns)


def _path(image: ImageResult) -> Path:
    if image.path is None:
        raise RbinferError(f"the image of {image.result} was not found")
    return image.path
