"""Where the time goes when an image comes without a catalogue.

    python benchmarks/detection.py [--image FILE] [--repeats N] [--json FILE]

The stages of ``rbinfer classify IMAGE``, by the calls that it makes: read, detect, measure the FWHM,
score; and those of the detection. The image is made here (2048 x 2048, 2,000 stars) unless one is given.
Before anything is timed, the stages must give the scores of the whole. ``pixels.py`` has SEP and others
beside it.
"""

import argparse
import statistics
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
from _common import add_json, processor, write_json

from rbinfer._util.machine import usable_cpus
from rbinfer.diagnostics.bench import FRAME, make_scene, write_files
from rbinfer.io.images import load_image
from rbinfer.measure import islands
from rbinfer.measure.detect import detect
from rbinfer.measure.estimate import measure_width
from rbinfer.scoring.classifier import Classifier

#: Steps of the detection, and the functions that take them.
STEPS = {
    "background": "measure_sky",
    "one walk": "_walk",
    "islands": "without_floods",
    "shapes": "_measure",
    "wings": "_without_wings",
}
STAGES = ("read", *STEPS, "rest of the detection", "FWHM", "score")


class Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def stage(self, name):
        """Add what the block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def timed(self, function, name):
        """Return the function, timed."""

        def call(*args, **kwargs):
            with self.stage(name):
                return function(*args, **kwargs)

        return call


@contextmanager
def timed_steps(clock):
    """Time the steps of the detection where they are taken."""
    with ExitStack() as patches:
        for name, function in STEPS.items():
            timed = clock.timed(getattr(islands, function), name)
            patches.enter_context(mock.patch.object(islands, function, timed))
        yield


def in_stages(path, classifier, clock):
    """Do what ``rbinfer classify`` does, a stage at a time; returns the scored table."""
    with clock.stage("read"):
        image = load_image(path)
    with timed_steps(clock), clock.stage("detection"):
        table = detect(image.pixels, mask=image.mask)
    steps = sum(clock.seconds[name] for name in STEPS)
    clock.seconds["rest of the detection"] = clock.seconds.pop("detection") - steps
    with clock.stage("FWHM"):
        image = replace(image, width=measure_width(image, table))
    with clock.stage("score"):
        return classifier.classify(table, image)


def at_once(path, classifier):
    """Do what ``rbinfer classify`` does."""
    image = load_image(path)
    table = detect(image.pixels, mask=image.mask)
    return classifier.classify(table, image)


def measure(path, repeats):
    """Check, then time; returns seconds by stage of each run, and those of the whole."""
    classifier = Classifier(device="cpu")
    staged, whole = in_stages(path, classifier, Clock()), at_once(path, classifier)
    if len(staged) == 0 or not np.array_equal(staged["rb_score"], whole["rb_score"], equal_nan=True):
        sys.exit("the stages do not give the scores of the whole; nothing was timed")
    print(
        f"{len(whole):,} detections, FWHM {whole.meta['rb_fwhm']:.2f} px "
        f"({whole.meta['rb_fwhm_source']}); scores of stages and whole are the same"
    )
    runs, together = [], []
    for _ in range(repeats):
        clock = Clock()
        in_stages(path, classifier, clock)
        runs.append(clock.seconds)
        start = time.perf_counter()
        at_once(path, classifier)
        together.append(time.perf_counter() - start)
    return runs, together, len(whole)


def main():
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="FITS image; a simulated one by default")
    parser.add_argument("--repeats", type=int, default=9)
    add_json(parser)
    options = parser.parse_args()
    print(f"{processor()}, {usable_cpus()} CPUs")
    with TemporaryDirectory() as folder:
        path = options.image or write_files(make_scene(*FRAME), Path(folder))[0]
        runs, together, detections = measure(path, options.repeats)
    stages = {name: statistics.median(run[name] for run in runs) for name in STAGES}
    total = sum(stages.values())
    print(f"medians of {options.repeats} runs")
    for name, seconds in stages.items():
        print(f"  {name:24s} {seconds * 1e3:9.1f} ms {seconds / total:6.1%}")
    print(
        f"  {'together':24s} {total * 1e3:9.1f} ms; at once {statistics.median(together) * 1e3:.1f} ms"
    )
    report = {
        "cpu": processor(),
        "cpus": usable_cpus(),
        "repeats": options.repeats,
        "image": options.image.name if options.image else "simulated",
        "detections": detections,
        "median_s": stages,
        "at_once_s": statistics.median(together),
    }
    write_json(options.json, report)


if __name__ == "__main__":
    main()
