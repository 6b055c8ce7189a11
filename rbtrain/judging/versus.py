"""The network beside the simple methods, on the same detections: labelled images and simulation."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rbinfer.model.session import Session
from rbinfer.model.stamps import Stamps

from .._arrays import I8, Bools, Floats
from ..config import CLASSES, TrainConfig
from ..data.cutting import cut_detections, find_detections, frame_rng
from ..data.dataset import TEST_FRAMES_FROM
from ..data.label import is_of
from ..metrics import auc, false_rate_at_true_rate
from ..simulate import draw_frame
from .baselines import THRESHOLDS, baseline_scores
from .labelled import Scored, joined
from .readings import short_figures
from .text import number

#: Name of the network in the results.
NETWORK = "network"
_MOST_FRAMES = 150


def compare_groups(groups: dict[str, list[Scored]], threshold: float) -> dict[str, Any]:
    """Figures of the network and of each baseline on groups of labelled images.

    Parameters
    ----------
    groups : dict of lists of Scored
        From `rbtrain.judging.labelled.score_images` with baselines.
    threshold : float
        Of the network.

    Returns
    -------
    dict
        By group and method: ``n_real, n_bogus, auc, true_rate, false_rate, false_at_95``. Rates are
        at the fixed `rbtrain.judging.baselines.THRESHOLDS`.
    """
    result: dict[str, Any] = {}
    for name, cases in groups.items():
        taken = [c for c in cases if c.baselines is not None]
        if not taken:
            continue
        real, own = joined(taken)
        result[name] = {NETWORK: _figures(real, own, threshold)}
        for method, limit in THRESHOLDS.items():
            score = np.concatenate([c.baselines[method] for c in taken if c.baselines is not None])
            result[name][method] = _figures(real, score, limit)
    return result


def compare_simulation(
    session: Session,
    config: TrainConfig,
    frames: int = _MOST_FRAMES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score the detections of simulated test frames by the network and by each baseline.

    The frames are drawn again, because a dataset has no images and no catalogue. The baselines are
    told the true FWHM; the network sees cutouts made with an erring one, as in the dataset.

    Parameters
    ----------
    session : Session
        The network.
    config : TrainConfig
        What the test set was made from.
    frames : int
        At most so many are drawn.
    progress : callable, optional
        Called as ``progress(frames_done, frames)``.

    Returns
    -------
    dict
        ``frames``; ``real``, what counts; ``overall``, by method, the real against all else as in
        `compare_groups`; ``without_galaxies``, the same with galaxies left out; ``by_class``, by class
        and method: ``n``, ``called_real`` and ``auc`` (the real against this class; None for the real).
    """
    count = min(frames, config.data.test_frames)
    labels: list[I8] = []
    scores: dict[str, list[Floats]] = {name: [] for name in (NETWORK, *THRESHOLDS)}
    for done in range(count):
        index = TEST_FRAMES_FROM + done
        rng = frame_rng(config.data.seed, index)
        frame = draw_frame(config.simulate, rng)
        found = find_detections(frame, config.data, rng)
        cut = cut_detections(frame, found, config.preprocess, config.data, rng, index)
        if len(cut.rows):
            labels.append(cut.rows["label"])
            stamps = Stamps.of(cut.star, config.preprocess.size, len(cut.rows), cut.population)
            seen = session.run(cut.pixels.astype(np.float32), stamps, cut.cores)
            scores[NETWORK].append(seen.score)
            others = baseline_scores(
                frame.image, found[cut.good], frame.fwhm, mask=frame.mask, saturation=frame.saturation
            )
            for name, values in others.items():
                scores[name].append(values)
        if progress is not None:
            progress(done + 1, count)
    real = session.spec.calibration.get("counted_as_real", session.spec.real)
    about = {"frames": count, "real": list(real)}
    if not labels:
        return about | {"overall": {}, "without_galaxies": {}, "by_class": {}}
    label = np.concatenate(labels)
    limits = {NETWORK: session.spec.threshold, **THRESHOLDS}
    joined = {name: np.concatenate(parts) for name, parts in scores.items()}
    return about | _by_class(label, joined, limits, real)


def _by_class(
    label: I8, scores: dict[str, Floats], limits: dict[str, float], real_types: Sequence[str]
) -> dict[str, Any]:
    real, left = is_of(label, real_types), ~is_of(label, ("galaxy",))
    by_class: dict[str, Any] = {}
    for i, kind in enumerate(CLASSES):
        inside = label == i
        if not inside.any():
            continue
        either = inside | real
        by_class[kind] = {"n": int(inside.sum())}
        for name, score in scores.items():
            by_class[kind][name] = {
                "called_real": float((score[inside] > limits[name]).mean()),
                "auc": None if kind in real_types else auc(real[either], score[either]),
            }
    return {
        "overall": {name: _figures(real, s, limits[name]) for name, s in scores.items()},
        "without_galaxies": {
            name: _figures(real[left], s[left], limits[name]) for name, s in scores.items()
        },
        "by_class": by_class,
    }


def _figures(real: Bools, score: Floats, threshold: float) -> dict[str, Any]:
    scored = np.isfinite(score)
    return {
        **short_figures(real, score, threshold),
        "false_at_95": false_rate_at_true_rate(real[scored], score[scored], 0.95),
    }


def pooled(measured: dict[str, Any]) -> dict[str, Any]:
    """Return what `compare_simulation` found over all classes, as groups for `groups_table`."""
    rows = {
        f"{counting(measured)}, all else": measured["overall"],
        "without galaxies": measured["without_galaxies"],
    }
    return {title: methods for title, methods in rows.items() if methods}


def counting(measured: dict[str, Any]) -> str:
    """Say what counts as real in what `compare_simulation` found."""
    names = measured.get("real", ["star"])  # the figures of version 3 and before do not say so
    plural = {"galaxy": "galaxies"}
    return " and ".join(plural.get(name, f"{name}s") for name in names)


def groups_table(groups: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of a table, one row per group: AUC, kept and let in by method."""
    head = ("group", *(f"{name} AUC / kept / let in" for name in (NETWORK, *THRESHOLDS)))
    rows = []
    for group, methods in groups.items():
        cells = (
            " / ".join(
                (
                    number(methods[name]["auc"]),
                    number(methods[name]["true_rate"], 3),
                    number(methods[name]["false_rate"], 3),
                )
            )
            for name in (NETWORK, *THRESHOLDS)
        )
        rows.append((group, *cells))
    return head, rows


def classes_table(measured: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of a table, one row per class: rate called real and AUC to the real by method."""
    head = ("class", "n", *(f"{name} called real / AUC" for name in (NETWORK, *THRESHOLDS)))
    rows = []
    for kind, found in measured["by_class"].items():
        cells = (
            " / ".join((number(found[name]["called_real"], 3), number(found[name]["auc"], 3)))
            for name in (NETWORK, *THRESHOLDS)
        )
        rows.append((kind, str(found["n"]), *cells))
    return head, rows
