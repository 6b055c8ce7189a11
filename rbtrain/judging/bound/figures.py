"""What the likelihood ratio and a network reach on the same detections."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from ..._arrays import F64, Bools, Floats
from ...metrics import auc, bootstrap
from .judge import JUDGED, REAL, Judged, log_odds

#: One detection: number of its frame and of the bin of widths, kind of the frame, index of its class in
#: `JUDGED`, S/N, FWHM of the frame (pixels), log evidences and rates as in `Judged`, and what the
#: network says with the width measured and with the width given.
ROW = np.dtype(
    [
        ("frame", "i4"),
        ("width", "i4"),
        ("kind", "U12"),
        ("label", "i4"),
        ("snr", "f4"),
        ("fwhm", "f4"),
        ("log_evidence", "f8", len(JUDGED)),
        ("log_evidence_of_kind", "f8", len(JUDGED)),
        ("log_rate", "f8", len(JUDGED)),
        ("measured", "f4"),
        ("given", "f4"),
    ]
)
Rows = NDArray[np.void]
SNR = (0.0, 5.0, 10.0, 30.0, 100.0, np.inf)
#: Kept of the real ones brighter than this S/N, where what is let in is compared.
KEPT, BRIGHT = 0.98, 10.0
#: Classes of which few should be let in then.
TARGETS = ("cosmic_ray", "hot_pixel", "noise")


def rows_of(
    judged: Judged, measured: Floats, given: Floats, *, frame: int, width: int, kind: str, fwhm: float
) -> Rows:
    """Return the detections of a frame with both scores of the network, (n,) each, as `ROW`."""
    rows = np.zeros(judged.label.size, ROW)
    rows["frame"], rows["width"], rows["kind"], rows["fwhm"] = frame, width, kind, fwhm
    for name in ("label", "snr", "log_evidence", "log_evidence_of_kind", "log_rate"):
        rows[name] = getattr(judged, name)
    rows["measured"], rows["given"] = measured, given
    return rows


def is_real(rows: Rows) -> Bools:
    """Tell which are stars or galaxies."""
    return np.asarray(np.isin(rows["label"], [JUDGED.index(name) for name in REAL]))


def score_of(rows: Rows) -> F64:
    """Return the log odds that each is real, rates and silicon of its own frame known."""
    return log_odds(rows["log_evidence"])


def score_of_kind(rows: Rows) -> F64:
    """Return the log odds where of the frame only PSF, noise and kind are known.

    The rates are the means of the frames of the same bin of widths.
    """
    evidence = rows["log_evidence_of_kind"] - rows["log_rate"]
    for width in np.unique(rows["width"]):
        inside = rows["width"] == width
        _, first = np.unique(rows["frame"][inside], return_index=True)
        rates = rows["log_rate"][inside][first]
        evidence[inside] += logsumexp(rates, axis=0) - np.log(len(first))
    return log_odds(evidence)


def figures(rows: Rows, threshold: float) -> dict[str, Any]:
    """Return what each reaches on some detections.

    Parameters
    ----------
    rows : structured array
        As `ROW`; both scores of the network are known.
    threshold : float
        Of the network.

    Returns
    -------
    dict
        ``n_real``, ``n_bogus``, ``n_frames``; by ``oracle``, ``oracle_of_kind`` (`score_of_kind`),
        ``measured`` and ``given``: ``auc`` with ``auc_interval``, ``kept`` and ``let_in`` at the
        threshold, at even odds for the oracles; and of the oracles ``let_in_at_kept``, what they let in
        where they keep as many as the network with the width measured.
    """
    real = is_real(rows)
    result: dict[str, Any] = {
        "n_real": int(real.sum()),
        "n_bogus": int((~real).sum()),
        "n_frames": int(np.unique(rows["frame"]).size),
    }
    if min(result["n_real"], result["n_bogus"]) == 0:
        return result
    kept = float((rows["measured"][real] > threshold).mean())
    for name, score in _scores(rows).items():
        at = 0.0 if name.startswith("oracle") else threshold
        result[name] = {
            "auc": auc(real, score),
            "auc_interval": list(bootstrap(auc, real, score, np.random.default_rng(0))),
            "kept": float((score[real] > at).mean()),
            "let_in": float((score[~real] > at).mean()),
        }
        if name.startswith("oracle"):
            limit = np.quantile(score[real], 1 - kept)
            result[name]["let_in_at_kept"] = float((score[~real] > limit).mean())
    return result


def by_class(rows: Rows, threshold: float) -> dict[str, Any]:
    """Return for each class of artefact what is let in where `KEPT` of the real above `BRIGHT` are kept.

    Returns
    -------
    dict
        By class: ``n``; by ``oracle``, ``oracle_of_kind``, ``measured`` and ``given``: ``auc`` of all
        real ones against it, ``let_in``, and of the network ``let_in_at_threshold``. Under
        ``kept_at_threshold`` what the network keeps of the bright real ones at its threshold, by
        ``measured`` and ``given``.
    """
    real = is_real(rows)
    bright = real & (rows["snr"] > BRIGHT)
    result: dict[str, Any] = {
        "kept_at_threshold": {
            name: float((rows[name][bright] > threshold).mean()) for name in ("measured", "given")
        }
    }
    for name in TARGETS:
        inside = rows["label"] == JUDGED.index(name)
        if not inside.any():
            continue
        found: dict[str, Any] = {"n": int(inside.sum())}
        either = inside | real
        for who, score in _scores(rows).items():
            limit = np.quantile(score[bright], 1 - KEPT)
            found[who] = {
                "auc": auc(real[either], score[either]),
                "let_in": float((score[inside] > limit).mean()),
            }
            if not who.startswith("oracle"):
                found[who]["let_in_at_threshold"] = float((score[inside] > threshold).mean())
        result[name] = found
    return result


def calibration(rows: Rows, edges: Sequence[float] = (0, 0.1, 0.4, 0.6, 0.9, 1)) -> list[dict[str, Any]]:
    """Return how many are real of those that the oracle calls real with so high a probability."""
    real, score = is_real(rows), expit(score_of(rows))
    found = []
    for low, high in pairwise(edges):
        inside = (score >= low) & ((score < high) | ((score == high) & (high == edges[-1])))
        if inside.any():
            found.append(
                {
                    "low": float(low),
                    "high": float(high),
                    "n": int(inside.sum()),
                    "expected": float(score[inside].mean()),
                    "real": float(real[inside].mean()),
                }
            )
    return found


def _scores(rows: Rows) -> dict[str, Floats]:
    return {
        "oracle": score_of(rows),
        "oracle_of_kind": score_of_kind(rows),
        "measured": rows["measured"],
        "given": rows["given"],
    }
