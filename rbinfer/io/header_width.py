"""The FWHM that pipelines note in an image's header, in pixels."""

import math
import re
from typing import Any

#: Cards with the FWHM of the stars, and what they are in where their comments do not say.
_CARDS = (("PSF_FWHM", "pixel"), ("FWHM", "pixel"), ("L1FWHM", "arcsec"), ("SEEING", "arcsec"))
#: Cards with the side of a pixel in arc seconds.
_SCALES = ("PIXSCALE", "SECPIX", "PIXSCAL1", "SECPIX1")
_RANGE = (0.5, 40.0)  # pixels


def header_fwhm(header: Any) -> tuple[float, str] | None:
    """Return the FWHM of the stars that a header notes.

    Parameters
    ----------
    header : astropy.io.fits.Header or other mapping, or None
        A comment of the card may tell the unit, such as ``[arcsec]`` or ``(pixels)``.

    Returns
    -------
    (float, str) or None
        Pixels, and the card that tells them; None where no card does, or where its unit is arc seconds
        and the header does not tell how large a pixel is.
    """
    if header is None:
        return None
    for card, unit in _CARDS:
        value = _number(header.get(card))
        if value is None:
            continue
        comments = getattr(header, "comments", None)
        comment = "" if comments is None else str(comments[card])
        if re.search(r"\bpix", comment, re.IGNORECASE):
            unit = "pixel"
        elif re.search(r"arcsec|arc sec|\basec|\"", comment, re.IGNORECASE):
            unit = "arcsec"
        if unit == "arcsec":
            scale = _pixel_scale(header)
            if scale is None:
                continue
            value /= scale
        if _RANGE[0] <= value <= _RANGE[1]:
            return value, card
    return None


def _pixel_scale(header: Any) -> float | None:
    """Return arc seconds a pixel, from the WCS or a card of its own."""
    matrix = [_number(header.get(card)) or 0.0 for card in ("CD1_1", "CD1_2", "CD2_1", "CD2_2")]
    area = abs(matrix[0] * matrix[3] - matrix[1] * matrix[2])
    if area > 0:
        return 3600.0 * math.sqrt(area)
    steps = _number(header.get("CDELT1")), _number(header.get("CDELT2"))
    if "CTYPE1" in header and steps[0] and steps[1]:
        # CDELT is 1 where PC has the scale, as Astropy writes it.
        turn = [_number(header.get(f"PC{i}_{j}", float(i == j))) or 0.0 for i in (1, 2) for j in (1, 2)]
        area = abs(steps[0] * steps[1] * (turn[0] * turn[3] - turn[1] * turn[2]))
        if area > 0:
            return 3600.0 * math.sqrt(area)
    return next((scale for card in _SCALES if (scale := _number(header.get(card)) or 0.0) > 0), None)


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value)
