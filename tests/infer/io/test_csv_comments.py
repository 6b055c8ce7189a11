"""Comments in tables of text, and names and free text above the rows."""

import numpy as np
import pytest

from rbinfer.errors import InputError
from rbinfer.io.positions import positions
from rbinfer.io.tables import read_catalog

from .test_csv_tables import written_back


def test_names_in_a_comment_and_no_names(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("# saved by a program\n# x y mag\n1.5 2.5 17\n3.5 4.5 18\n")
    assert read_catalog(path).colnames == ["x", "y", "mag"]
    for row in ("007 1.5 2.5", "a 1.5 2.5"):
        path.write_text(f"#  id  x  y\n{row}\n008 3.5 4.5\n")
        assert read_catalog(path)["id"].tolist() == [row.split()[0], "008"]
    path.write_text("1.5 2.5\n3.5 4.5\n")
    table = read_catalog(path)
    assert len(table) == 2  # the first row is no header
    shown = r"it has col1 \(1.5\), col2 \(2.5\); name them by `x_col='col1', y_col='col2'`"
    with pytest.raises(InputError, match=shown):
        positions(table)
    np.testing.assert_array_equal(positions(table, "col1", "col2", 1), ([0.5, 2.5], [1.5, 3.5]))


@pytest.mark.parametrize("separator", [";", " | ", "\t", " "])
def test_a_first_row_with_text_in_it_is_no_line_of_names(tmp_path, separator):
    path = tmp_path / "t.txt"
    rows = [["S0000", "33.04", "422.52", "41020"], ["S0001", "33.22", "457.37", "153300"]]
    path.write_text("\n".join(separator.join(row) for row in rows) + "\n")
    table = read_catalog(path, format="csv")
    assert table.colnames == ["col1", "col2", "col3", "col4"]
    assert table["col1"].tolist() == ["S0000", "S0001"]
    np.testing.assert_allclose(positions(table, "col3", "col2", 1), ([421.52, 456.37], [32.04, 32.22]))
    # Where the text stands above numbers, it is a name.
    path.write_text("id;x;0.5;1.0\nS0000;33.04;422.52;41020\nS0001;33.22;457.37;153300\n")
    assert read_catalog(path, format="csv").colnames == ["id", "x", "0.5", "1.0"]


@pytest.mark.parametrize(
    "text",
    [
        "HD 1;42.19;65.76\n;45.90;155.67\n;104.38;43.82\n",  # few have a name
        "S1;1.5;2.5;ok\nS2;3.5;4.5;\n",
        "S1;1.5;2.5;--\nS2;3.5;4.5;6.5\n",  # no value above one
        "S1 12.5 20.5\n",  # a list of one
        "star 1.5 2.5\ngalaxy 3.5 4.5\nstar 5.5 6.5\n",
        "Barnard's Star;12.5;20.5\nHD 1;42.19;65.76\n",
    ],
)
def test_the_first_star_is_not_lost_for_what_the_others_lack(tmp_path, text):
    path = tmp_path / "t.dat"
    path.write_text(text)
    table = read_catalog(path, "CSV")
    first = text.split("\n")[0].split(";" if ";" in text else " ")
    assert table.colnames == [f"col{k + 1}" for k in range(len(first))]
    assert len(table) == text.count("\n")
    assert table["col1"][0] == first[0]
    assert [table["col2"][0], table["col3"][0]] == [float(first[1]), float(first[2])]


@pytest.mark.parametrize(
    "text",
    [
        "name,3.6,4.5,5.8,8.0\nS1,1,2,3,4\n",  # magnitudes in bands
        "id,1,2\nA,3,4\n",
        "Source_ID;1;2\nA;3;4\n",
        "No.,1,2,remark\nA,3,4,\n",
        "line,1,2\n5,3,4\n",  # a number below the text
    ],
)
def test_names_that_are_numbers_are_names_below_a_usual_one(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    table = read_catalog(path)
    header, row = text.splitlines()
    separator = ";" if ";" in text else ","
    assert table.colnames == header.split(separator)
    assert len(table) == 1
    assert str(table[table.colnames[1]][0]) == row.split(separator)[1]


def test_a_comment_of_another_sign_names_nothing(tmp_path):
    path = tmp_path / "t.mycat"
    path.write_text("! MYCAT\n! id;x;y;mag\n0;29.832;1.171;15.78\n1;656.492;3;16.45\n")
    with pytest.raises(InputError) as caught:
        read_catalog(path)
    assert str(caught.value).endswith(
        "as CSV it has the columns col1 (0), col2 (29.832), col3 (1.171), col4 (15.78); say which are x "
        "and y, such as `catalog_format='CSV', x_col='col2', y_col='col3', origin=1`"
    )
    table = read_catalog(path, format="csv")
    assert table.colnames == ["col1", "col2", "col3", "col4"]
    np.testing.assert_allclose(positions(table, "col2", "col3", 1), ([28.832, 655.492], [0.171, 2]))
    shown = (
        r"it has col1 \(0\), col2 \(29.832\), col3 \(1.171\), col4 \(15.78\); name them by "
        r"`x_col='col2', y_col='col3'`"
    )
    with pytest.raises(InputError, match=shown):
        positions(table)


def test_values_and_names_reach_a_terminal_without_its_control_characters(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("S\x1b[2J 1.5 2.5\nS2 3.5 4.5\n")
    with pytest.raises(InputError) as caught:
        positions(read_catalog(path))
    assert r"it has col1 ('S\x1b[2J'), col2 (1.5), col3 (2.5); name" in str(caught.value)
    with pytest.raises(InputError) as caught:
        read_catalog(path.rename(tmp_path / "t.unknown"))
    assert r"the columns col1 ('S\x1b[2J'), col2 (1.5), " in str(caught.value)
    path.write_text("a\x1b[2J,b\x07\n1.5,2.5\n")
    with pytest.raises(InputError) as caught:
        positions(read_catalog(path))
    assert r"it has 'a\x1b[2J' (1.5), 'b\x07' (2.5); name" in str(caught.value)
    with pytest.raises(InputError) as caught:
        positions(read_catalog(path), "x", "y")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("sign", ["#", "%", "//"])
def test_comments_of_every_sign(tmp_path, sign):
    path = tmp_path / "t.txt"
    path.write_text(f"{sign} saved by a program\n{sign} id x y\n007 1.5 2.5\n{sign}8 3.5 4.5\n009 5 6\n")
    table = read_catalog(path)
    # Between rows only one is a comment; another may be the name of a row.
    assert table["id"].tolist() == ["007", *([] if sign == "#" else [f"{sign}8"]), "009"]
    table["rb_status"] = np.arange(len(table))
    assert written_back(path, table, tmp_path / "o.txt").decode().splitlines()[:3] == [
        f"{sign} saved by a program",
        f"{sign} id x y rb_status",
        "007 1.5 2.5 0",
    ]


@pytest.mark.parametrize("above", ["My results", "My results;;", ";;", "My results\n", ";;\n;;"])
def test_what_spreadsheets_have_above_the_names(tmp_path, above):
    path = tmp_path / "t.csv"
    path.write_text(f"{above}\nid;x;y\n007;1,5;2,5\n008;3,5;4,5\n")
    table = read_catalog(path)
    assert table["id"].tolist() == ["007", "008"]
    np.testing.assert_array_equal(positions(table), ([1.5, 3.5], [2.5, 4.5]))
    assert written_back(path, table, tmp_path / "o.csv") == path.read_bytes()


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize(
    "above",
    [
        ["Observatory log, 2012-06-16", "observer A. B. Cee and others"],
        ["one two three four five", "a | b; c d", "", "# x y"],
    ],
)
def test_free_text_above_the_names_is_passed_over_and_told(tmp_path, caplog, above, separator):
    path = tmp_path / "t.txt"
    body = [separator.join(("name", "x", "y", "mag"))]
    body += [separator.join((f"s{k}", f"{k + 0.5}", f"{2 * k}", "12.5")) for k in range(4)]
    path.write_text("\n".join([*above, *body]) + "\n")
    table = read_catalog(path, "CSV")
    assert table.colnames == ["name", "x", "y", "mag"]
    np.testing.assert_array_equal(table["x"], [0.5, 1.5, 2.5, 3.5])
    n = len([line for line in above if line and not line.startswith("#")])
    assert f"{n} line(s) above the names are taken for free text" in caplog.text
    table["rb_score"] = 0.5
    out = written_back(path, table, tmp_path / "out.txt").decode()
    assert out.splitlines()[: len(above)] == above


@pytest.mark.parametrize(
    "text",
    [
        "name,x,y,comment\nA,n/a,none\nB,1,2\nC,2,3\n",
        "name;x;y;q;comment\nunit;pix;px;bits\n1;2;3;4\n5;6;7;8\n",
    ],
)
def test_names_of_rows_that_leave_out_cells_are_no_free_text(tmp_path, caplog, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    table = read_catalog(path)
    assert table.colnames[:3] == ["name", "x", "y"]
    assert len(table) == 3
    assert "free text" not in caplog.text


def test_a_cell_may_be_longer_than_any_free_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y,outline\n" + "".join(f"{k},{2 * k},{'1 2 ' * 35_000}\n" for k in range(3)))
    table = read_catalog(path)
    np.testing.assert_array_equal(table["y"], [0, 2, 4])


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("x,y,name\n1,2,a\n3,4,b\n", 2),
        ("x,y,name,flag\nlong,words,of,text\n1,2\n", 2),
        ("a,b,c\nd,e\nf,g\n", 2),
        ("1,2,3\n4,5,6\n", 2),
    ],
)
def test_names_and_rows_are_not_taken_for_free_text(tmp_path, caplog, text, n):
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert len(read_catalog(path, "CSV")) == n
    assert "free text" not in caplog.text
    path.write_text("x,y\n1,2\n3,4,5\n")
    with pytest.raises(InputError, match="row 2 has 3 cells"):
        read_catalog(path, "CSV")


def test_comments_and_empty_lines_between_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\n# first\nx,y\n\n1,2\n# between\n3,4\n\n# end\n")
    np.testing.assert_array_equal(positions(read_catalog(path)), ([1, 3], [2, 4]))


@pytest.mark.parametrize("quote", ["", '"'])
def test_comments_that_look_like_rows_are_told(tmp_path, caplog, quote):
    path = tmp_path / "t.csv"
    path.write_text(f"x,y,{quote}n{quote}\n1,2,a\n# 3,4,b\n#5,6,c\n# end\n7,8,d\n")
    np.testing.assert_array_equal(positions(read_catalog(path)), ([1, 7], [2, 8]))
    assert ("t.csv: 2 lines that begin with # are no rows" in caplog.text) == (quote == "")


def test_what_spreadsheets_write_for_no_value_is_no_comment(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,2\n#N/A,4\n#DIV/0!,6\n7,8\n")
    np.testing.assert_array_equal(positions(read_catalog(path)), ([1, np.nan, np.nan, 7], [2, 4, 6, 8]))


def test_within_quotes_nothing_is_a_comment(tmp_path):
    path = tmp_path / "t.csv"
    text = 'x,y,note\n1,2,"a\n\n# b\n"\n# a comment with one "\n\n3,4,c\n'
    path.write_text(text)
    table = read_catalog(path)
    assert table["note"].tolist() == ["a\n\n# b\n", "c"]
    table["rb_status"] = [0, 1]
    expected = 'x,y,note,rb_status\n1,2,"a\n\n# b\n",0\n3,4,c,1\n'
    assert written_back(path, table, tmp_path / "o.csv").decode() == expected


def test_rows_that_begin_as_comments_do(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,x,y\n#1,1,2\n#2,3,4\n")
    table = read_catalog(path)
    assert table["id"].tolist() == ["#1", "#2"]
    np.testing.assert_array_equal(positions(table), ([1, 3], [2, 4]))
