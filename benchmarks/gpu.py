"""Scoring on a GPU: large batches of one shape, while the CPU cuts the next.

    python benchmarks/gpu.py [--objects N] [--json FILE]

Runs where this ONNX Runtime has CUDA, and otherwise says so and ends well. Records objects a second by
threads, and the share of the time in which no batch is with the GPU's session. A batch's copies to the
GPU and back are part of its call, so the GPU itself waits for at least that share. Scores must agree
with the CPU's before anything is timed.
"""

import argparse
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import onnxruntime
from _common import add_json, check, processor, write_json

from rbinfer._util.machine import usable_cpus
from rbinfer.diagnostics.bench import FWHM, make_scene, thread_counts
from rbinfer.errors import DeviceError
from rbinfer.model.registry import resolve
from rbinfer.model.session import Session
from rbinfer.scoring.classifier import Classifier


def gpu_name():
    """Name of the GPU, as the driver tells it."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.check_output(command, text=True).splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def covered(spans):
    """Seconds covered by at least one of several spans (start, end)."""
    total, until = 0.0, -np.inf
    for start, end in sorted(spans):
        total += max(end - max(start, until), 0.0)
        until = max(until, end)
    return total


def watched(network, spans):
    """Return the network's call, with the span of each noted."""
    run = network.run

    def call(cutouts):
        start = time.perf_counter()
        try:
            return run(cutouts)
        finally:
            spans.append((start, time.perf_counter()))

    return call


def measure(device, scene, threads, repeats):
    """Objects a second and the share of time without a batch in the session; medians."""
    network = Session(resolve(None), device)
    classifier = Classifier(network, threads=threads)
    classifier.score(*scene, fwhm=FWHM)
    rates, waits = [], []
    for _ in range(repeats):
        spans = []
        with mock.patch.object(network, "run", watched(network, spans)):
            start = time.perf_counter()
            classifier.score(*scene, fwhm=FWHM)
            wall = time.perf_counter() - start
        rates.append(len(scene.x) / wall)
        waits.append(1 - covered(spans) / wall)
    return {
        "threads": threads,
        "batch": network.batch,
        "objects_per_s": float(np.median(rates)),
        "session_waits": float(np.median(waits)),
    }


def main():
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096, help="side of the image in pixels")
    parser.add_argument("--objects", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the script")
    add_json(parser)
    options = parser.parse_args()
    print(
        f"{processor()}, {usable_cpus()} CPUs; ONNX Runtime {onnxruntime.__version__} with "
        f"{', '.join(onnxruntime.get_available_providers())}"
    )
    report = {"cpu": processor(), "cpus": usable_cpus(), "onnxruntime": onnxruntime.__version__}
    try:
        classifier = Classifier(device=options.device)
    except DeviceError as error:
        print(f"no GPU to measure: {error}")
        write_json(options.json, {**report, "gpu": None})
        return 0
    report["gpu_name"] = gpu_name()
    print(f"on {options.device}; GPU: {report['gpu_name']}")
    scene = make_scene(options.side, options.objects)
    part = (scene.image, scene.x[:10_000], scene.y[:10_000])
    ours, cpu = (c.score(*part, fwhm=FWHM).score for c in (classifier, Classifier(device="cpu")))
    check(f"scores on {options.device} and on the CPU", float(np.abs(ours - cpu).max()), 1e-4)
    print(
        f"{options.objects:,} positions on {options.side} x {options.side}, batches of "
        f"{classifier.batch}, medians of {options.repeats} runs"
    )
    rows = []
    for threads in thread_counts():
        rows.append(measure(options.device, scene, threads, options.repeats))
        print(
            f"  {threads:3d} threads {rows[-1]['objects_per_s']:12,.0f} objects/s; the session waits "
            f"{rows[-1]['session_waits']:.1%} of the time"
        )
    write_json(options.json, {**report, "device": options.device, "gpu": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
