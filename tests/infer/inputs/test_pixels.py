"""Pixels that are easily read wrongly: blanks, fillings, stretches, planes, masks, what is no sky."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.utils.masked import Masked

from rbinfer import Status, classify_realbogus

from .fields import EMPTY, same


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
