"""Ours beside MaxiMask, Cosmic-CoNN, deepCR and L.A.Cosmic, on the same detections.

``python benchmarks/rivals.py [--images DIR ...] [--frames N] [--model NAME] [--kept FILE]
[--json FILE]``

The rivals mask pixels. A detection has the mask's probability in its brightest pixel, and is called real
where that pixel is not masked at the rival's own default. Ours is given positions and brightest pixels;
stars and galaxies count as real, at the shipped threshold, and what it cannot score is not called real.
Labelled images are read as ``rbtrain evaluate --images`` reads them. Frames with truth are drawn by the
simulator that ours was trained on.

Each rival runs in an environment of its own, made by pip below ``--cache``, with the weights that its
package has. Its masks are kept there too, so that a second run costs what ours costs. With ``--kept``
the rivals' figures are those of an earlier run, on the same detections.
"""

import argparse
import dataclasses
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from _common import FRAMES, add_json, processor, write_json
from _rival_figures import F32, I64, Bools, Figures, figures_of, mosaic_of, summary_of, under_peaks
from _rival_tables import OURS, compare, print_groups, print_kinds, print_summary
from _rival_tools import TOOLS, Mask, RivalError, Tool, masks_of
from astropy.io import fits
from astropy.table import Table

from rbinfer import Classifier
from rbinfer.io.exposure import Exposure, as_exposure
from rbinfer.io.images import load_image
from rbtrain.config import CLASSES, SKY, TrainConfig
from rbtrain.data.cutting import find_detections, frame_rng
from rbtrain.data.label import is_of
from rbtrain.judging.baselines import peak_pixels
from rbtrain.judging.labelled import gain_of, group_of, labelled_cases, score_case
from rbtrain.judging.ways import POSITIONS, catalogue_of
from rbtrain.simulate import draw_frame

SEED = 1807
SIMULATED = "simulated"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rbinfer-rivals"


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """Judged detections of one image, with our scores.

    Attributes
    ----------
    group : str
    image : ndarray of float32, shape (ny, nx)
        Finite: bad pixels have the median of the others.
    gain : float or None
        Electrons per unit, where known.
    x, y : ndarray of int, shape (n,)
        Brightest pixels, 0-based.
    real : ndarray of bool, shape (n,)
    kind : ndarray of str, shape (n,)
        Class, where simulated.
    score : ndarray of float32, shape (n,)
        Ours; NaN where there is none.
    seconds : float
        Processor time of ours on one core; NaN for cutouts.
    """

    group: str
    image: F32
    gain: float | None
    x: I64
    y: I64
    real: Bools
    kind: np.ndarray
    score: F32
    seconds: float


def filled(exposure: Exposure) -> F32:
    """Return the pixels with the median of the good ones in place of the bad."""
    bad = ~np.isfinite(exposure.pixels)
    if exposure.mask is not None:
        bad |= exposure.mask
    return np.where(bad, np.median(exposure.pixels[~bad]), exposure.pixels).astype(np.float32)


def timed_scores(classifier: Classifier, catalogue: Table, exposure: Exposure) -> tuple[F32, float]:
    """Return our scores (n,), and the processor time: the better of two runs."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        found = classifier.classify(catalogue, exposure)
        taken.append(time.process_time() - start)
    return np.asarray(found["rb_score"], np.float32), min(taken)


def image_case(classifier: Classifier, table_path: Path, image_path: Path) -> Case:
    """Read and score a labelled image."""
    table, exposure = Table.read(table_path), load_image(image_path)
    score, seconds = timed_scores(classifier, catalogue_of(table, POSITIONS, exposure), exposure)
    label = np.asarray(table["label"])
    judged = label >= 0
    image = filled(exposure)
    x, y = peak_pixels(image, table)
    return Case(
        group=group_of(table_path.stem),
        image=image,
        gain=gain_of(exposure.header, table),
        x=x[judged],
        y=y[judged],
        real=label[judged] == 1,
        kind=np.full(judged.sum(), ""),
        score=score[judged],
        seconds=seconds,
    )


def cutouts_case(classifier: Classifier, table_path: Path, image_path: Path) -> Case:
    """Read and score a cube of labelled cutouts, of named frames; the rivals see it as a mosaic."""
    scored = score_case(classifier, table_path, image_path, POSITIONS)
    if scored is None:
        sys.exit(f"{table_path} has no column 'frame', which says what cutouts are of one image")
    table = Table.read(table_path)
    judged = np.asarray(table["label"]) >= 0
    image, x, y = mosaic_of(fits.getdata(image_path))
    return Case(
        group=group_of(scored.name),
        image=image,
        gain=gain_of({}, table),
        x=x[judged],
        y=y[judged],
        real=scored.real,
        kind=np.full(len(scored.real), ""),
        score=scored.score,
        seconds=np.nan,
    )


def simulated_cases(classifier: Classifier, frames: int) -> Iterator[Case]:
    """Simulate frames, the same for every model of ours, detect, label and score."""
    config = TrainConfig.read(FRAMES)
    for index in range(frames):
        rng = frame_rng(SEED, index)
        frame = draw_frame(config.simulate, rng)
        found = find_detections(frame, config.data, rng)
        found = found[np.asarray(found["label"]) >= 0]
        exposure = as_exposure(frame.image, mask=frame.mask)
        catalogue = found["x", "y", "xpeak", "ypeak"]
        score, seconds = timed_scores(classifier, catalogue, exposure)
        label = np.asarray(found["label"])
        yield Case(
            group=SIMULATED,
            image=filled(exposure),
            gain=None,
            x=np.asarray(found["xpeak"], np.int64),
            y=np.asarray(found["ypeak"], np.int64),
            real=is_of(label, SKY),
            kind=np.array(CLASSES)[label],
            score=score,
            seconds=seconds,
        )


def all_cases(classifier: Classifier, folders: Sequence[Path], frames: int) -> list[Case]:
    """Read, simulate and score everything, with ours."""
    cases = []
    for table, image in (pair for folder in folders for pair in labelled_cases(folder)):
        is_cube = fits.getdata(image).ndim == 3
        cases.append((cutouts_case if is_cube else image_case)(classifier, table, image))
    cases.extend(simulated_cases(classifier, frames))
    return cases


# ------------------------------------------------------------------------------------- verdicts


@dataclasses.dataclass(frozen=True, eq=False)
class Verdicts:
    """What one contestant says of all cases.

    Attributes
    ----------
    by_case : list
        Score (n,) and whether called real (n,); None where it could not be run.
    seconds_per_megapixel : float
        Processor time on one core.
    errors : dict of str to str
        What it failed with, by group.
    """

    by_case: list[tuple[F32, Bools] | None]
    seconds_per_megapixel: float
    errors: dict[str, str]


def ours(cases: Sequence[Case], threshold: float) -> Verdicts:
    """Return what ours says; without a score a detection is not called real."""
    timed = [case for case in cases if np.isfinite(case.seconds)]
    pixels = sum(case.image.size for case in timed)
    seconds = 1e6 * sum(case.seconds for case in timed) / max(pixels, 1)
    return Verdicts([(case.score, case.score > threshold) for case in cases], seconds, {})


def theirs(tool: Tool, cases: Sequence[Case], cache: Path) -> Verdicts:
    """Return what a rival says."""
    masks: Sequence[Mask | RivalError]
    try:
        masks = masks_of(tool, [(case.image, case.gain) for case in cases], cache)
    except RivalError as error:
        masks = [error] * len(cases)
    by_case: list[tuple[F32, Bools] | None] = []
    errors, times, sizes = {}, [], []
    for case, mask in zip(cases, masks, strict=True):
        if isinstance(mask, RivalError):
            by_case.append(None)
            errors[case.group] = str(mask)
        else:
            by_case.append(under_peaks(mask.probability, mask.flagged, case.x, case.y))
            times.append(mask.seconds_per_megapixel)
            sizes.append(case.image.size)
    return Verdicts(by_case, float(np.average(times, weights=sizes)) if sizes else np.nan, errors)


def by_group(cases: Sequence[Case], verdicts: Verdicts) -> dict[str, Figures]:
    """Measure a contestant on each group that it could be run on as a whole."""
    figures = {}
    for group in dict.fromkeys(case.group for case in cases):
        rows = [
            (case.real, verdict)
            for case, verdict in zip(cases, verdicts.by_case, strict=True)
            if case.group == group
        ]
        if all(verdict is not None for _, verdict in rows):
            real = np.concatenate([real for real, _ in rows])
            score, called = (np.concatenate([v[i] for _, v in rows if v]) for i in (0, 1))
            figures[group] = figures_of(real, score, called)
    return figures


def by_kind(cases: Sequence[Case], verdicts: Verdicts) -> dict[str, float]:
    """Return the share called real of each class of the simulated detections."""
    rows = [
        (case.kind, verdict[1])
        for case, verdict in zip(cases, verdicts.by_case, strict=True)
        if case.group == SIMULATED and verdict is not None
    ]
    if not rows:
        return {}
    kind, called = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return {name: float(called[kind == name].mean()) for name in CLASSES if (kind == name).any()}


# --------------------------------------------------------------------------------------- report


@dataclasses.dataclass(frozen=True)
class Measured:
    """The figures of a contestant.

    Attributes
    ----------
    groups : dict of str to Figures
    kinds : dict of str to float
        Share called real of each class of the simulated detections.
    seconds_per_megapixel : float
    errors : dict of str to str
        Why it could not be run on a group.
    """

    groups: dict[str, Figures]
    kinds: dict[str, float]
    seconds_per_megapixel: float
    errors: dict[str, str]

    @classmethod
    def of(cls, cases: Sequence[Case], verdicts: Verdicts) -> Self:
        """Measure verdicts."""
        return cls(
            by_group(cases, verdicts),
            by_kind(cases, verdicts),
            verdicts.seconds_per_megapixel,
            verdicts.errors,
        )


def _counted(figures: Figures | None) -> str:
    return "nothing" if figures is None else f"{figures.n_real} real and {figures.n_bogus} bogus"


def kept_of(report: dict[str, Any], own: Measured) -> dict[str, Measured]:
    """Return the rivals' figures of an earlier run; refuse those of other detections than ours."""
    rivals = {}
    for name in report["groups"]:
        if name == OURS:
            continue
        groups = {
            group: Figures(**{each.name: f[each.name] for each in dataclasses.fields(Figures)})
            for group, f in report["groups"][name].items()
        }
        for group in {**groups, **own.groups}:
            f, now = groups.get(group), own.groups.get(group)
            failed = f is None and group in report["errors"].get(name, {})
            if failed or (f and now and (f.n_real, f.n_bogus) == (now.n_real, now.n_bogus)):
                continue
            raise SystemExit(
                f"of {group}, {name} had {_counted(f)}, and now there are {_counted(now)}; run the "
                "rivals again, without --kept"
            )
        rivals[name] = Measured(
            groups,
            report["simulated_called_real"].get(name, {}),
            report["summary"][name]["seconds_per_megapixel"],
            report["errors"].get(name, {}),
        )
    return rivals


def report_of(cases: Sequence[Case], found: dict[str, Measured]) -> dict[str, Any]:
    """Compare all contestants, print the tables and return the figures."""
    groups = {name: measured.groups for name, measured in found.items()}
    summaries = {
        name: summary_of({g: f for g, f in measured.groups.items() if g != SIMULATED})
        | {"seconds_per_megapixel": measured.seconds_per_megapixel}
        for name, measured in found.items()
    }
    higher = compare(groups)
    kinds = {name: measured.kinds for name, measured in found.items()}
    simulated = [case.kind for case in cases if case.group == SIMULATED]
    names, numbers = np.unique(np.concatenate(simulated), return_counts=True) if simulated else ([], [])
    counts = {str(name): int(n) for name, n in zip(names, numbers, strict=True)}
    print_groups(groups, higher)
    print_summary(summaries)
    if counts:
        print_kinds(kinds, counts)
    errors = {name: measured.errors for name, measured in found.items() if measured.errors}
    for name, why in errors.items():
        for group, error in why.items():
            print(f"not run: {name} on {group}: {error}")
    return {
        "summary": summaries,
        "groups": {
            name: {g: dataclasses.asdict(f) | {"margin": f.margin} for g, f in figures.items()}
            for name, figures in groups.items()
        },
        "higher_than_ours": higher,
        "simulated_called_real": kinds,
        "simulated_numbers": counts,
        "errors": errors,
    }


def main() -> None:
    """Run all contestants, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, nargs="+", default=[], help="folders of labelled images")
    parser.add_argument("--frames", type=int, default=20, help="simulated frames")
    parser.add_argument("--model", default="default", help="name or file of ours")
    parser.add_argument("--cache", type=Path, default=CACHE, help="environments and masks of the rivals")
    parser.add_argument("--kept", type=Path, help="take the rivals' figures from what this wrote before")
    add_json(parser)
    options = parser.parse_args()
    if not options.images and options.frames < 1:
        parser.error("nothing to compare on: give --images, or --frames above 0")
    logging.disable(logging.WARNING)
    options.cache.mkdir(parents=True, exist_ok=True)
    classifier = Classifier(options.model, device="cpu", threads=1, real_source_types=SKY)
    spec, threshold = classifier.spec, classifier.threshold
    what = f"{spec.name} {spec.version}, threshold {threshold:g}"
    print(
        f"{processor()}; ours: {what}; " + "; ".join(f"{t.title} {t.version}" for t in TOOLS), flush=True
    )
    cases = all_cases(classifier, options.images, options.frames)
    found = {OURS: Measured.of(cases, ours(cases, threshold))}
    theirs_on, requirements = processor(), {tool.title: tool.requirements for tool in TOOLS}
    if options.kept is not None:
        kept = json.loads(options.kept.read_text())
        if (kept["frames"], kept["seed"]) != (options.frames, SEED):
            raise SystemExit(f"{options.kept} is of {kept['frames']} frames of seed {kept['seed']}")
        found |= kept_of(kept, found[OURS])
        theirs_on, requirements = kept["rivals_cpu"], kept["rivals"]
    else:
        for tool in TOOLS:
            found[tool.title] = Measured.of(cases, theirs(tool, cases, options.cache))
    report = report_of(cases, found)
    about = {
        "cpu": processor(),
        "ours": what,
        "rivals_cpu": theirs_on,
        "rivals": requirements,
        "frames": options.frames,
        "seed": SEED,
    }
    write_json(options.json, about | report)


if __name__ == "__main__":
    main()
