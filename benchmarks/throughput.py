"""End to end: `Classifier.score` against the reference pipeline, side by side.

    python benchmarks/throughput.py [--repeats N] [--json FILE]

Image and positions in memory, FWHM given, no background or noise. The reference pipeline is a Python
loop over objects and Keras ``predict`` (see ``reference_pipeline.py``); the reference network has the
same seeded weights in both. Scores are compared before anything is timed; the contestants take turns.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
import reference_pipeline
from _common import (
    add_json,
    alternate,
    check,
    medians,
    multiply_adds,
    processor,
    reference_network,
    verdict,
    write_json,
)

from rbinfer._util.machine import usable_cpus
from rbinfer.cutouts.cutter import Cutter
from rbinfer.diagnostics.bench import FWHM, make_scene
from rbinfer.io.exposure import as_exposure
from rbinfer.model.registry import resolve
from rbinfer.model.session import Session
from rbinfer.scoring.classifier import Classifier
from rbinfer.scoring.rows import tasks

SAME_SCORES = 1e-4
#: Seconds of a turn, at least: as long as the reference pipeline takes for the objects.
TURN = 0.5
TARGETS = {"reference": 4.5, "default": 40.0, "session": 0.6, "threads": 1.8}


def cut_all(path, scene):
    """Return ready cutouts for a model, with what lies around each."""
    spec = Session(path, "cpu").spec.preprocess
    return Cutter.prepare(as_exposure(scene.image, fwhm=FWHM), spec).cut(scene.x, scene.y)


def session_alone(session, cutouts, threads):
    """Score ready cutouts on several threads, a chunk of rows at a time."""
    parts = tasks(len(cutouts.pixels), threads, session.batch)  # as in Classifier

    def score(part):
        return session.run(cutouts.pixels[part], cores=cutouts.core[part]).score

    if threads == 1:
        found = [score(part) for part in parts]
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(score, parts))
    return np.concatenate(found)


def settings_of(session):
    """Say how the ONNX session runs."""
    options = session._session.get_session_options()
    return {
        "onnxruntime": onnxruntime.__version__,
        "providers": session._session.get_providers(),
        "batch": session.batch,
        "intra_op_threads": options.intra_op_num_threads,
        "inter_op_threads": options.inter_op_num_threads,
        "graph_optimization": options.graph_optimization_level.name,
    }


def check_scores(model, files, scene, threads):
    """Stop unless both pipelines, and both ways to the default network, give the same scores."""
    few_x, few_y = scene.x[:500], scene.y[:500]

    def scores(name):
        classifier = Classifier(files[name], device="cpu", threads=threads)
        return classifier.score(scene.image, scene.x, scene.y, fwhm=FWHM).score

    looped, _ = reference_pipeline.cut_objects(scene.image, few_x, few_y, FWHM)
    cut = cut_all(files["reference"], scene).pixels
    check("cutouts of the loop and of the kernel", np.abs(looped - cut[:500]).max(), 2e-5)
    theirs = reference_pipeline.score(model, scene.image, scene.x, scene.y, FWHM)
    found = scores("reference")
    check("scores of the reference network", np.abs(found - theirs).max(), SAME_SCORES)
    low, high = np.percentile(found, [5, 95])
    print(f"  90 % of them lie between {low:.3f} and {high:.3f}")
    cut = cut_all(files["default"], scene)
    ready = session_alone(Session(files["default"], "cpu"), cut, threads)
    check("default network, end to end and on ready cutouts", np.abs(scores("default") - ready).max(), 0)


def contestants(model, files, scene, threads):
    """Name what is timed: the reference pipeline, and ours with each network and number of threads."""

    def ours(path, n):
        classifier = Classifier(path, device="cpu", threads=n)
        return lambda: classifier.score(scene.image, scene.x, scene.y, fwhm=FWHM)

    def alone(name, n):
        session = Session(files[name], "cpu")
        return lambda: session_alone(session, ready[name], n)

    ready = {name: cut_all(path, scene) for name, path in files.items()}
    actions = {}
    if model is not None:
        actions["reference pipeline"] = lambda: reference_pipeline.score(
            model, scene.image, scene.x, scene.y, FWHM
        )
    for n in sorted({1, 2, threads}):
        for name, path in files.items():
            actions[f"{name} network, {n} threads"] = ours(path, n)
            actions[f"{name} session alone, {n} threads"] = alone(name, n)
    return actions


def measure(model, files, scene, threads, repeats):
    """Time all contestants in turns; returns objects a second by name, and prints them."""
    actions = contestants(model, files, scene, threads)
    rates = {name: len(scene.x) / s for name, s in medians(alternate(actions, repeats, TURN)).items()}
    print(f"\n{len(scene.x):,} positions, medians of {repeats} turns of {TURN:g} s or more")
    for name, rate in rates.items():
        print(f"  {name:40s} {rate:10,.0f} objects/s")
    return rates


def ratios(few, many, threads):
    """Print the ratios beside their targets."""
    print("\nratios")
    rows = {}
    for name in ("reference", "default"):
        rate = few[f"{name} network, {threads} threads"] / few["reference pipeline"]
        rows[name] = rate
        verdict(f"{name} network / reference pipeline", rate, TARGETS[name])
    for size, rates in (("few", few), ("many", many)):
        whole, alone = (
            rates[f"default {what}, {threads} threads"] for what in ("network", "session alone")
        )
        rows[f"session_{size}"] = whole / alone
        verdict(
            f"default end to end / its session alone, {size} positions",
            whole / alone,
            TARGETS["session"],
        )
        for name in ("default", "reference"):
            gain = rates[f"{name} network, 2 threads"] / rates[f"{name} network, 1 threads"]
            rows[f"threads_{name}_{size}"] = gain
            verdict(f"{name} network, 2 threads / 1, {size} positions", gain, TARGETS["threads"])
    return rows


def main():
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096, help="side of the image in pixels")
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--many", type=int, default=50_000, help="positions for ours alone")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=usable_cpus())
    add_json(parser)
    options = parser.parse_args()
    print(
        f"{processor()}, {usable_cpus()} CPUs; {options.side} x {options.side} float32, "
        f"{options.threads} threads for ours"
    )
    few = make_scene(options.side, options.objects)
    with TemporaryDirectory() as folder:
        model, _, onnx_file = reference_network(Path(folder))
        files = {"reference": onnx_file, "default": resolve(None)}
        sessions = {name: settings_of(Session(path, "cpu")) for name, path in files.items()}
        counts = {name: multiply_adds(path) for name, path in files.items()}
        for name, setting in sessions.items():
            print(f"{name} network: {counts[name]:,} multiply-adds a cutout; session {setting}")
        check_scores(model, files, few, options.threads)
        rates = measure(model, files, few, options.threads, options.repeats)
        many = measure(
            None, files, make_scene(options.side, options.many), options.threads, options.repeats
        )
    report = {
        "cpu": processor(),
        "cpus": usable_cpus(),
        "side": options.side,
        "threads": options.threads,
        "objects": options.objects,
        "many": options.many,
        "repeats": options.repeats,
        "sessions": sessions,
        "multiply_adds": counts,
        "objects_per_s": rates,
        "objects_per_s_many": many,
        "ratios": ratios(rates, many, options.threads),
        "targets": TARGETS,
    }
    write_json(options.json, report)


if __name__ == "__main__":
    main()
