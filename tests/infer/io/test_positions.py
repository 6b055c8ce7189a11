"""Positions on the sky, by the WCS of the image."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS, Sip

from rbinfer import Classifier, InputError
from rbinfer.cli import main
from rbinfer.io.positions import find_positions
from rbinfer.io.sky_in import SKY_COLUMNS, sky_positions

X, Y = np.array([10.0, 100.25, 180.5]), np.array([20.0, 55.75, 150.0])


def wcs(kind=("RA---TAN", "DEC--TAN"), value=(150.0, 2.0)):
    made = WCS(naxis=2)
    made.wcs.ctype, made.wcs.crval = kind, value
    made.wcs.crpix, made.wcs.cdelt = (101.0, 81.0), (-2e-4, 2e-4)
    return made


def sky(of=None):
    return (of or wcs()).pixel_to_world(X, Y).icrs


@pytest.mark.parametrize("names", SKY_COLUMNS)
def test_degrees_become_pixels(names):
    coordinates = sky()
    table = Table({names[0]: coordinates.ra.deg, names[1]: coordinates.dec.deg})
    for header in (wcs(), wcs().to_header()):
        x, y = sky_positions(table, header)
        np.testing.assert_allclose((x, y), (X, Y), atol=1e-6)


def test_units_and_other_frames():
    galactic = wcs(("GLON-TAN", "GLAT-TAN"), (120.0, 30.0))
    coordinates = sky(galactic)
    table = QTable({"ra": coordinates.ra.to(u.hourangle), "dec": coordinates.dec.to(u.arcmin)})
    np.testing.assert_allclose(sky_positions(table, galactic), (X, Y), atol=1e-6)


def test_radians_of_lsst():
    coordinates = sky()
    table = Table({"coord_ra": coordinates.ra.rad, "coord_dec": coordinates.dec.rad})
    for name in table.colnames:
        table[name].unit = u.rad
    np.testing.assert_allclose(sky_positions(table, wcs()), (X, Y), atol=1e-6)


@pytest.mark.parametrize("names", [("ra", "dec"), ("RAJ2000", "DEJ2000")])
def test_text_in_hours_and_degrees(names):
    coordinates = sky()
    table = Table(
        {
            names[0]: coordinates.ra.to_string("hour", sep=":", precision=6),
            names[1]: coordinates.dec.to_string("deg", sep=" ", precision=5),
        }
    )
    np.testing.assert_allclose(sky_positions(table, wcs()), (X, Y), atol=1e-3)
    table[names[0]][1] = ""
    assert np.isfinite(sky_positions(table, wcs())[0]).tolist() == [True, False, True]


def test_text_of_plain_numbers_is_degrees():
    coordinates = sky()
    table = Table({"ra": [f"{v:.7f}" for v in coordinates.ra.deg], "dec": coordinates.dec.deg})
    np.testing.assert_allclose(sky_positions(table, wcs()), (X, Y), atol=1e-2)


def test_a_header_with_declination_first():
    swapped = wcs(("DEC--TAN", "RA---TAN"), (2.0, 150.0))
    coordinates = swapped.pixel_to_world(X, Y).icrs
    table = Table({"ra": coordinates.ra.deg, "dec": coordinates.dec.deg})
    np.testing.assert_allclose(sky_positions(table, swapped), (X, Y), atol=1e-6)


@pytest.mark.parametrize("frame", ["icrs", "galactic", "fk5"])
def test_a_column_of_coordinates_of_any_frame(frame):
    table = QTable({"id": [1, 2, 3], "where": sky().transform_to(frame)})
    np.testing.assert_allclose(find_positions(table, wcs=wcs()), (X, Y), atol=1e-6)
    with pytest.raises(InputError, match="positions in where, but the image has no WCS"):
        find_positions(table, wcs=fits.Header())


def test_masked_and_beyond_the_horizon_are_nan():
    coordinates = sky()
    ra = MaskedColumn(coordinates.ra.deg, mask=[False, True, False])
    dec = np.array(coordinates.dec.deg)
    table = Table({"ra": ra, "dec": dec})
    table["ra"][2] += 180.0
    x, _ = sky_positions(table, wcs())
    assert np.isfinite(x).tolist() == [True, False, False]


def test_pixels_come_first():
    table = Table({"ra": [0.0], "dec": [0.0], "x": [7.0], "y": [8.0]})
    assert find_positions(table, wcs=wcs()) == ([7.0], [8.0])


@pytest.mark.parametrize(
    ("table", "header", "words"),
    [
        (Table({"ra": [1.0], "dec": [1.0]}), fits.Header(), "no WCS"),
        (Table({"ra": ["a"], "dec": ["b"]}), wcs(), "as angles"),
        (Table({"ra": [1.0] * u.m, "dec": [1.0] * u.m}), wcs(), "as angles"),
        (Table({"a": [1.0]}), wcs(), "right ascension"),
    ],
)
def test_what_cannot_be_turned_into_pixels(table, header, words):
    with pytest.raises(InputError, match=words):
        sky_positions(table, header)


def test_the_same_scores_from_sky_and_pixels(scene, tmp_path, capsys):
    """In Python with a CCDData, and on the command line with the header of the image."""
    image, catalogue, fwhm = scene
    x, y = np.asarray(catalogue["x"]), np.asarray(catalogue["y"])
    coordinates: SkyCoord = wcs().pixel_to_world(x, y)
    table = Table({"ra": coordinates.ra.deg, "dec": coordinates.dec.deg})
    classifier = Classifier()
    expected = classifier.score(image, x, y, fwhm=fwhm).score
    found = classifier.classify(table, CCDData(image, unit="adu", wcs=wcs()), fwhm=fwhm)
    np.testing.assert_allclose(found["rb_score"], expected, atol=1e-4)
    fits.writeto(tmp_path / "i.fits", np.asarray(image, np.float32), wcs().to_header())
    table.write(tmp_path / "c.ecsv")
    files = (
        str(tmp_path / "i.fits"),
        "--catalog",
        str(tmp_path / "c.ecsv"),
        "-o",
        str(tmp_path / "o.ecsv"),
    )
    assert main(["classify", *files, "--fwhm", str(fwhm), "-q"]) == 0
    assert capsys.readouterr().out == ""
    np.testing.assert_allclose(Table.read(tmp_path / "o.ecsv")["rb_score"], expected, atol=1e-4)


def test_declinations_that_cannot_be_are_nan():
    coordinates = sky()
    dec = np.array(coordinates.dec.deg)
    dec[1] = -99.0
    x, _ = sky_positions(Table({"ra": coordinates.ra.deg, "dec": dec}), wcs())
    assert np.isfinite(x).tolist() == [True, False, True]


def test_options_about_pixels_are_not_dropped_in_silence():
    table = Table({"ra": [150.0], "dec": [2.0]})
    with pytest.raises(InputError, match="origin of 1 is about columns of pixels"):
        find_positions(table, origin=1, wcs=wcs())
    with pytest.raises(InputError, match="both position columns or none"):
        find_positions(table, y_col="dec", wcs=wcs())


def test_without_a_wcs_it_is_asked_for():
    with pytest.raises(InputError, match=r"positions in ra and dec, which needs the WCS .*wcs=\.\.\."):
        find_positions(Table({"ra": [150.0], "dec": [2.0]}))


@pytest.mark.parametrize(
    ("header", "words"), [(3, "is a int"), (wcs(("HPLN-TAN", "HPLT-TAN"), (0.0, 0.0)), "frame")]
)
def test_a_wcs_of_another_kind(header, words):
    with pytest.raises(InputError, match=words):
        sky_positions(Table({"ra": [1.0], "dec": [1.0]}), header)


@pytest.mark.parametrize("names", [("Ra", "Dec"), ("ra_deg", "dec_deg"), ("_RAJ2000", "_DEJ2000")])
def test_what_may_be_meant_as_positions_on_the_sky_is_named(names):
    table = Table({names[0]: [150.0], names[1]: [2.0], "radius": [1.0], "detector": [1]})
    with pytest.raises(InputError, match=f"on the sky rename {names[0]}, {names[1]} to ra, dec$"):
        find_positions(table, wcs=wcs())


def test_stars_far_off_an_image_with_distortions_do_not_land_on_it():
    # Degrees away the polynomials are huge, and the search for their inverse ends anywhere.
    image = WCS(naxis=2)
    image.wcs.crpix, image.wcs.crval, image.wcs.cdelt = [512, 512], [10, 20], [-1 / 3600, 1 / 3600]
    image.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[3, 0], a[1, 2], b[0, 3] = 1e-5, -1.5e-8, 3e-9, 1.2e-8
    image.sip = Sip(a, b, None, None, image.wcs.crpix)
    rng = np.random.default_rng(0)
    ra, dec = 10 + rng.uniform(-4, 4, 4000), 20 + rng.uniform(-4, 4, 4000)
    x, y = sky_positions(Table({"ra": ra, "dec": dec}), image)
    is_near = np.hypot(*image.wcs_world2pix(ra, dec, 0) - np.array([[511.0], [511.0]])) < 1000
    is_on = (np.minimum(x, y) > -0.5) & (np.maximum(x, y) < 1023.5)
    assert 0 < np.count_nonzero(is_on) < np.count_nonzero(is_near) < 40
    assert not (is_on & ~is_near).any()
    raw_x, raw_y = image.all_world2pix(ra, dec, 0, quiet=True)
    raw_is_on = (np.minimum(raw_x, raw_y) > -0.5) & (np.maximum(raw_x, raw_y) < 1023.5)
    assert (raw_is_on & ~is_near).any()  # what Astropy's search makes of them
    np.testing.assert_array_equal(x[is_on], raw_x[is_on])
