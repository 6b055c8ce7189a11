"""How well the FWHM is measured: simulated frames of known FWHM, most detections artefacts.

``python benchmarks/fwhm.py [--frames N] [--json FILE]`` draws frames for a grid of FWHM and shares of
artefacts among the detections, measures each as ``rbinfer`` does, and prints how many lie within 10 %,
how many are beyond, and how many said that they could not be measured.
"""

import argparse
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from rbinfer.io.exposure import as_exposure
from rbinfer.measure.detect import detect
from rbinfer.measure.estimate import measure_width
from rbtrain.config import CLASSES, SOURCES
from rbtrain.data.dataset import frame_rng
from rbtrain.data.label import label_detections
from rbtrain.simulate import SimulateConfig, draw_frame

WIDTHS = (1.2, 1.6, 2.0, 2.5, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 12.0)
#: Share of artefacts among the detections handed over.
SHARES = (0.0, 0.4, 0.8)
#: Fewest stars among them: a frame of 1,000 detections with 80 % artefacts has 200.
MIN_STARS = 20
SEED = 4242


def configured(width: float) -> SimulateConfig:
    """Return the simulator for one FWHM: stars enough, and artefacts in plenty."""
    plain = SimulateConfig()
    return dataclasses.replace(
        plain,
        # Per square FWHM: at 12 pixels a frame has room for few stars.
        field=dataclasses.replace(
            plain.field,
            crowding=(2e-3 if width < 5 else 0.01, 0.1),
            brightest=(0.5, 50.0),
            max_stars=1500,
        ),
        # Frames with one FWHM that is known: not trailed or aberrated, nor blurred by resampling.
        psf=dataclasses.replace(
            plain.psf,
            fwhm=(width, width),
            common_fwhm=(width, width),
            trailed=0.0,
            aberrated=0.0,
            varying=0.0,
        ),
        detector=dataclasses.replace(plain.detector, resampled=0.0),
        artefacts=dataclasses.replace(
            plain.artefacts,
            cosmic_rays=(300.0, 900.0),
            no_cosmic_rays=0.0,
            hot_pixels=(300.0, 1500.0),
            no_hot_pixels=0.0,
        ),
    )


def measure_cell(width: float, share: float, frames: int) -> dict[str, Any]:
    """Measure frames of one FWHM and one share of artefacts among the detections."""
    ratios, few, refused, tried, index = [], 0, 0, 0, 0
    config = configured(width)
    while tried < frames and index < 20 * frames:
        rng = frame_rng(SEED, int(width * 10) * 10_000 + index)
        index += 1
        frame = draw_frame(config, rng)
        found = detect(frame.image, mask=frame.mask, minarea=1, matched_filter=False)
        x, y = np.asarray(found["x"], float), np.asarray(found["y"], float)
        labels = label_detections(
            frame, x, y, np.asarray(found["xpeak"], int), np.asarray(found["ypeak"], int)
        )
        stars = np.flatnonzero(labels == CLASSES.index("star"))
        bogus = np.flatnonzero((labels >= 0) & ~np.isin(labels, SOURCES))
        needed = round(share / (1 - share) * MIN_STARS)
        if len(stars) < MIN_STARS or len(bogus) < needed:
            continue
        n_stars = min(len(stars), int(len(bogus) * (1 - share) / share)) if share else len(stars)
        n_bogus = round(n_stars * share / (1 - share))
        rows = np.concatenate([rng.permutation(stars)[:n_stars], rng.permutation(bogus)[:n_bogus]])
        exposure = as_exposure(frame.image, mask=frame.mask, saturation=frame.saturation)
        measured = measure_width(exposure, x[rows], y[rows])
        tried += 1
        if measured.source == "measured":
            ratios.append(measured.fwhm / frame.fwhm)
        elif measured.source == "few stars":
            few += 1
        else:
            refused += 1
    away = np.abs(np.array(ratios) - 1)
    return {
        "fwhm": width,
        "artefacts": share,
        "frames": tried,
        "within": int((away <= 0.1).sum()),
        "beyond": int((away > 0.1).sum()),
        "few_stars": few,
        "refused": refused,
        "median_ratio": float(np.median(ratios)) if ratios else None,
        "worst_ratio": float(ratios[int(np.argmax(away))]) if ratios else None,
    }


def main() -> None:
    """Measure the grid and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=12, help="frames for each cell of the grid")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # frames that cannot be measured are counted here
    cells = []
    print("FWHM  artefacts  frames  within 10 %  beyond  few stars  refused  median ratio  worst")
    for width in WIDTHS:
        for share in SHARES:
            c = measure_cell(width, share, options.frames)
            cells.append(c)
            ratios = ["-" if c[k] is None else f"{c[k]:.3f}" for k in ("median_ratio", "worst_ratio")]
            print(
                f"{width:4.1f}  {share:9.0%}  {c['frames']:6d}  {c['within']:11d}  {c['beyond']:6d}  "
                f"{c['few_stars']:9d}  {c['refused']:7d}  {ratios[0]:>12s}  {ratios[1]:>5s}",
                flush=True,
            )
    total = {k: sum(c[k] for c in cells) for k in ("frames", "within", "beyond", "few_stars", "refused")}
    print(
        f"{total['frames']} frames: {total['within']} within 10 %, {total['beyond']} beyond, "
        f"{total['few_stars']} from few stars, {total['refused']} refused"
    )
    if options.json:
        options.json.write_text(json.dumps({"cells": cells, **total}, indent=1) + "\n")


if __name__ == "__main__":
    main()
