"""Tables of text in the dialects of programs and spreadsheets, read and written back as they stood."""

import csv
import gzip
import lzma

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given
from hypothesis import strategies as st

from rbinfer.errors import InputError
from rbinfer.io.content import Content
from rbinfer.io.original import Original
from rbinfer.io.positions import positions
from rbinfer.io.tables import kind_of, read_catalog, write_catalog

X, Y, NAMES = [10.25, 20.5, 30.0], [1.0, 2.125, 3.5], ["Größe", "b", "ö"]


def lines(separator=",", decimal=".", header="x{s}y{s}name"):
    rows = [f"{x:.3f}{separator}{y:.3f}".replace(".", decimal) for x, y in zip(X, Y, strict=True)]
    rows = [separator.join(pair) for pair in zip(rows, NAMES, strict=True)]
    return [header.format(s=separator), *rows]


def written_back(path, table, out, rows=None):
    """Write a table in the kind of the file that it is from."""
    rows = np.arange(len(read_catalog(path))) if rows is None else np.asarray(rows)
    write_catalog(table, out, original=Original(Content(path), kind_of(path).name, 0, rows))
    return out.read_bytes()


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"]
)
@pytest.mark.parametrize(
    ("separator", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", ".")]
)
def test_dialects_are_read_and_kept(tmp_path, separator, decimal, encoding, newline):
    path = tmp_path / "t.csv"
    text = newline.join(["# made by hand", *lines(separator, decimal)]) + newline
    path.write_bytes(text.encode(encoding))
    table = read_catalog(path)
    np.testing.assert_array_equal(positions(table), (X, Y))
    assert table["name"].tolist() == NAMES
    table["rb_score"] = np.array([0.25, 0.5, np.nan], np.float32)
    table["rb_class"] = ["star", "", "a,b"]
    got = written_back(path, table, tmp_path / "out.csv").decode(encoding)
    ends = [["0.25", "star"], ["0.5", ""], ["nan", '"a,b"' if separator == "," else "a,b"]]
    expected = [lines(separator, decimal)[0] + separator.join(["", "rb_score", "rb_class"])]
    for line, (score, name) in zip(lines(separator, decimal)[1:], ends, strict=True):
        expected.append(separator.join([line, score.replace(".", decimal), name]))
    assert got == newline.join(["# made by hand", *expected]) + newline


@pytest.mark.parametrize("gap", [" ", "   ", "\t", " \t "])
def test_white_space_of_any_width(tmp_path, gap):
    path = tmp_path / "t.txt"
    path.write_text(f"# by hand\n x{gap}y{gap}id\n" + f" 1.5{gap}2.5{gap}007\n3.5{gap}-4{gap}'b'\n")
    table = read_catalog(path)
    np.testing.assert_array_equal(positions(table), ([1.5, 3.5], [2.5, -4.0]))
    assert table["id"].tolist() == ["007", "'b'"]
    table["rb_class"] = ["star", ""]
    got = written_back(path, table, tmp_path / "out.txt").decode()
    between = "\t" if "\t" in gap else " "
    assert got.split("\n")[:2] == ["# by hand", f" x{gap}y{gap}id{between}rb_class"]
    assert got.split("\n")[2] == f" 1.5{gap}2.5{gap}007{between}star"
    again = read_catalog(tmp_path / "out.txt")
    assert again["id"].tolist() == ["007", "'b'"]
    assert again.colnames == ["x", "y", "id", "rb_class"]
    assert [text or "" for text in again["rb_class"].tolist()] == ["star", ""]


@pytest.mark.parametrize("separator", [", ", " ; ", " | ", "\t "])
def test_blanks_around_separators_are_no_part_of_the_cells(tmp_path, separator):
    path = tmp_path / "t.csv"
    path.write_text(separator.join(["x", "y", "id"]) + "\n" + separator.join(["1", "2", "007"]) + "\n")
    assert read_catalog(path)["id"].tolist() == ["007"]
    assert written_back(path, read_catalog(path), tmp_path / "o.csv") == path.read_bytes()


def test_exponents_of_fortran(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("x y\n4.5D+02 1.25d1\n4.75D+02 0.5D-01\n")
    np.testing.assert_array_equal(positions(read_catalog(path)), ([450, 475], [12.5, 0.05]))


def test_missing_positions_are_not_finite_and_cells_stay(tmp_path):
    path = tmp_path / "t.csv"
    words = ["N/A", "", "NULL", "nan", "--", "INDEF", "5.50"]
    body = [f"{word},1.0,{word}" for word in words] + ["6.,1.0,a"]
    path.write_text("\n".join(["x,y,name", *body]) + "\n")
    table = read_catalog(path)
    np.testing.assert_array_equal(positions(table)[0], [np.nan] * 6 + [5.5, 6.0])
    assert [name or "" for name in table["name"].tolist()] == [*words, "a"]
    table["rb_status"] = 1
    got = written_back(path, table, tmp_path / "o.csv").decode().split("\n")
    assert got[1:-1] == [f"{line},1" for line in body]


@pytest.mark.parametrize(
    "word", ["<NA>", "...", "*", ".", "masked", "1.#QNAN", "-1.#IND", "\\N", "None", "~", "nil", "pix"]
)
def test_words_among_positions_are_none_and_stay(tmp_path, word):
    path = tmp_path / "t.csv"
    path.write_text(f"id,x,y\n1,{word},2\n2,3,4\n3,5,6\n")
    table = read_catalog(path)
    np.testing.assert_array_equal(positions(table), ([np.nan, 3, 5], [2, 4, 6]))
    assert written_back(path, table, tmp_path / "o.csv") == path.read_bytes()


def test_words_alone_are_no_positions(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\nfar,2\noff,4\n3,6\n")
    with pytest.raises(InputError, match="the column x must hold one number a row"):
        positions(read_catalog(path))


def test_zero_padded_positions_are_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y,id\n0012.5,0001,001\n0120.0,0010,002\n")
    np.testing.assert_array_equal(positions(read_catalog(path)), ([12.5, 120.0], [1.0, 10.0]))


def test_quotes_hold_separators_lines_and_quotes(tmp_path):
    path = tmp_path / "t.csv"
    body = 'x,y,name\n1.0,2.0,"a,b"\n3.0,4.0,"say ""hi"""\n5.0,6.0,"two\nlines"\n"7.0","8.0","000"\n'
    path.write_text(body)
    table = read_catalog(path)
    assert table["name"].tolist() == ["a,b", 'say "hi"', "two\nlines", "000"]
    np.testing.assert_array_equal(positions(table)[0], [1, 3, 5, 7])
    table["rb_status"] = [0, 1, 2, 3]
    rows = body.removesuffix("\n").replace('"two\nlines"', '"two|lines"').split("\n")
    expected = [rows[0] + ",rb_status", *(f"{row},{k}" for k, row in enumerate(rows[1:]))]
    got = written_back(path, table, tmp_path / "o.csv").decode()
    assert got == "\n".join(expected).replace("|", "\n") + "\n"
    # Without its old column, and one less: the cells stay as they are written, quotes and all.
    again = read_catalog(tmp_path / "o.csv")
    again["rb_status"] = 9
    del again["y"]
    got = written_back(tmp_path / "o.csv", again[1:], tmp_path / "p.csv", [1, 2, 3]).decode()
    assert got == 'x,name,rb_status\n3.0,"say ""hi""",9\n5.0,"two\nlines",9\n"7.0","000",9\n'


def test_quotes_that_are_seconds_of_arc(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('x,y,size,note\n1,2,12",a\n3,4,"open,b\n5,6,7,c\n')
    table = read_catalog(path)
    assert len(table) == 3
    np.testing.assert_array_equal(positions(table)[0], [1, 3, 5])


def test_rows_in_another_order_and_number(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,x,y\n" + "".join(f"{k:05d},{k}.50,1e+00\n" for k in range(50)))
    table = read_catalog(path)
    order = np.array([40, 3, 7])
    picked = table[order]
    picked["rb_score"] = [0.5, 0.25, 0.125]
    got = written_back(path, picked, tmp_path / "o.csv", order).decode()
    assert got == (
        "id,x,y,rb_score\n00040,40.50,1e+00,0.5\n00003,3.50,1e+00,0.25\n00007,7.50,1e+00,0.125\n"
    )


def test_old_results_are_replaced_and_the_rest_stays(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("rb_score,x,y,rb_class\n0.9,1.50,2.50,star\n")
    table = read_catalog(path)
    table["rb_score"], table["rb_class"] = [0.125], ["trail"]
    table["new"] = [7]
    got = written_back(path, table, tmp_path / "o.csv").decode()
    assert got == "rb_score,x,y,rb_class,new\n0.125,1.50,2.50,trail,7\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("o.csv", 'x,y,z\n1.50,2.50,"a,b"\n'), ("o.tsv", "x\ty\tz\n1.50\t2.50\ta,b\n")],
)
def test_the_suffix_asks_for_another_separator(tmp_path, name, expected):
    path = tmp_path / "t.txt"
    path.write_text("x;y;z\n1.50;2.50;a,b\n")
    assert written_back(path, read_catalog(path), tmp_path / name).decode() == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".dat", ".csv.xz"])
def test_long_and_compressed(tmp_path, encoding, suffix):
    rows = [f"{k:06d};{k}.250;{k}.500;ö" for k in range(5000)]
    module = {".gz": gzip, ".xz": lzma}.get(suffix[-3:])
    data = ("\n".join(["id;x;y;ö", *rows]) + "\n").encode(encoding)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(module.compress(data) if module else data)
    table = read_catalog(path)
    assert len(table) == 5000
    assert positions(table)[0][4321] == 4321.25
    table["rb_status"] = 0
    got = written_back(path, table, tmp_path / f"o{suffix}")
    got = (module.decompress(got) if module else got).decode(encoding)
    assert got == "\n".join(["id;x;y;ö;rb_status", *(f"{row};0" for row in rows)]) + "\n"


def test_a_separator_that_is_declared(tmp_path):
    (tmp_path / "q.csv").write_text('"sep=;"\nx;y\n1;2\n')
    np.testing.assert_array_equal(positions(read_catalog(tmp_path / "q.csv")), ([1], [2]))
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nx;y;a,b\n1,5;2,5;c,d\n")
    table = read_catalog(path)
    assert table.colnames == ["x", "y", "a,b"]
    np.testing.assert_array_equal(positions(table), ([1.5], [2.5]))
    table["rb_score"] = [0.5]
    expected = "sep=;\nx;y;a,b;rb_score\n1,5;2,5;c,d;0,5\n"
    assert written_back(path, table, tmp_path / "o.csv").decode() == expected


def test_a_file_that_changed_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,2\n")
    table = read_catalog(path)
    original = Original(Content(path), "CSV", 0, np.arange(1))
    path.write_text("x,y\n3,4\n5,6\n")
    with pytest.raises(InputError, match=r"t\.csv has changed since it was read; start again"):
        write_catalog(table, tmp_path / "o.csv", original=original)
    path.unlink()
    with pytest.raises(InputError, match=r"t\.csv cannot be read again: No such file"):
        write_catalog(table, tmp_path / "o.csv", original=original)
    assert list(tmp_path.iterdir()) == []


def test_no_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id;x;y\n")
    table = read_catalog(path)
    assert table.colnames == ["id", "x", "y"]
    assert positions(table)[0].shape == (0,)
    table["rb_score"] = np.zeros(0, np.float32)
    assert written_back(path, table, tmp_path / "o.csv").decode() == "id;x;y;rb_score\n"


def test_short_rows_and_separators_at_the_end(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y,note\n1,2\n3,4,a\n")
    assert read_catalog(path)["note"].tolist() == [None, "a"]
    path.write_text("x,y,\n1,2,\n3,4,\n")
    table = read_catalog(path)
    assert table.colnames == ["x", "y"]
    table["rb_status"] = [0, 256]
    assert written_back(path, table, tmp_path / "o.csv") == b"x,y,rb_status\n1,2,0\n3,4,256\n"
    path.write_text("x,y\n1,2,\n3,4,\n")
    np.testing.assert_array_equal(positions(read_catalog(path)), ([1, 3], [2, 4]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,2\n3\n4,5,6\n", r"row 3 has 3 cells, but there are 2 columns \(x, y\): '4,5,6'"),
        ("x y\n1 2\n3\n", "row 2 has 1 cells, but there are 2 columns"),
        ("x,y,x\n1,2,3\n", "two columns are called x"),
        ("# only\n# comments\n", "it has no line with the names of columns"),
        ("x,y\n1,\0\n", "it is not text"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=f"t.csv cannot be read as CSV: {words}"):
        read_catalog(tmp_path / "t.csv")


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


@given(rows=st.lists(st.tuples(st.floats(0, 4000), cell, cell), min_size=1, max_size=20))
def test_any_cells_in_quotes_come_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    path = folder / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([["x", "y", "a", "b"], *([x, x, a, b] for x, a, b in rows)])
    table = read_catalog(path)
    np.testing.assert_array_equal(positions(table)[0], [x for x, _, _ in rows])
    table["rb_status"] = 0
    written_back(path, table, folder / "o.csv")
    with path.open(newline="", encoding="utf-8") as file:
        before = list(csv.reader(file))
    with (folder / "o.csv").open(newline="", encoding="utf-8") as file:
        after = list(csv.reader(file))
    assert [row[:-1] for row in after] == before


def test_numbers_of_other_formats_have_their_digits_and_no_blanks(tmp_path):
    table = Table({"x": X, "n": [1, 2, 3], "rb_score": np.array([0.1, 0.25, np.nan], np.float32)})
    table["x"].format, table["n"].format = "%-13.1f", "%-6d"  # as IRAF's have them
    write_catalog(table, tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text() == "x,n,rb_score\n10.25,1,0.1\n20.5,2,0.25\n30.0,3,nan\n"


def test_masked_text_and_numbers_written_anew(tmp_path):
    table = Table({"x": MaskedColumn([1.5, 2.5], mask=[False, True]), "id": ["001", "a\nb"]})
    write_catalog(table, tmp_path / "t.csv")
    got = read_catalog(tmp_path / "t.csv")
    assert got["x"].tolist() == [1.5, None]
    assert got["id"].tolist() == ["001", "a\nb"]
