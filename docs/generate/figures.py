"""Figures that were measured, as tables: read from the files that the measuring programs wrote."""

import json
import tomllib
from pathlib import Path
from typing import Any

from rbinfer.diagnostics.drift.deviations import LIMIT
from rbinfer.diagnostics.drift.expected import LIMIT_WITHIN
from rbinfer.diagnostics.drift.within import UNKNOWN_AIRMASS

from .tables import markdown

#: Labelled telescope images, and what they show.
_GROUPS = {
    "eso085": "galaxies",
    "saao_bin2_val": "crowded field of the bulge, binned",
    "saao_val": "crowded field of the bulge",
    "single_apogee300": "many hot pixels",
    "single_saao_raw": "a raw frame, two stars",
    "allsky_clear": "stars as narrow as hits",
    "allsky_overcast": "clouds, no stars",
    "emmi_galaxies": "galaxies",
    "irac": "stars as narrow as hits",
    "irac_columns": "bad columns",
    "nites_trailed_defocus": "trailed and defocused stars",
    "oscaar_dark": "a dark, no stars",
    "oscaar_light": "raw frames with hot pixels",
    "vatt_trails": "trails",
    "ystar_trail_elongated": "a bright, bumpy trail",
}


def results(root: Path) -> dict[str, Any]:
    """Return what the benchmarks wrote, by the name of the benchmark."""
    folder = root / "benchmarks" / "results"
    return {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}


def model_metrics(root: Path) -> dict[str, Any]:
    """Return what was measured of the default model."""
    return _read(root / "models" / "default" / "metrics.json")


def model_config(root: Path) -> dict[str, Any]:
    """Return the configuration that the default model was trained with."""
    return tomllib.loads((root / "models" / "default" / "config.toml").read_text(encoding="utf-8"))


def substitutions(root: Path) -> dict[str, Any]:
    """Return what pages take figures from, as ``{{ results.coldstart.import_s }}``."""
    printed = results(root)
    return {
        "rivals_ahead": rivals_ahead(printed["rivals"]),
        "drift_limits": {"reference": LIMIT, "within": LIMIT_WITHIN, "unknown": UNKNOWN_AIRMASS},
        "bin2": undecided(printed["adapt"]["saao_bin2_val"]),
        "promoted": losses_promoted(printed["promotion"]["called better"]),
        "results": printed,
        "install_mb": sum(printed["install"]["bytes"].values()) / 1e6,
        "config": model_config(root),
        "metrics": model_metrics(root),
    }


def pieces(root: Path) -> dict[str, str]:
    """Return the tables by name."""
    measured, printed = model_metrics(root), results(root)
    return {
        "real-frames": _real_frames(measured["images"]),
        "classes": _classes(measured["simulation"]["by_class"]),
        "rivals": _rivals(printed["rivals"]),
        "throughput": _throughput(printed["throughput"]),
        "pixels": _pixels(printed["pixels"]["frames"]),
        "install": _install(printed["install"]["bytes"]),
        "masks": _masks(printed["masks"]),
        "night": _night(printed["night"]),
        "night-candidates": _candidates(printed["night"]["nights"]),
        "night-seconds": _seconds_of_a_night(printed["night_memory"]["nights"][-1]),
        "bound": _bound(printed["bound"]["by_width"]),
        "promotion": _promotion(printed["promotion"]),
        "deciding": _deciding(printed["promotion"]["said_to_decide"]),
        "adapted": _adapted({"last": printed["adapt"], "all": printed["adapt_layers"]}),
        "drift": _drift(printed["drift"]),
        "false-alarms": _false_alarms(printed["drift"]),
    }


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _rate(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _real_frames(groups: dict[str, Any]) -> str:
    heading = ("images", "what they show", "real", "bogus", "AUC", "real kept", "bogus let in")
    rows = [
        (
            f"`{name}`", _GROUPS.get(name, ""), each["n_real"], each["n_bogus"],
            *(_rate(each[key]) for key in ("auc", "true_rate", "false_rate")),
        )
        for name, each in groups.items()
    ]  # fmt: skip
    return markdown(heading, rows)


def _classes(classes: dict[str, Any]) -> str:
    rows = [
        (name.replace("_", " "), each["n"], _rate(each["called_real"])) for name, each in classes.items()
    ]
    return markdown(("class", "simulated detections", "called real"), rows)


def _bound(widths: dict[str, Any]) -> str:
    """Return what the likelihood ratio and the network reach, by the width of the stars."""
    names = {
        "oracle": "likelihood ratio, hits of the frame known",
        "oracle_of_kind": "likelihood ratio, hits of its kind",
        "measured": "network, FWHM measured",
        "given": "network, FWHM given",
    }
    rows = []
    for width, found in widths.items():
        each = (found[who] for who in names)
        cells = (f"{_rate(f['auc'])} / {_rate(f['kept'], 3)} / {_rate(f['let_in'], 3)}" for f in each)
        rows.append((width.replace("-", " to "), found["n_real"], found["n_bogus"], *cells))
    return markdown(("FWHM (pixels)", "real", "bogus", *names.values()), rows)


def _rivals(found: dict[str, Any]) -> str:
    releases = {name: packages[0].partition("==")[2] for name, packages in found["rivals"].items()}
    rows = []
    for name, each in found["summary"].items():
        tool, comma, how = name.partition(",")
        label = (
            f"{tool} {releases[name]}{comma}{how}" if name in releases else f"rbinfer ({found['ours']})"
        )
        rates = (_rate(each[key], 3) for key in ("auc", "lowest_auc", "kept", "let_in"))
        rows.append((label, *rates, f"{each['seconds_per_megapixel']:.2g}"))
    rates_of = ("mean AUC", "lowest AUC", "mean real kept", "mean bogus let in")
    heading = ("tool", *rates_of, "s per megapixel, one core")
    return markdown(heading, rows)


def rivals_ahead(found: dict[str, Any]) -> str:
    """Say where another tool has the higher share kept minus let in: groups of images and tools."""
    groups = {group: names for group, names in found["higher_than_ours"].items() if names}
    return "; ".join(f"`{group}` ({', '.join(names)})" for group, names in groups.items()) or "none"


def losses_promoted(rates: dict[str, list[float]]) -> dict[str, str]:
    """Return how often a loss is promoted at most: by its size, and without wrong labels."""
    return {
        f"{size}{suffix}": _rate(
            max(
                max(each)
                for name, each in rates.items()
                if f", {size} % of" in name and name.endswith(f"lost, {wrong} wrong")
            ),
            2,
        )
        for size in (5, 10)
        for suffix, wrong in (("", "3%"), ("_right", "0%"))
    }


def undecided(group: dict[str, Any]) -> dict[str, str]:
    """Return what an adaptation won and lost apart, and on its labels, by kind."""
    apart, labels = group["kept apart"], group["on the labels"]
    found = {}
    for name, rates in (
        ("kept", apart["kept"]),
        ("let_in", apart["let in"]),
        ("labels_kept", labels["kept"]),
        ("labels_let_in", labels["let_in"]),
    ):
        found |= {f"{name}_{key}": f"{rates[key]:,}" for key in ("objects", "won", "lost")}
    return found


def _promotion(found: dict[str, Any]) -> str:
    heading = ("truth", *(f"{real} real, {bogus} bogus" for real, bogus in found["labels"]))
    rows = [
        (name.removesuffix(", 3% wrong"), *(_rate(rate, 3) for rate in rates))
        for name, rates in found["called better"].items()
        if name.endswith(", 3% wrong")
    ]
    return markdown(heading, rows)


def _deciding(found: dict[str, Any]) -> str:
    """Return how many labels show a gain, and what is said of that by 200 that don't."""
    rows = []
    for name, each in found.items():
        low, middle, high = each["said over needed: 10, 50, 90 %"]
        said = f"{_rate(middle, 2)} ({_rate(low, 2)} to {_rate(high, 2)})"
        rates = (_rate(each[key], 2) for key in ("a number is said", "shown by as many"))
        rows.append((name, f"{each['needed']:,}", *rates, said))
    heads = ("truth", "objects that show it", "a number is said", "as many show it", "said over needed")
    return markdown(heads, rows)


def _adapted(found: dict[str, dict[str, Any]]) -> str:
    """Return what adaptations did to the detections kept apart, by group and by what was fitted."""
    heading = (
        "group", "labels", "layers fitted", "verdict",
        "kept before", "after", "n", "", "let in before", "after", "n", "",
    )  # fmt: skip
    rows = []
    for group in found["last"]:
        for layers, groups in found.items():
            if group in groups:
                each = groups[group]
                rates = (each["kept apart"][key] for key in ("kept", "let in"))
                cells = [cell for rate in rates for cell in _before_and_after(rate)]
                rows.append((group, each["labels"]["all"], layers, each["verdict"], *cells))
    return markdown(heading, rows)


def _before_and_after(rate: dict[str, Any]) -> tuple[str, ...]:
    shares = (
        f"{_rate(rate[name], 3)} ({_rate(rate[f'{name}_interval'][0], 3)}-"
        f"{_rate(rate[f'{name}_interval'][1], 3)})"
        for name in ("before", "after")
    )
    return *shares, f"{rate['n']:,}", f"+{rate['won']} -{rate['lost']}"


def _against(found: dict[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix("against "): each for name, each in found.items() if name.startswith("against")
    }


def _drift(found: dict[str, Any]) -> str:
    """Return in how many nights faults are told within five frames, by what they are compared with."""
    against = _against(found)
    rows = []
    for fault in next(iter(against.values()))["faults"]:
        cells = []
        for each in against.values():
            told = each["faults"][fault]
            cells.append(f"{told['within 5 frames']} of {told['nights']}")
        first = next(iter(against.values()))["faults"][fault]
        cells.append(f"{first['cause named']} of {first['nights']}")
        rows.append((fault, *cells))
    return markdown(("fault", *against, "cause named"), rows)


def _false_alarms(found: dict[str, Any]) -> str:
    rows = []
    for name, each in _against(found).items():
        good = each["good nights"]
        causes = ", ".join(f"{cause} {n}" for cause, n in good["causes"].items()) or "-"
        at_most = _rate(good["at most (95 %)"], 1)
        rows.append((name, f"{good['frames']:,}", good["false alarms"], at_most, causes))
    heads = ("compared with", "good frames", "false alarms", "in 1,000 at most (95 %)", "causes named")
    return markdown(heads, rows)


def _throughput(found: dict[str, Any]) -> str:
    rows = [(name, f"{each:,.0f}") for name, each in found["objects_per_s"].items()]
    return markdown(("what runs", "objects per second"), rows)


def _pixels(frames: dict[str, Any]) -> str:
    """Return the wall time of each program on each frame; "-" where it was not run."""
    heads = (f"{name} ({each['agreement']['detections']:,})" for name, each in frames.items())
    rows = []
    for name in dict.fromkeys(name for each in frames.values() for name in each["timed"]):
        timed = (each["timed"].get(name) for each in frames.values())
        command, comma, how = name.partition(",")
        label = f"`{command}`{comma}{how}" if command.startswith("rbinfer classify") else name
        rows.append((label, *("-" if each is None else f"{each['wall_s']:.2f}" for each in timed)))
    return markdown(("what runs", *heads), rows)


def _install(sizes: dict[str, int]) -> str:
    rows = [(f"`{name}`", f"{size / 1e6:.1f}") for name, size in sizes.items()]
    return markdown(("package", "MB"), rows)


def _masks(found: dict[str, Any]) -> str:
    rows = [
        (
            name.replace("_", " "),
            each["pixels"],
            _rate(each["completeness"], 2),
            _rate(each["purity"], 2),
        )
        for name, each in found.items()
        if isinstance(each, dict)
    ]
    return markdown(("mask", "true pixels", "completeness", "purity"), rows)


def _night(found: dict[str, Any]) -> str:
    """Return what each frame alone and the whole night say of the detections."""
    ways = ("single frame", "whole night")
    rows = []
    for name, each in {**found["nights"], **found["real"]}.items():
        rates = (_rate(each[way][what]) for what in ("real kept", "purity") for way in ways)
        rows.append((name, f"{each['detections']:,}", f"{each['real']:,}", *rates))
    heads = (f"{what}, {way}" for what in ("real kept", "purity") for way in ("frame alone", "night"))
    return markdown(("night", "detections", "real", *heads), rows)


def _candidates(nights: dict[str, Any]) -> str:
    """Return how complete and pure the candidates are, and what they would be by the scores alone."""
    rows = []
    for name, each in nights.items():
        once = (each["candidates"][f"seen once, by {how}"] for how in ("single score", "probability"))
        cells = (f"{_rate(of['complete'], 3)}, {_rate(of['purity'], 3)}" for of in once)
        rows.append((name, each["candidates"]["movers linked"], *cells))
    heads = ("by the score", "by the probability")
    titles = (f"seen once, {how}: complete, pure" for how in heads)
    return markdown(("night", "movers linked", *titles), rows)


def _seconds_of_a_night(night: dict[str, Any]) -> str:
    """Return the milliseconds that each part of a night takes for a frame."""
    rows = [(part, f"{1e3 * spent / night['frames']:.0f}") for part, spent in night["seconds"].items()]
    return markdown(("part", "ms a frame"), rows)
