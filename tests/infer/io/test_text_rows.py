"""Rows as text: the bytes of Astropy's, NumPy's and Python's writers, by the kernel and without it."""

from fractions import Fraction
from io import StringIO

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table
from astropy.time import Time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbinfer.io import text_rows
from rbinfer.io.ecsv import stream_ecsv, write_ecsv
from rbinfer.io.tables import read_catalog, write_catalog
from rbinfer.io.text_rows import BLOCK, Layout, has_digits, joined, texts_of

SEED = 8
REALS = [
    0.0,
    -0.0,
    np.nan,
    np.inf,
    -np.inf,
    5e-324,
    1e-323,
    1.5e-323,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    9999999999999998.0,
    1e16,
    1e-4,
    9.999e-5,
    1e22,
    1e23,
    4.35,
    -1.5,
    2.0**53 + 2,
    123456.0,
    1e6,
    999999.94,
    1e15,
    100.0,
]


@pytest.fixture(params=["by the kernel", "by Python"])
def way(request, monkeypatch, kernels_as_library):
    """Both ways of writing."""
    by_kernel = request.param == "by the kernel"
    assert text_rows._has_kernel()
    monkeypatch.setattr(text_rows, "_has_kernel", lambda: by_kernel)
    return request.param


def written(*columns, **layout):
    return joined(columns, Layout(**layout)).decode()


def cells(values):
    return written(values).split("\n")[:-1]


def astropys(table):
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def of_bits(dtype, n):
    """Real numbers of any bits; those of 32 as well."""
    size = np.dtype(dtype).itemsize
    return np.random.default_rng(SEED).integers(0, 2 ** (8 * size), n, f"u{size}").view(dtype)


@pytest.mark.parametrize(
    "values",
    [
        np.array(REALS),
        of_bits("f8", 100_000),
        2.0 ** np.arange(-1074, 1024),
        -(2.0 ** np.arange(-50, 50)),
        np.random.default_rng(SEED).uniform(0, 4096, 20_000).round(3),
        10.0 ** np.arange(-323, 309),
        np.nextafter(10.0 ** np.arange(-323, 309), 0.0),
        np.arange(5000) / 100,
        2.0**52 + np.arange(2000) / 2,
    ],
    ids=["special", "bits", "two", "minus two", "rounded", "ten", "below ten", "cents", "large"],
)
def test_reals_of_64_bits_are_pythons(way, values):
    assert cells(values) == list(map(repr, values.tolist()))


@pytest.mark.parametrize("kind", ["special", "bits", "two", "scores"])
def test_reals_of_32_bits_are_numpys(way, kind):
    with np.errstate(all="ignore"):
        values = {
            "special": np.array(REALS, np.float32),
            "bits": of_bits("f4", 100_000),
            "two": (2.0 ** np.arange(-149, 128)).astype(np.float32),
            "scores": np.random.default_rng(SEED).random(20_000).astype(np.float32),
        }[kind]
        assert cells(values) == [str(value) for value in values]


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">i8"])
def test_whole_numbers(way, dtype):
    bounds = np.iinfo(dtype)
    values = np.array([0, 1, 9, 10, 99, 100, bounds.min, bounds.max, bounds.max // 3], dtype)
    assert has_digits(values) is (dtype != "u8")
    given = values if has_digits(values) else texts_of(values)
    assert cells(given) == [str(value) for value in values.tolist()]


@pytest.mark.parametrize("dtype", ["?", "f2", "g"])
def test_other_numbers_are_left_to_numpy(tmp_path, way, dtype):
    values = np.array([0, 1, 1], dtype)
    assert not has_digits(values)
    table = Table({"x": values, "y": [1.5, 2.5, 3.5]})
    write_ecsv(table, tmp_path / "t.ecsv")
    assert (tmp_path / "t.ecsv").read_bytes() == astropys(table)


def test_layout(way):
    x, y = np.array([1.5, -2e-7, np.nan]), np.array([3, 4, 5], np.int16)
    text = ["a", "ü\N{GRINNING FACE}", ""]
    assert (
        written(x, text, y, separator=";", point=",") == "1,5;a;3\n-2e-07;ü\N{GRINNING FACE};4\nnan;;5\n"
    )
    assert written(np.array([1.25e-7]), separator=";", point=",") == "1,25e-07\n"
    assert written(text, separator="§") == "a\nü\N{GRINNING FACE}\n\n"
    assert written(x, text, separator="§").startswith("1.5§a\n")
    assert joined([x[:0], []], Layout()) == b""


def test_texts_too_long_for_the_kernel(way):
    texts = ["x" * (2**20 - 1), "y" * 2**20]
    assert written(texts, np.array([1, 2])) == f"{texts[0]} 1\n{texts[1]} 2\n"


MARKS = st.text(alphabet=st.sampled_from("ab #\"',;\tü\N{GRINNING FACE}x"), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.floats(width=64),
            st.floats(width=32),
            st.integers(-(2**63), 2**63 - 1),
            MARKS,
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_ecsv_is_astropys(tmp_path, way, rows, masks):
    doubles, singles, wholes, texts, flags = zip(*rows, strict=True)
    mask = masks[: len(rows)]
    table = Table(
        {
            "x": np.array(doubles),
            "s": np.array(singles, np.float32),
            "n": np.array(wholes, np.int64),
            "t": np.array(texts, np.str_),
            "b": np.array(flags),
            "mx": MaskedColumn(doubles, mask=mask),
            "mt": MaskedColumn(np.array(texts, np.str_), mask=mask),
            "mn": MaskedColumn(wholes, mask=mask, dtype=np.int64),
        },
        meta={"rb_image": "a.fits"},
    )
    table["x"].unit, table["s"].format = u.pix, "%.2f"
    write_ecsv(table, tmp_path / "t.ecsv")
    assert (tmp_path / "t.ecsv").read_bytes() == astropys(table)


@pytest.mark.parametrize("n", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_blocks_leave_no_trace(tmp_path, way, n):
    rng = np.random.default_rng(n)
    names = np.array(["star", "", "cosmic ray"])[rng.integers(0, 3, n)]
    table = Table({"x": rng.normal(size=n), "k": np.arange(n), "name": names})
    write_ecsv(table, tmp_path / "t.ecsv")
    assert (tmp_path / "t.ecsv").read_bytes() == astropys(table)
    write_catalog(table, tmp_path / "t.csv")
    lines = ["x,k,name", *(f"{x},{k},{name}" for x, k, name in table.iterrows())]
    assert (tmp_path / "t.csv").read_text() == "\n".join(lines) + "\n"


def test_a_table_of_one_column_of_texts(tmp_path, way):
    table = Table({"name": ["a", "", "b c"]})
    write_ecsv(table, tmp_path / "t.ecsv")
    assert (tmp_path / "t.ecsv").read_bytes() == astropys(table)
    write_catalog(table, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == 'name\na\n""\nb c\n'
    assert read_catalog(tmp_path / "t.ecsv")["name"].tolist() == ["a", None, "b c"]


def test_what_is_not_plain_is_left_to_astropy(tmp_path, way):
    kept = MaskedColumn([1, 2], mask=[True, False])
    kept.info.serialize_method["ecsv"] = "data_mask"
    for columns in ({"t": Time([60000.0, 60001.0], format="mjd")}, {"a": np.ones((2, 3))}, {"k": kept}):
        table = Table({"x": [1.5, 2.5], **columns})
        (tmp_path / "t.ecsv").unlink(missing_ok=True)
        write_ecsv(table, tmp_path / "t.ecsv")
        assert (tmp_path / "t.ecsv").read_bytes() == astropys(table)


def test_many_tables_as_one(tmp_path, way):
    table = Table(
        {"x": np.arange(10) / 3, "name": [f"n {k}" for k in range(10)]}, meta={"rb_image": "a"}
    )
    stream_ecsv(table[:0], 10, [table[:4], table[4:]], tmp_path / "t.ecsv")
    assert (tmp_path / "t.ecsv").read_bytes() == astropys(table)


def test_reals_of_32_bits_as_other_releases_of_numpy_lay_them_out(monkeypatch, kernels_as_library):
    """Up to NumPy 2.2 all reals have an exponent from 1e16 on only."""
    monkeypatch.setattr(text_rows, "_most_of_single", lambda: 16)
    values = np.array([1048576, 1.5e15, 1e16, 9.5e5], np.float32)
    assert cells(values) == ["1048576.0", "1500000000000000.0", "1e+16", "950000.0"]


@pytest.mark.parametrize("power", [-292, -291, -1, 0, 1, 28, 37, 38, 324])
def test_powers_of_ten_are_the_next_above(power):
    high, low = map(int, text_rows._powers()[power + 292])
    exact = Fraction(10) ** power
    while exact < 2**125:
        exact *= 2
    while exact >= 2**126:
        exact /= 2
    assert high < 2**63 > low
    assert (high << 63 | low) == exact // 1 + 1
