"""Options that a scored catalogue notes, also where they are damaged."""

import pytest

from rbinfer.io.noted import options_in


@pytest.mark.parametrize(
    "text", [None, 3, "", "no JSON", '{"plane": "1"', '["plane"]', "null", "[" * 10**5]
)
def test_what_is_damaged_tells_nothing(text):
    assert options_in(text) == {}


def test_options_are_as_they_were_given():
    assert options_in('{"bayer": true, "plane": "R"}') == {"bayer": True, "plane": "R"}
