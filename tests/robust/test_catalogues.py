"""Catalogues that are read and written back: nothing that is not ours changes."""

import csv
import string

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbinfer.io.content import Content
from rbinfer.io.formats import FORMATS
from rbinfer.io.original import Original
from rbinfer.io.positions import positions
from rbinfer.io.tables import kind_of, read_catalog, write_catalog

from .scale import times

#: What a column may hold that looks like a number, or is one.
like_numbers = st.one_of(
    st.integers().map(str),
    st.integers(0, 99999).map(lambda k: f"{k:08d}"),
    st.floats().map(str),
    st.floats(-1e4, 1e4).map(lambda v: f"{v:.3f}"),
    st.tuples(st.integers(0, 999), st.integers(0, 9)).map(lambda pair: f"{pair[0]:03d}e{pair[1]}"),
    st.sampled_from(["", "N/A", "nan", "True", "None", "1_000", "+5", "-0", "1e400", "0x10", "1.5d3"]),
)
words = st.text(string.ascii_letters + string.digits + " ,;|#'äöß-_.", max_size=8)


@st.composite
def files(draw):
    """The text of a table with a column x of numbers, in one of the dialects, and its parts."""
    n = draw(st.integers(1, 12))
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    names = ["x", "y", *draw(st.lists(st.sampled_from("abcdefg"), unique=True, max_size=4))]
    columns = [[f"{v:.3f}" for v in draw(st.lists(st.floats(0, 1e4), min_size=n, max_size=n))]] * 2
    for _ in names[2:]:
        cells = draw(st.sampled_from([like_numbers, words]))
        columns.append(draw(st.lists(cells, min_size=n, max_size=n)))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    return (
        names,
        columns,
        {"delimiter": separator, "lineterminator": newline, "quoting": quoting},
        encoding,
    )


@pytest.mark.promise("Catalogues", "every cell of a text that is not ours comes back as the same text")
def test_cells(tmp_path, tried):
    path, out = tmp_path / "c.csv", tmp_path / "o.csv"

    @settings(max_examples=times(200, 5_000), deadline=None, suppress_health_check=list(HealthCheck))
    @given(files(), st.randoms())
    def check(made, random):
        tried(1)
        names, columns, how, encoding = made
        rows = [list(row) for row in zip(*columns, strict=True)]
        with path.open("w", newline="", encoding=encoding) as file:
            csv.writer(file, **how).writerows([names, *rows])
        table = read_catalog(path)
        assert table.colnames == names
        np.testing.assert_array_equal(positions(table)[0], [float(cell) for cell in columns[0]])
        chosen = np.array(random.sample(range(len(rows)), random.randint(1, len(rows))))
        table = table[chosen]
        table["rb_score"], table["rb_class"] = np.float32(0.125), "star"
        original = Original(Content(path), kind_of(path).name, 0, chosen)
        write_catalog(table, out, overwrite=True, original=original)
        with out.open(newline="", encoding=encoding) as file:
            got = list(csv.reader(file, delimiter=how["delimiter"]))
        assert got[0] == [*names, "rb_score", "rb_class"]
        assert [row[: len(names)] for row in got[1:]] == [rows[k] for k in chosen]

    check()


@pytest.mark.promise("Catalogues", "identifiers of a text stay text in every format")
def test_identifiers(tmp_path, tried):
    written = [each for each in FORMATS if each.suffixes]

    @settings(max_examples=times(60, 1_000), deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.text(string.digits + "e_+-.", min_size=1, max_size=24), min_size=1, max_size=8),
        st.sampled_from(written),
    )
    def check(cells, kind):
        tried(1)
        (tmp_path / "c.csv").write_text(
            "x,y,id\n" + "".join(f"1,2,{cell}\n" for cell in [*cells, "007"])
        )
        write_catalog(
            read_catalog(tmp_path / "c.csv"), tmp_path / f"o{kind.suffixes[0]}", overwrite=True
        )
        found = read_catalog(tmp_path / f"o{kind.suffixes[0]}")["id"]
        assert [str(cell) for cell in found] == [*cells, "007"]

    check()


@pytest.mark.promise("Catalogues", "a format is told by the content, whatever the name says")
def test_names_of_files(tmp_path, tried):
    table = Table({"id": ["001", "b"], "x": [1.5, 2.5], "y": [3.0, 4.0]})
    suffixes = sorted({suffix for each in FORMATS for suffix in (*each.suffixes, *each.others)})
    for kind in (each for each in FORMATS if each.suffixes):
        write_catalog(table, tmp_path / f"a{kind.suffixes[0]}", overwrite=True)
        data = (tmp_path / f"a{kind.suffixes[0]}").read_bytes()
        for suffix in (*suffixes, ".unknown", ""):
            path = tmp_path / f"b{suffix}"
            path.write_bytes(data)
            assert kind_of(path).name == kind.name
            np.testing.assert_array_equal(positions(read_catalog(path)), ([1.5, 2.5], [3, 4]))
            tried(1)
