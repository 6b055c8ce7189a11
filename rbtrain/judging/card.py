"""The model card: what a model is, how it was measured, what it cannot do; all from its own files."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rbinfer.model.readings import Reading
from rbinfer.model.spec import ModelSpec

from .readings import BIN_KEYS
from .text import number
from .versus import classes_table, counting, groups_table, pooled
from .ways import WAYS

_ABOUT_IMAGES = (
    "Labelled detections of telescope frames, scored in several ways. `FWHM measured` gives the "
    "positions and the brightest pixels of the catalogue; the others say what else is given or left "
    "out. Without a catalogue, what `rbinfer` detects is matched with the labelled positions within 2 "
    "pixels."
)
_COLUMNS = (
    ("real", "n_real", "{:d}"),
    ("bogus", "n_bogus", "{:d}"),
    ("unscored", "unscored", "{:d}"),
    ("AUC", "auc", "{:.4f}"),
    ("real kept", "true_rate", "{:.4f}"),
    ("bogus let through", "false_rate", "{:.4f}"),
    ("FPR at 95 % TPR", "false_at_95", "{:.4f}"),
    ("FPR at 99 % TPR", "false_at_99", "{:.4f}"),
)


def card_text(spec: ModelSpec, metrics: dict[str, Any]) -> str:
    """Return the card of a model as Markdown.

    Parameters
    ----------
    spec : ModelSpec
        What the model file says of itself.
    metrics : dict
        What ``rbtrain evaluate`` measured; None for what could not be.

    Returns
    -------
    str
    """
    preprocess = spec.preprocess
    low, high = spec.fwhm_range
    parts = [
        f"# Model `{spec.name}`, version {spec.version}",
        "Written by `rbtrain evaluate`; not edited by hand.",
        "## What it is",
        f"- Input: {preprocess.size} x {preprocess.size} pixels, two channels, `{preprocess.preset}` "
        f"preprocessing, rescaled to a FWHM of about {preprocess.target_fwhm:g} pixels.",
        f"- Classes: {', '.join(spec.classes)}; counted as real: "
        f"{', '.join(spec.calibration.get('counted_as_real', spec.real))}.",
        f"- Threshold: {spec.threshold:g}. Calibration: {_plain(spec.calibration)}.",
        f"- Trained on simulation{_labels_of(spec)}, FWHM {low:g} to {high:g} pixels; configuration "
        f"hash `{spec.config_hash}`, see `config.toml`.",
    ]
    if "before" in metrics:
        parts += _changes(spec, metrics["before"])
    if spec.operating_points:
        parts += [
            "## Operating points",
            f"On {_measured_on(spec)}; galaxies that do not count as real take no part:",
        ]
    for reading in spec.readings:
        if len(spec.readings) > 1:
            parts.append(f"With {' and '.join(reading.real)} real (`--real {reading.name}`):")
        if reading.operating_points:
            parts.append(_points_of(reading))
    if "simulation" in metrics:
        parts += _simulation(metrics["simulation"], metrics.get("baselines", {}))
        if "mistakes" in metrics:
            parts += [
                "Mistakes, at most ten of each class and drawn at random, with the score and the "
                "FWHM of the frame:",
                f"![Cutouts that were judged wrongly]({metrics['mistakes']})",
            ]
    if "bound" in metrics:
        parts += _bound(metrics["bound"])
    if "images_detected" in metrics:
        parts += ["## Labelled real images", _ABOUT_IMAGES]
    for way in WAYS:
        if way.key in metrics:
            parts += [f"## Labelled real images, {way.title}", _figures(metrics[way.key], "group")]
            parts += _images_more(metrics, way.key)
    parts += ["## What it cannot do", _limits(spec, metrics)]
    return "\n\n".join(parts) + "\n"


def _labels_of(spec: ModelSpec) -> str:
    """Say what beside simulation a model was made from."""
    told = spec.adaptation
    if not told:
        return " alone"
    if "labels" not in told:  # calibrated anew since
        return " and adapted to labels of real images"
    counts = f"{told['labels']['real']} real and {told['labels']['bogus']} bogus labels of real images"
    return f" and adapted to {counts} ({told['method']})"


def _measured_on(spec: ModelSpec) -> str:
    """Say what the operating points were measured on."""
    if "rates_on" in spec.adaptation:
        return f"{spec.adaptation['rates_on']} simulated detections of `rbtrain adapt`"
    return "the validation frames (simulated)"


def _points_of(reading: Reading) -> str:
    return _table(
        ("chosen for", "threshold", "real missed", "bogus let through"),
        [
            (p.name, f"{p.threshold:.4f}", f"{p.missed:.4f}", f"{p.false:.4f}")
            for p in reading.operating_points
        ],
    )


def _changes(spec: ModelSpec, before: dict[str, Any]) -> list[str]:
    """What is another than in the version before."""
    title = f"## What changed since version {before['version']}"
    lines = []
    if spec.parent:
        lines.append(f"- The network is that of {spec.parent}; the operating points are chosen anew.")
    if list(spec.real) != before["real"]:
        was = " and ".join(before["real"])
        lines.append(
            f"- By default {' and '.join(spec.real)} count as real; it was {was}. "
            f"`--real {','.join(before['real'])}` or `real_source_types` gives what was."
        )
    rows = [
        (f"{title_of}, {at.replace('snr', 'S/N').replace('fwhm', 'FWHM')}", number(old), number(new))
        for key, title_of in (("with_galaxies", "stars and galaxies"), ("stars", "stars alone"))
        for at, (old, new) in before["auc"][key].items()
    ]
    worst = " and ".join(f"{number(loss)}" for loss in before["worst"].values())
    return [
        title,
        "\n".join(lines),
        "AUC on the simulated test frames, by what counts as real. The largest losses of the two "
        f"readings are {worst}:",
        _table(("real, bin", f"version {before['version']}", f"version {spec.version}"), rows),
    ]


def _simulation(measured: dict[str, Any], versus: dict[str, Any]) -> list[str]:
    parts = [
        "## Simulated test frames",
        "From seeds that training never saw. Expected calibration error "
        f"{measured['calibration_error']:.4f}, in the mix that the score is calibrated for"
        f"{_other_errors(measured)}.",
        _figures({"all": measured["overall"]}, ""),
        _table(
            ("class", "n", "counts as", "called real"),
            [
                (name, str(f["n"]), "real" if f["real"] else "bogus", f"{f['called_real']:.4f}")
                for name, f in measured["by_class"].items()
            ],
        ),
    ]
    if "told" in measured:
        parts += [
            "Beside each cutout the network reads the star of the frame where it was measured, native "
            "pixels and, if it was fitted with them, what else is on the frame (the population) and a "
            "wide view. Where a FWHM is given, it is told neither star nor population. The same cutouts "
            "when it is told less:",
            _told(measured["told"]),
        ]
    for key, title in (
        ("by_snr", "S/N (3 x 3 pixels)"),
        ("by_fwhm", "FWHM (pixels)"),
        ("by_crowding", "Stars above 5 sigma per square FWHM"),
    ):
        parts.append(_figures(measured[key], title))
    if "readings" in measured:
        parts += _readings(measured["readings"])
    if measured.get("operating_points"):
        parts += _points(measured["operating_points"])
    if "reliability" in measured:
        rows = [
            (f"{r['low']:.2f}-{r['high']:.2f}", str(r["n"]), f"{r['score']:.3f}", f"{r['real']:.3f}")
            for r in measured["reliability"]
        ]
        parts += ["Reliability:", _table(("score", "n", "mean score", "fraction real"), rows)]
    if "simulation" in versus:
        parts += _versus_simulation(versus["simulation"])
    return parts


def _bound(measured: dict[str, Any]) -> list[str]:
    """What a likelihood ratio reaches on the same cutouts."""
    rows = []
    for key, title in (("by_width", "FWHM"), ("by_snr", "S/N")):
        for at, f in measured[key].items():
            known = [f.get(who) for who in ("oracle", "oracle_of_kind", "measured", "given")]
            cells = (
                "-" if g is None else f"{g['auc']:.4f} / {g['kept']:.3f} / {g['let_in']:.3f}"
                for g in known
            )
            rows.append((f"{title} {at}", str(f["n_real"]), str(f["n_bogus"]), *cells))
    head = (
        "AUC / kept / let in",
        "real",
        "bogus",
        "likelihood ratio, hits of the frame known",
        "likelihood ratio, hits of its kind",
        "network, width measured",
        "network, width given",
    )
    return [
        "## Beside the likelihood ratio",
        "Simulated frames of which all is known (`benchmarks/bound.py`). The likelihood ratio is told "
        "the star of the frame, its noise, all other light, and the laws that objects are drawn from; "
        "how many hits there are, and in which silicon, either of the frame or of its kind alone. It is "
        "a reference, not a limit. Trails, spikes and blends take no part. S/N in 3 x 3 pixels; kept "
        "and let in at even odds, and at the threshold of the network.",
        _table(head, rows),
    ]


def _other_errors(measured: dict[str, Any]) -> str:
    """Calibration errors of the readings other than the default one."""
    others = list(measured.get("calibration_errors", {}).items())[1:]
    return "".join(f"; with {name} real {number(error)}" for name, error in others)


def _readings(readings: dict[str, Any]) -> list[str]:
    """Readings of what is real: AUC overall and by bins."""
    head: tuple[str, ...] = (
        "AUC",
        "shipped, all else bogus",
        "galaxies left out",
        "stars and galaxies real",
    )
    names = ["shipped", "without_galaxies", "with_galaxies"]
    if "stars" in readings:
        head, names = (*head, "stars alone real"), [*names, "stars"]
    rows: list[tuple[str, ...]] = [
        ("all", *(number(readings[name]["overall"]["auc"]) for name in names))
    ]
    for key, title in (("by_snr", "S/N"), ("by_fwhm", "FWHM"), ("by_crowding", "crowding")):
        rows += [
            (f"{title} {at}", *(number(readings[name][key][at]["auc"]) for name in names))
            for at in readings["shipped"][key]
        ]
    count = {3: "three", 4: "four"}[len(names)]
    return [f"The same in {count} readings of what is real:", _table(head, rows)]


def _points(points: dict[str, Any]) -> list[str]:
    """Each operating point by bins: missed / let through."""
    parts = ["The operating points on these frames, real missed / bogus let through:"]
    for key, title in (("by_snr", "S/N"), ("by_fwhm", "FWHM")):
        bins = list(next(iter(points.values()))[key])
        rows = [
            (
                name,
                *(
                    f"{number(p[key][at]['missed'], 3)} / {number(p[key][at]['false'], 3)}"
                    for at in bins
                ),
            )
            for name, p in points.items()
        ]
        parts.append(_table((title, *bins), rows))
    return parts


def _versus_simulation(measured: dict[str, Any]) -> list[str]:
    return [
        f"Beside simple means, on {measured['frames']} of the frames "
        f"(AUC against {counting(measured)}):",
        _table(*classes_table(measured)),
        _table(*groups_table(pooled(measured))),
    ]


def _images_more(metrics: dict[str, Any], key: str) -> list[str]:
    """What else was measured on a set of labelled images."""
    parts = []
    undetected = {name: f["undetected"] for name, f in metrics[key].items() if "undetected" in f}
    if undetected:
        cells = [
            (name, *(f"{n} of {of}" for n, of in (f["real"], f["bogus"])))
            for name, f in undetected.items()
        ]
        parts += [
            "Not detected (they count as unscored above):",
            _table(("group", "of the real", "of the bogus"), cells),
        ]
    both = {name: f for name, f in metrics[key].items() if "with_galaxies" in f}
    if both:
        rows = []
        for name, f in both.items():
            found = f["with_galaxies"]
            rates = (found["auc"], found["true_rate"], found["false_rate"])
            rows.append((name, *(number(rate) for rate in rates)))
        parts += [
            "A label says only that something is in the sky. With galaxies counted as real, too:",
            _table(("group", "AUC", "real kept", "bogus let through"), rows),
        ]
    versus = metrics.get("baselines", {}).get(key)
    if versus:
        parts += ["Beside simple means:", _table(*groups_table(versus))]
    calibration = metrics.get("calibration", {}).get(key)
    if calibration:
        rows = [
            (
                name,
                str(f["n"]),
                number(f["fraction_real"], 3),
                number(f["error"]),
                number(f.get("error_of_mix")),
            )
            for name, f in calibration.items()
        ]
        parts += [
            "Calibration. Scores are probabilities for the mix named under Calibration above; the last "
            "column is the error after they are moved to the fraction that is real here:",
            _table(("group", "n", "fraction real", "ECE", "ECE, mix corrected"), rows),
        ]
    return parts


def _limits(spec: ModelSpec, metrics: dict[str, Any]) -> str:
    """List every measured bin and group in which it falls short, with the figures."""
    lines = _limits_of_readings(metrics.get("simulation", {}))
    for key in BIN_KEYS:
        for name, f in metrics.get("simulation", {}).get(key, {}).items():
            if f["auc"] is not None and f["auc"] < 0.98:
                what = key.removeprefix("by_").replace("snr", "S/N").replace("fwhm", "FWHM")
                lines.append(f"- Simulation, {what} {name}: AUC {f['auc']:.3f}.")
    for name, f in metrics.get("simulation", {}).get("by_class", {}).items():
        share = 1 - f["called_real"] if f["real"] else f["called_real"]
        if share > 0.05:
            what = "lost" if f["real"] else "called real"
            lines.append(f"- Simulated {name.replace('_', ' ')}: {share:.1%} {what}.")
    for name, f in metrics.get("images", {}).items():
        if min(f["n_real"], f["n_bogus"]) >= 20 and (f["auc"] < 0.997 or f["true_rate"] < 0.985):
            lines.append(
                f"- Real images, {name}: AUC {f['auc']:.3f}, {f['true_rate']:.1%} of the real kept, "
                f"{f['false_rate']:.1%} of the bogus let through."
            )
    lines += _limits_beside(metrics)
    if spec.adaptation:
        seen = "Of real images it has seen its labels alone; what these and simulation lack"
    else:
        seen = "It has seen no real image in training; what simulation lacks"
    lines.append(f"- {seen}, it does not know.")
    return "\n".join(lines)


def _limits_of_readings(simulation: dict[str, Any]) -> list[str]:
    """Say what galaxies and the faintest detections cost."""
    if "readings" not in simulation:
        return []
    lines = []
    shipped, sky = (simulation["readings"][name] for name in ("shipped", "with_galaxies"))
    galaxy = simulation["by_class"].get("galaxy")
    if galaxy is not None and not galaxy["real"]:
        lines.append(
            f"- It does not tell galaxies from stars well: {galaxy['called_real']:.1%} of the simulated "
            f"ones pass as stars. With galaxies counted as real {sky['by_class']['galaxy']:.1%} of them "
            f"are kept, and the AUC against artefacts is {number(sky['overall']['auc'])} "
            f"(shipped: {number(shipped['overall']['auc'])})."
        )
    kept = "of the real" if galaxy is not None and galaxy["real"] else "of the stars"
    at, faint = next(iter(shipped["by_snr"].items()))
    if faint["true_rate"] is not None:
        lines.append(
            f"- Faint detections: at S/N {at} it keeps {faint['true_rate']:.1%} {kept} and lets "
            f"through {number(faint['false_rate'], 3)} of the bogus; below, nothing was measured."
        )
    return lines


def _limits_beside(metrics: dict[str, Any]) -> list[str]:
    """Say where a simple method does better, and where the scores are no probabilities."""
    lines = []
    for name, methods in metrics.get("baselines", {}).get("images", {}).items():
        own = methods["network"]
        for method, f in methods.items():
            both = min(f["n_real"], f["n_bogus"], own["n_real"], own["n_bogus"])
            if both >= 20 and f["auc"] > own["auc"] + 5e-4:
                lines.append(
                    f"- Real images, {name}: {method} alone separates better, "
                    f"AUC {f['auc']:.4f} against {own['auc']:.4f}."
                )
    for name, f in metrics.get("calibration", {}).get("images", {}).items():
        if f["error"] > 0.05:
            lines.append(
                f"- Real images, {name}: the score is no probability there (calibration error "
                f"{f['error']:.3f})."
            )
    return lines


def _told(told: dict[str, Any]) -> str:
    """Return a table of what the network does by what it is told."""
    kinds = [name for name, f in told["all"]["by_class"].items() if not f["real"]]
    return _table(
        ("told", "AUC", "kept", "let in", *kinds),
        [
            (
                name,
                f"{found['auc']:.4f}",
                f"{found['true_rate']:.4f}",
                f"{found['false_rate']:.4f}",
                *(f"{found['by_class'][kind]['called_real']:.3f}" for kind in kinds),
            )
            for name, found in told.items()
        ],
    )


def _figures(rows: dict[str, dict[str, Any]], title: str) -> str:
    return _table(
        (title, *(name for name, _, _ in _COLUMNS)),
        [
            (name, *("-" if f[key] is None else form.format(f[key]) for _, key, form in _COLUMNS))
            for name, f in rows.items()
        ],
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _plain(values: Any) -> str:
    shown = []
    for key, value in values.items():
        if key == "counted_as_real":
            continue
        if isinstance(value, float | list):
            numbers = " / ".join(f"{number:.4g}" for number in np.atleast_1d(value))
            shown.append(f"{key.replace('_', ' ')} {numbers}")
        else:
            shown.append(str(value))
    return ", ".join(shown) or "none"
