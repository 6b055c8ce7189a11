"""What is odd, damaged or gone costs a report itself alone."""

import json
import shutil
from pathlib import Path

import numpy as np
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.report import write_report

from .conftest import Page, night_in


def test_all_failed_is_a_report_too(tmp_path):
    entry = {"image": "a.fits", "output": "a.ecsv", "ok": False, "error": "truncated"}
    (tmp_path / "watch.jsonl").write_text(json.dumps(entry) + "\n")
    assert not write_report(tmp_path, tmp_path / "n.html").images
    assert "truncated" in Page((tmp_path / "n.html").read_text()).shown


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
    shown = Page((tmp_path / "n.html").read_text()).shown
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
