"""How time and memory grow: with pixels, detections and images; a law is fitted to each, and drawn.

    python benchmarks/growth.py AXIS [SIZE ...] [--repeats N] --json FILE
    python benchmarks/growth.py laws --json FILE [--plot FILE]

An axis is measured at the sizes that are named, or at all that are usual. Its rows in the JSON file are
replaced, so that it can be done in pieces. Each row is of whole processes, start and output included:
the CPU seconds of it and its children (the least of N), the wall seconds of the same run, and the
memory of the largest of them. ``laws`` fits ``start + b * size ** p`` to CPU seconds and memory.

- ``pixels``: megapixels of a frame of 16-bit integers, sparse, ``rbinfer classify`` without a catalogue.
- ``detections``: positions on a frame of 16 MP, in a FITS catalogue and back, ``rbinfer classify``.
- ``images``, ``empty``: frames of 128 x 128 with some stars or none, ``rbinfer batch``.
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from _common import add_json, children_import_this_checkout, processor, write_json
from pixels import FRAMES, process, tiled_scene

from rbinfer._util.machine import usable_cpus
from rbinfer.diagnostics.bench import make_scene
from rbinfer.io.records import Records
from rbinfer.io.tables import write_catalog

SIZES = {
    "pixels": (1, 4, 16, 36, 64, 100),
    "detections": (10, 100, 1000, 10_000, 100_000, 1_000_000),
    "images": (1, 10, 100, 1000, 10_000),
    "empty": (1, 10, 100, 1000, 10_000),
}
UNITS = {"pixels": "megapixels", "detections": "detections", "images": "images", "empty": "empty images"}
#: What differs by less than this ratio from the smallest does not stand out; so many must for a law.
FLAT, ENOUGH = 1.1, 3
#: An exponent beyond 1 by more than this and twice its error is told.
TOLERANCE = 0.05
SIDE, STARS, KINDS = 128, 12, 20  # of small frames: pixels, stars, and how many differ


def as_integers(pixels):
    """Return pixels as a camera stores them."""
    return np.clip(np.round(pixels), 0, 65535).astype(np.uint16)


def pixels(megapixels, folder):
    """Write a frame; returns what scores it."""
    from astropy.io import fits

    side, density = round(np.sqrt(megapixels * 1e6)), FRAMES["16 MP"][1] / FRAMES["16 MP"][0] ** 2
    tile = min(side, 4096)
    scene = as_integers(tiled_scene(tile, round(density * tile**2)))
    times = -(-side // tile)
    fits.writeto(folder / "frame.fits", np.tile(scene, (times, times))[:side, :side])
    return ["classify", "frame.fits", "-o", "scored.fits"]


def detections(n, folder):
    """Write a frame and positions on it; returns what scores them."""
    from astropy.io import fits

    side, stars = FRAMES["16 MP"]
    fits.writeto(folder / "frame.fits", as_integers(tiled_scene(side, stars)))
    rng = np.random.default_rng(1)
    write_catalog(
        Records.of({name: rng.uniform(20, side - 20, n) for name in "xy"}), folder / "cat.fits"
    )
    named = ["--catalog", "cat.fits", "--trust-positions"]
    return ["classify", "frame.fits", *named, "-o", "scored.fits"]


def images(n, folder, stars=STARS):
    """Write small frames; returns what scores them."""
    from astropy.io import fits

    (folder / "frames").mkdir()
    for k in range(n):
        path = folder / f"frames/{k:05d}.fits"
        if k < KINDS:
            fits.writeto(path, as_integers(make_scene(SIDE, stars, seed=k).image))
        else:
            path.hardlink_to(folder / f"frames/{k % KINDS:05d}.fits")
    return ["batch", "frames", "-o", "results"]


def empty(n, folder):
    """Write small frames of the sky alone; returns what scores them."""
    return images(n, folder, stars=0)


MAKERS = {"pixels": pixels, "detections": detections, "images": images, "empty": empty}


def measure(axis, size, repeats):
    """Return a row of an axis."""
    runs = []
    for _ in range(repeats):
        with TemporaryDirectory() as path:
            command = MAKERS[axis](size, Path(path))
            runs.append(process([sys.executable, "-m", "rbinfer", *command, "-q"], path))
    wall, cpu, memory = min(runs, key=lambda run: run[1])
    print(
        f"{axis:10} {size:>10,}   CPU {cpu:8.2f} s   wall {wall:8.2f} s   {memory:7.0f} MB", flush=True
    )
    return {"size": size, "cpu_s": cpu, "wall_s": wall, "memory_mb": memory}


def law(rows, key):
    """Fit ``start + factor * size ** exponent`` by relative differences, with the exponent's error.

    The exponent is None where fewer than `ENOUGH` sizes stand out from the smallest: the peak of memory
    is then that of another stage. The factor is that of a line from the first size to the last then.
    """
    from scipy.optimize import curve_fit

    x = np.array([row["size"] for row in rows], float)
    y = np.array([row[key] for row in rows])
    if np.count_nonzero(y > FLAT * y.min()) < ENOUGH:
        factor = float((y[-1] - y[0]) / (x[-1] - x[0])) if y.max() > FLAT * y.min() else 0.0
        return {"start": float(y[0]), "factor": factor, "exponent": None, "error": None}

    def model(x, start, b, p):
        return np.log(np.exp(start) + np.exp(b) * (x / x_last) ** p)

    x_last = x[-1]
    first = (np.log(y[0]), np.log(max(y[-1] - y[0], 0.01 * y[-1])), 1.0)
    (start, b, p), covariance = curve_fit(model, x, np.log(y), p0=first, maxfev=20_000)
    return {
        "start": float(np.exp(start)), "factor": float(np.exp(b) / x_last**p), "exponent": float(p),
        "error": float(np.sqrt(covariance[2, 2])),
    }  # fmt: skip


def show_laws(report):
    """Print and keep the laws."""
    for axis, rows in report["axes"].items():
        last = rows[-1]["size"]
        for key, unit in (("cpu_s", "s"), ("memory_mb", "MB")):
            found = report["laws"].setdefault(axis, {})[key] = law(rows, key)
            power = found["exponent"] or 1.0
            told = f"{axis:10} {key:9} {found['start']:.3g} {unit}"
            if found["factor"]:
                told += f" + {found['factor'] * last ** (power - 1):.3g} {unit} for each of {last:,}"
            if found["exponent"] is not None:
                told += f"; exponent {power:.3f} +- {found['error']:.3f}"
                if power - 2 * found["error"] > 1 + TOLERANCE:
                    told += "   GROWS FASTER THAN LINEAR"
            print(told)


def draw(report, path):
    """Draw all axes, time above and memory below."""
    from matplotlib.figure import Figure

    axes = report["axes"]
    figure = Figure(figsize=(3.2 * len(axes), 5.6), layout="constrained")
    panels = figure.subplots(2, len(axes), squeeze=False)
    for column, (axis, rows) in zip(panels.T, axes.items(), strict=True):
        x = np.array([row["size"] for row in rows], float)
        for panel, key in zip(column, ("cpu_s", "memory_mb"), strict=True):
            panel.loglog(x, [row[key] for row in rows], "o")
            found = report["laws"][axis][key]
            if found["exponent"] is not None:
                fine = np.geomspace(x[0], x[-1], 100)
                exponent = f"{found['exponent']:.2f} $\\pm$ {found['error']:.2f}"
                fitted = found["start"] + found["factor"] * fine ** found["exponent"]
                panel.loglog(fine, fitted, "-", label=f"exponent {exponent}")
                panel.legend(fontsize="small")
            low, high = panel.get_ylim()
            panel.set_ylim(low / 1.5, high * 1.5)
            panel.set(xlabel=UNITS[axis], ylabel={"cpu_s": "CPU (s)", "memory_mb": "memory (MB)"}[key])
    figure.suptitle(f"{report['cpu']}, {report['cpus']} CPUs", fontsize="small")
    figure.savefig(path, dpi=120)


def main():
    """Measure an axis, or fit and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("axis", choices=(*SIZES, "laws"))
    parser.add_argument("sizes", nargs="*", type=int)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    add_json(parser)
    options = parser.parse_args()
    if options.json is None:
        parser.error("name the file of the figures (--json)")
    report = {"cpu": processor(), "cpus": usable_cpus(), "axes": {}, "laws": {}}
    if options.json.exists():
        report = json.loads(options.json.read_text(encoding="utf-8"))
    if options.axis == "laws":
        show_laws(report)
        if options.plot is not None:
            draw(report, options.plot)
    else:
        children_import_this_checkout()
        for size in options.sizes or SIZES[options.axis]:
            row = measure(options.axis, size, options.repeats)
            rows = {each["size"]: each for each in report["axes"].get(options.axis, [])} | {size: row}
            report["axes"][options.axis] = [rows[each] for each in sorted(rows)]
            write_json(options.json, report)
    write_json(options.json, report)


if __name__ == "__main__":
    main()
