"""Which results count, where an image has several, or failed since it was scored."""

import json
import os
import shutil

import pytest
from astropy.table import Table

from rbinfer.io.tables import write_catalog
from rbinfer.report import write_report
from rbinfer.report.current import current_lines
from rbinfer.report.drift import read_reference
from rbinfer.runs.batch import run_batch
from rbinfer.runs.journal import Line

from ..runs import folders as runs
from .conftest import Page, night_in


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Four images that were scored into three formats, one after another."""
    folder = tmp_path_factory.mktemp("formats")
    runs.write_images(folder / "in", [f"f{k}.fits" for k in range(4)])
    for name in ("ecsv", "csv", "fits"):
        run_batch(folder / "in", folder / "out", workers=1, format=name)
    return folder


def names(night):
    return [image.result.name for image in night.images]


def test_of_each_image_the_newest_result_counts(scored, tmp_path, caplog):
    read = write_report(scored / "out", tmp_path / "n.html")
    assert names(read) == ["f0.fits", "f1.fits", "f2.fits", "f3.fits"]
    assert read.images_of_hdu == {0: 4}
    assert sum(image.detections for image in read.images) == sum(
        len(Table.read(scored / "out" / f"f{k}.fits")) for k in range(4)
    )
    told = [text for text in caplog.messages if "older results" in text]
    assert len(told) == 1
    assert "f0.csv; f0.ecsv; f1.csv; and 5 more" in told[0]
    text = Page((tmp_path / "n.html").read_text()).shown
    assert "not counted: f0.csv; f0.ecsv; f1.csv; and 5 more" in text
    assert "of 4 too little is known" in text or "4 images" in text
    # A reference has each image once, too: 4 are less than it takes.
    with pytest.raises(ValueError, match="at most 4 images"):
        read_reference(scored / "out", scored / "in")


def test_a_result_that_was_taken_away_leaves_the_one_before(scored, tmp_path):
    shutil.copytree(scored / "out", tmp_path / "out")
    (tmp_path / "out" / "f1.fits").unlink()
    assert names(night_in(tmp_path / "out", None, 5)) == ["f0.fits", "f1.csv", "f2.fits", "f3.fits"]


@pytest.mark.parametrize("kind", ["fits", "vot"])
def test_an_image_that_failed_since_is_failed_alone(scored, tmp_path, kind):
    for name in ("in", "out"):
        shutil.copytree(scored / name, tmp_path / name)
    torn = tmp_path / "in" / "f2.fits"
    torn.write_bytes(torn.read_bytes()[:5000])
    report = run_batch(tmp_path / "in", tmp_path / "out", workers=1, format=kind)
    assert [one.image for one in report.failed] == [str(torn)]
    read = night_in(tmp_path / "out", None, 5)
    assert [one.name for one in read.failed] == ["f2.fits"]
    assert names(read) == [f"f{k}.{kind}" for k in (0, 1, 3)]
    # Copied again, it has the result that it had: nothing is to be done, and it has not failed.
    shutil.copy(scored / "in" / "f2.fits", torn)
    assert run_batch(tmp_path / "in", tmp_path / "out", workers=1, format="csv").n_skipped == 4
    lines = (tmp_path / "out" / "batch.jsonl").read_text().splitlines()
    read = night_in(tmp_path / "out", None, 5)
    assert (read.failed, names(read)) == ([], [f"f0.{kind}", f"f1.{kind}", "f2.csv", f"f3.{kind}"])
    # That is noted once.
    run_batch(tmp_path / "in", tmp_path / "out", workers=1, format="csv")
    assert (tmp_path / "out" / "batch.jsonl").read_text().splitlines() == lines


def test_without_a_journal_the_newest_of_an_image_counts(night, tmp_path):
    table = Table.read(night[1] / "im1.ecsv")
    for k, name in enumerate(("b.ecsv", "a.fits", "c.vot")):
        write_catalog(table[: 10 + k], tmp_path / name)
        os.utime(tmp_path / name, (1e9 - k, 1e9 - k))
    table.meta["rb_hdu"] = 1
    write_catalog(table[:5], tmp_path / "d.ecsv")  # another image of the file
    read = night_in(tmp_path, None, 5)
    assert [(image.result.name, image.detections) for image in read.images] == [
        ("b.ecsv", 10),
        ("d.ecsv", 5),
    ]


def test_what_was_scored_alone_after_a_failure_counts(night, tmp_path):
    shutil.copy(night[1] / "im1.ecsv", tmp_path / "mine.ecsv")
    entry = {"image": str(night[0] / "im1.fits"), "output": "im1.ecsv", "ok": False}
    (tmp_path / "batch.jsonl").write_text(json.dumps(entry | {"finished": "2026-01-02T03:00:00+00:00"}))
    for hour, counts in ((2, []), (4, ["mine.ecsv"])):
        when = 1767322800 + 3600 * (hour - 3)
        os.utime(tmp_path / "mine.ecsv", (when, when))
        read = night_in(tmp_path, None, 5)
        assert (names(read), len(read.failed)) == (counts, 1 - len(counts))


def test_lines_of_one_image():
    def line(name, ok, minute, hdu=None):
        summary = {} if hdu is None else {"hdu": hdu}
        time = f"2026-01-02T03:{minute:02}:00+00:00"
        return Line(image="a.fits", output=name, ok=ok, summary=summary, finished=time)

    done, torn = line("a.ecsv", True, 1), line("a.csv", False, 2)
    assert list(current_lines({"a.ecsv": done, "a.csv": torn})) == ["a.csv"]
    later = line("a.fits", True, 3, 0)
    found = {"a.fits": later, "a.csv": torn, "a.ecsv": done}
    assert list(current_lines(found)) == ["a.fits"]
    assert list(current_lines(found, {"a.fits"})) == ["a.csv"]
    other = line("a.vot", True, 4, 1)
    assert set(current_lines(found | {"a.vot": other})) == {"a.fits", "a.vot"}
    assert (
        len(current_lines({"all.fits": Line(output="all.fits"), "all.csv": Line(output="all.csv")})) == 2
    )
