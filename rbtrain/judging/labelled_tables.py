"""Tables of labelled images as they are read: what a label can be, and which rows have a place."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from rbinfer.errors import InputError
from rbinfer.io.exposure import Exposure
from rbinfer.io.positions import has_positions, positions
from rbinfer.io.tables import read_catalog
from rbinfer.measure.belongs import doubt_about

from .._arrays import I8

#: Label of a detection that is not to be judged.
UNKNOWN = -1
#: What can stand in the column ``label``, also in the words of ``rbinfer label``.
_MEANINGS: dict[Any, int] = {
    1: 1, 0: 0, -1: UNKNOWN, "1": 1, "0": 0, "-1": UNKNOWN,
    "real": 1, "bogus": 0, "skip": UNKNOWN, "": UNKNOWN,
}  # fmt: skip
#: Share of the positions that must lie on the image, or they are said to be of another.
_LEAST_INSIDE = 0.5


def read_labelled(path: Path) -> Table:
    """Read a table with labels.

    Parameters
    ----------
    path : Path
        With a column ``label``: 1, true or ``real``; 0, false or ``bogus``; -1, ``skip``, NaN or nothing
        where it is not known.

    Returns
    -------
    Table
        ``label`` is 1, 0 or `UNKNOWN` (int8, without a mask).

    Raises
    ------
    InputError
        It cannot be read, has no such column, or holds anything else there; names the file, and the
        row and the value.
    """
    table = read_catalog(path)
    if "label" not in table.colnames:
        raise InputError(
            f"{path} has no column 'label' (1 real, 0 bogus, -1 not to be judged); it has "
            f"{', '.join(table.colnames)}"
        )
    table["label"] = _labels(table["label"], path)
    return table


def _labels(column: Any, path: Path) -> I8:
    hidden = np.ma.getmaskarray(column)
    labels = np.full(len(column), UNKNOWN, np.int8)
    for row, value in enumerate(np.ma.getdata(column).tolist()):
        if np.all(hidden[row]) or (isinstance(value, float) and math.isnan(value)):
            continue
        known = isinstance(value, int | float | str)
        label = _MEANINGS.get(value.strip() if isinstance(value, str) else value) if known else None
        if label is None:
            raise InputError(
                f"{path} has {value!r} in the column 'label' (row {row}): a label is 1 or 'real', 0 or "
                "'bogus', and -1 or nothing where it is not known"
            )
        labels[row] = label
    return labels


def read_case(table_path: Path, image_path: Path) -> tuple[Table, NDArray[Any] | None, str]:
    """Read the table of a labelled image, and its stamps if it is a cube of these.

    Parameters
    ----------
    table_path, image_path : Path

    Returns
    -------
    table : Table
        See `read_labelled`. Where the image is none of stamps, all rows have positions.
    cube : ndarray, shape (n, size, size), or None
    left_out : str
        What is to be told of rows that have none; empty where all have.

    Raises
    ------
    InputError
        Nothing tells where the detections are, or how wide the stars of a stamp are; or a cube that is
        not of one stamp a row.
    """
    table = read_labelled(table_path)
    with fits.open(image_path) as hdus:
        pixels = hdus[0].data
    # A single plane is an image, unless it is the stamp of a single row.
    if pixels is not None and pixels.ndim == 3 and (len(pixels) > 1 or len(table) == 1):
        _check_stamps(table, table_path, pixels.shape, image_path)
        return table, pixels, ""
    if not has_positions(table):
        raise InputError(
            f"{table_path} has no positions: columns x and y, pixels from 0, are needed; it has "
            f"{', '.join(table.colnames)}"
        )
    try:
        is_known = np.isfinite(positions(table)).all(axis=0)
    except InputError as error:
        raise InputError(f"{table_path}: {error}") from error
    if is_known.all():
        return table, None, ""
    missing = np.flatnonzero(~is_known)
    told = f"{len(missing)} rows have no position and are left out, the first is row {missing[0]}"
    return table[is_known], None, told


def _check_stamps(table: Table, path: Path, shape: tuple[int, ...], image: Path) -> None:
    n, height, width = shape
    if n != len(table):
        raise InputError(
            f"{image} holds {n} planes of {height} x {width} pixels, and {path} {len(table)} rows: a "
            "cube is taken as one stamp a row; of a colour image, write one plane as an image of its own"
        )
    if not {"frame", "frame_fwhm"} & set(table.colnames):
        raise InputError(
            f"{path} is of stamps ({image}) and does not say how wide their stars are: add a column "
            "'frame' (equal for stamps of one image, on which that is measured then) or 'frame_fwhm' "
            f"(FWHM in pixels); it has {', '.join(table.colnames)}"
        )


def misfit(exposure: Exposure, table: Table) -> str:
    """Say why labels may not belong to an image; empty where they do, or it cannot be told.

    Parameters
    ----------
    exposure : Exposure
    table : Table
        From `read_case`.
    """
    x, y = positions(table)
    height, width = exposure.shape
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    if len(x) > 0 and inside.mean() < _LEAST_INSIDE:
        return f"{np.count_nonzero(~inside)} of {len(x)} positions lie off the image"
    doubt = doubt_about(exposure, x, y)
    return "" if doubt is None else doubt.reason
