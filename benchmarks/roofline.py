"""What this machine can do at most, and how near each stage of a frame comes to it.

    python benchmarks/roofline.py [--repeats N] [--json FILE]

Memory is read and copied by NumPy, and matrices multiplied by its BLAS: by one process, and by as many
as there are CPUs.
The stages are those of `rbinfer batch` on a frame of 4096 x 4096 unsigned 16-bit integers with 12,800
stars, without a catalogue, in one thread: CPU seconds, the least of several calls. A stage is set beside
the image as float32, as if it read that once, and the network beside the products.
"""

import argparse
import multiprocessing
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from _common import add_json, multiply_adds, processor, write_json
from pixels import write_frame

from rbinfer._util.hashing import digest
from rbinfer._util.machine import usable_cpus
from rbinfer.cutouts.cutter import Cutouts, Cutter
from rbinfer.io.images import load_image
from rbinfer.measure.detect import detected_columns
from rbinfer.measure.estimate import measure_width
from rbinfer.measure.islands import _measure, _walk
from rbinfer.measure.runs import without_floods
from rbinfer.measure.sky import measure_sky
from rbinfer.measure.threads import Threads
from rbinfer.model.registry import resolve
from rbinfer.model.session import Session
from rbinfer.model.stamps import Stamps

SECONDS = 2.0  # that each bound is measured for
PIXELS = 1 << 26  # 256 MB, more than the caches hold
SIDE = 1024  # of the matrices


def _rate(action, amount):
    """Repeat an action for some seconds of the wall; returns the best rate."""
    best, end = 0.0, time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        action()
        best = max(best, amount / (time.perf_counter() - start))
    return best


def bounds(start=None):
    """Return GB/s read and copied, and GFLOP/s, of one process; it waits for the others to begin."""
    line, other = np.ones(PIXELS, np.float32), np.ones(PIXELS, np.float32)
    left = np.ones((SIDE, SIDE), np.float32)
    if start is not None:
        start.wait()
    return {
        "read_gb_s": _rate(line.max, 4e-9 * PIXELS),
        "copied_gb_s": _rate(lambda: np.copyto(other, line), 4e-9 * PIXELS),
        "gflop_s": _rate(lambda: left @ left, 2e-9 * SIDE**3),
    }


def _send(pipe, start):
    pipe.send(bounds(start))


def bounds_together(n):
    """Return the sums of what n processes reach at the same time."""
    # Read by the new processes when they import NumPy: one thread each.
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    context = multiprocessing.get_context("spawn")
    start, pipes = context.Barrier(n), []
    for _ in range(n):
        ours, theirs = context.Pipe()
        context.Process(target=_send, args=(theirs, start), daemon=True).start()
        pipes.append(ours)
    found = [pipe.recv() for pipe in pipes]
    return {key: sum(each[key] for each in found) for key in found[0]}


def least(action, repeats):
    """Return the least CPU seconds of several calls, after one that is not counted, and the result."""
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        result = action()
        times.append(time.process_time() - start)
    return min(times[1:]), result


def stages(path, repeats):
    """Return CPU seconds of the stages of a frame by name, and the number of detections."""
    one, taken = Threads(1), {}

    def timed(name, action):
        taken[name], result = least(action, repeats)
        return result

    timed("hashing the file", lambda: digest(path))
    exposure = timed("reading, conversion", lambda: load_image(str(path)))
    pixels = exposure.pixels
    sky = timed("background mesh", lambda: measure_sky(pixels, None, 64, one))
    found = timed("walk", lambda: _walk(pixels, None, sky, 5.0, True, 0, len(pixels), one))
    islands = without_floods(found, 3, pixels.size, True)
    timed("islands", lambda: _measure(*islands, pixels.shape, 3, 0.005, one))
    width = timed("width and star", lambda: measure_width(exposure))
    columns = detected_columns(pixels)
    session = Session(resolve("default"), "cpu")
    size, n = session.spec.preprocess.size, len(columns["x"]) // session.batch * session.batch
    seen = exposure.known(fwhm=width.fwhm)
    cut_into = Cutter.prepare(seen, session.spec.preprocess).cut_function()
    room = Cutouts.empty(session.batch, size, session.reads_around)
    order = np.lexsort((columns["x"], columns["y"] // 32))
    x, y = columns["x"][order], columns["y"][order]
    parts = [slice(k, k + session.batch) for k in range(0, n, session.batch)]
    timed("cutting", lambda: [cut_into(x[part], y[part], room) for part in parts])
    stamps = Stamps.of(None, size, session.batch) if session.reads_psf else None
    timed("network", lambda: [session.run(room.pixels, stamps, room.core) for _ in parts])
    return taken, pixels, n


def main():
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    add_json(parser)
    options = parser.parse_args()
    print(f"{processor()}, {usable_cpus()} CPUs; load {os.getloadavg()[0]:.1f}")
    roof = {n: bounds_together(n) for n in sorted({1, usable_cpus()})}
    for n, each in roof.items():
        print(
            f"{n} process(es): memory read at {each['read_gb_s']:.1f} GB/s, copied at "
            f"{each['copied_gb_s']:.1f} GB/s; {each['gflop_s']:.0f} GFLOP/s"
        )
    with TemporaryDirectory() as folder:
        path, _ = write_frame(Path(folder), "16 MP")
        taken, pixels, n = stages(path, options.repeats)
    flop = 2e-9 * multiply_adds(resolve("default")) * n
    for name, seconds in taken.items():
        rate, most, unit = 1e-9 * pixels.nbytes / seconds, roof[1]["read_gb_s"], "GB/s"
        if name == "network":
            rate, most, unit = flop / seconds, roof[1]["gflop_s"], "GFLOP/s"
        print(f"  {name:20s} {1e3 * seconds:7.1f} ms {rate:7.1f} {unit:8s} {rate / most:6.1%}")
    print(f"  of {n:,} detections; together {1e3 * sum(taken.values()):.0f} ms")
    report = {"cpu": processor(), "roof": roof, "stages_s": taken, "detections": n, "gflop": flop}
    write_json(options.json, report)


if __name__ == "__main__":
    main()
