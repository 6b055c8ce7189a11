"""``rbtrain evaluate``: measure a model on simulation and on labelled images."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbinfer.cli.parser import Parser, add_verb

from .common import TrainingFolder, open_training, progress_bar, without_nan, write_text

if TYPE_CHECKING:
    from rbinfer import Classifier, ModelSpec

    from ..config import TrainConfig


#: Picture of mistakes on simulated test frames, beside the card.
MISTAKES = "mistakes.png"


def add_parser(verbs: Any) -> Parser:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "evaluate",
        summary="measure a model: AUC, true- and false-positive rates",
        description=(
            "Measure a model on the simulated test set and, with --images, on labelled images: AUC and "
            "rates, by class, S/N and FWHM."
        ),
        example="rbtrain evaluate my.toml --images labelled/ -o measured/",
    )
    parser.add_argument(
        "model", metavar="CONFIG|MODEL", help="TOML of the training, or a model's path or name"
    )
    parser.add_argument("--dir", type=Path, help="directory of the training (default: runs/NAME)")
    parser.add_argument(
        "--images",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="folders of labelled images (NAME.ecsv, NAME.fits)",
    )
    parser.add_argument(
        "--before",
        metavar="MODEL",
        help="model of the version before: what changed on the simulated test frames",
    )
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
    parser.add_argument(
        "--bound",
        metavar="FILE",
        type=Path,
        help="what benchmarks/bound.py wrote of this model: put it into the card",
    )
    parser.add_argument("-o", "--output", type=Path, help="directory for metrics.json and CARD.md")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, print the tables, write ``metrics.json`` and ``CARD.md``."""
    from rbinfer import Classifier

    from ..judging.baselines import load_astroscrappy
    from ..judging.bound.reading import read_bound
    from ..judging.labelled import check_cases

    if options.plots and options.output is None:
        raise ValueError("--plots needs -o DIR to draw into")
    if options.baselines:
        load_astroscrappy()
    path, test, config = _find(options)
    classifier = Classifier(path, device="cpu")
    if test is None and options.images is None:
        raise ValueError("nothing to measure on: give a training's TOML, --dir, or --images")
    if options.before is not None and test is None:
        raise ValueError("--before compares on simulated test frames: give a training's TOML or --dir")
    spec = classifier.spec
    earlier = _earlier(options.before, spec)
    metrics: dict[str, Any] = {"model": spec.name, "version": spec.version}
    if options.bound is not None:
        metrics["bound"] = read_bound(options.bound, spec)
    if options.images is not None:
        check_cases(options.images)  # before any work
    versus: dict[str, Any] = {}
    scored: dict[str, Any] = {}
    if test is not None:
        _measure_simulation(path, test, config, earlier, options, metrics, versus)
    if options.images is not None:
        scored = _measure_images(classifier, options, metrics, versus)
    if versus:
        metrics["baselines"] = versus
    if options.plots and test is not None:
        metrics["mistakes"] = MISTAKES
    if options.output is not None:
        _write(spec, metrics, options.output)
        if options.plots:
            _draw(scored, without_nan(metrics), spec.threshold, options.output)
            if test is not None:
                _draw_simulated(path, test, options.output)
    return 0


def _find(options: argparse.Namespace) -> "tuple[Path, Path | None, TrainConfig | None]":
    """Return the model's file, the test set, if there is one, and what this must have been made from."""
    from rbinfer.model.registry import resolve

    if options.model.lower().endswith(".toml"):
        options.config = Path(options.model)
        config, where = open_training(options)
        if not where.model.is_file():
            raise FileNotFoundError(
                f"there is no model {where.model} yet; make it with 'rbtrain export {options.model}'"
            )
        return where.model, where.test, config
    test = None if options.dir is None else TrainingFolder(options.dir).test
    return resolve(options.model), test, None


def _earlier(model: str | None, spec: "ModelSpec") -> Path | None:
    """Return the file of the version before, once it is sure that it takes the same cutouts."""
    from rbinfer.model.registry import resolve
    from rbinfer.model.session import read_spec

    if model is None:
        return None
    path = resolve(model)
    taken = read_spec(path).preprocess
    if taken != spec.preprocess:
        raise ValueError(
            f"--before names {model}, which takes cutouts of the {taken.preset} preset ({taken}), but "
            f"those of the test frames are as {spec.name} {spec.version} takes them "
            f"({spec.preprocess}): name a version with the same preprocessing, or leave --before out"
        )
    return path


def _measure_simulation(
    path: Path,
    test: Path,
    config: "TrainConfig | None",
    earlier: Path | None,
    options: argparse.Namespace,
    metrics: dict[str, Any],
    versus: dict[str, Any],
) -> None:
    """Measure on the test set and print; the figures go into `metrics` and `versus`."""
    from rbinfer.model.session import read_spec

    from ..data.dataset import Dataset
    from ..judging.evaluate import evaluate_simulation
    from ..judging.readings import what_changed
    from ..judging.text import format_before, format_bins, format_table
    from ..judging.versus import classes_table, groups_table, pooled

    data = Dataset.open(test, config, read_spec(path).preprocess)
    metrics["simulation"] = evaluate_simulation(path, data)
    print(format_bins(metrics["simulation"]))
    if earlier is not None:
        metrics["before"] = what_changed(read_spec(earlier), evaluate_simulation(earlier, data), metrics)
        print(f"\n{format_before(metrics['before'])}")
    if options.baselines:
        versus["simulation"] = _on_simulation(path, test, options)
        print("\nthe same beside simple means, on frames drawn again")
        print(format_table(*classes_table(versus["simulation"])))
        print(format_table(*groups_table(pooled(versus["simulation"]))))


def _measure_images(
    classifier: "Classifier",
    options: argparse.Namespace,
    metrics: dict[str, Any],
    versus: dict[str, Any],
) -> dict[str, Any]:
    """Measure on labelled images in each way and print; returns the scores by way and group."""
    from ..judging.labelled import check_cases, measure_calibration, measure_groups, score_images
    from ..judging.text import (
        format_calibration,
        format_groups,
        format_sky,
        format_table,
        format_undetected,
    )
    from ..judging.versus import compare_groups, groups_table
    from ..judging.ways import ways_for

    threshold = classifier.spec.threshold
    prior = metrics["simulation"]["fraction_real"] if "simulation" in metrics else None
    scored: dict[str, Any] = {}
    told: set[str] = set()
    for way in ways_for(check_cases(options.images)):
        key = way.key
        simple = options.baselines and way.columns == "peaks"
        with progress_bar(way.title, "image", options.quiet) as progress:
            scored[key] = score_images(classifier, options.images, way, progress, simple, told)
        metrics[key] = measure_groups(scored[key], threshold)
        print(f"\nlabelled images, {way.title}")
        print(format_groups(metrics[key]))
        for title, text in (
            ("not detected", format_undetected(metrics[key])),
            ("the same, stars and galaxies counted as real", format_sky(metrics[key])),
        ):
            if text:
                print(f"\n{title}\n{text}")
        if simple:
            versus[key] = compare_groups(scored[key], threshold)
            print("\nthe same beside simple means")
            print(format_table(*groups_table(versus[key])))
        found = measure_calibration(scored[key], prior)
        metrics.setdefault("calibration", {})[key] = found
        print(f"\ncalibration\n{format_calibration(found)}")
    return scored


def _write(spec: "ModelSpec", metrics: dict[str, Any], where: Path) -> None:
    """Write the figures and the card."""
    from ..judging.card import card_text

    where.mkdir(parents=True, exist_ok=True)
    plain = without_nan(metrics)
    write_text(where / "metrics.json", json.dumps(plain, indent=1, allow_nan=False) + "\n")
    write_text(where / "CARD.md", card_text(spec, plain))


def _on_simulation(model: Path, test: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure on the test frames, which are drawn again from their configuration."""
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
    with progress_bar("baselines", "frame", options.quiet) as progress:
        return compare_simulation(Session(model, "cpu"), config, progress=progress)


def _draw_simulated(model: Path, test: Path, where: Path) -> None:
    from rbinfer.model.session import Session

    from ..data.dataset import Dataset
    from ..judging.evaluate import scores_of
    from ..judging.plots import draw_simulated_mistakes

    session, data = Session(model, "cpu"), Dataset.open(test)
    score, spec = scores_of(session, data)[0], session.spec
    real = spec.calibration.get("counted_as_real", spec.real)
    draw_simulated_mistakes(data, score, real, spec.threshold, where / MISTAKES)


def _draw(scored: dict[str, Any], metrics: dict[str, Any], threshold: float, where: Path) -> None:
    from ..judging.plots import draw_groups, draw_mistakes, draw_reliability

    if "images" in scored:
        draw_groups(scored["images"], threshold, where / "groups.png")
        draw_mistakes(scored["images"], where / "mistakes_real.png")
    curves = {}
    if "simulation" in metrics:
        curves["simulation"] = metrics["simulation"]["reliability"]
    for name, found in metrics.get("calibration", {}).get("images", {}).items():
        curves[name] = found["reliability"]
    draw_reliability(curves, where / "reliability.png")
