"""Plain ECSV read by column is what Astropy reads of it, and anything else is left to Astropy."""

import re
from io import StringIO

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbinfer.errors import InputError
from rbinfer.io import ecsv
from rbinfer.io.tables import read_catalog

HEAD = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: n, datatype: int64}
# - {name: x, datatype: float64, unit: pix}
# - {name: t, datatype: string}
# schema: astropy-2.0
n x t
"""


@pytest.fixture
def by_column(monkeypatch):
    """How the rows of each file were read: True for by column."""
    found = []
    original = ecsv.read_rows

    def told(*arguments):
        table = original(*arguments)
        found.append(table is not None)
        return table

    monkeypatch.setattr(ecsv, "read_rows", told)
    return found


def as_text(table):
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


def check_same(got, expected):
    assert got.colnames == expected.colnames
    assert got.meta == expected.meta
    assert type(got) is type(expected)
    for name in expected.colnames:
        one, other = got[name], expected[name]
        assert type(one) is type(other)
        assert one.dtype == other.dtype
        assert np.ma.getmaskarray(one).tolist() == np.ma.getmaskarray(other).tolist()
        assert np.ma.getdata(one).tobytes() == np.ma.getdata(other).tobytes()
        for attribute in ("unit", "format", "description", "meta"):
            assert getattr(one, attribute) == getattr(other, attribute)


TEXTS = st.text(alphabet=st.sampled_from("ab#',;üx\N{GRINNING FACE}"), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False), st.floats(width=32, allow_nan=False),
            st.integers(-(2**53) + 1, 2**53 - 1), TEXTS, st.booleans(), st.integers(0, 255),
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_what_is_written_comes_back_as_astropy_reads_it(tmp_path, by_column, rows):
    doubles, singles, wholes, texts, flags, bytes_ = zip(*rows, strict=True)
    table = Table(
        {
            "x": np.array(doubles), "s": np.array(singles, np.float32), "n": np.array(wholes),
            "t": np.array(texts, np.str_), "b": np.array(flags), "u": np.array(bytes_, np.uint8),
        },
        meta={"rb_image": "a.fits", "k": [1, 2]},
    )  # fmt: skip
    table["x"].unit, table["x"].format, table["t"].description = u.pix, "%.3f", "what it is"
    table["n"].meta["a"] = 1
    path = tmp_path / "t.ecsv"
    path.write_text(as_text(table))
    by_column.clear()
    got = read_catalog(path)
    check_same(got, Table.read(path, format="ascii.ecsv"))
    assert by_column == [True]


def test_numbers_that_are_none(tmp_path, by_column):
    path = tmp_path / "t.ecsv"
    path.write_text(HEAD + "1 nan a\n2 inf b\n3 -inf c\n4 -0.0 d\n5 1e-320 e\n")
    check_same(read_catalog(path), Table.read(path, format="ascii.ecsv"))
    assert by_column == [True]


@pytest.mark.parametrize(
    "rows",
    [
        '1 1.5 "a b"\n2 2.5 c\n', '1 "" a\n2 2.5 b\n', '"" 1.5 a\n2 2.5 b\n', "1 1.5  a\n2 2.5 b\n",
        "1 1.5 a\n# 2 2.5 b\n3 3.5 c\n", "1 1.5 a\n\n2 2.5 b\n", " 1 1.5 a\n", "1 1.5 a\t\n",
        '1 1.5 "a""b"\n', '1 1.5 a"b\n', "1_0 1.5 a\n",
    ],
    ids=[
        "quoted", "masked number", "masked whole", "two blanks", "comment", "empty line", "blank before",
        "tab", "quotes", "a quote", "underscore",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_astropy(tmp_path, by_column, rows):
    path = tmp_path / "t.ecsv"
    path.write_text(HEAD + rows)
    check_same(read_catalog(path), Table.read(path, format="ascii.ecsv"))
    assert True not in by_column


def test_large_integers_lose_no_digit(tmp_path, by_column):
    path = tmp_path / "t.ecsv"
    path.write_text(
        HEAD + "9007199254740993 1.5 a\n-9223372036854775808 2.5 b\n9223372036854775807 3 c\n"
    )
    assert read_catalog(path)["n"].tolist() == [2**53 + 1, -(2**63), 2**63 - 1]
    assert by_column == [True]


def check_named(tmp_path, cell, column, kind, delimiter=" ", above=()):
    """A table whose last row has another cell in a column is refused, and why."""
    table = Table({"n": [1, 2, 3], "x": [1.5, 2.5, 3.5], "k": np.array([4, 5, 6], np.uint8)})
    text = StringIO()
    table.write(text, format="ascii.ecsv", delimiter=delimiter)
    lines = text.getvalue().splitlines()
    cells = lines[-1].split(delimiter)
    cells[table.colnames.index(column)] = cell
    lines[-1:] = [*above, delimiter.join(cells)]
    path = tmp_path / "t.ecsv"
    path.write_text("\n".join(lines) + "\n")
    told = f"t.ecsv cannot be read as ECSV: row 3, column {column}: '{cell}' is no {kind}"
    with pytest.raises(InputError, match=re.escape(told)):
        read_catalog(path)


@pytest.mark.parametrize(
    ("cell", "column", "kind"),
    [
        ("1e3", "n", "int64"), ("1.0", "n", "int64"), ("9223372036854775808", "n", "int64"),
        ("0x10", "n", "int64"), ("1e3", "k", "uint8"), ("256", "k", "uint8"), ("-1", "k", "uint8"),
        ("1.5.2", "x", "float64"), ("one", "x", "float64"),
    ],
)  # fmt: skip
def test_a_cell_of_another_type_is_named(tmp_path, cell, column, kind):
    check_named(tmp_path, cell, column, kind)


@pytest.mark.parametrize(("cell", "column", "kind"), [("1e3", "n", "int64"), ("one", "x", "float64")])
@pytest.mark.parametrize("layout", [{"delimiter": ","}, {"above": ["# a remark", ""]}], ids=str)
def test_and_where_astropy_reads_the_rows(tmp_path, cell, column, kind, layout):
    check_named(tmp_path, cell, column, kind, **layout)


@pytest.mark.parametrize("rows", ["1.5 1.5 a\n", "1 1.5\n", "1 1.5 a b\n", "x 1.5 a\n", "1 1.5 a\n2\n"])
def test_what_astropy_refuses_is_refused(tmp_path, rows):
    path = tmp_path / "t.ecsv"
    path.write_text(HEAD + rows)
    with pytest.raises(InputError, match=r"t.ecsv cannot be read as ECSV: "):
        read_catalog(path)


@pytest.mark.parametrize(
    "columns",
    [
        {"a": np.ones((2, 3))},
        {"k": MaskedColumn([1, 2], mask=[True, False])},
        {"h": np.array([1, 2], np.float16)},
        {"a b": [1, 2]},
    ],
    ids=["arrays", "masked", "16 bits", "name in quotes"],
)
def test_other_columns_are_left_to_astropy(tmp_path, by_column, columns):
    path = tmp_path / "t.ecsv"
    path.write_text(as_text(Table({"x": [1.5, 2.5], **columns})))
    check_same(read_catalog(path), Table.read(path, format="ascii.ecsv"))
    assert True not in by_column


def test_without_rows_and_without_the_last_line_feed(tmp_path, by_column):
    path = tmp_path / "t.ecsv"
    path.write_text(HEAD)
    assert len(read_catalog(path)) == 0
    path.write_text(HEAD + "1 1.5 a\n2 2.5 b")
    check_same(read_catalog(path), Table.read(path, format="ascii.ecsv"))
    assert by_column == [True]
