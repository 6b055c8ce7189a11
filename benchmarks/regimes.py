"""The shipped model on simulated telescopes: one kind of image at a time, FWHM measured by rbinfer.

``python benchmarks/regimes.py [--model NAME] [--frames N] [--json FILE]`` draws frames of each regime,
detects as a pipeline would, lets ``Classifier`` measure the FWHM and score, and prints AUC, the share
of stars kept and of artefacts let through at the shipped threshold. Galaxies take no part.
"""

import argparse
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from _common import ROOT
from astropy.table import Table

from rbinfer import Classifier
from rbtrain.config import CLASSES, TrainConfig
from rbtrain.data.cutting import find_detections, frame_rng
from rbtrain.judging.evaluate import figures
from rbtrain.simulate import ScenesConfig, SimulateConfig, draw_frame

SEED = 777
PLAIN_PSF = {"trailed": 0.0, "aberrated": 0.0, "wide_fraction": 0.0, "varying": 0.0}

#: Regime: changes to the shipped simulator, by table.
REGIMES: dict[str, dict[str, dict[str, Any]]] = {
    "as trained": {},
    "undersampled, FWHM 1 - 1.5": {"psf": {**PLAIN_PSF, "common_fwhm": (1.0, 1.5)}},
    "sampled, FWHM 2 - 3": {"psf": {**PLAIN_PSF, "common_fwhm": (2.0, 3.0)}},
    "well sampled, FWHM 4 - 6": {"psf": {**PLAIN_PSF, "common_fwhm": (4.0, 6.0)}},
    "oversampled, FWHM 8 - 14": {"psf": {**PLAIN_PSF, "common_fwhm": (8.0, 14.0)}},
    "trailed by 0.5 - 2 FWHM": {"psf": {"trailed": 1.0, "trail_length": (0.5, 2.0)}},
    "trailed by 2 - 6 FWHM": {"psf": {"trailed": 1.0, "trail_length": (2.0, 6.0)}},
    "aberrated": {"psf": {"trailed": 0.0, "aberrated": 1.0}},
    "donuts": {"psf": {"trailed": 0.0, "aberrated": 1.0, "defocus": (0.35, 0.45)}},
    "sparse": {"field": {"crowding": (2e-4, 2e-3)}},
    "bulge": {"field": {"crowding": (0.1, 0.3)}},
    "thousands of hot pixels": {"artefacts": {"hot_pixels": (600.0, 1500.0), "no_hot_pixels": 0.0}},
    "long exposure, many cosmic rays": {
        "artefacts": {"cosmic_rays": (400.0, 900.0), "no_cosmic_rays": 0.0}
    },
    "resampled": {"detector": {"resampled": 1.0, "regridded": 0.0}},
    "on a finer grid": {"detector": {"resampled": 1.0, "regridded": 1.0}},
    "sky subtracted": {"detector": {"sky_subtracted": 1.0}},
}


def configured(simulate: SimulateConfig, changes: dict[str, dict[str, Any]]) -> SimulateConfig:
    """Return the simulator of a regime: without special scenes, which have ranges of their own."""
    if changes:
        simulate = dataclasses.replace(simulate, scenes=ScenesConfig())
    parts = {
        part: dataclasses.replace(getattr(simulate, part), **values) for part, values in changes.items()
    }
    return dataclasses.replace(simulate, **parts)


def measure(classifier: Classifier, config: TrainConfig, name: str, frames: int) -> dict[str, Any]:
    """Score the frames of one regime."""
    simulate = configured(config.simulate, REGIMES[name])
    real, score, ratios, unmeasured = [], [], [], 0
    for index in range(frames):
        rng = frame_rng(SEED, index)
        frame = draw_frame(simulate, rng)
        found = find_detections(frame, config.data, rng)
        if len(found) == 0:
            continue
        x, y = np.asarray(found["x"], float), np.asarray(found["y"], float)
        labels = np.asarray(found["label"])
        result = classifier.classify(
            Table({"x": x, "y": y}), frame.image, mask=frame.mask, saturation=frame.saturation
        )
        judged = (labels >= 0) & (labels != CLASSES.index("galaxy"))
        real.append(labels[judged] == CLASSES.index("star"))
        score.append(np.asarray(result["rb_score"], np.float32)[judged])
        if result.meta["rb_fwhm_source"] == "measured":
            ratios.append(result.meta["rb_fwhm"] / frame.fwhm)
        else:
            unmeasured += 1
    found = figures(np.concatenate(real), np.concatenate(score), classifier.spec.threshold)
    away = np.abs(np.array(ratios) - 1) > 0.2
    return {**found, "fwhm_off": float(away.mean()), "fwhm_unmeasured": unmeasured, "frames": frames}


def main() -> None:
    """Measure every regime and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    classifier = Classifier(options.model, device="cpu")
    config = TrainConfig.read(ROOT / "models" / "default" / "config.toml")
    results = {}
    print(f"{'regime':34s}   stars  bogus  unsc.     AUC    kept  let in  FWHM off / unmeasured")
    for name in REGIMES:
        r = results[name] = measure(classifier, config, name, options.frames)
        print(
            f"{name:34s} {r['n_real']:7d} {r['n_bogus']:6d} {r['unscored']:6d} {r['auc']:7.4f} "
            f"{r['true_rate']:7.4f} {r['false_rate']:7.4f}  {r['fwhm_off']:6.1%} / "
            f"{r['fwhm_unmeasured']} of {r['frames']}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
