"""Figures of merit, and a model file measured on simulated test cutouts."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rbinfer.model.readings import counted_score
from rbinfer.model.session import Session
from rbinfer.model.spec import AROUND, CORE, ModelSpec

from .._arrays import F32, I8, Bools, Floats
from ..config import CLASSES, READINGS, SOURCES
from ..data.dataset import Dataset
from ..data.label import is_of
from ..data.seen import Shown
from ..fitting.rates import mix_weights, width_weights
from ..metrics import (
    auc,
    bootstrap,
    expected_calibration_error,
    false_rate_at_true_rate,
    rates_at,
    reliability,
)
from .readings import bins_of, points_by_bin, read_simulation, short_figures

#: Cutouts in memory at a time.
_AT_ONCE = 4096


class Told(NamedTuple):
    """What a network is told beside the cutout, as far as it reads it.

    Attributes
    ----------
    star, population : bool
        The star of the frame; what else is there.
    around : int
        How many of the numbers of `rbinfer.cutouts.cutter.Cutouts.core`.
    """

    star: bool = True
    population: bool = True
    around: int = AROUND


TOLD = {
    "all": Told(),
    "no star": Told(star=False),
    "no population": Told(population=False),
    "neither": Told(star=False, population=False),
    "no wide view": Told(around=CORE),
    "cutouts alone": Told(star=False, population=False, around=0),
}


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
    result: dict[str, Any] = {
        **short_figures(real, score, threshold),
        "unscored": int((~scored).sum()),
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
        ``fraction_real`` in it; ``calibration_errors`` of each reading of a model with classes;
        ``readings`` (`read_simulation`) and
        ``operating_points`` (`points_by_bin`). Of a network that reads more than the cutout ``told``:
        figures of the same cutouts and the rates called real by class, by what it is told of (`TOLD`).
    """
    session = Session(model, "cpu")
    spec, rows = session.spec, data.rows
    # The classes of a model with one score do not say which sources it counts as real.
    real_types = spec.calibration.get("counted_as_real", spec.real)
    real = is_of(rows["label"], real_types)
    score, classes = scores_of(session, data)
    weights = _weights(rows["label"], spec.calibration.get("sources"))
    by_width = (spec.calibration.get(key, (1.0,)) for key in ("widths", "bogus_weights"))
    weights = weights * width_weights(rows, *by_width)
    result: dict[str, Any] = {
        "threshold": spec.threshold,
        "overall": figures(real, score, spec.threshold, np.random.default_rng(0)),
        "fraction_real": float(np.average(real, weights=weights)),
        "calibration_error": expected_calibration_error(real, score, weights=weights),
        "reliability": reliability(real, score, weights=weights),
        "by_class": _by_class(rows["label"], score, spec.threshold, real_types),
    }
    if session.reads_psf or session.reads_around:
        result["told"] = {}
        for name, what in TOLD.items():
            if name == "no wide view" and session.reads_around <= CORE:
                continue
            if name in ("no population", "neither") and not session.reads_population:
                continue
            told = scores_of(session, data, what)[0]
            result["told"][name] = figures(real, told, spec.threshold) | {
                "by_class": _by_class(rows["label"], told, spec.threshold, real_types)
            }
    if classes is not None:
        counts = np.zeros((len(CLASSES), len(CLASSES)), int)
        np.add.at(counts, (rows["label"], np.argmax(classes, axis=1)), 1)
        result["confusion"] = counts.tolist()
        result["calibration_errors"] = {
            reading.name: expected_calibration_error(
                is_of(rows["label"], reading.real),
                _counting(spec, classes, reading.real),
                weights=weights,
            )
            for reading in spec.readings
        }
    sky_score, star_score = (
        score if classes is None else _counting(spec, classes, names) for names in READINGS
    )
    for key, bins in bins_of(rows).items():
        result[key] = {
            at: figures(real[inside], score[inside], spec.threshold) for at, inside in bins.items()
        }
    result["readings"] = read_simulation(rows, score, sky_score, star_score, real, spec.threshold)
    judged = real | ~np.isin(rows["label"], SOURCES)
    result["operating_points"] = points_by_bin(
        spec.operating_points, rows[judged], real[judged], score[judged]
    )
    return result


def scores_of(session: Session, data: Shown, told: Told = TOLD["all"]) -> tuple[F32, F32 | None]:
    """Return the score (n,) and, of a model with classes, their probabilities (n, k).

    Parameters
    ----------
    session : Session
    data : Shown
        Such as a dataset.
    told : Told
    """
    parts = []
    for i in range(0, len(data), _AT_ONCE):
        cutouts, stamps, cores = data.inputs(slice(i, i + _AT_ONCE))
        if not told.star:
            stamps = replace(stamps, known=np.zeros_like(stamps.known))
        if not told.population:
            stamps = replace(stamps, population=np.zeros_like(stamps.population))
        parts.append(session.run(cutouts, stamps, cores[:, : told.around]))
    classes = [part.classes for part in parts if part.classes is not None]
    return np.concatenate([part.score for part in parts]), np.concatenate(classes) if classes else None


def _counting(spec: ModelSpec, classes: F32, names: Sequence[str]) -> F32:
    """Return the score (n,) with these classes real."""
    return counted_score(classes, [spec.classes.index(name) for name in names])


def _weights(labels: I8, share: float | None) -> Floats:
    """Weight the rows so that sources have a share of them; evenly if none is given or to be had."""
    both = 0 < np.isin(labels, SOURCES).mean() < 1
    return np.ones(len(labels)) if share is None or not both else mix_weights(labels, share)


def _by_class(
    labels: I8, score: F32, threshold: float, real_types: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return how many there are of each class, and which rate of them is called real."""
    result = {}
    for i, name in enumerate(CLASSES):
        inside = labels == i
        if inside.any():
            called_real = float((score[inside] > threshold).mean())
            result[name] = {
                "n": int(inside.sum()),
                "real": name in real_types,
                "called_real": called_real,
            }
    return result
