"""Cut at random from random images: ``python -m tests.robust.fuzz_kernels CASES SEED``.

Prints how many cases and cutouts were tried. In a process of its own, because a kernel that reads beyond
its arrays may end the process, and because bounds are checked (``NUMBA_BOUNDSCHECK=1``) or not for all.
"""

import dataclasses
import json
import os
import sys
import warnings

import numpy as np

from rbinfer import InputError, PreprocessSpec, preprocess_cutout
from rbinfer.cutouts.cutter import Cutter
from rbinfer.io.exposure import as_exposure

ODD = np.array(
    [0, -0.0, 1, -1, 255, 32768, 65535, 1e-45, 1e30, 3.4e38, -3.4e38, np.nan, np.inf, -np.inf]
)
EDGES = np.array(
    [0, -0.5, -0.50001, 0.5, 1e300, -1e300, np.nan, np.inf, -np.inf, 2.0**31, 2.0**63, 1e-320]
)


def some_image(rng):
    """Draw an image of 1 to 70 pixels a side, plain or of odd values."""
    shape = tuple(rng.choice([1, 2, 3, 5, 15, 30, 31, 32, 47, 70], 2))
    image = rng.normal(rng.choice([0, 100, 60000]), rng.choice([0, 1e-3, 5, 1e4]), shape)
    if rng.random() < 0.5:
        where = rng.random(shape) < rng.choice([0.01, 0.3, 1.0])
        image[where] = rng.choice(ODD, int(where.sum()))
    with np.errstate(all="ignore"):
        return image.astype(rng.choice(["f4", "f8", ">f4"]))


def some_map(rng, shape):
    """Draw a background or noise map, a number, or nothing."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return float(rng.choice([0.0, 1.0, 300.0]))
    if kind == 1:
        values = rng.normal(100, 5, shape)
        values[rng.random(shape) < 0.05] = rng.choice(ODD)
        return values
    return None


def some_spec(rng):
    """Draw a way of cutting."""
    spec = PreprocessSpec.reference if rng.random() < 0.4 else PreprocessSpec.default
    made = spec(int(rng.choice([5, 7, 15, 31, 63])))
    made = dataclasses.replace(made, min_good=float(rng.choice([0.0, 0.1, 0.5, 1.0])))
    if made.preset == "default":
        made = dataclasses.replace(
            made,
            recentre=int(rng.integers(0, 4)),
            linear_norm=str(rng.choice(["peak", "centre"])),
            asinh_norm=str(rng.choice(["peak", "centre"])),
            target_fwhm=float(rng.choice([0.7, 2.0, 4.0, 9.0])),
        )
    return made


def one(rng):
    """Try one case, and return how many cutouts it had."""
    image, spec = some_image(rng), some_spec(rng)
    height, width = image.shape
    n = int(rng.integers(1, 9))
    x, y = rng.uniform(-3, width + 3, n), rng.uniform(-3, height + 3, n)
    odd = rng.random(n) < 0.2
    x[odd] = rng.choice(np.append(EDGES, [width - 0.5, width - 1, width]), int(odd.sum()))
    mask = rng.random(image.shape) < rng.choice([0.05, 0.6, 1.0]) if rng.random() < 0.4 else None
    fwhm = float(np.exp(rng.uniform(np.log(0.05), np.log(200))))
    options = {
        "fwhm": fwhm,
        "mask": mask,
        "bg": some_map(rng, image.shape),
        "err": some_map(rng, image.shape),
        "saturation": None if rng.random() < 0.5 else float(rng.choice([0, 100, 65535])),
    }
    if rng.random() < 0.05:
        try:
            out, _ = preprocess_cutout(image, fwhm=fwhm, target_size=int(rng.integers(1, 40)))
        except InputError:
            return 1
        assert np.isfinite(out).all() or not np.isfinite(image).all() or np.abs(image).max() > 1e30
        return 1
    try:
        cutter = Cutter.prepare(as_exposure(image, **options), spec)
    except InputError:
        return n
    cutouts = cutter.cut(x, y)
    scored = (cutouts.status & 255) == 0
    assert np.isfinite(cutouts.pixels).all(), "a pixel that is not finite"
    assert not cutouts.pixels[~scored].any(), "pixels of what was not cut"
    peak = np.abs(cutouts.pixels).max(initial=0)
    assert peak <= max(1.0, spec.clip) + 1e-3, f"a pixel of {peak}"
    on_image = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    assert not scored[~on_image].any(), "a score for what is off the image"
    back = cutter.cut(x[::-1].copy(), y[::-1].copy())
    assert back.pixels[::-1].tobytes() == cutouts.pixels.tobytes(), "the order matters"
    return 2 * n


def main(cases: int, seed: int) -> None:
    """Try cases, each from a seed of its own that a failure names."""
    cutouts = 0
    warnings.simplefilter("error")
    import logging

    logging.disable(logging.WARNING)
    for case in range(cases):
        try:
            cutouts += one(np.random.default_rng([seed, case]))
        except BaseException:
            print(f"case {case} of seed {seed}", file=sys.stderr)
            raise
    bounds = os.environ.get("NUMBA_BOUNDSCHECK") == "1"
    print(json.dumps({"cases": cases, "cutouts": cutouts, "bounds_checked": bounds}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
