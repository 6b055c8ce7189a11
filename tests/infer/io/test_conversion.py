"""Columns that Astropy's writers would change or drop come back as they were, or are refused by name."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table
from astropy.time import Time

from rbinfer.errors import InputError
from rbinfer.io.tables import read_catalog, write_catalog

#: 256 of each, such that what Astropy writes for masked values (999999, cut to the type) is among them.
FIRST = {"u1": 0, "i1": -128, "i2": 16900, "u2": 16900, "i4": 999900, "u4": 999900, "i8": 999900}
FIRST["u8"] = 999900


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".vot", ".parquet", ".csv"])
@pytest.mark.parametrize("masked", [None, 0, 5])
@pytest.mark.parametrize("dtype", FIRST)
def test_every_integer_and_mask_comes_back(tmp_path, suffix, masked, dtype):
    rows = np.arange(256)
    values = (rows + FIRST[dtype]).astype(dtype)
    mask = np.zeros(256, bool) if not masked else rows % masked == 0
    column = values if masked is None else MaskedColumn(values, mask=mask)
    table = Table({"k": column})
    table["k"].unit, table["k"].description = u.ct, "counts"
    write_catalog(table, tmp_path / f"t{suffix}")
    np.testing.assert_array_equal(table["k"], column)
    assert table["k"].dtype == dtype
    got = read_catalog(tmp_path / f"t{suffix}")["k"]
    np.testing.assert_array_equal(np.ma.getmaskarray(np.ma.asarray(got)), mask)
    np.testing.assert_array_equal(np.asarray(got)[~mask].astype(dtype), values[~mask])
    if suffix != ".csv":
        assert got.unit == u.ct


def test_what_stands_for_masked_in_fits_is_kept_where_it_can_be(tmp_path):
    for value, kept in ((-7, True), (2, False)):
        column = MaskedColumn([1, 2, 3], mask=[True, False, False], fill_value=value)
        write_catalog(Table({"k": column}), tmp_path / "t.fits", overwrite=True)
        got = read_catalog(tmp_path / "t.fits")["k"]
        assert got.tolist() == [None, 2, 3]
        assert (got.fill_value == value) == kept
        assert column.fill_value == value


@pytest.mark.parametrize(
    ("column", "suffix", "words"),
    [
        (["a", "äö"], ".fits", "column odd has the text 'äö', which FITS cannot hold"),
        (["a", "b\rc"], ".csv", r"column odd has the text 'b\\rc', which CSV cannot hold"),
        (
            np.zeros((2, 3)),
            ".csv",
            r"column odd has arrays of shape \(3,\) in its cells, which CSV",
        ),
        (
            np.zeros((2, 3, 4)),
            ".parquet",
            r"column odd has arrays of shape \(3, 4\) in its cells, which P",
        ),
        (np.ones(2, complex), ".parquet", "column odd holds complex numbers, which Parquet"),
        (np.array([1, 2**63], np.uint64), ".vot", "column odd has numbers of 2\\^63 and more"),
        (
            np.array([{}, None], object),
            ".parquet",
            "column odd holds what is neither number nor text, which Parquet",
        ),
        (
            Time([60000.0, 60001.0], format="mjd"),
            ".vot",
            "column odd holds what is neither number nor text, which V",
        ),
    ],
)
def test_a_column_that_does_not_fit_is_named(tmp_path, column, suffix, words):
    with pytest.raises(InputError, match=f"{words}.*; (try .*, or )?leave the column out"):
        write_catalog(Table({"x": [1.0, 2.0], "odd": column}), tmp_path / f"t{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "leading", "trailing"),
    [(".ecsv", True, True), (".vot", True, True), (".fits", False, True), (".csv", False, False)],
)
def test_blanks_that_a_format_drops_are_told(tmp_path, caplog, suffix, leading, trailing):
    for text, is_lost in ((" a", leading), ("a ", trailing), ("a b", False)):
        caplog.clear()
        write_catalog(Table({"id": [text, "c"]}), tmp_path / f"t{suffix}", overwrite=True)
        assert (str(read_catalog(tmp_path / f"t{suffix}")["id"][0]) != text) == is_lost
        assert ("column id:" in caplog.text) == is_lost


def test_a_name_that_does_not_fit(tmp_path):
    table = Table({"Größe": [1.0]})
    with pytest.raises(InputError, match="FITS cannot hold the name of the column Größe; try ECSV"):
        write_catalog(table, tmp_path / "t.fits")
    for suffix in (".ecsv", ".csv", ".vot", ".parquet"):
        write_catalog(table, tmp_path / f"t{suffix}")
        assert read_catalog(tmp_path / f"t{suffix}").colnames == ["Größe"]


def test_dates_and_spans_of_time(tmp_path):
    dates = np.array(["2026-11-28", "2026-11-29"], "datetime64[D]")
    table = Table({"night": dates})
    write_catalog(table, tmp_path / "t.ecsv")
    assert (read_catalog(tmp_path / "t.ecsv")["night"] == dates).all()
    write_catalog(table, tmp_path / "t.csv")
    assert read_catalog(tmp_path / "t.csv")["night"].tolist() == ["2026-11-28", "2026-11-29"]
    for suffix in (".fits", ".vot", ".parquet"):
        with pytest.raises(InputError, match=r"column night holds dates, which .*; try ECSV or CSV, or"):
            write_catalog(table, tmp_path / f"t{suffix}")
    spans = Table({"spent": dates - dates[0]})
    with pytest.raises(
        InputError, match=r"column spent holds spans of time, which ECSV .*; try CSV, or"
    ):
        write_catalog(spans, tmp_path / "s.ecsv")


def test_masked_truth_values_are_told(tmp_path, caplog):
    table = Table({"flag": MaskedColumn([True, True], mask=[False, True])})
    write_catalog(table, tmp_path / "t.fits")
    assert "column flag: FITS has no masked truth values" in caplog.text
