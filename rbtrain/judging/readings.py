"""Readings of the same scores on simulation: what counts as real, at which threshold, in which bin."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbinfer.model.readings import OperatingPoint
from rbinfer.model.spec import ModelSpec

from .._arrays import F32, Bools, Floats
from ..config import CLASSES, SKY
from ..data.label import is_of
from ..metrics import auc, rates_at

#: Bins of what is measured: key of the results, column of a dataset, edges.
_BINS = (
    ("by_snr", "snr", (3.0, 5.0, 10.0, 30.0, 100.0, np.inf)),
    ("by_fwhm", "fwhm", (1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 15.0)),
    ("by_crowding", "crowding", (0.0, 0.003, 0.03, 0.1, np.inf)),
)
#: Keys of the results by bins, and those of operating points among them.
BIN_KEYS = tuple(key for key, _, _ in _BINS)
POINT_KEYS = ("by_snr", "by_fwhm")


def bins_of(rows: NDArray[Any]) -> dict[str, dict[str, Bools]]:
    """Tell which rows of a dataset lie in each bin: ``by_snr``, ``by_fwhm`` and ``by_crowding``."""
    result: dict[str, dict[str, Bools]] = {}
    for key, column, edges in _BINS:
        result[key] = {}
        for low, high in itertools.pairwise(edges):
            name = f"{low:g}-{high:g}" if np.isfinite(high) else f">{low:g}"
            result[key][name] = (rows[column] >= low) & (rows[column] < high)
    return result


def read_simulation(
    rows: NDArray[Any],
    score: F32,
    sky_score: F32,
    star_score: F32,
    real: Bools,
    threshold: float,
) -> dict[str, Any]:
    """Figures in several readings of what is real.

    ``shipped``: what the model was shipped to count as real against all else. ``without_galaxies``:
    the same with galaxies left out, which a catalogue of the sky may count as either.
    ``with_galaxies``: stars and galaxies, by the sum of their probabilities, against artefacts and
    noise. ``stars``: stars, by their probability, against all else.

    Parameters
    ----------
    rows : structured ndarray, shape (n,)
        Of a `Dataset`.
    score, sky_score, star_score : ndarray of float32, shape (n,)
        Probability of what is shipped as real, of star or galaxy, and of star.
    real : ndarray of bool, shape (n,)
        What is shipped as real.
    threshold : float
        Scores above it are real.

    Returns
    -------
    dict
        By reading: ``overall``, ``by_class`` (rate called real) and the bins of `bins_of`, each with
        ``n_real, n_bogus, auc, true_rate, false_rate``.
    """
    everything = np.ones(len(rows), bool)
    sky = is_of(rows["label"], SKY)
    left = ~is_of(rows["label"], ("galaxy",))
    result = {}
    for name, is_real, values, taken in (
        ("shipped", real, score, everything),
        ("without_galaxies", real, score, left),
        ("with_galaxies", sky, sky_score, everything),
        ("stars", is_of(rows["label"], ("star",)), star_score, everything),
    ):
        reading: dict[str, Any] = {
            "overall": short_figures(is_real[taken], values[taken], threshold),
            "by_class": {
                kind: float((values[rows["label"] == i] > threshold).mean())
                for i, kind in enumerate(CLASSES)
                if (taken & (rows["label"] == i)).any()
            },
        }
        for key, bins in bins_of(rows).items():
            reading[key] = {
                at: short_figures(is_real[inside & taken], values[inside & taken], threshold)
                for at, inside in bins.items()
            }
        result[name] = reading
    return result


def what_changed(before: ModelSpec, measured: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Compare what was measured on simulation with what an earlier version reaches there.

    Parameters
    ----------
    before : ModelSpec
        Of the earlier version.
    measured : dict
        Of the earlier version, from `rbtrain.judging.evaluate.evaluate_simulation`.
    now : dict
        All figures of the new version; ``simulation`` is compared.

    Returns
    -------
    dict
        ``model``, ``version`` and ``real`` of the earlier one; ``rates``, its and the new share of the
        real that are kept, share of the bogus that are let in, each at the model's own threshold, and
        calibration error; ``auc``, by reading and then by bin
        (``overall`` first): its AUC and the new one; ``worst``, by reading, the largest loss of AUC in
        any bin, negative where all have won.
    """
    pairs: dict[str, dict[str, list[float]]] = {}
    for name in ("with_galaxies", "stars"):
        old, new = (found["readings"][name] for found in (measured, now["simulation"]))
        pairs[name] = {"overall": [old["overall"]["auc"], new["overall"]["auc"]]}
        for key in BIN_KEYS:
            for at in old[key]:
                pair = [old[key][at]["auc"], new[key][at]["auc"]]
                pairs[name][f"{key.removeprefix('by_')} {at}"] = pair
    return {
        "model": before.name,
        "version": before.version,
        "real": list(before.real),
        "rates": {
            "kept": [found["overall"]["true_rate"] for found in (measured, now["simulation"])],
            "let_in": [found["overall"]["false_rate"] for found in (measured, now["simulation"])],
            "calibration_error": [found["calibration_error"] for found in (measured, now["simulation"])],
        },
        "auc": pairs,
        "worst": {name: max(old - new for old, new in found.values()) for name, found in pairs.items()},
    }


def short_figures(real: Bools, score: Floats, threshold: float) -> dict[str, Any]:
    """AUC and rates at a threshold of scores; NaN counts as unscored and takes no part.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float, shape (n,)
    threshold : float
        Scores above it are real.

    Returns
    -------
    dict
        ``n_real, n_bogus, auc, true_rate, false_rate``; NaN where a class is empty.
    """
    scored = np.isfinite(score)
    r, s = real[scored], score[scored]
    true_rate, false_rate = rates_at(r, s, threshold)
    return {
        "n_real": int(r.sum()),
        "n_bogus": int((~r).sum()),
        "auc": auc(r, s),
        "true_rate": true_rate,
        "false_rate": false_rate,
    }


def points_by_bin(
    points: Sequence[OperatingPoint],
    rows: NDArray[Any],
    real: Bools,
    score: F32,
) -> dict[str, Any]:
    """Missed and false rate of each operating point in each bin of S/N and FWHM.

    Parameters
    ----------
    points : sequence of OperatingPoint
    rows : structured ndarray, shape (n,)
        Of a `Dataset`.
    real : ndarray of bool, shape (n,)
    score : ndarray of float32, shape (n,)

    Returns
    -------
    dict
        By name of the point: ``threshold``, ``overall``, ``by_snr`` and ``by_fwhm``, with ``missed``
        and ``false``.
    """
    bins = bins_of(rows)
    result = {}
    for point in points:
        inside = {"overall": {"": np.ones(len(rows), bool)}, **bins}
        rates = {
            key: {at: _missed_false(real[k], score[k], point.threshold) for at, k in inside[key].items()}
            for key in ("overall", *POINT_KEYS)
        }
        result[point.name] = {"threshold": point.threshold, **rates, "overall": rates["overall"][""]}
    return result


def _missed_false(real: Bools, score: F32, threshold: float) -> dict[str, float]:
    true_rate, false_rate = rates_at(real, score, threshold)
    return {"missed": 1 - true_rate, "false": false_rate}
