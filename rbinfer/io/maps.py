"""Masks and noise maps that stand beside an image: other extensions, or files of their own."""

import re
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .images import plane_and_header, read_plane
from .mask_planes import bad_bits_of, bad_pixels

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
    _check_shape(values, where, what, shape)
    return values


def read_mask(
    where: str,
    image: str | PathLike[str],
    shape: tuple[int, ...] | None = None,
    bits: int | None = None,
    of: int | None = None,
) -> NDArray[np.bool_]:
    """Read which pixels a mask calls bad.

    Parameters
    ----------
    where, image, of
        As for `read_map`.
    shape : tuple of int, optional
        Shape of the image, if it is known.
    bits : int, optional
        Only these bits of the mask are bad; by default those whose planes its header names and calls
        bad, see `rbinfer.io.mask_planes`, or all where it names none.

    Returns
    -------
    ndarray of bool, 2-D

    Raises
    ------
    InputError
        There is no such file or HDU, it has another shape, or bits are asked of what has none.
    """
    path, hdu = place_of(where, "mask")
    values, header = plane_and_header(Path(image) if path is None else path, hdu, of)
    if shape is not None:
        _check_shape(values, where, "mask", shape)
    return bad_pixels(values, bad_bits_of(header) if bits is None else bits)


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


def _check_shape(values: NDArray[np.generic], where: str, what: str, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise InputError(f"the {what} {where} has shape {values.shape} but the image has {shape}")
