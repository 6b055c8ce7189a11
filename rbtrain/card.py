"""The model card: what a model is, how it was measured, what it cannot do; all from its own files."""

from typing import Any

from rbinfer.spec import ModelSpec

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
        f"- Trained on simulation alone, FWHM {low:g} to {high:g} pixels; configuration hash "
        f"`{spec.config_hash}`, see `config.toml`.",
    ]
    if spec.operating_points:
        parts += [
            "## Operating points",
            "On the validation frames (simulated):",
            _table(
                ("chosen for", "threshold", "real missed", "bogus let through"),
                [
                    (p.name, f"{p.threshold:.4f}", f"{p.missed:.4f}", f"{p.false:.4f}")
                    for p in spec.operating_points
                ],
            ),
        ]
    if "simulation" in metrics:
        parts += _simulation(metrics["simulation"])
    for key, title in (("images", "FWHM measured"), ("images_fwhm_given", "FWHM given")):
        if key in metrics:
            parts += [f"## Labelled real images, {title}", _figures(metrics[key], "group")]
    parts += ["## What it cannot do", _limits(metrics)]
    return "\n\n".join(parts) + "\n"


def _simulation(measured: dict[str, Any]) -> list[str]:
    parts = [
        "## Simulated test frames",
        "From seeds that training never saw. Expected calibration error "
        f"{measured['calibration_error']:.4f}.",
        _figures({"all": measured["overall"]}, ""),
        _table(
            ("class", "n", "counts as", "called real"),
            [
                (name, str(f["n"]), "real" if f["real"] else "bogus", f"{f['called_real']:.4f}")
                for name, f in measured["by_class"].items()
            ],
        ),
    ]
    for key, title in (
        ("by_snr", "S/N (3 x 3 pixels)"),
        ("by_fwhm", "FWHM (pixels)"),
        ("by_crowding", "Stars above 5 sigma per square FWHM"),
    ):
        parts.append(_figures(measured[key], title))
    return parts


def _limits(metrics: dict[str, Any]) -> str:
    """List every measured bin and group in which it falls short, with the figures."""
    lines = []
    for key in ("by_snr", "by_fwhm", "by_crowding"):
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
    lines.append("- It has seen no real image in training; what simulation lacks, it does not know.")
    return "\n".join(lines)


def _figures(rows: dict[str, dict[str, Any]], title: str) -> str:
    return _table(
        (title, *(name for name, _, _ in _COLUMNS)),
        [
            (name, *("-" if f[key] is None else form.format(f[key]) for _, key, form in _COLUMNS))
            for name, f in rows.items()
        ],
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _plain(values: Any) -> str:
    shown = [
        f"{key} {value:.4g}" if isinstance(value, float) else str(value)
        for key, value in values.items()
        if key != "counted_as_real"
    ]
    return ", ".join(shown) or "none"
