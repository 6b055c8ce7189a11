"""Targets that a network gives to the one that goes on from it (distillation)."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rbinfer._util.machine import usable_cpus
from rbinfer.model.session import Session
from rbinfer.model.spec import CONTEXT_SIDE, CORE, CORE_SIDE
from rbinfer.model.stamps import Stamps

from .._arrays import F32
from .._files import replaced
from ..config import CLASSES, SOURCES
from ..data.dataset import Dataset
from .batches import augment, square
from .lineage import lineage
from .rates import weight_of_bogus
from .temperature import fit_temperature

#: Files of a run: what the network that teaches says of its set, and which network that is.
TAUGHT, TEACHER = "taught.npy", "teacher.txt"
#: The symmetries of the square; see `rbtrain.fitting.batches.augment`.
_TURNS = 8
#: Rows at a time, of few frames, and rows that the calibration is measured on.
_AT_ONCE, _TO_CALIBRATE = 1024, 200_000
#: Probabilities below this are rounded up before their logarithm is taken.
_LEAST = 1e-7
_IS_SOURCE = np.isin(np.arange(len(CLASSES)), SOURCES)


def check_teacher(share: float, run: Path, begun: bool, teacher: Path | None) -> None:
    """Refuse a network that is named to teach and would not.

    Parameters
    ----------
    share : float
        Of the targets that a network gives; ``fit.taught``.
    run : Path
        Directory of the run.
    begun : bool
        Whether there is a fit to resume, which is taught by what was said when it began.
    teacher : Path, optional
        Model file that is named.

    Raises
    ------
    ValueError
        The share is 0, or another network teaches.
    """
    if teacher is None:
        return
    if share == 0:
        raise ValueError(
            f"{teacher} is to teach, but fit.taught is {share}: set taught to the share of the targets "
            "that it gives, under [fit], or leave --teacher out"
        )
    if not begun:
        return
    noted = run / TEACHER
    first = noted.read_text(encoding="utf-8").strip() if noted.exists() else "a network not noted"
    if first != lineage(teacher):
        raise ValueError(
            f"{run} is taught by {first}, not by {teacher}: a fit that is resumed goes on being taught "
            "by the same; leave --teacher out, or begin anew in another directory"
        )


def taught_targets(share: float, data: Dataset, targets: F32, run: Path, teacher: Path | None) -> F32:
    """Return what a network is fitted to: the labels, or these and what another network says.

    Parameters
    ----------
    share : float
        Of the targets that the other gives; ``fit.taught``.
    data : Dataset
    targets : ndarray of float32, shape (n, k)
        Labels, one-hot.
    run : Path
        Directory of the run, where what is said is kept.
    teacher : Path, optional
        Model file of the network that teaches.

    Returns
    -------
    ndarray of float32, shape (n, k)

    Raises
    ------
    ValueError
        A network is to teach, and there is none, or one without classes.
    """
    if share == 0:
        return targets
    if not (run / TAUGHT).exists():
        if teacher is None:
            raise ValueError(
                f"fit.taught is {share}, but there is no network that could teach; name one with --from "
                "or --teacher"
            )
        with replaced(run / TEACHER) as file:
            file.write_text(f"{lineage(teacher)}\n", encoding="utf-8")
        with replaced(run / TAUGHT) as file, open(file, "wb") as stream:
            np.save(stream, said_by(teacher, data, targets))
    said: F32 = np.load(run / TAUGHT)
    part = np.float32(share)
    return (1 - part) * targets + part * said


def said_by(model_file: str | os.PathLike[str], data: Dataset, targets: F32) -> F32:
    """Return what a network says of a dataset, as targets for the one that goes on from it.

    Labels of a simulation are certain, but what is seen is not: a hit on a faint star may look like
    either. The probabilities of a network say so, and a small network learns from them what it does not
    from labels alone (Hinton et al. 2015, arXiv:1503.02531). These are means over the eight symmetries
    of the square, which are better than the network itself (Dieleman et al. 2015, MNRAS 450, 1441),
    freed from the mix and the weights of the model file and calibrated on the labels.

    Parameters
    ----------
    model_file : path
        A compact model.
    data : Dataset
    targets : ndarray of float32, shape (n, k)
        Labels, one-hot.

    Returns
    -------
    ndarray of float32, shape (n, k)

    Raises
    ------
    ValueError
        The model has one score and no classes.
    """
    session = Session(model_file, "cpu")
    classes, calibration = _mean_classes(data, session), session.spec.calibration
    widths, weights = calibration.get("widths", (1.0,)), calibration.get("bogus_weights", (1.0,))
    logits = free_logits(classes, weight_of_bogus(data.rows["fwhm"], widths, weights))
    some = np.random.default_rng(0).permutation(len(data))[:_TO_CALIBRATE]
    temperature, shift = fit_temperature(
        logits[some].astype(float), targets[some], np.ones(len(some)), _IS_SOURCE.astype(float)
    )
    logits = logits / temperature + shift * _IS_SOURCE
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


def free_logits(classes: F32, of_bogus: F32) -> F32:
    """Return logits of probabilities, freed from the weights that bogus rows had.

    Parameters
    ----------
    classes : ndarray of float32, shape (n, k)
        Probabilities.
    of_bogus : ndarray of float32, shape (n,)
        The weight that each row has if it is bogus.

    Returns
    -------
    ndarray of float32, shape (n, k)
        Each row's up to a constant.
    """
    weights = np.where(_IS_SOURCE, np.float32(1), of_bogus[:, np.newaxis])
    return np.asarray(np.log(np.maximum(classes, _LEAST)) - np.log(weights), np.float32)


def _mean_classes(data: Dataset, session: Session) -> F32:
    """Return probabilities (n, k), means over the eight symmetries."""
    mean = np.empty((len(data), len(CLASSES)), np.float32)

    def fill(start: int) -> None:
        rows = slice(start, start + _AT_ONCE)
        pixels, stamps, around = data.inputs(rows)
        used, index = np.unique(stamps.index, return_inverse=True)
        stamps = Stamps(
            stamps.psf[used], stamps.known[used], stamps.population[used], index.astype(np.int64)
        )
        said = [_turned(session, pixels, stamps, around, turn) for turn in range(_TURNS)]
        mean[rows] = np.mean(said, axis=0)

    with ThreadPoolExecutor(usable_cpus()) as pool:
        for _ in pool.map(fill, range(0, len(data), _AT_ONCE)):
            pass
    return mean


def _turned(
    session: Session, pixels: F32, stamps: Stamps, around: F32, turn: int
) -> NDArray[np.float32]:
    """Return the probabilities (n, k) of what is seen, turned."""
    around = around.copy()
    for numbers, side in ((around, CORE_SIDE), (around[:, CORE:], CONTEXT_SIDE)):
        image = square(numbers, side)
        image[...] = augment(image.copy(), turn)
    star = dataclasses.replace(stamps, psf=np.ascontiguousarray(augment(stamps.psf, turn)))
    classes = session.run(np.ascontiguousarray(augment(pixels, turn)), star, around).classes
    if classes is None:
        raise ValueError(f"{session.path} has one score and no classes: it has nothing to teach")
    return classes
