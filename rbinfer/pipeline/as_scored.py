"""A catalogue that was scored is looked at again as it was scored: with the options that it notes."""

import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.merged import IMAGE_COLUMN
from ..io.noted import options_in
from .options import PixelOptions, ScoreOptions

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

_TAKEN = (*(field.name for field in fields(PixelOptions)), "fwhm", "real")
_WAYS = ("threshold", "max_missed", "max_false")


def as_scored(options: ScoreOptions, meta: Mapping[str, Any]) -> ScoreOptions:
    """Take what a scored catalogue notes of its pixels, width and threshold, where nothing else is said.

    Parameters
    ----------
    options : ScoreOptions
        What is not as by default stays.
    meta : mapping
        Of the catalogue, with names in any case; what is damaged or not noted is passed over.
    """
    noted = {str(key).lower(): value for key, value in meta.items()}
    given = options.given()
    found = options_in(noted.get("rb_opts"))
    taken = {name: found[name] for name in _TAKEN if name in found and name not in given}
    threshold = noted.get("rb_threshold")
    if isinstance(threshold, float) and not given.keys() & set(_WAYS):
        taken["threshold"] = threshold
    try:
        known = replace(options, **taken)
    except (InputError, TypeError, ValueError):
        return options
    if taken:
        words = ", ".join(f"{name} {value}" for name, value in taken.items())
        log.info("as the catalogue notes: %s", words)
    return known


def rows_of_image(table: "Table", image: str) -> NDArray[np.intp] | None:
    """Return the rows of an image, where a catalogue has those of many.

    Parameters
    ----------
    table : Table
    image : str
        File of the image; folders are not compared.

    Returns
    -------
    ndarray of int, shape (n,), or None
        None where all rows are of one image; another one than this is warned of.

    Raises
    ------
    InputError
        No row is of it.
    """
    name = Path(image).name
    if IMAGE_COLUMN not in table.colnames:
        noted = {str(key).lower(): value for key, value in table.meta.items()}.get(IMAGE_COLUMN)
        if isinstance(noted, str) and noted and Path(noted).name != name:
            log.warning("the catalogue is of %s, but the image is %s", noted, image)
        return None
    names = [Path(str(each)).name for each in table[IMAGE_COLUMN]]
    rows = np.flatnonzero(np.asarray(names) == name)
    if not len(rows):
        images = sorted(set(names))
        more = f", ... ({len(images)} images)" if len(images) > 3 else ""
        raise InputError(
            f"no row of the catalogue is of {name}; they are of {', '.join(images[:3])}{more}"
        )
    return rows
