"""Masks and noise maps that stand beside an image: other extensions, or files of their own."""

import re
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .images import read_plane

_WITH_EXTENSION = re.compile(r"(?P<file>.+)\[(?P<hdu>[^\[\]]+)\]")


def place_of(where: str, what: str) -> tuple[Path | None, str | None]:
    """Take apart where a map lies.

    Parameters
    ----------
    where : str
        As for `read_map`.
    what : str
        What the map is, for messages.

    Returns
    -------
    file : Path or None
        None where the map lies in the file of its image.
    hdu : str or None
        Its name or number; None for the first image.

    Raises
    ------
    InputError
        There is no such file.
    """
    path, hdu = Path(where), None
    if not path.exists():
        parts = _WITH_EXTENSION.fullmatch(where)
        if parts is not None:
            path, hdu = Path(parts["file"]), parts["hdu"]
        elif not path.suffix and path.name == where:
            return None, where
    if not path.exists():
        raise InputError(f"the {what} {path} does not exist")
    return path, hdu


def read_map(
    where: str,
    image: str | PathLike[str],
    shape: tuple[int, ...],
    what: str,
    of: int | None = None,
) -> NDArray[np.generic]:
    """Read a map that belongs to an image.

    Parameters
    ----------
    where : str
        A FITS file, ``FILE[HDU]``, or the name or number of an HDU in the file of the image.
    image : path
        The file of the image.
    shape : tuple of int
        Shape of the image.
    what : str
        What the map is, for messages.
    of : int, optional
        HDU of the image, for a file with several images that have a map each.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    InputError
        There is no such file or HDU, or it has another shape.
    """
    values = read_beside(where, image, what, of)
    if values.shape != shape:
        raise InputError(f"the {what} {where} has shape {values.shape} but the image has {shape}")
    return values


def read_beside(
    where: str, image: str | PathLike[str], what: str, of: int | None = None
) -> NDArray[np.generic]:
    """Read what belongs to an image and has a shape of its own, such as its PSF.

    Parameters
    ----------
    where, image, what, of
        As for `read_map`.

    Returns
    -------
    ndarray, 2-D

    Raises
    ------
    InputError
        There is no such file or HDU.
    """
    path, hdu = place_of(where, what)
    return read_plane(Path(image) if path is None else path, hdu, of)
