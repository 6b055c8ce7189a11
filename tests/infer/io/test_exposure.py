"""What the caller knows of an image beside its pixels: in which unit, and as which type."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, NDData
from astropy.utils.masked import Masked

from rbinfer import InputError
from rbinfer.io.exposure import as_exposure

PIXELS = np.arange(12.0).reshape(3, 4)
IN_MJY = CCDData(PIXELS, unit="mJy")
MASK = PIXELS == 5


@pytest.mark.parametrize("image", [IN_MJY, PIXELS * u.mJy])
@pytest.mark.parametrize("name", ["bg", "err"])
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (PIXELS * u.Jy, 1000 * PIXELS),
        (PIXELS * u.mJy, PIXELS),
        (PIXELS, PIXELS),
        (CCDData(PIXELS, unit="uJy"), PIXELS / 1000),
        (NDData(PIXELS, mask=MASK), np.where(MASK, np.nan, PIXELS)),
        (Masked(PIXELS * u.Jy, mask=MASK), np.where(MASK, np.nan, 1000 * PIXELS)),
        (2 * u.Jy, 2000.0),
        (2 * u.mJy, 2.0),
        (2, 2.0),
        (np.ma.masked, np.nan),
    ],
)
def test_maps_and_numbers_are_brought_to_the_unit_of_the_image(image, name, given, wanted):
    exposure = as_exposure(image, **{name: given})
    found = exposure.background if name == "bg" else exposure.noise
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["bg", "err", "saturation"])
@pytest.mark.parametrize("unit", [u.deg, u.adu, u.mag])
def test_units_that_cannot_be_converted_are_refused(name, unit):
    with pytest.raises(InputError, match=f"{name} is in {unit}"):
        as_exposure(IN_MJY, **{name: 3 * unit})


def test_an_image_without_a_unit_takes_what_it_is_given():
    exposure = as_exposure(PIXELS, bg=1000 * u.adu, err=10 * u.electron, saturation=5000 * u.adu)
    assert (exposure.background, exposure.noise, exposure.saturation) == (1000, 10, 5000)
    # What is known of an exposure later is in its unit, too.
    later = as_exposure(as_exposure(IN_MJY), saturation=5 * u.Jy, fwhm=3 * u.pix)
    assert (later.saturation, later.fwhm) == (5000, 3)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"bg": "x"}, "bg must be a number or a map .an array., not 'x'"),
        ({"bg": True}, "bg must be real numbers, not true and false"),
        ({"err": 1j}, "err must be real numbers, not complex"),
        ({"bg": PIXELS + 0j}, "bg must be real numbers, not complex"),
        ({"bg": PIXELS.astype(str)}, "bg must hold real numbers, not text"),
        ({"bg": PIXELS > 3}, "bg must be real numbers, not true and false"),
        ({"saturation": True}, "saturation must be real numbers, not true and false"),
        ({"fwhm": 3 * u.arcsec}, "fwhm is in arcsec, not in pixels"),
        ({"fwhm": "x"}, "fwhm must be a number, not 'x'"),
    ],
)
def test_what_is_wrong_is_called_by_its_own_name(known, message):
    with pytest.raises(InputError, match=message):
        as_exposure(PIXELS, **known)
