"""Tables of many images as one file, in every format that is written."""

import gzip
import tracemalloc
import warnings

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from rbinfer.errors import InputError, RbinferError
from rbinfer.io.merged import write_merged
from rbinfer.io.tables import read_catalog

SUFFIXES = ["ecsv", "csv", "fits", "vot", "parquet", "ecsv.gz", "fits.gz"]


def tables():
    """Three images whose catalogues differ in columns, types and lengths of text."""
    first = Table(
        {
            "id": ["a,b", "<TR>"],
            "n": np.array([1, 255], np.uint8),
            "rb_score": np.array([0.25, np.nan], np.float32),
            "ra": [150.1, 150.2],
        },
        meta={"rb_model": "default", "rb_fwhm": 3.0, "rb_image": "a.fits", "own": 1},
    )
    first["ra"].unit = "deg"
    empty = Table({"id": []}, meta={"rb_model": "default"})
    last = Table(
        {
            "id": ['a "longer" text'],
            "n": MaskedColumn([3], mask=[True], dtype=np.uint8),
            "rb_score": np.array([0.5], np.float32),
            "k": [True],
        },
        meta={"rb_model": "default", "rb_fwhm": 4.0, "rb_image": "long name.fits"},
    )
    return [("a.fits", first), ("none.fits", empty), ("long name.fits", last)]


def test_astropy_knows_the_metadata_and_how_long_texts_are(tmp_path):
    path = tmp_path / "all.parquet"
    write_merged(lambda: iter(tables()), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of texts whose length is not noted
        found = Table.read(path)
    assert found.meta == {"rb_model": "default"}
    assert (found["rb_image"].dtype, found["id"].dtype) == (np.dtype("U14"), np.dtype("U15"))
    assert found["id"].tolist() == ["a,b", "<TR>", 'a "longer" text']
    assert found["ra"].unit == "deg"
    np.testing.assert_array_equal(found["n"], [1, 255, np.nan])  # as of every null, without a mask


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_come_out_as_they_went_in(tmp_path, suffix):
    path = tmp_path / f"all.{suffix}"
    assert write_merged(lambda: iter(tables()), path) == 3
    found = read_catalog(path)
    assert found.colnames == ["rb_image", "id", "n", "rb_score", "ra", "k"]
    assert list(map(str, found["rb_image"])) == ["a.fits", "a.fits", "long name.fits"]
    assert list(map(str, found["id"])) == ["a,b", "<TR>", 'a "longer" text']
    assert list(found["n"].filled(-1)) == [1, 255, -1]
    assert list(found["k"].filled(-1)) == [-1, -1, 1]
    score = np.ma.filled(np.ma.asarray(found["rb_score"], float), np.nan)
    np.testing.assert_array_equal(score, [0.25, np.nan, 0.5])
    ra = np.ma.filled(np.ma.asarray(found["ra"], float), np.nan)
    np.testing.assert_array_equal(ra, [150.1, 150.2, np.nan])
    if suffix != "csv":
        assert str(found["ra"].unit) == "deg"
    if suffix != "csv":
        # What the images do not share is not of all of them.
        noted = {key.lower(): value for key, value in found.meta.items() if key.lower()[:3] == "rb_"}
        assert noted == {"rb_model": "default"}
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES[:5])
def test_no_rows_are_a_table_too(tmp_path, suffix):
    path = tmp_path / f"all.{suffix}"
    assert write_merged(lambda: iter([("a.fits", Table({"x": []}))]), path) == 0
    if suffix not in ("vot", "csv"):  # which are text without a row
        assert len(read_catalog(path)) == 0


def test_packed_files_are_equal_and_whole(tmp_path):
    for name in ("one.csv.gz", "other.csv.gz", "plain.csv"):
        write_merged(lambda: iter(tables()), tmp_path / name)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "other.csv.gz").read_bytes()
    plain = (tmp_path / "plain.csv").read_bytes()
    assert gzip.decompress((tmp_path / "one.csv.gz").read_bytes()) == plain


def test_numbers_and_text_are_text(tmp_path):
    parts = [("a", Table({"id": [7]})), ("b", Table({"id": ["x7"]}))]
    write_merged(lambda: iter(parts), tmp_path / "all.ecsv")
    assert list(read_catalog(tmp_path / "all.ecsv")["id"]) == ["7", "x7"]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (np.zeros((1, 2)), "cells of shape"),
        (np.array([None]), "neither number nor text"),
    ],
)
def test_what_cannot_be_joined_is_named(tmp_path, column, words):
    parts = [("a.fits", Table({"v": [1.0]})), ("b.fits", Table({"v": column}))]
    with pytest.raises(InputError, match=f"b.fits: the column v .*{words}.*leave it out"):
        write_merged(lambda: iter(parts), tmp_path / "all.ecsv")
    assert list(tmp_path.iterdir()) == []


def test_units_that_differ_are_refused(tmp_path):
    parts = [("a", Table({"v": [1.0]})), ("b", Table({"v": [1.0]}))]
    parts[1][1]["v"].unit = "deg"
    with pytest.raises(InputError, match="is in deg, but in None"):
        write_merged(lambda: iter(parts), tmp_path / "all.fits")


def test_what_a_format_lacks_is_refused_and_what_was_there_stays(tmp_path):
    (tmp_path / "all.fits").write_text("before")
    parts = [("a", Table({"v": ["ä"]}))]
    with pytest.raises(RbinferError, match="FITS cannot hold"):
        write_merged(lambda: iter(parts), tmp_path / "all.fits")
    assert (tmp_path / "all.fits").read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["all.fits"]


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits", "vot", "parquet"])
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, suffix, monkeypatch):
    table = Table({"x": np.arange(500.0), "y": np.arange(500.0)})
    monkeypatch.setattr("rbinfer.io.merged._MOST_CELLS", 2_500)

    def peak(n):
        tracemalloc.start()
        write_merged(lambda: ((f"{k:04}.fits", table) for k in range(n)), tmp_path / f"all.{suffix}")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # what is imported and cached
    assert peak(32) < 1.4 * peak(8)
