"""Figures of merit as text tables."""

import math
from typing import Any

from .readings import BIN_KEYS, POINT_KEYS

#: Titles of rates and readings.
_RATES = {"kept": "real kept", "let_in": "bogus let in", "calibration_error": "calibration error"}
_READINGS = {"shipped": "as it counts"}


def number(value: float | None, digits: int = 4) -> str:
    """Format a figure; a dash for one that could not be measured (None, NaN or infinite)."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def format_groups(groups: dict[str, dict[str, Any]]) -> str:
    """Format `figures` of named groups as a text table."""
    names = ("real", "bogus", "unsc.", "AUC", "kept", "let in", "FPR@95", "FPR@99")
    lines = [f"{'group':20s} " + " ".join(f"{n:>7s}" for n in names)]
    for name, f in groups.items():
        rates = (f[key] for key in ("auc", "true_rate", "false_rate", "false_at_95", "false_at_99"))
        counts = (f[key] for key in ("n_real", "n_bogus", "unscored"))
        cells = (*(f"{n:7d}" for n in counts), *(f"{number(rate):>7s}" for rate in rates))
        lines.append(f"{name:20s} {' '.join(cells)}")
    return "\n".join(lines)


def format_undetected(groups: dict[str, dict[str, Any]]) -> str:
    """Say of each group how many of the labelled were not detected; empty where all were given."""
    lines = []
    for name, f in groups.items():
        if "undetected" in f:
            cells = (f"{n} of {of} {what}" for what, (n, of) in f["undetected"].items())
            lines.append(f"{name:20s} {', '.join(cells)}")
    return "\n".join(lines)


def format_sky(groups: dict[str, dict[str, Any]]) -> str:
    """Format groups with stars and galaxies counted as real; empty for a model without both."""
    lines = [f"{'group':20s} " + " ".join(f"{n:>7s}" for n in ("AUC", "kept", "let in"))]
    lines += [
        f"{name:20s} {number(f['auc']):>7s} {number(f['true_rate']):>7s} {number(f['false_rate']):>7s}"
        for name, f in ((name, g["with_galaxies"]) for name, g in groups.items() if "with_galaxies" in g)
    ]
    return "\n".join(lines) if len(lines) > 1 else ""


def format_calibration(groups: dict[str, dict[str, Any]]) -> str:
    """Format what `measure_calibration` found as a text table."""
    lines = [f"{'group':20s} {'n':>7s} {'real':>7s} {'ECE':>7s} {'of mix':>7s}"]
    for name, f in groups.items():
        mix = f"{f['error_of_mix']:7.4f}" if "error_of_mix" in f else f"{'-':>7s}"
        lines.append(f"{name:20s} {f['n']:7d} {f['fraction_real']:7.4f} {f['error']:7.4f} {mix}")
    return "\n".join(lines)


def format_bins(measured: dict[str, Any]) -> str:
    """Format what `evaluate_simulation` found as text tables."""
    lines = ["simulated test frames", format_groups({"all": measured["overall"]}), ""]
    lines += [f"{'class':20s} {'n':>6s} {'called real':>12s}"]
    for name, f in measured["by_class"].items():
        lines.append(f"{name:20s} {f['n']:6d} {f['called_real']:12.4f}")
    for key in BIN_KEYS:
        lines += ["", key.replace("_", " "), format_groups(measured[key])]
    lines += ["", _format_readings(measured["readings"])]
    for key in POINT_KEYS:
        lines += ["", _format_points(measured["operating_points"], key)]
    lines += ["", f"expected calibration error {measured['calibration_error']:.4f}"]
    return "\n".join(lines)


def format_before(changed: dict[str, Any]) -> str:
    """Format what `what_changed` found: rates before and now, and AUC by reading and bin."""
    lines = [f"{'at the thresholds':24s} {'before':>8s} {'now':>8s}"]
    for key, better in (("kept", 1), ("let_in", -1), ("calibration_error", -1)):
        old, new = changed["rates"][key]
        worse = "   worse" if (new - old) * better < 0 else ""
        lines.append(f"{_RATES[key]:24s} {number(old):>8s} {number(new):>8s}{worse}")
    lines += [
        "",
        f"{'AUC, version ' + changed['version'] + ' / now':24s} {'before':>8s} {'now':>8s}",
    ]
    for name, pairs in changed["auc"].items():
        lines += [
            f"{name} {at:16s}".ljust(32) + f"{old:8.4f} {new:8.4f}" for at, (old, new) in pairs.items()
        ]
        lines.append(f"largest loss, {name}: {changed['worst'][name]:.4f}")
    return "\n".join(lines)


def _format_readings(readings: dict[str, Any]) -> str:
    """Format the AUC of each reading, overall and by bins."""
    lines = [f"{'AUC':20s} " + " ".join(f"{_READINGS.get(name, name):>16s}" for name in readings)]
    for key in ("overall", *BIN_KEYS):
        first = next(iter(readings.values()))[key]
        for at in [""] if key == "overall" else first:
            found = [r[key] if key == "overall" else r[key][at] for r in readings.values()]
            title = f"{key.removeprefix('by_')} {at}".strip()
            lines.append(f"{title:20s} " + " ".join(f"{f['auc']:16.4f}" for f in found))
    return "\n".join(lines)


def _format_points(points: dict[str, Any], key: str) -> str:
    """Format missed / false of each operating point by bins."""
    bins = list(next(iter(points.values()))[key]) if points else []
    lines = [f"{'missed / false ' + key[3:]:22s} " + " ".join(f"{at:>15s}" for at in bins)]
    for name, point in points.items():
        cells = (f"{point[key][at]['missed']:.3f} / {point[key][at]['false']:.3f}" for at in bins)
        lines.append(f"{name:22s} " + " ".join(f"{c:>15s}" for c in cells))
    return "\n".join(lines)


def format_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Format a table as text in columns.

    Parameters
    ----------
    head : tuple of str
    rows : list of tuple of str
        As many cells each as `head` has. The first column is aligned to the left, the others to
        the right.

    Returns
    -------
    str
    """
    widths = [max(len(line[k]) for line in (head, *rows)) for k in range(len(head))]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in (head, *rows)
    ]
    return "\n".join(lines)
