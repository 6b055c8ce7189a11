"""What the benchmarks share: the machine, timing in turns, a reference network, the report.

Nothing but the standard library is imported until a function needs it, so that ``install.py`` runs on a
bare Python.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: Configuration of simulated frames that stay the same for all versions of a model.
FRAMES = ROOT / "benchmarks" / "frames.toml"
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = [
    "ROOT",
    "add_json",
    "alternate",
    "check",
    "children_import_this_checkout",
    "import_time",
    "medians",
    "multiply_adds",
    "processor",
    "reference_network",
    "seconds_of",
    "verdict",
    "write_json",
]

#: Standard deviation of the logits of the reference network with random weights.
SPREAD = 0.5
_TIME = "import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"


def processor() -> str:
    """Name of the CPU."""
    from rbinfer._util.machine import processor as name_of

    return name_of()


def children_import_this_checkout() -> None:
    """Let processes started from here import the packages that are measured here."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


def seconds_of(action: Callable[[], object], repeats: int) -> list[float]:
    """Return the seconds that each of several calls took, after one that is not counted."""
    return alternate({"": action}, repeats)[""]


def alternate(
    actions: Mapping[str, Callable[[], object]], repeats: int, at_least: float = 0.0
) -> dict[str, list[float]]:
    """Time several actions in turns, so that a slower minute of the machine hits all of them.

    Returns the seconds of each call by name, after one of each that is not counted. A turn lasts
    `at_least` so many seconds, with as many calls as that takes: the first milliseconds after another
    action belong to the scheduler, which has yet to spread new threads over the CPUs.
    """
    calls = {}
    for name, action in actions.items():
        action()
        start = time.perf_counter()
        if at_least:
            action()
        calls[name] = max(round(at_least / (time.perf_counter() - start)), 1) if at_least else 1
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                action()
            taken[name].append((time.perf_counter() - start) / calls[name])
    return taken


def medians(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each."""
    return {name: statistics.median(values) for name, values in taken.items()}


def import_time(python: str | Path, name: str, runs: int = 15) -> float:
    """Median seconds of ``import name`` in a fresh process, files in the page cache."""
    command = [str(python), "-c", _TIME.format(name=name)]
    times = [float(subprocess.check_output(command, text=True)) for _ in range(runs + 1)]
    return statistics.median(times[1:])


def check(what: str, difference: float, limit: float) -> None:
    """Print a largest difference, and stop where it is beyond its limit: a wrong result is not timed."""
    if not difference <= limit:
        sys.exit(f"{what}: differ by {difference:.2g}, more than {limit:g}; nothing was timed")
    print(f"{what}: differ by {difference:.1e} at most (limit {limit:g})")


def verdict(what: str, value: float, target: float, unit: str = "", below: bool = False) -> bool:
    """Print a figure beside its target; returns whether it is met."""
    met = value <= target if below else value >= target
    bound = "at most" if below else "at least"
    answer = "met" if met else "MISSED"
    print(f"  {what:62s} {value:8.3g}{unit}   {bound} {target:g}{unit}: {answer}")
    return met


def reference_network(folder: Path) -> tuple[Any, Path, Path]:
    """Make the reference network with seeded weights, as a Keras model, its file, and as ONNX.

    The weights are random in every layer, the running statistics too, so that no step of the network
    is an identity and scores spread.
    """
    import keras
    import numpy as np
    from reference_pipeline import cut_objects

    from rbinfer.diagnostics.bench import FWHM, make_scene
    from rbtrain.export.release import export_keras
    from rbtrain.fitting.model import create_realbogus_model

    keras.utils.set_random_seed(1)
    model = create_realbogus_model()
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Gains, shifts, running means and variances.
            spans = ((0.7, 1.3), (-0.2, 0.2), (0.0, 0.3), (0.3, 1.0))
            shape = layer.gamma.shape
            layer.set_weights([rng.uniform(*span, shape).astype(np.float32) for span in spans])
    found = model.predict(cut_objects(*make_scene(512, 500), FWHM)[0], verbose=0)
    logit = np.log(found / (1 - found))
    # An untrained network says nearly the same of everything.
    weights, bias = model.layers[-1].get_weights()
    gain = SPREAD / float(logit.std())
    model.layers[-1].set_weights([gain * weights, gain * (bias - float(logit.mean()))])
    model.optimizer.build(model.trainable_variables)
    keras_file, onnx_file = folder / "reference.keras", folder / "reference.onnx"
    model.save(keras_file)
    export_keras(keras_file, onnx_file)
    return model, keras_file, onnx_file


def multiply_adds(path: str | Path) -> int:
    """Count the multiply-adds of an ONNX network for one cutout, in its convolutions and products.

    What depends on the stars of the frame alone is not counted: it is done once a batch.
    """
    import numpy as np
    import onnx

    model = onnx.load(path)
    entry = model.graph.input[0].type.tensor_type.shape.dim[0]
    entry.ClearField("dim_param")
    entry.dim_value = 1
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = model.graph
    weights = {t.name: tuple(t.dims) for t in graph.initializer}
    shapes = {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in (*graph.value_info, *graph.output)
    }
    of_cutout = {each.name for each in graph.input} - {"psf", "psf_known", "population"}
    total = 0
    for node in graph.node:
        if of_cutout.isdisjoint(node.input):
            continue
        of_cutout.update(node.output)
        if node.op_type == "Conv":
            total += int(np.prod(shapes[node.output[0]][1:]) * np.prod(weights[node.input[1]][1:]))
        elif node.op_type in ("MatMul", "Gemm"):
            total += int(np.prod(weights[node.input[1]]))
    return total


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that writes the figures to a file."""
    parser.add_argument("--json", type=Path, help="write the figures here too")


def write_json(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write the figures, if a file was asked for."""
    if path:
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
