"""Units of pixels, and numbers and maps that are brought to those of their image."""

import re
from typing import Any

from numpy.typing import NDArray

from .._util.arguments import as_numbers
from ..errors import InputError, one_line

#: Units of Astropy in which pixels are logarithms.
_NOT_LINEAR = re.compile(r"(mag|dex|dB)\b")


def check_linear(unit: Any, name: str) -> None:
    """Refuse pixels that are logarithms."""
    if _NOT_LINEAR.match(_text(unit)):
        raise InputError(f"{name} is in {unit}, which is not linear; convert it to fluxes first")


def in_unit(value: Any, unit: Any, name: str) -> tuple[NDArray[Any], Any]:
    """Return numbers in the unit of an image, and their mask.

    Parameters
    ----------
    value : object
        As for `rbinfer._util.arguments.unmasked`. What has no unit is in that of the image.
    unit : astropy.units.UnitBase, str or None
        That of the image; None or empty where it has none, and the numbers stay as they are.
    name : str
        What messages call the numbers.

    Returns
    -------
    values : ndarray
    mask : array_like of bool or int, or None

    Raises
    ------
    InputError
        Numbers in a unit that cannot be converted, or that are logarithms.
    """
    own = getattr(value, "unit", None)
    check_linear(own, name)
    values, mask = as_numbers(value, name)
    if not _text(own) or not _text(unit) or own == unit or _text(own) == _text(unit):
        return values, mask
    from astropy.units import Unit

    try:
        factor = float(Unit(own).to(Unit(unit)))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is in {own}, but the image in {unit}, and one cannot be converted to the other "
            f"({one_line(error)}); give {name} in {unit}"
        ) from error
    return values if factor == 1.0 else values * factor, mask


def _text(unit: Any) -> str:
    return "" if unit is None else str(unit).strip()
