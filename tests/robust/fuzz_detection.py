"""Detect on random small images, beside SEP: ``python -m tests.robust.fuzz_detection CASES SEED``.

Prints how many cases there were, and how far the detections are SEP's. In a process of its own, as
`tests.robust.fuzz_kernels` is and for its reasons.
"""

import json
import logging
import os
import sys
import warnings
from collections import Counter
from unittest import mock

import numpy as np

from rbinfer import InputError
from rbinfer.kernels import constants as c
from rbinfer.measure import islands, runs
from rbinfer.measure.detect import _columns_of
from rbinfer.measure.sep_detector import extract

SIDES = (1, 2, 3, 5, 17, 31, 32, 33, 63, 64, 70, 90)
ODD = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e30])
KINDS = (
    "blank", "noise", "stars", "blends", "plateaus", "hits", "lines", "slope", "negative", "integers",
    "huge", "tiny", "not finite", "masked", "lattice", "patches", "saturated", "steep",
)  # fmt: skip


def stars(rng, shape, n, width):
    """Draw Gaussians of random heights, in units of the noise."""
    y, x = np.indices(shape)
    image = np.zeros(shape)
    for _ in range(n):
        cy, cx = rng.uniform(-1, 1 + np.array(shape))
        a, b = width * rng.uniform(0.7, 1.5, 2)
        height = 5 * (1 + rng.pareto(1.0))
        image += min(height, 1e4) * np.exp(-0.5 * (((x - cx) / a) ** 2 + ((y - cy) / b) ** 2))
    return image


def lattice(rng, shape):
    """Draw peaks that do not touch, joined by faint pixels: as many as an island can have."""
    image = rng.normal(0, 1, shape)
    y = int(rng.integers(0, shape[0] - 2))
    image[y + 1, 1::2] = 50
    image[y : y + 3 : 2, ::2] = 1000
    return image


def patches(rng, shape):
    """Draw rectangles of other noise, from none to a million times as much."""
    image = rng.normal(0, 1, shape)
    for _ in range(int(rng.integers(1, 6))):
        y, x = (int(rng.integers(0, n)) for n in shape)
        h, w = rng.integers(1, 90, 2)
        part = image[y : y + h, x : x + w]
        noise = 10.0 ** rng.integers(-6, 6) * (rng.random() < 0.8)
        part[:] = rng.normal(0, noise, part.shape) + rng.choice([0, 0, 10, -1000])
    return image


def steep(rng, shape):
    """Draw a sky that rises to 1 at a place within the image or beside it."""
    y, x = np.indices(shape)
    cy, cx = rng.uniform(-30, 30 + np.array(shape))
    return np.exp(-np.hypot(y - cy, x - cx) / rng.uniform(3, 60))


def some_image(rng, kind):
    """Draw an image of a kind, and a mask for some."""
    shape = tuple(rng.choice(SIDES, 2))
    if kind == "lattice":
        return lattice(rng, rng.integers(3, 90, 2)).astype(np.float32), None
    if kind == "patches":
        shape = tuple(rng.integers(1, 200, 2))
        image = patches(rng, shape) * rng.choice([1, 1e-12, 1e8]) + rng.choice([0, 1000])
        return image.astype(np.float32), None
    if kind == "blank":
        return np.full(shape, rng.choice([0.0, -3.0, 1e5]), np.float32), None
    image = rng.normal(0, 1, shape)
    if kind == "blends":
        image += stars(rng, shape, int(rng.integers(5, 60)), 1.5)
    elif kind == "plateaus":
        for _ in range(3):
            y, x = (int(rng.integers(0, n)) for n in shape)
            h, w = rng.integers(1, 12, 2)
            image[y : y + h, x : x + w] = rng.choice([20.0, 300.0])
    elif kind == "hits":
        hit = rng.random(shape) < rng.choice([0.003, 0.03, 0.1])
        image[hit] += 10 * (1 + rng.pareto(1.2, int(hit.sum())))
    elif kind == "lines":
        image[:, rng.random(shape[1]) < 0.03] += 30
        image[rng.random(shape[0]) < 0.03] += 30
    elif kind != "noise":
        image += stars(rng, shape, int(rng.integers(0, 12)), float(rng.choice([0.6, 1.3, 2.5])))
    if kind == "steep":
        image += 10.0 ** rng.uniform(1, 5) * steep(rng, shape)
    elif kind == "slope":
        image += np.add.outer(np.arange(shape[0]), np.arange(shape[1])) * rng.uniform(0, 0.3)
    image = rng.choice([3.0, 20.0]) * image + 1000
    if kind == "saturated":
        image = np.minimum(image, 1000 + rng.uniform(20, 300))
    elif kind == "negative":
        image = 900 - image
    elif kind == "integers":
        image = np.round(image * rng.choice([1.0, 0.2]))
    elif kind in ("huge", "tiny"):
        image *= 10.0 ** (rng.integers(6, 24) * (1 if kind == "huge" else -1))
    mask = None
    if kind == "not finite":
        bad = rng.random(shape) < rng.choice([0.003, 0.05, 0.5])
        image[bad] = rng.choice(ODD, int(bad.sum()))
    elif kind == "masked":
        mask = rng.random(shape) < rng.choice([0.003, 0.05, 0.5, 1.0])
        image[mask] += 500
    return image.astype(np.float32), mask


def check_rows(rows, shape):
    """Check that what was found can be."""
    height, width = shape
    assert np.isfinite(rows).all(), "a number that is not finite"
    assert (rows[:, c.N_PIXELS] >= 1).all(), "a detection without pixels"
    assert rows[:, c.N_PIXELS].sum() <= height * width, "pixels that count twice"
    x, y = rows[:, c.FIRST_X], rows[:, c.FIRST_Y]
    assert ((x > -0.51) & (x < width - 0.49) & (y > -0.51) & (y < height - 0.49)).all(), "off the image"
    assert (rows[:, c.XX] * rows[:, c.YY] > rows[:, c.XY] ** 2).all(), "no ellipse"
    assert ((rows[:, c.XX] > 0) & (rows[:, c.YY] > 0)).all(), "a negative moment"
    is_bright = rows[:, c.PEAK_SMOOTH] > 0
    np.testing.assert_array_equal(rows[:, c.SMOOTH_FLUX] > 0, is_bright, "light that cannot be")
    assert np.isfinite([*_columns_of(rows).values()]).all(), "a shape that is not finite"


def matched(x, y, others):
    """Return index pairs of detections that are each other's nearest, and how far apart they are."""
    squares = (x[:, None] - others["x"]) ** 2 + (y[:, None] - others["y"]) ** 2
    nearest, back = squares.argmin(axis=1), squares.argmin(axis=0)
    rows = np.flatnonzero((back[nearest] == np.arange(len(x))) & (squares.min(axis=1) < 1))
    return rows, nearest[rows], np.sqrt(squares[rows, nearest[rows]])


def compare(rows, seps, threshold, is_smoothed):
    """Count detections half a sigma above the threshold, and those that are the same in both."""
    half = (1 + 0.5 / threshold) * (0.375 if is_smoothed else 1.0)
    bright = rows[:, c.PEAK_SMOOTH] > half * rows[:, c.THRESHOLD]
    bright_sep = seps["cpeak"] > half * seps["thresh"]
    found = Counter(ours=bright.sum(), seps=bright_sep.sum())
    if len(rows) and len(seps):
        i, k, distance = matched(rows[:, c.FIRST_X], rows[:, c.FIRST_Y], seps)
        single = (rows[i, c.FLAGS].astype(int) | seps["flag"][k]) & c.MERGED == 0
        flux = seps["flux"][k].astype(float)
        same_flux = np.abs(rows[i, c.FLUX] - flux) < 0.01 * np.abs(flux)
        found += Counter(
            ours_matched=bright[i].sum(), seps_matched=bright_sep[k].sum(), single=single.sum(),
            centroids=(distance < 0.02)[single].sum(), fluxes=same_flux[single].sum(),
        )  # fmt: skip
    return found


def one(rng, kind):
    """Try one case, and return what is the same as SEP's."""
    image, mask = some_image(rng, kind)
    threshold, minarea = float(rng.uniform(2, 8)), int(rng.integers(1, 7))
    if kind == "lattice" and rng.random() < 0.7:
        minarea = 1
    smooths, contrast = bool(rng.integers(0, 2)), float(rng.choice([0.0, 0.005, 0.1, 1.0]))
    how = threshold, minarea, smooths, contrast
    # An island that is cut at higher thresholds is none of SEP's.
    flood = int(rng.integers(1, 200)) if rng.random() < 0.1 else runs._FLOOD_PIXELS
    with mock.patch.object(runs, "_FLOOD_PIXELS", flood):
        rows = islands.find_detections(image, mask, *how, 1)
    check_rows(rows, image.shape)
    with (
        mock.patch.object(islands, "_STRIP", int(rng.integers(1, 40))),
        mock.patch.object(islands, "_CHUNK", int(rng.integers(1, 300))),
        mock.patch.object(islands, "_BAND", int(rng.integers(1, 3000))),
        mock.patch.object(runs, "_FLOOD_PIXELS", flood),
    ):
        again = islands.find_detections(image, mask, *how, int(rng.integers(1, 3)))
    assert again.tobytes() == rows.tobytes(), "strips, bands, chunks or threads matter"
    if flood < runs._FLOOD_PIXELS:
        return Counter()
    try:
        seps = extract(image, mask, *how)
    except InputError:
        return Counter()
    return Counter() if seps is None else compare(rows, seps, threshold, smooths)


def main(cases: int, seed: int) -> None:
    """Try cases, each from a seed of its own that a failure names."""
    warnings.simplefilter("error")
    logging.disable(logging.WARNING)
    found = {kind: Counter() for kind in KINDS}
    for case in range(cases):
        kind = KINDS[case % len(KINDS)]
        try:
            found[kind] += one(np.random.default_rng([seed, case]), kind)
        except BaseException:
            print(f"case {case} of seed {seed}: {kind}", file=sys.stderr)
            raise
    bounds = os.environ.get("NUMBA_BOUNDSCHECK") == "1"
    counts = {kind: {name: int(n) for name, n in each.items()} for kind, each in found.items()}
    print(json.dumps({"cases": cases, "bounds_checked": bounds, "found": counts}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
