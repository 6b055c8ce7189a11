"""Inputs that are easily read wrongly, as a user gives them to the command line, with the right answers.

Stars and single-pixel hits on a flat sky, in every container that is known to be misread. What is right
is what the plain image and the plain catalogue give.
"""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.utils.masked import Masked
from astropy.wcs import WCS

from rbinfer import Classifier, Status, classify_realbogus
from rbinfer.cli import main
from rbinfer.io.tables import read_catalog

SIZE, SKY, NOISE, STARS, HITS = 400, 800.0, 8.0, 60, 30
EMPTY = 140  # rows without data, where there are such


class Field:
    """A simulated field on disk, and what came of a command."""

    def __init__(self, folder):
        self.folder = folder
        rng = np.random.default_rng(20)
        rows, columns = np.indices((SIZE, SIZE))
        self.pixels = rng.normal(SKY, NOISE, (SIZE, SIZE))
        x, y = rng.uniform(15, SIZE - 15, (2, STARS))
        for cx, cy, peak in zip(x, y, 10 ** rng.uniform(2.2, 3.5, STARS), strict=True):
            self.pixels += peak * np.exp(
                -4 * np.log(2) * ((columns - cx) ** 2 + (rows - cy) ** 2) / 3.1**2
            )
        hx, hy = rng.integers(15, SIZE - 15, (2, HITS))
        self.pixels[hy, hx] += 10 ** rng.uniform(2.6, 3.5, HITS)
        self.x, self.y = np.r_[x, hx], np.r_[y, hy]
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
        wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (20.0, -5.0), (200.5, 200.5), (-3e-4, 3e-4)
        self.header = wcs.to_header()
        self.image("plain.fits", self.pixels)

    def image(self, name, pixels, dtype=np.float32, compression=None, **cards):
        header = self.header.copy()
        pixels = np.asarray(pixels).astype(dtype)
        hdu = fits.PrimaryHDU(pixels, header)
        hdu.header.update(cards)
        if compression:
            hdu = fits.CompImageHDU(pixels, header, compression_type=compression)
            hdu.header.update(cards)
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(self.folder / name)
        else:
            hdu.writeto(self.folder / name)
        return str(self.folder / name)

    def path(self, name):
        return str(self.folder / name)

    def catalogue(self, name, x=None, y=None, **columns):
        x, y = (self.x if x is None else x), (self.y if y is None else y)
        Table({**columns, "x": x, "y": y}).write(self.folder / name)
        return str(self.folder / name)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def classify(field, tmp_path, capsys):
    def run(*arguments, out="out.ecsv", code=0):
        found = main(["classify", *map(str, arguments), "-o", str(tmp_path / out)])
        told = capsys.readouterr().err
        assert found == code, told
        table = read_catalog(tmp_path / out) if (tmp_path / out).exists() else None
        return table, told

    return run


@pytest.fixture(scope="module")
def good(field):
    """Verdicts of the plain catalogue on the plain image."""
    table = Classifier(device="cpu").classify({"x": field.x, "y": field.y}, field.pixels)
    real = np.asarray(table["rb_score"]) > 0.5
    assert real[:STARS].mean() > 0.95
    assert not real[STARS:].any()
    return real


def same(table, good):
    """The verdicts are those of the plain catalogue, but for what rounding moves."""
    return np.mean((np.asarray(table["rb_score"]) > 0.5) == good) >= 0.98


@pytest.fixture(scope="module")
def half(field):
    """The field with some rows that hold no data, as NaN, and what is found in it."""
    pixels = field.pixels.copy()
    pixels[:EMPTY] = np.nan
    return pixels


@pytest.mark.parametrize("kind", ["u2", "u2 tiles", "i2 with a scale", "u4", "u1"])
def test_blank_rows_are_no_data(field, half, classify, kind):
    reference, _ = classify(field.image(f"nan {kind}.fits", half))
    if kind == "i2 with a scale":
        stored = np.where(np.isnan(half), -32768, np.clip(half, 0, 4000) * 4)
        path = field.image(f"{kind}.fits", stored, np.int16, BLANK=-32768)
        with fits.open(path, "update", do_not_scale_image_data=True) as hdus:
            hdus[0].header.update({"BSCALE": 0.25, "BZERO": 0.0})
    elif kind == "u1":
        small = np.where(np.isnan(half), 255, np.clip((half - 700) / 8, 0, 254))
        reference, _ = classify(
            field.image("nan u1 too.fits", np.where(small == 255, np.nan, np.rint(small))), out="a.ecsv"
        )
        path = field.image(f"{kind}.fits", np.rint(small), np.uint8, BLANK=255)
    else:
        dtype = np.dtype(kind[:2])
        top = np.iinfo(dtype).max
        stored = np.where(np.isnan(half), top, np.rint(np.clip(half, 0, 60000)))
        compression = "RICE_1" if "tiles" in kind else None
        path = field.image(
            f"{kind}.fits", stored, dtype, compression, BLANK=int(top) - 2 ** (8 * dtype.itemsize - 1)
        )
    table, _ = classify(path, out="b.ecsv")
    assert abs(len(table) - len(reference)) <= 1
    assert (table["y"] > EMPTY - 2).all()
    assert table.meta["rb_fwhm"] == pytest.approx(reference.meta["rb_fwhm"], rel=0.02)


@pytest.mark.parametrize(("name", "value"), [("zero", 0.0), ("sentinel", -32768.0), ("top", 65535.0)])
def test_an_area_of_one_value_is_no_data(field, half, classify, good, name, value):
    path = field.image(f"{name}.fits", np.nan_to_num(half, nan=value))
    reference, _ = classify(field.image(f"nan {name}.fits", half), out="a.ecsv")
    table, told = classify(path, out="b.ecsv")
    assert f"35 % of the pixels are exactly {value:g} and hold no data" in told
    assert len(table) == len(reference)
    np.testing.assert_allclose(table["rb_score"], reference["rb_score"], atol=0.02)
    rows, _ = classify(path, "--catalog", field.catalogue(f"{name}.csv"), out="c.ecsv")
    empty = field.y < EMPTY - 0.5
    no_data = (np.asarray(rows["rb_status"]) & Status.NO_DATA) != 0
    # A row on the border belongs to either.
    clear = np.abs(field.y - EMPTY) > 1.5
    np.testing.assert_array_equal(no_data[clear], empty[clear])
    assert np.isnan(np.asarray(rows["rb_score"])[no_data]).all()


def test_stretched_pixels(field, classify, good):
    soft, offset = 12.0, 790.0
    stretched = 2.5 * np.log10(np.e) * np.arcsinh((field.pixels - offset) / (2 * soft))
    path = field.image("asinh.fits", stretched, np.float64, BSOFTEN=soft, BOFFSET=offset)
    table, told = classify(path, "--catalog", field.catalogue("asinh.csv"))
    assert "which is undone" in told
    assert same(table, good)
    root = field.image("root.fits", np.sqrt(field.pixels), np.float64, BUNIT="sqrt(adu)")
    table, told = classify(root, "--catalog", field.path("asinh.csv"), out="b.ecsv")
    assert same(table, good)
    magnitudes = field.image("mag.fits", -2.5 * np.log10(field.pixels), BUNIT="mag")
    _, told = classify(magnitudes, code=1, out="c.ecsv")
    assert "the pixels are magnitudes" in told


def test_a_colour_image_and_its_planes(field, classify, good):
    path = field.image("rgb.fits", np.stack([0.8 * field.pixels, field.pixels, 1.2 * field.pixels]))
    _, told = classify(path, code=1)
    assert "choose one: --plane 0 to 2, R, G, B or mean" in told
    for plane in ("0", "R", "g", "B", "mean"):
        table, _ = classify(
            path, "--plane", plane, "--catalog", field.path("good.csv"), out=f"{plane}.ecsv"
        )
        assert same(table, good)


@pytest.fixture(autouse=True, scope="module")
def _good_catalogue(field):
    field.catalogue("good.csv")


def test_a_mosaic_of_filters(field, classify, good):
    raw = field.pixels.copy()
    raw[::2, ::2] *= 0.5
    raw[1::2, 1::2] *= 0.7
    told_by_header = field.image("bayer.fits", raw, np.uint16, BAYERPAT="RGGB")
    untold = field.image("untold.fits", raw, np.uint16)
    for k, arguments in enumerate(([told_by_header], [untold, "--bayer"])):
        table, told = classify(*arguments, "--catalog", field.path("good.csv"), out=f"{k}.ecsv")
        assert "mosaic of colour filters" in told
        assert same(table, good)


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


@pytest.mark.parametrize(
    "card",
    [
        b"CCD-TEMP=                  NaN /",
        b"OBSERVER= A person, at night",
        b"gain    =                  1.5",
    ],
)
def test_stamps_beside_strange_cards(field, classify, tmp_path, card):
    path = tmp_path / "s.fits"
    whole = (field.folder / "plain.fits").read_bytes()
    end = whole.index(b"END" + b" " * 77)
    path.write_bytes(whole[:end] + card.ljust(80) + whole[end : end + 80] + whole[end + 160 :])
    classify(path, "--stamp")
    stamped = path.read_bytes()
    assert card.ljust(80) in stamped
    assert stamped.endswith(whole[-4 * SIZE * SIZE :])
    assert b"RBNREAL =" in stamped


def test_frames_of_a_night(field, tmp_path, capsys):
    for kind, value in (
        ("LIGHT", "Light Frame"),
        ("DARK", "Dark Frame"),
        ("FLAT", "Flat Field"),
        ("BIAS", "Bias"),
    ):
        for k, minute in enumerate((41, 3)):
            folder = tmp_path / "night" / "M 67" / kind
            folder.mkdir(parents=True, exist_ok=True)
            cards = {"IMAGETYP": value, "DATE-OBS": f"2026-11-28T22:{minute:02d}:00"}
            fits.PrimaryHDU(field.pixels.astype(np.float32), fits.Header(cards)).writeto(
                folder / f"{kind}_{k}.fits"
            )
    argv = [
        "batch",
        str(tmp_path / "night"),
        "--recursive",
        "-o",
        str(tmp_path / "out"),
        "--workers",
        "1",
        "--json",
    ]
    assert main(argv) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["images"] == 2
    assert "dark" in told.err
    images = [
        json.loads(line)["image"] for line in (tmp_path / "out" / "batch.jsonl").read_text().splitlines()
    ]
    assert [os.path.basename(image) for image in images] == ["LIGHT_1.fits", "LIGHT_0.fits"]
    found = sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.ecsv")
    )
    assert found == ["M 67/LIGHT/LIGHT_0.ecsv", "M 67/LIGHT/LIGHT_1.ecsv"]


@pytest.mark.parametrize("what", ["closed", "no jit"])
def test_a_closed_stdout_and_pure_python_end_in_a_sentence(field, tmp_path, what):
    command = [sys.executable, "-m", "rbinfer", "classify", field.path("plain.fits")]
    env = dict(os.environ)
    if what == "no jit":
        env["NUMBA_DISABLE_JIT"] = "1"
        command += [
            "-o",
            str(tmp_path / "o.ecsv"),
            "--catalog",
            field.catalogue("few.csv", field.x[:3], field.y[:3]),
        ]
    line = " ".join(f"'{word}'" for word in command) + (" >&-" if what == "closed" else "")
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env, timeout=300)
    if what == "closed":
        assert done.returncode == 1
        assert done.stderr.startswith("rbinfer: error: the standard output is closed")
    else:
        assert done.returncode in (0, 1)
        assert "Error:" not in done.stderr.replace("rbinfer: error:", "")
    assert "Traceback" not in done.stderr
    assert "Type" not in done.stderr


@pytest.mark.parametrize("unit", [None, u.adu])
def test_masked_arrays_of_astropy(field, unit):
    bad = np.zeros(field.pixels.shape, bool)
    bad[:EMPTY] = True
    image = Masked(field.pixels if unit is None else field.pixels * unit, mask=bad)
    rows = {"x": field.x, "y": field.y}
    masked = classify_realbogus(rows, image, flag_bogus=False)
    plain = classify_realbogus(rows, np.ma.array(field.pixels, mask=bad), flag_bogus=False)
    np.testing.assert_array_equal(masked["rb_status"], plain["rb_status"])
    np.testing.assert_array_equal(masked["rb_score"], plain["rb_score"])
    assert np.isnan(masked["rb_score"]).sum() > 20
    hidden = np.arange(len(field.x)) < 5
    columns = Table({"x": Masked(field.x * u.pix, mask=hidden), "y": field.y})
    found = classify_realbogus(columns, field.pixels, flag_bogus=False)
    assert (np.asarray(found["rb_status"])[:5] & Status.POSITION_NOT_FINITE).all()
    assert np.isfinite(found["rb_score"][5:]).all()


def test_a_table_given_as_the_image_and_other_images(field, classify, tmp_path):
    Table({"x": field.x, "y": field.y}).write(tmp_path / "cat.fits")
    _, told = classify(tmp_path / "cat.fits", code=1)
    assert "--catalog" in told
    mask = (np.random.default_rng(1).random((200, 200)) < 0.01).astype(np.uint8)
    fits.PrimaryHDU(mask).writeto(tmp_path / "mask.fits")
    _, told = classify(tmp_path / "mask.fits", out="m.ecsv")
    assert "is it a mask?" in told


def test_compressed_text(field, classify, good, tmp_path):
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress((field.folder / "good.csv").read_bytes()))
    table, _ = classify(field.path("plain.fits"), "--catalog", tmp_path / "c.csv.gz")
    assert same(table, good)
