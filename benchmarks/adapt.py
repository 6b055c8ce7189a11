"""Does a model that was adapted to 200 labels do better on the rest of a camera's detections?

    python benchmarks/adapt.py DATA [--groups NAME ...] [--browser] [--layers all] [--json FILE]

DATA holds labelled images (NAME.ecsv with x, y, label, and NAME.fits[.gz]); its folder ``more`` is
searched too. Each group's objects are parted in two. From one part up to 200 labels are drawn, half of
them near the threshold and half at random, and 3 % of these are made wrong; the shipped model is adapted
to them. On the other part, which nothing has seen, the shipped model and the adapted one are compared.
Images without a WCS are registered by their labels, so that no object is in both.
One group is made strange: an image gets inverted columns of hot pixels, ghosts, and rings of 3 pixels.
Models made here are thrown away.

With ``--browser`` all is done as a person does it: the one part is scored, a script labels it on the
page of ``rbinfer label`` in headless Chromium with 3 % mistakes, in the page's order, labels are
harvested where the camera has a dark, and the model is put in use if it is better. With
``--groups saao_val --labels 2000`` the seconds tell what many labels cost.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import person
from _adapt_groups import STRANGE, judged_detections, made_strange
from _common import add_json, processor, write_json
from astropy.table import Table

from rbinfer import Classifier
from rbinfer.io.labels import PERSON, LabelFile, read_labels
from rbinfer.model.choice import use
from rbinfer.model.registry import resolve
from rbinfer.model.session import Session, read_spec
from rbtrain.adapting import AdaptOptions, adapt
from rbtrain.data.kept import JUDGED, REHEARSED, kept_set, shipped_config
from rbtrain.data.label_inputs import label_inputs
from rbtrain.data.split import folds_of, objects_of
from rbtrain.judging.evaluate import scores_of
from rbtrain.judging.labelled import group_of, labelled_cases
from rbtrain.judging.promotion import Rate

GROUPS = ("irac_columns", "ystar_trail_elongated", "irac", "allsky_clear", "eso085", "saao_bin2_val")
IN_BROWSER = ("irac", "oscaar_light", "allsky_clear", "eso085", "saao_bin2_val")
#: Groups whose camera has a dark that labels are harvested from.
DARKS = {"oscaar_light": "oscaar_dark_1"}
WRONG = 0.03
#: What is harvested within so many pixels of a detection that is kept apart is not taught.
APART = 3.0


def scored(model, labels):
    """Score labelled detections as they are cut to be fitted to; NaN where that can't be done."""
    session = Session(model, "cpu")
    place = {id(label): k for k, label in enumerate(labels)}
    found = label_inputs(labels, session.spec.preprocess)
    score = np.full(len(labels), np.nan)
    score[[place[id(label)] for label in found.labels]] = scores_of(session, found.seen)[0]
    return score


def drawn(labels, before, threshold, n_labels, rng):
    """Return labels half of which are near the threshold, and half at random; some are wrong."""
    near = np.argsort(np.abs(before - threshold))[: n_labels // 2]
    rest = rng.permutation(np.setdiff1d(np.arange(len(labels)), near))
    is_real = before[rest] > threshold
    rare = rest[is_real == (is_real.mean() < 0.5)][: n_labels // 4]
    rest = rng.permutation(np.setdiff1d(rest, rare))[: n_labels - len(near) - len(rare)]
    chosen = rng.permutation(np.concatenate([near, rare, rest]))
    wrong = set(rng.permutation(chosen)[: round(WRONG * len(chosen))].tolist())
    given = []
    for k in chosen:
        label = labels[k].__dict__ | {"when": "2026-01-01T00:00:00"}
        if int(k) in wrong:
            label["label"] = "bogus" if label["label"] == "real" else "real"
        given.append(type(labels[k])(**label))
    return given


def labelled_in_browser(labels, apart, folder, n_labels, dark, rng):
    """Score a part of a group, let the script label it on the page, and harvest a dark.

    Of the dark those are left out that lie where a detection does that is kept apart: they may be the
    same hot pixel.
    """
    results = folder / "results"
    results.mkdir()
    truth = []
    for image in {label.image for label in labels}:
        own = [label for label in labels if label.image == image]
        table = Table.read(own[0].catalog)[[label.row for label in own]]
        name = f"{Path(image).name.split('.')[0]}.ecsv"
        wanted = folder / f"to-label-{name}"
        table["x", "y", "xpeak", "ypeak"].write(wanted)
        _verb("rbinfer", "classify", image, "--catalog", wanted, "-o", results / name)
        truth += [(Path(image).name, row, label.label == "real") for row, label in enumerate(own)]
    known = {(image, row): real for image, row, real in truth}
    output = results / "labels.ecsv"
    came = person.label(results, output, known, n_labels, WRONG, rng)
    if dark is not None:
        of_dark = folder / "dark.ecsv"
        _verb("rbtrain", "harvest", "--darks", dark, "--most", n_labels // 2, "-o", of_dark)
        places = np.array([[label.x, label.y] for label in apart])
        LabelFile(output).append(
            [
                label
                for label in read_labels(of_dark)
                if np.hypot(*(places - (label.x, label.y)).T).min() > APART
            ]
        )
    return came


def _verb(program, *arguments):
    code = f"import sys; from {program}.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *map(str, arguments), "-q"], check=True)


def cpu_seconds():
    """CPU time of this process and of those that it has waited for."""
    each = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in each)


def figures_of(cases, folder, rng, options, dark):
    """Adapt to labels of one part of the objects, compare on the other."""
    shipped = Classifier("default", device="cpu")
    labels = judged_detections(cases)
    n_folds = 2 if len(labels) >= 2 * options.labels else 3
    fold = folds_of(labels, n_folds, rng).fold
    before = scored(resolve("default"), labels)
    taught = np.flatnonzero((fold < n_folds - 1) & np.isfinite(before))
    table = folder / "labels.ecsv"
    some = [labels[k] for k in taught]
    came = {}
    if options.browser:
        rest = [labels[k] for k in np.flatnonzero(fold == n_folds - 1)]
        came = labelled_in_browser(some, rest, folder, options.labels, dark, rng)
        table = folder / "results" / "labels.ecsv"
    else:
        given = drawn(some, before[taught], shipped.threshold, options.labels, rng)
        LabelFile(table).append(given)
    started = cpu_seconds()
    adapted = adapt(AdaptOptions([table], "default", layers=options.layers))
    seconds = cpu_seconds() - started
    if adapted.comparison.verdict == "better":
        use(adapted.path.stem)
    apart = np.flatnonzero((fold == n_folds - 1) & np.isfinite(before))
    real = np.array([labels[k].label == "real" for k in apart])
    after = Classifier(adapted.path, device="cpu")
    calls = before[apart] > shipped.threshold
    now = scored(adapted.path, [labels[k] for k in apart]) > after.threshold
    given = read_labels(table)
    objects = objects_of([labels[k] for k in apart])
    return {
        "labels": {"real": sum(label.label == "real" for label in given), "all": len(given)},
        "in the browser": came,
        "harvested": sum(label.evidence != PERSON for label in given),
        "method": adapted.method,
        "verdict": adapted.comparison.verdict,
        "why not": adapted.comparison.what_got_worse(),
        "promoted": resolve(None) == adapted.path,
        "on the labels": adapted.comparison.as_dict(),
        "kept apart": {
            "kept": vars(Rate.of(calls[real], now[real], True, objects[real])),
            "let in": vars(Rate.of(calls[~real], now[~real], False, objects[~real])),
        },
        "cpu seconds": round(seconds, 1),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with labelled images")
    parser.add_argument("--groups", nargs="+", help="groups of them")
    parser.add_argument("--browser", action="store_true", help="let a script label in the browser")
    parser.add_argument("--labels", type=int, default=200, help="of each group (200)")
    parser.add_argument("--layers", choices=("last", "all"), default="last", help="what is fitted")
    add_json(parser)
    options = parser.parse_args()
    print(processor())
    cases = labelled_cases(options.data)
    if (options.data / "more").is_dir():
        cases += labelled_cases(options.data / "more")
    image_of = {table.stem: image for table, image in cases}
    config = shipped_config(read_spec(resolve("default")).preprocess)
    for which in (REHEARSED, JUDGED):  # once for all groups, before any clock
        kept_set(config, which)
    figures = {}
    for name in options.groups or (*(IN_BROWSER if options.browser else GROUPS), STRANGE):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            os.environ["RBINFER_MODELS"] = str(folder / "models")
            rng = np.random.default_rng(7)
            own = [case for case in cases if group_of(case[0].stem) == name]
            if name == STRANGE:
                own = made_strange(cases, folder, rng)
            dark = image_of[DARKS[name]] if name in DARKS else None
            figures[name] = found = figures_of(own, folder, rng, options, dark)
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
        write_json(options.json, figures)  # of each as it comes
    return 0


if __name__ == "__main__":
    sys.exit(main())
