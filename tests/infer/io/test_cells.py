"""Cells of text as columns: numbers where nothing is lost, identifiers as they stand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbinfer.io.cells import MISSING, column_of, lenient_numbers


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-20", "+3"], "i", [1, -20, 3]),
        (["0", "10", "+0"], "i", [0, 10, 0]),
        (["9223372036854775807", "-9223372036854775808"], "i", [2**63 - 1, -(2**63)]),
        (["1.5", "-0.25", "3"], "f", [1.5, -0.25, 3.0]),
        (["1.", ".5", " 2.5 "], "f", [1.0, 0.5, 2.5]),
        (["1e+05", "2E-3", "-1.5e10"], "f", [1e5, 2e-3, -1.5e10]),
        (["1.0", "nan", "NaN", "-inf"], "f", [1.0, np.nan, np.nan, -np.inf]),
        (["0.5", "0", "0e+00"], "f", [0.5, 0.0, 0.0]),
        (["454,653", "51,884"], "f", [454.653, 51.884]),
        (["454,653", "12"], "f", [454.653, 12.0]),
        (["1,5e+3", "-2,25"], "f", [1500.0, -2.25]),
    ],
)
def test_numbers(cells, kind, values):
    column = column_of(cells)
    assert column.dtype.kind == kind
    assert column.dtype.itemsize == 8
    np.testing.assert_array_equal(column, values)


@pytest.mark.parametrize(
    "cells",
    [
        ["000001", "000002"],
        ["1", "2", "007"],
        ["-01", "5"],
        ["-0", "5"],
        ["001e1", "002e1"],
        ["12e3", "13e3"],
        ["1_001", "1_002"],
        ["12345678901234567890", "12345678901234567891"],
        ["9223372036854775808", "1"],
        ["1234567890123456789", "1.5"],  # more digits than float64 keeps
        ["True", "False"],
        ["٣", "٤"],  # digits, but not of ASCII
        ["1.234,5", "2.345,6"],
        ["0x1F", "0x20"],
        ["12:34:56.7", "12:34:57.0"],
        ["2026-11-28", "2026-11-29"],
        ["1 2", "3 4"],
        [" a ", "b"],
    ],
)
def test_what_would_change_as_a_number_stays_text(cells):
    column = column_of(cells)
    assert column.dtype.kind == "U"
    assert column.tolist() == cells


def test_a_comma_before_three_digits_may_divide_thousands():
    assert column_of(["1,234", "5,678"], decimal_comma=False).tolist() == ["1,234", "5,678"]
    np.testing.assert_array_equal(column_of(["1,234", "5,67"], decimal_comma=False), [1.234, 5.67])
    np.testing.assert_array_equal(column_of(["1,234", "5,678"]), [1.234, 5.678])


@pytest.mark.parametrize("word", sorted(MISSING))
def test_missing_numbers_are_masked_and_missing_words_are_kept(word):
    assert column_of(["1", word, "3"]).tolist() == [1, None, 3]
    assert column_of(["1.5", f" {word} "]).tolist() == [1.5, None]
    words = column_of(["a", word, "b"])
    assert words.tolist() == ["a", word or None, "b"]
    nothing = column_of([word, word])
    assert nothing.dtype == np.float64
    assert nothing.mask.all()


def test_no_cells_are_no_error():
    assert len(column_of([])) == 0


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_every_integer_comes_back(values):
    column = column_of([str(value) for value in values])
    assert column.dtype == np.int64
    assert column.tolist() == values


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_number_comes_back(values):
    # As repr writes them: 1e16 and 1e22 have neither point nor digits that are lost, but a sign.
    column = column_of([repr(value) for value in values])
    assert column.dtype == np.float64
    assert column.tolist() == values


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_every_text_comes_back_or_is_a_number_that_is_written_so(cells):
    column = column_of(cells)
    if column.dtype.kind == "U":
        assert [text or "" for text in column.tolist()] == cells
    else:
        for cell, value in zip(cells, column.tolist(), strict=True):
            assert value is None or float(cell.replace(",", ".")) == value or np.isnan(value)


def test_numbers_that_are_known_to_be_some():
    found = lenient_numbers(np.array(["0012.5", " 7 ", "N/A", "", "1e2"]))
    np.testing.assert_array_equal(found, [12.5, 7.0, np.nan, np.nan, 100.0])
    np.testing.assert_array_equal(lenient_numbers(np.array(["12,5", "3"])), [12.5, 3.0])
    for wrong in (["1", "b"], ["1_0"], ["1,5", "2.5"], ["1,234,567"]):
        assert lenient_numbers(np.array(wrong)) is None
