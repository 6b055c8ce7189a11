"""``rbtrain export``: Keras to a self-describing ONNX file."""

import argparse
from pathlib import Path
from typing import Any

from rbinfer.cli.parser import Parser, add_verb

from .common import open_training


def add_parser(verbs: Any) -> Parser:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "export",
        summary="export a fitted network (TOML) or any Keras file (.keras, .h5) to ONNX",
        description=(
            "Calibrate a fitted network and export it, or any Keras file of the reference form, to a "
            "model file that rbinfer runs. It is written only if Keras and ONNX Runtime agree."
        ),
        example="rbtrain export my.toml\nrbtrain export mine.keras -o mine.onnx",
    )
    parser.add_argument("config", metavar="CONFIG|FILE", type=Path)
    parser.add_argument("--dir", type=Path, help="directory of the training (default: runs/NAME)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="the .onnx file (default: model.onnx of the training, made anew, or the Keras file's name)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file of -o if it exists")
    parser.add_argument(
        "--config", dest="trained_with", type=Path, help="for a Keras file: the TOML it was trained with"
    )
    parser.add_argument(
        "--network",
        metavar="MODEL",
        help="with a TOML: take the network of this .onnx file (or the model of this name), calibrate "
        "it and count what is real anew; validation frames are enough ('rbtrain simulate --validation')",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Export; a difference between Keras and ONNX Runtime is an error and writes nothing."""
    if options.network is not None:
        return _recalibrate(options)
    from ..config import TrainConfig
    from ..export.release import export_keras, export_run

    if options.config.suffix.lower() == ".toml":
        from ..data.dataset import Dataset

        config, where = open_training(options)
        output = _output(options, where.model)
        worst = export_run(config, Dataset.open(where.train, config), where.fit / "best.keras", output)
    else:
        if not options.config.is_file():
            raise FileNotFoundError(f"{options.config} is not a file")
        output = _output(options, None)
        trained_with = options.trained_with and TrainConfig.read(options.trained_with)
        worst = export_keras(options.config, output, trained_with)
    print(f"{output}: Keras and ONNX Runtime differ by {worst:.1e} at most on 1000 cutouts")
    return 0


def _output(options: argparse.Namespace, of_training: Path | None) -> Path:
    """Return the file to write, once it is sure that nothing is lost by it."""
    from rbinfer.io.files import check_place

    from ..export.place import check_suffix

    output: Path | None = options.output
    if output is None and of_training is not None:
        return of_training
    output = output or options.config.with_suffix(".onnx")
    check_suffix(output)
    if output.parent.is_dir():  # another is made
        check_place(output, options.overwrite)
    return output


def _recalibrate(options: argparse.Namespace) -> int:
    """Export the network of a model file with the calibration and the reading of a configuration."""
    from rbinfer.model.registry import resolve

    from ..data.dataset import Dataset
    from ..export.recalibrate import export_recalibrated

    if options.config.suffix.lower() != ".toml":
        raise ValueError(f"--network needs the TOML of the new version, not {options.config}")
    config, where = open_training(options)
    frames = where.validation if where.validation.exists() else where.train
    network = resolve(options.network)
    output = _output(options, where.model)
    if output.exists() and output.samefile(network):
        raise ValueError(f"{output} is the model that --network names; name another file with -o")
    worst = export_recalibrated(config, Dataset.open(frames, config), network, output)
    print(f"{output}: differs by {worst:.1e} at most from what it shall be on 1000 cutouts")
    return 0
