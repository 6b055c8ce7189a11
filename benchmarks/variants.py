"""Labelled real images, changed in ways that leave the labels true: is the verdict the same?

    python benchmarks/variants.py DIR [DIR ...] [--model NAME_OR_PATH] [--json FILE]

A mirrored or turned image has the same stars, and so has one without its sky, in other units or in
tiles, under a sloping sky or one that is cut off, or in whole numbers. Interpolated, smoothed or
binned, its stars and hits have other shapes, as in the files of other pipelines. Another exposure that
is subtracted adds noise and negative stars. Few photons are noisy themselves. Cameras without a shutter
smear light along columns, two amplifiers or colour filters make neighbours unlike; rows have noise of
their own, pixels and rows are bad. Pixels and positions
alone are given, no header; galaxies are real.
"""

import argparse
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _common import add_json, write_json
from astropy.io import fits
from astropy.stats import mad_std
from astropy.table import Table
from scipy import ndimage

from rbinfer import Classifier
from rbinfer.io.images import load_image
from rbtrain.judging.labelled import group_of, labelled_cases
from rbtrain.metrics import auc

#: Labels within so many pixels of one of the other kind are left out where pixels become larger,
NEAR = 2.5
#: and so is what is fainter then, in units of the noise.
FAINTEST = 5.0


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pixels (ny, nx), NaN where bad, and what is at positions (n,) in them."""

    pixels: np.ndarray
    x: np.ndarray
    y: np.ndarray
    real: np.ndarray

    def only(self, rows):
        """Return it with some of the positions."""
        return replace(self, x=self.x[rows], y=self.y[rows], real=self.real[rows])

    def on_pixels(self, margin=-0.5):
        """Return it with the positions that are on its pixels, so far from their edges."""
        ny, nx = self.pixels.shape
        rows = (np.minimum(self.x, self.y) > margin) & (self.x < nx - 1 - margin)
        return self.only(rows & (self.y < ny - 1 - margin))


def mirrored(image):
    """Left is right."""
    return [replace(image, pixels=image.pixels[:, ::-1], x=image.pixels.shape[1] - 1 - image.x)]


def turned(image):
    """Turn by a quarter."""
    return [
        replace(image, pixels=np.rot90(image.pixels), x=image.y, y=image.pixels.shape[1] - 1 - image.x)
    ]


def without_sky(image):
    """Subtract the level, in units of a hundredth of the noise."""
    level, scatter = np.nanmedian(image.pixels), mad_std(image.pixels, ignore_nan=True)
    return [replace(image, pixels=(image.pixels - level) * (100.0 / scatter))]


def sloping(image):
    """Let the sky rise along the rows, by 0.3 of the noise a pixel."""
    rise = 0.3 * mad_std(image.pixels, ignore_nan=True) * np.arange(image.pixels.shape[1])
    return [replace(image, pixels=image.pixels + rise)]


def vignetted(image):
    """Take the light as far from the middle as a raw frame lacks it, of a sky of 100 times the noise."""
    ny, nx = image.pixels.shape
    y, x = np.ogrid[-1 : 1 : ny * 1j, -1 : 1 : nx * 1j]
    light = image.pixels - np.nanmedian(image.pixels) + 100 * mad_std(image.pixels, ignore_nan=True)
    return [replace(image, pixels=light * (1 - 0.2 * (x**2 + y**2)))]


def cut_off(image):
    """Keep no value below the median, as programs do that have no negative numbers."""
    return [replace(image, pixels=np.maximum(image.pixels - np.nanmedian(image.pixels), 0))]


def coarse(image):
    """Round to whole numbers from 0 to 255, of which one is the noise."""
    level, scatter = np.nanmedian(image.pixels), mad_std(image.pixels, ignore_nan=True)
    return [replace(image, pixels=np.clip(np.rint((image.pixels - level) / scatter + 20), 0, 255))]


def less_another(image):
    """Subtract the same field, seen in another direction, as exposures of the infrared are."""
    return [replace(image, pixels=image.pixels - np.roll(image.pixels, (31, -27), (0, 1)))]


def counted(image):
    """Count photons: two a pixel of the sky, and one for each sigma above twice the noise."""
    level, scatter = np.nanmedian(image.pixels), mad_std(image.pixels, ignore_nan=True)
    light = np.maximum(np.nan_to_num((image.pixels - level) / scatter) - 2, 0)
    pixels = np.random.default_rng(4).poisson(light + 2.0).astype(np.float32)
    return [standing_out(replace(image, pixels=np.where(np.isnan(image.pixels), np.nan, pixels)))]


def smeared(image):
    """Add to each pixel 0.2 % of the light of its column, as of cameras without a shutter."""
    light = np.maximum(image.pixels - np.nanmedian(image.pixels), 0)
    return [replace(image, pixels=image.pixels + 0.002 * np.nansum(light, axis=0))]


def interleaved(image):
    """Let every other column be higher by twice the noise, as with two amplifiers."""
    step = 2 * mad_std(image.pixels, ignore_nan=True) * (np.arange(image.pixels.shape[1]) % 2 == 0)
    return [replace(image, pixels=image.pixels + step)]


def behind_filters(image):
    """Let a mosaic of colour filters, on a sky of 100 times the noise, pass 0.5 to 1 of the light."""
    level, scatter = np.nanmedian(image.pixels), mad_std(image.pixels, ignore_nan=True)
    passed = np.tile([[0.6, 1.0], [1.0, 0.5]], [n // 2 + 1 for n in image.pixels.shape])
    passed = passed[: image.pixels.shape[0], : image.pixels.shape[1]]
    return [replace(image, pixels=(image.pixels - level + 100 * scatter) * passed)]


def with_noise_of_rows(image):
    """Give each row a level of its own, as wide as the noise of a pixel."""
    size = mad_std(image.pixels, ignore_nan=True)
    levels = size * np.random.default_rng(5).standard_normal((len(image.pixels), 1))
    return [replace(image, pixels=image.pixels + levels)]


def with_bad_pixels(share):
    """Return a change that leaves so large a share of the pixels without a value."""

    def spoil(image):
        bad = np.random.default_rng(6).random(image.pixels.shape) < share
        return [replace(image, pixels=np.where(bad, np.nan, image.pixels))]

    return spoil


def with_bad_rows(image):
    """Leave every tenth row without values."""
    pixels = image.pixels.copy()
    pixels[4::10] = np.nan
    return [replace(image, pixels=pixels)]


def in_tiles(side):
    """Return a change to tiles of that side, of which nothing else is known."""

    def change(image):
        tiles, (ny, nx) = [], image.pixels.shape
        for top in range(0, ny, side):
            for left in range(0, nx, side):
                row, column = min(top, max(ny - side, 0)), min(left, max(nx - side, 0))
                own = image.only((image.y >= top - 0.5) & (image.x >= left - 0.5))
                pixels = image.pixels[row : row + side, column : column + side]
                moved = replace(own, pixels=pixels, x=own.x - column, y=own.y - row)
                tiles.append(moved.on_pixels())
        return [tile for tile in tiles if len(tile.x)]

    return change


def shifted(image):
    """Shift by half a pixel along both axes, with linear interpolation."""
    p = image.pixels
    pixels = 0.25 * (p[:-1, :-1] + p[1:, :-1] + p[:-1, 1:] + p[1:, 1:])
    return [replace(image, pixels=pixels, x=image.x - 0.5, y=image.y - 0.5).on_pixels(0.0)]


def finer(image):
    """Interpolate linearly to pixels of half the size."""
    bad = ~np.isfinite(image.pixels)
    filled = np.where(bad, np.nanmedian(image.pixels), image.pixels)
    ny, nx = image.pixels.shape
    places = np.meshgrid(np.arange(2 * ny - 1) / 2, np.arange(2 * nx - 1) / 2, indexing="ij")
    pixels = ndimage.map_coordinates(filled, places, order=1)
    pixels[ndimage.map_coordinates(bad.astype(np.float32), places, order=1) > 0] = np.nan
    return [replace(image, pixels=pixels, x=2 * image.x, y=2 * image.y)]


def on_another_grid(angle, side, order):
    """Return a change to pixels of that side, turned by degrees; of the middle, on as many pixels."""
    c, s = side * np.cos(np.deg2rad(angle)), side * np.sin(np.deg2rad(angle))
    matrix = np.array([[c, -s], [s, c]])

    def change(image):
        bad = ~np.isfinite(image.pixels)
        filled = np.where(bad, np.nanmedian(image.pixels), image.pixels)
        middle = (np.array(bad.shape) - 1) / 2
        offset = middle - matrix @ middle
        pixels = ndimage.affine_transform(filled, matrix, offset, order=order, mode="nearest")
        pixels[ndimage.affine_transform(bad.astype(np.float32), matrix, offset, order=1, cval=1) > 0] = (
            np.nan
        )
        y, x = np.linalg.inv(matrix) @ (np.stack([image.y, image.x]) - offset[:, None])
        moved = replace(image, pixels=pixels, x=x, y=y).on_pixels(1.0)
        row, column = (np.rint(each).astype(int) for each in (moved.y, moved.x))
        return [moved.only(np.isfinite(pixels[row, column]))]

    return change


def smoothed(image):
    """Smooth with a Gaussian of 0.6 pixels."""
    bad = ~np.isfinite(image.pixels)
    filled = np.where(bad, np.nanmedian(image.pixels), image.pixels)
    return [replace(image, pixels=np.where(bad, np.nan, ndimage.gaussian_filter(filled, 0.6)))]


def binned(image):
    """Add 2 x 2 pixels; leave out what is beside another label, or does not stand out any more."""
    ny, nx = (n // 2 for n in image.pixels.shape)
    pixels = image.pixels[: 2 * ny, : 2 * nx].reshape(ny, 2, nx, 2).sum(axis=(1, 3))
    coarse = replace(image, pixels=pixels, x=image.x / 2 - 0.25, y=image.y / 2 - 0.25).on_pixels(0.0)
    coarse = standing_out(coarse)
    near = np.hypot(coarse.x[:, None] - coarse.x, coarse.y[:, None] - coarse.y) < NEAR
    return [coarse.only(~(near & (coarse.real[:, None] != coarse.real)).any(axis=1))]


def standing_out(image):
    """Return it with the positions where something still stands out of what is around."""
    filled = np.nan_to_num(image.pixels, nan=np.nanmedian(image.pixels))
    height = ndimage.maximum_filter(filled, 3) - ndimage.median_filter(filled, 15)
    at = tuple(
        np.clip(np.rint(v).astype(int), 0, n - 1)
        for v, n in zip((image.y, image.x), filled.shape, strict=True)
    )
    return image.only(height[at] > FAINTEST * mad_std(image.pixels, ignore_nan=True))


VARIANTS = {
    "as it is": lambda image: [image],
    "mirrored": mirrored,
    "turned": turned,
    "without sky, other units": without_sky,
    "a sloping sky": sloping,
    "vignetting": vignetted,
    "sky cut off": cut_off,
    "8 bits": coarse,
    "less another exposure": less_another,
    "few photons, counted": counted,
    "smeared along columns": smeared,
    "columns by two amplifiers": interleaved,
    "behind colour filters": behind_filters,
    "noise of rows": with_noise_of_rows,
    "3 % bad pixels": with_bad_pixels(0.03),
    "10 % bad pixels": with_bad_pixels(0.1),
    "every tenth row bad": with_bad_rows,
    "in tiles of 256 pixels": in_tiles(256),
    "in tiles of 128 pixels": in_tiles(128),
    "in tiles of 64 pixels": in_tiles(64),
    "shifted by half a pixel": shifted,
    "turned by 3 degrees": on_another_grid(3.0, 1.0, 3),
    "pixels of 0.7, linear": on_another_grid(0.0, 0.7, 1),
    "interpolated, 2 x finer": finer,
    "smoothed": smoothed,
    "binned 2 x 2": binned,
}


def images_of(folders):
    """Yield the group and the labelled pixels of each image."""
    for table_path, path in (case for folder in folders for case in labelled_cases(folder)):
        if fits.getval(path, "NAXIS") != 2:  # a cube of stamps has no image
            continue
        exposure = load_image(path)
        table = Table.read(table_path)
        table = table[np.asarray(table["label"]) >= 0]
        pixels = np.asarray(exposure.pixels, np.float32)
        if exposure.mask is not None:
            pixels = np.where(exposure.mask, np.float32(np.nan), pixels)
        x, y = (np.asarray(table[name], float) for name in ("x", "y"))
        yield group_of(table_path.stem), Labelled(pixels, x, y, np.asarray(table["label"]) == 1)


def judged(classifier, image):
    """Return labels and scores; what cannot be scored has a score of 0."""
    parts = [(np.zeros(0, bool), np.zeros(0))]
    for each in image:
        table = Table({"x": each.x, "y": each.y})
        scored = classifier.classify(table, np.ascontiguousarray(each.pixels, np.float32))
        parts.append((each.real, np.nan_to_num(np.asarray(scored["rb_score"], float))))
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def figures_of(real, score, threshold):
    """Count what is lost and let in."""
    return {
        "real": int(real.sum()),
        "lost": int((real & (score <= threshold)).sum()),
        "bogus": int((~real).sum()),
        "let_in": int((~real & (score > threshold)).sum()),
        "auc": auc(real, score) if real.any() and not real.all() else None,
    }


def line_of(group, name, figures):
    """Return a line of the table."""
    counts = f"{figures['real']:5d}{figures['lost']:6d}{figures['bogus']:7d}{figures['let_in']:8d}"
    area = "       -" if figures["auc"] is None else f"  {figures['auc']:.4f}"
    return f"{group:24s}{name:26s}{counts}{area}"


def main():
    """Change, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+", help="folders of labelled images")
    parser.add_argument("--model", default="default")
    add_json(parser)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    classifier = Classifier(options.model, device="cpu")
    found = {}
    for group, image in images_of(options.images):
        for name, change in VARIANTS.items():
            found.setdefault(group, {}).setdefault(name, []).append(judged(classifier, change(image)))
    print(f"{'group':24s}{'':27s}real  lost  bogus  let in     AUC")
    results = {}
    for group, variants in found.items():
        for name, parts in variants.items():
            real, score = (np.concatenate(each) for each in zip(*parts, strict=True))
            figures = figures_of(real, score, classifier.spec.threshold)
            results.setdefault(group, {})[name] = figures
            print(line_of(group if name == "as it is" else "", name, figures))
    spec = classifier.spec
    write_json(options.json, {"model": spec.name, "version": spec.version, "groups": results})


if __name__ == "__main__":
    main()
