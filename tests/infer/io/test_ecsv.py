"""ECSV whose metadata hold what only their writer knows."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time

from rbinfer.errors import InputError
from rbinfer.io.positions import positions
from rbinfer.io.tables import read_catalog, write_catalog

HEADER = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: id, datatype: string}
# - {name: x, unit: pix, datatype: float64, description: column}
# - {name: y, unit: pix, datatype: float64}
# meta: !!omap
"""
ROWS = "id x y\n000001 1.5 2.5\n001e1 3.5 4.5\n"


@pytest.mark.parametrize(
    ("meta", "value"),
    [
        ("# - {config: !lsst.pipe.Config {a: 1}}\n", {"a": 1}),
        ("# - config: !!python/object:my.Thing\n#     a: 1\n", {"a": 1}),
        ("# - {config: !<tag:example.org,2000:thing> [1, 2]}\n", [1, 2]),
        ("# - {config: !custom 7}\n", 7),
        ("# - {config: !custom 'a !custom b'}\n", "a !custom b"),
    ],
)
def test_foreign_tags_are_plain_values_and_told(tmp_path, caplog, meta, value):
    path = tmp_path / "t.ecsv"
    path.write_text(HEADER + meta + ROWS)
    table = read_catalog(path)
    assert table.meta["config"] == value
    assert table["id"].tolist() == ["000001", "001e1"]
    assert table["x"].description == "column"
    np.testing.assert_array_equal(positions(table), ([1.5, 3.5], [2.5, 4.5]))
    assert "t.ecsv: metadata with the tags !" in caplog.text
    write_catalog(table, tmp_path / "o.ecsv")
    assert read_catalog(tmp_path / "o.ecsv").meta["config"] == value


def test_tags_of_astropy_are_kept(tmp_path, caplog):
    table = QTable({"x": [1.5] * u.pix, "y": [2.5] * u.pix, "t": Time([60000.0], format="mjd")})
    table.meta.update(unit=u.Jy, where=np.arange(3.0), note="!no tag")
    write_catalog(table, tmp_path / "t.ecsv")
    got = read_catalog(tmp_path / "t.ecsv")
    assert got.meta["unit"] == u.Jy
    np.testing.assert_array_equal(got.meta["where"], [0.0, 1.0, 2.0])
    assert got["t"].mjd.tolist() == [60000.0]
    assert caplog.text == ""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_text_masks_arrays_and_units_come_back(tmp_path, newline):
    table = Table(
        {
            "id": ["000001", "1_001", "12345678901234567890", "nan"],
            "empty": ["", "True", "False", "None"],
            "gone": MaskedColumn(["a", "b", "c", "d"], mask=[0, 1, 0, 0]),
            "flag": MaskedColumn([True, False, True, False], mask=[0, 0, 0, 1]),
            "aper": np.arange(8.0).reshape(4, 2),
            "x": [1.0, 2.0, 3.0, 4.0],
            "y": [1.0, 2.0, 3.0, 4.0],
        },
        meta={"night": [1, 2], "name": "M 67"},
    )
    table["aper"].unit, table["aper"].description = u.Jy, "two apertures"
    write_catalog(table, tmp_path / "t.ecsv")
    if newline != "\n":
        (tmp_path / "t.ecsv").write_bytes((tmp_path / "t.ecsv").read_bytes().replace(b"\n", b"\r\n"))
    got = read_catalog(tmp_path / "t.ecsv")
    assert got.colnames == table.colnames
    assert got["id"].tolist() == table["id"].tolist()
    assert [text or "" for text in got["empty"].tolist()] == table["empty"].tolist()
    assert got["gone"].tolist() == ["a", None, "c", "d"]
    assert got["flag"].tolist() == [True, False, True, None]
    np.testing.assert_array_equal(got["aper"], table["aper"])
    assert (got["aper"].unit, got["aper"].description) == (u.Jy, "two apertures")
    assert got.meta == table.meta


def test_header_that_is_no_yaml(tmp_path):
    (tmp_path / "t.ecsv").write_text("# %ECSV 1.0\n# ---\n# {a: !b [\nx y\n1 2\n")
    with pytest.raises(InputError, match=r"t\.ecsv cannot be read as ECSV"):
        read_catalog(tmp_path / "t.ecsv")
