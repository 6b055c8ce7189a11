"""How well anyone could tell real from bogus on simulated frames: a likelihood ratio and the network.

``python benchmarks/bound.py [--model NAME] [--frames N] [--size F] [--kept FILE] [--json FILE]`` draws
frames of which each object, the PSF and the laws of all classes are known, and detects on them as a
pipeline would. Two say of each detection how likely it is real: the likelihood ratio, told all but what
it is, and the shipped network, which measures the frame itself or is given its width. By FWHM and S/N
the script prints the AUC, what is kept and let in, and whether the probabilities of the likelihood ratio
are right.
The likelihood ratio takes hours and knows of no network: with ``--kept`` its figures are those of an
earlier run of as many frames, and the network alone is measured, on the same detections.
"""

import argparse
import dataclasses
import json
import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from _common import FRAMES, add_json, processor, verdict, write_json

from rbinfer import Classifier
from rbtrain.config import TrainConfig
from rbtrain.judging.bound.figures import (
    BRIGHT,
    KEPT,
    SNR,
    Rows,
    by_class,
    calibration,
    figures,
    rows_of,
)
from rbtrain.judging.bound.judge import judge_frame
from rbtrain.judging.bound.known import KnownFrame, draw_known_frame
from rbtrain.judging.bound.library import Size
from rbtrain.simulate import ScenesConfig, SimulateConfig
from rbtrain.simulate.scenes import draw_scene

SEED = 1818
WIDTHS = (0.5, 1.5, 2.0, 3.0, 5.0, 14.0)
#: Frames of each bin of widths as a share of the first, where mistakes are many.
SHARES = (1.0, 0.4, 0.2, 0.2, 0.2)
#: Kinds of frame with independent objects and noise; the plain ones have the share that all kinds leave.
KINDS = ("undersampled", "thick", "survey", "infrared")
#: So much below the likelihood ratio may the network's AUC be, below 1.5 pixels with the width measured.
WITHIN = 0.02
#: Parts of a report that are the likelihood ratio's.
_OF_RATIO = ("oracle", "oracle_of_kind", "calibration", "calibration_of_doubtful")
_WHO = {
    "oracle": "likelihood ratio, hits of the frame known",
    "oracle_of_kind": "likelihood ratio, kind known",
    "measured": "network, width measured",
    "given": "network, width given",
}


def draw_frames(
    simulate: SimulateConfig, width: int, numbers: range
) -> Iterator[tuple[int, str, KnownFrame, np.random.Generator]]:
    """Draw frames of a bin of widths: yields number, kind, frame and the generator of what follows."""
    shares = {kind: getattr(simulate.scenes, kind) for kind in KINDS}
    shares["plain"] = 1 - sum(dataclasses.asdict(simulate.scenes).values())
    weights = np.array(list(shares.values())) / sum(shares.values())
    for number in numbers:
        rng = np.random.default_rng((SEED, width, number))
        known = None
        while known is None:
            kind = str(rng.choice(list(shares), p=weights))
            only = ScenesConfig() if kind == "plain" else ScenesConfig(**{kind: 1.0})
            ranges = draw_scene(dataclasses.replace(simulate, scenes=only), rng)
            known = draw_known_frame(ranges, rng, WIDTHS[width : width + 2])
        yield number, kind, known, rng


def judge(
    classifier: Classifier, config: TrainConfig, width: int, numbers: range, size: Size | None
) -> Rows:
    """Judge the detections on frames of a bin of widths; without a size, by the network alone."""
    data = dataclasses.replace(config.data, per_class=10**6, sources=10**6)
    parts = []
    for number, kind, known, rng in draw_frames(config.simulate, width, numbers):
        judged = judge_frame(known, data, rng, size=size, likelihood=size is not None)
        if judged.label.size == 0:
            continue
        peaks = judged.xpeak, judged.ypeak
        measured, given = (
            classifier.score(known.frame.image, judged.x, judged.y, fwhm=fwhm, peaks=peaks).score
            for fwhm in (None, known.frame.fwhm)
        )
        about = {"frame": 1000 * width + number, "width": width, "kind": kind, "fwhm": known.frame.fwhm}
        parts.append(rows_of(judged, measured, given, **about))
    rows = np.concatenate(parts)
    return rows[np.isfinite(rows["measured"]) & np.isfinite(rows["given"])]


def report_of(rows: Rows, threshold: float) -> dict[str, Any]:
    """Return all figures."""
    widths = {}
    for width in np.unique(rows["width"]):
        inside = rows[rows["width"] == width]
        found = figures(inside, threshold) | {"by_snr": _by_snr(inside, threshold)}
        widths[_span(*WIDTHS[width : width + 2])] = found | {"by_class": by_class(inside, threshold)}
    return {
        "all": figures(rows, threshold),
        "by_class": by_class(rows, threshold),
        "by_snr": _by_snr(rows, threshold),
        "by_width": widths,
        "by_kind": {
            str(kind): figures(rows[rows["kind"] == kind], threshold) for kind in np.unique(rows["kind"])
        },
        "calibration": calibration(rows),
        "calibration_of_doubtful": calibration(rows, (0.1, 0.9)),
    }


def with_kept(report: Any, kept: Any, at: str = "") -> Any:
    """Return a report with the figures of the likelihood ratio of another, of the same detections."""
    if not isinstance(report, dict):
        return report
    result = {}
    for key, value in report.items():
        where = f"{at} {key}".strip()
        if key in _OF_RATIO:
            result[key] = kept[key]
        elif key.startswith("n") and key != "noise" and value != kept[key]:
            raise SystemExit(f"other detections than those of --kept: {where} {value}, not {kept[key]}")
        else:
            result[key] = with_kept(value, kept[key], where)
    return result


def _by_snr(rows: Rows, threshold: float) -> dict[str, Any]:
    bins = {_span(low, high): (rows["snr"] >= low) & (rows["snr"] < high) for low, high in pairwise(SNR)}
    return {at: figures(rows[inside], threshold) for at, inside in bins.items() if inside.any()}


def _span(low: float, high: float) -> str:
    return f">{low:g}" if not np.isfinite(high) else f"<{high:g}" if low == 0 else f"{low:g}-{high:g}"


def show(report: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"\n{'':34s}{'real':>6s}{'bogus':>6s}   " + "".join(f"{who:>28s}" for who in _WHO))
    for width, found in report["by_width"].items():
        _show_line(f"FWHM {width} px", found)
        for snr, part in found["by_snr"].items():
            _show_line(f"  S/N {snr}", part)
    _show_line("all", report["all"])
    for snr, part in report["by_snr"].items():
        _show_line(f"  S/N {snr}", part)
    for kind, found in report["by_kind"].items():
        _show_line(kind, found)
    print(f"\nlet in where {KEPT:.0%} of the real ones of S/N > {BRIGHT:g} are kept")
    tables = {"all": report["by_class"]} | {
        width: found["by_class"] for width, found in report["by_width"].items()
    }
    for width, table in tables.items():
        kept = table["kept_at_threshold"]
        print(f"  FWHM {width}: network keeps {kept['measured']:.4f}, width given {kept['given']:.4f}")
        for name, found in table.items():
            if name != "kept_at_threshold":
                cells = "  ".join(f"{who} {found[who]['let_in']:.4f}" for who in _WHO)
                own = found["measured"]["let_in_at_threshold"]
                print(f"    {name:12s} {found['n']:5d}  {cells}  at its threshold {own:.4f}")
    print("\nof those that the likelihood ratio calls real with a probability of")
    for part in report["calibration"]:
        ends = f"{part['low']:.1f} to {part['high']:.1f}"
        print(f"  {ends} ({part['n']}, mean {part['expected']:.3f}): {part['real']:.3f} are real")


def _show_line(title: str, found: dict[str, Any]) -> None:
    cells = ""
    for who in _WHO:
        f = found.get(who)
        cells += f"{'-':>28s}" if f is None else f"{f['auc']:12.4f} {f['kept']:7.3f} {f['let_in']:7.3f}"
    print(f"{title:34s}{found['n_real']:6d}{found['n_bogus']:6d}   {cells}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--frames", type=int, default=40, help="below 1.5 px; fewer of the others")
    parser.add_argument("--size", type=float, default=1.0, help="factor on the number of templates")
    parser.add_argument("--kept", type=Path, help="result whose figures of the likelihood ratio stay")
    add_json(parser)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    classifier = Classifier(options.model)
    config = TrainConfig.read(FRAMES)
    kept = None if options.kept is None else json.loads(options.kept.read_text())
    if kept is not None and (kept["frames"], kept["size"]) != (options.frames, options.size):
        parser.error(f"{options.kept} is of {kept['frames']} frames and size {kept['size']}")
    size = Size().times(options.size) if kept is None else None
    counts = [max(1, round(options.frames * share)) for share in SHARES]
    rows = np.concatenate(
        [judge(classifier, config, width, range(n), size) for width, n in enumerate(counts)]
    )
    print(f"{processor()}; model {classifier.spec.name} {classifier.spec.version}")
    report = report_of(rows, classifier.spec.threshold)
    if kept is not None:
        report = with_kept(report, kept)
    show(report)
    narrow = next(iter(report["by_width"].values()))
    lost = narrow["oracle_of_kind"]["auc"] - narrow["measured"]["auc"]
    verdict("AUC lost below 1.5 px, width measured", lost, WITHIN, below=True)
    about = {"model": classifier.spec.name, "version": classifier.spec.version, "size": options.size}
    write_json(options.json, about | {"frames": options.frames} | report)


if __name__ == "__main__":
    main()
