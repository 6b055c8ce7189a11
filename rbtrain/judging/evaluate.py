"""Figures of merit, and a model file measured on simulated test cutouts."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from rbinfer.model.session import Session

from .._arrays import F32, Bools
from ..config import CLASSES, SKY, SOURCES
from ..data.dataset import Dataset
from ..fitting.calibrate import mixed
from ..metrics import (
    auc,
    bootstrap,
    expected_calibration_error,
    false_rate_at_true_rate,
    rates_at,
    reliability,
)
from .readings import bins_of, points_by_bin, read_simulation


def figures(
    real: Bools,
    score: F32,
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
        ``overall``, ``by_class`` (rate called real of each), ``by_snr``, ``by_fwhm``, ``by_crowding``;
        ``calibration_error`` and ``reliability`` in the mix that the score is calibrated for, and
        ``fraction_real`` in it; ``readings`` (`read_simulation`) and
        ``operating_points`` (`points_by_bin`).
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
    share = session.spec.calibration.get("sources")
    both = 0 < np.isin(rows["label"], SOURCES).mean() < 1
    weights = np.ones(len(rows)) if share is None or not both else mixed(rows["label"], share)
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
        "fraction_real": float(np.average(real, weights=weights)),
        "calibration_error": expected_calibration_error(real, score, weights=weights),
        "reliability": reliability(real, score, weights=weights),
        "by_class": by_class,
    }
    sky_score = score
    if parts[0].classes is not None:
        classes = np.concatenate([p.classes for p in parts if p.classes is not None])
        counts = np.zeros((len(CLASSES), len(CLASSES)), int)
        np.add.at(counts, (rows["label"], np.argmax(classes, axis=1)), 1)
        result["confusion"] = counts.tolist()
    if parts[0].classes is not None and set(SKY) <= set(session.spec.classes):
        columns = [session.spec.classes.index(name) for name in SKY]
        sky_score = np.minimum(classes[:, columns].sum(axis=1, dtype=np.float32), np.float32(1))
    for key, bins in bins_of(rows).items():
        result[key] = {
            at: figures(real[inside], score[inside], threshold) for at, inside in bins.items()
        }
    result["readings"] = read_simulation(rows, score, sky_score, real, threshold)
    judged = real | ~np.isin(rows["label"], SOURCES)
    result["operating_points"] = points_by_bin(
        session.spec.operating_points, rows[judged], real[judged], score[judged]
    )
    return result
