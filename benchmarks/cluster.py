"""What 1,000 workers would reach at a million images, and what breaks first: from parts measured here.

    python benchmarks/cluster.py [--images N] [--workers N] [--json FILE]

Measured: the stages of an image in one process; finding and planning the images, whose headers the
system has in memory; the CPU time a task of the process that starts them and of the Dask scheduler, on a
cluster of two workers on this machine; what that process keeps of each image; merging, by nights of
growing size, of one target in three filters. The rest is arithmetic, which takes the parts to grow with
images or detections: the nights show how far that is so. A scheduler of more workers has more to do for
each task, so what it keeps busy is an upper bound. The network and the file system that images and
results are on have no part in it; what they would have to carry is stated.
"""

import argparse
import itertools
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from _cluster_parts import kept_of_images, merge_here, merging, scheduling, searching
from _common import add_json, children_import_this_checkout, processor, write_json
from _large_nights import LargeNightMaker, large_plan
from _scored_frames import ScoredFrames
from _stages import time_stages

NIGHTS = (30, 100, 300)
FRAMES = 12  # whose stages are timed
SEARCHED = 400
TASKS = 3000
KEPT = 5000


@dataclass(frozen=True)
class Parts:
    """What an image costs.

    Attributes
    ----------
    stages : dict of str to float
        Seconds by `_stages.STAGES`.
    search, client, scheduler : float
        Seconds of finding it and planning; of the process that starts tasks; of the scheduler.
    kept : float
        Bytes that the process that starts tasks keeps of it.
    file : float
        Bytes of its file.
    detections : float
    nights : list of dict
        Of merging: ``frames``, ``detections``, ``seconds``, ``bytes``, by size.
    """

    stages: dict[str, float]
    search: float
    client: float
    scheduler: float
    kept: float
    file: float
    detections: float
    nights: list[dict[str, float]]

    @property
    def worker(self) -> float:
        """Seconds that a worker is busy with it."""
        return sum(seconds for name, seconds in self.stages.items() if name != "noting")

    @property
    def further(self) -> list[dict[str, float]]:
        """Seconds and bytes of merging a further detection, from each night to the next larger one."""
        return [
            {
                what: (large[what] - small[what]) / (large["detections"] - small["detections"])
                for what in ("seconds", "bytes")
            }
            for small, large in itertools.pairwise(self.nights)
        ]


def extrapolated(parts, images, workers):
    """Return what a run of so many images on so many workers would take.

    Parameters
    ----------
    parts : Parts
    images, workers : int

    Returns
    -------
    dict
        ``hours`` by what has to be done: the longest of ``workers``, ``client`` and ``scheduler``, which
        go on at once, comes after ``search`` and before ``merging``. ``most_workers`` is an upper bound
        of those that the slower of client and scheduler keeps busy; ``busy`` is the share of time in
        which workers are; GB of memory for client and merging; GB/s of images that are read, and that
        would be read if all workers always had work. ``further`` is `Parts.further`, of which the last
        is taken.
    """
    last = parts.further[-1]
    hours = {
        "search": images * parts.search,
        "workers": images * parts.worker / workers,
        "client": images * (parts.client + parts.stages["noting"]),
        "scheduler": images * parts.scheduler,
        "merging": images * parts.detections * last["seconds"],
    }
    hours = {name: seconds / 3600 for name, seconds in hours.items()}
    at_once = max(hours[name] for name in ("workers", "client", "scheduler"))
    serial = max(hours["client"], hours["scheduler"])
    return {
        "hours": hours,
        "total_hours": hours["search"] + at_once + hours["merging"],
        "busy": hours["workers"] / at_once,
        "most_workers": hours["workers"] * workers / serial,
        "client_gb": images * parts.kept / 1e9,
        "further": parts.further,
        "merging_gb": images * parts.detections * last["bytes"] / 1e9,
        "read_gb_per_s": images * parts.file / 1e9 / (at_once * 3600),
        "read_gb_per_s_all_busy": workers * parts.file / 1e9 / parts.worker,
    }


def measured(side, clock):
    """Measure all parts, with a clock for those that are not counted in CPU time anyway."""
    plan = large_plan(side, FRAMES)
    with tempfile.TemporaryDirectory() as name:
        paths = LargeNightMaker(plan, Path(name, "images")).write()[:FRAMES]
        stages = time_stages(paths, Path(name), ".fits", clock)
        searched = Path(name, "searched")
        ScoredFrames(large_plan(side, 1), Path(name, "scored")).headers(SEARCHED, searched)
        search = searching(searched, clock)
        kept = kept_of_images(paths[0], KEPT)
        size = paths[0].stat().st_size
    client, scheduler = scheduling(TASKS)
    nights = [merging(__file__, side, n) for n in NIGHTS]
    detections = nights[-1]["detections"] / nights[-1]["frames"]
    return Parts(stages, search, client, scheduler, kept, size, detections, nights)


def show(parts, found, images, workers):
    """Print parts and what follows."""
    print("an image, milliseconds")
    for name, seconds in parts.stages.items():
        print(f"  {name:26s}{1e3 * seconds:9.2f}")
    for name in ("search", "client", "scheduler"):
        print(f"  {name:26s}{1e3 * getattr(parts, name):9.2f}")
    print(f"  detections {parts.detections:.0f}; kept by the client {parts.kept / 1e3:.1f} kB")
    print("merging, CPU time and memory")
    for night in parts.nights:
        print(
            f"  {night['frames']:5.0f} frames, {night['detections']:9,.0f} detections: "
            f"{night['seconds']:7.1f} s, {night['bytes'] / 1e6:6.0f} MB"
        )
    for each in parts.further:
        print(f"    a further detection: {1e6 * each['seconds']:.1f} us, {each['bytes']:.0f} bytes")
    print(f"\n{images:,} images, {workers:,} workers")
    for name, hours in found["hours"].items():
        print(f"  {name:26s}{hours:9.2f} h")
    print(f"  {'in all':26s}{found['total_hours']:9.2f} h")
    print(f"  workers are busy {found['busy']:.0%}; at most {found['most_workers']:,.0f} would be")
    rates = (found[f"read_gb_per_s{of}"] for of in ("", "_all_busy"))
    print("  images read {:.1f} GB/s, with all workers busy {:.1f} GB/s".format(*rates))
    print(f"  memory of the client {found['client_gb']:.1f} GB, of merging {found['merging_gb']:.0f} GB")


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="for a machine that others use too: stages are in CPU time, so disks have no part in them",
    )
    parser.add_argument("--merge", type=int, help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.merge:
        merge_here(large_plan(options.side, 1), options.merge)
        return 0
    children_import_this_checkout()
    print(processor())
    parts = measured(options.side, time.process_time if options.cpu_time else time.perf_counter)
    found = extrapolated(parts, options.images, options.workers)
    show(parts, found, options.images, options.workers)
    report = {
        "processor": processor(),
        "side": options.side,
        "images": options.images,
        "workers": options.workers,
        "cpu_time": options.cpu_time,
        "parts": asdict(parts),
        "extrapolated": found,
    }
    write_json(options.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
