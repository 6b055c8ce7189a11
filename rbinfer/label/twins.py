"""Detections that are there twice: a result or an image that was copied, or rows that repeat."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.hashing import digest, digest_of

_SAMPLE = 1 << 16  # bytes, which nearly always tell images apart
_DECIMALS = 3  # of pixels, as in `rbinfer.io.labels.Key`


def first_of_each(
    rows: NDArray[Any], paths: Sequence[Path | None], planes: Sequence[str]
) -> NDArray[np.int64]:
    """Return the rows without those that are about the detection of an earlier row.

    Only images that have detections at the same pixel are compared, and only those that look alike are
    read as a whole.

    Parameters
    ----------
    rows : structured ndarray of `rbinfer.label.pool.ROW`, shape (n,)
    paths, planes : sequence
        Of the images.

    Returns
    -------
    ndarray of int64, shape (m,)
        Indices of `rows`, ascending.
    """
    place = np.zeros(len(rows), [("plane", np.int64), ("hdu", np.int64), ("x", "f8"), ("y", "f8")])
    names = {plane: k for k, plane in enumerate(dict.fromkeys(plane.lower() for plane in planes))}
    number = np.array([names[plane.lower()] for plane in planes], np.int64)
    place["plane"], place["hdu"] = number[rows["image"]], rows["hdu"]
    for name in ("x", "y"):
        place[name] = [round(value, _DECIMALS) for value in rows[name].tolist()]
    _, where, times = np.unique(place, return_inverse=True, return_counts=True)
    shared = times[where] > 1
    content = np.arange(len(paths))
    alike = np.unique(rows["image"][shared])
    content[alike] = _contents([path for k in alike.tolist() if (path := paths[k]) is not None])
    both = np.column_stack([where, np.where(shared, content[rows["image"]], -1)])
    first = np.unique(both, axis=0, return_index=True)[1]
    return np.sort(first).astype(np.int64)


def _contents(paths: Sequence[Path]) -> list[int]:
    """Return numbers that are equal where files hold the same bytes."""
    files = [os.path.realpath(path) for path in paths]
    samples = {file: _said(file, _sample) for file in files}
    often = Counter(samples.values())
    keys = {f: sample if often[sample] == 1 else _said(f, digest) for f, sample in samples.items()}
    numbers: dict[str, int] = {}
    return [numbers.setdefault(keys[file], len(numbers)) for file in files]


def _said(file: str, what: Callable[[str], str]) -> str:
    """Return what tells a file; its name where it can't be read."""
    try:
        return what(file)
    except OSError:
        return file


def _sample(file: str) -> str:
    """Hash the size, the beginning, the middle and the end of a file."""
    size = os.stat(file).st_size
    with open(file, "rb") as readable:
        parts = [str(size).encode()]
        for start in (0, size // 2, max(size - _SAMPLE, 0)):
            readable.seek(start)
            parts.append(readable.read(_SAMPLE))
    return digest_of(b"".join(parts))
