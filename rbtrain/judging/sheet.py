"""A contact sheet: simulated detections of every class beside labelled real ones, in native pixels."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rbinfer.io.images import load_image

from .._arrays import F32
from ..config import CLASSES, TrainConfig
from ..data.cutting import find_detections, frame_rng
from ..simulate import draw_frame
from .baselines import peak_pixels, pixel_noise
from .labelled import group_of, labelled_cases
from .labelled_tables import read_case

#: Side of a tile, native pixels.
SIZE = 37
_MOST_FRAMES = 60
#: Frames of the sheet are numbered from here on: they are neither training nor test frames.
_FRAMES_FROM = 20_000_000


@dataclass(frozen=True, eq=False)
class Tile:
    """A piece of an image around a detection.

    Attributes
    ----------
    pixels : ndarray of float32, shape (SIZE, SIZE)
        Native pixels; NaN off the image.
    noise : float
        Of a pixel.
    snr : float
        Light of the 3 x 3 pixels about the peak over its noise.
    fwhm : float
        Of stars in the image, pixels.
    source : str
        Where it is from; shown when not empty.
    """

    pixels: F32
    noise: float
    snr: float
    fwhm: float
    source: str = ""


def simulated_tiles(config: TrainConfig, per_class: int, seed: int = 0) -> dict[str, list[Tile]]:
    """Draw frames of a configuration until there are enough detections of each class.

    Parameters
    ----------
    config : TrainConfig
    per_class : int
        Tiles wanted; rare classes may give fewer. A frame gives each class at most a quarter.
    seed : int
        Another seed shows other frames.

    Returns
    -------
    dict of lists of Tile
        By class, in the order of `rbtrain.config.CLASSES`.
    """
    tiles: dict[str, list[Tile]] = {name: [] for name in CLASSES}
    share = max(per_class // 4, 1)
    for k in range(_MOST_FRAMES):
        if all(len(found) >= per_class for found in tiles.values()):
            break
        rng = frame_rng(config.data.seed, _FRAMES_FROM + 1000 * seed + k)
        frame = draw_frame(config.simulate, rng)
        detections = find_detections(frame, config.data, rng)
        label = np.asarray(detections["label"])
        for i, name in enumerate(CLASSES):
            rows = rng.permutation(np.flatnonzero(label == i))
            room = min(share, per_class - len(tiles[name]))
            for row in rows[:room]:
                x, y = int(detections["xpeak"][row]), int(detections["ypeak"][row])
                noise = float(frame.noise[y, x])
                tiles[name].append(_tile(frame.image, x, y, noise, float(frame.sky[y, x]), frame.fwhm))
    return tiles


def real_tiles(folder: str | os.PathLike[str], per_class: int, seed: int = 0) -> dict[str, list[Tile]]:
    """Choose labelled detections of real images, the groups in turn.

    Parameters
    ----------
    folder : path
        See `rbtrain.judging.labelled.labelled_cases`; cubes of cutouts are left out.
    per_class : int
        Tiles wanted of each label.
    seed : int

    Returns
    -------
    dict of lists of Tile
        ``real`` and ``bogus``.
    """
    rng = np.random.default_rng(seed)
    groups: dict[str, list[tuple[Path, Path]]] = {}
    for case in labelled_cases(folder):
        if fits.getheader(case[1]).get("NAXIS") != 3:
            groups.setdefault(group_of(case[0].stem), []).append(case)
    found: dict[str, list[list[Tile]]] = {"real": [], "bogus": []}
    for cases in groups.values():
        table_path, image_path = cases[int(rng.integers(len(cases)))]
        table, image = read_case(table_path, image_path)[0], load_image(image_path)
        x, y = peak_pixels(image.pixels, table)
        noise = pixel_noise(
            np.nan_to_num(image.pixels, nan=float(np.nanmedian(image.pixels))), image.mask
        )
        width = float(table.meta.get("fwhm_px", np.nan))
        for name, value in (("real", 1), ("bogus", 0)):
            rows = rng.permutation(np.flatnonzero(np.asarray(table["label"]) == value))[:per_class]
            found[name].append(
                [
                    _tile(image.pixels, int(x[k]), int(y[k]), noise, None, width, table_path.stem)
                    for k in rows
                ]
            )
    return {name: _in_turn(parts)[:per_class] for name, parts in found.items()}


def draw_sheet(rows: Mapping[str, Sequence[Tile]], path: Path) -> None:
    """Draw rows of tiles, asinh-stretched, the origin at the lower left; S/N and FWHM under each.

    Parameters
    ----------
    rows : mapping of sequences of Tile
        By the name at the left.
    path : pathlib.Path
        PNG or PDF.

    Raises
    ------
    ValueError
        There is not one tile.
    """
    columns = max((len(tiles) for tiles in rows.values()), default=0)
    if columns == 0:
        raise ValueError("there is not one detection to show")
    figure = Figure(figsize=(1.15 * columns + 1.0, 1.42 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, tiles) in zip(axes, rows.items(), strict=True):
        for panel in line:
            panel.set(xticks=[], yticks=[])
            panel.set_frame_on(False)
        label = name.replace("_", "\n").replace(" ", "\n")
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        for panel, tile in zip(line, tiles, strict=False):
            stretched = stretch(tile)
            panel.imshow(stretched, origin="lower", cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            caption = f"S/N {tile.snr:.0f}  FWHM {tile.fwhm:.1f}"
            panel.set_xlabel(f"{caption}\n{tile.source}".strip(), fontsize=6, labelpad=2)
    figure.savefig(path, dpi=110)


def stretch(tile: Tile) -> F32:
    """Values from 0 (3 sigma below the sky) to 1 (the brightest of the central 5 x 5 pixels).

    asinh((v - sky) / (3 sigma)) (Lupton et al. 2004, PASP 116, 133), the sky the first quartile.
    """
    sky = np.nanquantile(tile.pixels, 0.25)
    values = np.arcsinh((tile.pixels - sky) / (3 * max(tile.noise, 1e-6)))
    middle = tile.pixels.shape[0] // 2
    core = values[middle - 2 : middle + 3, middle - 2 : middle + 3]
    low, high = np.arcsinh(-1.0), max(float(np.nanmax(core)), 0.5)
    shown: F32 = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1)
    return shown


def _tile(
    image: NDArray[Any], x: int, y: int, noise: float, sky: float | None, fwhm: float, source: str = ""
) -> Tile:
    half = SIZE // 2
    pixels = np.full((SIZE, SIZE), np.nan, np.float32)
    height, width = image.shape
    x0, x1 = max(x - half, 0), min(x + half + 1, width)
    y0, y1 = max(y - half, 0), min(y + half + 1, height)
    pixels[y0 - y + half : y1 - y + half, x0 - x + half : x1 - x + half] = image[y0:y1, x0:x1]
    level = float(np.nanquantile(pixels, 0.25)) if sky is None else sky
    light = float(np.nansum(pixels[half - 1 : half + 2, half - 1 : half + 2] - level))
    return Tile(pixels, noise, light / (3 * max(noise, 1e-6)), fwhm, source)


def _in_turn(parts: list[list[Tile]]) -> list[Tile]:
    longest = max((len(part) for part in parts), default=0)
    return [part[k] for k in range(longest) for part in parts if k < len(part)]
