"""Objects a second of the cutout kernels alone, against a plain NumPy loop and the memory.

    python benchmarks/kernels.py [--objects N] [--json FILE]

Checks cutouts of both presets against the slow oracle of the tests, then times. Takes about a minute.
Objects a CPU second count what the threads themselves were given, on a machine that others use too;
while they stay as they are for more threads, these do not hinder each other. By strips is the order
that `Classifier` gives positions, whatever theirs is; the other columns are for positions in no order.
"""

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from _common import processor, seconds_of
from reference_pipeline import cut_objects

from rbinfer import PreprocessSpec
from rbinfer.cutouts.cutter import Cutouts, Cutter
from rbinfer.diagnostics.bench import make_scene
from rbinfer.io.exposure import as_exposure
from rbinfer.scoring.rows import by_strips
from tests.infer.kernels import oracle

CHUNK = 512
FWHM = {"FWHM 3": 3.0, "FWHM 6": 6.0, "FWHM 1.5": 1.5}


def check(image, x, y):
    """Stop unless the kernels agree with the oracle; return the largest difference."""
    worst = {}
    part = np.ascontiguousarray(image[:512, :512])
    inside = (x < 520) & (y < 520)
    x, y = x[inside][:50], y[inside][:50]
    mask = np.random.default_rng(1).random(part.shape) < 1e-3
    for preset in ("reference", "default"):
        spec = getattr(PreprocessSpec, preset)()
        for fwhm in FWHM.values():
            got = Cutter.prepare(as_exposure(part, fwhm=fwhm, mask=mask), spec).cut(x, y)
            for k in range(len(x)):
                expected, status = getattr(oracle, preset)(part, x[k], y[k], spec, fwhm, mask)[:2]
                if got.status[k] != status:
                    sys.exit(f"{preset}, FWHM {fwhm}: status {got.status[k]}, the oracle says {status}")
                if expected is not None:
                    error = float(np.abs(got.pixels[k] - expected).max())
                    worst[preset] = max(worst.get(preset, 0.0), error)
    if max(worst.values()) > 2e-5:
        sys.exit(f"cutouts differ from the oracle's by {worst}")
    return worst


def time_kernel(cutter, x, y, threads, repeats):
    """Return seconds of each pass over all objects, and of the CPU, least of all passes.

    Every thread fills a buffer of its own.
    """
    size = cutter.spec.size
    chunks = [slice(start, start + CHUNK) for start in range(0, len(x), CHUNK)]
    buffers = [Cutouts.empty(CHUNK, size) for _ in range(threads)]

    def work(thread):
        start, cut_into = time.thread_time(), cutter.cut_function()
        for chunk in chunks[thread::threads]:
            n = len(x[chunk])
            cut_into(x[chunk], y[chunk], Cutouts(*(part[:n] for part in buffers[thread])))
        return time.thread_time() - start

    cpu = []
    with ThreadPoolExecutor(threads) as pool:
        taken = seconds_of(lambda: cpu.append(sum(pool.map(work, range(threads)))), repeats)
    return taken, min(cpu)


def copy_bandwidth():
    """Return bytes read and written a second by a copy too large for the caches."""
    source = np.ones(2**26, np.uint8)
    target = np.empty_like(source)
    return 2 * source.nbytes / min(seconds_of(lambda: np.copyto(target, source), 10))


def main():
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--side", type=int, default=4096, help="side of the image in pixels")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args()

    image, x, y = make_scene(options.side, options.objects)
    worst = check(image, x, y)
    bandwidth = copy_bandwidth()
    print(
        f"{processor()}, {options.side} x {options.side} float32, {options.objects} objects in no order"
    )
    print(f"largest difference from the oracle: {worst['reference']:.1e}, {worst['default']:.1e}")
    print(f"a copy moves {bandwidth / 1e9:.1f} GB/s")
    print(
        "preset     case    threads  by strips  objects/s      best  per CPU s  x loop  kB/object  GB/s"
        "  of a copy"
    )

    rows, loops = [], {}
    few_x, few_y = x[:1000], y[:1000]
    order = by_strips(x, y)
    ordered_x, ordered_y = x[order], y[order]
    for case, fwhm in FWHM.items():
        taken = seconds_of(lambda f=fwhm: cut_objects(image, few_x, few_y, f), 3)
        loops[case] = len(few_x) / statistics.median(taken)
    for preset in ("reference", "default"):
        spec = getattr(PreprocessSpec, preset)()
        for case, fwhm in FWHM.items():
            cutter = Cutter.prepare(as_exposure(image, fwhm=fwhm), spec)
            # The reference rescales what it has cut, the default preset cuts what it needs.
            side = spec.size if preset == "reference" else cutter.taps.span
            moved = 4 * side**2 + 8 * spec.size**2
            for threads in (1, 2):
                ordered, _ = time_kernel(cutter, ordered_x, ordered_y, threads, options.repeats)
                taken, cpu = time_kernel(cutter, x, y, threads, options.repeats)
                rate = len(x) / statistics.median(taken)
                row = {
                    "preset": preset,
                    "case": case,
                    "threads": threads,
                    "objects_per_s": rate,
                    "by_strips_objects_per_s": len(x) / statistics.median(ordered),
                    "best_objects_per_s": len(x) / min(taken),
                    "objects_per_cpu_s": len(x) / cpu,
                    "ratio_to_loop": rate / loops[case],
                    "bytes_per_object": moved,
                    "bytes_per_s": rate * moved,
                }
                rows.append(row)
                print(
                    f"{preset:10} {case:7} {threads:7} {row['by_strips_objects_per_s']:10,.0f}"
                    f" {rate:10,.0f} {row['best_objects_per_s']:9,.0f}"
                    f" {len(x) / cpu:10,.0f} {row['ratio_to_loop']:7.0f} {moved / 1e3:10.1f}"
                    f" {rate * moved / 1e9:5.1f} {rate * moved / bandwidth:10.0%}"
                )
    print("plain NumPy loop: " + ", ".join(f"{case} {rate:,.0f}/s" for case, rate in loops.items()))
    if options.json:
        report = {
            "cpu": processor(),
            "objects": options.objects,
            "side": options.side,
            "copy_bytes_per_s": bandwidth,
            "largest_difference": worst,
            "loop_objects_per_s": loops,
            "rows": rows,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
