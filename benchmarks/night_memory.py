"""A night of large frames: memory against the number of frames, and seconds a frame by part.

    python benchmarks/night_memory.py [--frames 10,100,1000] [--folder DIR] [--json FILE]

Lights of 2048 x 2048 pixels in three filters, dithered, with a WCS, hot pixels and cosmic rays; the
smaller nights are the first frames of the largest. Each night runs as ``rbinfer night --workers 2``
does, in a process of its own. What is measured is the largest resident set, as the system counts it, of
the process that merges (when the last frame was scored, and at the end) and of its largest worker,
looked at after each frame; and the time on the wall, by part. Where the time of a frame goes is measured
in one process and thread.

The frames take 8.4 MB each. With ``--folder`` they are kept until all is done, and so is what was
measured: the same command goes on where it was interrupted, and measures anew what other code did.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from _common import ROOT, add_json, children_import_this_checkout, processor, write_json
from _large_nights import LargeNightMaker, large_plan
from _stages import time_stages
from tqdm import tqdm

from rbinfer._util.hashing import digest
from rbinfer.model.registry import resolve

FRAMES = (10, 100, 1000)
#: Progress is told so often, in seconds, so that a log stays short.
OFTEN = 20.0
STAGED = 10  # frames whose stages are timed
MIB = 2**20


def run_here(folder, output, workers):
    """Run a night in this process; print what it took, as JSON."""
    from rbinfer._util.machine import peak_bytes
    from rbinfer.pipeline.options import ScoreOptions
    from rbinfer.report.night import write_night

    bar = tqdm(total=len(os.listdir(folder)), desc="scored", mininterval=OFTEN, unit="frame")
    peaks = {}

    def noted(*_):
        bar.update()
        peaks["scoring_mib"] = peak_bytes() / MIB
        peaks["worker_mib"] = max(peaks.get("worker_mib", 0.0), peak_of_workers())

    options = ScoreOptions(device="cpu")
    night = write_night(folder, output, workers=workers, options=options, progress=noted)
    bar.close()
    peaks["merging_mib"] = peak_bytes() / MIB
    found = {
        "frames": len(night.frames),
        "detections": sum(one.summary["detections"] for one in night.batch.results),
        "sources": night.kinds.total(),
        "output_mb": sum(path.stat().st_size for path in output.rglob("*") if path.is_file()) / 1e6,
    }
    print(json.dumps(found | peaks | {"seconds": night.seconds}))


def peak_of_workers():
    """Return the most memory that a process below this one had so far, in MiB (Linux)."""
    peaks = [0.0]
    for child in psutil.Process().children(recursive=True):
        with suppress(OSError):  # it may have ended
            status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii")
            peaks += [float(line.split()[1]) / 1024 for line in status.splitlines() if "VmHWM" in line]
    return max(peaks)


def code_digest():
    """Hash what the figures depend on: the sources of rbinfer, and the model."""
    sources = sorted((ROOT / "rbinfer").rglob("*.py"))
    return digest(*sources, resolve(None))


def measured(paths, folder, workers):
    """Return the figures of a night of some frames, those noted in the folder if this code made them."""
    noted, code = folder / f"night_{len(paths)}.json", code_digest()
    if noted.exists():
        before = json.loads(noted.read_text())
        if before.get("code") == code:
            return before["figures"]
    given, output = folder / "given", folder / "night"
    for each in (given, output):
        shutil.rmtree(each, ignore_errors=True)
    given.mkdir()
    for path in paths:
        os.link(path, given / path.name)
    command = [sys.executable, __file__, "--run", str(given), str(output), "--workers", str(workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    if figures["frames"] != len(paths):
        sys.exit(f"{figures['frames']} of {len(paths)} frames were scored; nothing is stated")
    noted.write_text(json.dumps({"code": code, "figures": figures}))
    shutil.rmtree(output)
    return figures


def show(nights, stages):
    """Print memory by night, seconds a frame of the largest, and stages."""
    for night in nights:
        print(
            f"{night['frames']:5d} frames, {night['detections']:9,d} detections, "
            f"{night['sources']:8,d} sources: scoring {night['scoring_mib']:.0f} MiB, "
            f"merging {night['merging_mib']:.0f} MiB, worker {night['worker_mib']:.0f} MiB"
        )
    for small, large in itertools.pairwise(nights):
        more = (large["merging_mib"] - small["merging_mib"]) * MIB
        rows = large["detections"] - small["detections"]
        print(f"  from {small['frames']} to {large['frames']}: {more / rows:.0f} bytes a detection")
    last = nights[-1]
    print(f"\nseconds of the night of {last['frames']}, on the wall; milliseconds a frame")
    for part, seconds in last["seconds"].items():
        print(f"  {part:10s} {seconds:8.1f} s {1e3 * seconds / last['frames']:8.1f} ms")
    print("\nwhere the time of a frame goes, one process and thread")
    for name, seconds in stages.items():
        print(f"  {name:10s} {1e3 * seconds:8.1f} ms")


def run(options, folder):
    """Make the frames, run the nights, time the stages; returns the report."""
    bar = partial(tqdm, desc="made", mininterval=OFTEN, unit="frame")
    plan = large_plan(options.side, max(options.frames))
    paths = LargeNightMaker(plan, folder / "frames").write(bar)
    nights = [measured(paths[:n], folder, options.workers) for n in sorted(options.frames)]
    stages = time_stages(paths[:STAGED], folder, ".fits")
    return {
        "processor": processor(),
        "side": options.side,
        "workers": options.workers,
        "nights": nights,
        "stages": stages,
    }


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=lambda text: tuple(map(int, text.split(","))), default=FRAMES)
    parser.add_argument("--side", type=int, default=2048, help="pixels (2048)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for frames and figures until all is done")
    parser.add_argument("--run", nargs=2, type=Path, help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.run:
        run_here(*options.run, options.workers)
        return
    children_import_this_checkout()
    with tempfile.TemporaryDirectory() as name:
        folder = (options.folder or Path(name)) / f"side_{options.side}_workers_{options.workers}"
        folder.mkdir(parents=True, exist_ok=True)
        report = run(options, folder)
        show(report["nights"], report["stages"])
        write_json(options.json, report)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
