"""What follows from labels and scores alone: weights of a mix, readings with their rates, histograms."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rbinfer.model.readings import OperatingPoint, Reading, counted_score

from .._arrays import F32, I8, Bools
from ..config import CLASSES, READINGS, SOURCES, TrainConfig
from ..data.label import is_of
from ..metrics import rates_at, threshold_for_false, threshold_for_missed


def mix_weights(labels: I8, sources: float) -> F32:
    """Weights with mean 1 that give stars and galaxies together a share, and all else the rest.

    Parameters
    ----------
    labels : ndarray of int8, shape (n,)
        Indices into `rbtrain.config.CLASSES`.
    sources : float
        The share, between 0 and 1.

    Returns
    -------
    ndarray of float32, shape (n,)

    Raises
    ------
    ValueError
        There are no sources, or nothing else; says what to do.
    """
    in_the_sky = np.isin(labels, SOURCES)
    share = float(in_the_sky.mean())
    if not 0 < share < 1:
        raise ValueError(
            f"{share:.0%} of {len(labels)} held-out cutouts are stars or galaxies; a calibration needs "
            "sources and artefacts: simulate more frames, or change the ranges under [simulate]"
        )
    return np.where(in_the_sky, sources / share, (1 - sources) / (1 - share)).astype(np.float32)


def width_weights(rows: NDArray[np.void], widths: Sequence[float], weights: Sequence[float]) -> F32:
    """Weight of each row by the width of its frame's stars, which may be others for bogus rows.

    One threshold serves all widths. Where few features tell hits from stars, or where hits are told with
    ease, it is right only if bogus count for more. They do in the last epochs alone: what a network sees
    in cutouts is best learned from them as they are (Cao et al. 2019, arXiv:1906.07413).

    Parameters
    ----------
    rows : structured ndarray, shape (n,)
        Of a dataset.
    widths : sequence of float
        FWHM in pixels, rising.
    weights : sequence of float
        Of bogus rows at these widths; between them even in ln(FWHM), beyond them those of the ends.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    of_bogus = weight_of_bogus(rows["fwhm"], widths, weights)
    return np.where(np.isin(rows["label"], SOURCES), 1, of_bogus).astype(np.float32)


def weight_of_bogus(fwhm: F32, widths: Sequence[float], weights: Sequence[float]) -> F32:
    """Return the weight that a bogus row has among stars of each width; see `width_weights`.

    Parameters
    ----------
    fwhm : ndarray of float32, shape (n,)
        In pixels.
    widths, weights : sequence of float
        As `width_weights` takes them.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    return np.interp(np.log(fwhm), np.log(widths), weights).astype(np.float32)


def operating_points(
    real: Bools,
    score: F32,
    missed: Sequence[float] = (0.01, 0.02, 0.05),
    false: Sequence[float] = (0.001, 0.01),
) -> tuple[OperatingPoint, ...]:
    """Find the thresholds for given missed and false rates, with both rates of each.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float32, shape (n,)
    missed, false : sequence of float
        Rates aimed at.

    Returns
    -------
    tuple of OperatingPoint
        First those for missed rates, then those for false rates, in the order given.
    """
    points = []
    for name, wanted, find in (
        ("missed", missed, threshold_for_missed),
        ("false", false, threshold_for_false),
    ):
        for rate in wanted:
            threshold = find(real, score, rate)
            true_rate, false_rate = rates_at(real, score, threshold)
            points.append(OperatingPoint(f"{name} {rate:.1%}", threshold, 1 - true_rate, false_rate))
    return tuple(points)


def measured_readings(config: TrainConfig, labels: I8, classes: F32) -> tuple[Reading, ...]:
    """Measure each reading of what is real for a model with classes.

    Galaxies that do not count as real are no artefacts either: they have no part in the rates.

    Parameters
    ----------
    config : TrainConfig
        Its ``real`` is the default reading.
    labels : ndarray of int8, shape (n,)
        Indices into `rbtrain.config.CLASSES`.
    classes : ndarray of float32, shape (n, k)
        Calibrated probabilities.

    Returns
    -------
    tuple of Reading
        The default one first, then the others of `rbtrain.config.READINGS`.
    """
    others = [real for real in READINGS if set(real) != set(config.real)]
    return tuple(
        measured_reading(
            real, labels, real, counted_score(classes, [CLASSES.index(name) for name in real])
        )
        for real in (config.real, *others)
    )


def measured_reading(names: Sequence[str], labels: I8, real_types: Sequence[str], score: F32) -> Reading:
    """Measure one reading: its operating points, and how the scores are spread.

    Parameters
    ----------
    names : sequence of str
        Names of the model's classes that count as real.
    labels : ndarray of int8, shape (n,)
        Indices into `rbtrain.config.CLASSES`.
    real_types : sequence of str
        Names of the labels that are real.
    score : ndarray of float32, shape (n,)

    Returns
    -------
    Reading
    """
    real = is_of(labels, real_types)
    judged = real | ~np.isin(labels, SOURCES)
    real, score = real[judged], score[judged]
    return Reading(
        tuple(names),
        operating_points=operating_points(real, score),
        scores=score_histograms(real, score),
    )


def score_histograms(real: Bools, score: F32, bins: int = 20) -> dict[str, list[float]]:
    """Return the distributions of the scores of real and bogus, for reports to compare with.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
    score : ndarray of float32, shape (n,)
    bins : int
        Equal bins over [0, 1].

    Returns
    -------
    dict
        ``real`` and ``bogus``: the fraction of each in every bin.
    """
    found = {}
    for name, rows in (("real", real), ("bogus", ~real)):
        counts, _ = np.histogram(score[rows], bins, (0.0, 1.0))
        found[name] = [round(float(n), 6) for n in counts / max(int(rows.sum()), 1)]
    return found
