"""What it is worth to simplify a network's graph before the export.

    python benchmarks/graph.py [--repeats N] [--batch N] [--json FILE]

Both networks with random weights, as tf2onnx converts them and after ``rbtrain.export.graph``: batch
normalisations folded or moved, and no pixels made that a pooling drops. The scores must be the same. One
thread, ready cutouts, ONNX Runtime's own optimisation on for all.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import onnxruntime
from _common import (
    add_json,
    alternate,
    check,
    medians,
    processor,
    reference_network,
    write_json,
)

from rbinfer.cutouts.cutter import Cutter
from rbinfer.diagnostics.bench import FWHM, make_scene
from rbinfer.io.exposure import as_exposure
from rbinfer.model.readings import Reading
from rbinfer.model.spec import ModelSpec, PreprocessSpec
from rbtrain.export.convert import convert
from rbtrain.export.graph import fold_scalings, simplify
from rbtrain.fitting.model import create_compact_model

CLASSES = ("star", "galaxy", "cosmic_ray", "hot_pixel", "trail", "spike", "noise")
#: What is done to the graph, by name.
STEPS = {"as converted": lambda proto: proto, "scalings folded": fold_scalings, "simplified": simplify}


def cutouts_of(preprocess, n):
    """Return cutouts of a made scene."""
    scene = make_scene(512, n)
    return Cutter.prepare(as_exposure(scene.image, fwhm=FWHM), preprocess).cut(scene.x, scene.y).pixels


def networks(folder):
    """Return a Keras model and its spec by name."""
    keras.utils.set_random_seed(2)
    compact = create_compact_model(len(CLASSES))
    # Fitted to nothing for a moment, so that its normalisations fit the cutouts and no layer is idle.
    labels = np.eye(len(CLASSES))[np.random.default_rng(2).integers(len(CLASSES), size=500)]
    compact.fit(cutouts_of(PreprocessSpec.default(), 500), labels, epochs=10, verbose=0)
    return {
        "reference": (
            reference_network(folder)[0],
            ModelSpec("reference", "1", PreprocessSpec.reference()),
        ),
        "default": (
            compact,
            ModelSpec(
                "default", "1", PreprocessSpec.default(), classes=CLASSES, readings=(Reading(("star",)),)
            ),
        ),
    }


def session(proto):
    """Open a session on one thread, as `rbinfer.model.session` does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])


def measure(name, model, spec, n, repeats):
    """Check that the steps change nothing, and time them in turns; returns microseconds a cutout."""
    cutouts = cutouts_of(spec.preprocess, n)
    proto = convert(model, spec)
    sessions = {step: session(change(proto)) for step, change in STEPS.items()}
    outputs = {step: s.run(["score"], {"cutouts": cutouts})[0] for step, s in sessions.items()}
    expected = outputs["as converted"]
    low, high = np.percentile(expected, [5, 95])
    print(f"{name}: 90 % of the scores lie between {low:.3f} and {high:.3f}")
    if not high - low > 0.01:
        sys.exit("which says nothing; nothing was timed")
    for step, found in outputs.items():
        check(f"{name}, {step}", float(np.abs(found - expected).max()), 1e-5)
    actions = {
        step: (lambda s=s: s.run(["score"], {"cutouts": cutouts})) for step, s in sessions.items()
    }
    return {step: 1e6 * s / len(cutouts) for step, s in medians(alternate(actions, repeats)).items()}


def main():
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=201)
    parser.add_argument("--batch", type=int, default=64)
    add_json(parser)
    options = parser.parse_args()
    print(f"{processor()}; ONNX Runtime {onnxruntime.__version__}, batches of {options.batch}")
    with TemporaryDirectory() as folder:
        found = {
            name: measure(name, model, spec, options.batch, options.repeats)
            for name, (model, spec) in networks(Path(folder)).items()
        }
    for name, times in found.items():
        for step, value in times.items():
            gain = times["as converted"] / value
            print(f"  {name:12s}{step:20s}{value:8.2f} us a cutout {gain:6.2f} times as fast")
    write_json(options.json, {"cpu": processor(), "batch": options.batch, "us_a_cutout": found})


if __name__ == "__main__":
    main()
