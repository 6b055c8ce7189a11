"""Headers of ECSV without Astropy's tables are those that Astropy writes, to the byte."""

import subprocess
import sys
from io import StringIO

import numpy as np
import pytest
from astropy.table import Table

from rbinfer.errors import InputError
from rbinfer.io.ecsv_header import plain_header
from rbinfer.io.records import Records
from rbinfer.io.tables import read_catalog, read_in_kind, write_catalog

META = {
    "rb_model": "default",
    "rb_version": "9",
    "rb_threshold": 0.5,
    "rb_small": 1e-17,
    "rb_large": 1e17,
    "rb_nan": float("nan"),
    "rb_inf": float("-inf"),
    "rb_npsf": 128,
    "rb_yes": True,
    "rb_none": None,
    "rb_real": ["star", "galaxy"],
    "rb_empty": "",
    "rb_words": "on",
    "rb_date": "2026-11-29",
    "rb_image": "/night/größe '1': #2/" + "a b " * 60 + ".fits",
    "rb_lines": "one\ntwo\u2028three\ttab",
    "rb_opts": '{"hdu": "all"}',
    "rb_colon": "a: b",
    "rb_list": [],
}


def columns(n):
    return {
        "y": np.linspace(0, 1, n),
        "n": np.arange(n, dtype=np.int32),
        "u": np.arange(n, dtype=np.uint8),
        "f": np.linspace(0, 1, n).astype(np.float32),
        "is_it": np.arange(n) % 2 == 0,
        "rb_class": np.array(["star", "", "trail"])[np.arange(n) % 3],
        "ra": np.linspace(0, 360, n),
    }


def both(n, meta, **more):
    """Return the same rows as records and as a table."""
    records = Records.of(columns(n) | more)
    records.meta.update(meta)
    records["ra"].unit = "deg"
    table = Table(columns(n) | more, meta=meta)
    table["ra"].unit = "deg"
    return records, table


@pytest.mark.parametrize("n", [0, 1, 5, 20_000])
@pytest.mark.parametrize("meta", [{}, META], ids=["bare", "meta"])
def test_rows_are_written_to_the_byte_as_a_table(tmp_path, n, meta):
    records, table = both(n, meta)
    for rows, name in ((records, "r.ecsv"), (table, "t.ecsv")):
        write_catalog(rows, tmp_path / name)
    assert (tmp_path / "r.ecsv").read_bytes() == (tmp_path / "t.ecsv").read_bytes()
    assert read_catalog(tmp_path / "r.ecsv").colnames == table.colnames


def test_the_header_is_the_one_of_astropy():
    _, table = both(0, META)
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    told = [
        (name, "string" if column.dtype.kind == "U" else column.dtype.name, column.unit and "deg")
        for name, column in table.columns.items()
    ]
    assert plain_header(told, META) == text.getvalue()


@pytest.mark.parametrize(
    ("meta", "more"),
    [
        ({"rb_pair": (1, 2)}, {}),
        ({"rb_number": np.float64(1.5)}, {}),
        ({"rb_deep": {"a": [1]}}, {}),
        ({}, {"two words": np.arange(4)}),
        ({}, {"text": np.array(["a b", "c", '"', "é"])}),
        ({}, {"wide": np.arange(8.0).reshape(4, 2)}),
    ],
)
def test_what_is_not_plain_is_left_to_astropy(tmp_path, meta, more):
    records, table = both(4, meta, **more)
    if meta:
        assert plain_header([("x", "float64", None)], meta) is None
    for rows, name in ((records, "r.ecsv"), (table, "t.ecsv")):
        write_catalog(rows, tmp_path / name)
    assert (tmp_path / "r.ecsv").read_bytes() == (tmp_path / "t.ecsv").read_bytes()


def test_rows_of_a_fits_file_are_not_written_as_text(tmp_path):
    Table({"x": [1.0], "y": [2.0]}).write(tmp_path / "a.fits")
    [(_, records)] = read_in_kind(tmp_path / "a.fits", None, tmp_path / "b.fits")
    assert not records.are_new
    with pytest.raises(InputError, match=r"cannot be written to b\.ecsv \(ECSV\)"):
        write_catalog(records, tmp_path / "b.ecsv")


def test_astropy_is_not_imported(tmp_path):
    code = f"""
import sys
import numpy as np
from rbinfer.io.records import Records
from rbinfer.io.tables import write_catalog
records = Records.of({{"x": np.arange(3.0), "rb_class": np.array(["star", "", "trail"])}})
records.meta["rb_model"] = "default"
write_catalog(records, {str(tmp_path / "a.ecsv")!r})
print(any(name.startswith("astropy") for name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
