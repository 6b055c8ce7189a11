"""What is written beside the rows of an image: regions for a viewer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..io.positions import scored_positions
from ..io.regions import as_regions
from ..io.sky_out import sky_map

if TYPE_CHECKING:
    from .score_file import ScoredFile


def regions_of(
    scored: "ScoredFile", columns: Mapping[str, Any], name: str, system: str | None = None
) -> str:
    """Return the rows on an image as DS9 regions.

    Parameters
    ----------
    scored : ScoredFile
        Of one image.
    columns : mapping
        The options about the columns of positions, as `ScoreOptions.columns`.
    name : str
        Of the image, for messages.
    system : {"fk5", "image"}, optional
        Coordinates; those of the sky where they can be had by default.

    Returns
    -------
    str
        The text of a region file.

    Raises
    ------
    InputError
        Coordinates of the sky were asked for and cannot be had.
    """
    table, image = scored.table, scored.image
    assert image is not None  # a mosaic has no regions
    x = y = np.zeros(0)
    if len(table):
        x, y = scored_positions(table, columns, image.header)
    sky = None
    if system != "image":
        sky = sky_map(image.wcs, image.shape, name)
        if sky is None and system == "fk5":
            raise InputError(f"{name} has no WCS that can be used; use `regions_system='image'`")
    return as_regions(
        x,
        y,
        table["rb_score"],
        table.meta["rb_threshold"],
        table["rb_class"] if "rb_class" in table.colnames else None,
        shape=image.shape,
        sky=sky,
    )
