"""Catalogues in FITS files: what else is in the file, and columns of every kind, come back."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from rbinfer.errors import InputError
from rbinfer.io.content import Content
from rbinfer.io.original import Original
from rbinfer.io.positions import positions
from rbinfer.io.tables import check_output, kind_of, read_catalog, read_catalogs, write_catalog

CARDS = fits.Header({"OBJECT": "field", "EXPTIME": 60.0}).tostring(padding=False)


def imhead():
    column = fits.Column("Field Header Card", f"{len(CARDS)}A", array=np.array([CARDS]))
    return fits.BinTableHDU.from_columns([column], name="LDAC_IMHEAD")


def objects(shift=0.0):
    table = Table({"NUMBER": [1, 2, 3], "X_IMAGE": [11.0, 21.0, 31.0], "Y_IMAGE": [1.5, 2.5, 3.5]})
    table["X_IMAGE"] += shift
    table["X_IMAGE"].unit = u.pix
    return fits.BinTableHDU(table, name="LDAC_OBJECTS")


def ldac(path, tables=1):
    hdus = [fits.PrimaryHDU(header=fits.Header({"ORIGIN": "a telescope"}))]
    for k in range(tables):
        hdus += [imhead(), objects(100.0 * k)]
    fits.HDUList([*hdus, fits.ImageHDU(np.arange(6.0).reshape(2, 3), name="CHECK")]).writeto(path)
    return path


def original(path, rows, number=0):
    return Original(Content(path), kind_of(path).name, number, np.asarray(rows))


@pytest.mark.parametrize("name", ["o.ldac", "o.cat", "o.fits", "o.fit"])
@pytest.mark.parametrize("source", ["a.ldac", "a.cat", "a.fits"])
def test_ldac_is_written_back_with_all_else(tmp_path, source, name):
    path = ldac(tmp_path / source)
    table = read_catalog(path)[[2, 0]]
    table["rb_score"] = np.array([0.25, 0.5], np.float32)
    check_output(tmp_path / name, source=kind_of(path))
    write_catalog(table, tmp_path / name, original=original(path, [2, 0]))
    with fits.open(path) as before, fits.open(tmp_path / name) as after:
        assert [hdu.name for hdu in after] == [hdu.name for hdu in before]
        assert after[0].header["ORIGIN"] == "a telescope"
        assert after[1].data.tobytes() == before[1].data.tobytes()
        assert after[1].header == before[1].header
        np.testing.assert_array_equal(after["CHECK"].data, before["CHECK"].data)
        assert after[2].columns.names == ["NUMBER", "X_IMAGE", "Y_IMAGE", "rb_score"]
    again = read_catalog(tmp_path / name)
    assert again["NUMBER"].tolist() == [3, 1]
    assert again["X_IMAGE"].unit == u.pix
    np.testing.assert_array_equal(positions(again), ([30, 10], [2.5, 0.5]))


def test_one_of_several_tables_is_replaced(tmp_path):
    path = ldac(tmp_path / "a.ldac", tables=3)
    tables = read_catalogs(path)
    assert [name for name, _ in tables] == ["LDAC_OBJECTS"] * 3
    table = tables[1][1]
    table["rb_status"] = np.arange(3, dtype=np.int32)
    write_catalog(table, tmp_path / "o.ldac", original=original(path, range(3), 1))
    after = read_catalogs(tmp_path / "o.ldac")
    assert [t.colnames[-1] for _, t in after] == ["Y_IMAGE", "rb_status", "Y_IMAGE"]
    assert [t["X_IMAGE"][0] for _, t in after] == [11.0, 111.0, 211.0]


def test_ldac_from_nothing_is_refused_before_any_work(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    for source in (None, kind_of(tmp_path / "a.csv")):
        with pytest.raises(InputError, match=r"written as \.ldac only if .* FITS_LDAC too.*\.fits"):
            check_output(tmp_path / "o.ldac", source=source)


@pytest.mark.parametrize(
    ("name", "columns", "first"),
    [
        ("a.axy", ("X", "Y", "FLUX"), 1),
        ("a.xyls", ("X", "Y"), 1),
        ("a.fits", ("x", "y"), 1),
        ("a.corr", ("field_x", "field_y", "index_x", "index_y"), 1),
        ("a.corr", ("field_ra", "field_x", "field_y"), 1),
    ],
)
@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_astrometry_net(tmp_path, name, columns, first, dtype):
    values = np.array([11.0, 21.5, 31.0], dtype)
    hdu = fits.BinTableHDU(Table({column: values for column in columns}))
    hdu.header["AN_FILE"] = "AXY"
    primary = fits.PrimaryHDU(header=fits.Header({"AN_FILE": "AXY", "IMAGEW": 512}))
    fits.HDUList([primary, hdu]).writeto(tmp_path / name)
    table = read_catalog(tmp_path / name)
    np.testing.assert_array_equal(positions(table), (values - first, values - first))
    table["rb_score"] = np.float32(0.5)
    out = tmp_path / f"o{(tmp_path / name).suffix}"
    write_catalog(table, out, original=original(tmp_path / name, range(3)))
    with fits.open(out) as hdus:
        assert hdus[0].header["IMAGEW"] == 512
        assert hdus[1].header["AN_FILE"] == "AXY"
        assert hdus[1].data["rb_score"].tolist() == [0.5] * 3
    # In any other format the first pixel is still what it was.
    for other in ("o.ecsv", "o.vot", "p.fits", "o.parquet"):
        write_catalog(table, tmp_path / other)
        np.testing.assert_array_equal(positions(read_catalog(tmp_path / other))[0], values - first)


def test_lists_of_the_sky(tmp_path):
    hdu = fits.BinTableHDU(Table({"RA": [150.0], "DEC": [2.0]}))
    hdu.header["AN_FILE"] = "RDLS"
    hdu.writeto(tmp_path / "a.rdls")
    table = read_catalog(tmp_path / "a.rdls")
    assert (table["RA"][0], table["DEC"][0]) == (150.0, 2.0)


def sample():
    """Columns of every kind that a FITS table has."""
    table = Table({name: np.array([0, 1, 100], name) for name in ("u1", "i2", "u2", "i4", "u4", "i8")})
    table["flag"] = [True, False, True]
    table["id"] = ["000001", "", "b c"]
    table["f4"], table["f8"] = np.array([0.1, np.nan, 3], "f4"), [0.1, np.nan, -np.inf]
    table["c"] = np.array([1 + 2j, 0, 3], np.complex64)
    table["one"] = np.array([[1.5], [2.5], [3.5]])
    table["aper"] = np.arange(12, dtype=np.int32).reshape(3, 2, 2)
    table["names"] = [["a", "bc"], ["", "d"], ["e", "f"]]
    table["gone"] = MaskedColumn([1, 2, 3], mask=[False, True, False])
    table["f8"].unit, table["f8"].description = u.Jy, "flux"
    table["X"], table["Y"] = [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]
    table.meta["NIGHT"] = "2026-11-28"
    return table


@pytest.mark.parametrize("suffix", [".fits", ".ecsv", ".vot", ".parquet"])
def test_columns_of_every_kind_come_back(tmp_path, suffix):
    write_catalog(sample(), tmp_path / "a.fits")
    table = read_catalog(tmp_path / "a.fits")
    if suffix in (".vot", ".parquet"):
        table.remove_columns(["names", *(["c", "aper"] if suffix == ".parquet" else [])])
    write_catalog(table, tmp_path / f"o{suffix}")
    got = read_catalog(tmp_path / f"o{suffix}")
    assert got.colnames == table.colnames
    for name in table.colnames:
        before, after = np.ma.asarray(table[name]), np.ma.asarray(got[name])
        assert after.shape == before.shape, name
        if before.dtype.kind in "US":
            assert [t or "" for t in after.ravel().tolist()] == before.ravel().tolist(), name
            continue
        # VOTable lacks unsigned integers but bytes.
        assert after.dtype.kind == before.dtype.kind or suffix == ".vot", name
        if before.dtype.kind == "f":
            # NaN and nothing are the same in a VOTable.
            before, after = (values.filled(np.nan) for values in (before, after))
        np.testing.assert_array_equal(np.ma.getmaskarray(after), np.ma.getmaskarray(before), name)
        np.testing.assert_array_equal(np.ma.compressed(after), np.ma.compressed(before), name)
    assert got["f8"].unit == u.Jy
    if suffix != ".fits":
        assert got["f8"].description == "flux"


def test_arrays_of_any_length_come_back(tmp_path):
    lengths = fits.Column("v", "PJ()", array=np.array([[1, 2], [], [3]], dtype=object))
    columns = [fits.Column(name, "D", array=[1.0, 2.0, 3.0]) for name in ("x", "y")]
    fits.BinTableHDU.from_columns([*columns, lengths]).writeto(tmp_path / "a.fits")
    table = read_catalog(tmp_path / "a.fits")
    write_catalog(table, tmp_path / "o.fits")
    got = read_catalog(tmp_path / "o.fits")
    assert [list(map(int, cell)) for cell in got["v"]] == [[1, 2], [], [3]]


def test_vectors_of_length_one_are_numbers(tmp_path):
    table = Table({"x": np.array([[1.5], [2.5]], ">f4"), "y": np.array([[3], [4]])})
    write_catalog(table, tmp_path / "a.fits")
    got = read_catalog(tmp_path / "a.fits")
    assert got["x"].shape == (2, 1)
    np.testing.assert_array_equal(positions(got), ([1.5, 2.5], [3, 4]))
    write_catalog(got, tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text() == "x,y\n1.5,3\n2.5,4\n"
    masked = Table({"x": MaskedColumn([[1.5], [2.5]], mask=[[True], [False]]), "y": [1, 2]})
    np.testing.assert_array_equal(positions(masked)[0], [np.nan, 2.5])


@pytest.mark.parametrize("is_rewritten", [False, True])
def test_checksums_of_the_catalogue_are_not_those_of_the_rows(tmp_path, is_rewritten):
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), objects()]).writeto(path, checksum=True)
    table = read_catalog(path)
    assert "CHECKSUM" in table.meta
    table["rb_score"] = np.array([0.25, 0.5, 0.75], np.float32)
    source = original(path, range(3)) if is_rewritten else None
    write_catalog(table, tmp_path / "o.fits", original=source)
    with fits.open(tmp_path / "o.fits", checksum=True) as after:  # a wrong sum would be warned of
        assert "CHECKSUM" not in after[1].header
        assert after[1].data["rb_score"].tolist() == [0.25, 0.5, 0.75]
