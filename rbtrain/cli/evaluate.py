"""``rbtrain evaluate``: measure a model on simulation and on labelled images."""

import argparse
import json
from pathlib import Path
from typing import Any

from .common import Workspace, bar, open_workspace, without_nan, write_text


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "evaluate", help="measure a model: AUC, true- and false-positive rates"
    )
    parser.add_argument(
        "model", metavar="CONFIG|MODEL", help="TOML of the training, or a model's path or name"
    )
    parser.add_argument("--dir", type=Path, help="directory of the training (default: runs/NAME)")
    parser.add_argument("--images", type=Path, help="folder of labelled images (NAME.ecsv, NAME.fits)")
    parser.add_argument(
        "--plots", action="store_true", help="draw ROC, histograms and the worst mistakes there too"
    )
    parser.add_argument("-o", "--output", type=Path, help="directory for metrics.json and CARD.md")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, print the tables, write ``metrics.json`` and ``CARD.md``."""
    from rbinfer import Classifier
    from rbinfer.registry import resolve

    from ..card import card_text
    from ..dataset import Dataset
    from ..evaluate import (
        evaluate_simulation,
        format_bins,
        format_groups,
        measure_groups,
        score_images,
    )
    from ..plots import draw_groups, draw_mistakes

    test = None
    if options.model.lower().endswith(".toml"):
        options.config = Path(options.model)
        _, where = open_workspace(options)
        path, test = where.model, where.test
    else:
        path = resolve(options.model)
        if options.dir is not None:
            test = Workspace(options.dir).test
    classifier = Classifier(path, device="cpu")
    scored: dict[str, Any] = {}
    metrics: dict[str, Any] = {"model": classifier.spec.name, "version": classifier.spec.version}
    if test is not None:
        metrics["simulation"] = evaluate_simulation(
            path, Dataset.open(test, preprocess=classifier.spec.preprocess)
        )
        print(format_bins(metrics["simulation"]))
    if options.images is not None:
        for given, key in ((False, "images"), (True, "images_fwhm_given")):
            with bar(f"FWHM {'given' if given else 'measured'}", "image", options.quiet) as progress:
                scored[key] = score_images(classifier, options.images, given, progress)
            metrics[key] = measure_groups(scored[key], classifier.spec.threshold)
            print(f"\nlabelled images, FWHM {'given' if given else 'measured'}")
            print(format_groups(metrics[key]))
    if test is None and options.images is None:
        raise ValueError("nothing to measure on: give a training's TOML, --dir, or --images")
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        metrics = without_nan(metrics)
        text = json.dumps(metrics, indent=1, allow_nan=False) + "\n"
        write_text(options.output / "metrics.json", text)
        write_text(options.output / "CARD.md", card_text(classifier.spec, metrics))
        if options.plots and "images" in scored:
            draw_groups(scored["images"], classifier.spec.threshold, options.output / "groups.png")
            draw_mistakes(scored["images"], options.output / "mistakes.png")
    return 0
