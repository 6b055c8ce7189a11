"""Numbers and positions of callers: what counts as such, and what is refused with a sentence."""

from decimal import Decimal

import astropy.units as u
import numpy as np
import pytest

from rbinfer import InputError
from rbinfer._util.arguments import as_level, as_number, as_pixels, as_positions, as_whole, shown


@pytest.mark.parametrize("given", [3, 3.0, "3", np.float32(3), np.array(3), Decimal(3), 3 * u.pix])
def test_a_number_in_any_form(given):
    assert as_pixels(given, "fwhm") == 3.0


@pytest.mark.parametrize(
    "given", [True, np.True_, 3 + 0j, np.complex64(3), np.datetime64("2026-01-01"), None, "x", [3.0], {}]
)
@pytest.mark.parametrize("check", [as_number, as_level, lambda value, name: as_whole(value, name, 0)])
def test_what_is_no_number_is_refused(given, check):
    with pytest.raises(InputError, match="it must be a"):
        check(given, "it")


def test_a_long_value_is_not_shown_whole():
    assert shown(np.zeros((99, 99))) == shown(np.zeros((99, 99)))[:57] + "..."
    assert shown("a\nb") == r"'a\nb'"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1 + 0j], "x must be real numbers, not complex numbers"),
        ([True], "x must be real numbers, not true and false"),
        (None, "x must be a number, not None"),
        ([[1], [2, 3]], "x must be numbers"),
        ([1] * u.deg, "x is in deg, not in pixels"),
    ],
)
def test_what_are_no_positions_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        as_positions(given, [1.0])


def test_positions_that_are_missing_are_nan():
    x, y = as_positions([1, None, "3"], [1, 2, 3] * u.pix)
    np.testing.assert_array_equal(x, [1, np.nan, 3])
    np.testing.assert_array_equal(y, [1, 2, 3])
