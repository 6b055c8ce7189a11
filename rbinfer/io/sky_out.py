"""Where detections lie on the sky, for columns and regions that are written."""

import logging
import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .files import collect_warnings
from .headers import as_header, readable, value_of

log = logging.getLogger(__name__)

#: Cards of a WCS that hold numbers.
_NUMBERS = re.compile(r"(CRVAL|CRPIX|CDELT)[12]|(CD|PC)[12]_[12]")
#: Largest distance in pixels between a position and what its sky coordinates lead back to.
_ROUND_TRIP = 0.5


class SkyMap(NamedTuple):
    """A WCS that turns pixels of an image into positions on the sky, as was tried.

    Attributes
    ----------
    celestial : astropy.wcs.WCS
    """

    celestial: Any

    def positions(
        self, x: NDArray[np.float64], y: NDArray[np.float64], frame: str = "icrs"
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return right ascension and declination of 0-based pixels.

        Parameters
        ----------
        x, y : ndarray of float64, shape (n,)
        frame : {"icrs", "fk5"}

        Returns
        -------
        ra, dec : ndarray of float64, shape (n,)
            Degrees; NaN where the projection has no sky.
        """
        longitude, latitude = _world(self.celestial, x, y)
        if _is_icrs(self.celestial) and frame == "icrs":
            return longitude, latitude
        from astropy.coordinates import SkyCoord
        from astropy.wcs.utils import wcs_to_celestial_frame

        own = wcs_to_celestial_frame(self.celestial)
        sky = SkyCoord(longitude, latitude, unit="deg", frame=own).transform_to(frame)
        return np.asarray(sky.ra.deg), np.asarray(sky.dec.deg)

    @property
    def arcsec_per_pixel(self) -> float:
        """Side of a pixel at the centre of the projection, the mean of both."""
        from astropy.wcs.utils import proj_plane_pixel_area

        return float(np.sqrt(proj_plane_pixel_area(self.celestial))) * 3600.0


def sky_map(header: Any, shape: tuple[int, int], name: str = "the image") -> SkyMap | None:
    """Return the map to the sky of an image whose WCS can be used.

    It is tried and not only looked for: cards that are text, a scale of 0 or a projection that does not
    lead back give every pixel one position, or none.

    Parameters
    ----------
    header : astropy.io.fits.Header or astropy.wcs.WCS or None
    shape : (int, int)
        Of the image (ny, nx).
    name : str
        Of the image, for the warning about a WCS that is there and cannot be used.

    Returns
    -------
    SkyMap or None
        None without a celestial WCS, or where that cannot be used.
    """
    if header is None or not _may_have_wcs(header):
        return None
    from astropy.wcs import WCS

    header = as_header(header)
    try:
        with collect_warnings():
            wcs = header if isinstance(header, WCS) else WCS(readable(header))
            if not wcs.has_celestial:
                return None
            found = SkyMap(wcs.celestial)
            why = _fault_of_cards(header) or _fault(found, shape)
    except Exception as error:  # of many kinds, from wcslib
        found, why = SkyMap(None), " ".join(str(error).split())
    if why is None:
        return found
    log.warning("%s: the WCS is not used, so there is no ra and dec: %s", name, why)
    return None


def _may_have_wcs(header: Any) -> bool:
    """Whether it is worth the time to load Astropy's WCS."""
    return not hasattr(header, "keys") or any(key.startswith("CTYPE") for key in header)


def _fault_of_cards(header: Any) -> str | None:
    """Say which cards wcslib passes over, which then takes a degree a pixel or the like."""
    from astropy.io.fits import Header

    if not isinstance(header, Header):
        return None
    names = [str(key) for key in header if _NUMBERS.fullmatch(str(key))]
    cards = {name: value_of(header, name) for name in names}
    text = [key for key, value in cards.items() if isinstance(value, str)]
    if text:
        return f"{', '.join(text)} must be numbers, but the header has text"
    scale = [value for key, value in cards.items() if key.startswith("CD")]
    return None if any(scale) else "the header does not say how large a pixel is (CDELT or CD)"


def _fault(found: SkyMap, shape: tuple[int, int]) -> str | None:
    """Say what is wrong with a map; None if the middle of the image has its place on the sky."""
    ny, nx = shape
    # An all-sky image has no sky in its corners; around the middle there must be some.
    x = (nx - 1) * np.array([0.5, 0.45, 0.55, 0.45, 0.55])
    y = (ny - 1) * np.array([0.5, 0.45, 0.45, 0.55, 0.55])
    longitude, latitude = _world(found.celestial, x, y)
    if not np.all(np.isfinite(longitude) & np.isfinite(latitude)):
        return "the middle of the image has no position on the sky"
    if np.any(np.abs(latitude) > 90.0):
        return "the middle of the image has a declination beyond the poles"
    places = np.unique(np.round(np.column_stack([longitude, latitude]), 12), axis=0)
    if len(places) < len(x):
        return "different pixels have one position on the sky"
    world = (longitude, latitude) if found.celestial.wcs.lng == 0 else (latitude, longitude)
    back = found.celestial.all_world2pix(*world, 0, quiet=True)
    if not np.all(np.hypot(back[0] - x, back[1] - y) < _ROUND_TRIP):
        return "positions on the sky do not lead back to the pixels that they are of"
    found.positions(x[:1], y[:1])  # its frame must be known
    return None


def _world(
    celestial: Any, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    good = np.isfinite(x) & np.isfinite(y)
    world = np.full((2, len(x)), np.nan)
    world[:, good] = celestial.all_pix2world(x[good], y[good], 0)
    # A header may have declination first.
    return (world[0], world[1]) if celestial.wcs.lng == 0 else (world[1], world[0])


def _is_icrs(celestial: Any) -> bool:
    """Whether a frame is ICRS by its name or, as the standard has it, because nothing else is said."""
    wcs = celestial.wcs
    equatorial = str(wcs.ctype[wcs.lng]).startswith("RA")
    return equatorial and (wcs.radesys == "ICRS" or (not wcs.radesys and np.isnan(wcs.equinox)))
