"""Where the time goes when an image comes without a catalogue.

    python benchmarks/detection.py [--image FILE] [--repeats N] [--json FILE]

The stages of ``rbinfer classify IMAGE``, by the calls that it makes: read, detect, measure the FWHM,
score. Within the detection, SEP's own background and extraction are timed where they are called; the
rest of it is ours. The image is made here (2048 x 2048, 2,000 stars) unless one is given. Before
anything is timed, the stages must give the scores of the whole.
"""

import argparse
import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import sep
from _common import add_json, processor, verdict, write_json

from rbinfer._util.machine import usable_cpus
from rbinfer.diagnostics.bench import FRAME, make_scene, write_files
from rbinfer.io.images import load_image
from rbinfer.measure.detect import detect
from rbinfer.measure.estimate import measure_width
from rbinfer.scoring.classifier import Classifier

#: What SEP does, and what is done about it here.
SEPS = ("background", "extraction")
OURS = ("rest of the detection", "FWHM", "score")
SHARE = 0.5


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


class TimedBackground:
    """A SEP background whose making and maps are timed."""

    def __init__(self, clock, made):
        self._made, self.globalrms = made, made.globalrms
        self.back, self.rms = (clock.timed(f, "background") for f in (made.back, made.rms))


@contextmanager
def timed_sep(clock):
    """Time SEP's background and extraction wherever they are called."""
    background, extract = sep.Background, sep.extract

    def make(*args, **kwargs):
        with clock.stage("background"):
            made = background(*args, **kwargs)
        return TimedBackground(clock, made)

    with (
        mock.patch.object(sep, "Background", make),
        mock.patch.object(sep, "extract", clock.timed(extract, "extraction")),
    ):
        yield


def in_stages(path, classifier, clock):
    """Do what ``rbinfer classify`` does, a stage at a time; returns the scored table."""
    with clock.stage("read"):
        image = load_image(path)
    with timed_sep(clock), clock.stage("detection"):
        table = detect(image.pixels, mask=image.mask)
    seps = sum(clock.seconds[name] for name in SEPS)
    clock.seconds["rest of the detection"] = clock.seconds.pop("detection") - seps
    with clock.stage("FWHM"):
        width = measure_width(image, table)
    with clock.stage("score"):
        return classifier.classify(table, image, fwhm=width.fwhm)


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
    print(f"{processor()}, {usable_cpus()} CPUs; SEP {sep.__version__}")
    with TemporaryDirectory() as folder:
        path = options.image or write_files(make_scene(*FRAME), Path(folder))[0]
        runs, together, detections = measure(path, options.repeats)
    stages = {name: statistics.median(run[name] for run in runs) for name in ("read", *SEPS, *OURS)}
    total = sum(stages.values())
    print(f"medians of {options.repeats} runs")
    for name, seconds in stages.items():
        whose = "SEP" if name in SEPS else "ours" if name in OURS else "Astropy"
        print(f"  {name:24s} {seconds * 1e3:9.1f} ms {seconds / total:6.1%}  {whose}")
    print(
        f"  {'together':24s} {total * 1e3:9.1f} ms; at once {statistics.median(together) * 1e3:.1f} ms"
    )
    share = sum(stages[n] for n in OURS) / sum(stages[n] for n in SEPS)
    verdict("our share / SEP's", share, SHARE, below=True)
    report = {
        "cpu": processor(),
        "cpus": usable_cpus(),
        "sep": sep.__version__,
        "repeats": options.repeats,
        "image": options.image.name if options.image else "simulated",
        "detections": detections,
        "median_s": stages,
        "at_once_s": statistics.median(together),
        "ours_over_sep": share,
    }
    write_json(options.json, report)


if __name__ == "__main__":
    main()
