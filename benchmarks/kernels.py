"""Objects a second of the cutout kernels alone, against a plain NumPy loop and the memory.

    python benchmarks/kernels.py [--objects N] [--json FILE]

Checks cutouts of both presets against the slow oracle of the tests, then times. Takes under a minute.
Objects a CPU second count what the threads themselves were given, on a machine that others use too;
while they stay as they are for more threads, these do not hinder each other.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from astropy.stats import mad_std

sys.path.insert(0, str(Path(__file__).parents[1]))

from rbinfer import PreprocessSpec
from rbinfer.cutouts import Cutouts, Cutter, rescaling
from tests.infer import oracle

CHUNK = 512
FWHM = {"FWHM 3": 3.0, "FWHM 6": 6.0, "FWHM 1.5": 1.5}


def cpu_name():
    """Return the CPU's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def make_scene(side, n, rng):
    """Return a noisy image of stars, and their positions in no order."""
    image = rng.normal(500, 7, (side, side)).astype(np.float32)
    x, y = rng.uniform(70, side - 70, n), rng.uniform(70, side - 70, n)
    dy, dx = np.mgrid[-7:8, -7:8]
    for cx, cy, flux in zip(x, y, 10 ** rng.uniform(1.5, 4, n), strict=True):
        i, j = round(cy), round(cx)
        shape = np.exp(-((dx + j - cx) ** 2 + (dy + i - cy) ** 2) / (2 * 1.3**2))
        image[i - 7 : i + 8, j - 7 : j + 8] += (flux * shape).astype(np.float32)
    return image, x, y


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
            got = Cutter.prepare(part, spec, fwhm=fwhm, mask=mask).cut(x, y)
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


def plain_loop(image, x, y, fwhm, spec):
    """Cut and preprocess as the reference implementation does, an object at a time."""
    radius, size = spec.size // 2, spec.size
    _, down, up = rescaling(fwhm, spec.target_fwhm, spec.rescale_threshold)
    cutouts, valid = [], []
    for k in range(len(x)):
        x1, x2 = int(x[k] - radius), int(x[k] + radius + 1)
        y1, y2 = int(y[k] - radius), int(y[k] + radius + 1)
        if x1 < 0 or y1 < 0 or x2 > image.shape[1] or y2 > image.shape[0]:
            continue
        cut = image[y1:y2, x1:x2].astype(np.float32)
        level = np.median(np.concatenate([cut[0], cut[-1], cut[:, 0], cut[:, -1]]))
        sigma = mad_std(cut)
        if not (np.isfinite(sigma) and sigma > 0):
            sigma = 1.0
        if down > 1:
            h, w = cut.shape[0] // down, cut.shape[1] // down
            cut = cut[: h * down, : w * down].reshape(h, down, w, down).mean(axis=(1, 3))
        elif up > 1:
            cut = np.repeat(np.repeat(cut, up, axis=0), up, axis=1)
        linear = cut - level
        curved = np.arcsinh(linear / (spec.asinh_softening * sigma))
        channels = np.stack([linear, curved], axis=-1)
        peaks = np.abs(channels).max(axis=(0, 1))
        channels /= np.where(peaks > 1e-10, peaks, 1.0)
        for axis in (0, 1):
            n = channels.shape[axis]
            if n > size:
                start = (n - size) // 2
                channels = channels.take(range(start, start + size), axis=axis)
            elif n < size:
                pad = [(0, 0)] * 3
                pad[axis] = ((size - n) // 2, size - n - (size - n) // 2)
                channels = np.pad(channels, pad, mode="edge")
        cutouts.append(channels.astype(np.float32))
        valid.append(k)
    return np.array(cutouts), np.array(valid)


def seconds_of(action, repeats):
    """Return the seconds that each of several calls took, after one that is not counted."""
    action()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return taken


def time_kernel(cutter, x, y, threads, repeats):
    """Return seconds of each pass over all objects, and of the CPU, least of all passes.

    Every thread fills a buffer of its own.
    """
    size = cutter.spec.size
    chunks = [slice(start, start + CHUNK) for start in range(0, len(x), CHUNK)]
    buffers = [
        Cutouts(
            np.zeros((CHUNK, size, size, 2), np.float32), np.zeros(CHUNK, np.int32),
            np.zeros(CHUNK, np.float32),
        )
        for _ in range(threads)
    ]  # fmt: skip

    def work(thread):
        start = time.thread_time()
        for chunk in chunks[thread::threads]:
            n = len(x[chunk])
            cutter.cut_into(x[chunk], y[chunk], Cutouts(*(part[:n] for part in buffers[thread])))
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

    image, x, y = make_scene(options.side, options.objects, np.random.default_rng(0))
    worst = check(image, x, y)
    bandwidth = copy_bandwidth()
    print(
        f"{cpu_name()}, {options.side} x {options.side} float32, {options.objects} objects in no order"
    )
    print(f"largest difference from the oracle: {worst['reference']:.1e}, {worst['default']:.1e}")
    print(f"a copy moves {bandwidth / 1e9:.1f} GB/s")
    print(
        "preset     case    threads  objects/s      best  per CPU s  x loop  kB/object  GB/s  of a copy"
    )

    rows, loops = [], {}
    few_x, few_y, spec = x[:1000], y[:1000], PreprocessSpec.reference()
    for case, fwhm in FWHM.items():
        taken = seconds_of(lambda f=fwhm: plain_loop(image, few_x, few_y, f, spec), 3)
        loops[case] = len(few_x) / statistics.median(taken)
    for preset in ("reference", "default"):
        spec = getattr(PreprocessSpec, preset)()
        for case, fwhm in FWHM.items():
            cutter = Cutter.prepare(image, spec, fwhm=fwhm)
            # The reference rescales what it has cut, the default preset cuts what it needs.
            side = spec.size if preset == "reference" else cutter.taps.span
            moved = 4 * side**2 + 8 * spec.size**2
            for threads in (1, 2):
                taken, cpu = time_kernel(cutter, x, y, threads, options.repeats)
                rate = len(x) / statistics.median(taken)
                row = {
                    "preset": preset, "case": case, "threads": threads, "objects_per_s": rate,
                    "best_objects_per_s": len(x) / min(taken), "objects_per_cpu_s": len(x) / cpu,
                    "ratio_to_loop": rate / loops[case],
                    "bytes_per_object": moved, "bytes_per_s": rate * moved,
                }  # fmt: skip
                rows.append(row)
                print(
                    f"{preset:10} {case:7} {threads:7} {rate:10,.0f} {row['best_objects_per_s']:9,.0f}"
                    f" {len(x) / cpu:10,.0f} {row['ratio_to_loop']:7.0f} {moved / 1e3:10.1f}"
                    f" {rate * moved / 1e9:5.1f} {rate * moved / bandwidth:10.0%}"
                )
    print("plain NumPy loop: " + ", ".join(f"{case} {rate:,.0f}/s" for case, rate in loops.items()))
    if options.json:
        report = {
            "cpu": cpu_name(), "objects": options.objects, "side": options.side,
            "copy_bytes_per_s": bandwidth, "largest_difference": worst,
            "loop_objects_per_s": loops, "rows": rows,
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
