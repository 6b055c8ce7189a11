"""Masks of artefacts as FITS images, compressed by tiles."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .files import check_place, collect_warnings, written_whole
from .headers import as_header, readable

#: Bits of a mask, by the class of the detections whose pixels they mark.
BITS = {"cosmic_ray": 1, "hot_pixel": 2, "trail": 4}
_MEANING = {"cosmic_ray": "cosmic ray", "hot_pixel": "hot pixel or column", "trail": "trail"}
_SUFFIXES = (".fits", ".fit", ".fts", ".fz")
#: Keywords of an image's header that tell where it lies on the sky.
_OF_WCS = (
    *("WCS", "CTYPE", "CRVAL", "CRPIX", "CDELT", "CROTA", "CUNIT", "CD1_", "CD2_", "PC1_", "PC2_"),
    *("PV1_", "PV2_", "A_", "B_", "AP_", "BP_", "LONPOLE", "LATPOLE", "RADESYS", "RADECSYS"),
    *("EQUINOX", "LTV", "LTM"),
)


def check_mask_place(path: Path, overwrite: bool = False) -> None:
    """Refuse a place for a mask before any work is done; raises `InputError`."""
    if path.suffix.lower() not in _SUFFIXES:
        stem = path.name.removesuffix(path.suffix).removesuffix(".fits")
        raise InputError(f"a mask is a FITS image; call it {stem}.fits, not {path.name}")
    check_place(path, overwrite)


def write_mask(
    mask: NDArray[np.uint8],
    path: str | PathLike[str],
    header: Any = None,
    image: str = "",
    overwrite: bool = False,
) -> None:
    """Write a mask in the geometry of its image, whole or not at all.

    Parameters
    ----------
    mask : ndarray of uint8, shape (ny, nx)
        Sums of `BITS`; 0 for good pixels.
    path : str or path
        The extension ``MASK`` of this FITS file, compressed without loss (Rice).
    header : astropy.io.fits.Header, optional
        Of the image; its WCS is copied.
    image : str
        Name of the image, which is noted.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        As from `check_mask_place`.
    RbinferError
        The file system refused.
    """
    from astropy.io import fits

    target = Path(path)
    check_mask_place(target, overwrite)
    cards = fits.Header()
    if header is not None:
        kept = [card for card in readable(as_header(header)).cards if card.keyword.startswith(_OF_WCS)]
        cards.extend(kept, strip=True)
    for name, bit in BITS.items():
        cards[f"RBBIT{bit}"] = (name, f"pixels with this bit: {_MEANING[name]}")
    with collect_warnings(), written_whole(target, ".fits") as beside:
        hdu = fits.CompImageHDU(mask, cards, name="MASK", compression_type="RICE_1")
        hdu.header["RBIMAGE"] = _ascii(Path(image).name)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(beside)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:60]
