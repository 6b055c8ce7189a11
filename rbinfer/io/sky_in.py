"""Positions of a catalogue on the sky, and the pixels that the WCS of an image makes of them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .columns import bare
from .files import collect_warnings
from .headers import as_header, readable

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
    # LSST, in radians where the column says so
    ("coord_ra", "coord_dec"),
)
#: Pixels that a position may be off when it is turned back.
_ROUND_TRIP = 0.1


def sky_columns(table: "Table") -> tuple[str, ...] | None:
    """Return the names of the columns with right ascension and declination, or None.

    They are a pair of `SKY_COLUMNS`, or else the first column of `astropy.coordinates.SkyCoord`.
    """
    have = set(table.colnames)
    pair = next((pair for pair in SKY_COLUMNS if have.issuperset(pair)), None)
    if pair is not None:
        return pair
    # By what only such columns have: Astropy's coordinates need not be loaded to find none.
    return next(((name,) for name in table.colnames if hasattr(table[name], "spherical")), None)


def sky_positions(table: "Table", header: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn right ascension and declination into pixels.

    Parameters
    ----------
    table : Table
        With a pair of `SKY_COLUMNS`, ICRS: numbers in their units, or else in degrees, or text in
        hours and degrees, such as ``12:34:56.7``; or with a column of
        `astropy.coordinates.SkyCoord`, of any frame.
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
    from astropy.wcs import WCS
    from astropy.wcs.utils import wcs_to_celestial_frame

    ra, dec = sky_degrees(table)
    header = as_header(header)
    if not isinstance(header, WCS | Header):
        raise InputError(
            f"the WCS of the image is a {type(header).__name__}, not a FITS WCS or header; give x and y"
        )
    with collect_warnings():
        try:
            wcs = header if isinstance(header, WCS) else WCS(readable(header))
            celestial = wcs.celestial
        except Exception as error:  # of many kinds, from wcslib
            reason = " ".join(str(error).split())
            raise InputError(f"the WCS of the image cannot be used: {reason}") from error
    if not wcs.has_celestial:
        raise InputError(
            f"the catalogue has positions in {' and '.join(sky_columns(table) or ())}, "
            "but the image has no WCS; "
            "solve its astrometry, or give x and y"
        )
    try:
        frame = wcs_to_celestial_frame(celestial)
    except ValueError as error:
        raise InputError(
            f"the frame of the image's WCS is not known (CTYPE {list(celestial.wcs.ctype)}, RADESYS "
            f"{celestial.wcs.radesys!r}); correct the header, or give x and y"
        ) from error
    sky = SkyCoord(ra, dec, unit="deg", frame="icrs").transform_to(frame).spherical
    # A header may have declination first; the pixels are columns and rows all the same.
    world = [sky.lon.deg, sky.lat.deg]
    return _pixels_of(celestial, *(world if celestial.wcs.lng == 0 else world[::-1]))


def _pixels_of(celestial: Any, *world: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn the sky into pixels, NaN where the inverse of a distortion is not found.

    Far off an image its polynomials say nothing, and the search for an inverse may end on the image.
    """
    x, y = (np.array(each, np.float64) for each in celestial.all_world2pix(*world, 0, quiet=True))
    if celestial.has_distortion and x.size:
        undistorted = np.array(celestial.wcs_world2pix(*world, 0))
        back = np.array(celestial.wcs_world2pix(*celestial.all_pix2world(x, y, 0), 0))
        is_lost = ~(np.hypot(*(back - undistorted)) < _ROUND_TRIP)
        x[is_lost], y[is_lost] = np.nan, np.nan
    return x, y


def sky_degrees(table: "Table") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension and declination in degrees, ICRS.

    Parameters
    ----------
    table : Table
        As for `sky_positions`.

    Returns
    -------
    ra, dec : ndarray of float64, shape (n,)
        NaN where masked or not to be had.

    Raises
    ------
    InputError
        No such columns, or columns that are no angles.
    """
    from astropy.units import UnitsError

    names = sky_columns(table)
    if names is None:
        known = "; ".join(f"{ra}, {dec}" for ra, dec in SKY_COLUMNS)
        raise InputError(f"the catalogue has no columns of right ascension and declination ({known})")
    try:
        if len(names) == 1:
            own = table[names[0]]
            ra, dec = _degrees(own.icrs.spherical.lon), _degrees(own.icrs.spherical.lat)
        else:
            ra, dec = _degrees(table[names[0]], "hourangle"), _degrees(table[names[1]])
    except (UnitsError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{' and '.join(names)} cannot be read as angles: {error}") from error
    dec[~(np.abs(dec) <= 90.0)] = np.nan  # such as the -99 of catalogues that have no masks
    return ra, dec


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _degrees(column: Any, unit_of_text: str = "deg") -> NDArray[np.float64]:
    from astropy import units
    from astropy.coordinates import Angle

    values, masked = bare(column)
    if values.dtype.kind in "US":
        out = np.full(values.shape, np.nan)
        texts = np.char.strip(values.astype(str))
        there = ~masked & (texts != "")
        # Plain numbers are degrees, as where they are no text.
        plain = there & np.array([_is_number(text) for text in texts], bool)
        out[plain] = texts[plain].astype(float)
        there &= ~plain
        out[there] = Angle(texts[there].tolist(), unit_of_text).deg
        return out
    out = values.astype(np.float64)
    unit = getattr(column, "unit", None)
    if unit is not None:
        out = (out * units.Unit(unit)).to_value(units.deg)
    out[masked] = np.nan
    return out
