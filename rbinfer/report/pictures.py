"""Cutouts for the page: which ones, and as PNG files inside it."""

import base64
import logging
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import RbinferError
from ..io.images import load_image
from ..model.spec import DEFAULT_FWHM
from ..night.bands import RowFile
from ..night.repeats import Repeats
from .gallery import half_width, stretched, window_at
from .one import FIRST
from .results import Night, some

log = logging.getLogger(__name__)


class Picture(NamedTuple):
    """A detection and its cutout as a data URL; that is empty where the image is gone."""

    source: Any
    url: str


class Group(NamedTuple):
    """Cutouts of one kind."""

    title: str
    text: str
    pictures: list[Picture]


def draw_groups(night: Night, repeats: Repeats, most: int) -> list[Group]:
    """Choose cutouts and draw them; each image is opened once.

    Parameters
    ----------
    night : Night
    repeats : Repeats
        Of ``night.bogus``. Without that, one hot pixel would fill the page.
    most : int
        Largest number of cutouts in a group.

    Returns
    -------
    list of Group
    """
    bright, lowest = _outstanding(night.bogus, repeats.rows, most)
    edge = night.borderline[np.isfinite(night.borderline["x"]) & np.isfinite(night.borderline["y"])]
    thresholds = np.array([image.threshold for image in night.images])
    away = np.abs(edge["score"].astype(np.float64) - thresholds[edge["image"]])
    by = " or ".join(night.brightness)
    chosen = [
        (
            "Brightest bogus",
            f"The most to lose if the verdict is wrong; by {by}."
            if by
            else "The catalogues have no column of flux, magnitude or S/N that is known.",
            bright,
        ),
        (
            "Borderline",
            "Scores nearest to the threshold, from either side.",
            edge[np.argsort(away, kind="stable")][:most],
        ),
        (
            "Lowest scores",
            "What the model is surest of; a star among these means that something is wrong with the "
            "image or its FWHM.",
            lowest,
        ),
        (
            "Repeating positions",
            "One detection of each of the positions that repeat most.",
            _rows(night.bogus, [repeat.member for repeat in repeats.found[:most]]),
        ),
    ]
    urls = _draw(night, np.concatenate([rows for _, _, rows in chosen]))
    groups = []
    for title, text, rows in chosen:
        groups.append(Group(title, text, [Picture(row, urls.pop(0)) for row in rows]))
    return groups


def _outstanding(
    bogus: RowFile, repeats: NDArray[np.bool_], most: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the brightest rows and those of the lowest scores, of what has a place and is no repeat."""
    bright = lowest = bogus.read(slice(0))
    start = 0
    for part in bogus.parts():
        once = part[~repeats[start : start + len(part)]]
        once = once[np.isfinite(once["x"]) & np.isfinite(once["y"])]
        bright = np.concatenate([bright, once[np.isfinite(once["bright"])]])
        bright = bright[np.argsort(-bright["bright"], kind="stable")][:most]
        lowest = np.concatenate([lowest, once])
        lowest = lowest[np.argsort(lowest["score"], kind="stable")][:most]
        start += len(part)
    return bright, lowest


def _rows(bogus: RowFile, numbers: Sequence[int]) -> NDArray[Any]:
    return np.concatenate([bogus.read(slice(0)), *(bogus.read(slice(k, k + 1)) for k in numbers)])


def _draw(night: Night, rows: NDArray[Any]) -> list[str]:
    urls, lost = [""] * len(rows), []
    for number in np.unique(rows["image"]):
        image = night.images[number]
        if image.path is None:
            continue
        plane, bayer = image.given.get("plane"), image.given.get("bayer")
        for hdu in np.unique(rows["hdu"][rows["image"] == number]):
            try:
                data = load_image(image.path, None if hdu == FIRST else int(hdu), plane, bayer).pixels
            except RbinferError as error:
                lost.append(str(error))
                continue
            for k in np.flatnonzero((rows["image"] == number) & (rows["hdu"] == hdu)):
                urls[k] = _picture(data, rows["x"][k], rows["y"][k], image.fwhm or DEFAULT_FWHM)
    if lost:
        log.warning("no cutouts: %s", some(lost))
        night.notes.append(f"No cutouts: {some(lost)}.")
    return urls


def draw_windows(
    places: Sequence[tuple[tuple[str, int | None], float, float, float]],
    plane: str | None = None,
    bayer: bool | None = None,
) -> list[str]:
    """Draw cutouts of images; each is opened once.

    Parameters
    ----------
    places : sequence of ((str, int or None), float, float, float)
        File and HDU (None for the first image), 0-based pixels, and FWHM of the stars; NaN for a usual
        one.
    plane, bayer
        As for `rbinfer.io.images.load_image`.

    Returns
    -------
    list of str
        Data URLs, in the same order; empty where the image cannot be read.
    """
    urls = [""] * len(places)
    for image in dict.fromkeys(place[0] for place in places):
        try:
            data = load_image(*image, plane, bayer).pixels
        except RbinferError as error:
            log.warning("no cutouts: %s", error)
            continue
        for k, (name, x, y, fwhm) in enumerate(places):
            if name == image and math.isfinite(x) and math.isfinite(y):
                urls[k] = _picture(data, x, y, fwhm if math.isfinite(fwhm) else DEFAULT_FWHM)
    return urls


def _picture(data: NDArray[np.float32], x: float, y: float, fwhm: float) -> str:
    window = window_at(data, x, y, half_width(fwhm))
    return png(np.rint(255 * stretched(window)).astype(np.uint8))


def png(grey: NDArray[np.uint8]) -> str:
    """Return a data URL of a grey PNG, as from `png_bytes`."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(grey)).decode("ascii")


def png_bytes(grey: NDArray[np.uint8]) -> bytes:
    """Return a grey PNG.

    Parameters
    ----------
    grey : ndarray of uint8, shape (ny, nx)
        The first row of pixels comes lowest.
    """
    height, width = grey.shape
    # Each line begins with its filter, none here.
    lines = np.zeros((height, width + 1), np.uint8)
    lines[:, 1:] = grey[::-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
