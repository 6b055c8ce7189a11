"""Positions on the sky turned into pixels, by the WCS of an image."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .images import collect_warnings
from .tables import bare, has_positions, positions

if TYPE_CHECKING:
    from astropy.table import Table

#: Names of right ascension and declination, in the order in which they are looked for.
SKY_COLUMNS: tuple[tuple[str, str], ...] = (
    ("ra", "dec"),
    ("RA", "DEC"),
    ("RAJ2000", "DEJ2000"),
    ("RA_ICRS", "DE_ICRS"),
    ("ALPHAWIN_J2000", "DELTAWIN_J2000"),
    ("ALPHA_J2000", "DELTA_J2000"),
)


def find_positions(
    table: "Table",
    x_col: str | None = None,
    y_col: str | None = None,
    origin: int | None = None,
    wcs: Any = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find positions in pixels, or else those on the sky where a WCS turns them into pixels.

    Parameters
    ----------
    table : Table
    x_col, y_col, origin
        As for `rbinfer.tables.positions`.
    wcs
        As for `sky_positions`; None for pixels alone.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        0-based pixels.

    Raises
    ------
    InputError
        As by `rbinfer.tables.positions` and `sky_positions`.
    """
    by_name = not (x_col is None and y_col is None)
    if wcs is not None and not by_name and not has_positions(table) and sky_columns(table):
        if origin is not None:
            raise InputError(
                f"an origin of {origin} is about columns of pixels, but the catalogue has "
                f"{' and '.join(sky_columns(table) or ())}; leave it out"
            )
        return sky_positions(table, wcs)
    return positions(table, x_col, y_col, origin)


def sky_columns(table: "Table") -> tuple[str, str] | None:
    """Return the names of the columns with right ascension and declination, or None."""
    have = set(table.colnames)
    return next((pair for pair in SKY_COLUMNS if have.issuperset(pair)), None)


def sky_positions(table: "Table", header: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn right ascension and declination into pixels.

    Parameters
    ----------
    table : Table
        With a pair of `SKY_COLUMNS`, in their units, or else in degrees; ICRS.
    header : astropy.io.fits.Header or astropy.wcs.WCS
        Says where the image lies on the sky.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        0-based pixels; NaN where masked or not to be had.

    Raises
    ------
    InputError
        No such columns, columns that are no angles, or no celestial WCS.
    """
    from astropy.coordinates import SkyCoord
    from astropy.io.fits import Header
    from astropy.units import UnitsError
    from astropy.wcs import WCS
    from astropy.wcs.utils import wcs_to_celestial_frame

    names = sky_columns(table)
    if names is None:
        known = "; ".join(f"{ra}, {dec}" for ra, dec in SKY_COLUMNS)
        raise InputError(f"the catalogue has no columns of right ascension and declination ({known})")
    if not isinstance(header, WCS | Header):
        raise InputError(
            f"the WCS of the image is a {type(header).__name__}, not a FITS WCS or header; give x and y"
        )
    with collect_warnings():
        try:
            wcs = header if isinstance(header, WCS) else WCS(header)
            celestial = wcs.celestial
        except Exception as error:  # of many kinds, from wcslib
            reason = " ".join(str(error).split())
            raise InputError(f"the WCS of the image cannot be used: {reason}") from error
    if not wcs.has_celestial:
        raise InputError(
            f"the catalogue has positions in {names[0]} and {names[1]}, but the image has no WCS; "
            "solve its astrometry, or give x and y"
        )
    try:
        ra, dec = (_degrees(table[name]) for name in names)
    except (UnitsError, TypeError, ValueError) as error:
        raise InputError(f"columns {names[0]} and {names[1]} are no angles: {error}") from error
    try:
        frame = wcs_to_celestial_frame(celestial)
    except ValueError as error:
        raise InputError(
            f"the frame of the image's WCS is not known (CTYPE {list(celestial.wcs.ctype)}, RADESYS "
            f"{celestial.wcs.radesys!r}); correct the header, or give x and y"
        ) from error
    dec[~(np.abs(dec) <= 90.0)] = np.nan  # such as the -99 of catalogues that have no masks
    sky = SkyCoord(ra, dec, unit="deg", frame="icrs").transform_to(frame).spherical
    x, y = celestial.all_world2pix(sky.lon.deg, sky.lat.deg, 0, quiet=True)
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _degrees(column: Any) -> NDArray[np.float64]:
    from astropy import units

    values, masked = bare(column)
    out = values.astype(np.float64)
    unit = getattr(column, "unit", None)
    if unit is not None:
        out = (out * units.Unit(unit)).to_value(units.deg)
    out[masked] = np.nan
    return out
