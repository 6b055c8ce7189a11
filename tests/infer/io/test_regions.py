"""DS9 regions read as catalogues, and written."""

import itertools

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.wcs import WCS

from rbinfer.errors import InputError
from rbinfer.io.positions import find_positions, positions
from rbinfer.io.regions import PHYSICAL, as_regions, from_physical, write_regions
from rbinfer.io.tables import read_catalog

HEAD = '# Region file format: DS9 version 4.1\nglobal color=green font="helvetica 10" select=1\n'


def read(tmp_path, text, name="a.reg"):
    (tmp_path / name).write_text(text)
    return read_catalog(tmp_path / name)


@pytest.mark.parametrize("system", ["image", "physical", "IMAGE"])
@pytest.mark.parametrize("name", ["a.reg", "a.txt", "a"])
def test_points_and_circles_in_pixels(tmp_path, system, name):
    table = read(
        tmp_path,
        f"{HEAD}{system}\ncircle(11.5,21,5) # text={{a; b}} color=red tag={{x}}\n"
        "point(31,41.25) # point=x\n+circle 3 4 2\n",
        name,
    )
    # DS9's first pixel is (1, 1).
    np.testing.assert_array_equal(positions(table), ([10.5, 30.0, 2.0], [20.0, 40.25, 3.0]))
    assert table["text"].tolist() == ["a; b", "", ""]


def test_systems_on_the_line_and_none(tmp_path):
    table = read(tmp_path, "image;circle(2,3,1) # text='a'\nimage; point(4,5) # text=\"b\"\n")
    np.testing.assert_array_equal(positions(table), ([1, 3], [2, 4]))
    assert table["text"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(positions(read(tmp_path, "circle(2,3,1)\n")), ([1], [2]))


@pytest.mark.parametrize("system", ["icrs", "fk5", "j2000", "fk4", "galactic"])
@pytest.mark.parametrize("is_sexagesimal", [False, True])
def test_positions_on_the_sky(tmp_path, system, is_sexagesimal):
    frame = {"j2000": "fk5"}.get(system, system)
    places = SkyCoord([150.01, 149.95], [2.01, 1.99], unit="deg", frame="icrs").transform_to(frame)
    lon, lat = places.spherical.lon, places.spherical.lat
    if is_sexagesimal and system != "galactic":
        texts = zip(
            lon.to_string("hour", sep=":", precision=6), lat.to_string("deg", sep=":", precision=5),
            strict=True,
        )  # fmt: skip
    else:
        texts = zip((f"{v:.8f}" for v in lon.deg), (f"{v:.8f}" for v in lat.deg), strict=True)
    body = "".join(f'circle({a},{b},2.5") # color=red\n' for a, b in texts)
    table = read(tmp_path, f"{HEAD}{system}\n{body}")
    np.testing.assert_allclose(table["ra"], [150.01, 149.95], atol=1e-6)
    np.testing.assert_allclose(table["dec"], [2.01, 1.99], atol=1e-6)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ("RA---TAN", "DEC--TAN"), (150.0, 2.0)
    wcs.wcs.crpix, wcs.wcs.cdelt = (101.0, 81.0), (-2e-4, 2e-4)
    expected = wcs.world_to_pixel(SkyCoord([150.01, 149.95], [2.01, 1.99], unit="deg"))
    np.testing.assert_allclose(find_positions(table, wcs=wcs), expected, atol=0.01)


def test_other_shapes_are_told(tmp_path, caplog):
    table = read(
        tmp_path, f"{HEAD}image\nbox(1,2,3,4,0)\ncircle(2,3,1)\nbox(1,2,3,4,0)\nline(1,2,3,4)\n"
    )
    assert len(table) == 1
    assert "2 box, 1 line are no points or circles and are left out" in caplog.text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("image\nbox(1,2,3,4,0)\n", "no points or circles"),
        ("image\ncircle(1,2,3)\nfk5\ncircle(1,2,3)\n", r"several systems \(fk5, image\); give one"),
        ("image\ncircle(a,b,3)\n", "could not convert string to float: 'a'"),
    ],
)
def test_what_is_refused(tmp_path, body, words):
    with pytest.raises(InputError, match=f"cannot be read as DS9: .*{words}"):
        read(tmp_path, HEAD + body)


def test_what_is_written_is_read(tmp_path):
    x, y = np.array([0.0, 10.25, 99.5]), np.array([5.0, 6.125, 7.0])
    table = read(tmp_path, as_regions(x, y, np.array([0.9, 0.1, np.nan]), 0.5, ["star", "trail", ""]))
    np.testing.assert_allclose(positions(table), (x, y), atol=1e-9)
    assert isinstance(table, Table)
    assert table["text"].tolist() == ["0.90", "trail 0.10", ""]


@pytest.mark.parametrize("cuts", [[], [1], [0, 2], [3, 3]])
def test_texts_one_below_the_other_are_one_text(tmp_path, cuts):
    x, score = np.array([1.0, 2.0, 3.0]), np.array([0.9, 0.1, np.nan])
    whole = as_regions(x, x, score, 0.5, ["star", "trail", ""])
    bounds = [0, *cuts, 3]
    write_regions(
        (
            as_regions(x[a:b], x[a:b], score[a:b], 0.5, ["star", "trail", ""][a:b])
            for a, b in itertools.pairwise(bounds)
        ),
        tmp_path / "parts.reg",
    )
    assert (tmp_path / "parts.reg").read_text() == whole
    write_regions(whole, tmp_path / "whole.reg")
    assert (tmp_path / "whole.reg").read_text() == whole


def test_galactic_longitude_is_in_degrees_however_it_is_written(tmp_path):
    table = read(tmp_path, f'{HEAD}galactic\ncircle(20:06:00.0,+45:30:00,3")\n')
    place = SkyCoord(20.1, 45.5, unit="deg", frame="galactic").icrs
    assert table["ra"][0] == pytest.approx(place.ra.deg)
    assert table["dec"][0] == pytest.approx(place.dec.deg)


@pytest.mark.parametrize("system", ["ecliptic", "wcs", "wcsb", "linear", "detector", "amplifier"])
def test_systems_that_are_not_read_are_refused(tmp_path, system):
    with pytest.raises(InputError, match=f"its regions are in {system}, which is not read; give fk5 or"):
        read(tmp_path, f"{HEAD}{system}\ncircle(150.5,20.2,3)\n")


def test_physical_positions_are_those_of_the_whole_detector(tmp_path):
    table = read(tmp_path, f"{HEAD}physical\ncircle(711,541,5)\n")
    assert table.meta[PHYSICAL]
    part = {"LTV1": -350.0, "LTV2": -250.0, "LTM1_1": 0.5, "LTM2_2": 0.5}
    x, y = from_physical(*positions(table), part)
    # 0.5 * 711 - 350 = 5.5 from 1.
    np.testing.assert_allclose([x[0], y[0]], [4.5, 19.5])
    # What is no number says nothing.
    np.testing.assert_array_equal(from_physical(*positions(table), {"LTV1": "n/a"}), positions(table))
