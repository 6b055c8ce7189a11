"""How often a catalogue is wrongly said not to belong to its image, and how often a mix-up is named.

``python benchmarks/belongs.py DATA [--trials N]``, where DATA has frames ``NAME.fits.gz`` and catalogues
``NAME.ecsv`` (columns ``x``, ``y``, ``label``). Without DATA, frames are simulated.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np
from astropy.table import Table

from rbinfer.errors import InputError
from rbinfer.io.exposure import as_exposure
from rbinfer.io.images import load_image
from rbinfer.measure.belongs import doubt_about
from rbinfer.measure.detect import detect
from rbinfer.measure.nodata import with_no_data

#: What is tried without a mix-up.
HONEST = (
    "all",
    "faint half",
    "artefacts",
    "few",
    "3 rows",
    "forced at 1 sigma",
    "with errors of 0.7 px",
)
#: What is tried with one, and how the word for it begins.
MIXED = {
    "swapped": "x and y are swapped",
    "flipped in y": "y counts from the top",
    "flipped in x": "x counts from the right",
    "turned by 180 degrees": "it is turned by 180",
    "turned by 90 degrees": "it is turned by 90",
    "shifted": "it is shifted",
    "binned": "it is of the image binned 2 x 2",
    "not binned": "it is of the image not binned",
    "first pixel 1": "the first pixel is called 1",
}


def frames(folder):
    """Yield name, image, positions, labels and brightness."""
    for path in sorted(folder.rglob("*.ecsv")):
        image = path.with_name(path.stem + ".fits.gz")
        if not image.exists():
            continue
        try:
            exposure = with_no_data(load_image(image))
        except InputError:  # a cube of cutouts
            continue
        table = Table.read(path)
        yield (
            path.stem,
            exposure,
            np.c_[table["x"], table["y"]],
            np.asarray(table["label"]),
            table["flux"],
        )


def simulated(n):
    """Yield the same of simulated frames."""
    from rbtrain.config import TrainConfig
    from rbtrain.data.cutting import frame_rng
    from rbtrain.simulate import draw_frame

    config = TrainConfig()
    for k in range(n):
        frame = draw_frame(config.simulate, frame_rng(99, k))
        exposure = as_exposure(frame.image, mask=frame.mask, saturation=frame.saturation)
        table = detect(exposure.pixels, exposure.mask)
        yield (
            f"simulated {k}",
            exposure,
            np.c_[table["x"], table["y"]],
            np.ones(len(table), int),
            table["flux"],
        )


def honest(kind, xy, label, flux, exposure, rng):
    """Return the positions of one trial."""
    order = np.argsort(np.asarray(flux))
    if kind == "faint half":
        return xy[order[: len(xy) // 2]]
    if kind == "artefacts":
        return xy[label == 0]
    if kind == "few":
        return xy[rng.permutation(len(xy))[: rng.integers(1, 30)]]
    if kind == "3 rows":
        return xy[rng.permutation(len(xy))[:3]]
    if kind == "with errors of 0.7 px":
        return xy + rng.normal(0, 0.7, xy.shape)
    return xy[rng.permutation(len(xy))[: max(len(xy) // 2, 1)]]


def forced(exposure, rng, n=200):
    """Return an image with n faint sources of S/N 1, and where they are."""
    height, width = exposure.shape
    xy = np.c_[rng.uniform(10, width - 10, n), rng.uniform(10, height - 10, n)]
    pixels = exposure.pixels.copy()
    dy, dx = np.mgrid[-6:7, -6:7]
    steps = np.abs(np.diff(pixels[::7], axis=1))
    noise = 1.4826 / np.sqrt(2) * np.nanmedian(steps)
    # S/N 1 in an aperture of 9 pixels, of a star of FWHM 3 px.
    for cx, cy in xy:
        i, j = round(cy), round(cx)
        part = pixels[i - 6 : i + 7, j - 6 : j + 7]
        if part.shape == dx.shape:
            part += np.float32(0.43 * noise) * np.exp(
                -4 * np.log(2) * ((dx - cx + j) ** 2 + (dy - cy + i) ** 2) / 9
            )
    return as_exposure(pixels, mask=exposure.mask), xy


def mixed(kind, xy, shape, rng):
    """Return positions that were mixed up."""
    x, y = xy.T
    height, width = shape
    if kind == "swapped":
        return np.c_[y, x]
    if kind == "flipped in y":
        return np.c_[x, height - 1 - y]
    if kind == "flipped in x":
        return np.c_[width - 1 - x, y]
    if kind == "turned by 180 degrees":
        return np.c_[width - 1 - x, height - 1 - y]
    if kind == "turned by 90 degrees":
        return np.c_[y, width - 1 - x]
    if kind == "shifted":
        return xy + rng.uniform(20, 60, 2) * rng.choice([-1, 1], 2)
    if kind == "binned":
        return (xy - 0.5) / 2
    if kind == "not binned":
        return 2 * xy + 0.5
    return xy + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--trials", type=int, default=10_000)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    found = list(frames(options.data) if options.data else simulated(12))
    told, tried, seconds = Counter(), Counter(), []
    while sum(tried.values()) < options.trials:
        for name, exposure, xy, label, flux in found:
            for kind in HONEST:
                if kind == "forced at 1 sigma":
                    image, positions = forced(exposure, rng)
                else:
                    image, positions = exposure, honest(kind, xy, label, flux, exposure, rng)
                start = time.perf_counter()
                doubt = doubt_about(image, *positions.T)
                seconds.append(time.perf_counter() - start)
                tried[kind] += 1
                if doubt is not None:
                    told[kind] += 1
                    print(f"  {name}, {kind}, {len(positions)} rows: {doubt.reason}")
    print(f"false alarms: {sum(told.values())} of {sum(tried.values())}")
    for kind in HONEST:
        print(f"  {kind}: {told[kind]} of {tried[kind]}")
    print(
        f"seconds a catalogue: median {np.median(seconds):.4f}, "
        f"99 % below {np.quantile(seconds, 0.99):.4f}"
    )
    right, of = Counter(), Counter()
    for name, exposure, xy, label, _ in found:
        stars = xy[label == 1]
        if len(stars) < 30:
            continue
        for kind, word in MIXED.items():
            for _ in range(5):
                rows = stars[rng.permutation(len(stars))[: rng.integers(30, len(stars) + 1)]]
                doubt = doubt_about(exposure, *mixed(kind, rows, exposure.shape, rng).T)
                of[kind] += 1
                if doubt is not None and doubt.reason.startswith(word):
                    right[kind] += 1
                else:
                    print(f"  {name}, {kind}, {len(rows)} rows: {doubt and doubt.reason}")
    print(f"mix-ups named right: {sum(right.values())} of {sum(of.values())}")
    for kind in MIXED:
        print(f"  {kind}: {right[kind]} of {of[kind]}")


if __name__ == "__main__":
    main()
