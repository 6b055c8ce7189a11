"""How fast labelled cutouts are simulated and networks are fitted, against the reference's figures.

``python benchmarks/training.py [--frames N] [--json FILE]`` builds datasets of the shipped
configurations and fits both networks for one epoch. The reference implementation made 417 labelled
cutouts and fitted 685 samples a second on a two-core machine. Cutouts are counted in two ways: each
detection once, as they are stored here, and with the eight rotations and flips of each, as the reference
stores them (here they are made in the batch, so they cost nothing before the fit).
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import ROOT, processor

from rbinfer._util.machine import usable_cpus
from rbtrain.config import TrainConfig
from rbtrain.data.building import build_dataset
from rbtrain.data.dataset import Dataset

REFERENCE_CUTOUTS, REFERENCE_SAMPLES = 417.0, 685.0
SYMMETRIES = 8


def simulated(config: TrainConfig, folder: Path, workers: int) -> tuple[Dataset, float]:
    """Build a dataset; returns it and the seconds it took, worker processes started included."""
    started = time.perf_counter()
    data = build_dataset(config, folder, workers=workers)
    return data, time.perf_counter() - started


def fitted(config: TrainConfig, data: Dataset, folder: Path) -> float:
    """Samples a second of a second epoch, when the graph is compiled; the validation is in its time."""
    from rbtrain.fitting.fit import (
        fit,  # not before: simulating workers import this module, but need no Keras
    )

    times = []
    for epochs in (1, 2):
        config = dataclasses.replace(config, fit=dataclasses.replace(config.fit, epochs=epochs))
        started = time.perf_counter()
        fit(config, data, folder / f"fit{epochs}", verbose=0)
        times.append(time.perf_counter() - started)
    training, _ = data.split(config.data.validation)
    return len(training) / (times[1] - times[0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"cpu": processor(), "cpus": usable_cpus(), "frames": options.frames}
    print(f"{results['cpu']}, {results['cpus']} CPUs; {options.frames} frames of 512 x 512")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in ("default", "reference"):
            config = TrainConfig.read(ROOT / "models" / model / "config.toml")
            config = dataclasses.replace(
                config, data=dataclasses.replace(config.data, frames=options.frames, test_frames=0)
            )
            if model == "default":
                simulated(config, folder / "compiled", 1)  # Numba's cache is warm from here on
            for workers in sorted({1, usable_cpus()}):
                data, seconds = simulated(config, folder / f"{model}{workers}", workers)
                rate = len(data) / seconds
                results[f"{model}_cutouts_{workers}_workers"] = rate
                print(
                    f"simulate {model:9s} {workers} workers: {options.frames / seconds:6.1f} frames/s, "
                    f"{rate:7.0f} cutouts/s, each once: {rate / REFERENCE_CUTOUTS:5.1f} times the "
                    f"reference; {rate * SYMMETRIES:8.0f} with rotations and flips: "
                    f"{rate * SYMMETRIES / REFERENCE_CUTOUTS:5.1f} times",
                    flush=True,
                )
            rate = fitted(config, data, folder / f"{model}fits")
            results[f"{model}_samples"] = rate
            print(
                f"fit {model:9s}: {rate:7.0f} samples/s, {rate / REFERENCE_SAMPLES:5.1f} times the "
                "reference",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
