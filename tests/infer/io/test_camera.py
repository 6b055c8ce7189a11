"""What headers tell of target, airmass and camera."""

import math

import pytest
from astropy.io.fits import Header

from rbinfer.io.camera import airmass_of, target_of


@pytest.mark.parametrize(
    ("cards", "airmass"),
    [
        ({"AIRMASS": 1.23}, 1.23),
        ({"AIRMASS": "1.23 "}, 1.23),  # as some capture programs write it
        ({"SECZ": 2.0}, 2.0),
        ({"CENTALT": 30.0}, 2.0),
        ({"OBJCTALT": " 90.0000"}, 1.0),
        ({"AIRMASS": 0.0, "CENTALT": 30.0}, 2.0),
        ({"AIRMASS": -1.0}, None),
        ({"AIRMASS": "unknown"}, None),
        ({"CENTALT": "45 12 30"}, None),
        ({"CENTALT": -3.0}, None),
        ({"ALTITUDE": 2400.0}, None),  # of the site
        ({"ALTITUDE": 45.0}, None),
        ({}, None),
    ],
)
def test_airmass(cards, airmass):
    found = airmass_of([Header(cards)])
    assert found == (None if airmass is None else pytest.approx(airmass))


def test_airmass_of_an_altitude_is_right_within_2_per_cent_above_15_degrees():
    for altitude in (15.0, 20.0, 45.0, 80.0):
        exact = 1 / (math.sin(math.radians(altitude)) + 0.50572 * (altitude + 6.07995) ** -1.6364)
        assert airmass_of([Header({"CENTALT": altitude})]) == pytest.approx(exact, rel=0.02)


def test_the_first_header_that_tells_counts():
    of_image, of_file = Header({"OBJECT": " "}), Header({"OBJECT": "M  31", "AIRMASS": 1.5})
    assert target_of([of_image, of_file]) == "M 31"
    assert airmass_of([of_image, of_file]) == 1.5
    assert target_of([Header({"OBJECT": 31})]) == ""
    assert target_of([Header({"TARGNAME": "NGC 7000"})]) == "NGC 7000"
