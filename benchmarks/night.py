"""What a night as a whole knows beyond its single frames, on simulated nights with their truth.

    python benchmarks/night.py [--fit] [--nights DIR] [--json FILE]

Nights of 60 lights (2 targets, 3 filters) with darks and flats among them, movers, variables, a
satellite, hot pixels, one trailed and one cloudy frame. ``--nights`` names a folder with real nights
(``NAME/`` and ``NAME.truth.ecsv``), whose detections are judged where the truth says what they are.
``--fit`` fits the weights of `rbinfer.night.combine` to nights of their own (dithered, drifting, still;
with a WCS and without) and prints them; without it the weights in the package are judged, on nights that
they were not fitted to.
"""

import argparse
import itertools
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from _common import add_json, processor, write_json
from _night_frames import NightMaker, NightPlan
from _real_nights import kinds_by_truth
from astropy.io import fits
from astropy.table import Table
from pyarrow import parquet

from rbinfer.night import merge
from rbinfer.night.combine import WEIGHTS, Evidence, Weights
from rbinfer.night.run import run_night
from rbinfer.pipeline.options import ScoreOptions

FITTED = {
    "dithered": NightPlan(101),
    "dithered, by its stars": NightPlan(102, has_wcs=False, dither=8.0),
    "drifting": NightPlan(103, dither=0.2, drift=0.6),
    "still": NightPlan(104, dither=0.2),
}
#: Nothing was chosen with an eye on nights of these seeds.
JUDGED = {
    "dithered": NightPlan(301),
    "dithered, by its stars": NightPlan(302, has_wcs=False),
    "drifting": NightPlan(303, dither=0.2, drift=0.5),
    "still": NightPlan(304, dither=0.1),
}
#: Detections within so many pixels of something may be of it.
REACH = {"mover": 2.0, "star": 2.0, "hot_pixel": 1.5, "cosmic_ray": 4.0, "satellite": 4.0}
REAL = ("star", "mover")
UNKNOWN = "without truth"
WORDS = ("moving", "seen once", "seen once, near a brighter source")
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


def labelled(detections, truth):
    """Return what each detection is and its number: of what is nearest for its reach; else "noise"."""
    what, number = np.full(len(detections), "noise", "U12"), np.full(len(detections), -1)
    files = np.array([Path(name).name for name in detections["image"]])
    for file in np.unique(files):
        rows = np.flatnonzero(files == file)
        there = truth[truth["file"] == file]
        reach = np.array([REACH[kind] for kind in there["what"]])
        x, y = (np.asarray(detections[k])[rows] for k in ("x", "y"))
        away = np.hypot(x[:, None] - np.asarray(there["x"]), y[:, None] - np.asarray(there["y"])) / reach
        near = away.argmin(axis=1)
        found = away[np.arange(len(rows)), near] < 1.0
        what[rows[found]] = np.asarray(there["what"])[near[found]]
        number[rows[found]] = np.asarray(there["id"])[near[found]]
    return what, number


def night_of(plan, keep=None):
    """Make a night and run it; returns its tables, truth labels, and the evidence of its sources."""
    with tempfile.TemporaryDirectory() as folder:
        truth = NightMaker(plan, Path(folder) / "night").write()
        evidence = run_noting(Path(folder) / "night", Path(folder) / "out")
        sources, detections, candidates, mask = tables_of(Path(folder) / "out")
    detections["what"], detections["number"] = labelled(detections, truth)
    return sources, detections, candidates, mask, truth, evidence


def run_noting(folder, out):
    """Run a night; returns the evidence of its sources, in the order of their table."""
    noted = []
    of_package = merge.sources

    def noting(*given):
        found, evidence = of_package(*given)
        noted.append((found[["best_frame", "best_row"]], evidence))
        return found, evidence

    merge.sources = noting
    try:
        night = run_night(folder, out, options=ScoreOptions(device="cpu"))
    finally:
        merge.sources = of_package
    # Sources are summed up in bands: the best detection of each tells where it is in the table.
    rows = parquet.read_table(out / "detections.parquet", columns=["image", "row", "source"])
    place = {(image, row): n - 1 for image, row, n in zip(*rows.to_pydict().values(), strict=True)}
    best = np.concatenate([of for of, _ in noted])
    order = np.argsort([place[night.frames[frame].image, row] for frame, row in best.tolist()])
    columns = zip(*(evidence for _, evidence in noted), strict=True)
    return Evidence(*(np.concatenate(each)[order] for each in columns))


def tables_of(out):
    """Return what a night wrote: sources, detections, candidates, and the mask of its camera."""
    rows = parquet.read_table(out / "detections.parquet")
    detections = Table({name: rows[name].to_numpy() for name in rows.column_names})
    sources, candidates = (Table.read(out / f"{name}.ecsv") for name in ("sources", "candidates"))
    return sources, detections, candidates, fits.getdata(out / "hotpixels.fits")


def what_sources_are(sources, detections):
    """Return what most detections of each source are; the truth of a source."""
    words = [Counter() for _ in range(len(sources))]
    for source, what in zip(detections["source"], detections["what"], strict=True):
        words[source - 1][what] += 1
    return np.array([each.most_common(1)[0][0] for each in words])


def fit(plans):
    """Fit the weights by maximum likelihood, with a weak pull to small ones.

    Each night counts alike, and real and bogus sources do in it: how many hits a night has differs too
    much from camera to camera to be learned.
    """
    from scipy.optimize import minimize

    figures, labels, counts = [], [], []
    for name, plan in plans.items():
        sources, detections, _, _, _, known = night_of(plan)
        real = np.isin(what_sources_are(sources, detections), REAL)
        figures.append(np.column_stack([np.ones(len(real)), *known]))
        labels.append(real)
        counts.append(np.where(real, 0.5 / real.sum(), 0.5 / (~real).sum()))
        print(f"  {name}: {len(real)} sources, {real.sum()} real", file=sys.stderr)
    x, y, n = np.concatenate(figures), np.concatenate(labels), np.concatenate(counts)
    sign = np.where(y, 1.0, -1.0)

    def loss(w):
        return float(np.sum(n * np.logaddexp(0.0, -sign * (x @ w)))) + 1e-4 * float(w[1:] @ w[1:])

    return Weights(*(round(float(w), 3) for w in minimize(loss, np.zeros(x.shape[1]), tol=1e-10).x))


def judged(plan):
    """Return the figures of a night."""
    sources, detections, candidates, mask, truth, _ = night_of(plan)
    return verdicts(detections, np.asarray(detections["what"]).astype(str)) | {
        "reliability of sources": reliability_of_sources(sources, detections),
        "candidates": of_candidates(sources, detections, candidates),
        "hot pixels": of_mask(mask, truth),
    }


def judged_by_table(folder):
    """Return the figures of a real night, of the detections that its truth table knows."""
    with tempfile.TemporaryDirectory() as out:
        result = run_night(folder, out, options=ScoreOptions(device="cpu"))
        sources, detections, candidates, mask = tables_of(Path(out))
    truth = Table.read(folder.with_name(f"{folder.name}.truth.ecsv"))
    what = kinds_by_truth(detections, truth)
    known = what != ""
    found = verdicts(detections[known], what[known])
    kind = np.asarray(sources["kind"]).astype(str)[np.asarray(detections["source"]) - 1]
    mover = what == "mover"
    moving = np.unique(np.asarray(detections["source"])[mover & (kind == "moving")])
    detections["what"] = np.where(known, what, UNKNOWN)
    return found | {
        "reliability of sources": reliability_of_sources(sources, detections),
        UNKNOWN: int((~known).sum()),
        "movers": {
            "of the truth": len(np.unique(truth["id"][truth["kind"] == "mover"])),
            "positions": int((truth["kind"] == "mover").sum()),
            "detected": int(mover.sum()),
            "linked": int((mover & (kind == "moving")).sum()),
            "as sources": len(moving),
            "other sources that move": int((sources["kind"] == "moving").sum()) - len(moving),
        },
        "candidates": what_candidates_are(what_sources_are(sources, detections), *chosen_of(candidates)),
        "unmerged": len(result.unmerged),
        "hot pixels in the mask": int(np.count_nonzero(mask)),
    }


def verdicts(detections, what):
    """Hold what a night says of its detections, and each frame alone, against what they are."""
    real = np.isin(what, REAL)
    alone = np.nan_to_num(np.asarray(detections["rb_score"])) > 0.5
    p = np.asarray(detections["probability"])
    figures = {"detections": len(what), "real": int(real.sum())}
    for name, said in (("single frame", alone), ("whole night", p > 0.5)):
        figures[name] = {
            "real kept": float(said[real].mean()),
            "purity": float(real[said].mean()),
            **{f"{k} let in": float(said[what == k].mean()) for k in np.unique(what[~real])},
        }
    figures["reliability"] = reliability(p, real)
    return figures


def reliability(p, real):
    """Hold probabilities against the share that is real, by intervals of the probability."""
    return [
        {
            "from": a,
            "to": b,
            "n": int(of.sum()),
            "mean": float(p[of].mean()),
            "real": float(real[of].mean()),
        }
        for a, b in itertools.pairwise(BINS)
        if (of := (p >= a) & (p <= b if b == 1 else p < b)).any()
    ]


def reliability_of_sources(sources, detections):
    """Do so for sources, whose probability it is: detections of one are right or wrong together."""
    is_what = what_sources_are(sources, detections)
    known = is_what != UNKNOWN
    return reliability(np.asarray(sources["probability"])[known], np.isin(is_what[known], REAL))


def of_candidates(sources, detections, candidates):
    """Tell what the candidates are, and how many of those that should be among them are."""
    is_what = what_sources_are(sources, detections)
    chosen, why = chosen_of(candidates)
    by_score = np.flatnonzero(seen_once(sources) & (sources["score_max"] > 0.5))
    return what_candidates_are(is_what, chosen, why) | {
        "movers linked": linked(sources, detections),
        "seen once, by probability": of_once(sources, detections, is_what, chosen[why != "moving"]),
        "seen once, by single score": of_once(sources, detections, is_what, by_score),
    }


def chosen_of(candidates):
    """Return which sources the candidates are, and why they are."""
    return np.asarray(candidates["id"]).astype(int) - 1, np.asarray(candidates["why"]).astype(str)


def what_candidates_are(is_what, chosen, why):
    """Count what the candidates are, by why they are."""
    return {word: dict(Counter(is_what[chosen[why == word]].tolist())) for word in WORDS}


def linked(sources, detections):
    """Count the movers that a filter shows four times, and those of them that are known to move."""
    kind = np.asarray(sources["kind"])[np.asarray(detections["source"]) - 1]
    mover = np.asarray(detections["what"]) == "mover"
    keys = np.array(keys_of(sources, detections), object)
    possible = {key for key, n in Counter(keys[mover]).items() if n >= 4}
    found = possible & set(keys[mover & (kind == "moving")])
    return f"{len(found)} of {len(possible)} detected 4 times"


def of_once(sources, detections, is_what, chosen):
    """Hold sources that were chosen from those seen once against what is real and was detected once."""
    source = np.asarray(detections["source"]) - 1
    keys = keys_of(sources, detections)
    times = Counter(keys)
    is_once = np.array([times[key] == 1 for key in keys]) & np.isin(detections["what"], REAL)
    is_once &= np.asarray(sources["n_cover"])[source] >= 3
    return {
        "chosen": len(chosen),
        "purity": float(np.isin(is_what[chosen], REAL).mean()),
        "real and detected once": int(is_once.sum()),
        "complete": float(np.isin(source[is_once], chosen).mean()),
    }


def seen_once(sources):
    """Tell which sources may be candidates for having been seen once."""
    kind = np.asarray(sources["kind"]).astype(str)
    return (kind == "sky") & (sources["n_seen"] == 1) & (sources["n_cover"] >= 3)


def keys_of(sources, detections):
    """Return of each detection the filter and the object of the truth, whose number tells its target."""
    filters = np.asarray(sources["filter"]).astype(str)[np.asarray(detections["source"]) - 1]
    columns = (filters, detections["what"], detections["number"])
    return ["/".join(map(str, row)) for row in zip(*columns, strict=True)]


def of_mask(mask, truth):
    """Completeness and purity of the mask, of hot pixels that a frame shows at 10 sigma."""
    hot = truth[(truth["what"] == "hot_pixel") & (truth["file"] == truth["file"][0])]
    all_x, all_y = (np.rint(np.asarray(hot[k])).astype(int) for k in ("x", "y"))
    near = np.zeros_like(mask, bool)
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            inside_x = (all_x + dx).clip(0, mask.shape[1] - 1)
            near[(all_y + dy).clip(0, mask.shape[0] - 1), inside_x] = True
    bright = np.asarray(hot["flux"]) > 30 * 19.0
    y, x = np.nonzero(mask)
    in_mask = [np.any(np.hypot(x - a, y - b) <= 1.5) for a, b in zip(all_x, all_y, strict=True)]
    return {
        "in the mask": int(np.count_nonzero(mask)),
        "purity": float(near[mask > 0].mean()) if mask.any() else None,
        "completeness above 30 sigma": float(np.mean(np.array(in_mask)[bright])),
    }


def told(name, figures):
    """Print the figures of a night; returns them."""
    print(name)
    for key, value in figures.items():
        print(f"  {key}: {value}")
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="fit the weights and print them")
    parser.add_argument("--nights", type=Path, help="folder with real nights and their truth")
    add_json(parser)
    options = parser.parse_args()
    print(processor())
    if options.fit:
        print(fit(FITTED))
        return 0
    figures = {"weights": WEIGHTS._asdict(), "nights": {}, "real": {}}
    for name, plan in JUDGED.items():
        figures["nights"][name] = told(name, judged(plan))
    for path in sorted(options.nights.glob("*.truth.ecsv")) if options.nights else ():
        name = path.name.removesuffix(".truth.ecsv")
        figures["real"][name] = told(name, judged_by_table(options.nights / name))
    write_json(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
