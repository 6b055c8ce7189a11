"""Backdrops: the user's own darks and sky images, real pixels that a frame is planted on.

Files are identified (`identify`), then read, checked and measured once (`open_backdrops`). What the
workers need is left as plain arrays in a scratch folder that they map, so that a `Backdrops` is
cheap to send and no file is read twice.
"""

import hashlib
import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray
from scipy import ndimage

from rbinfer.errors import InputError
from rbinfer.io.exposure import Exposure
from rbinfer.io.files import check_file
from rbinfer.io.images import load_image
from rbinfer.measure.detect import detect
from rbinfer.measure.estimate import measure_width

from . import _render
from .canvas import Artefact, Canvas
from .detector import Warp

log = logging.getLogger(__name__)

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: What stands out of a dark by so many sigma is a defect or a particle.
_DEFECT = 5.0
#: What reaches this in another dark as well is no particle: 6e-5 of Gaussian noise does.
_AGAIN = 4.0
#: A column or row whose median over `_RUN` pixels is off by so many sigma is bad; 5 sigma of that.
_BAD_LINE = 1.0
_RUN = 32
#: Darks of one shape from which on a particle can be told from a defect.
ENOUGH_DARKS = 3
_MESH = 64
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


@dataclass(frozen=True, eq=False)
class DarkPatch:
    """A piece of a dark or bias frame; arrays are (h, w) float32 in ADU unless said.

    Attributes
    ----------
    pixels : array
        The dark less its median level; bad pixels hold `pattern`.
    pattern : array
        The smooth part of `pixels`: amplifiers, glow.
    rms : array
        Noise.
    signal : array
        What stands out of the noise, 0 elsewhere.
    cls : uint8 array
        Its `Artefact` code.
    unknown : array or None
        What stands out and may be a particle as well as a noisy pixel.
    bad : bool array
        True where the dark has no value.
    """

    pixels: F32
    pattern: F32
    rms: F32
    signal: F32
    cls: NDArray[np.uint8]
    unknown: F32 | None
    bad: Mask

    def add_to(self, canvas: Canvas, gain: float) -> None:
        """Note what stands out, in electrons, as artefacts."""
        electrons = self.signal * np.float32(gain)
        kinds = {
            Artefact.HOT_PIXEL: "hot_pixel",
            Artefact.COLD: "cold_pixel",
            Artefact.COSMIC_RAY: "cosmic_ray",
        }
        for code, kind in kinds.items():
            layer = np.where(self.cls == code, electrons, np.float32(0))
            _render.merge(*canvas.layers, layer, int(code))
            groups, n = ndimage.label(layer, np.ones((3, 3)))
            if n:
                numbers = np.arange(1, n + 1)
                places = np.array(ndimage.maximum_position(np.abs(layer), groups, numbers), float)
                flux = np.asarray(ndimage.sum_labels(layer, groups, numbers), float)
                canvas.record(kind, places[:, 1], places[:, 0], flux)

    def flattened(self, flat: F32) -> "DarkPatch":
        """Return the parts that a flat field changes after the pixels were added."""
        unknown = None if self.unknown is None else self.unknown * flat
        return replace(self, pattern=self.pattern * flat, unknown=unknown)

    def resampled(self, warp: Warp) -> "DarkPatch":
        """Return the parts that resampling moves after the pixels were added."""
        zero = np.zeros_like(self.pixels)
        unknown = zero if self.unknown is None else self.unknown
        layers, _ = warp.apply(zero, self.bad.astype(np.float32), unknown, zero, self.cls)
        moved = None if self.unknown is None else layers[2]
        return replace(self, bad=np.abs(layers[1]) > 1e-3, unknown=moved)


@dataclass(frozen=True, eq=False)
class SkyPatch:
    """A piece of a sky image; arrays are (h, w) float32 in ADU unless said.

    Attributes
    ----------
    pixels : array
        As they are in the file, with NaN.
    sky, rms : array
        Smooth background and noise.
    bad : bool array
        True where masked, not finite, or in an empty border.
    empty : bool array
        True where there is no sky: not finite, or in an empty border.
    fwhm : float or None
        Of the stars, pixels; None when too few stars show it.
    gain : float or None
        Electrons per ADU by the header.
    saturation : float or None
        By the header.
    low, high : float
        Lowest and highest pixel of the file.
    whole : bool
        Whether the pixels are whole numbers.
    """

    pixels: F32
    sky: F32
    rms: F32
    bad: Mask
    empty: Mask
    fwhm: float | None
    gain: float | None
    saturation: float | None
    low: float
    high: float
    whole: bool


Backdrop = DarkPatch | SkyPatch


@dataclass(frozen=True)
class _Dark:
    """A dark in the scratch folder: pixels with NaN, and in how many darks of its shape each stands out.

    The second file is there when they are enough to tell.
    """

    pixels: Path
    often: Path


@dataclass(frozen=True)
class _Image:
    """A sky image in the scratch folder: pixels, flags (1 bad, 2 empty), and what was measured."""

    pixels: Path
    flags: Path
    known: dict[str, Any]


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
        # Mapped anew each time: a cached map would keep a scratch folder's space after its end.
        pixels = np.load(stored.pixels, mmap_mode="r")
        if isinstance(stored, _Image):
            flags = np.load(stored.flags, mmap_mode="r")
            view = _draw_view(rng, pixels.shape, self.shape, lambda at: (flags[at] == 0).mean())
            seen = view.of(flags)
            patch, empty = view.of(pixels), seen == 2
            _, sky, rms = _background(patch, seen > 0)
            return SkyPatch(
                pixels=patch, sky=sky, rms=rms, bad=seen > 0, empty=empty, **stored.known
            )  # fmt: skip
        view = _draw_view(rng, pixels.shape, self.shape, lambda at: np.isfinite(pixels[at]).mean())
        enough = stored.often.exists()
        often = view.of(np.load(stored.often, mmap_mode="r")) if enough else None
        return _dark_patch(view.of(pixels), often)


def describe(files: Sequence[BackdropFile], fraction: float) -> dict[str, Any]:
    """Return what a dataset records of its backdrops."""
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
            digest = hashlib.sha256()
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
            file = BackdropFile(kind, path, path.stat().st_size, digest.hexdigest())
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
        stored: list[_Dark | _Image] = []
        often: dict[tuple[int, ...], NDArray[np.uint16]] = {}
        names: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for k, file in enumerate(files):
            loaded = _load(file.path, shape)
            path = Path(scratch, f"{k}.npy")
            if file.kind == "image":
                stored.append(_store_image(file.path, loaded, path))
                continue
            pixels = loaded.pixels
            if loaded.mask is not None:
                pixels = np.where(loaded.mask, np.float32(np.nan), pixels)
            np.save(path, pixels)
            size = pixels.shape
            count = often.setdefault(size, np.zeros(size, np.uint16))
            count += _significance(pixels) > _AGAIN
            names[size].append(file.path.name)
            stored.append(_Dark(path, Path(scratch, f"often-{size[0]}-{size[1]}.npy")))
        for size, some in names.items():
            if len(some) >= ENOUGH_DARKS:
                np.save(Path(scratch, f"often-{size[0]}-{size[1]}.npy"), often[size])
            else:
                log.warning(
                    "%s: cosmic rays in it count as hot pixels; %d darks of one camera tell them apart",
                    ", ".join(some), ENOUGH_DARKS,
                )  # fmt: skip
        yield Backdrops(tuple(files), fraction, shape, tuple(stored))


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


def _check_share(path: Path, good: Mask) -> None:
    share = float(good.mean())
    if share < 0.5:
        raise InputError(
            f"{path} has {100 * share:.0f} % good pixels, the others are NaN, infinite, masked or "
            "empty; at least half must be good: give another file or cut it to its good part"
        )


def _store_image(path: Path, loaded: Exposure, target: Path) -> _Image:
    """Measure a sky image and leave it in the scratch folder."""
    empty = ~np.isfinite(loaded.pixels) | _empty_border(loaded.pixels)
    bad = empty if loaded.mask is None else empty | loaded.mask
    _check_share(path, ~bad)
    found = detect(loaded.pixels, mask=bad)
    places = np.asarray(found["x"], float), np.asarray(found["y"], float)
    measured = measure_width(replace(loaded, mask=bad), *places)
    if measured.is_trusted:
        log.info("%s: FWHM %.2f px (%d detections)", path.name, measured.fwhm, len(found))
    else:
        log.warning(
            "%s: too few stars show the FWHM; what is planted has one drawn from the configuration",
            path.name,
        )
    values = loaded.pixels[~bad]
    flags = target.with_name(target.stem + "-flags.npy")
    np.save(target, loaded.pixels)
    np.save(flags, bad.astype(np.uint8) + empty)
    known = {
        "fwhm": measured.fwhm if measured.is_trusted else None,
        "gain": _header_gain(loaded.header),
        "saturation": loaded.saturation,
        "low": float(values.min()),
        "high": float(values.max()),
        "whole": bool((np.rint(values) == values).all()),
    }
    return _Image(target, flags, known)


def _empty_border(pixels: F32) -> Mask:
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


def _background(pixels: F32, bad: Mask) -> tuple[F32, F32, F32]:
    """Return the pixels with the bad ones filled, their smooth level and their noise."""
    good = pixels[~bad]
    filled = np.where(bad, np.float32(np.median(good) if good.size else 0), pixels)
    level = sep.Background(filled, mask=bad, bw=_MESH, bh=_MESH).back(dtype=np.float32)
    filled = np.where(bad, level, filled)
    # Measured on what is left, or a slope within a mesh would count as noise.
    rest = sep.Background(filled - level, mask=bad, bw=_MESH, bh=_MESH)
    # Whole numbers are known to 1 / sqrt(12) at best.
    whole = bool((np.rint(good) == good).all())
    floor = max(0.1 * float(rest.globalrms), 0.29 if whole else 1e-6 * float(np.ptp(filled)), 1e-20)
    rms = np.maximum(rest.rms(dtype=np.float32), np.float32(floor))
    return filled, level, rms


def _significance(pixels: F32) -> F32:
    filled, level, rms = _background(pixels, ~np.isfinite(pixels))
    return (filled - level) / rms


def _dark_patch(pixels: F32, often: NDArray[np.uint16] | None) -> DarkPatch:
    """Take a piece of a dark apart: pattern, noise, defects, particles."""
    bad = ~np.isfinite(pixels)
    filled, level, rms = _background(pixels, bad)
    residual = filled - level
    z = residual / rms
    lines = _bad_lines(z)
    out = (np.abs(z) > _DEFECT) | (lines != 0)
    cls = np.where(z > 0, np.uint8(Artefact.HOT_PIXEL), np.uint8(Artefact.COLD))
    # A bad line is its level, not the noise of its pixels.
    cls = np.where(lines > 0, np.uint8(Artefact.HOT_PIXEL), cls)
    cls = np.where(lines < 0, np.uint8(Artefact.COLD), cls)
    signal = np.where(np.abs(z) > _DEFECT, residual, lines * rms)
    unknown = None
    if often is not None:
        once = (z > _DEFECT) & (often <= 1) & (lines == 0)
        # A particle spills into neighbours; a pixel alone may be one with telegraph noise.
        groups, n = ndimage.label((z > 3) & (often <= 1), np.ones((3, 3)))
        spilt = np.bincount(groups.ravel(), minlength=n + 1)[groups] > 1
        cls[once & spilt] = Artefact.COSMIC_RAY
        lone = once & ~spilt
        if lone.any():
            unknown = np.where(lone, residual, np.float32(0))
            out &= ~lone
    middle = np.float32(np.median(level))
    return DarkPatch(
        pixels=filled - middle,
        pattern=level - middle,
        rms=rms,
        signal=np.where(out, signal, np.float32(0)).astype(np.float32),
        cls=np.where(out, cls, np.uint8(0)),
        unknown=unknown,
        bad=bad,
    )


def _bad_lines(z: F32) -> F32:
    """Level of bad columns and rows in sigma, 0 elsewhere: a piece of a line is off as a whole."""
    lines = np.zeros_like(z)
    for picture, target in ((z, lines), (z.T, lines.T)):
        for start in range(0, max(picture.shape[0] - _RUN + 1, 1), _RUN):
            end = start + _RUN if start + 2 * _RUN <= picture.shape[0] else picture.shape[0]
            level = np.median(picture[start:end], axis=0)
            level[np.abs(level) < _BAD_LINE] = 0
            block = target[start:end]
            block[...] = np.where(np.abs(level) > np.abs(block), level, block)
    return lines


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
