"""Numbers from JSON that may be damaged."""

import pytest

from rbinfer._util.plain_number import number_of


@pytest.mark.parametrize(
    ("value", "found"),
    [(3, 3.0), (0.5, 0.5), (-1, None), (None, None), (True, None), ("3", None), (10**400, None),
     (float("nan"), None), (float("inf"), None)],
)  # fmt: skip
def test_what_is_no_count_is_none(value, found):
    assert number_of({"n": value}, "n", 0) == found
    assert number_of({}, "n") is None


def test_without_a_least_value_numbers_may_be_negative():
    assert number_of({"n": -2.5}, "n") == -2.5
