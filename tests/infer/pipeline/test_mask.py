"""Masks of artefacts: on an image whose hits are known, and in the image's geometry."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.errors import InputError
from rbinfer.io.masks_out import BITS, write_mask
from rbinfer.pipeline.mask import artefact_mask
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.runs.batch import run_batch

ROOT = Path(__file__).parents[3]
FIELD = ROOT / "benchmarks" / "example" / "field.fits"


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    path = tmp_path_factory.mktemp("mask") / "m.fits"
    argv = ["classify", str(FIELD), "-o", str(path.with_suffix(".ecsv")), "--mask-out", str(path), "-q"]
    assert main(argv) == 0
    return fits.getdata(path, "MASK")


def test_hits_are_masked_and_stars_are_not(mask):
    truth = Table.read(ROOT / "benchmarks" / "example" / "truth.ecsv")
    assert mask.shape == fits.getdata(FIELD).shape
    assert mask.dtype == np.uint8

    def share(kind, brightest):
        rows = truth[truth["type"] == kind]
        rows = rows[np.argsort(-np.asarray(rows["peak"]))[:brightest]]
        x, y = (np.rint(rows[name]).astype(int) for name in ("x", "y"))
        around = [mask[max(b - 1, 0) : b + 2, max(a - 1, 0) : a + 2] for a, b in np.column_stack([x, y])]
        return np.mean([each.any() for each in around])

    assert share("cosmic_ray", 15) >= 0.8
    assert share("star", 60) <= 0.1
    assert np.mean(mask > 0) < 0.05


def test_hits_of_one_pixel_that_the_rows_lack_are_in_it(tmp_path, classifier):
    pixels = fits.getdata(FIELD).astype(np.float32)
    dark = np.argwhere(pixels < np.percentile(pixels, 20))
    inside = dark[(dark > 10).all(axis=1) & (dark < np.array(pixels.shape) - 10).all(axis=1)]
    y, x = inside[np.random.default_rng(3).choice(len(inside), 10, replace=False)].T
    pixels[y, x] += 3000
    fits.writeto(tmp_path / "a.fits", pixels)
    Table({"x": [200.0], "y": [200.0]}).write(tmp_path / "one.csv")
    scored = score_file(str(tmp_path / "a.fits"), str(tmp_path / "one.csv"), ScoreOptions(), classifier)
    found = artefact_mask(scored.table, scored.image, ScoreOptions().columns, classifier)
    assert len(scored.table) == 1
    assert np.mean(found[y, x] > 0) >= 0.8


def test_a_run_writes_masks_of_the_same_bytes_as_classify(tmp_path, mask):
    (tmp_path / "in").mkdir()
    shutil.copy(FIELD, tmp_path / "in" / "a.fits")
    report = run_batch(tmp_path / "in", tmp_path / "out", workers=1, beside=["mask"])
    assert report.n_scored == 1
    np.testing.assert_array_equal(fits.getdata(tmp_path / "out" / "a.mask.fits", "MASK"), mask)
    assert run_batch(tmp_path / "in", tmp_path / "out", workers=1, beside=["mask"]).n_skipped == 1
    with pytest.raises(InputError, match="would be taken for images"):
        run_batch(tmp_path / "in", tmp_path / "in", workers=1, beside=["mask"])
    with pytest.raises(InputError, match="of one image"):
        run_batch(tmp_path / "in", tmp_path / "o", beside=["mask"], options=ScoreOptions(hdu="all"))


def test_geometry_and_meaning_are_in_the_header(tmp_path):
    header = fits.Header({"CTYPE1": "RA---TAN", "CRVAL1": 150.0, "OBJECT": "M 1", "CD1_1": -3e-4})
    pixels = np.zeros((40, 50), np.uint8)
    pixels[3, 4] = 5
    write_mask(pixels, tmp_path / "m.fits", header, "in/größe.fits")
    with fits.open(tmp_path / "m.fits") as hdus:
        assert hdus["MASK"].data[3, 4] == 5
        assert np.count_nonzero(hdus["MASK"].data) == 1
        found = hdus["MASK"].header
        assert (found["CTYPE1"], found["CRVAL1"], found["CD1_1"]) == ("RA---TAN", 150.0, -3e-4)
        assert "OBJECT" not in found
        assert {found[f"RBBIT{bit}"] for bit in BITS.values()} == set(BITS)
        assert found["RBIMAGE"] == "gr??e.fits"


def test_refused_before_any_work(tmp_path, capsys):
    image = ["classify", str(FIELD), "-o", str(tmp_path / "o.ecsv")]
    for more, words in (
        (["--mask-out", str(tmp_path / "m.png")], "a mask is a FITS image; call it m.fits, not m.png"),
        (["--mask-out", str(tmp_path / "m.fits.gz")], "call it m.fits, not m.fits.gz"),
        (["--mask-out", str(FIELD), "--overwrite"], "is what is read"),
        (["--mask-out", str(tmp_path / "m.fits"), "--model", "reference"], "--model default"),
        (["--mask-out", str(tmp_path / "m.fits"), "--hdu", "all"], "of one image"),
    ):
        assert main([*image, *more]) == 1
        assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
