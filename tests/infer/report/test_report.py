"""A night's report: counts, repeating positions, the reference of the model, places on the sky."""

import base64
import dataclasses
import json
import re
import struct
import zlib

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.errors import RbinferError
from rbinfer.io.tables import write_catalog
from rbinfer.model.registry import resolve
from rbinfer.model.session import read_spec
from rbinfer.night.bands import RowFile
from rbinfer.night.repeats import find_repeats, least_images
from rbinfer.pipeline.summary import BINS
from rbinfer.report import read_night, write_report
from rbinfer.report.one import SOURCE
from rbinfer.report.reference import record_of_night, reference_scores
from rbinfer.report.stars import draw_stars

from .conftest import HOT, STRANGE, N, image_of, night_in, stored


def test_counts_are_those_of_the_tables(night):
    read = night_in(night[1], None, 8)
    names = [STRANGE if k == 10 else f"im{k + 1}.fits" for k in range(N)]
    assert [image.name for image in read.images] == names  # numbers as numbers
    for image in read.images:
        table = Table.read(image.result)
        score = np.asarray(table["rb_score"])
        assert image.detections == len(table) == 30
        assert image.real == np.count_nonzero(score > 0.5)
        assert image.bogus == np.count_nonzero(score <= 0.5)
        assert image.unscored == 0
        assert image.fwhm == pytest.approx(2.8, abs=1.5)
        assert sum(map(sum, image.classes.values())) == len(table)
        assert image.finished.startswith("2026-01-02 03:")
    assert len(read.bogus) == sum(image.bogus for image in read.images) == read.histogram[0].sum()
    assert read.histogram[1].sum() == sum(image.real for image in read.images)
    assert [(one.name, one.reason) for one in read.failed] == [("bad<i>.fits", "no <pixels> & none")]
    assert [name for name, _ in read.skipped] == ["plain.ecsv"]
    away = np.abs(read.borderline["score"] - 0.5)
    for k in range(N):
        scores = np.asarray(Table.read(read.images[k].result)["rb_score"], np.float64)
        own = away[read.borderline["image"] == k]
        np.testing.assert_allclose(own, np.sort(np.abs(scores - 0.5))[:8], atol=1e-7)


@pytest.mark.parametrize("suffix", ["ecsv", "fits", "vot", "parquet", "csv"])
def test_formats_alike(night, tmp_path, suffix, caplog):
    table = Table.read(night[1] / "im1.ecsv")
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    write_catalog(table, tmp_path / f"a.{suffix}")
    (image,) = (read := night_in(tmp_path, night[0], 5)).images
    (expected, *_) = night_in(night[1], None, 5).images
    for key in ("detections", "real", "bogus", "unscored", "threshold", "classes", "status"):
        assert getattr(image, key) == getattr(expected, key)
    if suffix == "csv":
        assert "no threshold is noted (CSV keeps none); 0.5 is taken" in caplog.text
        assert image.path is None
        assert image.fwhm is None
    else:
        for key in (
            "fwhm",
            "fwhm_source",
            "ellipticity",
            "hash",
            "options",
            "real_classes",
            "noted",
            "path",
        ):
            value = getattr(expected, key)
            # Astropy writes 16 digits in a header of FITS.
            same = pytest.approx(value, rel=1e-15) if isinstance(value, float) else value
            assert getattr(image, key) == same
        assert not read.notes


def test_a_csv_and_its_journal(night, tmp_path):
    """What CSV has no place for, the journal of a batch knows."""
    table = Table.read(night[1] / "im1.ecsv")
    write_catalog(table, tmp_path / "im1.csv")
    first = json.loads((night[1] / "batch.jsonl").read_text().splitlines()[1])
    entry = first | {"output": "im1.csv"}
    entry["summary"] = first["summary"] | {"threshold": 0.25}
    (tmp_path / "batch.jsonl").write_text(json.dumps(entry))
    (image,) = (read := night_in(tmp_path, None, 5)).images
    assert (image.threshold, image.path, image.model) == (0.25, night[0] / "im1.fits", "default")
    assert image.fwhm == table.meta["rb_fwhm"]
    assert not read.notes


def test_unscored_rows_and_no_rows(night, tmp_path):
    table = Table.read(night[1] / "im1.ecsv")
    table["rb_score"][:3] = np.nan
    table["rb_status"][:3] = 2
    table.write(tmp_path / "a.ecsv")
    table.meta["rb_image"] = "b.fits"
    table[:0].write(tmp_path / "b.ecsv")
    table["rb_class"].name = "other"
    table.write(tmp_path / "c.ecsv")
    read = write_report(tmp_path, tmp_path / "n.html")
    assert [image.unscored for image in read.images] == [3, 0, 3]
    assert [image.detections for image in read.images] == [30, 0, 30]
    assert read.images[1].bogus_fraction is None
    assert "6 OFF_IMAGE" in (tmp_path / "n.html").read_text()
    assert read.images_of_hdu == {0: 3}
    assert any("each is counted" in note for note in read.notes)


def _sources(rows):
    out = np.zeros(len(rows), SOURCE)
    for k, (image, hdu, x, y) in enumerate(rows):
        out[k] = (image, hdu, x, y, 0.1, 0, k, False)
    return out


def test_repeating_positions():
    """Within 1 px across the borders of pixels, twice in an image counts once, HDUs apart."""
    rng = np.random.default_rng(3)
    rows = [(k, 0, 50.5 + (-1) ** k * 0.2, 80.5) for k in range(6)]  # on a corner of pixels
    rows += [(0, 0, 20.0, 20.0)] * 9  # nine times in one image
    rows += [(k, k % 2, 120.0, 30.0) for k in range(4)]  # two images in either HDU
    rows += [(k, 0, 10.0 + 3.0 * k, 90.0) for k in range(6)]  # a trail
    rows += [(k, 1, 7.3, 9.1) for k in range(3)]
    rows += [(0, 0, np.nan, 5.0), (1, 0, 1e300, 5.0), (2, 0, np.inf, 5.0)]
    rows += [(k, 0, *rng.uniform(150, 1000, 2)) for k in range(6)]
    sources = stored(_sources(rows))
    repeats = find_repeats(sources, {0: 6, 1: 6})
    assert [(one.hdu, one.images) for one in repeats.found] == [(0, 6), (1, 3)]
    assert (repeats.found[0].x, repeats.found[0].y) == (50.5, 80.5)
    assert repeats.found[0].share == 1.0
    assert repeats.found[0].member == 5  # the brightest
    np.testing.assert_array_equal(np.flatnonzero(repeats.rows), [*range(6), 25, 26, 27])
    assert [least_images(n) for n in (1, 12, 15, 16, 100)] == [3, 3, 3, 4, 20]
    assert not find_repeats(sources, {0: 100, 1: 100}).found


def test_a_full_disk_is_told_and_is_no_fault_of_the_results(night, tmp_path):
    class Full(RowFile):
        def add(self, rows):
            raise RbinferError("no room")

    with pytest.raises(RbinferError, match="no room"):
        read_night(night[1], None, 5, Full(tmp_path, SOURCE))


def test_neighbouring_hot_pixels_stay_apart():
    rows = [(k, 0, 30.0 + 2 * n, 40.0) for k in range(5) for n in range(3)]
    rows += [(0, 0, 31.0, 40.0)]  # a stray one between
    found = find_repeats(stored(_sources(rows)), {0: 5}).found
    assert sorted(one.x for one in found) == [30.0, 32.0, 34.0]


def test_hot_pixels_of_the_night_are_found(night):
    read = night_in(night[1], None, 5)
    found = {(one.x, one.y): one.images for one in find_repeats(read.bogus, read.images_of_hdu).found}
    assert found.keys() == set(map(tuple, HOT))
    assert min(found.values()) >= N - 2


def reference_of(read):
    return reference_scores(read, record_of_night(read))


def test_reference_of_the_model(night, monkeypatch):
    """Shares of real and bogus times their numbers; only for the model that made the scores."""
    read = night_in(night[1], None, 5)
    shares = {"real": [0.0] * 19 + [1.0], "bogus": [0.5, 0.5] + [0.0] * 18}
    spec = with_scores(shares)
    monkeypatch.setattr("rbinfer.model.session.read_spec", lambda path: spec)
    reference = reference_of(read)
    n_bogus = len(read.bogus)
    assert reference.counts.tolist() == [n_bogus / 2] * 2 + [0.0] * (BINS - 3) + [12 * 30 - n_bogus]
    for scores, reason in (
        ({"real": [1]}, "damaged"),
        ({"real": [1], "bogus": [1]}, "damaged"),
        ({}, "has none"),
    ):
        other = with_scores(scores)
        monkeypatch.setattr("rbinfer.model.session.read_spec", lambda path, other=other: other)
        assert reason in reference_of(read).missing
    for change, reason in (
        ({"hash": "0" * 64}, "several models"),
        ({"model": "other"}, "several models"),
    ):
        read.images[0] = dataclasses.replace(read.images[0], **change)
        assert reason in reference_of(read).missing
    read.images = [dataclasses.replace(image, model="default", hash="0" * 64) for image in read.images]
    assert "not the one that was used" in reference_of(read).missing
    read.images = [dataclasses.replace(image, model="gone") for image in read.images]
    assert "not installed" in reference_of(read).missing


def with_scores(shares):
    """Return the spec of the default model with other shares of scores in its default reading."""
    spec = read_spec(resolve(None))
    first, *others = spec.readings
    return dataclasses.replace(spec, readings=(dataclasses.replace(first, scores=shares), *others))


def test_reference_of_another_reading(night):
    read = night_in(night[1], None, 5)
    read.images = [dataclasses.replace(image, real_classes=("star",)) for image in read.images]
    stars = read_spec(resolve(None)).reading(("star",)).scores
    n_bogus = len(read.bogus)
    expected = np.array(stars["real"]) * (12 * 30 - n_bogus) + np.array(stars["bogus"]) * n_bogus
    np.testing.assert_allclose(reference_of(read).counts, expected)
    read.images = [dataclasses.replace(image, real_classes=("trail",)) for image in read.images]
    assert "not measured with the classes" in reference_of(read).missing


def test_the_stars_of_the_sharpest_a_middling_and_the_widest_image(night):
    read = night_in(night[1], None, 5)
    stars = draw_stars(read)
    assert [star.title for star in stars] == ["Sharpest", "Median", "Widest"]
    widths = sorted(image.fwhm for image in read.images if image.fwhm_source == "measured")
    assert [star.image.fwhm for star in stars] == [widths[0], widths[(len(widths) - 1) // 2], widths[-1]]
    for star in stars:
        data = base64.b64decode(star.url.removeprefix("data:image/png;base64,"))
        assert struct.unpack(">II", data[16:24]) == (31, 31)
        lines = np.frombuffer(zlib.decompress(data[41:-16]), np.uint8).reshape(31, 32)[:, 1:]
        assert lines[15, 15] == 255
        assert lines[15, 12] < 200  # half of the maximum is 1.5 pixels from the middle
    read.images = [dataclasses.replace(image, path=None) for image in read.images]
    assert draw_stars(read) == []


def test_a_result_with_the_name_of_its_image(night, tmp_path):
    table = Table.read(night[1] / "im1.ecsv")
    table.meta["rb_image"] = "im1.fits"
    write_catalog(table, tmp_path / "im1.fits")
    assert night_in(tmp_path, None, 5).images[0].path is None
    assert night_in(tmp_path, night[0], 5).images[0].path == night[0] / "im1.fits"


def test_positions_on_the_sky_by_the_image(night, tmp_path):
    header = fits.Header()
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0, CRPIX1=100.0)
    header.update(CRPIX2=100.0, CDELT1=-1e-4, CDELT2=1e-4)
    fits.writeto(tmp_path / "sky.fits", image_of(0)[0], header)
    table = Table.read(night[1] / "im1.ecsv")
    from astropy.wcs import WCS

    ra, dec = WCS(header).all_pix2world(table["x"], table["y"], 0)
    sky = Table({"ra": ra, "dec": dec, "rb_score": table["rb_score"]}, meta=dict(table.meta))
    sky.meta["rb_image"] = "sky.fits"
    sky.write(tmp_path / "a.ecsv")
    read = night_in(tmp_path, None, 5)
    expected = np.asarray(table["x"])[np.asarray(table["rb_score"]) <= 0.5]
    np.testing.assert_allclose(read.bogus.read()["x"], expected, atol=1e-5)
    (tmp_path / "sky.fits").unlink()
    assert np.isnan(night_in(tmp_path, None, 5).bogus.read()["x"]).all()


def test_mosaics_keep_their_hdus_apart(tmp_path):
    """The same pixel in two detectors is two positions."""
    (tmp_path / "r").mkdir()
    for k in range(4):
        x, y = np.array([30.0, 30.0, 60.0 + 9 * k]), np.array([40.0, 40.0, 70.0])
        table = Table({"x": x, "y": y, "rb_score": np.float32([0.1, 0.2, 0.3])})
        table["rb_hdu"] = np.int32([1, 2, 2])
        table.meta.update(rb_threshold=0.5, rb_fwhm=3.0, rb_hdu="all", rb_image=f"m{k}.fits")
        write_catalog(table, tmp_path / "r" / f"m{k}.fits")
    write_report(tmp_path / "r", tmp_path / "n.html")
    read = night_in(tmp_path / "r", None, 5)
    found = find_repeats(read.bogus, read.images_of_hdu).found
    assert [(one.hdu, one.x, one.y, one.images) for one in found] == [(1, 30, 40, 4), (2, 30, 40, 4)]
    assert "Bogus on the detector, HDU 2" in (tmp_path / "n.html").read_text()


def test_classes_that_are_named_twice_count_once(night, tmp_path):
    """Joined metadata, or a card of FITS that is repeated."""
    table = Table.read(night[1] / "im1.ecsv")
    real = list(table.meta["rb_real"])
    table.meta["rb_real"] = real * 2
    table.write(tmp_path / "a.ecsv")
    read = write_report(tmp_path, tmp_path / "n.html")
    assert read.images[0].real_classes == tuple(sorted(real))
    said = re.search(r"made\">.*?real: ([^<]*)", (tmp_path / "n.html").read_text())[1]
    assert [said.count(name) for name in real] == [1] * len(real)
    assert reference_of(read).counts is not None


def test_columns_of_positions_by_the_journal(night, tmp_path):
    """CSV does not note what --x-col and --origin were; x and y of it are something else."""
    table = Table.read(night[1] / "im1.ecsv")
    expected = read_night_of(table, tmp_path / "ecsv", "a.ecsv")
    table["px"], table["py"] = table["x"] + 1, table["y"] + 1
    table["x"], table["y"] = 0.0, 0.0
    write_catalog(table, tmp_path / "im1.csv")
    summary = {"threshold": 0.5, "x_col": "px", "y_col": "py", "origin": 1}
    entry = {"image": "im1.fits", "output": "im1.csv", "ok": True, "summary": summary}
    (tmp_path / "batch.jsonl").write_text(json.dumps(entry))
    read = night_in(tmp_path, None, 5)
    np.testing.assert_allclose(read.bogus.read()["x"], expected.bogus.read()["x"])
    np.testing.assert_allclose(read.bogus.read()["y"], expected.bogus.read()["y"])


def read_night_of(table, folder, name):
    folder.mkdir()
    table.write(folder / name)
    return night_in(folder, None, 5)
