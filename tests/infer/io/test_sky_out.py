"""Where detections lie on the sky: by every WCS that can be used, and by none that cannot."""

import logging

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from rbinfer.io.regions import as_regions
from rbinfer.io.sky_in import sky_positions
from rbinfer.io.sky_out import sky_map

SHAPE = (400, 600)
X, Y = np.array([0.0, 100.25, 599.0]), np.array([0.0, 320.5, 399.0])


def header(**cards):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (150.0, 2.0), (300.5, 200.5), (-2.8e-4, 2.8e-4)
    found = wcs.to_header()
    del found["RADESYS"]
    found.update(cards)
    return found


def sip():
    found = header(A_ORDER=2, B_ORDER=2, A_2_0=2e-5, B_0_2=-1e-5, A_DMAX=1.0)
    found["CTYPE1"], found["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    return found


def tpv():
    found = header(PV1_1=1.0, PV2_1=1.0, PV1_4=0.01)
    found["CTYPE1"], found["CTYPE2"] = "RA---TPV", "DEC--TPV"
    return found


@pytest.mark.parametrize("made", [header, sip, tpv])
def test_pixels_as_astropy_turns_them(made):
    got = sky_map(made(), SHAPE).positions(X, Y)
    expected = WCS(made()).all_pix2world(X, Y, 0)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "card", ["NOTE    = 'tab\there'", "OBSERVER= A person, at night", "gain    =                  1.5"]
)
def test_cards_that_cannot_be_read_do_not_cost_the_sky(card, tmp_path):
    made = header()
    made["FILLING"] = "x"
    text = made.tostring().replace(str(made.cards["FILLING"].image), card.ljust(80))
    broken = fits.Header.fromstring(text)
    expected = WCS(header()).all_pix2world(X, Y, 0)
    np.testing.assert_array_equal(sky_map(broken, SHAPE).positions(X, Y), expected)
    table = Table({"ra": expected[0], "dec": expected[1]})
    np.testing.assert_allclose(sky_positions(table, broken), (X, Y), atol=1e-6)


def test_other_frames_become_icrs():
    for cards, frame in (
        ({"RADESYS": "ICRS"}, "icrs"),
        ({"RADESYS": "FK5", "EQUINOX": 2000.0}, "fk5"),
        ({"EQUINOX": 1950.0}, "fk4"),
    ):
        lon, lat = WCS(header(**cards)).all_pix2world(X, Y, 0)
        expected = SkyCoord(lon, lat, unit="deg", frame=frame).icrs
        got = sky_map(header(**cards), SHAPE).positions(X, Y)
        np.testing.assert_allclose(got, [expected.ra.deg, expected.dec.deg], atol=1e-9)
    galactic = header()
    galactic["CTYPE1"], galactic["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
    lon, lat = WCS(galactic).all_pix2world(X, Y, 0)
    expected = SkyCoord(lon, lat, unit="deg", frame="galactic").icrs
    got = sky_map(galactic, SHAPE).positions(X, Y)
    np.testing.assert_allclose(got, [expected.ra.deg, expected.dec.deg], atol=1e-9)


def test_declination_first_and_positions_that_are_none():
    swapped = header()
    for key in ("CTYPE", "CRVAL"):
        swapped[f"{key}1"], swapped[f"{key}2"] = swapped[f"{key}2"], swapped[f"{key}1"]
    ra, dec = sky_map(swapped, SHAPE).positions(np.array([299.5, np.nan]), np.array([199.5, 1.0]))
    np.testing.assert_allclose((ra[0], dec[0]), (150.0, 2.0))
    assert np.isnan(ra[1])
    assert np.isnan(dec[1])


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"CDELT1": "-2.8e-4", "CDELT2": "2.8e-4", "CRPIX1": "300.5"}, "CRPIX1, CDELT1, CDELT2 must be"),
        ({"CRVAL1": "150"}, "CRVAL1 must be numbers"),
        ({"CDELT1": 0.0}, ""),
        ({"CRVAL2": 190.0}, ""),
        ({"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0}, "how large a pixel is"),
        ({"CTYPE1": "RA---XYZ"}, ""),
        ({"CDELT1": 1e-30, "CDELT2": 1e-30}, "one position on the sky"),
    ],
)
def test_a_wcs_that_cannot_be_used_is_told_and_left(cards, words, caplog):
    found = header()
    for key in ("CDELT1", "CDELT2") if "CD1_1" in cards else ():
        del found[key]
    found.update(cards)
    assert sky_map(found, SHAPE, "a.fits") is None
    assert "a.fits: the WCS is not used, so there is no ra and dec: " in caplog.text
    assert words in caplog.text


def test_no_wcs_is_nothing_to_speak_of(caplog):
    spectral = fits.Header({"CTYPE1": "WAVE", "CTYPE2": "", "CRVAL1": 500.0, "CDELT1": 1.0})
    for found in (None, fits.Header(), fits.Header({"CRVAL1": 3.0}), spectral):
        assert sky_map(found, SHAPE) is None
    assert caplog.text == ""


def test_regions_on_the_sky():
    """FK5, which DS9 knows by this name; the radius in arc seconds."""
    x, y = np.array([299.5, np.nan]), np.array([199.5, 3.0])
    score = np.float32([0.9, 0.9])
    text = as_regions(x, y, score, 0.5, shape=SHAPE, sky=sky_map(header(), SHAPE))
    lines = text.splitlines()
    assert lines[2] == "fk5"
    assert len(lines) == 4
    ra, dec, radius = lines[3][7 : lines[3].index(")")].split(",")
    expected = SkyCoord(150.0, 2.0, unit="deg").fk5
    assert (float(ra), float(dec)) == pytest.approx((expected.ra.deg, expected.dec.deg), abs=1e-7)
    assert radius.endswith('"')
    assert float(radius[:-1]) == pytest.approx(6 * 2.8e-4 * 3600, abs=0.01)


def test_tables_of_distortions_do_not_cost_the_wcs(caplog):
    caplog.set_level(logging.INFO)
    plain = sip()
    cards = {"CPDIS1": "LOOKUP", "CPDIS2": "LOOKUP", "D2IMDIS1": "Lookup", "D2IMERR1": 0.03}
    records = ["DP1     = 'EXTVER: 1'", "DP1     = 'NAXES: 2'", "DP1     = 'AXIS.1: 1'"]
    hst = fits.Header([*plain.cards, *fits.Header(cards).cards, *map(fits.Card.fromstring, records)])
    expected, found = (sky_map(each, SHAPE, "a.fits").positions(X, Y) for each in (plain, hst))
    np.testing.assert_array_equal(found, expected)
    assert caplog.text.count("are not used") == 1
    table = Table({"ra": expected[0], "dec": expected[1]})
    np.testing.assert_allclose(sky_positions(table, hst), (X, Y), atol=1e-3)
