"""How the cost of scoring grows with objects and with the image, and the peak memory; with a plot.

    python benchmarks/scaling.py [--quick] [--json FILE] [--plot FILE]

Default network, FWHM given, image and positions in memory. Before anything is timed, scores must be the
same to the last bit for 1, 2 and 3 threads, for positions asked for in parts or in another order, and
for other numbers of rows that a worker takes. The peak memory is that of a fresh process.
"""

import argparse
import sys
from pathlib import Path
from unittest import mock

import numpy as np
from _common import (
    add_json,
    alternate,
    children_import_this_checkout,
    medians,
    processor,
    verdict,
    write_json,
)

from rbinfer._util.machine import usable_cpus
from rbinfer.diagnostics.bench import FWHM, make_scene, measure_memory
from rbinfer.scoring import engine
from rbinfer.scoring.classifier import Classifier

OBJECTS = (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
SIDES = (1024, 2048, 4096, 8192)
SIDE, N = 4096, 20_000  # of the image where the objects vary, and objects where the image does
MEMORY_LIMIT = 150e6
# Seconds an object, at most, over the middle of the range or the smallest image.
OBJECTS_LIMIT, SIDES_LIMIT = 1.2, 1.5


def score(classifier, scene, rows=slice(None)):
    """Score some rows of a scene."""
    return classifier.score(scene.image, scene.x[rows], scene.y[rows], fwhm=FWHM)


def check_bits():
    """Stop unless threads, parts, order and chunks leave every bit as it was."""
    scene = make_scene(1024, 3000)
    expected = score(Classifier(device="cpu", threads=1), scene)
    found = {f"{n} threads": score(Classifier(device="cpu", threads=n), scene) for n in (2, 3)}
    two = Classifier(device="cpu", threads=2)
    for size in (1, 7, 100, 1000):
        last = 200 if size == 1 else 3000
        parts = [score(two, scene, slice(i, min(i + size, last))) for i in range(0, last, size)]
        found[f"calls of {size} rows"] = type(expected)(
            *(np.concatenate(column) for column in zip(*parts, strict=True))
        )
    for rows in (32, 96, 2048):
        parts = [slice(start, start + rows) for start in range(0, len(scene.x), rows)]
        with mock.patch.object(engine, "tasks", lambda *_, parts=parts: parts):
            found[f"tasks of {rows} rows"] = score(two, scene)
    order = np.random.default_rng(0).permutation(3000)
    mixed = score(two, scene, order)
    found["another order"] = type(expected)(*(column[np.argsort(order)] for column in mixed))
    for name, result in found.items():
        for got, wanted in zip(result, expected, strict=True):
            if got.tobytes() != wanted[: len(got)].tobytes():
                sys.exit(f"{name}: scores are not the same to the last bit; nothing was timed")
    print(f"bit-identical to one thread and one call: {', '.join(found)}")
    return list(found)


def by_objects(counts, repeats):
    """Seconds a call for numbers of objects on one image."""
    classifier, scene = Classifier(device="cpu"), make_scene(SIDE, max(counts))
    taken = alternate({n: (lambda n=n: score(classifier, scene, slice(n))) for n in counts}, repeats)
    return [{"objects": n, "side": SIDE, "seconds": s} for n, s in medians(taken).items()]


def by_side(sides, repeats):
    """Seconds a call for sides of the image, with the same number of objects."""
    classifier, actions = Classifier(device="cpu"), {}
    for side in sides:
        scene = make_scene(side, N)
        actions[side] = lambda scene=scene: score(classifier, scene)
    taken = alternate(actions, repeats)
    return [{"objects": N, "side": side, "seconds": s} for side, s in medians(taken).items()]


def show(rows):
    """Print seconds, objects a second and microseconds an object."""
    for row in rows:
        each = row["seconds"] / row["objects"]
        print(
            f"  {row['side']:5d} x {row['side']:<5d} {row['objects']:9,d} objects "
            f"{row['seconds']:9.4f} s {1 / each:10,.0f} objects/s {1e6 * each:7.2f} us each"
        )


def judge(objects, sides):
    """Say whether the cost is linear in objects and nearly flat in the image."""
    each = {row["objects"]: row["seconds"] / row["objects"] for row in objects}
    middle = min(each, key=lambda n: abs(n - 10_000))
    many = np.log([row["objects"] for row in objects if row["objects"] >= middle])
    slow = np.log([row["seconds"] for row in objects if row["objects"] >= middle])
    result = {
        "cost_each_most_over_middle": each[max(each)] / each[middle],
        "slope": float(np.polyfit(many, slow, 1)[0]) if len(many) > 1 else None,
        "cost_largest_over_smallest_image": sides[-1]["seconds"] / sides[0]["seconds"],
    }
    print("\ngrowth")
    verdict(
        f"cost of each of {max(each):,} objects / of {middle:,}",
        result["cost_each_most_over_middle"],
        OBJECTS_LIMIT,
        below=True,
    )
    if result["slope"] is not None:
        print(f"  log-log slope from {middle:,} objects on: {result['slope']:.3f} (1 is linear)")
    verdict(
        f"cost on {sides[-1]['side']} squared / on {sides[0]['side']} squared",
        result["cost_largest_over_smallest_image"],
        SIDES_LIMIT,
        below=True,
    )
    return result


def judge_memory(memory):
    """Print the peak memory of the child and what it is made of."""
    print(
        f"\npeak memory of a fresh process, {memory['positions']:,} positions on "
        f"{memory['side']} x {memory['side']}"
    )
    for key, text in (
        ("baseline", "after imports, with the model loaded and a few scored"),
        ("image", "image"),
        ("input", "positions given"),
        ("output", "scores, status and classes returned"),
        ("before", "when the scoring began"),
        ("peak", "peak"),
        ("files", "of it pages of library files"),
    ):
        print(f"  {text:62s} {memory[key] / 1e6:8.1f} MB")
    verdict(
        "peak beyond image, output and baseline",
        memory["beyond_baseline"] / 1e6,
        MEMORY_LIMIT / 1e6,
        " MB",
        below=True,
    )
    verdict(
        "peak beyond image and output, without pages of files",
        memory["beyond_own"] / 1e6,
        MEMORY_LIMIT / 1e6,
        " MB",
        below=True,
    )
    verdict(
        "peak beyond image and output, all included",
        memory["beyond"] / 1e6,
        MEMORY_LIMIT / 1e6,
        " MB",
        below=True,
    )


def plot(objects, sides, path):
    """Draw both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    n = np.array([row["objects"] for row in objects])
    seconds = np.array([row["seconds"] for row in objects])
    left.loglog(n, seconds, "o-", label="Classifier.score")
    left.loglog(n, n * seconds[-1] / n[-1], ":", color="0.5", label="linear")
    left.set(xlabel="objects", ylabel="seconds a call", title=f"{SIDE} x {SIDE} image")
    left.legend()
    side = [row["side"] for row in sides]
    each = [1e6 * row["seconds"] / row["objects"] for row in sides]
    right.semilogx(side, each, "o-", base=2)
    right.set_xticks(side, [str(s) for s in side])
    right.set(
        xlabel="side of the image (pixels)",
        ylabel="microseconds an object",
        title=f"{N:,} objects",
        ylim=(0, 1.2 * max(each)),
    )
    figure.suptitle(f"{processor()}, {usable_cpus()} CPUs", fontsize="small")
    figure.savefig(path, dpi=120)
    print(f"\ndrawn: {path}")


def main():
    """Check, time, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="to 100,000 objects and 4096 squared")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, default=Path("scaling.png"))
    add_json(parser)
    options = parser.parse_args()
    children_import_this_checkout()
    counts, sides = (OBJECTS[:5], SIDES[:3]) if options.quick else (OBJECTS, SIDES)
    print(f"{processor()}, {usable_cpus()} CPUs")
    same = check_bits()
    print(f"medians of {options.repeats} runs in turns")
    objects = by_objects(counts, options.repeats)
    show(objects)
    images = by_side(sides, options.repeats)
    show(images)
    growth = judge(objects, images)
    memory = measure_memory(counts[-1], SIDE, device="cpu")
    judge_memory(memory)
    plot(objects, images, options.plot)
    report = {
        "cpu": processor(),
        "cpus": usable_cpus(),
        "repeats": options.repeats,
        "bit_identical": same,
        "by_objects": objects,
        "by_side": images,
        "growth": growth,
        "memory": memory,
    }
    write_json(options.json, report)


if __name__ == "__main__":
    main()
