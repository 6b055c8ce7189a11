"""Backdrops: the user's own darks and sky images, real pixels that a frame is planted on.

Files are identified (`identify`), then read, checked and measured once (`open_backdrops`). What the
workers need is left as plain arrays in a scratch folder that they map, so that a `Backdrops` is
cheap to send and no file is read twice.
"""

import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rbinfer._util.hashing import digest
from rbinfer.errors import InputError
from rbinfer.io.exposure import Exposure
from rbinfer.io.files import check_file
from rbinfer.io.images import load_image
from rbinfer.measure.detect import detect
from rbinfer.measure.estimate import measure_width

from .._arrays import F32, Bools
from .patches import Backdrop, DarkPatch, SkyPatch, background, dark_patch, significance

log = logging.getLogger(__name__)

#: A pixel above this (sigma) in another dark as well is no particle; 6e-5 of Gaussian noise is above.
_AGAIN = 4.0
#: From so many darks of one shape on a particle can be told from a defect.
ENOUGH_DARKS = 3
#: A header's GAIN outside of this is a camera's setting, not electrons per ADU.
_GAINS = (0.05, 20.0)
_TRIES = 32


@dataclass(frozen=True)
class BackdropFile:
    """One file that was given.

    Attributes
    ----------
    kind : {"dark", "image"}
    path : Path
    size : int
        Bytes.
    sha256 : str
        Of the file, hexadecimal.
    """

    kind: str
    path: Path
    size: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return what a dataset records of it: the name without the folder."""
        return {"kind": self.kind, "name": self.path.name, "bytes": self.size, "sha256": self.sha256}


@dataclass(frozen=True)
class _View:
    """A window on a larger image, turned by quarters and mirrored."""

    at: tuple[slice, slice]
    turns: int
    mirrored: bool

    def of(self, picture: NDArray[Any]) -> NDArray[Any]:
        turned = np.rot90(picture[self.at], self.turns)
        return np.array(turned[:, ::-1] if self.mirrored else turned, order="C")


def _draw_view(
    rng: np.random.Generator, full: tuple[int, ...], shape: tuple[int, int], good: Any
) -> _View:
    """Draw a window; `good` gives the share of good pixels in one, and most must be."""
    turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
    height, width = shape if turns % 2 == 0 else shape[::-1]
    if height > full[0] or width > full[1]:
        turns, (height, width) = turns - 1, shape
    best, most = None, -1.0
    for _ in range(_TRIES):
        y, x = int(rng.integers(full[0] - height + 1)), int(rng.integers(full[1] - width + 1))
        at = (slice(y, y + height), slice(x, x + width))
        share = float(good(at))
        if share > most:
            best, most = at, share
        if most >= 0.75:
            break
    assert best is not None
    return _View(best, turns, mirrored)


@dataclass(frozen=True)
class _Dark:
    """A dark in the scratch folder: pixels with NaN, and in how many darks of its shape each stands out.

    The second file is there when they are enough to tell.
    """

    pixels: Path
    often: Path

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> DarkPatch:
        """Draw a piece of it."""
        pixels = _mapped(self.pixels)
        view = _draw_view(rng, pixels.shape, shape, lambda at: np.isfinite(pixels[at]).mean())
        often = view.of(_mapped(self.often)) if self.often.exists() else None
        return dark_patch(view.of(pixels), often)


@dataclass(frozen=True)
class _Image:
    """A sky image in the scratch folder: pixels, flags (1 bad, 2 empty), and what was measured."""

    pixels: Path
    flags: Path
    known: dict[str, Any]

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> SkyPatch:
        """Draw a piece of it."""
        pixels, flags = _mapped(self.pixels), _mapped(self.flags)
        view = _draw_view(rng, pixels.shape, shape, lambda at: (flags[at] == 0).mean())
        piece, seen = view.of(pixels), view.of(flags)
        _, sky, rms = background(piece, seen > 0)
        return SkyPatch(pixels=piece, sky=sky, rms=rms, bad=seen > 0, empty=seen == 2, **self.known)


def _mapped(path: Path) -> NDArray[Any]:
    """Map an array of the scratch folder."""
    # Mapped each time: a map that is kept would hold the disk space of a folder that is gone.
    mapped: NDArray[Any] = np.load(path, mmap_mode="r")
    return mapped


@dataclass(frozen=True)
class Backdrops:
    """What frames are drawn on; made by `open_backdrops`.

    Attributes
    ----------
    files : tuple of BackdropFile
    fraction : float
        Of the frames that are drawn on one of them.
    shape : (int, int)
        Height and width of the frames.
    """

    files: tuple[BackdropFile, ...]
    fraction: float
    shape: tuple[int, int]
    _stored: tuple[_Dark | _Image, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what a dataset records."""
        return describe(self.files, self.fraction)

    def draw(self, rng: np.random.Generator) -> Backdrop | None:
        """Draw a file, a place in it and an orientation; None for a frame without a backdrop."""
        if rng.random() >= self.fraction:
            return None
        stored = self._stored[int(rng.integers(len(self._stored)))]
        return stored.draw(rng, self.shape)


def describe(files: Sequence[BackdropFile], fraction: float) -> dict[str, Any]:
    """Return what a dataset records of its backdrops.

    Parameters
    ----------
    files : sequence of BackdropFile
    fraction : float
        Of the frames that are drawn on one of them.

    Returns
    -------
    dict
        ``fraction``, and ``files``: kind, name, bytes and sha256 of each.
    """
    return {"fraction": fraction, "files": [file.to_dict() for file in files]}


def identify(
    darks: Sequence[str | Path] = (), images: Sequence[str | Path] = ()
) -> tuple[BackdropFile, ...]:
    """Hash the files, in an order that does not depend on that of the arguments.

    Raises
    ------
    InputError
        A file is missing, empty or unreadable, or two hold the same bytes; the message names it.
    """
    found: dict[str, BackdropFile] = {}
    for kind, paths in (("dark", darks), ("image", images)):
        for path in map(Path, paths):
            check_file(path)
            file = BackdropFile(kind, path, path.stat().st_size, digest(path))
            twin = found.setdefault(file.sha256, file)
            if twin is not file:
                raise InputError(
                    f"{path} ({kind}) holds the same bytes as {twin.path} ({twin.kind}); give each once"
                )
    return tuple(sorted(found.values(), key=lambda file: (file.kind, file.sha256)))


@contextmanager
def open_backdrops(
    files: Sequence[BackdropFile], shape: tuple[int, int], fraction: float = 0.5
) -> Iterator[Backdrops]:
    """Read, check and measure the files; what is kept of them lasts as long as the context.

    Darks of one shape are taken to be of one camera. From `ENOUGH_DARKS` of them on, what stands out
    in one only is told from what always does.

    Parameters
    ----------
    files : sequence of BackdropFile
        From `identify`; at least one.
    shape : (int, int)
        Height and width of the frames, pixels.
    fraction : float
        Of the frames that are to have a backdrop.

    Yields
    ------
    Backdrops

    Raises
    ------
    InputError
        A file cannot be used; the message names it, says why and what to do.
    ValueError
        `fraction` is not above 0 and at most 1, or there are no files.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"the backdrop fraction must be above 0 and at most 1, not {fraction}")
    if not files:
        raise ValueError("no backdrops are given; name at least one dark or sky image")
    with tempfile.TemporaryDirectory(prefix="rbtrain-", ignore_cleanup_errors=True) as scratch:
        darks = _Darks(Path(scratch))
        stored: list[_Dark | _Image] = []
        for k, file in enumerate(files):
            loaded, place = _load(file.path, shape), Path(scratch, f"{k}.npy")
            keep = darks.keep if file.kind == "dark" else _store_image
            stored.append(keep(file.path, loaded, place))
        darks.finish()
        yield Backdrops(tuple(files), fraction, shape, tuple(stored))


class _Darks:
    """Darks that are left in the scratch folder, and in how many of one shape each pixel stands out."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._often: dict[tuple[int, ...], NDArray[np.uint16]] = {}
        self._names: dict[tuple[int, ...], list[str]] = defaultdict(list)

    def keep(self, path: Path, loaded: Exposure, place: Path) -> _Dark:
        """Leave a dark at its place and count what stands out of it."""
        pixels = loaded.pixels
        if loaded.mask is not None:
            pixels = np.where(loaded.mask, np.float32(np.nan), pixels)
        np.save(place, pixels)
        count = self._often.setdefault(pixels.shape, np.zeros(pixels.shape, np.uint16))
        count += significance(pixels) > _AGAIN
        self._names[pixels.shape].append(path.name)
        return _Dark(place, self._counts_of(pixels.shape))

    def finish(self) -> None:
        """Leave the counts of each shape of which there are enough darks; warn of the others."""
        for shape, names in self._names.items():
            if len(names) >= ENOUGH_DARKS:
                np.save(self._counts_of(shape), self._often[shape])
            else:
                log.warning(
                    "%s: without %d darks of one size, cosmic rays in them count as hot pixels",
                    ", ".join(names),
                    ENOUGH_DARKS,
                )

    def _counts_of(self, shape: tuple[int, ...]) -> Path:
        return self._scratch / f"often-{shape[0]}-{shape[1]}.npy"


def _load(path: Path, shape: tuple[int, int]) -> Exposure:
    """Read a file and refuse what no frame can be cut from."""
    loaded = load_image(path)
    height, width = loaded.pixels.shape
    if height < shape[0] or width < shape[1]:
        raise InputError(
            f"{path} is {width} x {height} pixels, smaller than the frames of {shape[1]} x {shape[0]}; "
            "give larger files, or set a smaller width and height under [simulate]"
        )
    good = np.isfinite(loaded.pixels)
    if loaded.mask is not None:
        good &= ~loaded.mask
    _check_share(path, good)
    values = loaded.pixels[good]
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise InputError(
            f"{path} is constant: all good pixels are {low:g}; give a file with the noise of a camera"
        )
    return loaded


def _check_share(path: Path, good: Bools) -> None:
    share = float(good.mean())
    if share < 0.5:
        raise InputError(
            f"{path} has {100 * share:.0f} % good pixels, the others are NaN, infinite, masked or "
            "empty; at least half must be good: give another file or cut it to its good part"
        )


def _store_image(path: Path, loaded: Exposure, place: Path) -> _Image:
    """Measure a sky image and leave it in the scratch folder."""
    empty = ~np.isfinite(loaded.pixels) | _empty_border(loaded.pixels)
    bad = empty if loaded.mask is None else empty | loaded.mask
    _check_share(path, ~bad)
    found = detect(loaded.pixels, mask=bad)
    measured = measure_width(replace(loaded, mask=bad), name=path.name)
    if measured.is_trusted:
        log.info("%s: FWHM %.2f px (%d detections)", path.name, measured.fwhm, len(found))
    else:
        log.warning(
            "%s: too few stars show the FWHM; what is planted has one drawn from the configuration",
            path.name,
        )
    values = loaded.pixels[~bad]
    flags = place.with_name(place.stem + "-flags.npy")
    np.save(place, loaded.pixels)
    np.save(flags, bad.astype(np.uint8) + empty)
    known = {
        "fwhm": measured.fwhm if measured.is_trusted else None,
        "gain": _header_gain(loaded.header),
        "saturation": loaded.saturation,
        "low": float(values.min()),
        "high": float(values.max()),
        "whole": bool((np.rint(values) == values).all()),
    }
    return _Image(place, flags, known)


def _empty_border(pixels: F32) -> Bools:
    """Find the borders that alignment fills with one low value."""
    side = 7
    same = ndimage.maximum_filter(pixels, side) == ndimage.minimum_filter(pixels, side)
    same &= pixels <= np.nanmedian(pixels)
    if not same.any():
        return np.zeros(pixels.shape, bool)
    values, counts = np.unique(pixels[same], return_counts=True)
    filled = ndimage.binary_dilation(same, np.ones((side, side)))
    return np.asarray(filled & (pixels == values[np.argmax(counts)]))


def _header_gain(header: Any) -> float | None:
    """Electrons per ADU, from EGAIN or GAIN; drivers also write a camera's setting to GAIN."""
    for key in ("EGAIN", "GAIN"):
        value = header.get(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and _GAINS[0] <= value <= _GAINS[1]:
            return float(value)
    return None
