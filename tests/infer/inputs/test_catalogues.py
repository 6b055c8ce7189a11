"""Catalogues that are easily read wrongly: mixed up, in any dialect and format."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer import Status

from .fields import SIZE, STARS, same


def test_positions_of_another_image_are_refused_and_mended(field, classify, good):
    x, y = field.x, field.y
    rng = np.random.default_rng(3)
    mixed = {
        "swapped": (y, x, "--swap-xy"),
        "top": (x, SIZE - 1 - y, "--flip-y"),
        "right": (SIZE - 1 - x, y, "--flip-x"),
        "turned": (SIZE - 1 - x, SIZE - 1 - y, "--flip-x --flip-y"),
        "quarter": (y, SIZE - 1 - x, "--swap-xy --flip-x"),
        "one": (x + 1, y + 1, "--origin 1"),
        "binned": ((x - 0.5) / 2, (y - 0.5) / 2, "--scale-xy 2"),
        "unbinned": (2 * x + 0.5, 2 * y + 0.5, "--scale-xy 0.5"),
        "shifted": (x - 31.0, y + 18.0, "--shift-xy=31.0,-18.0"),
        "foreign": (*rng.uniform(10, SIZE - 10, (2, 120)), ""),
    }
    for name, (a, b, remedy) in mixed.items():
        path = field.catalogue(f"mixed {name}.csv", a, b)
        _, told = classify(field.path("plain.fits"), "--catalog", path, code=1, out=f"{name}.ecsv")
        assert "does not fit" in told
        assert f"{remedy}{' mends that' if remedy else ''}" in told, (name, told)
        assert "--trust-positions" in told
        if remedy:
            table, _ = classify(
                field.path("plain.fits"), "--catalog", path, *remedy.split(), out=f"{name}.fits"
            )
            assert same(table, good), name
    table, _ = classify(
        field.path("plain.fits"),
        "--catalog",
        field.path("mixed top.csv"),
        "--trust-positions",
        out="t.ecsv",
    )
    assert len(table) == len(x)


def test_few_faint_and_artefact_rows_are_not_refused(field, classify):
    rng = np.random.default_rng(4)
    for name, (a, b) in {
        "three": rng.uniform(10, 390, (2, 3)),
        "hits": (field.x[STARS:], field.y[STARS:]),
        "some": (field.x[:12], field.y[:12]),
    }.items():
        path = field.catalogue(f"{name} rows.csv", a, b)
        table, _ = classify(field.path("plain.fits"), "--catalog", path, out=f"{name}.ecsv")
        assert len(table) == len(a)


@pytest.mark.parametrize(
    "cells",
    [
        "{:06d}",
        "{:03d}e1",
        "1_{:03d}",
        "12345678901234567{:03d}",
        " {:d}",
        "nan{:d}",
        "{:d}.",
        "TRUE{:d}",
        "-0{:d}",
    ],
)
def test_cells_that_are_not_ours_leave_as_they_came(field, classify, tmp_path, cells):
    lines = [
        f"{cells.format(k)},{a:.3f},{b:.3f},{'' if k % 7 else 'True'}"
        for k, (a, b) in enumerate(zip(field.x, field.y, strict=True))
    ]
    path = tmp_path / "ids.csv"
    path.write_text("id,x,y,flag\n" + "\n".join(lines) + "\n")
    classify(field.path("plain.fits"), "--catalog", path, out="out.csv")
    written = (tmp_path / "out.csv").read_text().splitlines()
    assert written[0].startswith("id,x,y,flag,rb_score")
    assert [",".join(line.split(",")[:4]) for line in written[1:]] == lines


DIALECTS = {
    "semicolons and decimal commas": (";", ",", "utf-8", ""),
    "tabs": ("\t", ".", "utf-8", ""),
    "bars": ("|", ".", "utf-8", ""),
    "comments": (",", ".", "utf-8", "# one\n# two, with a comma\n"),
    "latin-1": (",", ".", "latin-1", ""),
    "utf-16": (",", ".", "utf-16", ""),
    "a byte order mark": (",", ".", "utf-8-sig", ""),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_of_spreadsheets(field, classify, good, tmp_path, name):
    separator, decimal, encoding, head = DIALECTS[name]
    lines = [separator.join(("x", "y", "Name"))]
    for a, b in zip(field.x, field.y, strict=True):
        lines.append(separator.join((f"{a:.3f}", f"{b:.3f}")).replace(".", decimal) + separator + "é")
    (tmp_path / "c.csv").write_bytes((head + "\n".join(lines) + "\n").encode(encoding))
    table, _ = classify(field.path("plain.fits"), "--catalog", tmp_path / "c.csv")
    assert same(table, good)
    assert set(table["Name"]) == {"é"}


def test_cells_that_are_no_numbers_are_positions_that_are_none(field, classify, good, tmp_path):
    lines = [f"{a:.3f},{b:.3f}" for a, b in zip(field.x, field.y, strict=True)]
    for row, cell in ((4, "N/A"), (9, ""), (11, "NaN"), (12, "--"), (20, "null")):
        lines[row] = f"{cell},{field.y[row]:.3f}"
    (tmp_path / "c.csv").write_text("x,y\n" + "\n".join(lines) + "\n")
    table, _ = classify(field.path("plain.fits"), "--catalog", tmp_path / "c.csv")
    lost = (np.asarray(table["rb_status"]) & Status.POSITION_NOT_FINITE) != 0
    assert np.flatnonzero(lost).tolist() == [4, 9, 11, 12, 20]


def test_nothing_that_can_be_scored_has_a_code_of_its_own(field, classify):
    path = field.catalogue("nothing.csv", np.where(np.arange(len(field.x)) % 2, np.nan, field.x + 9000))
    table, told = classify(field.path("plain.fits"), "--catalog", path, code=3)
    assert "nothing could be scored" in told
    assert set(np.asarray(table["rb_status"])) == {1, 2}


def test_astrometry_net_daophot_and_iraf(field, classify, good, tmp_path):
    ones = Table({"X": field.x + 1, "Y": field.y + 1, "FLUX": np.ones(len(field.x))})
    for suffix in ("axy", "xyls"):
        hdu = fits.BinTableHDU(ones)
        primary = fits.PrimaryHDU(header=fits.Header({"AN_FILE": suffix.upper()}))
        fits.HDUList([primary, hdu]).writeto(tmp_path / f"f.{suffix}")
    als = [" NL    NX    NY  LOWBAD HIGHBAD  THRESH     AP1  PH/ADU  RNOISE    FRAD"]
    als += ["  1   400   400   700.0 60000.0   40.00    3.00    1.00   10.00    3.00", ""]
    coo = [
        "#K IRAF       = NOAO/IRAFV2.16          version    %-23s",
        "#K TASK       = daofind                 name       %-23s",
        "#",
        "#N XCENTER   YCENTER   MAG      SHARPNESS   SROUND      GROUND      ID         \\",
        "#U pixels    pixels    #        #           #           #           #          \\",
        "#F %-13.3f   %-10.3f   %-9.3f   %-12.3f     %-12.3f     %-12.3f     %-6d       \\",
        "#",
    ]
    for k, (a, b) in enumerate(zip(field.x + 1, field.y + 1, strict=True), start=1):
        numbers = f"{14.2:8.3f} {0.02:8.4f} {0.5:8.3f} {4:8.0f}. {1.1:8.3f} {0.0:8.3f}"
        als.append(f"{k:7d} {a:8.3f} {b:8.3f} {numbers}")
        coo.append(f"   {a:<13.3f}{b:<10.3f}{-2.0:<9.3f}{0.5:<12.3f}{0.1:<12.3f}{0.1:<12.3f}{k:<6d}")
    (tmp_path / "d.als").write_text("\n".join(als) + "\n")
    (tmp_path / "d.coo").write_text("\n".join(coo) + "\n")
    for name in ("f.axy", "f.xyls", "d.als", "d.coo"):
        # By content: the name may say anything.
        (tmp_path / f"{name[2:]}.dat").write_bytes((tmp_path / name).read_bytes())
        for given in (name, f"{name[2:]}.dat"):
            table, _ = classify(
                field.path("plain.fits"), "--catalog", tmp_path / given, out=f"{given}.fits"
            )
            assert same(table, good), given
    _, told = classify(field.path("plain.fits"), "--catalog", tmp_path / "d.als", out="o.als", code=1)
    assert "read, but not written" in told


def test_ldac_in_ldac_out(field, classify, good, tmp_path):
    cards = fits.PrimaryHDU(field.pixels, fits.Header({"OBJECT": "field"})).header.tostring(
        padding=False
    )
    column = fits.Column("Field Header Card", f"{len(cards)}A", array=np.array([cards]))
    head = fits.BinTableHDU.from_columns([column], name="LDAC_IMHEAD")
    rows = Table({"NUMBER": np.arange(len(field.x)), "X_IMAGE": field.x + 1, "Y_IMAGE": field.y + 1})
    objects = fits.BinTableHDU(rows, name="LDAC_OBJECTS")
    other = fits.BinTableHDU(Table({"a": [1, 2]}), name="NOTES")
    fits.HDUList([fits.PrimaryHDU(), head, objects, other]).writeto(tmp_path / "c.ldac")
    table, _ = classify(field.path("plain.fits"), "--catalog", tmp_path / "c.ldac", out="o.ldac")
    assert same(table, good)
    with fits.open(tmp_path / "c.ldac") as before, fits.open(tmp_path / "o.ldac") as after:
        assert [hdu.name for hdu in after] == [hdu.name for hdu in before]
        assert after["LDAC_IMHEAD"].data[0][0] == before["LDAC_IMHEAD"].data[0][0]
        np.testing.assert_array_equal(after["NOTES"].data["a"], [1, 2])
        assert "rb_score" in after["LDAC_OBJECTS"].columns.names


@pytest.mark.parametrize("word", ["*", "...", "<NA>", "1.#QNAN", "off"])
def test_a_word_for_a_position_costs_that_row_alone(field, classify, good, tmp_path, word):
    rows = [f"{k:04d},{a:.3f},{b:.3f}" for k, (a, b) in enumerate(zip(field.x, field.y, strict=True))]
    rows[7] = f"0007,{word},{field.y[7]:.3f}"
    (tmp_path / "c.csv").write_text("id,x,y\n" + "\n".join(rows) + "\n")
    table, told = classify(field.path("plain.fits"), "--catalog", tmp_path / "c.csv", out="o.csv")
    real = np.asarray(table["rb_score"]) > 0.5
    np.testing.assert_array_equal(np.delete(real, 7), np.delete(good, 7))
    assert "1 unscored (1 POSITION_NOT_FINITE)" in told
    written = (tmp_path / "o.csv").read_text().splitlines()[1:]
    assert [",".join(line.split(",")[:3]) for line in written] == rows


def test_a_line_that_ends_with_a_separator(field, classify, good, tmp_path):
    rows = [f"{a:.3f};{b:.3f};" for a, b in zip(field.x, field.y, strict=True)]
    (tmp_path / "c.csv").write_text("x;y;\n" + "\n".join(rows) + "\n")
    table, _ = classify(field.path("plain.fits"), "--catalog", tmp_path / "c.csv", out="o.csv")
    assert table.colnames[:4] == ["x", "y", "rb_score", "rb_status"]
    assert same(table, good)


def test_regions_hold_the_rows_that_are_kept(field, classify, good, tmp_path):
    arguments = ["--catalog", field.path("good.csv"), "--regions", tmp_path / "r.reg", "--filter"]
    table, _ = classify(field.path("plain.fits"), *arguments)
    text = (tmp_path / "r.reg").read_text()
    assert text.count("circle(") == text.count("tag={real}") == len(table)


def test_compressed_text(field, classify, good, tmp_path):
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress((field.folder / "good.csv").read_bytes()))
    table, _ = classify(field.path("plain.fits"), "--catalog", tmp_path / "c.csv.gz")
    assert same(table, good)
