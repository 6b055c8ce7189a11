"""Does a model that was adapted to 200 labels do better on the rest of a camera's detections?

    python benchmarks/adapt.py DATA [--groups NAME ...] [--json FILE]

DATA holds labelled images (NAME.ecsv with x, y, label, and NAME.fits[.gz]); its folder ``more`` is
searched too. Each group's objects are parted in two. From one part up to 200 labels are drawn, half of
them near the threshold and half at random, and 3 % of these are made wrong; the shipped model is adapted
to them. On the other part, which nothing has seen, the shipped model and the adapted one are compared.
One group is made strange: an image gets inverted columns of hot pixels, ghosts, and rings of 3 pixels.
Models made here are thrown away.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _common import add_json, processor, write_json
from astropy.io import fits
from astropy.table import Table, vstack

from rbinfer import Classifier
from rbinfer._util.hashing import digest
from rbinfer.io.images import load_image
from rbinfer.io.labels import Label, LabelFile
from rbtrain.adapting import AdaptOptions, adapt
from rbtrain.data.split import folds_of
from rbtrain.judging.labelled import group_of, labelled_cases
from rbtrain.judging.promotion import Rate

GROUPS = ("irac_columns", "ystar_trail_elongated", "irac", "allsky_clear", "eso085", "saao_bin2_val")
STRANGE, STRANGE_FROM = "made strange", "eso085_004"
N_LABELS, WRONG = 200, 0.03
#: Of each strange kind, and how far from detections and from each other they are put, pixels.
N_STRANGE, APART = 120, 9.0


def objects_of(cases):
    """Return all judged detections of some labelled images as labels with the truth."""
    labels = []
    for table_path, image in cases:
        table = Table.read(table_path)
        sha256 = digest(str(image))
        for row in np.flatnonzero(np.asarray(table["label"]) >= 0):
            labels.append(
                Label(
                    image=str(image),
                    hash=sha256,
                    x=float(table["x"][row]),
                    y=float(table["y"][row]),
                    label="real" if table["label"][row] == 1 else "bogus",
                    catalog=str(table_path),
                    row=int(row),
                    who="benchmark",
                )
            )
    return labels


def scores_of(classifier, labels):
    """Score labelled detections, with the brightest pixels of their catalogues."""
    from rbtrain.data.label_features import _peaks

    score = np.full(len(labels), np.nan)
    for image in {label.image for label in labels}:
        own = [k for k, label in enumerate(labels) if label.image == image]
        some = [labels[k] for k in own]
        exposure = load_image(image)
        x, y = (np.array([getattr(label, name) for label in some]) for name in ("x", "y"))
        score[own] = classifier.score(exposure, x, y, peaks=_peaks(exposure, some, x, y)).score
    return score


def made_strange(cases, folder, rng):
    """Write an image with what no model has seen, and its labels."""
    table_path, image = next(case for case in cases if case[0].stem == STRANGE_FROM)
    table = Table.read(table_path)["x", "y", "xpeak", "ypeak", "label"]
    with fits.open(image) as hdus:
        pixels, header = hdus[0].data.astype(np.float32), hdus[0].header
    noise = 1.4826 * np.nanmedian(np.abs(pixels - np.nanmedian(pixels)))
    taken = np.column_stack([table["x"], table["y"]])
    height, width = pixels.shape
    rows, columns = np.mgrid[-6:7, -6:7]
    radius = np.hypot(rows, columns)
    added = []
    for kind in ("column", "ghost", "ring"):
        for _ in range(N_STRANGE):
            for _ in range(200):
                x, y = rng.integers(12, width - 12), rng.integers(12, height - 12)
                if np.hypot(taken[:, 0] - x, taken[:, 1] - y).min() > APART:
                    break
            else:
                continue
            taken = np.vstack([taken, (x, y)])
            peak = noise * np.exp(rng.uniform(np.log(8), np.log(60)))
            if kind == "column":  # hot pixels in a column, with dark ones between them and beside
                shape = np.where(columns == 0, np.where(rows % 2 == 0, 1.0, -0.5), 0.0) * (
                    np.abs(rows) <= 4
                )
                shape = shape - 0.3 * ((np.abs(columns) == 1) & (np.abs(rows) <= 4))
            elif kind == "ghost":  # out of focus and sheared
                shape = 0.6 * np.exp(-((columns - 0.6 * rows) ** 2 / 4.0 + rows**2 / 18.0))
            else:
                shape = 0.8 * np.exp(-((radius - 3.0) ** 2) / 0.7)
            pixels[y - 6 : y + 7, x - 6 : x + 7] += (peak * shape).astype(np.float32)
            part = pixels[y - 3 : y + 4, x - 3 : x + 4]
            dy, dx = np.unravel_index(np.argmax(part), part.shape)
            added.append((float(x), float(y), x - 3 + dx, y - 3 + dy, 0))
    table = vstack([table, Table(rows=added, names=table.colnames)], metadata_conflicts="silent")
    header["HISTORY"] = "made strange for a test"
    fits.writeto(folder / "strange.fits", pixels, header, output_verify="silentfix")
    table.write(folder / "strange.ecsv", overwrite=True)
    return [(folder / "strange.ecsv", folder / "strange.fits")]


def figures_of(cases, folder, rng):
    """Adapt to 200 labels of one part of the objects, compare on the other."""
    labels = objects_of(cases)
    n_folds = 2 if len(labels) >= 2 * N_LABELS else 3
    fold = folds_of(labels, n_folds, rng).fold
    shipped = Classifier("default", device="cpu")
    before = scores_of(shipped, labels)
    taught = np.flatnonzero((fold < n_folds - 1) & np.isfinite(before))
    near = taught[np.argsort(np.abs(before[taught] - shipped.threshold))][: N_LABELS // 2]
    rest = rng.permutation(np.setdiff1d(taught, near))
    is_real = before[rest] > shipped.threshold
    rare = rest[is_real == (is_real.mean() < 0.5)][: N_LABELS // 4]
    rest = np.setdiff1d(rest, rare)
    rest = rng.permutation(rest)[: N_LABELS - len(near) - len(rare)]
    chosen = rng.permutation(np.concatenate([near, rare, rest]))
    wrong = set(rng.permutation(chosen)[: round(WRONG * len(chosen))].tolist())
    given = []
    for k in chosen:
        label = labels[k].__dict__ | {"when": "2026-01-01T00:00:00"}
        if int(k) in wrong:
            label["label"] = "bogus" if label["label"] == "real" else "real"
        given.append(Label(**label))
    LabelFile(folder / "labels.ecsv").append(given)
    start = time.process_time()
    adapted = adapt(AdaptOptions([folder / "labels.ecsv"], "default", output=folder / "mine.onnx"))
    seconds = time.process_time() - start
    apart = np.flatnonzero((fold == n_folds - 1) & np.isfinite(before))
    real = np.array([labels[k].label == "real" for k in apart])
    after = Classifier(adapted.path, device="cpu")
    calls = before[apart] > shipped.threshold
    now = scores_of(after, [labels[k] for k in apart]) > after.threshold
    verdict = adapted.comparison.verdict
    return {
        "labels": {"real": int(sum(label.label == "real" for label in given)), "all": len(given)},
        "method": adapted.method,
        "verdict": verdict,
        "why not": adapted.comparison.what_got_worse(),
        "promoted": verdict == "better",
        "on the labels": adapted.comparison.as_dict(),
        "kept apart": {
            "kept": vars(Rate.of(calls[real], now[real], True)),
            "let in": vars(Rate.of(calls[~real], now[~real], False)),
        },
        "cpu seconds": round(seconds, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with labelled images")
    parser.add_argument("--groups", nargs="+", default=GROUPS, help="groups of them")
    add_json(parser)
    options = parser.parse_args()
    print(processor())
    cases = labelled_cases(options.data)
    if (options.data / "more").is_dir():
        cases += labelled_cases(options.data / "more")
    figures = {}
    for name in (*options.groups, STRANGE):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            os.environ["RBINFER_MODELS"] = str(folder / "models")
            rng = np.random.default_rng(7)
            own = [case for case in cases if group_of(case[0].stem) == name]
            if name == STRANGE:
                own = made_strange(cases, folder, rng)
            figures[name] = found = figures_of(own, folder, rng)
        apart = found["kept apart"]
        print(
            f"{name:24s} {found['method']:12s} {found['verdict']:10s} "
            + "  ".join(
                f"{what} {rate['before']:.1%} -> {rate['after']:.1%} of {rate['n']} "
                f"(+{rate['won']} -{rate['lost']})"
                for what, rate in apart.items()
            ),
            found["why not"],
            f"{found['cpu seconds']} s",
            flush=True,
        )
    write_json(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
