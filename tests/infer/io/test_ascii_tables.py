"""The text formats of astronomy: SExtractor, DAOPHOT, IRAF and IPAC."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from rbinfer.errors import InputError
from rbinfer.io.positions import positions
from rbinfer.io.tables import kind_of, read_catalog, write_catalog

X, Y = np.array([11.25, 200.5, 30.0]), np.array([7.5, 12.125, 99.0])

HEAD = " NL    NX    NY  LOWBAD HIGHBAD  THRESH     AP1  PH/ADU  RNOISE    FRAD\n"
VALUES = "  {}   512   512   900.0 60000.0   50.00    3.00    1.00   10.00    3.00\n\n"


def daophot(path, tails, lines=1):
    rows = [
        f"{k + 1:7d} {x:8.3f} {y:8.3f}{tail}\n"
        for k, (x, y, tail) in enumerate(zip(X, Y, tails, strict=True))
    ]
    path.write_text(HEAD + VALUES.format(lines) + "".join(rows))


@pytest.mark.parametrize(
    ("name", "tail", "columns"),
    [
        ("a.coo", "  -3.234    0.621    0.131", ["MAG", "SHARP", "ROUND"]),
        ("a.coo", "  -3.234    0.621    0.131    0.02", ["MAG", "SHARP", "ROUND", "MARGINAL"]),
        ("a.lst", "   15.000 1000.123", ["MAG", "SKY"]),
        (
            "a.als",
            "   15.000   0.0200 1000.500       3.    1.000    0.000",
            ["MAG", "MERR", "SKY", "NITER", "CHI", "SHARP"],
        ),
        (
            "a.nst",
            "   15.000   0.0200 1000.500       3.    1.000    0.000",
            ["MAG", "MERR", "SKY", "NITER", "CHI", "SHARP"],
        ),
        ("a.txt", "   1.0 2.0 3.0 4.0 5.0", ["COL4", "COL5", "COL6", "COL7", "COL8"]),
    ],
)
def test_daophot(tmp_path, name, tail, columns):
    path = tmp_path / name
    daophot(path, [tail] * 3)
    table = read_catalog(path)
    assert table.colnames == ["ID", "X", "Y", *columns]
    assert table["ID"].tolist() == [1, 2, 3]
    assert table.meta["NX"] == 512
    assert table.meta["RNOISE"] == 10.0
    # The centre of its first pixel is (1, 1).
    np.testing.assert_array_equal(positions(table), (X - 1, Y - 1))
    with pytest.raises(InputError, match=r"DAOPHOT is read, but not written; name a file of \.ecsv"):
        write_catalog(table, tmp_path / "out.coo")
    for out in ("out.ecsv", "out.csv", "out.fits"):
        write_catalog(table, tmp_path / out)
        np.testing.assert_array_equal(positions(read_catalog(tmp_path / out)), (X - 1, Y - 1))


def test_daophot_aperture_photometry_has_two_lines_a_star(tmp_path):
    path = tmp_path / "a.ap"
    daophot(path, ["   15.1   15.0\n      1000.5  9.90  0.10   0.011  0.012\n"] * 3, lines=2)
    table = read_catalog(path)
    assert table.colnames == [
        "ID", "X", "Y", "MAG1", "MAG2", "SKY", "SKYSD", "SKYSKEW", "MERR1", "MERR2",
    ]  # fmt: skip
    assert table["MAG2"].tolist() == [15.0] * 3
    assert table["MERR1"].tolist() == [0.011] * 3
    np.testing.assert_array_equal(positions(table), (X - 1, Y - 1))


def test_daophot_that_is_damaged_or_has_no_header(tmp_path):
    daophot(tmp_path / "a.als", [" 1 2 3", " 1 2", " 1 2 3"])
    with pytest.raises(
        InputError, match=r"a\.als cannot be read as DAOPHOT: its rows have 5 to 6 numbers"
    ):
        read_catalog(tmp_path / "a.als")
    (tmp_path / "b.coo").write_text("  11.25   7.5\n 200.5  12.125\n  30.0  99.0\n")
    with pytest.raises(InputError, match="`catalog_format='CSV', x_col='col1', y_col='col2', origin=1`"):
        read_catalog(tmp_path / "b.coo")
    (tmp_path / "c.lst").write_text("S0001;33.04;422.52;41020\nS0002;33.22;457.37;153300\n")
    with pytest.raises(
        InputError, match=r"as CSV it has the columns col1 \(S0001\), col2 \(33.04\), col3"
    ):
        read_catalog(tmp_path / "c.lst")
    # Rows that cannot be told apart, and one column: it is not known what they would be called.
    for name, text in (("d.als", "1 2 3\n1 2\n1 2 3\n"), ("e.lst", "1.5\n2.5\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=r"as DAOPHOT: .*; a list without a header is read with"):
            read_catalog(tmp_path / name)
    (tmp_path / "f.coo").write_bytes(b"\x00\x01\x02\x03")
    with pytest.raises(InputError, match=r"as DAOPHOT: [^;]*$"):
        read_catalog(tmp_path / "f.coo")
    table = read_catalog(tmp_path / "b.coo", format="csv")
    np.testing.assert_array_equal(positions(table, "col1", "col2", 1), (X - 1, Y - 1))


IRAF = (
    "#K IRAF       = NOAO/IRAFV2.16          version    %-23s\n"
    "#K TASK       = {task}                 name       %-23s\n#\n"
)


def test_iraf_daofind(tmp_path):
    path = tmp_path / "a.coo"
    rows = [
        f"   {x:<13.3f}{y:<10.3f}{-3.5:<9.3f}{k:<6d}\n"
        for k, (x, y) in enumerate(zip(X, Y, strict=True))
    ]
    path.write_text(
        IRAF.format(task="daofind") + "#N XCENTER   YCENTER   MAG      ID         \\\n"
        "#U pixels    pixels    #        #         \\\n"
        "#F %-13.3f   %-10.3f   %-9.3f   %-6d      \\\n#\n" + "".join(rows)
    )
    table = read_catalog(path)
    assert table.colnames == ["XCENTER", "YCENTER", "MAG", "ID"]
    np.testing.assert_array_equal(positions(table), (X - 1, Y - 1))
    with pytest.raises(InputError, match=r"out.coo: IRAF is read, but not written"):
        write_catalog(table, tmp_path / "out.coo", original=_original(path))


def test_iraf_phot_has_several_lines_a_star(tmp_path):
    path = tmp_path / "a.mag.1"
    rows = [
        # Lines that go on are 80 characters long.
        f"test      {x:<10.3f}{y:<10.3f}{k:<6d}".ljust(79)
        + f"\\\n   {x:<11.3f}{y:<11.3f}0    NoError".ljust(81)
        + f"\\\n   3.00     {mag} 0.010 0    NoError  \n"
        for k, (x, y, mag) in enumerate(zip(X, Y, ["12.345", "INDEF ", "13.000"], strict=True))
    ]
    path.write_text(
        IRAF.format(task="phot   ") + "#N IMAGE     XINIT     YINIT     ID    \\\n"
        "#U imagename pixels    pixels    ##    \\\n#F %-10s      %-10.3f   %-10.3f   %-6d\n#\n"
        "#N XCENTER    YCENTER    CIER CERROR \\\n#U pixels     pixels     ##   cerrors\n"
        "#F %-14.3f    %-11.3f    %-5d %-9s\n#\n"
        "#N RAPERT   MAG    MERR   PIER PERROR   \\\n#U scale    mag    mag    ##   perrors\n"
        "#F %-12.2f  %-7.3f %-6.3f %-5d %-9s\n#\n" + "".join(rows)
    )
    table = read_catalog(path)
    np.testing.assert_array_equal(positions(table), (X - 1, Y - 1))
    assert table["MAG"].tolist() == [12.345, None, 13.0]
    assert str(table["XCENTER"].unit) == "pixels"


def test_sextractor_keeps_units_descriptions_and_identifiers(tmp_path):
    path = tmp_path / "anything.txt"
    path.write_text(
        "#   1 NUMBER                 Running object number\n"
        "#   2 X_IMAGE                Object position along x      [pixel]\n"
        "#   3 Y_IMAGE                Object position along y      [pixel]\n"
        "#   4 FLUX_APER              Flux vector within aperture  [count]\n"
        "#   6 NAME                   From elsewhere\n"
        + "".join(
            f"{k:10d} {x:10.4f} {y:10.4f} 1.5 {k}.25 {k:06d}\n"
            for k, (x, y) in enumerate(zip(X, Y, strict=True), 1)
        )
    )
    table = read_catalog(path)
    np.testing.assert_array_equal(positions(table), (X - 1, Y - 1))
    assert table["NUMBER"].tolist() == [1, 2, 3]
    assert table["NAME"].tolist() == ["000001", "000002", "000003"]
    assert table["X_IMAGE"].unit == u.pix
    assert table["X_IMAGE"].description == "Object position along x"
    assert table["FLUX_APER"].tolist() == [1.5] * 3
    assert table["FLUX_APER_1"].tolist() == [1.25, 2.25, 3.25]


def test_ipac(tmp_path):
    path = tmp_path / "a.tbl"
    table = Table({"id": ["007", "b", "c"], "x": X, "y": Y, "n": [1, 2, 3]})
    table["x"].unit = u.pix
    table.write(path, format="ascii.ipac")
    found = read_catalog(path)
    np.testing.assert_array_equal(positions(found), (X, Y))
    assert found["id"].tolist() == ["007", "b", "c"]
    assert found["n"].dtype == np.int64
    assert found["x"].unit == u.pix
    with pytest.raises(InputError, match="IPAC is read, but not written"):
        write_catalog(found, tmp_path / "b.tbl")


def test_ipac_without_types_keeps_identifiers(tmp_path):
    path = tmp_path / "a.tbl"
    cells = zip(["000001", "001e1", "1_001"], ["1", "2", "null"], X, Y, strict=True)
    rows = [f" {name:>6} {n:>4} {x:6.2f} {y:6.2f} " for name, n, x, y in cells]
    path.write_text("\\k = 'a'\n|    id|   n|     x|     y|\n" + "\n".join(rows) + "\n")
    found = read_catalog(path)
    assert found["id"].tolist() == ["000001", "001e1", "1_001"]
    assert found["n"].tolist() == [1, 2, None]
    np.testing.assert_allclose(positions(found), (X, Y), atol=0.006)


def _original(path):
    from rbinfer.io.content import Content
    from rbinfer.io.original import Original

    return Original(Content(path), kind_of(path).name, 0, np.arange(3))


@pytest.mark.parametrize("format", ["ASCII_HEAD", "IRAF", "IPAC"])
def test_a_text_of_one_line_is_no_name_of_a_file(tmp_path, format):
    secret = tmp_path / "secret"
    secret.write_text(
        {
            "ASCII_HEAD": "# 1 X_IMAGE\n# 2 Y_IMAGE\n1.5 2.5\n",
            "IRAF": "#N XCENTER   YCENTER   \\\n#U pixels    pixels    \\\n"
            "#F %-13.3f   %-10.3f   \\\n#\n   1.5          2.5       \n",
            "IPAC": "|x     |y     |\n 1.5    2.5\n",
        }[format]
    )
    (tmp_path / "a.txt").write_text(str(secret))
    assert read_catalog(secret, format=format).colnames != []
    with pytest.raises(InputError, match=r"a\.txt"):
        read_catalog(tmp_path / "a.txt", format=format)
