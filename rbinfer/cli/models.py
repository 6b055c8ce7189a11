"""``rbinfer models``: which models there are, what they say of themselves, whether they work."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_common_options
from .parser import add_verb

if TYPE_CHECKING:
    from ..model.spec import ModelSpec


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "models",
        summary="list models, describe one, check that it works, choose the default",
        description=(
            "List the installed models, describe one, run its golden pairs, or choose your default. "
            "Without an ACTION, they are listed."
        ),
        example="rbinfer models",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, text, takes_model in (
        ("list", "list the installed models", False),
        ("info", "say what a model is and how it decides", True),
        ("verify", "run the golden pairs inside a model file", True),
    ):
        description, example = f"{text.capitalize()}.", f"rbinfer models {name}"
        action = add_verb(actions, name, summary=text, description=description, example=example)
        if takes_model:
            action.add_argument(
                "model", nargs="?", metavar="MODEL", help="name or file; your default by default"
            )
        add_common_options(action)
    _add_choices(actions)
    # The actions have the common options; this is what these are without one.
    parser.set_defaults(run=run, action="list", verbose=0, quiet=0, debug=False, log_file=None)


def _add_choices(actions: Any) -> None:
    """Add the actions that change the default, or tell how it changed."""
    chosen = add_verb(
        actions,
        "use",
        summary="make a model your default",
        description=(
            "Make a model your default: what scores without --model uses it from now on. One that "
            "'rbtrain adapt' made is refused unless it has proved to be better."
        ),
        example="rbinfer models use mine",
    )
    chosen.add_argument(
        "model", metavar="NAME", help="a model of yours, or 'default' for the shipped one"
    )
    chosen.add_argument("--anyway", action="store_true", help="though it has not proved to be better")
    add_common_options(chosen)
    for name, text in (
        ("history", "tell which models were your default, and when"),
        ("rollback", "take the last choice back"),
    ):
        action = add_verb(
            actions,
            name,
            summary=text,
            description=f"{text.capitalize()}.",
            example=f"rbinfer models {name}",
        )
        add_common_options(action)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    if options.action == "list":
        return _list()
    if options.action in ("use", "history", "rollback"):
        return _choose(options)
    from ..model.registry import resolve

    path = resolve(options.model)
    return _info(path) if options.action == "info" else _verify(path)


def _choose(options: argparse.Namespace) -> int:
    from ..model import choice

    if options.action == "history":
        made_so_far = choice.history()
        for each in made_so_far:
            sys.stdout.write(f"{each.when}  {each.how:8s}  {each.model}  {each.sha256[:16]}\n")
        if not made_so_far:
            sys.stdout.write("no choice was made yet: the shipped model is your default\n")
        return 0
    made = (
        choice.rollback() if options.action == "rollback" else choice.use(options.model, options.anyway)
    )
    name = "the shipped model" if made.model == "default" else made.model
    sys.stdout.write(f"your default is {name} now\n")
    return 0


def _list() -> int:
    from ..errors import ModelError
    from ..model.registry import list_models, resolve
    from ..model.session import read_spec

    entries = list_models()
    default, missing = None, ""
    try:
        default = resolve(None)
    except ModelError as error:
        missing = str(error)
    rows = []
    for entry in entries:
        try:
            spec = read_spec(entry.path)
            what = f"{spec.version}, {len(spec.classes)} classes"
        except ModelError as error:
            what = f"unusable: {' '.join(str(error).split())}"
        mark = "*" if entry.path == default else " "
        rows.append((f"{mark} {entry.name}", entry.origin, what, str(entry.path)))
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        sys.stdout.write("  ".join([*cells, row[3]]) + "\n")
    if default is None:
        print(missing, file=sys.stderr)
    return 0


def _info(path: Path) -> int:
    from ..model.session import read_spec

    spec = read_spec(path)
    cut = spec.preprocess
    n_golden = 0 if spec.golden is None else len(spec.golden.scores)
    facts = [
        ("model", f"{spec.name} {spec.version}"),
        ("file", str(path)),
        ("classes", ", ".join(spec.classes)),
        *_of_readings(spec),
        ("rates", _of_rates(spec)),
        ("trained on FWHM", _span(spec.fwhm_range, " px")),
        ("trained on S/N", _span(spec.snr_range, "")),
        ("cutouts", f"{cut.preset} preset, {cut.size} x {cut.size}, to FWHM {cut.target_fwhm:g} px"),
        ("calibration", str(spec.calibration.get("method", "none"))),
        ("configuration", spec.config_hash or "unknown"),
        *([("network of", _of_origin(spec))] if spec.parent else []),
        *_of_adaptation(spec),
        ("golden pairs", str(n_golden)),
    ]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        sys.stdout.write(f"{name.ljust(width)}  {value}\n")
    return 0


def _of_origin(spec: "ModelSpec") -> str:
    """Say which model the network is from; a release may go on from a fit of its own name."""
    if spec.parent.startswith(f"{spec.name} {spec.version},"):
        return f"an earlier fit that was called so, too: {spec.parent}"
    return spec.parent


def _of_adaptation(spec: "ModelSpec") -> list[tuple[str, str]]:
    """Say what a model was adapted to, and what came of it."""
    told = spec.adaptation
    if "verdict" not in told:  # never adapted, or calibrated anew since
        return []
    labels = told.get("labels", {})
    counts = f"{labels.get('real', 0)} real and {labels.get('bogus', 0)} bogus labels"
    return [
        ("adapted to", f"{counts} ({told.get('method', 'unknown')})"),
        ("verdict", "; ".join([str(told["verdict"]), *told.get("worse", ())])),
    ]


def _of_readings(spec: "ModelSpec") -> list[tuple[str, str]]:
    """Say of each reading which classes are real, and which thresholds there are."""
    facts = []
    before = spec.adaptation.get("rates_before", {})
    for reading in spec.readings:
        default = " (by default)" if len(spec.readings) > 1 and reading is spec.readings[0] else ""
        facts += [
            ("real", ", ".join(reading.real) + default),
            ("threshold", f"{reading.threshold:g}"),
            *(
                (
                    f"threshold {point.name}",
                    f"{point.threshold:.4g}: misses {point.missed:.3%} of the real, "
                    f"passes {point.false:.3%} of the bogus"
                    + _of_parent(before.get(reading.name, {}).get(point.name)),
                )
                for point in reading.operating_points
            ),
        ]
    return facts


def _of_parent(rates: Mapping[str, float] | None) -> str:
    """Return the rates of the model before an adaptation, at its own threshold for the same aim."""
    return "" if rates is None else f" (before: {rates['missed']:.3%}, {rates['false']:.3%})"


def _of_rates(spec: "ModelSpec") -> str:
    """Say what the rates were measured on: those on different frames can't be compared."""
    told = spec.adaptation
    if "verdict" not in told:
        return "on simulated frames of its own training; do not compare them with another model's"
    if "rates_before" not in told:
        return "on simulated frames of 'rbtrain adapt'; do not compare them with another model's"
    return (
        f"on {told['rates_on']} simulated detections of 'rbtrain adapt'; 'before' is the model that was "
        "adapted, on the same ones. Do not compare them with another model's"
    )


def _verify(path: Path) -> int:
    from ..model.session import verify

    result = verify(path)
    verdict = "ok" if result.ok else "FAILED"
    sys.stdout.write(
        f"{path}: {verdict}, {result.n} golden pairs, "
        f"largest difference of a score {result.max_difference:.2g}\n"
    )
    return 0 if result.ok else 1


def _span(ends: tuple[float, float], unit: str) -> str:
    low, high = ends
    return f"{low:g} to {high:g}{unit}" if high != float("inf") else f"from {low:g}{unit}"
