"""Formats are told by content, whatever the name says, or named."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
from astropy.table import Table

from rbinfer.errors import InputError
from rbinfer.io.content import Content
from rbinfer.io.formats import FORMATS, format_named, format_of
from rbinfer.io.positions import positions
from rbinfer.io.tables import kind_of, read_catalog, write_catalog

WRITTEN = {each.name: each for each in FORMATS if each.write is not None}


def table():
    return Table({"id": ["001", "b"], "x": [1.5, 2.5], "y": [3.0, 4.0]})


@pytest.mark.parametrize("suffix", [".dat", ".cat", ".txt", ".csv", ".fits", ".coo", ".reg", ".x", ""])
@pytest.mark.parametrize("name", WRITTEN)
def test_content_goes_before_the_suffix(tmp_path, name, suffix):
    write_catalog(table(), tmp_path / f"a{WRITTEN[name].suffixes[0]}")
    path = (tmp_path / f"a{WRITTEN[name].suffixes[0]}").rename(tmp_path / f"b{suffix}")
    assert kind_of(path).name == name
    got = read_catalog(path)
    assert [str(text) for text in got["id"]] == ["001", "b"]
    np.testing.assert_array_equal(positions(got), ([1.5, 2.5], [3, 4]))


@pytest.mark.parametrize(("suffix", "module"), [(".gz", gzip), (".bz2", bz2), (".xz", lzma)])
@pytest.mark.parametrize("name", WRITTEN)
def test_compressed(tmp_path, name, suffix, module):
    path = tmp_path / f"a{WRITTEN[name].suffixes[0]}{suffix}"
    write_catalog(table(), path)
    with module.open(path) as file:
        assert len(file.read()) > 20  # it is compressed
    assert kind_of(path).name == name
    np.testing.assert_array_equal(positions(read_catalog(path)), ([1.5, 2.5], [3, 4]))
    first = path.read_bytes()
    write_catalog(table(), path, overwrite=True)
    assert path.read_bytes() == first
    path.write_bytes(first[: len(first) // 2])
    with pytest.raises(InputError, match=f"{path.name} cannot be"):
        read_catalog(path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("# 1 Jan 2026, by hand\nx,y\n1,2\n", "CSV"),
        ("# 1 NGC field\nx y\n1 2\n", "CSV"),
        ("#   1 NUMBER  Number\n         1\n", "ASCII_HEAD"),
        ("# 1 id\n# 2 x\n# 3 y\n1 2 3\n", "ASCII_HEAD"),
        ("|x|y|\n|1|2|\n|3|4|\n|5|6|\n|7|8|\n", "CSV"),
        ("|x     |y     |\n|double|double|\n 1.0    2.0\n", "IPAC"),
        ("\\fixlen = T\n| x | y |\n  1   2\n", "IPAC"),
        ("image,x,y\na.fits,1,2\n", "CSV"),
        ("fk5\ncircle(1,2,3)\n", "DS9"),
        ("x|y|#N\n1|2|3\n", "CSV"),
    ],
)
def test_texts_that_look_alike(tmp_path, text, kind):
    path = tmp_path / "a.txt"
    path.write_text(text)
    assert kind_of(path).name == kind


def test_every_format_has_a_name_and_a_suffix_of_its_own():
    assert len({each.name.lower() for each in FORMATS}) == len(FORMATS)
    written = [suffix for each in FORMATS for suffix in each.suffixes]
    assert len(set(written)) == len(written)
    for each in FORMATS:
        assert (each.write is None) == (each.suffixes == ())
        assert format_named(each.name.upper()) is each


def test_a_named_format_goes_before_all(tmp_path):
    path = tmp_path / "a.ecsv"
    write_catalog(table(), path)
    with pytest.raises(InputError, match=r"a.ecsv cannot be read as VOTable"):
        read_catalog(path, format="votable")
    assert len(read_catalog(path, "ECSV")) == 2
    # The header is a comment to CSV.
    assert read_catalog(path, format="CSV").colnames == ["id", "x", "y"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("daofot", "no catalogue format is called daofot; did you mean DAOPHOT[?]"),
        ("fit", "no catalogue format is called fit; did you mean FITS[?]"),
        ("zzz", "no catalogue format is called zzz; known are ECSV, "),
    ],
)
def test_names_that_are_none(tmp_path, name, words):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match=words):
        read_catalog(tmp_path / "a.csv", format=name)


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b"just a word\n", ".doc"),
        (b"\x00\x01\x02", ""),
        (b"1 2\n3 4\n", ".unknown"),
    ],
)
def test_what_is_of_no_format(tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is of no format that is known \(ECSV, .*CSV\)") as caught:
        format_of(Content(path))
    assert ("catalog_format='CSV', x_col='col1'" in str(caught.value)) == (b"\x00" not in content)


@pytest.mark.parametrize(
    ("content", "suffix", "words"),
    [
        (
            b"PK\x03\x04 some spreadsheet",
            ".xlsx",
            "a ZIP archive or a spreadsheet; .* save the sheet as CSV",
        ),
        (b"XISF0100", ".xisf", "an XISF image; save it as FITS"),
    ],
)
def test_what_is_told_by_its_first_bytes(tmp_path, content, suffix, words):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"is no catalogue that is read: it is {words}"):
        format_of(Content(path))


def test_batch_writes_every_format_that_is_written():
    from rbinfer.runs.formats import FORMATS as OF_RESULTS

    assert {f".{name}": suffix for name, suffix in OF_RESULTS.items()} == {
        each.suffixes[0]: each.suffixes[0] for each in FORMATS if each.suffixes
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DAOPHOT", "its first line is not that of DAOPHOT, NL NX NY ...; it looks like a file of CSV"),
        ("FITS", "it does not begin as a FITS file; it looks like a file of CSV; leave the format out"),
    ],
)
def test_a_named_format_that_it_is_not(tmp_path, name, words):
    (tmp_path / "c.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match=words):
        read_catalog(tmp_path / "c.csv", name)
