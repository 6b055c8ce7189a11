"""Where the time of an image goes: its way through a batch, a stage at a time, in one thread."""

import os
import statistics
import time

from rbinfer._util.hashing import digest
from rbinfer.io.images import load_image
from rbinfer.io.tables import write_catalog
from rbinfer.measure.detect import detect
from rbinfer.runs.journal import Journal, Line
from rbinfer.scoring.classifier import Classifier

STAGES = ("hashing", "reading", "detection", "scoring", "writing", "noting")


def time_stages(images, folder, suffix=".ecsv", clock=time.perf_counter):
    """Take the median seconds of each stage of images.

    Parameters
    ----------
    images : sequence of Path
        The first is not counted: it has no caches.
    folder : Path
        For what is written meanwhile.
    suffix : str
        Of the format of the results.
    clock : callable
        Returns seconds.

    Returns
    -------
    dict of str to float
        By `STAGES`.
    """
    classifier = Classifier(device="cpu", threads=1)
    taken = {name: [] for name in STAGES}
    summary = {"text": "x" * 700}
    line = Line(output="a", ok=True, summary=summary, content="00", how="00", output_sha256="00")
    with Journal(folder / "stages.jsonl") as journal:
        for k, path in enumerate([images[0], *images]):
            marks = [clock()]
            digest(path)
            marks.append(clock())
            image = load_image(path)
            marks.append(clock())
            table = detect(image.pixels)
            marks.append(clock())
            scored = classifier.classify(table, image.pixels)
            marks.append(clock())
            staged = folder / f"staged{k}{suffix}"
            write_catalog(scored, staged)
            with staged.open("rb") as file:
                os.fsync(file.fileno())
            digest(staged)
            marks.append(clock())
            # In the process that starts the workers: one image after another, however many there are.
            journal.append(line)
            os.replace(staged, folder / f"result{suffix}")
            marks.append(clock())
            for name, start, end in zip(taken, marks, marks[1:], strict=False):
                if k:
                    taken[name].append(end - start)
    return {name: statistics.median(values) for name, values in taken.items()}
