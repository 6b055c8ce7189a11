"""Images a second of `rbinfer batch` with one worker and with two, and what bounds more of them.

    python benchmarks/batch.py [--images N] [--side S] [--objects N] [--repeats R] [--json FILE]

Simulated images on disk, read from the page cache, sources detected by SEP. Before anything is timed,
the results of one worker, of two and of `Classifier` without a batch must be the same to the last bit.
The rate is that from when each worker had done an image to the last, so starting is told apart.
"""

import argparse
import json
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from _common import add_json, alternate, children_import_this_checkout, processor, verdict, write_json
from _stages import time_stages

from rbinfer._util.machine import usable_cpus
from rbinfer.diagnostics.bench import make_scene
from rbinfer.io.tables import read_catalog
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.runs.batch import run_batch
from rbinfer.scoring.classifier import Classifier

WORKERS = (1, 2)
TARGET = 0.85  # of the rate of one worker, twice
OPTIONS = ScoreOptions(device="cpu")


def make_images(folder, count, side, objects):
    """Write the images; returns the bytes of one."""
    from astropy.io import fits

    for k in range(count):
        fits.writeto(folder / f"{k:05d}.fits", make_scene(side, objects, k).image)
    return (folder / "00000.fits").stat().st_size


def run(images, folder, workers):
    """Run a batch in a new directory; returns that."""
    out = Path(tempfile.mkdtemp(dir=folder))
    report = run_batch(images, out, options=OPTIONS, workers=workers)
    if report.failed:
        sys.exit(f"{report.failed[0].image}: {report.failed[0].error}; nothing was timed")
    return out, report


def check_same(images, folder):
    """Stop unless the results of all numbers of workers, and of none, are the same."""
    results = {}
    for workers in WORKERS:
        out, _ = run(images, folder, workers)
        results[workers] = {path.name: path.read_bytes() for path in sorted(out.glob("*.ecsv"))}
        if results[workers] != results[WORKERS[0]]:
            sys.exit(f"results of {workers} workers differ from those of one; nothing was timed")
    classifier = Classifier(device="cpu")
    for image in sorted(images.iterdir())[:3]:
        direct = score_file(str(image), None, OPTIONS, classifier).table["rb_score"]
        if read_catalog(out / f"{image.stem}.ecsv")["rb_score"].tobytes() != direct.tobytes():
            sys.exit(f"scores of {image} differ from those of Classifier; nothing was timed")
    print(f"{len(results[1])} results, identical with {' and '.join(map(str, WORKERS))} workers")


def figures(out, report, workers):
    """Take the figures of a run from its journal."""
    lines = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
    ends = [datetime.fromisoformat(line["finished"]).timestamp() for line in lines]
    # From when each has done one: before that some were still starting.
    seen = [line["worker"] for line in lines]
    first = max(seen.index(worker) for worker in set(seen)) if len(set(seen)) == workers else None
    if first is None or first + 2 >= len(lines):
        sys.exit(f"{len(lines)} images are too few for {workers} workers; give more (--images)")
    seconds = [line["seconds"] for line in lines[first + 1 :]]
    span = ends[-1] - ends[first]
    return {
        "seconds": report.seconds,
        "rate": len(seconds) / span,
        "each": statistics.median(seconds),
        "busy": min(sum(seconds) / (workers * span), 1.0),
    }


def time_workers(images, folder, repeats):
    """Medians of the figures of runs in turns."""
    found = {workers: [] for workers in WORKERS}

    def one(workers):
        found[workers].append(figures(*run(images, folder, workers), workers))

    alternate({workers: (lambda workers=workers: one(workers)) for workers in WORKERS}, repeats)
    # The first of each is not counted.
    return [
        {
            "workers": workers,
            **{key: statistics.median(row[key] for row in rows[1:]) for key in rows[0]},
        }
        for workers, rows in found.items()
    ]


def show(rows, stages, size):
    """Print the table, the shares and the bounds; returns the latter."""
    print("\nworkers   images/s   s each   busy   whole run")
    for row in rows:
        print(
            f"{row['workers']:7d} {row['rate']:10.2f} {row['each']:8.3f} {row['busy']:6.1%} "
            f"{row['seconds']:9.2f} s"
        )
    one, two = rows
    total = sum(stages.values())
    print("\nwhere the time of an image goes, one process and thread")
    for name, seconds in stages.items():
        print(f"  {name:10s} {1e3 * seconds:8.2f} ms {seconds / total:6.1%}")
    result = {
        "efficiency": two["rate"] / (two["workers"] * one["rate"]),
        "slower_each": two["each"] / one["each"],
        "most_images_per_s_by_journal": 1 / stages["noting"],
        "workers_at_journal_limit": 1 / stages["noting"] / one["rate"],
        "read_mb_per_s_each": size * one["rate"] / 1e6,
    }
    print()
    verdict("efficiency of two workers: rate / twice that of one", result["efficiency"], TARGET)
    print(f"  an image takes {result['slower_each']:.2f} times as long beside another (caches, memory)")
    print(f"  workers are busy {two['busy']:.1%} of the time; the rest they wait for images")
    print(
        f"  bounds beyond: each worker reads {result['read_mb_per_s_each']:.0f} MB/s of images; noting, "
        f"one after another, ends at {result['most_images_per_s_by_journal']:.0f} images/s, "
        f"{result['workers_at_journal_limit']:.0f} such workers"
    )
    return result


def main():
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the images go for the time being")
    add_json(parser)
    options = parser.parse_args()
    children_import_this_checkout()
    print(f"{processor()}, {usable_cpus()} CPUs")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, images = Path(name), Path(name, "images")
        images.mkdir()
        size = make_images(images, options.images, options.side, options.objects)
        print(
            f"{options.images} images of {options.side} x {options.side}, {size / 1e6:.1f} MB, "
            f"{options.objects} objects each; medians of {options.repeats} runs in turns"
        )
        check_same(images, folder)
        rows = time_workers(images, folder, options.repeats)
        stages = time_stages(sorted(images.iterdir())[: min(options.images, 20)], folder)
        bounds = show(rows, stages, size)
    report = {
        "cpu": processor(),
        "cpus": usable_cpus(),
        "images": options.images,
        "side": options.side,
        "objects": options.objects,
        "repeats": options.repeats,
        "workers": rows,
        "stages": stages,
        **bounds,
    }
    write_json(options.json, report)


if __name__ == "__main__":
    main()
