"""A night's report: counts, repeating positions, failures; the page in a real headless browser."""

import base64
import dataclasses
import json
import re
import shutil
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.errors import InputError, RbinferError
from rbinfer.io.tables import write_catalog
from rbinfer.model.registry import resolve
from rbinfer.model.session import read_spec
from rbinfer.night import bands
from rbinfer.night.bands import RowFile
from rbinfer.night.repeats import find_repeats, least_images
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.pipeline.summary import BINS
from rbinfer.report import read_night, write_report
from rbinfer.report.one import SOURCE
from rbinfer.report.page import _options, _trends
from rbinfer.report.reference import record_of_night, reference_scores
from rbinfer.report.stars import draw_stars

N = 12
HOT = [(23, 12), (163, 124), (102, 58), (65, 17), (41, 156)]
#: What a file system takes and a page must not.
STRANGE = "im11 <b>&'\"é.fits"


def _image(number):
    """Return an image of 20 stars, 5 hot pixels and as many hits elsewhere, and its catalogue."""
    rng = np.random.default_rng(number)
    yy, xx = np.mgrid[:200, :200]
    sigma = (2.8 + 0.1 * number) / 2.3548
    image = rng.normal(500, 8, (200, 200))
    stars, hits = rng.uniform(10, 190, (20, 2)), rng.integers(8, 192, (5, 2))
    for x, y in stars:
        image += rng.uniform(500, 4000) * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    for x, y in [*HOT, *hits]:
        image[y, x] += rng.uniform(2000, 6000)
    place = np.concatenate([stars, HOT, hits])
    flux = rng.uniform(10, 20, len(place))
    return image.astype(np.float32), Table({"x": place[:, 0], "y": place[:, 1], "flux": flux})


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """Return a folder with images and one with their results, of three formats, and a journal."""
    root = tmp_path_factory.mktemp("night")
    images, results = root / "images", root / "results"
    images.mkdir()
    results.mkdir()
    options = ScoreOptions(device="cpu", threads=2)
    classifier = options.classifier()
    lines = []
    for k in range(N):
        name = STRANGE if k == 10 else f"im{k + 1}.fits"
        image, catalog = _image(k)
        fits.writeto(images / name, image)
        catalog.write(root / f"{k}.ecsv")
        scored = score_file(str(images / name), str(root / f"{k}.ecsv"), options, classifier)
        suffix = {1: ".fits", 2: ".vot"}.get(k, ".ecsv")
        output = name.removesuffix(".fits") + suffix
        write_catalog(scored.table, results / output)
        entry = {"image": str(images / name), "output": output, "ok": True, "error": None}
        entry |= {"summary": scored.summary, "seconds": 0.25 * (k + 1)}
        lines.append(json.dumps(entry | {"finished": f"2026-01-02T03:{k:02}:00+00:00"}))
    bad = {
        "image": "/data/bad<i>.fits",
        "output": "bad.ecsv",
        "ok": False,
        "error": "no <pixels> & none",
    }
    once = {"image": "im1.fits", "output": "im1.ecsv", "ok": False, "error": "was worked on again"}
    text = "\n".join([json.dumps(once), *lines, json.dumps(bad), lines[0][:40]])
    (results / "batch.jsonl").write_text(text)
    # What is no result is left out; rbinfer's own scratch files without a word.
    Table({"x": [1.0], "y": [2.0]}).write(results / "plain.ecsv")
    (results / ".rbinfer-batch").mkdir()
    return images, results


@pytest.fixture(scope="session")
def page(night, tmp_path_factory):
    """Return the page, written by the command."""
    path = tmp_path_factory.mktemp("page") / "a night.html"
    assert main(["report", str(night[1]), "-o", str(path), "--most", "8"]) == 0
    return path


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


def night_in(folder, images, most):
    return read_night(folder, images, most, RowFile(Path(gettempdir()), SOURCE))


def stored(rows):
    """Return rows as a night keeps them."""
    file = RowFile(Path(gettempdir()), SOURCE)
    file.add(rows)
    return file


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


def test_a_page_from_many_bands_is_the_page(night, page, tmp_path, monkeypatch):
    monkeypatch.setattr(bands, "_ROWS", 17)
    again = tmp_path / page.name
    write_report(night[1], again, most=8)
    assert again.read_bytes() == page.read_bytes()


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


class _Page(HTMLParser):
    """What a page shows and refers to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.refers, self.shown = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.refers += [value for key, value in attrs if key in ("src", "href", "action", "xlink:href")]

    def handle_data(self, data):
        self.shown += data


def test_page_refers_to_nothing_outside(page):
    text = page.read_text(encoding="utf-8")
    own = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", own)
    parsed = _Page(text)
    assert parsed.refers
    assert all(value.startswith("data:") for value in parsed.refers)
    assert "im11 <b>" not in text
    for shown in (STRANGE, "bad<i>.fits", "no <pixels> & none"):
        assert shown in parsed.shown
    assert "was worked on again" not in parsed.shown
    assert text.endswith("</html>")


def test_same_results_same_bytes(night, page, tmp_path):
    again = tmp_path / page.name
    write_report(night[1], again, most=8)
    assert again.read_bytes() == page.read_bytes()


def test_images_that_are_gone_cost_the_cutouts_alone(night, tmp_path, capsys):
    table = Table.read(night[1] / "im1.ecsv")
    table.meta["rb_image"] = "/nowhere/im1.fits"
    (tmp_path / "r").mkdir()
    table.write(tmp_path / "r" / "a.ecsv")
    out = tmp_path / "n.html"
    assert main(["report", str(tmp_path / "r"), "-o", str(out)]) == 0
    assert "the image was not found" in capsys.readouterr().err
    assert "<img" not in out.read_text()
    assert "image not found" in out.read_text()
    command = ["report", str(tmp_path / "r"), "-o", str(out), "--overwrite", "--images", str(night[0])]
    assert main([*command, "--title", "T & <U>"]) == 0
    assert out.read_text().count("<img") >= 20
    assert "<h1>T &amp; &lt;U&gt;</h1>" in out.read_text()
    # Beside the results, by the relative name.
    table.meta["rb_image"] = "sub/im1.fits"
    table.write(tmp_path / "r" / "a.ecsv", overwrite=True)
    (tmp_path / "r" / "sub").mkdir()
    (tmp_path / "r" / "sub" / "im1.fits").write_bytes(b"SIMPLE  = damaged")
    read = write_report(tmp_path / "r", out, overwrite=True)
    assert any(
        note.startswith("No cutouts: ") and "im1.fits cannot be read" in note for note in read.notes
    )
    assert "im1.fits cannot be read" in out.read_text()


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


def test_the_page_shows_stars_and_their_shape(night, page, tmp_path):
    text = page.read_text(encoding="utf-8")
    assert text.count('alt="mean star of ') == 3
    assert 'aria-label="Ellipticity of each image"' in text
    assert 'class="trend hollow"' not in text
    for name in ("im1", "im4"):
        table = Table.read(night[1] / f"{name}.ecsv")
        if name == "im1":
            table.meta.update(rb_fwhm_source="borrowed", rb_frames=3)
            del table.meta["rb_ellipticity"], table.meta["rb_theta"]
        table.write(tmp_path / f"{name}.ecsv")
    write_report(tmp_path, tmp_path / "n.html", images=night[0])
    text = (tmp_path / "n.html").read_text(encoding="utf-8")
    assert text.count('class="trend hollow"') == 1
    assert "borrowed" in text
    assert text.count('alt="mean star of ') == 1


def test_trends_are_in_the_order_of_time_where_each_image_has_one(night):
    read = night_in(night[1], None, 5)
    read.images = read.images[:3]
    names = [image.name for image in read.images]

    def shown():
        text = _trends(read)
        [order] = set(re.findall("number of the image, (by [a-z]+)", text))
        fwhm = text[: text.index("</svg>")]
        return order, [name for name in re.findall(r"<title>(.*?): ", fwhm) if name in names]

    assert shown() == ("by name", names)
    for k, image in enumerate(read.images):
        read.images[k] = dataclasses.replace(image, observed=f"2026-11-28 0{3 - k}:00:00")
    assert shown() == ("by time", names[::-1])
    read.images[0] = dataclasses.replace(read.images[0], observed="")
    assert shown() == ("by name", names)


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
    fits.writeto(tmp_path / "sky.fits", _image(0)[0], header)
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


def test_all_failed_is_a_report_too(tmp_path):
    entry = {"image": "a.fits", "output": "a.ecsv", "ok": False, "error": "truncated"}
    (tmp_path / "watch.jsonl").write_text(json.dumps(entry) + "\n")
    assert not write_report(tmp_path, tmp_path / "n.html").images
    assert "truncated" in _Page((tmp_path / "n.html").read_text()).shown


def test_refused(night, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("x")
    kept = tmp_path / "kept.html"
    kept.write_text("mine")
    results = str(night[1])
    for argv, reason in (
        ([str(empty), "-o", str(tmp_path / "a.html")], "rbinfer batch IMAGES -o"),
        ([str(tmp_path / "no"), "-o", str(tmp_path / "a.html")], "is not a directory"),
        ([results, "-o", str(kept)], "--overwrite"),
        ([results, "-o", str(tmp_path / "no" / "a.html")], "does not exist"),
        ([results, "-o", str(tmp_path / "a.pdf")], "call it a.html"),
        ([results, "-o", str(tmp_path / "a.html"), "--images", "no"], "folder of images no"),
    ):
        assert main(["report", *argv]) == 1
        assert reason in capsys.readouterr().err
    assert kept.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "kept.html"]


def test_damaged_results_are_left_out(night, tmp_path, caplog):
    shutil.copy(night[1] / "im1.ecsv", tmp_path)
    (tmp_path / "torn.fits").write_bytes((night[1] / "im2.fits").read_bytes()[:3000])
    wrong = Table.read(night[1] / "im1.ecsv")
    wrong.meta["rb_threshold"] = "high"
    wrong.write(tmp_path / "wrong.ecsv")
    Table({"x": [1.0], "y": [1.0], "rb_score": ["a"]}).write(tmp_path / "words.csv")
    read = write_report(tmp_path, tmp_path / "n.html")
    assert [image.name for image in read.images] == ["im1.fits"]
    assert [name for name, _ in read.skipped] == ["torn.fits", "words.csv", "wrong.ecsv"]
    assert "left out as no scored catalogues: torn.fits" in caplog.text


def _odd(night, **changes):
    """Return a result with other columns or metadata."""
    table = Table.read(night[1] / "im2.fits")
    for key, value in changes.items():
        if key.startswith("meta_"):
            table.meta.pop(key[5:].upper(), None)
            table.meta[key[5:]] = value
        else:
            table[key] = value
    return table


def test_an_odd_result_does_not_end_the_report(night, tmp_path):
    """It is left out with the reason, and nothing of it is counted."""
    shutil.copy(night[1] / "im1.ecsv", tmp_path)
    expected = night_in(tmp_path, None, 5)
    n = len(Table.read(night[1] / "im2.fits"))
    odd = {
        "a_pairs": {"rb_score": np.zeros((n, 2), np.float32)},
        "b_words": {"rb_hdu": [f"CCD{k}" for k in range(n)]},
        "c_number": {"meta_rb_hdu": 10**12},
        "d_numbers": {"rb_hdu": np.full(n, 10**12)},
        "e_classes": {"rb_class": np.full((n, 2), "odd one")},
        "f_flux": {"rb_status": np.array([None] * n), "rb_class": np.full((n, 3), "another")},
    }
    for name, changes in odd.items():
        _odd(night, **changes).write(tmp_path / f"{name}.ecsv")
    read = write_report(tmp_path, tmp_path / "n.html")
    assert [image.name for image in read.images] == ["im1.fits"]
    assert [name for name, _ in read.skipped] == [f"{name}.ecsv" for name in odd]
    assert "rb_score does not hold a number in each row" in dict(read.skipped)["a_pairs.ecsv"]
    assert "rb_hdu = 1000000000000" in dict(read.skipped)["c_number.ecsv"]
    for key in ("classes", "images_of_hdu", "extent", "brightness", "notes"):
        assert getattr(read, key) == getattr(expected, key), key
    np.testing.assert_array_equal(read.histogram, expected.histogram)
    shown = _Page((tmp_path / "n.html").read_text()).shown
    assert "Files left out" in shown
    assert all(reason in shown for _, reason in read.skipped)


def test_any_error_of_a_result_is_its_own(night, tmp_path, monkeypatch):
    for name in ("im1.ecsv", "im2.fits"):
        shutil.copy(night[1] / name, tmp_path)
    from rbinfer.report import one

    def fail(table):
        if any(str(value).endswith("im2.fits") for value in table.meta.values()):
            raise ZeroDivisionError("what\nnobody thought of")
        return {}

    monkeypatch.setattr(one, "_status", fail)
    read = night_in(tmp_path, None, 5)
    assert [image.name for image in read.images] == ["im1.fits"]
    assert read.skipped == [
        ("im2.fits", "an error that rbinfer does not foresee: what nobody thought of")
    ]
    assert read.histogram.sum() == 30


def test_lists_among_the_options_are_written_as_they_are_given():
    assert _options('{"show": ["snr", "classes"], "fwhm": 2.5}') == [
        ("show", "snr classes"),
        ("fwhm", "2.5"),
    ]


def test_odd_metadata_cost_what_they_say_alone(night, tmp_path):
    odd = {"meta_rb_real": 3, "meta_rb_fwhm": 10**400, "meta_rb_model": ["a", "b"]}
    _odd(night, **odd).write(tmp_path / "a.ecsv")
    (image,) = write_report(tmp_path, tmp_path / "n.html").images
    assert (image.real_classes, image.fwhm) == (("3",), None)


def test_an_image_that_cannot_be_asked_for_is_gone(night, tmp_path, monkeypatch):
    """Its name is too long, or it lies in a folder that may not be entered."""
    _odd(night, meta_rb_image="x" * 300 + ".fits").write(tmp_path / "a.ecsv")
    _odd(night, meta_rb_image="/private/im.fits").write(tmp_path / "b.ecsv")
    (tmp_path / "c.ecsv").symlink_to("/private/c.ecsv")
    real = Path.is_file

    def is_file(path):
        if "private" in str(path.readlink() if path.is_symlink() else path):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    read = write_report(tmp_path, tmp_path / "n.html", images=night[0])
    assert [image.path for image in read.images] == [None, None]
    assert any("2 of 2 results: the image was not found" in note for note in read.notes)
    assert [name for name, _ in read.skipped] == ["c.ecsv"]


def test_a_journal_that_cannot_be_read_costs_itself(night, tmp_path, monkeypatch, caplog):
    shutil.copy(night[1] / "im1.ecsv", tmp_path)
    (tmp_path / "batch.jsonl").write_text("{}")

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert len(night_in(tmp_path, None, 5).images) == 1
    assert "batch.jsonl cannot be read" in caplog.text


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


def test_written_whole_or_not_at_all(night, tmp_path, monkeypatch):
    out = tmp_path / "n.html"
    out.write_text("before")
    monkeypatch.setattr(
        Path, "write_text", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space"))
    )
    with pytest.raises(Exception, match="cannot be written: No space"):
        write_report(night[1], out, overwrite=True)
    monkeypatch.undo()
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["n.html"]
    with pytest.raises(InputError, match="exists and is kept"):
        write_report(night[1], out)


def _column(browser, table, number):
    return browser.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
        ".map(row => row.cells[arguments[1]].textContent)",
        table,
        number,
    )


def test_in_a_browser(browser, page):
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    asked = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    urls = [
        one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in urls
    assert all(url == page.as_uri() or url.startswith("data:") for url in urls)
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) >= 20
    assert min(widths) > 10
    shown = browser.execute_script("return document.body.innerText")
    assert STRANGE in shown
    assert "bad<i>.fits" in shown
    listed = zip(_column(browser, "repeats", 0), _column(browser, "repeats", 1), strict=True)
    assert {(float(x), float(y)) for x, y in listed} == set(map(tuple, HOT))
    assert len(browser.find_elements("css selector", "circle.repeat")) == len(HOT)
    # The page itself does not scroll sideways, however narrow.
    for width in (1400, 420):
        browser.set_window_size(width, 900)
        assert browser.execute_script(
            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )


def test_tables_sort_in_a_browser(browser, page):
    from selenium.webdriver.common.keys import Keys

    browser.get(page.as_uri())
    heads = browser.find_elements("css selector", "#images th")
    number = next(k for k, head in enumerate(heads) if head.text.startswith("FWHM (px)"))
    before = _column(browser, "images", number)
    for turn, order in (("ascending", 1), ("descending", -1)):
        heads[number].find_element("tag name", "button").click()
        values = [float(text) for text in _column(browser, "images", number)]
        assert values == sorted(map(float, before), reverse=order < 0)
        assert heads[number].get_attribute("aria-sort") == turn
    # By the keyboard, and numbers in names as numbers.
    heads[0].find_element("tag name", "button").send_keys(Keys.ENTER)
    assert _column(browser, "images", 0) == [STRANGE if k == 10 else f"im{k + 1}.fits" for k in range(N)]
    assert heads[number].get_attribute("aria-sort") is None
    seconds = len(heads) - 1
    for _ in range(2):
        heads[seconds].find_element("tag name", "button").click()
    assert _column(browser, "images", seconds)[:3] == ["3.0", "2.8", "2.5"]
    assert browser.get_log("browser") == []


def test_origin_is_lower_left_in_a_browser(browser, tmp_path):
    """A bright pixel at the upper left of its detection, counted in rows upwards."""
    image = np.zeros((101, 101), np.float32)
    image[54, 46] = 1000.0
    fits.writeto(tmp_path / "i.fits", image)
    table = Table({"x": [50.0], "y": [50.0], "rb_score": np.float32([0.4])})
    table.meta.update(rb_threshold=0.5, rb_fwhm=3.0, rb_hdu=0, rb_image="i.fits")
    (tmp_path / "r").mkdir()
    table.write(tmp_path / "r" / "a.ecsv")
    write_report(tmp_path / "r", tmp_path / "n.html", images=tmp_path)
    browser.get((tmp_path / "n.html").as_uri())
    pixels, width = browser.execute_script(
        "const image = document.images[0], canvas = document.createElement('canvas');"
        "canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;"
        "const to = canvas.getContext('2d'); to.drawImage(image, 0, 0);"
        "return [[...to.getImageData(0, 0, canvas.width, canvas.height).data], canvas.width]"
    )
    red = np.array(pixels).reshape(-1, width, 4)[:, :, 0]
    half = width // 2
    assert np.unravel_index(red.argmax(), red.shape) == (half - 4, half - 4)
