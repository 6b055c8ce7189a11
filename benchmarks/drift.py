"""How soon drift is noticed, what is named as its cause, and how often good nights give an alarm.

    python benchmarks/drift.py [--nights N] [--seed S] [--json FILE]

Simulated nights of one camera whose seeing, sky and transparency wander, with three fields of different
density and two filters each; another such night is the reference. Faults begin after 20 good frames. The
constants of `rbinfer.diagnostics.drift` were chosen with ``--seed 1``; the results are of another seed.
"""

import argparse
import os
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from _common import add_json, processor, write_json
from _drift_frames import FAULTS, ChangingNight, Fault

from rbinfer.diagnostics.drift.expected import Record, Reference, score_distance
from rbinfer.diagnostics.drift.frames import FrameFigures
from rbinfer.diagnostics.drift.monitor import find_alarms
from rbinfer.io.camera import camera_of
from rbinfer.model.registry import resolve
from rbinfer.model.session import read_spec
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file

REFERENCE, GOOD, BEFORE, FAULTY = 60, 60, 20, 8
#: Causes that are right, by the first word of a fault.
RIGHT = {
    "defocus": {"focus", "no_stars"},
    "tracking": {"tracking", "no_stars"},
    "hot": {"hot_pixels"},
    "light": {"light"},
    "gain": {"gain"},
    "clouds": {"clouds", "no_stars"},
}


@lru_cache(maxsize=1)
def scorer():
    options = ScoreOptions(device="cpu", threads=1)
    return options, options.classifier()


def scored(maker, fault, path):
    """Write the next frame of a night and return its figures, and whether a satellite crosses it."""
    is_crossed = maker.frame(fault, path)
    found = score_file(str(path), None, *scorer())
    name = f"{maker.number:03d}.fits"
    return FrameFigures.of(
        name, camera_of([found.image.header], found.image.shape), found.summary
    ), is_crossed


def frames_of(job):
    """Return the figures of the frames of a night, and which a satellite crosses."""
    seed, camera, fault, n = job
    with tempfile.TemporaryDirectory() as folder:
        maker = ChangingNight(seed, camera, folder)
        path = Path(folder) / "frame.fits"
        good = BEFORE if fault is not None else n
        found = [scored(maker, Fault(), path) for _ in range(good)]
        if fault is not None:
            found += [scored(maker, fault, path) for _ in range(FAULTY)]
    frames, crossed = zip(*found, strict=True)
    return list(frames), {
        frame.image for frame, is_crossed in zip(frames, crossed, strict=True) if is_crossed
    }


def record():
    """Return what the default model was measured on."""
    spec = read_spec(resolve(None))
    scores = spec.reading(None).scores if spec.reading(None) else spec.readings[0].scores
    return Record(np.array([scores["real"], scores["bogus"]]), spec.fwhm_range)


def false_alarms(nights, expectations):
    """Count alarms in good nights, but for satellites that did cross."""
    n = sum(len(frames) for frames, _ in nights)
    causes, crossings, told = Counter(), 0, 0
    for (frames, crossed), expectation in zip(nights, expectations, strict=True):
        crossings += len(crossed)
        for alarm in find_alarms(frames, expectation)[0]:
            if alarm.cause.name == "trail" and set(alarm.images) <= crossed:
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
        "satellites": crossings,
        "of which told": told,
    }


def poisson_limit(n):
    """Return the rate that would give n or fewer in 5 % of cases."""
    from scipy.stats import chi2

    return 0.5 * float(chi2.ppf(0.95, 2 * (n + 1)))


def caught(name, nights, expectations):
    """Return after how many frames a fault was noticed, and whether its cause was named."""
    delays, named, causes = [], 0, Counter()
    for (frames, _), expectation in zip(nights, expectations, strict=True):
        faulty = {frame.image: k + 1 for k, frame in enumerate(frames[BEFORE:])}
        alarms, _ = find_alarms(frames, expectation)
        of_fault = [alarm for alarm in alarms if alarm.images[-1] in faulty]
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
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=50)
    parser.add_argument("--faulty", type=int, default=10, help="nights with each fault")
    parser.add_argument("--seed", type=int, default=2)
    add_json(parser)
    args = parser.parse_args()
    seeds = [1000 * args.seed + k for k in range(args.nights)]
    jobs = [(seed, seed % 10, None, n) for seed in seeds for n in (GOOD,)]
    references = [(500_000 + seed, seed % 10, None, REFERENCE) for seed in seeds]
    faults = [
        (900_000 + seed, seed % 10, fault, 0)
        for fault in FAULTS.values()
        for seed in seeds[: args.faulty]
    ]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = list(pool.map(frames_of, jobs + references + faults))
    good, of_reference, faulty = (
        found[: len(jobs)],
        found[len(jobs) : 2 * len(jobs)],
        found[2 * len(jobs) :],
    )
    by_night = [Reference(frames) for frames, _ in of_reference]
    by_model = [record()] * len(good)
    report = {
        "processor": processor(),
        "seed": args.seed,
        "against a reference night": {
            "good nights": false_alarms(good, by_night),
            "faults": {
                name: caught(
                    name, faulty[k * args.faulty : (k + 1) * args.faulty], by_night[: args.faulty]
                )
                for k, name in enumerate(FAULTS)
            },
        },
        "against the model's record": {
            "good nights": false_alarms(good, by_model),
            "distance of the scores": distances(good, by_model[0]),
            "faults": {
                name: caught(
                    name, faulty[k * args.faulty : (k + 1) * args.faulty], by_model[: args.faulty]
                )
                for k, name in enumerate(FAULTS)
            },
        },
    }
    show(report)
    write_json(args.json, report)


def distances(nights, expectation):
    """Return quantiles of the distance between the scores of good frames and the model's record."""
    found = [
        score_distance(frame.scores, expectation.shares) for frames, _ in nights for frame in frames
    ]
    quantiles = (0.5, 0.9, 0.99, 0.999)
    return {str(q): float(v) for q, v in zip(quantiles, np.quantile(found, quantiles), strict=True)}


def show(report):
    for against in ("against a reference night", "against the model's record"):
        part = report[against]
        print(against)
        print("  good nights:", part["good nights"])
        for name, figures in part["faults"].items():
            print(f"  {name:38s}", figures)
    print("distance of the scores:", report["against the model's record"]["distance of the scores"])


if __name__ == "__main__":
    main()
