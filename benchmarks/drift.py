"""How soon drift is noticed, what is named as its cause, and how often good nights give an alarm.

    python benchmarks/drift.py [--cameras N] [--nights N] [--seed S] [--rows FOLDER] [--json FILE]

Simulated nights of up to ten cameras. Seeing, sky and transparency wander, three targets of different
density lie at different airmass, and there are three filters; the headers of every other camera note
target and airmass. Three other nights of a camera are its reference. Faults begin after 5 good frames,
and those of one filter are counted in its frames. By default there are 3,000 good frames: without an
alarm in so many there is at most one in a thousand (95 %). What is measured of the frames is kept in
FOLDER, if one is given: what was interrupted goes on, and other rules are tried in seconds. The
constants of `rbinfer.diagnostics.drift` were chosen on the seeds of `CHOSEN_ON` and on figures drawn by
the same laws; the results are of another.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from _common import add_json, processor, write_json
from _drift_frames import FAULTS, FILTERS, ChangingNight, Fault
from tqdm import tqdm

from rbinfer.diagnostics.drift.distances import doubt_distance
from rbinfer.diagnostics.drift.expected import Record, Reference
from rbinfer.diagnostics.drift.frames import FrameFigures
from rbinfer.diagnostics.drift.monitor import find_alarms
from rbinfer.io.camera import camera_of
from rbinfer.model.registry import resolve
from rbinfer.model.session import read_spec
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file

#: Seeds of the nights on which the limits were chosen.
CHOSEN_ON = "2, 3, 29 and, in part, 31"
REFERENCE, REFERENCES, GOOD, BEFORE, FAULTY = 45, 3, 60, 5, 6
#: Causes that are right, by the first word of a fault.
RIGHT = {
    "defocus": {"focus", "no_stars"},
    "tracking": {"tracking", "no_stars"},
    "hot": {"hot_pixels"},
    "light": {"light"},
    "gain": {"gain"},
    "clouds": {"clouds", "no_stars"},
}


@dataclass(frozen=True)
class Job:
    """A night to be simulated: its name, seed and camera, and how many good frames and which fault."""

    name: str
    seed: int
    camera: int
    n_good: int
    fault: str | None = None

    @property
    def n_faulty(self):
        if self.fault is None:
            return 0
        return FAULTY if FAULTS[self.fault].only is None else FAULTY * len(FILTERS)


@dataclass(frozen=True)
class Simulated:
    """The figures of a night's frames, which of them a satellite crosses, and its camera."""

    frames: list[FrameFigures]
    crossed: set[str]
    camera: int

    @property
    def tells(self):
        """Whether its headers note target and airmass."""
        return bool(self.frames[0].target)


@lru_cache(maxsize=1)
def scorer():
    options = ScoreOptions(device="cpu", threads=1)
    return options, options.classifier()


def measured(job):
    """Return what is measured of the frames of a night, as plain values."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        maker, path = ChangingNight(job.seed, job.camera, folder), Path(folder) / "frame.fits"
        for k in range(job.n_good + job.n_faulty):
            is_crossed = maker.frame(Fault() if k < job.n_good else FAULTS[job.fault], path)
            found = score_file(str(path), None, *scorer())
            camera = camera_of([found.image.header], found.image.shape)
            name = f"{maker.number:03d}.fits"
            rows.append(
                {"image": name, "camera": camera, "summary": found.summary, "crossed": is_crossed}
            )
    return rows


def night_of(job, folder):
    """Return a night, measured now or before."""
    kept = None if folder is None else folder / f"{job.name}.json"
    if kept is not None and kept.is_file():
        rows = json.loads(kept.read_text())
    else:
        rows = measured(job)
        if kept is not None:
            part = kept.with_suffix(".part")
            part.write_text(json.dumps(rows))
            part.replace(kept)
    frames = [FrameFigures.of(row["image"], row["camera"], row["summary"]) for row in rows]
    return Simulated(frames, {row["image"] for row in rows if row["crossed"]}, job.camera)


def record():
    """Return what the default model was measured on."""
    spec = read_spec(resolve(None))
    scores = spec.readings[0].scores
    return Record(np.array([scores["real"], scores["bogus"]]), spec.fwhm_range)


def false_alarms(nights, expectations):
    """Count alarms in good nights, but for satellites that did cross."""
    n = sum(len(night.frames) for night in nights)
    causes, told = Counter(), 0
    for night in nights:
        for alarm in find_alarms(night.frames, expectations[night.camera])[0]:
            if alarm.cause.name == "trail" and set(alarm.images) <= night.crossed:
                told += 1
            else:
                causes[alarm.cause.name] += 1
    total = sum(causes.values())
    return {
        "frames": n,
        "false alarms": total,
        "per 1,000 frames": 1000 * total / n,
        "at most (95 %)": 1000 * poisson_limit(total) / n,
        "causes": dict(causes),
        "satellites": sum(len(night.crossed) for night in nights),
        "of which told": told,
    }


def poisson_limit(n):
    """Return the rate that would give n or fewer in 5 % of cases."""
    from scipy.stats import chi2

    return 0.5 * float(chi2.ppf(0.95, 2 * (n + 1)))


def caught(name, nights, expectations):
    """Return after how many frames a fault was noticed, and whether its cause was named."""
    delays, named, causes, before = [], 0, Counter(), 0
    for night in nights:
        only = FAULTS[name].only
        shown = [f for f in night.frames[BEFORE:] if only is None or f.camera.endswith(f"filter {only}")]
        faulty = {frame.image: k + 1 for k, frame in enumerate(shown)}
        alarms, _ = find_alarms(night.frames, expectations[night.camera])
        of_fault = [alarm for alarm in alarms if alarm.images[-1] in faulty]
        before += len(alarms) - len(of_fault)
        if of_fault:
            delays.append(faulty[of_fault[0].images[-1]])
            causes.update(alarm.cause.name for alarm in of_fault)
            named += any(
                alarm.cause.name in RIGHT[name.replace(",", "").split()[0]] for alarm in of_fault
            )
    return {
        "nights": len(nights),
        "within 5 frames": sum(delay <= 5 for delay in delays),
        "median frames": float(np.median(delays)) if delays else None,
        "cause named": named,
        "causes": dict(causes),
        "other alarms": before,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--nights", type=int, default=5, help="good nights of each")
    parser.add_argument("--seed", type=int, default=37)
    parser.add_argument("--rows", type=Path, help="folder for what is measured of the frames")
    add_json(parser)
    args = parser.parse_args()
    if args.rows is not None:
        args.rows.mkdir(parents=True, exist_ok=True)
    good, references, faulty = simulated(args.seed, args.cameras, args.nights, args.rows)
    report = {"processor": processor(), "seed": args.seed, "cameras": args.cameras}
    report["chosen_on"] = CHOSEN_ON
    one, three = ({c: reference_of(each[:n]) for c, each in references.items()} for n in (1, None))
    for name, expectations in (
        ("against three nights", three),
        ("against one night", one),
        ("against the model's record", dict.fromkeys(range(args.cameras), record())),
    ):
        report[name] = {
            "good nights": false_alarms(good, expectations),
            "faults": {fault: caught(fault, nights, expectations) for fault, nights in faulty.items()},
        }
    telling = {fault: [n for n in nights if n.tells] for fault, nights in faulty.items()}
    report["against three nights, headers with target and airmass"] = {
        "good nights": false_alarms([night for night in good if night.tells], three),
        "faults": {fault: caught(fault, nights, three) for fault, nights in telling.items()},
    }
    report["how much more in doubt good frames are than the model's record"] = distances(good, record())
    show(report)
    write_json(args.json, report)


def reference_of(nights):
    """Return what several nights lead to expect, a day between each."""
    return Reference(
        replace(frame, time=frame.time + timedelta(days=k))
        for k, night in enumerate(nights)
        for frame in night.frames
    )


def simulated(seed, n_cameras, n_nights, folder):
    """Return good nights, the nights of a reference by camera, and nights by their fault.

    Each camera has one night with each fault.
    """
    cameras = range(n_cameras)
    references = [
        Job(f"ref-{camera}-{k}", 500_000 + 1000 * seed + k, camera, REFERENCE)
        for camera in cameras
        for k in range(REFERENCES)
    ]
    faulty = [
        Job(f"fault-{slug(name)}-{camera}", 900_000 + 1000 * seed + camera, camera, BEFORE, name)
        for camera in cameras
        for name in FAULTS
    ]
    numbers = [camera + 10 * k for k in range(n_nights) for camera in cameras]
    good = [Job(f"good-{k}", 1000 * seed + k, k % 10, GOOD) for k in numbers]
    jobs = references + faulty + good
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        nights = dict(
            zip(jobs, tqdm(pool.map(night_of, jobs, repeat(folder)), total=len(jobs)), strict=True)
        )
    by_camera = {c: [nights[job] for job in references if job.camera == c] for c in cameras}
    by_fault = {name: [nights[job] for job in faulty if job.fault == name] for name in FAULTS}
    return [nights[job] for job in good], by_camera, by_fault


def slug(name):
    return name.replace(" ", "_").replace(",", "").replace("%", "pct")


def distances(nights, expectation):
    """Return quantiles of `doubt_distance` between good frames and the model's record."""
    found = [
        doubt_distance(frame.scores, expectation.shares) for night in nights for frame in night.frames
    ]
    quantiles = (0.5, 0.9, 0.99, 0.999)
    return {str(q): float(v) for q, v in zip(quantiles, np.quantile(found, quantiles), strict=True)}


def show(report):
    for against, part in report.items():
        if not against.startswith("against"):
            continue
        print(against)
        print("  good nights:", part["good nights"])
        for name, figures in part["faults"].items():
            print(f"  {name:38s}", figures)
    print("how much more in doubt good frames are than the model's record:")
    print(" ", report["how much more in doubt good frames are than the model's record"])


if __name__ == "__main__":
    main()
