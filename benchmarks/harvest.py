"""How right harvested labels are: on simulated nights with their truth, and on real nights.

    python benchmarks/harvest.py [--nights DIR] [--seed S] [--json FILE]

Simulated nights of 60 lights (as for ``night.py``) have movers, variables, a satellite, hot pixels, one
trailed and one cloudy frame. ``--nights`` names a folder with real nights (``NAME/`` and
``NAME.truth.ecsv``); their truth is from repeats, too, so what is stated is agreement. The limits of
"seen once" were set on nights of the seeds 301 to 304.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from _common import add_json, processor, write_json
from _night_frames import NightMaker, NightPlan
from _real_nights import kinds_by_truth
from astropy.table import Table
from night import REAL, labelled

from rbinfer.night.run import run_night
from rbinfer.pipeline.options import ScoreOptions
from rbtrain.data.harvest_night import NightTables, from_night


def plans(seed):
    """Return the nights that are simulated, by name."""
    return {
        "dithered": NightPlan(seed),
        "dithered, by its stars": NightPlan(seed + 1, has_wcs=False),
        "drifting": NightPlan(seed + 2, dither=0.2, drift=0.5),
        "still": NightPlan(seed + 3, dither=0.1),
    }


def figures_of(night, labels, is_real):
    """Return shares by evidence; `is_real` is the truth of the labels, NaN where it is silent."""
    found = {"detections": len(night.detections), "harvested": len(labels)}
    found["share"] = len(labels) / len(night.detections)
    right = is_real == np.asarray(labels["label"], float)
    known = np.isfinite(is_real)
    if known.any():
        found["right"] = float(right[known].mean())
    for name in np.unique(np.asarray(labels["evidence"]).astype(str)):
        of = np.asarray(labels["evidence"]).astype(str) == name
        found[str(name)] = {
            "n": int(of.sum()),
            "with truth": int((of & known).sum()),
            "right": float(right[of & known].mean()) if (of & known).any() else None,
            "estimated purity": float(np.mean(labels["purity"][of])),
        }
    return found


def simulated(plan):
    """Make a night, harvest it, compare with its truth."""
    with tempfile.TemporaryDirectory() as folder:
        truth = NightMaker(plan, Path(folder) / "night").write()
        run_night(Path(folder) / "night", Path(folder) / "out", options=ScoreOptions(device="cpu"))
        night = NightTables.read(Path(folder) / "out")
    labels = from_night(night)
    what = labelled(labels, truth)[0] if len(labels) else np.zeros(0, "U12")
    found = figures_of(night, labels, np.isin(what, REAL).astype(float))
    source = np.asarray(labels["label"])[np.isin(what, "mover")]
    found["movers called bogus"] = int(np.count_nonzero(source == 0))
    found["wrong"] = {
        str(name): n
        for name, n in Counter(what[np.isin(what, REAL) != (np.asarray(labels["label"]) == 1)]).items()
    }
    return found


def real(folder):
    """Harvest a real night, compare with its truth where that says something."""
    with tempfile.TemporaryDirectory() as out:
        run_night(folder, out, options=ScoreOptions(device="cpu"))
        night = NightTables.read(out)
    labels = from_night(night)
    truth = Table.read(folder.with_name(f"{folder.name}.truth.ecsv"))
    what = kinds_by_truth(labels, truth)
    is_real = np.where(what == "", np.nan, np.isin(what, REAL).astype(float))
    return figures_of(night, labels, is_real)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=Path, help="folder with real nights and their truth")
    parser.add_argument("--seed", type=int, default=501, help="of the first simulated night (501)")
    add_json(parser)
    options = parser.parse_args()
    print(processor())
    figures = {"seed": options.seed, "simulated": {}, "real": {}}
    for name, plan in plans(options.seed).items():
        figures["simulated"][name] = found = simulated(plan)
        print(name, found)
    for truth in sorted(options.nights.glob("*.truth.ecsv")) if options.nights else ():
        name = truth.name.removesuffix(".truth.ecsv")
        figures["real"][name] = found = real(options.nights / name)
        print(name, found)
    write_json(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
