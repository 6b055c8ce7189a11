"""Parquet that others wrote: nulls, and types that only they have, come back."""

import datetime
import decimal

import numpy as np
import pytest

from rbinfer.io.content import Content
from rbinfer.io.original import Original
from rbinfer.io.positions import positions
from rbinfer.io.tables import check_fit, kind_of, read_catalog, write_catalog

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

DATE = datetime.datetime(2026, 11, 28, 22, 3)
#: Columns as PyArrow has them, and the values of the table that they become.
COLUMNS = {
    "text": (pyarrow.array(["001", None, "c"]), ["001", None, "c"]),
    "large": (pyarrow.array(["a", "b", "ö"], pyarrow.large_string()), ["a", "b", "ö"]),
    "truth": (pyarrow.array([True, None, False]), [True, None, False]),
    "whole": (pyarrow.array([1, None, 3], pyarrow.int16()), [1, None, 3]),
    "wide": (pyarrow.array([1, 2, 2**63], pyarrow.uint64()), [1, 2, 2**63]),
    "number": (pyarrow.array([1.5, None, 3.5], pyarrow.float32()), [1.5, None, 3.5]),
    "category": (pyarrow.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    "bytes": (pyarrow.array([b"a", b"b", b"bc"]), ["a", "b", "bc"]),
    "when": (pyarrow.array([DATE, None, DATE]), [DATE, None, DATE]),
    "exact": (
        pyarrow.array([decimal.Decimal("1.50"), None, None]),
        [decimal.Decimal("1.50"), None, None],
    ),
}


@pytest.fixture
def path(tmp_path):
    columns = {"x": pyarrow.array([1.5, None, 3.5]), "y": pyarrow.array([1, 2, 3])}
    columns |= {name: column for name, (column, _) in COLUMNS.items()}
    columns["list"] = pyarrow.array([[1, 2], None, [3]])
    table = pyarrow.table(columns).replace_schema_metadata({"survey": "ours"})
    parquet.write_table(table, tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def test_nulls_are_masked_and_types_are_kept(path):
    table = read_catalog(path)
    np.testing.assert_array_equal(positions(table), ([1.5, np.nan, 3.5], [1, 2, 3]))
    for name, (_, values) in COLUMNS.items():
        assert table[name].tolist() == values, name
    types = {"truth": "?", "whole": "i2", "number": "f4", "wide": "u8"}
    assert {name: table[name].dtype for name in types} == {n: np.dtype(t) for n, t in types.items()}


def test_columns_are_written_back_as_they_stood(path, tmp_path):
    rows = np.array([2, 0])
    table = read_catalog(path)[rows]
    table["rb_score"] = np.array([0.25, np.nan], np.float32)
    table["rb_class"] = ["star", ""]
    table.meta["rb_model"] = "default"
    source = kind_of(path)
    check_fit([table], tmp_path / "o.parquet", source)
    write_catalog(table, tmp_path / "o.parquet", original=Original(Content(path), source.name, 0, rows))
    before, after = parquet.read_table(path), parquet.read_table(tmp_path / "o.parquet")
    assert after.column_names == [*before.column_names, "rb_score", "rb_class"]
    for name in before.column_names:
        assert after[name].type == before[name].type
        assert after[name].to_pylist() == before[name].take(pyarrow.array(rows)).to_pylist()
    assert after["rb_score"].type == pyarrow.float32()
    assert after.schema.metadata[b"survey"] == b"ours"
    again = read_catalog(tmp_path / "o.parquet")
    assert again.meta == {"rb_model": "default"}
    assert again["rb_class"].tolist() == ["star", ""]


def test_results_are_replaced_and_files_of_astropy_are_too(path, tmp_path):
    table = read_catalog(path)["x", "y", "text"]
    table["rb_status"] = np.array([1, 2, 3], np.int32)
    write_catalog(table, tmp_path / "a.pq")
    again = read_catalog(tmp_path / "a.pq")
    again["rb_status"] += 1
    original = Original(Content(tmp_path / "a.pq"), "Parquet", 0, np.arange(3))
    write_catalog(again, tmp_path / "b.pq", original=original)
    got = read_catalog(tmp_path / "b.pq")
    assert got["rb_status"].tolist() == [2, 3, 4]
    assert got["text"].tolist() == ["001", None, "c"]
