"""Memory of a night against the number of its images.

    python benchmarks/night_memory.py [--frames 100,200,400] [--json FILE]

Simulated lights of 192 x 192 pixels in three filters, dithered, with a WCS; each night in a process of
its own with one worker. What is measured is the largest resident set of the process that merges and of
its worker, as the system counts them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import add_json, processor, write_json
from _night_frames import FILTERS, NightMaker, NightPlan

FRAMES = (100, 200, 400)


def run_here(folder, output):
    """Run a night in this process and print the memory that it took, in MiB."""
    from rbinfer.night.run import run_night
    from rbinfer.pipeline.options import ScoreOptions

    night = run_night(folder, output, workers=1, options=ScoreOptions(device="cpu"))
    peaks = {
        name: resource.getrusage(who).ru_maxrss / 1024
        for name, who in (("merging", resource.RUSAGE_SELF), ("worker", resource.RUSAGE_CHILDREN))
    }
    print(
        json.dumps(peaks | {"detections": sum(one.summary["detections"] for one in night.batch.results)})
    )


def measured(n):
    """Return the peaks of a night of about `n` frames."""
    plan = NightPlan(
        7, side=192, targets=("M 31",), per_group=n // len(FILTERS), stars=80, hot_pixels=40
    )
    with tempfile.TemporaryDirectory() as folder:
        maker = NightMaker(plan, Path(folder) / "in")
        maker.write()
        command = [sys.executable, __file__, "--run", str(maker.folder), f"{folder}/out"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return {"frames": maker.n_frames, **json.loads(done.stdout.splitlines()[-1])}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=lambda text: tuple(map(int, text.split(","))), default=FRAMES)
    parser.add_argument("--run", nargs=2, metavar=("FOLDER", "OUT"), help=argparse.SUPPRESS)
    add_json(parser)
    args = parser.parse_args()
    if args.run:
        run_here(*args.run)
        return
    nights = [measured(n) for n in args.frames]
    for night in nights:
        print(
            f"{night['frames']:5d} frames, {night['detections']:7d} detections: "
            f"merging {night['merging']:.0f} MiB, worker {night['worker']:.0f} MiB"
        )
    write_json(args.json, {"processor": processor(), "nights": nights})


if __name__ == "__main__":
    main()
