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
        "--baselines",
        action="store_true",
        help="measure sharpness, L.A.Cosmic and a width-and-peak cut beside it (needs astroscrappy)",
    )
    parser.add_argument(
        "--plots",
        action="store_true",
        help="draw ROC, histograms, reliability and the worst mistakes into the output directory",
    )
    parser.add_argument("-o", "--output", type=Path, help="directory for metrics.json and CARD.md")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, print the tables, write ``metrics.json`` and ``CARD.md``."""
    from rbinfer import Classifier
    from rbinfer.model.registry import resolve

    from ..data.dataset import Dataset
    from ..judging.baselines import load_astroscrappy
    from ..judging.card import card_text
    from ..judging.evaluate import evaluate_simulation
    from ..judging.labelled import measure_calibration, measure_groups, score_images, ways_for
    from ..judging.text import format_bins, format_calibration, format_groups, format_sky
    from ..judging.versus import classes_table, compare_groups, format_table, groups_table

    if options.plots and options.output is None:
        raise ValueError("--plots needs -o DIR to draw into")
    if options.baselines:
        load_astroscrappy()
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
    versus: dict[str, Any] = {}
    prior = None
    if test is not None:
        data = Dataset.open(test, preprocess=classifier.spec.preprocess)
        metrics["simulation"] = evaluate_simulation(path, data)
        print(format_bins(metrics["simulation"]))
        prior = metrics["simulation"]["fraction_real"]
        if options.baselines:
            versus["simulation"] = _on_simulation(path, test, options)
            print("\nthe same beside simple means, on frames drawn again")
            print(format_table(*classes_table(versus["simulation"])))
            print(format_table(*groups_table(_pooled(versus["simulation"]))))
    if options.images is not None:
        for key, title, given, centroids in ways_for(options.images):
            simple = options.baselines and not centroids
            with bar(title, "image", options.quiet) as progress:
                scored[key] = score_images(
                    classifier, options.images, given, progress, simple, centroids
                )
            metrics[key] = measure_groups(scored[key], classifier.spec.threshold)
            print(f"\nlabelled images, {title}")
            print(format_groups(metrics[key]))
            sky = format_sky(metrics[key])
            if sky:
                print(f"\nthe same, stars and galaxies counted as real\n{sky}")
            if simple:
                versus[key] = compare_groups(scored[key], classifier.spec.threshold)
                print("\nthe same beside simple means")
                print(format_table(*groups_table(versus[key])))
            found = measure_calibration(scored[key], prior)
            metrics.setdefault("calibration", {})[key] = found
            print(f"\ncalibration\n{format_calibration(found)}")
    if test is None and options.images is None:
        raise ValueError("nothing to measure on: give a training's TOML, --dir, or --images")
    if versus:
        metrics["baselines"] = versus
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        metrics = without_nan(metrics)
        text = json.dumps(metrics, indent=1, allow_nan=False) + "\n"
        write_text(options.output / "metrics.json", text)
        write_text(options.output / "CARD.md", card_text(classifier.spec, metrics))
        if options.plots:
            _draw(scored, metrics, classifier.spec.threshold, options.output)
    return 0


def _on_simulation(model: Path, test: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure on the test frames, drawn again from the configuration that they were drawn from."""
    from rbinfer.model.session import Session

    from ..config import TrainConfig
    from ..data.dataset import Dataset
    from ..judging.versus import compare_simulation

    given = Path(options.model)
    source = given if given.suffix.lower() == ".toml" else model.parent / "config.toml"
    if not source.is_file():
        raise FileNotFoundError(
            f"{source} is not a file: to draw the test frames again, --baselines needs the TOML that "
            "they were drawn from; give that instead of the model"
        )
    config = TrainConfig.read(source)
    Dataset.open(test, config)
    with bar("baselines", "frame", options.quiet) as progress:
        return compare_simulation(Session(model, "cpu"), config, progress=progress)


def _pooled(measured: dict[str, Any]) -> dict[str, Any]:
    """Rows of the table that has all classes of the simulation together."""
    rows = {
        "stars, all else": measured["overall"],
        "without galaxies": measured["without_galaxies"],
    }
    return {name: methods for name, methods in rows.items() if methods}


def _draw(scored: dict[str, Any], metrics: dict[str, Any], threshold: float, where: Path) -> None:
    from ..judging.plots import draw_groups, draw_mistakes, draw_reliability

    if "images" in scored:
        draw_groups(scored["images"], threshold, where / "groups.png")
        draw_mistakes(scored["images"], where / "mistakes.png")
    curves = {}
    if "simulation" in metrics:
        curves["simulation"] = metrics["simulation"]["reliability"]
    for name, found in metrics.get("calibration", {}).get("images", {}).items():
        curves[name] = found["reliability"]
    draw_reliability(curves, where / "reliability.png")
