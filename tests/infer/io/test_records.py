"""Rows of plain FITS tables go through as they stand; what is added is what a table would hold."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.errors import InputError
from rbinfer.io.content import Content
from rbinfer.io.fits_tables import read_records, write_records
from rbinfer.io.original import Original
from rbinfer.io.positions import positions
from rbinfer.io.tables import read_catalog, read_in_kind, write_catalog

ROWS = 5
COLUMNS = {
    "B": np.arange(ROWS, dtype="u1"),
    "I": np.arange(ROWS, dtype="i2") - 2,
    "J": np.array([-(2**31), 2**31 - 1, 0, 1, 2], "i4"),
    "K": np.array([-(2**63), 2**63 - 1, 0, 1, 2]),
    "E": np.array([np.nan, -0.0, np.inf, 1e-45, 3.5], "f4"),
    "D": np.array([np.nan, -0.0, -np.inf, 5e-324, 3.5]),
    "3D": np.arange(3.0 * ROWS).reshape(ROWS, 3),
    "8A": np.array(["", "a", "00012", "b c", "12345678"]),
    "L": np.array([True, False, True, True, False]),
}


def table_file(path, *more, **cards):
    columns = [fits.Column(name, form, array=values) for (form, values), name in
               zip(COLUMNS.items(), "bijkedval", strict=True)]  # fmt: skip
    columns += [
        fits.Column("X_IMAGE", "D", "pixel", array=np.arange(10.0, 10.0 + ROWS)),
        fits.Column("Y_IMAGE", "E", "pixel", disp="F8.3", array=np.arange(20.0, 20.0 + ROWS)),
        *more,
    ]
    hdu = fits.BinTableHDU.from_columns(columns, fits.Header(cards), name="objects")
    hdu.header.comments["TTYPE10"] = "position along the rows"
    hdu.header["EXPTIME"] = 60.0, "seconds"
    hdu.header.add_comment("made by hand")
    hdu.writeto(path)
    return path


def written(records, path, original=None):
    write_records(records, path, original)
    return fits.open(path)


def test_cells_and_cards_come_back_as_they_were(tmp_path):
    path = table_file(tmp_path / "a.fits", GAIN=1.5, OBJECT="M 31")
    _, records = read_records(path)
    records["rb_score"] = np.arange(ROWS, dtype=np.float32)
    records["rb_class"] = np.array(["star", "", "galaxy", "star", "trail"])
    records.meta.update(rb_model="default", rb_real=["star", "galaxy"], rb_threshold=0.5)
    with written(records, tmp_path / "o.fits") as new, fits.open(path) as old:
        new.verify("exception")
        n = len(old[1].columns)
        assert new[1].columns.names == [*old[1].columns.names, "rb_score", "rb_class"]
        for name in old[1].columns.names:
            assert new[1].data[name].tobytes() == old[1].data[name].tobytes()
        kept = [str(card) for card in old[1].header.cards][8:]  # behind those of the shape
        assert set(kept) <= {str(card) for card in new[1].header.cards}
        assert new[1].header["TUNIT10"] == "pixel"
        assert new[1].header["TDISP11"] == "F8.3"
        assert new[1].header.comments["TTYPE10"] == "position along the rows"
        assert new[1].header.comments["EXPTIME"] == "seconds"
        assert list(new[1].header["COMMENT"]) == ["made by hand"]
        assert new[1].columns[n].format == "E"
        np.testing.assert_array_equal(new[1].data["rb_score"], np.arange(ROWS))
        assert new[1].data["rb_class"].tolist() == ["star", "", "galaxy", "star", "trail"]
        assert [new[1].header["RB_REAL", k] for k in (0, 1)] == ["star", "galaxy"]
        assert new[1].header["rb_threshold"] == 0.5


def test_cells_are_those_of_a_table(tmp_path):
    path = table_file(tmp_path / "a.fits")
    (_, records), table = read_records(path), read_catalog(path)
    assert records.colnames == table.colnames
    assert len(records) == len(table)
    for name in table.colnames:
        cells = records[name]
        if cells.dtype.kind == "S":
            cells = cells.astype(str) if name == "a" else cells == b"T"
        np.testing.assert_array_equal(cells, table[name])
        assert records[name].shape == table[name].shape
    np.testing.assert_array_equal(positions(records), positions(table))


def test_rows_and_columns_are_picked_as_of_a_table(tmp_path):
    _, records = read_records(table_file(tmp_path / "a.fits"))
    records["extra"] = np.arange(ROWS)
    order = np.array([3, 0])
    picked = records[order][["extra", "v", "X_IMAGE"]]
    assert picked.colnames == ["extra", "v", "X_IMAGE"]
    assert len(picked) == 2
    assert picked["extra"].tolist() == [3, 0]
    assert len(records[np.arange(ROWS) > 2]) == 2
    with written(picked, tmp_path / "o.fits") as new:
        assert new[1].columns.names == ["extra", "v", "X_IMAGE"]
        assert new[1].columns["X_IMAGE"].unit == "pixel"
        assert new[1].data["X_IMAGE"].tolist() == [13.0, 10.0]
        assert new[1].data["v"].tolist() == [[9.0, 10.0, 11.0], [0.0, 1.0, 2.0]]
    twin = records.copy()
    twin.remove_columns(["extra"])
    twin.meta["rb_x"] = 1
    assert "extra" in records.colnames
    assert "rb_x" not in records.meta


def test_a_column_that_is_replaced_has_no_card_of_the_old_one(tmp_path):
    _, records = read_records(table_file(tmp_path / "a.fits", GAIN=1.5))
    records["Y_IMAGE"] = records["X_IMAGE"]
    records["ra"] = np.zeros(ROWS)
    records["ra"].unit = "deg"
    records.meta["GAIN"] = 2.5
    del records.meta["EXTNAME"]
    with written(records, tmp_path / "o.fits") as new:
        assert new[1].columns["Y_IMAGE"].format == "D"
        assert new[1].columns["Y_IMAGE"].unit is None
        assert new[1].columns["ra"].unit == "deg"
        assert new[1].header["GAIN"] == 2.5
        assert new[1].name == ""


def test_no_rows_and_a_table_without_columns_are_written(tmp_path):
    fits.BinTableHDU(Table({"x": np.zeros(0), "name": np.zeros(0, "S4")})).writeto(tmp_path / "a.fits")
    _, records = read_records(tmp_path / "a.fits")
    records["rb_class"] = np.zeros(0, "U6")
    with written(records, tmp_path / "o.fits") as new:
        assert new[1].columns.formats == ["D", "4A", "6A"]
        assert len(new[1].data) == 0
    with written(records[[]], tmp_path / "p.fits") as new:
        assert new[1].columns.names == []


MORE = {
    "masked": fits.Column("n", "J", null=-99, array=[1, 2, 3, 4, 5]),
    "scaled": fits.Column("n", "E", bscale=0.5, array=[1.0, 2, 3, 4, 5]),
    "unsigned": fits.Column("n", "J", bzero=2**31, array=np.arange(5, dtype="u4")),
    "bits": fits.Column("n", "3X", array=np.zeros((5, 3), bool)),
    "complex": fits.Column("n", "M", array=np.zeros(5, complex)),
    "of two dimensions": fits.Column("n", "6J", dim="(2,3)", array=np.zeros((5, 3, 2), int)),
}


@pytest.mark.parametrize("what", MORE)
def test_cells_that_are_more_than_numbers_and_texts_take_a_table(tmp_path, what):
    assert read_records(table_file(tmp_path / "a.fits")) is not None
    path = table_file(tmp_path / "b.fits", MORE[what])
    assert read_records(path) is None
    assert read_in_kind(path, None, tmp_path / "o.fits") is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"TFIELDS =                   11", b"TFIELDS =                 'no'"),
        (b"TFIELDS =                   11", b"TFIELDS =                   10"),
        (b"TTYPE1  = 'b", b"TTYPE1  = 'i"),
        (b"TTYPE1  = 'b       '", b"TTYPE1  =          1"),
        (b"TFORM1  = 'B", b"TFORM1  = 'I"),
        (b"TFORM1  = 'B", b"TFORM1  = 'Z"),
    ],
)
def test_a_damaged_header_takes_a_table(tmp_path, old, new):
    path = table_file(tmp_path / "a.fits")
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    assert read_records(path) is None


def test_what_astropy_notes_of_columns_takes_a_table(tmp_path):
    table = Table({"x": [1.0, 2.0]})
    table["x"].description = "column"
    table.write(tmp_path / "a.fits")
    assert read_records(tmp_path / "a.fits") is None


def test_two_tables_take_tables(tmp_path):
    hdus = [fits.BinTableHDU(Table({"x": [1.0]}), name=name) for name in ("A", "B")]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits")
    assert read_records(tmp_path / "a.fits") is None


@pytest.mark.parametrize("output", ["o.ecsv", "o.csv", "o.vot"])
def test_rows_go_as_they_stand_to_fits_alone(tmp_path, output):
    path = table_file(tmp_path / "a.fits")
    assert read_in_kind(path, None, tmp_path / output) is None
    ((name, records),) = read_in_kind(path, None, tmp_path / "o.fits.gz")
    assert name == "OBJECTS"
    records["rb_score"] = np.zeros(ROWS, np.float32)
    write_catalog(records, tmp_path / "o.fits.gz")
    assert read_catalog(tmp_path / "o.fits.gz").colnames[-1] == "rb_score"


def test_ldac_is_written_back_in_its_place_with_all_else_byte_for_byte(tmp_path):
    head = fits.BinTableHDU.from_columns(
        [fits.Column("Field Header Card", "80A", array=["OBJECT  = 'M 31'".ljust(80)])],
        name="LDAC_IMHEAD",
    )
    table = Table({"NUMBER": [1, 2, 3], "X_IMAGE": [1.0, 2.0, 3.0], "Y_IMAGE": [4.0, 5.0, 6.0]})
    objects = fits.BinTableHDU(table, name="LDAC_OBJECTS")
    check = fits.ImageHDU(np.arange(6.0).reshape(2, 3), name="CHECK")
    path = tmp_path / "a.ldac"
    fits.HDUList([fits.PrimaryHDU(), head, objects, check]).writeto(path)
    ((name, records),) = read_in_kind(path, None, tmp_path / "o.ldac")
    assert name == "LDAC_OBJECTS"
    rows = records[np.array([2, 0])]
    rows["rb_score"] = np.zeros(2, np.float32)
    original = Original(Content(path), "FITS_LDAC", 0, np.array([2, 0]))
    write_catalog(rows, tmp_path / "o.ldac", original=original)
    with fits.open(path) as old, fits.open(tmp_path / "o.ldac") as new:
        new.verify("exception")
        assert [hdu.name for hdu in new] == [hdu.name for hdu in old]
        for k in (0, 1, 3):
            assert new[k].header.tostring() == old[k].header.tostring()
        assert new[1].data.tobytes() == old[1].data.tobytes()
        assert new[2].data["NUMBER"].tolist() == [3, 1]
        np.testing.assert_array_equal(new[3].data, old[3].data)


def test_an_empty_unit_is_none(tmp_path):
    path = tmp_path / "a.fits"
    hdu = fits.BinTableHDU(Table({"X_IMAGE": [1.0], "Y_IMAGE": [2.0], "ra": [3.0]}))
    for k, unit in enumerate(("", "   ", " deg"), 1):
        hdu.header[f"TUNIT{k}"] = unit
    hdu.writeto(path)
    _, records = read_records(path)
    assert [records[name].unit for name in records.colnames] == [None, None, "deg"]


@pytest.mark.parametrize("output", ["o.vot", "o.ecsv", "o.csv"])
def test_rows_are_written_as_no_other_format(tmp_path, output):
    _, records = read_records(table_file(tmp_path / "a.fits"))
    with pytest.raises(InputError, match=f"cannot be written to {output}"):
        write_catalog(records, tmp_path / output)
    assert not (tmp_path / output).exists()
