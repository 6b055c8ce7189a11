"""How soon drift is noticed, what is named as its cause, and how often good nights give an alarm.

    python benchmarks/drift.py [--nights N] [--seed S] [--json FILE]

Simulated nights of one camera whose seeing, sky and transparency wander, with three fields of different
density and three filters each; another such night is the reference, one for each of ten cameras. Faults
begin after 5 good frames, and those of one filter are counted in its frames. By default there are 3,000
good frames: without an alarm in so many there is at most one in a thousand (95 %). The constants of
`rbinfer.diagnostics.drift` were chosen with ``--seed 1`` and 2; the results are of another seed.
"""

import argparse
import os
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from _common import add_json, processor, write_json
from _drift_frames import FAULTS, FILTERS, ChangingNight, Fault
from tqdm import tqdm

from rbinfer.diagnostics.drift.expected import Record, Reference, doubt_distance
from rbinfer.diagnostics.drift.frames import FrameFigures
from rbinfer.diagnostics.drift.monitor import find_alarms
from rbinfer.io.camera import camera_of
from rbinfer.model.registry import resolve
from rbinfer.model.session import read_spec
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file

REFERENCE, GOOD, BEFORE, FAULTY, CAMERAS = 45, 60, 5, 6, 10
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
    camera = camera_of([found.image.header], found.image.shape)
    return FrameFigures.of(f"{maker.number:03d}.fits", camera, found.summary), is_crossed


def frames_of(job):
    """Return the figures of the frames of a night, and which a satellite crosses."""
    seed, camera, fault, n = job
    with tempfile.TemporaryDirectory() as folder:
        maker = ChangingNight(seed, camera, folder)
        path = Path(folder) / "frame.fits"
        found = [scored(maker, Fault(), path) for _ in range(n)]
        if fault is not None:
            n_faulty = FAULTY if fault.only is None else FAULTY * len(FILTERS)
            found += [scored(maker, fault, path) for _ in range(n_faulty)]
    return [frame for frame, _ in found], {frame.image for frame, is_crossed in found if is_crossed}


def record():
    """Return what the default model was measured on."""
    spec = read_spec(resolve(None))
    scores = spec.readings[0].scores
    return Record(np.array([scores["real"], scores["bogus"]]), spec.fwhm_range)


def false_alarms(nights, expectations):
    """Count alarms in good nights, but for satellites that did cross."""
    n = sum(len(frames) for frames, _ in nights)
    causes, crossings, told = Counter(), 0, 0
    for (frames, crossed), expectation in zip(nights, cycle(expectations), strict=False):
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
    for (frames, _), expectation in zip(nights, cycle(expectations), strict=False):
        only = FAULTS[name].only
        shown = [f for f in frames[BEFORE:] if only is None or f.camera.endswith(f"filter {only}")]
        faulty = {frame.image: k + 1 for k, frame in enumerate(shown)}
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
    parser.add_argument("--faulty", type=int, default=3, help="nights with each fault")
    parser.add_argument("--seed", type=int, default=3)
    add_json(parser)
    args = parser.parse_args()
    good, references, faulty = simulated(args.seed, args.nights, args.faulty)
    report = {"processor": processor(), "seed": args.seed}
    by_night = [Reference(frames) for frames, _ in references]
    for name, expectations in (
        ("against a reference night", by_night),
        ("against the model's record", [record()] * CAMERAS),
    ):
        report[name] = {
            "good nights": false_alarms(good, expectations),
            "faults": {fault: caught(fault, nights, expectations) for fault, nights in faulty.items()},
        }
    report["how much more in doubt good frames are than the model's record"] = distances(good, record())
    show(report)
    write_json(args.json, report)


def simulated(seed, n_nights, n_faulty):
    """Return good nights, a reference for each camera, and nights by their fault.

    Nights and cameras come in turn, so that night ``k`` is of camera ``k % CAMERAS``.
    """
    jobs = [(1000 * seed + k, k % CAMERAS, None, GOOD) for k in range(n_nights)]
    jobs += [(500_000 + 1000 * seed, camera, None, REFERENCE) for camera in range(CAMERAS)]
    for fault in FAULTS.values():
        jobs += [(900_000 + 1000 * seed + k, k % CAMERAS, fault, BEFORE) for k in range(n_faulty)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        found = list(tqdm(pool.map(frames_of, jobs), total=len(jobs)))
    references, later = found[n_nights : n_nights + CAMERAS], found[n_nights + CAMERAS :]
    faulty = {name: later[k * n_faulty : (k + 1) * n_faulty] for k, name in enumerate(FAULTS)}
    return found[:n_nights], references, faulty


def distances(nights, expectation):
    """Return quantiles of `doubt_distance` between good frames and the model's record."""
    found = [
        doubt_distance(frame.scores, expectation.shares) for frames, _ in nights for frame in frames
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
    print("how much more in doubt good frames are than the model's record:")
    print(" ", report["how much more in doubt good frames are than the model's record"])


if __name__ == "__main__":
    main()
