"""Mosaics, what is noted of how scores were made, and stamps in headers."""

import hashlib
import json
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table, vstack

from rbinfer import InputError, RbinferError
from rbinfer.cli import main
from rbinfer.io.images import list_images, load_image
from rbinfer.io.maps import read_map
from rbinfer.io.stamp import stamp
from rbinfer.io.tables import read_catalog, read_catalogs
from rbinfer.model.registry import resolve
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file


@pytest.fixture(scope="module")
def halves(scene):
    """Return the two halves of an image, each with its detections."""
    image, table, _ = scene
    parts = []
    for k in range(2):
        inside = (table["y"] >= 200 * k) & (table["y"] < 200 * (k + 1))
        part = table["x", "y", "id"][inside]
        part["y"] -= 200.0 * k
        parts.append((image[200 * k : 200 * (k + 1)], part))
    return parts


@pytest.fixture
def mosaic(halves, tmp_path):
    """Write the halves as a mosaic: SCI and DQ of each, as cameras in space have it."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for k, (image, _) in enumerate(halves, start=1):
        quality = np.zeros(image.shape, np.int16)
        quality[:, : 40 * k] = 4
        hdus.append(fits.ImageHDU(image, name="SCI", ver=k))
        hdus.append(fits.ImageHDU(quality, name="DQ", ver=k))
    hdus.writeto(tmp_path / "mosaic.fits")
    return str(tmp_path / "mosaic.fits")


def write_ldac(parts, path, name="LDAC_OBJECTS"):
    head = fits.BinTableHDU(Table({"Field Header Card": ["SIMPLE  ="]}), name="LDAC_IMHEAD")
    hdus = [fits.PrimaryHDU()]
    for _, part in parts:
        table = part.copy()
        table["X_IMAGE"], table["Y_IMAGE"] = table["x"] + 1, table["y"] + 1
        table.remove_columns(["x", "y"])
        hdus += [head.copy(), fits.BinTableHDU(table, name=name)]
    fits.HDUList(hdus).writeto(path)
    return str(path)


OPTIONS = ScoreOptions(hdu="all", fwhm=3.2)


@pytest.fixture
def expected(halves, classifier):
    """Score the halves one by one."""
    return [classifier.classify(part, image, fwhm=3.2) for image, part in halves]


def test_options_are_plain_and_name_one_threshold():
    assert ScoreOptions(real=["star", "galaxy"]) == ScoreOptions(real=("star", "galaxy"))
    assert hash(ScoreOptions(real=["star"])) == hash(ScoreOptions(real=("star",)))
    with pytest.raises(InputError, match=r"one of threshold, .*, not 0\.3, 0\.01 and None"):
        ScoreOptions(threshold=0.3, max_missed=0.01)


def test_the_pixels_of_a_mosaic_are_not_kept(mosaic, halves, classifier):
    assert score_file(mosaic, None, OPTIONS, classifier).image is None
    one = score_file(mosaic, None, ScoreOptions(hdu="3", fwhm=3.2), classifier)
    np.testing.assert_array_equal(one.image.pixels, halves[1][0])


def test_images_of_a_mosaic(mosaic, tmp_path, caplog):
    assert list_images(mosaic) == {1: "SCI", 3: "SCI"}
    assert load_image(mosaic, 3).hdu == 3
    out = str(tmp_path / "o.ecsv")
    assert main(["classify", mosaic, "-o", out]) == 0
    assert "1 of 2 images (HDU 1) was scored; `hdu='all'` scores each" in caplog.text
    caplog.clear()
    assert main(["classify", mosaic, "--hdu", "1", "-o", out, "--overwrite"]) == 0
    assert "hdu='all'" not in caplog.text


def test_a_catalogue_for_each_image(mosaic, halves, expected, tmp_path, classifier):
    catalog = write_ldac(halves, tmp_path / "cat.fits")
    assert [name for name, _ in read_catalogs(catalog)] == ["LDAC_OBJECTS"] * 2
    scored = score_file(mosaic, catalog, OPTIONS, classifier)
    assert scored.table["rb_hdu"].tolist() == [1] * len(expected[0]) + [3] * len(expected[1])
    np.testing.assert_array_equal(scored.table["id"], vstack(expected)["id"])
    np.testing.assert_array_equal(scored.table["rb_score"], vstack(expected)["rb_score"])
    assert [part["hdu"] for part in scored.summary["extensions"]] == [1, 3]
    assert scored.summary["detections"] == sum(p["detections"] for p in scored.summary["extensions"])
    assert scored.table.meta["rb_hdu"] == "all"


def test_tables_are_matched_by_name_before_order(halves, tmp_path, classifier, expected):
    images = [fits.ImageHDU(image, name=f"CCD{k}") for k, (image, _) in enumerate(halves)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "m.fits")
    tables = [fits.BinTableHDU(part, name=f"CCD{k}") for k, (_, part) in enumerate(halves)]
    fits.HDUList([fits.PrimaryHDU(), *tables[::-1]]).writeto(tmp_path / "c.fits")
    scored = score_file(str(tmp_path / "m.fits"), str(tmp_path / "c.fits"), OPTIONS, classifier)
    np.testing.assert_array_equal(scored.table["rb_score"], vstack(expected)["rb_score"])


def test_one_table_with_extension_numbers(mosaic, halves, expected, tmp_path, classifier):
    parts = []
    for number, (_, part) in zip((1, 3), halves, strict=True):
        parts.append(part.copy())
        parts[-1]["EXT_NUMBER"] = number
    both = vstack(parts)
    both.write(tmp_path / "c.ecsv")
    scored = score_file(mosaic, str(tmp_path / "c.ecsv"), OPTIONS, classifier)
    np.testing.assert_array_equal(scored.table["rb_score"], vstack(expected)["rb_score"])
    both["EXT_NUMBER"][0] = 9
    both.write(tmp_path / "wrong.ecsv")
    with pytest.raises(InputError, match="EXT_NUMBER 9, but the images are in HDU 1, 3"):
        score_file(mosaic, str(tmp_path / "wrong.ecsv"), OPTIONS, classifier)


def test_detections_in_maps_are_left_out_and_told(
    mosaic, halves, expected, tmp_path, classifier, caplog
):
    # SExtractor detects in every extension, in quality maps too, and numbers them all.
    noise = Table({"x": [5.0, 6.0], "y": [5.0, 6.0], "id": [-1, -2]})
    four = [halves[0], (None, noise), halves[1], (None, noise[:1])]
    parts = [part.copy() for _, part in four]
    for number, part in enumerate(parts, start=1):
        part["EXT_NUMBER"] = number
    vstack(parts).write(tmp_path / "c.ecsv")
    for catalog in (str(tmp_path / "c.ecsv"), write_ldac(four, tmp_path / "cat.fits")):
        caplog.clear()
        scored = score_file(mosaic, catalog, OPTIONS, classifier)
        np.testing.assert_array_equal(scored.table["rb_score"], vstack(expected)["rb_score"])
        assert "3 rows are of maps (HDU 2, 4), not of images, and are left out" in caplog.text


def test_tables_that_do_not_fit_are_refused(mosaic, halves, tmp_path, classifier):
    catalog = write_ldac([*halves, halves[0]], tmp_path / "cat.fits")
    with pytest.raises(InputError, match=r"has 3 tables .* but .* has 2 images \(1 SCI, 3 SCI\)"):
        score_file(mosaic, catalog, OPTIONS, classifier)


def test_maps_of_the_same_version(mosaic, halves, tmp_path, classifier):
    shape = halves[0][0].shape
    for version, width in ((1, 40), (2, 80)):
        assert (read_map("DQ", mosaic, shape, "mask", version) != 0).sum() == width * shape[0]
    catalog = write_ldac(halves, tmp_path / "cat.fits")
    options = ScoreOptions(hdu="all", fwhm=3.2, mask="DQ", bad_bits=4)
    scored = score_file(mosaic, catalog, options, classifier).table
    few = (scored["rb_status"] & 8) != 0
    x = np.concatenate([part["x"] for _, part in halves])
    for number, width in ((1, 40), (3, 80)):
        of = scored["rb_hdu"] == number
        assert x[of & few].max() < width
        assert few[of & (x < width - 16)].all()


def test_mosaic_without_catalogue_on_the_command_line(mosaic, tmp_path, capsys):
    out = tmp_path / "out.fits"
    assert main(["classify", mosaic, "--hdu", "all", "-o", str(out)]) == 0
    told = capsys.readouterr().err
    assert "HDU 1 SCI:" in told
    assert "HDU 3 SCI:" in told
    table = read_catalog(out)
    assert set(np.unique(table["rb_hdu"])) == {1, 3}
    assert main(["classify", mosaic, "--hdu", "all", "--regions", str(tmp_path / "r.reg")]) == 1
    assert "regions and masks are of one image" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".vot", ".parquet"])
def test_the_output_says_how_it_was_made(mosaic, tmp_path, capsys, suffix):
    out = tmp_path / f"out{suffix}"
    code = main(
        ["classify", mosaic, "--threshold", "0.25", "--saturation", "5000", "--real", "star,galaxy",
         "--fwhm", "3.2", "-o", str(out)]
    )  # fmt: skip
    assert code == 0, capsys.readouterr().err
    meta = {key.lower(): value for key, value in read_catalog(out).meta.items()}
    model = resolve(None).resolve()
    assert meta["rb_hash"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert json.loads(meta["rb_opts"]) == {
        "threshold": 0.25, "saturation": 5000.0, "real": ["star", "galaxy"], "fwhm": 3.2
    }  # fmt: skip
    assert meta["rb_image"] == mosaic
    assert meta["rb_threshold"] == 0.25


@pytest.mark.parametrize("kind", ["plain", "u16", "gz", "fz", "checksum"])
def test_stamp_changes_the_header_alone(scene, tmp_path, kind, capsys):
    image = np.clip(scene[0], 0, 65535)
    path = tmp_path / ("im [1].fits" + {"gz": ".gz", "fz": ".fz"}.get(kind, ""))
    if kind == "fz":
        hdu = fits.CompImageHDU(image.astype(np.int16), compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    else:
        fits.writeto(path, image.astype(np.uint16) if kind == "u16" else image,
                     checksum=kind == "checksum")  # fmt: skip
    before = load_image(path)
    code = main(["classify", str(path), "-o", str(tmp_path / "o.ecsv"), "--stamp"])
    assert code == 0, capsys.readouterr().err
    after = load_image(path)
    np.testing.assert_array_equal(after.pixels, before.pixels)
    table = read_catalog(tmp_path / "o.ecsv")
    header = after.header
    assert header["RBMODEL"] == "default"
    assert header["RBHASH"] == table.meta["rb_hash"]
    assert header["RBNREAL"] + header["RBNBOGUS"] + header["RBNUNSC"] == len(table)
    assert header["RBFWHM"] == pytest.approx(table.meta["rb_fwhm"])
    kept = [card for card in before.header if card not in ("CHECKSUM", "DATASUM", "COMMENT", "")]
    assert {key: header[key] for key in kept} == {key: before.header[key] for key in kept}
    with fits.open(path, checksum=True) as hdus:  # warns where a checksum is wrong
        hdus.verify("exception")
    # What an unsigned image is in the file, it is still.
    with fits.open(path, do_not_scale_image_data=True) as hdus:
        assert hdus[0].header.get("BZERO") == (32768 if kind == "u16" else None)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    # A second stamp takes the place of the first.
    main(["classify", str(path), "-o", str(tmp_path / "p.ecsv"), "--stamp", "--threshold", "0.9"])
    again = load_image(path).header
    assert again["RBTHRESH"] == 0.9
    assert sum(key == "RBTHRESH" for key in again) == 1


def test_stamp_that_fails_leaves_the_image(tmp_path):
    path = tmp_path / "im.fits"
    path.write_bytes(b"no FITS")
    with pytest.raises(RbinferError, match=r"im.fits cannot be stamped: it does not begin"):
        stamp(path, {0: {}}, {})
    assert path.read_bytes() == b"no FITS"
    assert [p.name for p in tmp_path.iterdir()] == ["im.fits"]


@pytest.mark.parametrize("hdu", ["1", "3"])
def test_one_image_of_a_mosaic_gets_its_own_rows(mosaic, halves, expected, tmp_path, classifier, hdu):
    own = expected[0 if hdu == "1" else 1]
    options = ScoreOptions(hdu=hdu, fwhm=3.2)
    scored = score_file(mosaic, write_ldac(halves, tmp_path / "cat.fits"), options, classifier)
    np.testing.assert_array_equal(scored.table["rb_score"], own["rb_score"])
    parts = [part.copy() for _, part in halves]
    for number, part in zip((1, 3), parts, strict=True):
        part["EXT_NUMBER"] = number
    vstack(parts).write(tmp_path / "c.ecsv")
    scored = score_file(mosaic, str(tmp_path / "c.ecsv"), options, classifier)
    np.testing.assert_array_equal(scored.table["id"], own["id"])


def test_images_of_one_name_do_not_share_a_table(mosaic, halves, tmp_path, classifier, expected):
    tables = [fits.BinTableHDU(part, name=name) for name, (_, part) in zip("ab", halves, strict=True)]
    tables[0].name = "SCI"
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(tmp_path / "c.fits")
    scored = score_file(mosaic, str(tmp_path / "c.fits"), OPTIONS, classifier)
    np.testing.assert_array_equal(scored.table["rb_score"], vstack(expected)["rb_score"])


def test_masks_of_chips_with_names_of_their_own(halves, tmp_path):
    hdus = [fits.PrimaryHDU()]
    for k, (image, _) in enumerate(halves, start=1):
        mask = np.zeros(image.shape, np.uint8)
        mask[:, : 30 * k] = 1
        hdus += [fits.ImageHDU(image, name=f"CCD{k}"), fits.ImageHDU(mask, name="MASK")]
    fits.HDUList(hdus).writeto(tmp_path / "m.fits")
    for number, width in ((1, 30), (3, 60)):
        assert load_image(tmp_path / "m.fits", number).mask.sum() == width * 200
        shape = halves[0][0].shape
        assert read_map("MASK", tmp_path / "m.fits", shape, "mask", number).sum() == width * 200
    # Two images and one mask behind the first: it is the first's.
    fits.HDUList([*hdus[:3], hdus[3]]).writeto(tmp_path / "n.fits")
    assert load_image(tmp_path / "n.fits", 1).mask.sum() == 30 * 200
    # Before both, it may be of either.
    fits.HDUList([hdus[0], hdus[2], hdus[1], hdus[3]]).writeto(tmp_path / "o.fits")
    assert load_image(tmp_path / "o.fits", 2).mask is None
    with pytest.raises(InputError, match="has 2 images and 1 HDU named MASK: which is of HDU 2 is"):
        read_map("MASK", tmp_path / "o.fits", halves[0][0].shape, "mask", 2)


def test_nothing_is_noted_of_an_earlier_scoring(scene, tmp_path, classifier):
    image, table, _ = scene
    fits.writeto(tmp_path / "i.fits", image)
    renamed = table["x", "y"].copy()
    renamed["xx"], renamed["yy"] = renamed["x"], renamed["y"]
    renamed.write(tmp_path / "c.fits")
    first = ["classify", str(tmp_path / "i.fits"), "--catalog", str(tmp_path / "c.fits")]
    assert main([*first, "--x-col", "xx", "--y-col", "yy", "-o", str(tmp_path / "s.fits")]) == 0
    again = score_file(str(tmp_path / "i.fits"), str(tmp_path / "s.fits"), ScoreOptions(), classifier)
    noted = [key.lower() for key in again.table.meta]
    assert len(noted) == len(set(noted))
    assert "rb_x_col" not in noted
    assert again.table.meta["rb_real"] == ["star", "galaxy"]


def test_positions_that_are_mostly_unknown_are_told(scene, tmp_path, classifier, caplog):
    fits.writeto(tmp_path / "i.fits", scene[0])
    Table({"x": [np.nan, np.nan, 50.0], "y": [1.0, 2.0, 50.0]}).write(tmp_path / "c.ecsv")
    score_file(str(tmp_path / "i.fits"), str(tmp_path / "c.ecsv"), ScoreOptions(), classifier)
    assert "2 of 3 positions are masked or no numbers" in caplog.text


@pytest.mark.parametrize("mask", ["BAD", "2", "image.fits[BAD]"])
def test_the_mask_is_no_image_by_name_or_number(scene, tmp_path, monkeypatch, caplog, mask):
    monkeypatch.chdir(tmp_path)
    bad = np.zeros(scene[0].shape, np.int16)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(scene[0], name="SCI"), fits.ImageHDU(bad, name="BAD")]
    fits.HDUList(hdus).writeto("image.fits")
    assert main(["classify", "image.fits", "--mask", mask, "-o", "one.ecsv"]) == 0
    assert "hdu='all'" not in caplog.text
    assert main(["classify", "image.fits", "--mask", mask, "--hdu", "all", "-o", "all.ecsv"]) == 0
    assert set(read_catalog("all.ecsv")["rb_hdu"]) == {1}
    assert len(read_catalog("all.ecsv")) == len(read_catalog("one.ecsv"))


def test_one_table_for_a_mosaic_is_refused(mosaic, halves, tmp_path, classifier):
    halves[0][1].write(tmp_path / "c.ecsv")
    with pytest.raises(InputError, match=r"c.ecsv has one table but .* has 2 images \(1 SCI, 3 SCI\)"):
        score_file(mosaic, str(tmp_path / "c.ecsv"), OPTIONS, classifier)


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "; 0 % of the pixels are finite"), (7, "; 100 % .* from 7 to 7")]
)
def test_a_dead_frame_is_told(tmp_path, classifier, caplog, value, words):
    fits.writeto(tmp_path / "dead.fits", np.full((64, 48), value, np.float32))
    scored = score_file(str(tmp_path / "dead.fits"), None, ScoreOptions(), classifier)
    assert len(scored.table) == 0
    assert re.search(f"dead.fits: nothing was detected{words}", caplog.text)


CHOICES = [
    "",
    "--columns classes,snr",
    "--columns id,rb_score",
    "--filter",
    "--sort doubtful",
    "--class cosmic_ray,hot_pixel",
    "--swap-xy",
    "--x-col y --y-col x",
]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("kind", ["fits", "ldac"])
def test_rows_as_they_stand_are_scored_as_a_table(scene, tmp_path, monkeypatch, kind, choice):
    image, table, _ = scene
    fits.writeto(tmp_path / "i.fits", image)
    catalog = str(tmp_path / "c.fits")
    swapped = table["x", "y", "id", "real"].copy()
    if "xy" in choice or "--x-col" in choice:
        swapped["x"], swapped["y"] = table["y"], table["x"]
    swapped["name"] = [f"star {k}" for k in range(len(table))]
    swapped["x"].unit = "pixel"
    if kind == "ldac":
        choice = choice.replace("y --y-col x", "Y_IMAGE --y-col X_IMAGE --origin 1")
        write_ldac([(image, swapped)], catalog)
    else:
        swapped.write(catalog)
    argv = ["classify", str(tmp_path / "i.fits"), "--catalog", catalog, "-q", *choice.split(), "-o"]
    assert main([*argv, str(tmp_path / "found.fits")]) == 0
    monkeypatch.setattr("rbinfer.io.tables.read_records", lambda path: None)
    assert main([*argv, str(tmp_path / "known.fits")]) == 0
    assert_same_tables(tmp_path / "found.fits", tmp_path / "known.fits")


@pytest.mark.parametrize("choice", CHOICES[:5])
def test_what_is_detected_is_written_as_a_table_would_be(scene, tmp_path, monkeypatch, choice):
    fits.writeto(tmp_path / "i.fits", scene[0])
    choice = choice.replace("id", "flux")
    argv = ["classify", str(tmp_path / "i.fits"), "-q", *choice.split(), "-o"]
    assert main([*argv, str(tmp_path / "found.fits")]) == 0
    monkeypatch.setattr("rbinfer.pipeline.score_file.takes_records", lambda output: False)
    assert main([*argv, str(tmp_path / "known.fits")]) == 0
    assert_same_tables(tmp_path / "found.fits", tmp_path / "known.fits")


def assert_same_tables(one, other):
    found, known = read_catalog(one), read_catalog(other)
    assert len(known) > 0
    assert found.dtype == known.dtype
    for name in known.colnames:
        np.testing.assert_array_equal(found[name], known[name])
        assert found[name].unit == known[name].unit
    assert list(found.meta) == list(known.meta)
    for key, value in known.meta.items():
        assert found.meta[key] == (pytest.approx(value, rel=1e-12) if type(value) is float else value)
