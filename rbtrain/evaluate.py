"""Measure a model file: on simulated test cutouts and on labelled images."""

import itertools
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from rbinfer import Classifier
from rbinfer.cutouts import Cutter
from rbinfer.errors import InputError
from rbinfer.images import load_image
from rbinfer.session import Session
from rbinfer.status import is_scored
from rbinfer.tables import positions

from .config import CLASSES
from .dataset import Dataset
from .metrics import (
    auc,
    bootstrap,
    expected_calibration_error,
    false_rate_at_true_rate,
    rates_at,
)

log = logging.getLogger(__name__)

SNR_BINS = (3.0, 5.0, 10.0, 30.0, 100.0, np.inf)
FWHM_BINS = (1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 15.0)
CROWDING_BINS = (0.0, 0.003, 0.03, 0.1, np.inf)


@dataclass(frozen=True)
class Scored:
    """Scores with their labels.

    Attributes
    ----------
    name : str
    real : ndarray of bool, shape (n,)
    score : ndarray of float32, shape (n,)
        NaN for what could not be scored.
    fwhm : float or None
        FWHM used, where it is one for all.
    cutouts : ndarray of float32, shape (n, size, size, 2), or None
        What the network saw.
    """

    name: str
    real: NDArray[np.bool_]
    score: NDArray[np.float32]
    fwhm: float | None = None
    cutouts: NDArray[np.float32] | None = None


def figures(
    real: NDArray[np.bool_],
    score: NDArray[np.float32],
    threshold: float,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Figures of merit of a set of scores.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float32, shape (n,)
        NaN counts as unscored and takes no part in the rates.
    threshold : float
        Scores above it are real.
    rng : numpy.random.Generator, optional
        Adds 95 % bootstrap intervals where both classes have 20 or more.

    Returns
    -------
    dict
        ``n_real, n_bogus, unscored, auc, true_rate, false_rate, false_at_95, false_at_99`` and, with
        `rng`, ``*_interval``.
    """
    scored = np.isfinite(score)
    r, s = real[scored], score[scored]
    true_rate, false_rate = rates_at(r, s, threshold)
    result: dict[str, Any] = {
        "n_real": int(r.sum()),
        "n_bogus": int((~r).sum()),
        "unscored": int((~scored).sum()),
        "auc": auc(r, s),
        "true_rate": true_rate,
        "false_rate": false_rate,
        "false_at_95": false_rate_at_true_rate(r, s, 0.95),
        "false_at_99": false_rate_at_true_rate(r, s, 0.99),
    }
    if rng is not None and min(result["n_real"], result["n_bogus"]) >= 20:
        measures: dict[str, Callable[[Any, Any], float]] = {
            "auc": auc,
            "true_rate": lambda a, b: rates_at(a, b, threshold)[0],
            "false_rate": lambda a, b: rates_at(a, b, threshold)[1],
            "false_at_95": lambda a, b: false_rate_at_true_rate(a, b, 0.95),
            "false_at_99": lambda a, b: false_rate_at_true_rate(a, b, 0.99),
        }
        for name, measure in measures.items():
            result[f"{name}_interval"] = bootstrap(measure, r, s, rng)
    return result


def evaluate_simulation(model: str | os.PathLike[str], data: Dataset) -> dict[str, Any]:
    """Measure a model on simulated cutouts that training has not seen.

    Parameters
    ----------
    model : path
        The ``.onnx`` file; its preprocessing must be the one that the dataset was cut with.
    data : Dataset

    Returns
    -------
    dict
        ``overall``, ``by_class`` (rate called real of each), ``by_snr``, ``by_fwhm``, ``by_crowding``,
        and the expected calibration error.
    """
    session = Session(model, "cpu")
    threshold = session.spec.threshold
    # A model with one score cannot name what it counts as real by its own classes.
    real_types = session.spec.calibration.get("counted_as_real", session.spec.real)
    rows = data.rows
    real = np.isin(rows["label"], [CLASSES.index(name) for name in real_types])
    parts = [
        session.run(data.pixels[i : i + 4096].astype(np.float32)) for i in range(0, len(rows), 4096)
    ]
    score = np.concatenate([p.score for p in parts])
    by_class = {}
    for i, name in enumerate(CLASSES):
        inside = rows["label"] == i
        if inside.any():
            called_real = float((score[inside] > threshold).mean())
            by_class[name] = {
                "n": int(inside.sum()),
                "real": name in real_types,
                "called_real": called_real,
            }
    result: dict[str, Any] = {
        "threshold": threshold,
        "overall": figures(real, score, threshold, np.random.default_rng(0)),
        "calibration_error": expected_calibration_error(real, score),
        "by_class": by_class,
    }
    classes = parts[0].classes
    if classes is not None:
        best = np.concatenate([np.argmax(p.classes, axis=1) for p in parts])
        counts = np.zeros((len(CLASSES), len(CLASSES)), int)
        np.add.at(counts, (rows["label"], best), 1)
        result["confusion"] = counts.tolist()
    for key, column, edges in (
        ("by_snr", "snr", SNR_BINS),
        ("by_fwhm", "fwhm", FWHM_BINS),
        ("by_crowding", "crowding", CROWDING_BINS),
    ):
        result[key] = {}
        for low, high in itertools.pairwise(edges):
            inside = (rows[column] >= low) & (rows[column] < high)
            name = f"{low:g}-{high:g}" if np.isfinite(high) else f">{low:g}"
            result[key][name] = figures(real[inside], score[inside], threshold)
    return result


def group_of(case: str) -> str:
    """Group that a case belongs to: its name without the running number."""
    return re.sub(r"_\d+$", "", case)


def labelled_cases(folder: str | os.PathLike[str]) -> list[tuple[Path, Path]]:
    """Find the labelled images of a folder: pairs of table (``x``, ``y``, ``label``) and image.

    Raises
    ------
    FileNotFoundError
        There are none.
    """
    cases = []
    for table in sorted(Path(folder).glob("*.ecsv")):
        for suffix in (".fits.gz", ".fits", ".fit", ".fits.fz"):
            image = table.with_suffix(suffix)
            if image.is_file():
                cases.append((table, image))
                break
    if not cases:
        raise FileNotFoundError(
            f"{folder} has no labelled images: pairs of NAME.ecsv (x, y, label) and NAME.fits[.gz]"
        )
    return cases


def score_case(
    classifier: Classifier, table_path: Path, image_path: Path, given_fwhm: bool
) -> Scored | None:
    """Score the labelled detections of one image; None where its FWHM is asked for and not known.

    A cube is taken as one cutout a row of the table, centred on the object.
    """
    table = Table.read(table_path)
    if "label" not in table.colnames:
        raise InputError(
            f"{table_path} has no column 'label' (1 real, 0 bogus, -1 not to be judged); it has "
            f"{', '.join(table.colnames)}"
        )
    label = np.asarray(table["label"])
    name = table_path.stem
    with fits.open(image_path) as hdus:
        cube = hdus[0].data if hdus[0].data is not None and hdus[0].data.ndim == 3 else None
    if cube is not None:
        return _score_cube(classifier, name, table, cube) if given_fwhm else None
    fwhm = table.meta.get("fwhm_px") if given_fwhm else None
    if given_fwhm and fwhm is None:
        return None
    image = load_image(image_path)
    # Every detection is scored, also those not to be judged: a catalogue has them all.
    x, y = positions(table)
    result = classifier.classify(
        Table({"x": x, "y": y}), image.data, mask=image.mask, fwhm=fwhm, saturation=image.saturation
    )
    judged = label >= 0
    score = np.asarray(result["rb_score"], np.float32)
    assert np.array_equal(np.isfinite(score), is_scored(np.asarray(result["rb_status"])))
    used = float(result.meta["rb_fwhm"])
    cutter = Cutter.prepare(image.data, classifier.spec.preprocess, fwhm=used, mask=image.mask)
    pixels = cutter.cut(x[judged], y[judged]).pixels
    return Scored(name, label[judged] == 1, score[judged], used, pixels)


def _score_cube(classifier: Classifier, name: str, table: Table, cube: NDArray[Any]) -> Scored:
    label = np.asarray(table["label"])
    widths = np.asarray(table["frame_fwhm"], float)
    score = np.full(len(table), np.nan, np.float32)
    centre = [cube.shape[2] // 2], [cube.shape[1] // 2]
    for i in np.flatnonzero(label >= 0):
        score[i] = classifier.score(cube[i], *centre, fwhm=float(widths[i])).score[0]
    judged = label >= 0
    return Scored(name, label[judged] == 1, score[judged])


def score_images(
    classifier: Classifier,
    folder: str | os.PathLike[str],
    given_fwhm: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Scored]]:
    """Score the labelled detections of a folder of images, by group.

    Parameters
    ----------
    classifier : Classifier
    folder : path
        See `labelled_cases`.
    given_fwhm : bool
        Take the FWHM from the tables (``fwhm_px``) instead of measuring it.
    progress : callable, optional
        Called as ``progress(images_done, images)``.

    Returns
    -------
    dict of lists of Scored
    """
    groups: dict[str, list[Scored]] = {}
    cases = labelled_cases(folder)
    for done, (table, image) in enumerate(cases, 1):
        scored = score_case(classifier, table, image, given_fwhm)
        if scored is not None:
            groups.setdefault(group_of(scored.name), []).append(scored)
        if progress is not None:
            progress(done, len(cases))
    return groups


def measure_groups(groups: dict[str, list[Scored]], threshold: float) -> dict[str, Any]:
    """Figures of each group, with intervals, and the FWHM used for each image.

    Parameters
    ----------
    groups : dict of lists of Scored
        From `score_images`.
    threshold : float
        Scores above it are real.
    """
    rng = np.random.default_rng(0)
    result = {}
    for name, cases in groups.items():
        real = np.concatenate([c.real for c in cases])
        score = np.concatenate([c.score for c in cases])
        result[name] = {
            **figures(real, score, threshold, rng),
            "fwhm": {c.name: c.fwhm for c in cases if c.fwhm is not None},
        }
    return result


def format_groups(groups: dict[str, dict[str, Any]]) -> str:
    """Format `figures` of named groups as a text table."""
    names = ("real", "bogus", "unsc.", "AUC", "kept", "let in", "FPR@95", "FPR@99")
    lines = [f"{'group':20s} " + " ".join(f"{n:>7s}" for n in names)]
    for name, f in groups.items():
        lines.append(
            f"{name:20s} {f['n_real']:7d} {f['n_bogus']:7d} {f['unscored']:7d} {f['auc']:7.4f} "
            f"{f['true_rate']:7.4f} {f['false_rate']:7.4f} "
            f"{f['false_at_95']:7.4f} {f['false_at_99']:7.4f}"
        )
    return "\n".join(lines)


def format_bins(measured: dict[str, Any]) -> str:
    """Format what `evaluate_simulation` found as text tables."""
    lines = ["simulated test frames", format_groups({"all": measured["overall"]}), ""]
    lines += [f"{'class':20s} {'n':>6s} {'called real':>12s}"]
    for name, f in measured["by_class"].items():
        lines.append(f"{name:20s} {f['n']:6d} {f['called_real']:12.4f}")
    for key in ("by_snr", "by_fwhm", "by_crowding"):
        lines += ["", key.replace("_", " "), format_groups(measured[key])]
    return "\n".join(lines)
