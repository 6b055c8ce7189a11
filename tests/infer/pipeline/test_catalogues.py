"""Catalogues through the command line: columns that are not ours leave as they came, in every format."""

import csv
import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.io.tables import read_catalog

#: Columns of text that programs take for numbers, or for nothing.
IDENTIFIERS = {
    "zeros": lambda k: f"{k:06d}",
    "exponent": lambda k: f"{k:03d}e1",
    "whole_exponent": lambda k: f"{k + 1}e5",
    "underscore": lambda k: f"1_{k:03d}",
    "long": lambda k: f"12345678901234567{k:03d}",
    "truth": lambda k: ["True", "False"][k % 2],
    "words": lambda k: ["nan", "inf", "None", "N/A", "null", "M 67"][k % 6],
    "signs": lambda k: f"-{k:03d}",
    "hexadecimal": lambda k: f"0x{k:02x}",
    "dates": lambda k: f"2026-11-{k % 28 + 1:02d}",
    "times": lambda k: f"{k % 24:02d}:00:00.50",
}
#: Numbers in ways that no writer would choose: they are the same text all the same.
NUMBERS = [lambda k: f"{k}.50", lambda k: f"+{k}", lambda k: f"{k}.000e+00", lambda k: f"{k:.17f}"]


@pytest.fixture
def files(scene, tmp_path):
    """Write an image, and return its path and positions as text."""
    image, table, _ = scene
    fits.writeto(tmp_path / "im.fits", image.astype(np.float32))
    return tmp_path / "im.fits", [(f"{row['x']:.3f}", f"{row['y']:.3f}") for row in table]


def classify(image, catalog, out, *options):
    code = main(["classify", str(image), "--catalog", str(catalog), "-o", str(out), "-q", *options])
    assert code == 0


def rows_of(path, delimiter=","):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=delimiter))


@pytest.mark.parametrize("kind", IDENTIFIERS)
def test_identifiers_leave_as_they_came(files, tmp_path, kind):
    image, places = files
    names = [IDENTIFIERS[kind](k) for k in range(len(places))]
    lines = ["id,x,y", *(f"{name},{x},{y}" for name, (x, y) in zip(names, places, strict=True))]
    (tmp_path / "c.csv").write_text("\n".join(lines) + "\n")
    classify(image, tmp_path / "c.csv", tmp_path / "o.csv")
    got = (tmp_path / "o.csv").read_text().splitlines()
    assert got[0] == "id,x,y,rb_score,rb_status,rb_class"
    assert [line.rsplit(",", 3)[0] for line in got] == lines
    for suffix in (".ecsv", ".fits", ".vot", ".parquet"):
        classify(image, tmp_path / "c.csv", tmp_path / f"o{suffix}")
        found = read_catalog(tmp_path / f"o{suffix}")
        assert [str(name) for name in found["id"]] == names, suffix
        np.testing.assert_array_equal(found["x"], [float(x) for x, _ in places])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_cell_is_the_same_text(files, tmp_path, delimiter):
    image, places = files
    before = [["x", "y", "n0", "n1", "n2", "n3", "text", "empty"]]
    for k, (x, y) in enumerate(places):
        before.append([x, y, *(make(k) for make in NUMBERS), ["a,b", 'q"q', " c ", ""][k % 4], ""])
    with (tmp_path / "c.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(before)
    classify(image, tmp_path / "c.csv", tmp_path / "o.csv")
    after = rows_of(tmp_path / "o.csv", delimiter)
    assert [row[:8] for row in after] == before
    assert after[0][8:] == ["rb_score", "rb_status", "rb_class"]
    # Scored again, the results are replaced where they stand.
    classify(image, tmp_path / "o.csv", tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "o.csv").read_bytes()


def test_real_rows_alone_keep_their_cells(files, tmp_path):
    image, places = files
    lines = [f"{k:04d},{x},{y}" for k, (x, y) in enumerate(places)]
    (tmp_path / "c.csv").write_text("\n".join(["id,x,y", *lines]) + "\n")
    classify(image, tmp_path / "c.csv", tmp_path / "all.csv")
    classify(image, tmp_path / "c.csv", tmp_path / "real.csv", "--filter")
    every, real = rows_of(tmp_path / "all.csv"), rows_of(tmp_path / "real.csv")
    assert real == [every[0], *(row for row in every[1:] if float(row[3]) > 0.5)]
    assert 10 < len(real) < len(every)
    kept = {",".join(row[:3]) for row in real[1:]}
    assert kept < set(lines)


def test_batch_keeps_the_cells_too(files, tmp_path):
    image, places = files
    lines = [f"{k:04d};{x};{y}".replace(".", ",") for k, (x, y) in enumerate(places)]
    (tmp_path / "im.csv").write_text("\n".join(["id;x;y", *lines]) + "\n", encoding="utf-16")
    options = ("--catalog", "{dir}/{stem}.csv", "--format", "csv", "--workers", "1")
    assert main(["batch", str(image), "-o", str(tmp_path / "out"), *options, "-q"]) == 0
    got = (tmp_path / "out" / "im.csv").read_text(encoding="utf-16").splitlines()
    assert got[0] == "id;x;y;rb_score;rb_status;rb_class"
    assert [line.rsplit(";", 3)[0] for line in got[1:]] == lines
    assert all(0 <= float(line.split(";")[3].replace(",", ".")) <= 1 for line in got[1:])


def test_rows_of_a_mosaic_keep_their_cells(scene, tmp_path):
    image, table, _ = scene
    hdus = [fits.ImageHDU(image.astype(np.float32), name=f"CCD{k}") for k in (1, 2)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "m.fits")
    lines = [f"{k:04d},{k % 2 + 1},{row['x'] + 1:.2f},{row['y'] + 1:.2f}" for k, row in enumerate(table)]
    head = "id,EXT_NUMBER,X_IMAGE,Y_IMAGE"
    (tmp_path / "c.csv").write_text("\n".join([head, *lines]) + "\n")
    classify(tmp_path / "m.fits", tmp_path / "c.csv", tmp_path / "o.csv", "--hdu", "all")
    got = rows_of(tmp_path / "o.csv")
    first, second = ([line for line in lines if line.split(",")[1] == k] for k in "12")
    assert [",".join(row[:4]) for row in got] == [head, *first, *second]
    hdu = got[0].index("rb_hdu")
    assert [row[hdu] for row in got[1:]] == [row[1] for row in got[1:]]


def test_ldac_keeps_the_header_of_the_image(files, tmp_path):
    image, places = files
    x, y = np.array([[float(a), float(b)] for a, b in places]).T
    cards = fits.Header({"OBJECT": "field", "EXPTIME": 60.0}).tostring(padding=False)
    head = fits.Column("Field Header Card", f"{len(cards)}A", array=np.array([cards]))
    objects = Table({"NUMBER": np.arange(len(x)), "X_IMAGE": x + 1, "Y_IMAGE": y + 1})
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([head], name="LDAC_IMHEAD")]
    hdus.append(fits.BinTableHDU(objects, name="LDAC_OBJECTS"))
    fits.HDUList(hdus).writeto(tmp_path / "c.cat")
    for out in ("o.ldac", "o.cat", "o.fits"):
        classify(image, tmp_path / "c.cat", tmp_path / out)
        with fits.open(tmp_path / out) as found:
            assert [hdu.name for hdu in found] == ["PRIMARY", "LDAC_IMHEAD", "LDAC_OBJECTS"]
            assert found[1].data[0][0] == cards.rstrip()
            assert found[2].columns.names[-3:] == ["rb_score", "rb_status", "rb_class"]
            assert found[2].header["RB_MODEL"]


@pytest.mark.parametrize(
    ("source", "out", "words"),
    [
        ("c.csv", "o.ldac", "rows are written as .ldac only if they are from a catalogue of FITS_LDAC"),
        ("c.csv", "o.coo", "o.coo: DAOPHOT is read, but not written; name a file of .ecsv"),
        ("c.coo", "o.coo", "o.coo: DAOPHOT is read, but not written; name a file of .ecsv"),
        (
            "name.csv",
            "o.fits",
            "column name has the text 'ö', which FITS cannot hold; try ECSV or VOTable",
        ),
        ("array.ecsv", "o.csv", "column a has arrays of shape (2,) in its cells, which CSV cannot hold"),
        ("c.csv", "o.x", "the suffix of o.x names no catalogue format; written are .ecsv, .fits"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    files, tmp_path, monkeypatch, caplog, source, out, words
):
    image, _ = files
    (tmp_path / "c.csv").write_text("x,y\n1,2\n")
    (tmp_path / "name.csv").write_text("x,y,name\n1,2,ö\n", encoding="utf-8")
    Table({"x": [1.0], "y": [1.0], "a": [[1, 2]]}).write(tmp_path / "array.ecsv")
    (tmp_path / "c.coo").write_text(
        " NL    NX    NY  LOWBAD\n  1   400   400   900.0\n\n      1   11.000   12.000  -3.1  0.6  0.1\n"
    )

    def work(*_, **__):
        raise AssertionError("the image was read")

    monkeypatch.setattr("rbinfer.pipeline.frames.load_image", work)
    options = ["--catalog", str(tmp_path / source), "-o", str(tmp_path / out), "-q"]
    assert main(["classify", str(image), *options]) == 1
    assert words in caplog.text
    assert not (tmp_path / out).exists()


def test_a_named_format(files, tmp_path, caplog, capsys):
    image, places = files
    body = "\n".join(f" {x} {y}" for x, y in places) + "\n"
    (tmp_path / "c.coo").write_text(body)
    options = ["classify", str(image), "--catalog", str(tmp_path / "c.coo"), "--json", "-q"]
    assert main(options) == 1
    assert "`catalog_format='CSV', x_col='col1', y_col='col2', origin=1`" in caplog.text
    by_name = ["--format", "csv", "--x-col", "col1", "--y-col", "col2"]
    assert main([*options, *by_name]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["detections"] == len(places)
    caplog.clear()
    assert main([*options, "--format", "daofot"]) == 1
    assert "no catalogue format is called daofot; did you mean DAOPHOT?" in caplog.text
    caplog.clear()
    assert main(["classify", str(image), "--format", "csv", "--json", "-q"]) == 1
    assert "`catalog_format` is given, but no catalogue; give `catalog` too" in caplog.text
