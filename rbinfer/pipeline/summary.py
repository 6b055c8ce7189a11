"""What a scored catalogue says in sum, and what is noted in it of how it was made."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io.exposure import NO_STARS, TRUSTED
from ..scoring.classifier import Classifier
from ..status import MEANING, UNSCORED, Status, is_real
from .options import ScoreOptions

if TYPE_CHECKING:
    from astropy.table import Table

#: Bins of the score from 0 to 1, as many as models note of theirs.
BINS = 20


def tally(scored: "Table") -> dict[str, Any]:
    """Count the verdicts and the reasons in a scored catalogue, and name what they rest on.

    Parameters
    ----------
    scored : Table
        As `rbinfer.Classifier.classify` returns it.

    Returns
    -------
    dict
        Plain numbers and texts: ``detections``, ``real``, ``bogus``, ``unscored``, ``status`` (rows
        by bit), ``classes`` (scored rows by class), ``scores`` (real and bogus rows by score, in
        `BINS` bins from 0 to 1), ``real_classes`` and what else ``meta`` notes.
    """
    status = np.asarray(scored["rb_status"])
    unscored = (status & UNSCORED) != 0
    real = is_real(scored["rb_score"], scored.meta["rb_threshold"])
    n_real = int(np.count_nonzero(real))
    n_unscored = int(np.count_nonzero(unscored))
    counts = {
        str(bit.name): int(np.count_nonzero(status & int(bit)))
        for bit in MEANING
        if np.any(status & int(bit))
    }
    summary: dict[str, Any] = {
        "detections": len(scored),
        "real": n_real,
        "bogus": len(scored) - n_real - n_unscored,
        "unscored": n_unscored,
        "status": counts,
    }
    if "rb_class" in scored.colnames:
        found, times = np.unique(np.asarray(scored["rb_class"])[~unscored], return_counts=True)
        summary["classes"] = {str(k): int(n) for k, n in zip(found, times, strict=True)}
    score = np.ma.filled(np.ma.asarray(scored["rb_score"], np.float32), np.nan)
    summary["scores"] = {
        kind: np.histogram(score[rows], BINS, (0, 1))[0].tolist()
        for kind, rows in (("real", real), ("bogus", ~real & ~unscored))
    }
    for key in ("fwhm", "fwhm_source", "npsf", "nfit", "threshold", "model", "version"):
        summary[key] = scored.meta[f"rb_{key}"]
    summary["real_classes"] = list(scored.meta["rb_real"])
    for key in ("fwhm_min", "fwhm_max", "ellipticity", "theta"):
        summary[key] = scored.meta.get(f"rb_{key}")
    summary["frames"] = scored.meta.get("rb_frames", 0)
    summary["note"] = "" if scored.meta["rb_fwhm_source"] in TRUSTED else NO_STARS
    return summary


def is_nothing_scored(summary: Mapping[str, Any]) -> bool:
    """Whether there are detections and none of them has a score, by `tally`."""
    return bool(0 < summary["detections"] == summary["unscored"])


def why_nothing(summary: Mapping[str, Any]) -> str | None:
    """Say why nothing was scored; None where something was, or nothing was detected.

    Parameters
    ----------
    summary : mapping
        From `tally`, with ``catalog``.
    """
    if summary["catalog"] is not None and not summary["detections"]:
        return f"{summary['catalog']} has no rows for it, so nothing was scored"
    if not is_nothing_scored(summary):
        return None
    reasons = ", ".join(
        f"{n} {name} ({MEANING[Status[name]].removeprefix('not scored: ')})"
        for name, n in summary["status"].items()
        if Status[name] & UNSCORED
    )
    return f"nothing could be scored: {reasons}"


def note(
    scored: "Table", image: str, hdu: int | str, options: ScoreOptions, classifier: Classifier
) -> None:
    """Note what a reader needs to find the same positions, and how the scores were made."""
    from .. import __version__

    used = {"image": image, "hdu": hdu, **options.columns}
    scored.meta.update({f"rb_{key}": value for key, value in used.items() if value is not None})
    # Short names: FITS continues long values of keywords with up to eight letters alone.
    scored.meta["rb_hash"] = classifier.sha256
    scored.meta["rb_opts"] = json.dumps(options.given(), sort_keys=True)
    scored.meta["rb_rel"] = __version__
