"""Labels that a model is adapted to: which are taken, and which of them it has been fitted to before."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rbinfer._util.hashing import digest
from rbinfer.errors import InputError
from rbinfer.io.files import check_file
from rbinfer.io.labels import PERSON, Key, Label, current, read_labels

from .._arrays import Bools
from .split import objects_of

log = logging.getLogger(__name__)

#: Harvested labels that are taken at most, beside all that a person gave, and how pure they must be.
_MOST_HARVESTED, _LEAST_PURITY = 2000, 0.95
#: Labels that are taken; others were skipped.
_COUNTING = "real", "bogus"
#: Letters of what stands for a label in a model file; two of a million are alike once in 500 times.
_LETTERS = 12


class GivenLabels(NamedTuple):
    """Labels that are taken, and the SHA-256 of each table that they were read from."""

    labels: list[Label]
    sha256: list[str]


def given_labels(files: Sequence[str | os.PathLike[str]], rng: np.random.Generator) -> GivenLabels:
    """Read the labels that count: all of a person's, and as many pure harvested ones as are taken.

    Parameters
    ----------
    files : sequence of path
    rng : numpy.random.Generator
        For which harvested ones are taken.

    Returns
    -------
    GivenLabels

    Raises
    ------
    InputError
        A table cannot be read, or changes meanwhile.
    """
    tables: list[tuple[Path, list[Label]]] = []
    sha256 = []
    for path in map(Path, files):
        check_file(path)
        before = digest(os.fspath(path))
        tables.append((path, read_labels(path)))
        if digest(os.fspath(path)) != before:
            raise InputError(f"{path} changed while it was read; start again")
        sha256.append(before)
    answers = current([label for _, rows in tables for label in rows])
    _tell_of_contradictions(tables, answers)
    counting = [label for label in answers if label.label in _COUNTING]
    pure = [label for label in counting if label.evidence == PERSON or not label.purity < _LEAST_PURITY]
    if len(pure) < len(counting):
        log.warning(
            "harvested labels not taken: %d; less than %.0f %% of their kind are right by estimate",
            len(counting) - len(pure),
            100 * _LEAST_PURITY,
        )
    harvested = [k for k, label in enumerate(pure) if label.evidence != PERSON]
    dropped = set(rng.permutation(harvested)[_MOST_HARVESTED:].tolist())
    return GivenLabels([label for k, label in enumerate(pure) if k not in dropped], sha256)


def _tell_of_contradictions(tables: Sequence[tuple[Path, list[Label]]], answers: list[Label]) -> None:
    """Warn of labels that another table contradicts, and say which of the two holds."""
    holds = {label.key: label for label in answers if label.label in _COUNTING}
    table_of = {id(label): path for path, rows in tables for label in rows}
    pairs: Counter[tuple[Path, Path]] = Counter()
    for path, rows in tables:
        for label in current(rows):
            other = holds.get(label.key, label)
            if label.label in _COUNTING and label.label != other.label:
                pairs[path, table_of[id(other)]] += 1
    for (path, winner), n in pairs.items():
        log.warning("labels of %s that %s contradicts: %d; those of %s hold", path, winner, n, winner)


def marks_of(labels: Sequence[Label]) -> list[str]:
    """Return what stands for each label in a model file: a hash of `rbinfer.io.labels.Label.key`."""
    return [hashlib.sha256(_text(one.key).encode()).hexdigest()[:_LETTERS] for one in labels]


def _text(key: Key) -> str:
    text = f"{key.hash}\n{key.hdu}\n{key.x:.3f}\n{key.y:.3f}"
    return f"{text}\n{key.plane}" if key.plane else text  # without one as in files of earlier versions


def unseen(labels: Sequence[Label], seen: Collection[str]) -> Bools:
    """Tell which labels are of objects of which none is seen.

    Parameters
    ----------
    labels : sequence of Label
    seen : collection of str
        Marks, as of `marks_of`.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    objects = objects_of(labels)
    known = np.isin(marks_of(labels), list(seen)) if seen else np.zeros(len(labels), bool)
    return np.asarray(~np.isin(objects, objects[known]))
