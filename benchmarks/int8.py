"""What static int8 quantisation, and ONNX Runtime's own optimisation, are worth for the default network.

    python benchmarks/int8.py [--images DIR] [--json FILE]

Quantises with ONNX Runtime (QDQ, calibrated on simulated cutouts and what the network reads beside
them, metadata carried over), compares the speed of the sessions on ready cutouts and, with labelled
images (NAME.fits with NAME.ecsv: x, y, label), the AUC of each group. Also counts the nodes that are
left at each level of ONNX Runtime's own optimisation, which fuses nodes and changes the layout, and
times each. Weights have 7 bits where the CPU lacks VNNI, as ONNX Runtime's manual has it.
"""

import argparse
import json
import logging
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest import mock

import numpy as np
import onnx
import onnxruntime
from _common import (
    ROOT,
    add_json,
    alternate,
    medians,
    multiply_adds,
    processor,
    verdict,
    write_json,
)
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from rbinfer._util.machine import usable_cpus
from rbinfer.model.registry import resolve
from rbinfer.model.session import Session
from rbinfer.model.spec import METADATA_KEY
from rbinfer.model.stamps import Stamps
from rbinfer.scoring.classifier import Classifier
from rbtrain.config import TrainConfig
from rbtrain.export.release import simulated_cutouts
from rbtrain.judging.labelled import measure_groups, score_images
from rbtrain.metrics import auc

SPEED, LOSS = 1.5, 0.0005
#: Types of nodes that are quantised; all that ONNX Runtime can by default.
VARIANTS = {"int8, all nodes": None, "int8, products": ["Conv", "MatMul", "Gemm"]}
LEVELS = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class Feeds(CalibrationDataReader):
    """What the network is given for the calibration, a batch at a time."""

    def __init__(self, feeds):
        self._feeds = iter(feeds)

    def get_next(self):
        return next(self._feeds, None)


def feeds_of(path, seen):
    """Return what a session gives ONNX Runtime for what the network sees, batch by batch."""
    session, feeds = Session(path, "cpu"), []
    run = session._session.run

    def noted(outputs, given):
        feeds.append(given)
        return run(outputs, given)

    with mock.patch.object(session, "_session", SimpleNamespace(run=noted)):
        session.run(*seen)
    return feeds


def has_vnni():
    """Whether the CPU adds products of bytes in 32 bits; in 16 the sums of 8-bit weights overflow."""
    file = Path("/proc/cpuinfo")
    return file.exists() and "vnni" in file.read_text()


def quantised(path, seen, folder):
    """Write the quantised variants of a model; returns their files by name."""
    prepared = folder / "prepared.onnx"
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    feeds, files = feeds_of(path, seen), {}
    for name, types in VARIANTS.items():
        file = folder / f"{name.replace(', ', '-').replace(' ', '-')}.onnx"
        quantize_static(
            prepared,
            file,
            Feeds(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=types,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=not has_vnni(),
        )
        carry_metadata(path, file)
        files[name] = file
    return files


def carry_metadata(source, target):
    """Give a model the metadata of another, so that rbinfer loads it; its scores are its own."""
    text = next(p.value for p in onnx.load(source).metadata_props if p.key == METADATA_KEY)
    text = json.dumps(json.loads(text) | {"golden": None})
    model = onnx.load(target)
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    onnx.save(model, target)


def time_sessions(files, seen, repeats):
    """Cutouts a second of each session, one thread, in turns; sessions agree with what they are."""
    sessions = {name: Session(path, "cpu") for name, path in files.items()}
    exact = sessions["float32"].run(*seen).score
    for name, session in sessions.items():
        found = session.run(*seen).score
        if not np.isfinite(found).all() or np.corrcoef(found, exact)[0, 1] < 0.9:
            sys.exit(f"{name} does not score as the float32 network does; nothing was timed")
        moved = np.abs(found - exact)
        print(f"  {name:18s} moves scores by {moved.max():.3f} at most, {moved.mean():.4f} on average")
    taken = medians(alternate({n: (lambda s=s: s.run(*seen)) for n, s in sessions.items()}, repeats))
    rates = {name: len(exact) / s for name, s in taken.items()}
    for name, rate in rates.items():
        print(f"  {name:18s} {rate:10,.0f} cutouts/s {rate / rates['float32']:6.2f} times float32")
    return rates


def areas(path, images):
    """AUC of each group of labelled images, and of all together."""
    groups = score_images(Classifier(path, device="cpu"), [images])
    figures = measure_groups(groups, 0.5)
    result = {name: figure["auc"] for name, figure in figures.items()}
    cases = [case for group in groups.values() for case in group]
    real = np.concatenate([case.real for case in cases])
    score = np.concatenate([case.score for case in cases])
    scored = np.isfinite(score)
    return {**result, "all together": auc(real[scored], score[scored])}


def compare_areas(files, images):
    """Print the AUC of every model on every group; returns them by model."""
    found = {name: areas(path, images) for name, path in files.items()}
    print(f"\n{'AUC':24s}" + "".join(f"{name:>20s}" for name in found))
    for group in found["float32"]:
        print(f"  {group:22s}" + "".join(f"{found[name][group]:20.5f}" for name in found))
    return found


def graphs(path, folder, seen, repeats):
    """Nodes left at each level of ONNX Runtime's optimisation, and cutouts a second of each."""
    rows, sessions = {}, {}
    for name, level in LEVELS.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = level
        options.log_severity_level = 3
        options.optimized_model_filepath = str(folder / f"{name}.onnx")
        sessions[name] = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        nodes = Counter(node.op_type for node in onnx.load(folder / f"{name}.onnx").graph.node)
        rows[name] = {"nodes": sum(nodes.values()), "types": dict(nodes.most_common())}
    feeds = feeds_of(path, seen)

    def run(session):
        return [session.run(["score"], given)[0] for given in feeds]

    plain = np.concatenate(run(sessions["none"]))
    for name, session in sessions.items():
        if np.abs(np.concatenate(run(session)) - plain).max() > 1e-5:
            sys.exit(f"optimisation {name} changes scores; nothing was timed")
    taken = medians(alternate({n: (lambda s=s: run(s)) for n, s in sessions.items()}, repeats))
    for name, row in rows.items():
        row["cutouts_per_s"] = len(plain) / taken[name]
        types = ", ".join(f"{n} {kind}" for kind, n in row["types"].items())
        print(f"  {name:9s} {row['nodes']:3d} nodes {row['cutouts_per_s']:10,.0f} cutouts/s: {types}")
    return rows


def judge(rates, found):
    """Print whether int8 is worth shipping."""
    print("\nint8 against float32")
    verdicts = {}
    for name in VARIANTS:
        fast = verdict(f"{name}: speed", rates[name] / rates["float32"], SPEED)
        if found is None:
            print("  the AUC was not measured: give --images")
            verdicts[name] = None if fast else "not worth it"
            continue
        lost = max(found["float32"][g] - found[name][g] for g in found["float32"])
        exact = verdict(f"{name}: AUC lost, worst group", lost, LOSS, below=True)
        verdicts[name] = "worth shipping" if fast and exact else "not worth it"
    for name, text in verdicts.items():
        print(f"  {name}: {text or 'fast enough'}")
    return verdicts


def main():
    """Quantise, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of labelled images")
    parser.add_argument("--cutouts", type=int, default=4096, help="timed, and as many to calibrate on")
    parser.add_argument("--repeats", type=int, default=9)
    add_json(parser)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    path = resolve(None)
    config = TrainConfig.read(ROOT / "models" / "default" / "config.toml")
    print(
        f"{processor()}, {usable_cpus()} CPUs; ONNX Runtime {onnxruntime.__version__}, one thread; "
        f"{multiply_adds(path):,} multiply-adds a cutout"
    )
    cutouts, stamps, cores = simulated_cutouts(config, 2 * options.cutouts)
    first, last = slice(options.cutouts), slice(options.cutouts, None)
    calibration = cutouts[first], stamps.taken(first), cores[first]
    # A batch of one frame has one star.
    star = Stamps(
        stamps.psf[:1], stamps.known[:1], stamps.population[:1], np.zeros(options.cutouts, np.int64)
    )
    timed = cutouts[last], star, cores[last]
    with TemporaryDirectory() as name:
        folder = Path(name)
        print("\ngraph after ONNX Runtime's optimisation")
        levels = graphs(path, folder, timed, options.repeats)
        print(f"\nsessions; weights of {8 if has_vnni() else 7} bits")
        files = {"float32": path, **quantised(path, calibration, folder)}
        rates = time_sessions(files, timed, options.repeats)
        found = compare_areas(files, options.images) if options.images else None
    report = {
        "cpu": processor(),
        "cpus": usable_cpus(),
        "onnxruntime": onnxruntime.__version__,
        "cutouts": options.cutouts,
        "repeats": options.repeats,
        "graphs": levels,
        "cutouts_per_s": rates,
        "auc": found,
        "verdicts": judge(rates, found),
    }
    write_json(options.json, report)


if __name__ == "__main__":
    main()
