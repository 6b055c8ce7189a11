import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from rbinfer._util.wording import in_options
from rbinfer.errors import InputError, RbinferError
from rbinfer.io.positions import find_positions, positions
from rbinfer.io.tables import as_table, read_catalog, write_catalog

SEXTRACTOR = """\
#   1 NUMBER                 Running object number
#   2 X_IMAGE                Object position along x      [pixel]
#   3 Y_IMAGE                Object position along y      [pixel]
#   4 FLAGS                  Extraction flags
         1    101.5      7.25   0
         2     33.0     12.00  16
"""


@pytest.mark.parametrize(
    ("names", "origin"),
    [
        (("x", "y"), 0),
        (("x_centroid", "y_centroid"), 0),
        (("xcentroid", "ycentroid"), 0),
        (("XWIN_IMAGE", "YWIN_IMAGE"), 1),
        (("X_IMAGE", "Y_IMAGE"), 1),
    ],
)
def test_positions_by_alias(names, origin):
    table = Table({names[1]: np.array([5, 6], ">i4"), names[0]: np.array([1.5, 2.5], ">f4")})
    x, y = positions(table)
    assert x.dtype == y.dtype == np.float64
    np.testing.assert_array_equal(x, np.array([1.5, 2.5]) - origin)
    np.testing.assert_array_equal(y, np.array([5.0, 6.0]) - origin)
    # The caller may know better.
    np.testing.assert_array_equal(positions(table, origin=0)[0], [1.5, 2.5])


def test_positions_fixed_order_and_pairs_only():
    table = Table({"X_IMAGE": [9.0], "Y_IMAGE": [9.0], "x": [1.0], "XWIN_IMAGE": [3.0]})
    table["YWIN_IMAGE"] = [4.0]
    assert [v[0] for v in positions(table)] == [2.0, 3.0]
    table["y"] = [7.0]
    assert [v[0] for v in positions(table)] == [1.0, 7.0]


def test_positions_named_columns():
    table = Table({"col": [4.0], "row": [5.0], "X_IMAGE": [1.0], "Y_IMAGE": [2.0]})
    assert [v[0] for v in positions(table, "col", "row")] == [4.0, 5.0]
    assert [v[0] for v in positions(table, "col", "row", origin=1)] == [3.0, 4.0]
    assert [v[0] for v in positions(table, "X_IMAGE", "Y_IMAGE")] == [0.0, 1.0]
    with pytest.raises(
        InputError, match=r"no column colour; it has col, row, X_IMAGE, Y_IMAGE; did you mean col\?"
    ):
        positions(table, "colour", "row")
    with pytest.raises(InputError, match="both position columns or none"):
        positions(table, "col")
    with pytest.raises(InputError, match="0 or 1, not 2"):
        positions(table, "col", "row", origin=2)


def test_positions_masked_rows_are_nan():
    table = Table({"x": MaskedColumn([1, 2, 3], mask=[0, 1, 0]), "y": [1.0, np.nan, np.inf]})
    x, y = positions(table)
    np.testing.assert_array_equal(x, [1, np.nan, 3])
    np.testing.assert_array_equal(y, [1, np.nan, np.inf])
    masked = QTable({"x": Masked([1.0, 2.0] * u.pix, mask=[False, True]), "y": [1, 2] * u.pix})
    np.testing.assert_array_equal(positions(masked)[0], [1, np.nan])


@pytest.mark.parametrize("unit", ["pix", "pixel", "pixels", "PIXEL", "px", ""])
def test_positions_accepts_pixel_units(unit):
    table = Table({"x": [1.0], "y": [2.0]})
    table["x"].unit = u.Unit(unit, parse_strict="silent")
    assert positions(table)[0][0] == 1.0


@pytest.mark.parametrize("cls", [Table, QTable])
def test_positions_refuses_other_units(cls):
    with pytest.raises(InputError, match="column y is in arcsec, not in pixels"):
        positions(cls({"x": [1.0] * u.pix, "y": [2.0] * u.arcsec}))


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (
            ["1", "b"],
            "column x must hold one number a row, but it holds text or other objects, such as '1'",
        ),
        (np.array([{1}, 2], dtype=object), r"but it holds text or other objects, such as '\{1\}'"),
        ([True, False], "but it holds truth values"),
        ([1j, 2j], "but it holds complex numbers"),
        (np.zeros((2, 3)), r"but it holds arrays of shape \(3,\)"),
    ],
)
def test_positions_refuses_what_is_no_number(column, text):
    with pytest.raises(InputError, match=text):
        positions(Table({"x": column, "y": [1.0, 2.0]}))


def test_positions_absent_names_what_is_there():
    # A name says more than that numbers have fractions: none is recommended.
    for names in (("ra", "dec"), ("ra_gaia", "dec_gaia"), ("flux", "mag"), ("42.19", "65.76")):
        with pytest.raises(InputError) as caught:
            positions(Table([[1.5], [2.5]], names=names))
        assert str(caught.value).endswith(
            f"; ...); it has {names[0]} (1.5), {names[1]} (2.5); name them by `x_col` and `y_col`, with "
            "`origin=1` if the first pixel is called 1"
        )
    with pytest.raises(InputError, match=r"called 1; for positions on the sky rename ra_gaia, dec_gaia"):
        find_positions(Table({"ra_gaia": [1.5], "dec_gaia": [2.5]}))
    with pytest.raises(InputError, match="it has no columns"):
        positions(Table())


def test_positions_absent_names_what_may_be_meant():
    with pytest.raises(InputError, match=r"may be meant is XPIX, YPIX: name them by `x_col='XPIX', y_"):
        positions(Table({"XPIX": [1.0], "YPIX": [2.0], "mag": [3.0]}))
    with pytest.raises(InputError, match=r"xpix, ypix or XWIN, YWIN: name them by `x_col='xpix'"):
        positions(Table({"xpix": [1.0], "XWIN": [1.0], "YWIN": [2.0], "ypix": [2.0]}))
    with pytest.raises(InputError) as caught:
        positions(Table({"x [pix]": [1.0], "y [pix]": [2.0]}))
    assert "--x-col 'x [pix]' --y-col 'y [pix]'" in in_options(str(caught.value))
    # Text is no candidate.
    with pytest.raises(InputError, match=r"it has X1 \(a\), Y1 \(b\); name them"):
        positions(Table({"X1": ["a"], "Y1": ["b"]}))


def test_positions_of_an_empty_catalogue():
    x, y = positions({"x": np.zeros(0), "y": np.zeros(0)})
    assert x.shape == y.shape == (0,)


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: Table({"x": x, "y": y}),
        lambda x, y: QTable({"x": x, "y": y}),
        lambda x, y: {"x": x, "y": y},
        lambda x, y: np.rec.fromarrays([x, y], names="x,y"),
        lambda x, y: np.array(list(zip(x, y, strict=True)), dtype=[("x", ">f4"), ("y", "<f8")]),
    ],
)
def test_as_table_is_a_copy(make):
    original = make(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    table = as_table(original)
    table["x"][0] = 99.0
    table["new"] = 1
    assert original["x"][0] == 1.0
    np.testing.assert_array_equal(positions(original)[1], [3.0, 4.0])


def test_as_table_keeps_kind_units_masks_meta_and_order():
    table = QTable({"flux": [1.0] * u.Jy, "y": [1], "x": [2]}, meta={"night": 3})
    got = as_table(table)
    assert isinstance(got, QTable)
    assert got.colnames == ["flux", "y", "x"]
    assert got["flux"].unit == u.Jy
    assert got.meta == {"night": 3}


def test_as_table_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1.0, 2.0], "y": [3, 4], "name": ["a", "bc"]}, index=[7, 8])
    table = as_table(frame)
    assert table.colnames == ["x", "y", "name"]
    assert table["name"].dtype.kind == "U"
    np.testing.assert_array_equal(positions(frame)[1], [3.0, 4.0])


@pytest.mark.parametrize("wrong", [None, 5, "table", [1, 2], np.zeros((3, 2))])
def test_as_table_refuses(wrong):
    with pytest.raises(InputError, match="catalogue must be a table"):
        as_table(wrong)


def test_as_table_refuses_columns_of_different_length():
    with pytest.raises(InputError, match="cannot be made a table"):
        as_table({"x": [1, 2], "y": [1, 2, 3]})


def sample():
    table = Table({"name": ["a", "bcd"], "n": [1, 2], "x": [1.25, np.nan], "y": [3.5, 4.5]})
    table["rb_score"] = np.array([0.5, np.nan], np.float32)
    return table


@pytest.mark.parametrize(
    "suffix",
    [
        ".ecsv",
        ".csv",
        ".fits",
        ".FITS",
        ".fit",
        ".fits.gz",
        ".vot",
        ".xml",
        ".votable",
        ".parquet",
        ".pq",
    ],
)
def test_round_trip(tmp_path, suffix):
    path = tmp_path / f"a catalogue é{suffix}"
    write_catalog(sample(), path)
    got = read_catalog(path)
    assert got.colnames == sample().colnames
    assert [str(n) for n in got["name"]] == ["a", "bcd"]
    for name in ("n", "x", "y", "rb_score"):
        np.testing.assert_array_equal(np.ma.filled(got[name].astype(float), np.nan), sample()[name])
    # Nothing but the catalogue is left in the folder.
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".vot", ".parquet"])
def test_round_trip_keeps_types_and_units(tmp_path, suffix):
    table = sample()
    table.meta["rb_model"] = "default"
    table["k"] = MaskedColumn([1, 2], mask=[False, True])
    table["x"].unit = u.pix
    table["small"] = np.array([1, 2], np.int16)
    write_catalog(table, tmp_path / f"t{suffix}")
    got = read_catalog(tmp_path / f"t{suffix}")
    assert got["rb_score"].dtype.newbyteorder("=") == np.float32
    assert got["small"].dtype.newbyteorder("=") == np.int16
    assert got["x"].unit == u.pix
    assert got["k"].mask.tolist() == [False, True]
    assert {key.lower(): value for key, value in got.meta.items()}["rb_model"] == "default"


def test_parquet_of_others_with_missing_values(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1.5, 2.5], "y": [1, 2], "s": ["a", None]})
    frame["k"] = pandas.array([7, None], dtype="Int64")
    frame.to_parquet(tmp_path / "p.parquet")
    got = read_catalog(tmp_path / "p.parquet")
    assert got["x"].tolist() == [1.5, 2.5]
    assert got["s"].tolist() == ["a", None]
    assert got["k"].tolist() == [7, None]
    assert got["k"].dtype == np.int64


def test_a_package_that_is_not_installed_is_named(tmp_path):
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from rbinfer.io.tables import read_catalog, write_catalog\n"
        "from astropy.table import Table\n"
        f"write_catalog(Table({{'x': [1.0]}}), {str(tmp_path / 'p.parquet')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (
        'InputError: Parquet needs a package that is not installed: pip install "rbinfer[parquet]"'
        in (done.stderr)
    )
    assert list(tmp_path.iterdir()) == []


def test_fits_keeps_nan_unmasked_and_masks_integers(tmp_path):
    table = sample()
    table["k"] = MaskedColumn([1, 2], mask=[False, True])
    write_catalog(table, tmp_path / "t.fits")
    got = read_catalog(tmp_path / "t.fits")
    assert np.isnan(got["x"][1])
    assert got["k"].mask.tolist() == [False, True]


@pytest.mark.parametrize("name", ["a.fits", "a.cat", "a.ldac"])
def test_read_fits_ldac(tmp_path, name):
    header = fits.BinTableHDU.from_columns(
        [fits.Column("Field Header Card", "80A", array=["x"])], name="LDAC_IMHEAD"
    )
    objects = fits.BinTableHDU(
        Table({"XWIN_IMAGE": [11.0, 21.0], "YWIN_IMAGE": [1.0, 2.0]}), name="LDAC_OBJECTS"
    )
    fits.HDUList([fits.PrimaryHDU(), header, objects]).writeto(tmp_path / name)
    x, y = positions(read_catalog(tmp_path / name))
    np.testing.assert_array_equal(x, [10.0, 20.0])
    np.testing.assert_array_equal(y, [0.0, 1.0])


def test_read_sextractor_ascii(tmp_path):
    (tmp_path / "s.cat").write_text(SEXTRACTOR)
    x, y = positions(read_catalog(tmp_path / "s.cat"))
    np.testing.assert_allclose(x, [100.5, 32.0])
    np.testing.assert_allclose(y, [6.25, 11.0])


def test_read_sextractor_votable_of_any_name(tmp_path):
    write_catalog(Table({"X_IMAGE": [11.0], "Y_IMAGE": [1.5]}), tmp_path / "s.vot")
    (tmp_path / "s.vot").rename(tmp_path / "s.cat")
    x, y = positions(read_catalog(tmp_path / "s.cat"))
    assert (x.tolist(), y.tolist()) == ([10.0], [0.5])


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".cat"])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path, suffix):
    write_catalog(Table({"x": [10.5], "y": [2.0], "name": ["é"]}), tmp_path / "t.ecsv")
    text = {".csv": "x,y,name\n10.5,2.0,é\n", ".ecsv": (tmp_path / "t.ecsv").read_text("utf-8")}
    path = tmp_path / f"marked{suffix}"
    path.write_text(text.get(suffix, SEXTRACTOR), encoding="utf-8-sig")
    table = read_catalog(path)
    assert table.colnames == (
        ["NUMBER", "X_IMAGE", "Y_IMAGE", "FLAGS"] if suffix == ".cat" else ["x", "y", "name"]
    )
    assert len(positions(table)[0]) == (2 if suffix == ".cat" else 1)


def test_read_refuses(tmp_path):
    fits.writeto(tmp_path / "image.fits", np.zeros((3, 3)))
    (tmp_path / "empty.ecsv").write_text("")
    (tmp_path / "text.fits").write_text("not a table")
    (tmp_path / "half.ecsv").write_text("# %ECSV 1.0\n# ---\n# datatype:\n# - {name: x")
    (tmp_path / "junk.vot").write_text("<VOTABLE><RESOURCE><TABLE>")
    (tmp_path / "ragged.csv").write_text("x,y\n1,2\n3\n4,5,6\n")
    (tmp_path / "t.xlsx").write_text("x")
    (tmp_path / "bare.cat").write_text("1 2.0 3.0\n")
    (tmp_path / "sheet.csv").write_bytes(b"PK\x03\x04" + b"\0" * 99)
    wrong = {
        "sheet.csv": "it is a ZIP archive or a spreadsheet; unpack it, or save the sheet as CSV",
        "none.ecsv": "does not exist",
        "empty.ecsv": "is empty",
        "image.fits": "no table extension",
        "text.fits": "cannot be read as FITS: it does not begin as a FITS file",
        "half.ecsv": "cannot be read as ECSV",
        "junk.vot": "cannot be read as VOTable",
        "ragged.csv": "cannot be read as CSV",
        "bare.cat": "as ASCII_HEAD: .*; SExtractor names the columns with CATALOG_TYPE ASCII_HEAD",
        "t.xlsx": r"t.xlsx is of no format that is known \(ECSV, .*CSV\)",
    }
    for name, text in wrong.items():
        with pytest.raises(InputError, match=text) as caught:
            read_catalog(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_write_keeps_existing_output_unless_told(tmp_path):
    path = tmp_path / "out.ecsv"
    path.write_text("precious")
    with pytest.raises(InputError, match=r"out\.ecsv exists and is kept"):
        write_catalog(sample(), path)
    assert path.read_text() == "precious"
    write_catalog(sample(), path, overwrite=True)
    assert len(read_catalog(path)) == 2


def test_write_refuses(tmp_path):
    for name, text in {
        "out.txt": "rows are written as .txt only if they are from a catalogue of CSV too; name a file",
        "out.cat": "out.cat: ASCII_HEAD is read, but not written; name a file of .ecsv, .*.csv",
        "out.x": "suffix of out.x names no catalogue format; written are .ecsv, .fits",
        "no/such/out.fits": "folder .* does not exist",
    }.items():
        with pytest.raises(InputError, match=text):
            write_catalog(sample(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "out.fits"
    write_catalog(sample(), path)
    before = path.read_bytes()
    table = sample()
    table["odd"] = np.array([{}, None], dtype=object)
    with pytest.raises(RbinferError, match=r"out\.fits"):
        write_catalog(table, path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.fits"]


HIDDEN = """\
<?xml version="1.0"?>{entity}
<{v}VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3" xmlns:v="http://www.ivoa.net/xml/VOTable/v1.3">
<{v}RESOURCE><{v}TABLE><{v}FIELD name="x" datatype="double"/><{v}FIELD name="y" datatype="double"/>
<{v}DATA><{v}BINARY>{stream}</{v}BINARY></{v}DATA></{v}TABLE></{v}RESOURCE></{v}VOTABLE>
"""


@pytest.mark.parametrize("prefix", ["", "v:"])
@pytest.mark.parametrize("is_entity", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_votable_opens_no_other_file(tmp_path, prefix, is_entity, encoding):
    np.array([1.5, 2.5], ">f8").tofile(tmp_path / "secret")
    stream = f'<{prefix}STREAM href="file://{tmp_path}/secret"/>'
    entity = f"<!DOCTYPE {prefix}VOTABLE [<!ENTITY s '{stream}'>]>" if is_entity else ""
    text = HIDDEN.format(v=prefix, entity=entity, stream="&s;" if is_entity else stream)
    (tmp_path / "a.vot").write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match=r"rows are elsewhere \(STREAM with href='file:"):
        read_catalog(tmp_path / "a.vot")


TEXTS = """<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>
<FIELD name="x" datatype="double"/><FIELD name="y" datatype="double"/>
<FIELD name="designation" datatype="char" arraysize="*"><DESCRIPTION>a name</DESCRIPTION></FIELD>
<FIELD name="note" datatype="unicodeChar" arraysize="*"/>
<DATA><TABLEDATA><TR><TD>1.5</TD><TD>2</TD><TD>Gaia DR3 12</TD><TD>a</TD></TR>
<TR><TD>3</TD><TD>4</TD><TD></TD><TD></TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""


@pytest.mark.parametrize("suffix", [".fits", ".parquet", ".ecsv", ".vot"])
def test_texts_of_any_length_of_a_votable_are_texts(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / "gaia.vot").write_text(TEXTS, encoding="utf-8")
    table = read_catalog(tmp_path / "gaia.vot")
    assert table["designation"].dtype == "<U11"
    assert table["designation"].description == "a name"
    write_catalog(table, tmp_path / f"out{suffix}")
    again = read_catalog(tmp_path / f"out{suffix}")
    assert np.ma.filled(again["designation"], "").tolist() == ["Gaia DR3 12", ""]
