"""Harvested labels as a table: made by each kind of evidence, joined, and freed of contradictions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from astropy.table import Table, vstack
from numpy.typing import ArrayLike, NDArray

#: What a label says.
REAL, BOGUS = 1, 0
#: Evidence of what was detected on a dark.
DARK = "dark"
#: Columns of a detection that a label keeps, and what stands for one that is not known.
KEPT = {"image": "", "row": -1, "x": np.nan, "y": np.nan, "ra": np.nan, "dec": np.nan}


class Joined(NamedTuple):
    """Labels of several kinds of evidence: the table, and how many detections were contradicted."""

    table: Table
    contradicted: int


def harvested(
    detections: Table,
    label: ArrayLike,
    kind: ArrayLike,
    evidence: ArrayLike,
    purity: ArrayLike,
) -> Table:
    """Return labels as a table.

    Parameters
    ----------
    detections : Table
        Its columns ``image``, ``row``, ``x``, ``y`` (0-based pixels), ``ra``, ``dec`` (degrees) are
        taken, where it has them.
    label : array_like, shape (n,)
        `REAL` or `BOGUS`.
    kind : array_like of str, shape (n,)
        Class; empty where it is not known.
    evidence : array_like of str, shape (n,)
    purity : array_like, shape (n,)
        Estimated share of such labels that are right.
    """
    n = len(detections)
    table = Table()
    for name, unknown in KEPT.items():
        has = name in detections.colnames
        table[name] = np.asarray(detections[name]) if has else np.full(n, unknown)
    table["image"] = np.asarray(table["image"]).astype(str) if n else np.zeros(0, "U1")
    table["label"] = np.broadcast_to(np.asarray(label, np.int8), n)
    for name, values in (("class", kind), ("evidence", evidence)):
        table[name] = np.broadcast_to(np.asarray(values, np.str_), n)
    table["purity"] = np.broadcast_to(np.asarray(purity, np.float64), n)
    return table


def joined(parts: Sequence[Table]) -> Joined:
    """Join labels: each detection once, with all its evidence; what is said to be both is left out.

    Parameters
    ----------
    parts : sequence of Table
        From `harvested`, the best evidence first.

    Returns
    -------
    Joined
    """
    parts = [part for part in parts if len(part)]
    if not parts:
        return Joined(harvested(Table(), (), (), (), ()), 0)
    table = vstack(parts, metadata_conflicts="silent")
    keys = _keys(table)
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    labels = np.asarray(table["label"])
    is_real = np.bincount(which, labels == REAL) > 0
    both = is_real & (np.bincount(which, labels == BOGUS) > 0)
    evidence: list[list[str]] = [[] for _ in first]
    wrong = np.ones(len(first))
    for k, name, purity in zip(which, table["evidence"], table["purity"], strict=True):
        if str(name) not in evidence[k]:
            evidence[k].append(str(name))
        wrong[k] = min(wrong[k], 1.0 - float(purity))
    result = table[first]
    result["evidence"] = np.array(["+".join(names) for names in evidence], np.str_)
    result["purity"] = 1.0 - wrong
    return Joined(result[~both], int(np.count_nonzero(both)))


def _keys(table: Table) -> NDArray[np.str_]:
    """Name each detection: by its image and row, or else its place there."""
    return np.array(
        [
            f"{image}\n{row}" if row >= 0 else f"{image}\n{x:.2f}\n{y:.2f}"
            for image, row, x, y in zip(
                table["image"], table["row"], table["x"], table["y"], strict=True
            )
        ],
        np.str_,
    )
